/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_lease.bpf.h - what a socket asks for or has (struct lease), and what the tables
 * say of it: records, pools, users, maps of dense destinations.
 */
#ifndef ALLOC_LEASE_BPF_H
#define ALLOC_LEASE_BPF_H

#include "alloc/alloc_limbo.bpf.h"
#include "alloc/alloc_tuple.bpf.h"
#include "alloc/alloc_user.bpf.h"

/* In rest_flags too. */
#define LEASE_LISTENED 0x100  /* the socket was a listener */
#define LEASE_INSISTS  0x200  /* it has the port, and takes the tuple though it rests */
#define LEASE_NO_ROOM  0x400  /* a table is full: the kernel picks */
#define LEASE_NO_RING  0x800  /* the ring is full, of this user's rests */
#define LEASE_WAITS    0x8000 /* TIME_WAIT may be left behind */
#define LEASE_LOOPBACK 0x10000 /* the destination is this host */
#define LEASE_UNSHARED 0x20000 /* no port is shared now, whatever the pool says */

/* A socket that asks for a port, or has one. */
struct lease {
	__u32 destination; /* pick_destination(), of a bound socket
			      pick_bound_destination(); 0: none, the port is for this
			      socket alone */
	__u32 peer;	   /* pick_destination(), bound or not */
	__u64 cookie;
	__u64 now_ns;
	__u32 space;
	__u32 host;
	__u32 port;
	__u32 rest_flags;
	__u64 rest_until_ns; /* when let go: 0, or until when the tuple rests */
	__u32 local;	     /* IPv4 address of our side, where a rest needs it */
	__u32 uid;	     /* of the socket */
	__u32 user;	     /* user_of(uid) in the pool's namespace */
	__u32 reserved;
};

static __always_inline bool is_bound(const struct lease *lease)
{
	return lease->destination != lease->peer;
}

/* Where the socket goes, from the address source (NULL: not bound to one). */
static __always_inline void lease_aim(struct lease *lease, const __u32 *address,
				      __be16 port, const __u32 *source)
{
	/* Bound to 0.0.0.0 as v4-mapped: the kernel calls it bound, and it is not. */
	if (source && !(source[0] | source[1] | source[3]) &&
	    (!source[2] || source[2] == bpf_htonl(0xffff)))
		source = NULL;
	lease->peer = pick_destination(hash_secret(), address, port);
	lease->destination =
		source ? pick_bound_destination(hash_secret(), lease->peer, source)
		       : lease->peer;
}

static __always_inline __u64 holder_of(const struct lease *lease)
{
	__u64 print =
		lease->destination ? lease->destination : HOLDER_EXCLUSIVE(lease->uid);

	return print << 32 | (__u32)lease->cookie;
}

/* Is this socket the port's first user? */
static __always_inline bool is_held_by(const struct port_record *record, __u32 cookie)
{
	__u64 holder = record->holder;

	return USERS(record->counts) && PRINT(holder) && (__u32)holder == cookie;
}

static __always_inline struct port_record *record_in(const __u32 *chunk_ids, __u64 port)
{
	__u64 group = port >> 10, place = port;
	struct record_chunk *chunk;
	void *block;
	__u32 number;

	PICK_BOUND(group, 63);
	PICK_BOUND(place, 1023);
	number = chunk_ids[group];
	if (!number)
		return NULL;
	block = by_id(&chunks, number / ALLOC_BLOCK);
	if (!block)
		return NULL;
	chunk = by_id(block, number % ALLOC_BLOCK);
	if (!chunk)
		return NULL;
	/* Or clang moves the sum before the test, which the verifier refuses. */
	PICK_OPAQUE(chunk);
	return &chunk->records[place];
}

static __always_inline struct port_record *record_of(__u32 host_number, __u32 port)
{
	struct alloc_host *host = by_id(&hosts, host_number);

	return host ? record_in(host->chunk, port) : NULL;
}

