/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tables hold, counted for people. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"
#include "base/cleanup.h"

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
	sum->dense_full += part->dense_full;
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
	sum.table_full += alloc_rules_missed(alloc);
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

/* Of the ports that this space took; another pool's space counts those it took. */
static uint64_t space_leases(const struct alloc *alloc, uint32_t number)
{
	const struct alloc_space *space = &alloc->spaces[number];
	const struct port_map *members = &alloc->pools[space->pool].members;
	uint64_t count = 0;

	for (unsigned int port = 1024; port <= 65535; port++) {
		const struct port_record *record;

		if (!port_map_has(members, port))
			continue;
		record = alloc_record(alloc, space->chunk, port);
		if (record && !(record->mark & RECORD_FOREIGN) &&
		    record_space(record) == number)
			count += USERS(record->counts);
	}
	return count;
}

uint64_t alloc_pool_leases(const struct alloc *alloc, uint32_t pool)
{
	uint64_t count = 0;

	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].netns && alloc->spaces[number].pool == pool)
			count += space_leases(alloc, number);
	return count;
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

/* ---- memory ---- */

/* As the kernel states it in fdinfo; before Linux 6.4 that leaves out headers. */
static uint64_t stated_bytes(int fd)
{
	char path[64], line[256];
	uint64_t bytes = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "memlock: %" SCNu64, &bytes);
	if (file)
		fclose(file);
	return bytes;
}

static uint64_t round_to_8(uint64_t bytes)
{
	return (bytes + 7) / 8 * 8;
}

/* struct htab_elem and struct bucket of the kernel's kernel/bpf/hashtab.c. */
#define HASH_ELEMENT 48
#define HASH_BUCKET  16

/* The elements that take memory now: all, unless they are made as they are needed. */
static uint64_t count_elements(const struct bpf_map *map)
{
	CLEANUP_FREE void *key = NULL;
	uint64_t count = 0, most = bpf_map__max_entries(map);

	if (!(bpf_map__map_flags(map) & BPF_F_NO_PREALLOC))
		return most;
	key = malloc(bpf_map__key_size(map));
	for (void *from = NULL; key && count < most; from = key, count++)
		if (bpf_map_get_next_key(bpf_map__fd(map), from, key))
			break;
	return count;
}

static uint64_t computed_bytes(const struct bpf_map *map)
{
	uint64_t value = round_to_8(bpf_map__value_size(map)), buckets = 1;
	uint64_t count = count_elements(map);

	if (bpf_map__type(map) != BPF_MAP_TYPE_HASH)
		return value * count;
	while (buckets < bpf_map__max_entries(map))
		buckets *= 2;
	return buckets * HASH_BUCKET +
	       count * (HASH_ELEMENT + round_to_8(bpf_map__key_size(map)) + value);
}

static uint64_t map_bytes(const struct bpf_map *map)
{
	uint64_t stated = stated_bytes(bpf_map__fd(map)),
		 computed = computed_bytes(map);

	return stated > computed ? stated : computed;
}

/* A block's pages, and one for its header. */
static uint64_t block_bytes(void)
{
	return ALLOC_BLOCK * sizeof(struct record_chunk) + sysconf(_SC_PAGESIZE);
}

static uint64_t record_bytes(const struct alloc *alloc)
{
	uint64_t bytes = 0;

	for (int host = 1; host < ALLOC_HOSTS; host++)
		for (int group = 0; group < ALLOC_GROUPS; group++)
			if (alloc->hosts[host].chunk[group])
				bytes += sizeof(struct record_chunk);
	return bytes;
}

void alloc_memory(const struct alloc *alloc, struct alloc_memory *ret)
{
	const double slot = sizeof(struct tuple_slots) / 7.0;
	struct alloc_memory memory = {
		.per_port = sizeof(struct port_record),
		.per_shared = ceil(slot + sizeof(uint64_t) + sizeof(uint32_t)),
		.per_resting = ceil(slot + sizeof(struct alloc_rest)),
	};
	struct bpf_map *map;

	bpf_object__for_each_map(map, alloc->bpf->obj) memory.total += map_bytes(map);
	memory.total += alloc_count_blocks(alloc) * block_bytes();
	memory.records = record_bytes(alloc);
	memory.tuples = map_bytes(alloc->bpf->maps.buckets) +
			map_bytes(alloc->bpf->maps.limbo) +
			map_bytes(alloc->bpf->maps.limbo_peers) +
			map_bytes(alloc->bpf->maps.ring);
	*ret = memory;
}

/* ---- the outlook on one destination ---- */

