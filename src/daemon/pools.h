/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pools.h - the pools that the allocator knows: the policy's, once used, and those
 * made for one run.
 */
#ifndef DAEMON_POOLS_H
#define DAEMON_POOLS_H

#include "alloc/alloc.h"
#include "policy/policy.h"

struct pools;

struct pools_entry {
	struct pool pool;
	uint32_t number; /* in the allocator */
	unsigned int user_count;
	bool is_made_for_run; /* removed with its last user */
	struct pools_entry *next;
};

int pools_new(struct alloc *alloc, struct pools **ret);
void pools_free(struct pools *pools); /* NULL is fine */

/*
 * Use a pool until pools_drop(). One of the policy is found by its name; one
 * made for a run by all that it says, so that two runs with the same ports share
 * them and do not collide.
 */
int pools_use(struct pools *pools, const struct pool *pool, bool is_made_for_run,
	      struct pools_entry **ret, struct fault *fault);
void pools_drop(struct pools *pools, struct pools_entry *entry);

/* The name of the pool with this number, NULL: none. A pipeline_pool_fn. */
const char *pools_name(uint32_t number, void *pools);

const struct pools_entry *pools_first(const struct pools *pools);

#endif /* DAEMON_POOLS_H */
