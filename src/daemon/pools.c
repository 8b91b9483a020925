/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/pools.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

struct pools {
	struct alloc *alloc;
	struct pools_entry *first;
};

int pools_new(struct alloc *alloc, struct pools **ret)
{
	struct pools *pools = calloc(1, sizeof(*pools));

	if (!pools)
		return -ENOMEM;
	pools->alloc = alloc;
	*ret = pools;
	return 0;
}

void pools_free(struct pools *pools)
{
	struct pools_entry *entry;

	if (!pools)
		return;
	while ((entry = pools->first)) {
		pools->first = entry->next;
		free(entry);
	}
	free(pools);
}

static bool is_alike(const struct pool *a, const struct pool *b)
{
	return memcmp(&a->ports, &b->ports, sizeof(a->ports)) == 0 &&
	       a->quarantine_ns == b->quarantine_ns &&
	       a->quarantine_all == b->quarantine_all && a->algorithm == b->algorithm &&
	       a->sharing == b->sharing && a->udp_shares == b->udp_shares &&
	       a->early_reuse == b->early_reuse && a->exhausted == b->exhausted &&
	       a->quota == b->quota;
}

static struct pools_entry *find(struct pools *pools, const struct pool *pool,
				bool is_made_for_run)
{
	for (struct pools_entry *entry = pools->first; entry; entry = entry->next)
		if (entry->is_made_for_run == is_made_for_run && !entry->is_outdated &&
		    is_alike(&entry->pool, pool) &&
		    (is_made_for_run || strcmp(entry->pool.name, pool->name) == 0))
			return entry;
	return NULL;
}

int pools_use(struct pools *pools, const struct pool *pool, enum pools_user user,
	      struct pools_entry **ret, struct fault *fault)
{
	CLEANUP_FREE struct pools_entry *made = NULL;
	struct pools_entry *entry = find(pools, pool, user == POOLS_RUN);
	int err;

	if (!entry) {
		made = calloc(1, sizeof(*made));
		if (!made)
			return fault_set(fault, -ENOMEM, "out of memory");
		made->pool = *pool;
		made->is_made_for_run = user == POOLS_RUN;
		err = alloc_add_pool(pools->alloc, pool, &made->number, fault);
		if (err < 0)
			return err;
		made->next = pools->first;
		pools->first = made;
		entry = TAKE(made);
	}
	if (user == POOLS_RULE)
		entry->rule_count++;
	else
		entry->run_count++;
	*ret = entry;
	return 0;
}

/* One of the policy stays when nobody uses it: it has what rests. */
static void remove_unused(struct pools *pools, struct pools_entry *entry)
{
	struct pools_entry **link = &pools->first;

	if (entry->run_count || entry->rule_count ||
	    (!entry->is_made_for_run && !entry->is_outdated))
		return;
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	alloc_remove_pool(pools->alloc, entry->number);
	free(entry);
}

void pools_drop(struct pools *pools, struct pools_entry *entry, enum pools_user user)
{
	if (user == POOLS_RULE)
		entry->rule_count--;
	else
		entry->run_count--;
	remove_unused(pools, entry);
}

void pools_outdate(struct pools *pools, const struct policy *policy)
{
	struct pools_entry *next;

	for (struct pools_entry *entry = pools->first; entry; entry = next) {
		const struct pool *now = policy_find_pool(policy, entry->pool.name);

		next = entry->next;
		if (entry->is_made_for_run || (now && is_alike(now, &entry->pool)))
			continue;
		entry->is_outdated = true;
		remove_unused(pools, entry);
	}
}

const char *pools_name(uint32_t number, void *arg)
{
	const struct pools *pools = arg;

	for (const struct pools_entry *entry = pools->first; entry; entry = entry->next)
		if (entry->number == number)
			return entry->pool.name;
	return NULL;
}

struct pools_entry *pools_find(const struct pools *pools, const char *name)
{
	for (struct pools_entry *entry = pools->first; entry; entry = entry->next)
		if (!entry->is_outdated && strcmp(entry->pool.name, name) == 0)
			return entry;
	return NULL;
}

struct pools_entry *pools_first(const struct pools *pools)
{
	return pools->first;
}
