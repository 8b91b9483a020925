/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_bed.h - what the tests of the allocator stand on: a network namespace with
 * listeners, a cgroup we are in, and sockets.
 */
#ifndef TESTS_BPF_ALLOC_BED_H
#define TESTS_BPF_ALLOC_BED_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/alloc.h"
#include "base/cleanup.h"

#include "cgroup2.h"

#define SKIP_STATUS  77
#define FIRST_OF_ALL 61000 /* above what the kernel draws from */
#define PORTS_A_TEST 100
#define HOUR_NS	     3600000000000ULL
#define SERVERS	     3

struct bed {
	char cgroup[2 * PATH_MAX];
	int cgroup_fd;
	uint64_t cgroup_id;
	struct alloc *alloc;
	uint32_t pool;
	unsigned int
		first; /* port of this test's pool: each has its own, TIME_WAIT lasts */
	int listeners[SERVERS];
	struct sockaddr_in servers[SERVERS];
};

static struct bed bed;

/* ---- the bed: loopback up, listeners, a cgroup we are in ---- */

static inline int bring_loopback_up(void)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	return ioctl(fd, SIOCSIFFLAGS, &request);
}

static inline int enter_cgroup(const char *folder)
{
	char path[3 * PATH_MAX], pid[16];
	CLEANUP_CLOSE int fd = -1;
	int length;

	snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	length = snprintf(pid, sizeof(pid), "%d", getpid());
	return fd >= 0 && write(fd, pid, length) == length ? 0 : -errno;
}

static inline int make_cgroup(void)
{
	char root[PATH_MAX];
	struct stat found;

	if (find_cgroup2(root, sizeof(root)))
		return -ENOENT;
	snprintf(bed.cgroup, sizeof(bed.cgroup), "%s/srcport-test-alloc-%d", root,
		 getpid());
	if (mkdir(bed.cgroup, 0755))
		return -errno;
	bed.cgroup_fd = open(bed.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bed.cgroup_fd < 0 || fstat(bed.cgroup_fd, &found))
		return -errno;
	bed.cgroup_id = found.st_ino;
	return 0;
}

static inline void remove_cgroup(void)
{
	char root[PATH_MAX];

	if (!find_cgroup2(root, sizeof(root)))
		enter_cgroup(root);
	rmdir(bed.cgroup);
}

static inline int make_listeners(void)
{
	for (int i = 0; i < SERVERS; i++) {
		struct sockaddr_in *server = &bed.servers[i];

		server->sin_family = AF_INET;
		server->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		server->sin_port = htons(7000 + i);
		bed.listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (bind(bed.listeners[i], (struct sockaddr *)server,
			 sizeof(*server)) ||
		    listen(bed.listeners[i], 4096))
			return -errno;
	}
	return 0;
}

static inline struct pool plain_pool(unsigned int count)
{
	struct pool pool;

	pool_init(&pool, "test");
	memset(&pool.ports, 0, sizeof(pool.ports));
	port_set_add(&pool.ports, bed.first, bed.first + count - 1);
	pool.quarantine_ns = 0;
	pool.early_reuse = false;
	pool.exhausted = EXHAUSTED_REFUSE;
	return pool;
}

/* For the cgroup we are in. */
static inline void attach_pool(const struct pool *pool)
{
	struct fault fault = {0};

	assert_int_equal(alloc_add_pool(bed.alloc, pool, &bed.pool, &fault), 0);
	assert_int_equal(
		alloc_attach(bed.alloc, bed.cgroup_fd, bed.cgroup_id, bed.pool, &fault),
		0);
}

static inline void use(const struct pool *pool)
{
	struct fault fault = {0};

	attach_pool(pool);
	assert_int_equal(alloc_prepare(bed.alloc, bed.pool, -1, &fault), 0);
}

/* One pool of these ports for the cgroup we are in. */
static inline void use_pool(unsigned int count, enum sharing sharing,
			    uint64_t quarantine_ns, bool early_reuse)
{
	struct pool pool = plain_pool(count);

	pool.sharing = sharing;
	pool.quarantine_ns = quarantine_ns;
	pool.early_reuse = early_reuse;
	use(&pool);
}

static inline int set_up(void **state)
{
	struct fault fault = {0};

	(void)state;
	bed.first += PORTS_A_TEST;
	if (alloc_open(&bed.alloc, &fault))
		return -1;
	return alloc_watch(bed.alloc, bed.cgroup_fd, &fault);
}

static inline int tear_down(void **state)
{
	(void)state;
	alloc_close(bed.alloc);
	bed.alloc = NULL;
	return 0;
}

/* ---- sockets ---- */

static inline unsigned int port_of(int fd)
{
	struct sockaddr_in6 address = {0};
	socklen_t size = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &size);
	return ntohs(address.sin6_port); /* the same place in both families */
}

static inline bool is_in_pool(unsigned int port, unsigned int count)
{
	return port >= bed.first && port < bed.first + count;
}

/* A connection to server i, or -1 and errno. */
static inline int connect_to(int type, int i)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&bed.servers[i], sizeof(bed.servers[i])))
		return -1;
	return TAKE_FD(fd);
}

/* Connect, let the client close first, then the server: its port, which now rests. */
static inline unsigned int connect_and_close(int i)
{
	CLEANUP_CLOSE int server = -1;
	int fd = connect_to(SOCK_STREAM, i);
	unsigned int port;
	char byte;

	assert_true(fd >= 0);
	server = accept4(bed.listeners[i], NULL, NULL, SOCK_CLOEXEC);
	port = port_of(fd);
	close(fd);
	assert_int_equal(read(server, &byte, 1), 0);
	return port;
}

static inline void close_all(const int *fds, int count)
{
	const struct linger at_once = {.l_onoff = 1};

	for (int i = 0; i < count; i++) {
		if (fds[i] < 0)
			continue;
		setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fds[i]);
	}
}

static inline void drain_listeners(void)
{
	for (int i = 0; i < SERVERS; i++) {
		int fd;

		fcntl(bed.listeners[i], F_SETFL, O_NONBLOCK);
		while ((fd = accept4(bed.listeners[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			close(fd);
		fcntl(bed.listeners[i], F_SETFL, 0);
	}
}

/* The tests, or a skip that says what is missing. */
#define RUN_IN_BED(tests)          \
	(enter_bed() ? SKIP_STATUS \
		     : leave_bed(cmocka_run_group_tests(tests, NULL, NULL)))

static inline int enter_bed(void)
{
	struct fault fault = {0};

	bed.first = FIRST_OF_ALL;
	if (unshare(CLONE_NEWNET) || bring_loopback_up() || make_listeners() ||
	    make_cgroup() || enter_cgroup(bed.cgroup)) {
		printf("1..0 # SKIP needs root, a cgroup2 mount and network "
		       "namespaces\n");
		return -1;
	}
	if (alloc_open(&bed.alloc, &fault)) {
		remove_cgroup();
		printf("1..0 # SKIP %s\n", fault.text);
		return -1;
	}
	alloc_close(bed.alloc);
	return 0;
}

static inline int leave_bed(int failed)
{
	remove_cgroup();
	return failed;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif /* TESTS_BPF_ALLOC_BED_H */
