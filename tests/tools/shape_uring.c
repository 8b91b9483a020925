/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* shape_uring.c - connect() through io_uring, by its three system calls alone. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"
#include "shape.h"

struct ring {
	char *head; /* both rings' indices: IORING_FEAT_SINGLE_MMAP, Linux 5.4 */
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};

static uint32_t *index_at(const struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(ring->head + offset);
}

/* The ring's descriptor, or a negative errno. Its memory lasts as long as the process.
 */
static int ring_open(struct ring *ring)
{
	const int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
	CLEANUP_CLOSE int fd = syscall(SYS_io_uring_setup, 1, &ring->params);
	size_t size;

	if (fd < 0)
		return -errno;
	size = ring->params.cq_off.cqes +
	       ring->params.cq_entries * sizeof(struct io_uring_cqe);
	ring->head = mmap(NULL, size, access, flags, fd, IORING_OFF_SQ_RING);
	ring->entries =
		mmap(NULL, sizeof(*ring->entries), access, flags, fd, IORING_OFF_SQES);
	if (ring->head == MAP_FAILED || (void *)ring->entries == MAP_FAILED)
		return -errno;
	return TAKE_FD(fd);
}

int shape_uring(struct shape *shape, char **words)
{
	struct ring ring = {0};
	struct endpoint remote;
	const struct io_uring_cqe *done;
	CLEANUP_CLOSE int fd = -1;
	int err = endpoint_parse(words[1], words[2], &remote);

	if (err < 0)
		return err;
	fd = ring_open(&ring);
	if (fd < 0)
		return fd;
	ring.entries[0] = (struct io_uring_sqe){
		.opcode = IORING_OP_CONNECT,
		.fd = shape->fd,
		.addr = (uintptr_t)&remote.address,
		.off = remote.length,
	};
	index_at(&ring, ring.params.sq_off.array)[0] = 0;
	__atomic_store_n(index_at(&ring, ring.params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	if (!__atomic_load_n(index_at(&ring, ring.params.cq_off.tail),
			     __ATOMIC_ACQUIRE))
		return -EAGAIN;
	done = (const void *)(ring.head + ring.params.cq_off.cqes);
	return done->res;
}
