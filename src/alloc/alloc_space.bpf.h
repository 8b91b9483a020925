/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_space.bpf.h - what a pool has of a network namespace and protocol, made at
 * its first use there.
 */
#ifndef ALLOC_SPACE_BPF_H
#define ALLOC_SPACE_BPF_H

#include "alloc/alloc_maps.bpf.h"

static __always_inline bool space_fits(const struct alloc_space *space, __u64 netns,
				       __u32 pool, __u32 protocol)
{
	return space->netns == netns && space->pool == pool &&
	       space->protocol == protocol;
}

/* The number of the host, made where it is missing; 0: the table is full. */
__noinline int host_make(__u64 netns, __u32 protocol)
{
	struct alloc_host_key key = {.netns = netns, .protocol = protocol};
	__u32 *known = bpf_map_lookup_elem(&host_ids, &key), number = 0;
	struct alloc_host *host;

	if (known)
		return *known;
	if (bpf_map_pop_elem(&free_hosts, &number))
		return 0;
	host = by_id(&hosts, number);
	if (!host)
		return 0;
	host->netns = netns;
	host->protocol = protocol;
	if (!bpf_map_update_elem(&host_ids, &key, &number, BPF_NOEXIST))
		return number;
	bpf_map_push_elem(&free_hosts, &number, 0);
	known = bpf_map_lookup_elem(&host_ids, &key);
	return known ? *known : 0;
}

struct chunking {
	__u32 host;
	__u32 space;
	__u32 pool;
	__u32 failed;
};

/* Give the space the records of one group of 1,024 ports, if the pool has any there. */
static long chunk_make(__u32 i, void *arg)
{
	struct chunking *chunking = arg;
	struct alloc_space *space = by_id(&spaces, chunking->space);
	struct alloc_host *host = by_id(&hosts, chunking->host);
	struct alloc_pool *pool = by_id(&pools, chunking->pool);
	__u64 group = i, quarter = (__u64)i << 2;
	__u32 number;

	if (!space || !host || !pool)
		return 1;
	PICK_BOUND(group, 63);
	PICK_BOUND(quarter, 252);
	if (!(pool->members.per_256[quarter] | pool->members.per_256[quarter + 1] |
	      pool->members.per_256[quarter + 2] | pool->members.per_256[quarter + 3]))
		return 0;
	if (!host->chunk[group]) {
		if (bpf_map_pop_elem(&free_chunks, &number)) {
			chunking->failed = 1;
			return 1;
		}
		if (__sync_val_compare_and_swap(&host->chunk[group], 0, number))
			bpf_map_push_elem(&free_chunks, &number, 0);
	}
	space->chunk[group] = host->chunk[group];
	return 0;
}

/* The number of the space, made where it is missing; 0: a table is full. */
__noinline int space_make(__u64 netns, __u32 pool, __u32 protocol)
{
	struct alloc_space_key key = {
		.netns = netns, .pool = pool, .protocol = protocol};
	__u32 *known = bpf_map_lookup_elem(&space_ids, &key), number = 0;
	struct chunking chunking = {.pool = pool};
	struct alloc_space *template, *space;

	if (known)
		return *known;
	template = by_id(&templates, pool);
	chunking.host = host_make(netns, protocol);
	if (!template || !chunking.host || bpf_map_pop_elem(&free_spaces, &number))
		return 0;
	chunking.space = number;
	space = by_id(&spaces, number);
	if (!space || bpf_map_update_elem(&spaces, &number, template, BPF_ANY))
		return 0;
	space->pool = pool;
	space->protocol = protocol;
	space->host = chunking.host;
	bpf_loop(ALLOC_GROUPS, chunk_make, &chunking, 0);
	if (!chunking.failed) {
		space->netns = netns;
		if (!bpf_map_update_elem(&space_ids, &key, &number, BPF_NOEXIST))
			return number;
	}
	space->netns = 0;
	bpf_map_push_elem(&free_spaces, &number, 0);
	known = bpf_map_lookup_elem(&space_ids, &key);
	return known ? *known : 0;
}

/* The space of this attachment's pool in the socket's namespace, 0: none. */
static __always_inline __u32 space_of(struct alloc_attachment *attachment, __u64 netns,
				      __u32 protocol)
{
	__u32 *last = protocol == IPPROTO_TCP_NUMBER ? &attachment->space_tcp
						     : &attachment->space_udp;
	__u32 number = *last, pool = attachment->pool;
	struct alloc_space *space = by_id(&spaces, number);

	if (space && space_fits(space, netns, pool, protocol))
		return number;
	number = space_make(netns, pool, protocol);
	if (!number)
		STAT_ADD(table_full, 1);
	*last = number;
	return number;
}

#endif /* ALLOC_SPACE_BPF_H */