static __always_inline bool is_member(const struct alloc_space *space, __u32 port)
{
	struct alloc_pool *pool = by_id(&pools, space->pool);

	return pool && port_map_has(&pool->members, port);
}

/* How the pool shares the ports of this protocol (enum alloc_sharing). */
static __always_inline __u32 sharing_of(const struct alloc_pool *pool, __u32 protocol)
{
	if (protocol == IPPROTO_TCP_NUMBER)
		return pool->sharing;
	return pool->udp_shares ? ALLOC_SHARING_WHEN_FULL : ALLOC_SHARING_NEVER;
}

/* Do tuples of this protocol rest, or share ports? */
static __always_inline bool knows_tuples(const struct alloc_pool *pool, __u32 protocol)
{
	return protocol == IPPROTO_TCP_NUMBER || pool->udp_shares ||
	       pool->quarantine_all;
}

/* Does each local address have its own port space? Not where ports are not shared. */
static __always_inline bool knows_sources(const struct alloc_pool *pool, __u32 protocol)
{
	return sharing_of(pool, protocol) != ALLOC_SHARING_NEVER ||
	       (protocol != IPPROTO_TCP_NUMBER && pool->quarantine_all);
}

static __always_inline bool space_shares(const struct alloc_space *space)
{
	struct alloc_pool *pool = by_id(&pools, space->pool);

	return pool && sharing_of(pool, space->protocol) != ALLOC_SHARING_NEVER;
}

/*
 * Nothing is shared in a space before user space has listed what others hold there.
 */
static __always_inline bool space_is_listed(const struct alloc_space *space)
{
	return space->is_listed;
}

/*
 * Does this user have all it may of the pool (quota), or, where the table of sharers
 * is three quarters full, a quarter of it? Then the kernel picks, for this user alone.
 */
static __always_inline bool user_is_over(const struct lease *lease,
					 const struct alloc_pool *pool)
{
	struct alloc_user *user = user_at(lease->user), *all;
	const __u32 room = ALLOC_LIMBO * ALLOC_LIMBO_SLOTS;

	if (!lease->user)
		return false;
	if (!user)
		return true; /* the table of users is full */
	if (pool->quota && (__s32)user->held >= (__s32)pool->quota)
		return true;
	if (sharer_count < room / 4 * 3)
		return false;
	all = user_at(user->parent);
	return all && (__s32)all->shared >= (__s32)(room / 4);
}

/* ---- dense destinations: what is open to them ---- */

static __always_inline struct dense *dense_find(__u32 space, __u32 destination)
{
	struct dense_key key = {.destination = destination, .space = space};
	__u32 *number = bpf_map_lookup_elem(&dense_ids, &key);

	return number ? by_id(&denses, *number) : NULL;
}

/* The tuple may be given (again), or is taken; for a destination that is dense. */
__noinline int dense_mark(__u32 space_number, __u32 destination, __u32 port,
			  __u32 is_open)
{
	struct alloc_space *space = by_id(&spaces, space_number);
	struct dense *dense;

	if (!space || !space->dense_count)
		return 0;
	dense = dense_find(space_number, destination);
	if (!dense)
		return 0;
	if (!is_open)
		port_map_take(&dense->open, port);
	else if (is_member(space, port))
		port_map_give(&dense->open, port);
	return 0;
}

/* ---- letting go ---- */

/* One user less; the last one returns the port. */
__noinline int port_unuse(__u32 host_number, __u32 port, __u32 also_off_counts)
{
	struct port_record *record = record_of(host_number, port);
	struct alloc_space *space;
	__u32 was;

	if (!record)
		return 0;
	was = __sync_fetch_and_add(&record->counts, -(1 + also_off_counts));
	if (USERS(was) != 1)
		return 0;
	space = by_id(&spaces, record_space(record));
	/* What a program listens on, or bound too, user space returns in its time. */
	if (record->mark & (RECORD_LISTENED | RECORD_PROGRAM))
		return 1;
	if (space && is_member(space, port))
		port_map_give(&space->unused, port);
	return 1;
}

#endif /* ALLOC_LEASE_BPF_H */
