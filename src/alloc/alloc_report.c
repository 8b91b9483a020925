/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tables hold, counted for people. */
#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"

#include "alloc/alloc.skel.h"

void alloc_count(const struct alloc *alloc, struct alloc_count *ret)
{
	struct alloc_count sum = {0};

	for (int i = 0; i < ALLOC_STAT_SLOTS; i++) {
		const struct alloc_stats *part = &alloc->bpf->bss->stats[i];

		sum.picks += part->picks;
		sum.shared += part->shared;
		sum.early_reuses += part->early_reuses;
		sum.conflicts += part->conflicts;
		sum.fallbacks += part->fallbacks;
		sum.refusals += part->refusals;
		sum.releases += part->releases;
		sum.rests += part->rests;
		sum.rests_cut_short += part->rests_cut_short;
		sum.table_full += part->table_full;
	}
	*ret = sum;
}

int alloc_pool_count(const struct alloc *alloc, uint32_t pool,
		     struct alloc_pool_count *ret)
{
	struct alloc_pool_count count = {.pool = pool};

	if (!pool || pool >= ALLOC_POOLS || !alloc->pool_is_used[pool])
		return -ENOENT;
	count.capacity = alloc->pools[pool].members.count;
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		const struct alloc_space *space = &alloc->spaces[number];

		if (!space->netns || space->pool != pool)
			continue;
		count.held += count.capacity - space->unused.count;
		count.resting += space->resting_count;
	}
	*ret = count;
	return 0;
}

void alloc_memory(const struct alloc *alloc, struct alloc_memory *ret)
{
	(void)alloc;
	memset(ret, 0, sizeof(*ret));
}

int alloc_outlook(struct alloc *alloc, uint32_t pool, uint64_t netns, uint8_t protocol,
		  const struct address *destination, uint16_t port,
		  struct alloc_outlook *ret)
{
	(void)alloc;
	(void)pool;
	(void)netns;
	(void)protocol;
	(void)destination;
	(void)port;
	(void)ret;
	return -ENOENT;
}
