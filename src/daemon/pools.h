/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pools.h - the pools that the allocator knows: the policy's, once used, and those
 * made for one run.
 */
#ifndef DAEMON_POOLS_H
#define DAEMON_POOLS_H

#include "alloc/alloc.h"
#include "daemon/gauge.h"
#include "policy/policy.h"

struct pools;

struct pools_entry {
	struct pool pool;
	uint32_t number; /* in the allocator */
	unsigned int run_count;
	unsigned int rule_count;
	bool is_made_for_run; /* removed with its last user */
	bool is_outdated; /* the policy has another of its name, or none: the same */
	struct gauge gauge;
	struct pools_entry *next;
};

enum pools_user {
	POOLS_RUN, /* its pool was made for it */
	POOLS_RUN_OF_POLICY,
	POOLS_RULE,
};

int pools_new(struct alloc *alloc, struct pools **ret);
void pools_free(struct pools *pools); /* NULL is fine */

/*
 * Use a pool until pools_drop(). One of the policy is found by its name, unless it was
 * changed since; one made for a run by all that it says, so that two runs with the same
 * ports share them and do not collide.
 */
int pools_use(struct pools *pools, const struct pool *pool, enum pools_user user,
	      struct pools_entry **ret, struct fault *fault);
void pools_drop(struct pools *pools, struct pools_entry *entry, enum pools_user user);

/*
 * The policy is now this one: what it has no more, or differently, is removed, at once
 * or with its last user.
 */
void pools_outdate(struct pools *pools, const struct policy *policy);

/* The name of the pool with this number, NULL: none. A pipeline_pool_fn. */
const char *pools_name(uint32_t number, void *pools);

/* The policy's pool of that name as it is now, or one made for a run; NULL: none. */
struct pools_entry *pools_find(const struct pools *pools, const char *name);

struct pools_entry *pools_first(const struct pools *pools);

#endif /* DAEMON_POOLS_H */