struct outlook {
	const struct alloc *alloc;
	const struct alloc_space *space;
	const struct alloc_host *host;
	uint32_t destination;
	uint32_t now_ms;
};

enum tuple_state {
	TUPLE_IS_OPEN,
	TUPLE_IS_USED,
	TUPLE_IS_RESTING,
};

static enum tuple_state slots_find(const struct tuple_slots *bucket, uint64_t hash,
				   uint32_t now_ms)
{
	for (int i = 0; i < 7; i++) {
		uint64_t slot = bucket->slots[i];

		if (slot >> 33 != (hash >> 33 | 1))
			continue;
		if (!(slot >> 32 & 1))
			return TUPLE_IS_USED;
		if ((int32_t)((uint32_t)slot - now_ms) > 0)
			return TUPLE_IS_RESTING;
	}
	return TUPLE_IS_OPEN;
}

/* As tuple_find() of alloc_tuple.bpf.h. */
static enum tuple_state tuple_find(const struct outlook *outlook, uint32_t destination,
				   unsigned int port)
{
	uint64_t hash = pick_tuple(destination, outlook->space->host, port);
	uint32_t number = hash & (ALLOC_BUCKETS - 1);
	int map = bpf_map__fd(outlook->alloc->bpf->maps.buckets);
	enum tuple_state state = TUPLE_IS_OPEN;
	struct tuple_slots bucket = {.is_spilled = 1};

	for (int i = 0; i < 2 && !state && bucket.is_spilled; i++, number ^= 1) {
		if (bpf_map_lookup_elem(map, &number, &bucket))
			return TUPLE_IS_OPEN;
		state = slots_find(&bucket, hash, outlook->now_ms);
	}
	return state;
}

/* To a socket that is not bound: those that are count too. */
static enum tuple_state tuple_judge(const struct outlook *outlook, unsigned int port)
{
	enum tuple_state state = TUPLE_IS_OPEN;

	if (outlook->host->tuple_count)
		state = tuple_find(outlook, outlook->destination, port);
	if (!state && outlook->host->tuple_count && outlook->host->had_bound)
		state = tuple_find(outlook, pick_bound_mark(outlook->destination),
				   port);
	return state;
}

static uint32_t *port_judge(const struct outlook *outlook, unsigned int port,
			    struct alloc_outlook *counts)
{
	const struct port_record *record =
		alloc_record(outlook->alloc, outlook->space->chunk, port);
	enum tuple_state state;
	uint32_t print;

	if (!record || (record->mark & (RECORD_FOREIGN | RECORD_LISTENED)))
		return &counts->aside;
	print = PRINT(record->holder);
	if (USERS(record->counts) &&
	    ((record->mark & RECORD_EXCLUSIVE) || print == outlook->destination))
		return &counts->taken;
	state = tuple_judge(outlook, port);
	if (state)
		return state == TUPLE_IS_USED ? &counts->taken : &counts->resting;
	if (port_map_has(&outlook->space->unused, port))
		return &counts->unused;
	if (!USERS(record->counts))
		return &counts->aside;
	/* With sharing = never a rest holds its port. */
	if (!print &&
	    outlook->alloc->pools[outlook->space->pool].sharing == ALLOC_SHARING_NEVER)
		return &counts->resting;
	return &counts->shared;
}

static const struct alloc_space *space_find(const struct alloc *alloc, uint32_t pool,
					    uint64_t netns, uint8_t protocol)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		const struct alloc_space *space = &alloc->spaces[number];

		if (space->netns == netns && space->pool == pool &&
		    space->protocol == protocol)
			return space;
	}
	return NULL;
}

int alloc_outlook(struct alloc *alloc, uint32_t pool, uint64_t netns, uint8_t protocol,
		  const struct address *destination, uint16_t port,
		  struct alloc_outlook *ret)
{
	struct outlook outlook = {.alloc = alloc};
	struct alloc_outlook counts = {0};
	const struct port_map *members;
	struct timespec now;

	outlook.space = netns ? space_find(alloc, pool, netns, protocol) : NULL;
	if (!outlook.space)
		return -ENOENT;
	outlook.host = &alloc->hosts[outlook.space->host];
	outlook.destination = alloc_destination(alloc, destination, port);
	clock_gettime(CLOCK_BOOTTIME, &now);
	outlook.now_ms = now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
	members = &alloc->pools[pool].members;
	for (unsigned int i = 1024; i <= 65535; i++)
		if (port_map_has(members, i))
			++*port_judge(&outlook, i, &counts);
	*ret = counts;
	return 0;
}
