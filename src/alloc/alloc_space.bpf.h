/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_space.bpf.h - what a pool has of a network namespace and protocol, made at
 * its first use there.
 */
#ifndef ALLOC_SPACE_BPF_H
#define ALLOC_SPACE_BPF_H

#include "alloc/alloc_user.bpf.h"

static __always_inline bool space_fits(const struct alloc_space *space, __u64 netns,
				       __u32 pool, __u32 protocol)
{
	return space->netns == netns && space->pool == pool &&
	       space->protocol == protocol;
}

/* The number of the host, made where it is missing; 0: the table is full. */
__noinline int host_make(__u64 netns, __u32 protocol, __u32 maker)
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
	host->maker = maker;
	if (!bpf_map_update_elem(&host_ids, &key, &number, BPF_NOEXIST))
		return number;
	bpf_map_push_elem(&free_hosts, &number, 0);
	known = bpf_map_lookup_elem(&host_ids, &key);
	return known ? *known : 0;
}

struct chunking {
	__u32 host;
	__u32 pool;
	__u32 failed;
	__u32 reserved;
};

/* Has the maker its part of the chunks? */
static __always_inline bool user_has_chunks(__u32 maker)
{
	struct alloc_user *user = user_at(maker);

	return user && user->chunks >= ALLOC_CHUNKS / ALLOC_USER_PART;
}

static __noinline int user_take_chunk(__u32 maker)
{
	struct alloc_user *user = user_at(maker);

	if (user)
		__sync_fetch_and_add(&user->chunks, 1);
	return 0;
}

/* Give the host the records of one group of 1,024 ports, if the pool has any there. */
static long chunk_make(__u32 i, void *arg)
{
	struct chunking *chunking = arg;
	struct alloc_host *host = by_id(&hosts, chunking->host);
	struct alloc_pool *pool = by_id(&pools, chunking->pool);
	__u64 group = i, quarter = (__u64)i << 2;
	__u32 number;

	if (!host || !pool)
		return 1;
	PICK_BOUND(group, 63);
	PICK_BOUND(quarter, 252);
	if (host->chunk[group] ||
	    !(pool->members.per_256[quarter] | pool->members.per_256[quarter + 1] |
	      pool->members.per_256[quarter + 2] | pool->members.per_256[quarter + 3]))
		return 0;
	if (user_has_chunks(host->maker) || bpf_map_pop_elem(&free_chunks, &number)) {
		chunking->failed = 1;
		return 1;
	}
	if (__sync_val_compare_and_swap(&host->chunk[group], 0, number)) {
		bpf_map_push_elem(&free_chunks, &number, 0);
		return 0;
	}
	__sync_fetch_and_add(&host->chunk_count, 1);
	user_take_chunk(host->maker);
	return 0;
}

struct filling {
	__u32 space;
	__u32 pool;
	__u32 host;
	__u32 reserved;
};

/* All ports of the pool are unused in a new space. */
static long space_fill(__u32 i, void *arg)
{
	struct filling *filling = arg;
	struct alloc_space *space = by_id(&spaces, filling->space);
	struct alloc_host *host = by_id(&hosts, filling->host);
	struct alloc_pool *pool = by_id(&pools, filling->pool);
	__u64 group = i, super = i;

	if (!space || !host || !pool || i >= 1024)
		return 1;
	space->unused.words[i] = pool->members.words[i];
	if (i < 256)
		space->unused.per_256[i] = pool->members.per_256[i];
	PICK_BOUND(group, 63);
	space->chunk[group] = host->chunk[group];
	PICK_BOUND(super, 15);
	space->unused.per_4096[super] = pool->members.per_4096[super];
	space->unused.count = pool->members.count;
	return 0;
}

/* One more space on the maker's account, unless it has its part of all. */
static __always_inline bool user_take_space(__u32 maker)
{
	struct alloc_user *user = user_at(maker);

	if (!user)
		return true;
	if (user->spaces >= ALLOC_SPACES / ALLOC_USER_PART)
		return false;
	__sync_fetch_and_add(&user->spaces, 1);
	return true;
}

static __always_inline void user_return_space(__u32 maker)
{
	struct alloc_user *user = user_at(maker);

	if (user)
		__sync_fetch_and_add(&user->spaces, -1);
}

/* Once the host has all its records: make the space. 0: a table is full. */
__noinline int space_add(__u64 netns, __u32 pool, __u32 protocol, __u32 host,
			 __u32 maker)
{
	struct alloc_space_key key = {
		.netns = netns, .pool = pool, .protocol = protocol};
	struct filling filling = {.pool = pool, .host = host};
	__u32 *known, number = 0;
	struct alloc_space *space;

	if (!user_take_space(maker))
		return 0;
	if (!bpf_map_pop_elem(&free_spaces, &number)) {
		space = by_id(&spaces, number);
		if (!space)
			return 0;
		filling.space = number;
		space->pool = pool;
		space->protocol = protocol;
		space->host = host;
		space->maker = maker;
		space->is_listed = 0;
		bpf_loop(1024, space_fill, &filling, 0);
		space->netns = netns;
		if (!bpf_map_update_elem(&space_ids, &key, &number, BPF_NOEXIST))
			return number;
		space->netns = 0;
		bpf_map_push_elem(&free_spaces, &number, 0);
	}
	user_return_space(maker);
	known = bpf_map_lookup_elem(&space_ids, &key);
	return known ? *known : 0;
}

/*
 * The number of the space, made where it is missing; 0: a table is full, or the user
 * (uid) for whom it would be made has its part of one.
 */
__noinline int space_make(__u64 netns, __u32 pool, __u32 protocol, __u32 uid)
{
	struct alloc_space_key key = {
		.netns = netns, .pool = pool, .protocol = protocol};
	__u32 *known = bpf_map_lookup_elem(&space_ids, &key);
	struct chunking chunking = {.pool = pool};
	int maker;

	if (known)
		return *known;
	maker = user_of_all(uid);
	if (maker < 0)
		return 0;
	chunking.host = host_make(netns, protocol, maker);
	if (!chunking.host)
		return 0;
	bpf_loop(ALLOC_GROUPS, chunk_make, &chunking, 0);
	if (chunking.failed)
		return 0;
	return space_add(netns, pool, protocol, chunking.host, maker);
}

/* The space of the pool in the socket's namespace, 0: none. */
static __always_inline __u32 space_of(struct alloc_attachment *attachment, __u32 pool,
				      __u64 netns, __u32 protocol, __u32 uid)
{
	__u32 *last = protocol == IPPROTO_TCP_NUMBER ? &attachment->space_tcp
						     : &attachment->space_udp;
	__u32 number = *last;
	struct alloc_space *space = by_id(&spaces, number);

	if (space && space_fits(space, netns, pool, protocol))
		return number;
	number = space_make(netns, pool, protocol, uid);
	*last = number;
	return number;
}

#endif /* ALLOC_SPACE_BPF_H */
