/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc.h - the allocator: BPF programs in the connect and bind hooks that give
 * each session its source port from a pool. pick.h has the algorithm.
 *
 * The programs end with the process that opened them, however it ends: nothing
 * is pinned. Until alloc_attach() nobody's ports are touched.
 */
#ifndef ALLOC_ALLOC_H
#define ALLOC_ALLOC_H

#include <stdint.h>

#include "base/fault.h"
#include "policy/policy.h"

struct alloc;

/* Load the programs. -EPERM without privilege, -ENOTSUP where the kernel cannot. */
int alloc_open(struct alloc **ret, struct fault *fault);
void alloc_close(struct alloc *alloc); /* detaches all; NULL is fine */

/*
 * Make a pool known; its number (from 1) is in *ret_pool. Removing one frees its
 * memory in the kernel; sessions that hold its ports keep them.
 */
int alloc_add_pool(struct alloc *alloc, const struct pool *pool, uint32_t *ret_pool,
		   struct fault *fault);
void alloc_remove_pool(struct alloc *alloc, uint32_t pool);

/* Sessions opened in this cgroup and below take their ports from the pool. */
int alloc_attach(struct alloc *alloc, int cgroup_fd, uint64_t cgroup_id, uint32_t pool,
		 struct fault *fault);
void alloc_detach(struct alloc *alloc, uint64_t cgroup_id);

/*
 * Make the pool ready in the network namespace behind netns_fd (-1: the caller's),
 * before the first session there asks: what others hold in it is set aside. A namespace
 * that nobody prepared is made ready at its first connect(), and listed at the next
 * tick.
 */
int alloc_prepare(struct alloc *alloc, uint32_t pool, int netns_fd,
		  struct fault *fault);

/*
 * Call about once a second: new keys, ports set aside that may be tried again,
 * quarantine that ended, ports that others hold in the namespaces in use.
 */
void alloc_tick(struct alloc *alloc);

/* For collect: the map of struct verdict. Borrowed. */
int alloc_verdict_map_fd(const struct alloc *alloc);

struct alloc_count {
	uint64_t picks;
	uint64_t shared;       /* picks that shared a port with another destination */
	uint64_t early_reuses; /* picks of a tuple that had not rested its time */
	uint64_t conflicts;    /* picks that something else held */
	uint64_t fallbacks;    /* left to the kernel: no port for it in the pool */
	uint64_t refusals;     /* refused: pool exhausted */
	uint64_t releases;
	uint64_t rests;
	uint64_t rests_cut_short; /* quarantine forgotten early: its table was full */
	uint64_t table_full;	  /* a ceiling was met and the kernel picked */
};

struct alloc_pool_count {
	uint32_t pool;
	uint64_t capacity;
	uint64_t held; /* ports in use or set aside, over all namespaces, TCP and UDP */
	uint64_t resting; /* tuples */
};

void alloc_count(const struct alloc *alloc, struct alloc_count *ret);
int alloc_pool_count(const struct alloc *alloc, uint32_t pool,
		     struct alloc_pool_count *ret);
/* CPU time of the BPF programs in ns and runs so far, where bpf_stats is on; else 0. */
void alloc_run_time(const struct alloc *alloc, uint64_t *ret_ns, uint64_t *ret_runs);

#endif /* ALLOC_ALLOC_H */
