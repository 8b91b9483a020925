/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * collect.h - events of the live kernel: sessions and processes, as they happen.
 *
 * Attach first, then list what was open: the caller opens the collector, and only
 * then reads /proc and sock_diag.
 */
#ifndef COLLECT_COLLECT_H
#define COLLECT_COLLECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "bpf/event_abi.h"

struct collect;

struct collect_options {
	int verdict_map_fd;  /* alloc's map of struct verdict; borrowed */
	bool managed_only;   /* only sessions that passed alloc's hooks (a transient
				daemon) */
	uint32_t ring_bytes; /* a power of two; 0: the default, 16 MiB */
};

/* Called for each event, oldest first; valid during the call only. */
typedef void collect_event_fn(const struct event_head *event, void *arg);

/*
 * Load and attach the tracepoint programs. -EPERM without privilege, -ENOTSUP where the
 * kernel cannot; the fault says which feature failed.
 */
int collect_open(const struct collect_options *options, collect_event_fn *event,
		 void *arg, struct collect **ret, struct fault *fault);
void collect_close(struct collect *collect); /* detaches; NULL is fine */

/*
 * Attach the UDP hooks (connect, release) to a cgroup, after alloc's own. The link
 * ends with collect_detach_cgroup() or collect_close(). A cgroup that is attached twice
 * has two, of which the older goes first; both tell of one connect(), once.
 */
int collect_attach_cgroup(struct collect *collect, int cgroup_fd, uint64_t cgroup_id,
			  struct fault *fault);
void collect_detach_cgroup(struct collect *collect, uint64_t cgroup_id);

/* The programs on the connect hooks, as the kernel numbers them: they change nothing.
 */
void collect_connect_programs(const struct collect *collect, uint32_t ret[2]);

/* For epoll: readable when the ring is filling up. Events below that wait for a poll.
 */
int collect_fd(const struct collect *collect);

/* Deliver what is in the ring. Returns the number of events. */
int collect_poll(struct collect *collect);

/*
 * Events lost so far. The kernel skips a tracing program that already runs on that
 * CPU, and counts that (since Linux 6.1; before, it does not skip): so many events of
 * sessions and processes are lost at most, since a program is skipped too where it had
 * nothing to tell, and the end of a TCP session has a second chance.
 */
struct collect_lost {
	uint64_t ring_full;
	uint64_t skipped;
};

void collect_lost(const struct collect *collect, struct collect_lost *ret);

/* What the maps take of the kernel's memory, in bytes, as the kernel tells. */
uint64_t collect_memory(const struct collect *collect);

#endif /* COLLECT_COLLECT_H */
