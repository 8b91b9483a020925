/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tables hold, counted for people. */
#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"

#include "alloc/alloc.skel.h"

static void add_stats(struct alloc_count *sum, const struct alloc_stats *part)
{
	sum->picks += part->picks;
	sum->shared += part->shared;
	sum->early_reuses += part->early_reuses;
	sum->conflicts += part->conflicts;
	sum->releases += part->releases;
	sum->rests += part->rests;
	sum->rests_cut_short += part->rests_cut_short;
	sum->table_full += part->table_full;
	sum->foreign_binds += part->foreign_binds;
	for (int reason = 0; reason < ALLOC_REASON_COUNT; reason++) {
		sum->fallbacks += part->fallbacks[reason];
		sum->refusals += part->refusals[reason];
		sum->by_reason[reason] +=
			part->fallbacks[reason] + part->refusals[reason];
	}
}

void alloc_count_number(const struct alloc *alloc, uint32_t pool,
			struct alloc_count *ret)
{
	struct alloc_count sum = {0};

	for (int i = 0; i < ALLOC_STAT_SLOTS; i++)
		add_stats(&sum, &alloc->bpf->bss->stats[pool * ALLOC_STAT_SLOTS + i]);
	*ret = sum;
}

void alloc_count(const struct alloc *alloc, struct alloc_count *ret)
{
	struct alloc_count sum = {0};

	for (int i = 0; i < ALLOC_POOLS * ALLOC_STAT_SLOTS; i++)
		add_stats(&sum, &alloc->bpf->bss->stats[i]);
	sum.repairs = alloc->repairs;
	sum.missed = alloc->missed;
	*ret = sum;
}

/* Counts are all uint64_t: of this pool, without those that had its number before. */
static void take_before(struct alloc_count *count, const struct alloc_count *before)
{
	uint64_t *now = (uint64_t *)count;
	const uint64_t *then = (const uint64_t *)before;

	for (size_t i = 0; i < sizeof(*count) / sizeof(*now); i++)
		now[i] -= then[i];
}

static uint64_t space_bytes(const struct alloc_space *space)
{
	uint64_t bytes = sizeof(*space);

	for (int group = 0; group < ALLOC_GROUPS; group++)
		if (space->chunk[group])
			bytes += sizeof(struct record_chunk);
	return bytes;
}

int alloc_pool_count(const struct alloc *alloc, uint32_t pool,
		     struct alloc_pool_count *ret)
{
	struct alloc_pool_count count = {.pool = pool,
					 .bytes = sizeof(struct alloc_pool)};

	if (!pool || pool >= ALLOC_POOLS || !alloc->pool_is_used[pool])
		return -ENOENT;
	count.capacity = alloc->pools[pool].members.count;
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		const struct alloc_space *space = &alloc->spaces[number];
		uint64_t held = count.capacity - space->unused.count;

		if (!space->netns || space->pool != pool)
			continue;
		count.held += held;
		count.busiest = held > count.busiest ? held : count.busiest;
		count.resting += space->resting_count;
		count.bytes += space_bytes(space);
	}
	alloc_count_number(alloc, pool, &count.count);
	take_before(&count.count, &alloc->before[pool]);
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
