/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_lease.bpf.h - ports held by sockets, and tuples that rest after them.
 *
 * A port is held in this order, and let go in the reverse: its bit leaves `unused`;
 * its record names the first user; its users are counted. Later users (sharing)
 * count themselves only while the count is not zero, and stand in the tuple set. Who
 * brings the count to zero puts the bit back. No step needs a lock over the others.
 */
#ifndef ALLOC_LEASE_BPF_H
#define ALLOC_LEASE_BPF_H

#include "alloc/alloc_limbo.bpf.h"
#include "alloc/alloc_tuple.bpf.h"
#include "alloc/alloc_user.bpf.h"

/* In rest_flags too. */
#define LEASE_LISTENED 0x100 /* the socket was a listener */
#define LEASE_INSISTS  0x200 /* it has the port, and takes the tuple though it rests */
#define LEASE_NO_ROOM  0x400 /* a table is full: the kernel picks */
#define LEASE_NO_RING  0x800 /* the ring is full, of this user's rests */
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
	lease->peer = pick_destination(hash_secret(), address, port);
	lease->destination =
		source ? pick_bound_destination(hash_secret(), lease->peer, source)
		       : lease->peer;
}

static __always_inline __u64 holder_of(const struct lease *lease)
{
	__u64 print = lease->destination ? lease->destination : HOLDER_EXCLUSIVE;

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
	/* What was listened on user space returns, in its time. */
	if (record->mark & RECORD_LISTENED)
		return 1;
	if (space && is_member(space, port))
		port_map_give(&space->unused, port);
	return 1;
}

/* Has this moment (milliseconds, modulo) come? */
static __always_inline bool is_past(__u32 moment_ms, __u32 now)
{
	return (__s32)(moment_ms - now) <= 0;
}

/* The millisecond the lease's rest ends; never 0. */
static __always_inline __u32 rest_end_ms(const struct lease *lease)
{
	__u32 end = now_ms(lease->rest_until_ns) + 1;

	return end ? end : 1;
}

struct popped {
	struct alloc_rest rest;
	__u32 ok;
	__u32 reserved;
};

/*
 * Take the oldest rest off the ring when it is over, or (force) whatever it is. Those
 * that end before their elders are ended in their place, by ring_end().
 */
__noinline int ring_pop(struct popped *popped, __u64 now_ns, __u32 force)
{
	struct rest_ring *all = by_id(&ring, 0);

	if (!all || !popped || all->head == all->tail)
		return 0;
	bpf_spin_lock(&all->lock);
	if (all->head != all->tail) {
		__u64 place = all->head;
		struct alloc_rest *rest;

		PICK_BOUND(place, 131071);
		rest = &all->rests[place];
		if (force || is_past(rest->until_ms, now_ms(now_ns)) ||
		    (rest->flags & REST_IS_OVER)) {
			popped->rest = *rest;
			popped->ok = 1;
			all->head++;
		}
	}
	bpf_spin_unlock(&all->lock);
	return popped->ok;
}

/* End the rest at this place of the ring, if its time has come and it has not ended
 * yet. */
__noinline int ring_end(struct popped *popped, __u64 place, __u64 now_ns)
{
	struct rest_ring *all = by_id(&ring, 0);

	if (!all || !popped)
		return 0;
	bpf_spin_lock(&all->lock);
	if (place - all->head < all->tail - all->head) {
		struct alloc_rest *rest;

		PICK_BOUND(place, 131071);
		rest = &all->rests[place];
		if (is_past(rest->until_ms, now_ms(now_ns)) &&
		    !(rest->flags & REST_IS_OVER)) {
			popped->rest = *rest;
			popped->ok = 1;
			rest->flags |= REST_IS_OVER;
		}
	}
	bpf_spin_unlock(&all->lock);
	return popped->ok;
}

/* Take this place's rest before its time, for the destination it rests from. */
__noinline int ring_take(struct popped *popped, __u64 place, struct lease *lease)
{
	struct rest_ring *all = by_id(&ring, 0);

	if (!all || !popped || !lease)
		return 0;
	bpf_spin_lock(&all->lock);
	if (place - all->head < all->tail - all->head) {
		struct alloc_rest *rest;

		PICK_BOUND(place, 131071);
		rest = &all->rests[place];
		if (rest->destination == lease->destination &&
		    rest->space == lease->space && !(rest->flags & ~REST_PEER_OPEN)) {
			popped->rest = *rest;
			popped->ok = 1;
			rest->flags |= REST_IS_OVER;
		}
	}
	bpf_spin_unlock(&all->lock);
	return popped->ok;
}

/*
 * The rest ends: its port counts one rest less, and its tuple is open again, unless
 * it must go on resting without a place in the ring.
 */
__noinline int rest_end(struct popped *popped, __u32 keeps_tuple)
{
	struct tuple_request request = {};
	struct port_record *record;
	struct alloc_space *space;
	struct alloc_host *host;
	struct alloc_rest *rest;
	__u32 port;

	if (!popped || (popped->rest.flags & REST_IS_OVER))
		return 1;
	rest = &popped->rest;
	port = rest->port;
	host = by_id(&hosts, rest->host);
	space = by_id(&spaces, rest->space);
	if (host)
		__sync_fetch_and_add(&host->tuple_count, -1);
	if (space)
		__sync_fetch_and_add(&space->resting_count, -1);
	user_rest(rest->user, -1);
	if (rest->flags & REST_HOLDS_PORT)
		return port_unuse(rest->host, port, ONE_REST);
	record = record_of(rest->host, port);
	if (record)
		__sync_fetch_and_add(&record->counts, -ONE_REST);
	if (keeps_tuple)
		return 1;
	/* As of a moment before its end, or the set would call it over. */
	request.hash = pick_tuple(rest->destination, rest->host, port);
	request.value = rest->until_ms;
	request.now_ms = request.value - 2;
	tuple_change(&request, TUPLE_UNREST);
	dense_mark(rest->space, rest->destination, port, 1);
	return 1;
}

static __always_inline int rests_pop(__u64 now_ns)
{
	struct popped popped = {};

	if (!ring_pop(&popped, now_ns, 0))
		return 0;
	return rest_end(&popped, 0);
}

/*
 * So that the lease's rest finds a place, the oldest gives way.
 * Where the kernel would refuse its tuple, the tuple set goes on holding it. A user
 * who has a quarter of the ring does not make others' rests give way.
 */
static __always_inline void ring_make_room(struct lease *lease)
{
	struct rest_ring *all = by_id(&ring, 0);
	struct popped popped = {};
	struct alloc_user *user;

	if (!all || all->tail - all->head < ALLOC_RESTS - 64)
		return;
	user = user_at(user_of_all(lease->uid));
	if (user && (__s32)user->rests >= ALLOC_RESTS / 4)
		lease->rest_flags |= LEASE_NO_RING;
	if ((lease->rest_flags & LEASE_NO_RING) || !ring_pop(&popped, lease->now_ns, 1))
		return;
	if (!(popped.rest.flags & REST_IS_OVER) &&
	    !is_past(popped.rest.until_ms, now_ms(lease->now_ns)))
		STAT_ADD(pool_of_space(popped.rest.space), rests_cut_short, 1);
	rest_end(&popped, popped.rest.flags & REST_NOT_EARLY);
}

/* Put the tuple to rest: into the ring, and into the queue of a dense destination. */
__noinline int ring_push(struct lease *lease)
{
	struct rest_ring *all = by_id(&ring, 0);
	struct alloc_space *space;
	struct alloc_host *host;
	struct dense *dense;
	__u32 place = 0, ok = 0, user;

	if (!all || !lease)
		return 0;
	user = user_parent(lease->user);
	space = by_id(&spaces, lease->space);
	host = by_id(&hosts, lease->host);
	if (!space || !host)
		return 0;
	bpf_spin_lock(&all->lock);
	if (all->tail - all->head < ALLOC_RESTS) {
		__u64 at = all->tail;
		struct alloc_rest *rest;

		place = at;
		PICK_BOUND(at, 131071);
		rest = &all->rests[at];
		rest->destination = lease->destination;
		rest->until_ms = rest_end_ms(lease);
		rest->space = lease->space;
		rest->host = lease->host;
		rest->port = lease->port;
		rest->flags = lease->rest_flags & REST_FLAGS;
		rest->local = lease->local;
		rest->user = user;
		all->tail++;
		ok = 1;
	}
	bpf_spin_unlock(&all->lock);
	if (!ok)
		return 0;
	__sync_fetch_and_add(&host->tuple_count, 1);
	__sync_fetch_and_add(&space->resting_count, 1);
	user_rest(user, 1);
	STAT_ADD(space->pool, rests, 1);
	if (!space->dense_count || (lease->rest_flags & REST_FLAGS & ~REST_PEER_OPEN))
		return 1;
	dense = dense_find(lease->space, lease->destination);
	if (!dense || dense->state != DENSE_READY)
		return 1;
	bpf_spin_lock(&dense->lock);
	/* What ended in front makes room behind: the queue never outgrows the ring by
	 * much. */
	for (int i = 0; i < 2; i++) {
		__u64 front = dense->fifo_head;

		PICK_BOUND(front, 32767);
		if (dense->fifo_head != dense->fifo_tail &&
		    (__u32)(dense->fifo[front] - (__u32)all->head) >=
			    (__u32)(all->tail - all->head))
			dense->fifo_head++;
	}
	/* Once one is missing, those after it are too: the order holds. */
	if (dense->fifo_tail - dense->fifo_head >= ALLOC_FIFO)
		dense->fifo_missed |= FIFO_MISSED;
	if (!dense->fifo_missed) {
		__u64 at = dense->fifo_tail;

		PICK_BOUND(at, 32767);
		dense->fifo[at] = place;
		dense->fifo_tail++;
	}
	bpf_spin_unlock(&dense->lock);
	return 1;
}

/*
 * The tuple rests. The caller still counts as a user of the port, and stops
 * being one next, unless the rest holds the port.
 */
__noinline int lease_rest(struct lease *lease)
{
	struct tuple_request request = {};
	struct port_record *record;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record)
		return 0;
	if (RESTING(record->counts) >= RECORD_COUNT_MAX ||
	    ((lease->rest_flags & LEASE_NO_RING) &&
	     (lease->rest_flags & (REST_NOT_EARLY | REST_HOLDS_PORT)) !=
		     REST_NOT_EARLY)) {
		STAT_ADD(pool_of_space(lease->space), rests_cut_short, 1);
		return 0;
	}
	request.hash = pick_tuple(lease->destination, lease->host, lease->port);
	request.value = rest_end_ms(lease);
	request.now_ms = now_ms(lease->now_ns);
	if (!(lease->rest_flags & REST_HOLDS_PORT) &&
	    tuple_change(&request, TUPLE_REST))
		return 0;
	/* The kernel would refuse the tuple: it rests in the set, without a place in
	 * the ring. */
	if (lease->rest_flags & LEASE_NO_RING)
		return 1;
	__sync_fetch_and_add(&record->counts, ONE_REST);
	if (ring_push(lease))
		return 1;
	__sync_fetch_and_add(&record->counts, -ONE_REST);
	STAT_ADD(pool_of_space(lease->space), rests_cut_short, 1);
	return 0;
}

/*
 * Stand in limbo, and where it is bound to an address, in the destination's bound
 * mark. 0: there is no room, and nothing is changed.
 */
__noinline int tuple_enter(struct lease *lease, struct tuple_request *request)
{
	struct alloc_host *host;
	int err;

	if (!lease || !request)
		return 0;
	host = by_id(&hosts, lease->host);
	if (!host)
		return 0;
	if (!limbo_add(lease->cookie, lease->destination, lease->peer)) {
		lease->rest_flags |= LEASE_NO_ROOM;
		return 0;
	}
	if (is_bound(lease)) {
		host->had_bound = 1;
		request->hash = pick_tuple(pick_bound_mark(lease->peer), lease->host,
					   lease->port);
		request->now_ms = now_ms(lease->now_ns);
		err = tuple_change(request, TUPLE_JOIN);
		if (err) {
			if (err == -28)
				lease->rest_flags |= LEASE_NO_ROOM;
			limbo_take(lease->cookie);
			return 0;
		}
	}
	__sync_fetch_and_add(&host->tuple_count, 1);
	__sync_fetch_and_add(&sharer_count, 1);
	user_share(lease->user, 1);
	return 1;
}

/* Undo that; the socket's word is out of limbo already. */
__noinline int tuple_leave(struct lease *lease, __u32 rests, __u32 is_first)
{
	struct tuple_request request = {};
	struct alloc_host *host;

	if (!lease)
		return 0;
	request.now_ms = now_ms(lease->now_ns);
	if (!rests && !is_first) {
		request.hash = pick_tuple(lease->destination, lease->host, lease->port);
		request.value = lease->cookie;
		tuple_change(&request, TUPLE_REMOVE);
	}
	if (is_bound(lease)) {
		request.hash = pick_tuple(pick_bound_mark(lease->peer), lease->host,
					  lease->port);
		request.value = rests ? rest_end_ms(lease) : 0;
		tuple_change(&request, TUPLE_LEAVE);
	}
	host = by_id(&hosts, lease->host);
	if (host)
		__sync_fetch_and_add(&host->tuple_count, -1);
	__sync_fetch_and_add(&sharer_count, -1);
	user_share(lease->user, -1);
	return 1;
}

/*
 * Does the socket stand in limbo? Then the lease has the destination under which it
 * does. takes: its word is taken out, so that no other close counts.
 */
__noinline int lease_recall(struct lease *lease, __u32 takes)
{
	struct limbo_bucket *bucket;
	struct limbo_peers *peers;
	__u32 place, slot;

	if (!lease)
		return 0;
	place = limbo_find(lease->cookie);
	if (!place)
		return 0;
	slot = (place - 1) % ALLOC_LIMBO_SLOTS;
	bucket = by_id(&limbo, (place - 1) / ALLOC_LIMBO_SLOTS);
	peers = by_id(&limbo_peers, (place - 1) / ALLOC_LIMBO_SLOTS);
	if (!bucket || !peers)
		return 0;
	lease->destination = bucket->words[slot];
	lease->peer = peers->peers[slot];
	return !takes || limbo_take(lease->cookie);
}

/* True when the socket shares a port of this host, under the destination it had. */
static __always_inline bool lease_is_shared(struct lease *lease)
{
	struct alloc_host *host = by_id(&hosts, lease->host);

	return host && host->tuple_count && lease_recall(lease, 0);
}

/*
 * What a listener accepted, and its TIME_WAIT, hold the port on after it, to all
 * destinations: it stays out until user space finds no socket on it.
 */
static __always_inline int port_cool(struct port_record *record, struct lease *lease)
{
	struct alloc_space *space = by_id(&spaces, lease->space);

	record->holder = 0;
	record->closed_s = record_clock(lease->now_ns);
	STAT_ADD(pool_of_space(lease->space), releases, 1);
	user_hold(lease->user, -1);
	/* Nobody would look after it. */
	if (!space || space->is_dropped)
		return port_unuse(lease->host, lease->port, 0);
	record_mark(record, RECORD_FOREIGN);
	return 1;
}

/*
 * The socket lets go of its port. Returns 1 where the lease was its own; another's
 * (told by the cookie) is left alone.
 */
__noinline int lease_end(struct lease *lease)
{
	struct port_record *record;
	struct alloc_host *host;
	bool is_first, in_limbo, rests = false;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	host = by_id(&hosts, lease->host);
	if (!host || !record || !USERS(record->counts) ||
	    (record->mark & RECORD_FOREIGN))
		return 0;
	is_first = is_held_by(record, lease->cookie);
	in_limbo = host->tuple_count && (!is_first || (record->mark & RECORD_BOUND)) &&
		   lease_recall(lease, 1);
	if (!is_first && !in_limbo)
		return 0;
	/* Entered as not bound, so it rests from all addresses. */
	if (!in_limbo)
		lease->destination = lease->peer;
	lease->space = record_space(record);
	if (lease->uid)
		lease->user = user_of_space(lease->uid, lease->space);
	if ((record->mark & RECORD_EXCLUSIVE) && (lease->rest_flags & LEASE_LISTENED))
		return port_cool(record, lease);
	if (lease->rest_until_ns) {
		ring_make_room(lease);
		rests = lease_rest(lease);
	}
	/* Who had it last stays written, for the socket that connects again. */
	if (is_first)
		record->holder = (__u32)lease->cookie;
	if (in_limbo)
		tuple_leave(lease, rests, is_first);
	if (!rests)
		dense_mark(lease->space, lease->destination, lease->port, 1);
	record->closed_s = record_clock(lease->now_ns);
	user_hold(lease->user, -1);
	if (!rests || !(lease->rest_flags & REST_HOLDS_PORT))
		port_unuse(lease->host, lease->port, 0);
	STAT_ADD(pool_of_space(lease->space), releases, 1);
	return 1;
}

/* ---- holding ---- */

/* Become the first user of a port that nobody uses. */
__noinline int port_claim(struct lease *lease)
{
	struct tuple_request request = {};
	struct alloc_space *space;
	struct port_record *record;
	__u32 mark;
	__u64 was;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	if (!space)
		return 0;
	record = record_in(space->chunk, lease->port);
	if (!record || !port_map_take(&space->unused, lease->port))
		return 0;
	/* Held through another pool, or a listener's: its bit stays out until free. */
	was = record->holder;
	if (USERS(record->counts) || PRINT(was) || (record->mark & RECORD_LISTENED) ||
	    __sync_val_compare_and_swap(&record->holder, was, holder_of(lease)) !=
		    was) {
		/* What a program bound is given back here when it closes. */
		if ((record->mark & RECORD_PROGRAM) && !record_space(record))
			record_mark(record, lease->space);
		return 0;
	}
	mark = lease->space;
	if (!lease->destination)
		mark |= RECORD_EXCLUSIVE;
	if (is_bound(lease))
		mark |= RECORD_BOUND;
	/* A socket that begins to listen may mark the port meanwhile. */
	record_unmark(record, 0xffff & ~RECORD_LISTENED);
	record_mark(record, mark);
	if (record->mark & RECORD_LISTENED) {
		record->holder = was;
		return 0;
	}
	if (is_bound(lease) && !tuple_enter(lease, &request)) {
		record->holder = was;
		port_map_give(&space->unused, lease->port);
		return 0;
	}
	__sync_fetch_and_add(&record->counts, 1);
	user_hold(lease->user, 1);
	return 1;
}

/* Has a socket that is bound the other way (or not) the same tuple? Asked after ours
 * is entered, so that of two that meet one at least sees the other. */
static __always_inline bool tuple_meets_other(const struct lease *lease,
					      const struct alloc_host *host)
{
	__u32 other = is_bound(lease) ? lease->peer : pick_bound_mark(lease->peer);
	int found;

	if (!is_bound(lease) && !host->had_bound)
		return false;
	found = tuple_find(pick_tuple(other, lease->host, lease->port),
			   now_ms(lease->now_ns));
	return found == TUPLE_IN_USE || (found && !(lease->rest_flags & LEASE_INSISTS));
}

/* A sharer that counts as a user already enters its tuple. */
static __always_inline int share_enter(struct lease *lease,
				       const struct alloc_host *host, __u64 print)
{
	struct tuple_request request = {};
	int err;

	if (print && (print == lease->destination || print == lease->peer))
		return 0;
	request.hash = pick_tuple(lease->destination, lease->host, lease->port);
	request.value = lease->cookie;
	request.now_ms = now_ms(lease->now_ns);
	err = tuple_change(&request,
			   lease->rest_flags & LEASE_INSISTS ? TUPLE_TAKE : TUPLE_ADD);
	if (err == -28)
		lease->rest_flags |= LEASE_NO_ROOM;
	if (err)
		return 0;
	if (!tuple_enter(lease, &request)) {
		request.hash = pick_tuple(lease->destination, lease->host, lease->port);
		tuple_change(&request, TUPLE_REMOVE);
		return 0;
	}
	if (!tuple_meets_other(lease, host))
		return 1;
	if (limbo_take(lease->cookie))
		tuple_leave(lease, 0, 0);
	return 0;
}

/* Become one more user of a port in use; only where the tuple is open. */
__noinline int port_share(struct lease *lease)
{
	struct port_record *record;
	struct alloc_host *host;
	__u32 counts, user;
	int entered;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	host = by_id(&hosts, lease->host);
	if (!record || !host)
		return 0;
	counts = record->counts;
	if (!USERS(counts) || USERS(counts) >= RECORD_COUNT_MAX ||
	    (record->mark & (RECORD_FOREIGN | RECORD_EXCLUSIVE | RECORD_LISTENED)))
		return 0;
	if (__sync_val_compare_and_swap(&record->counts, counts, counts + 1) != counts)
		return 0;
	/* Of two pools that overlap, the one that took the port counts its users. */
	user = lease->user;
	if (user && record_space(record) != lease->space)
		lease->user = user_of_space(lease->uid, record_space(record));
	entered = share_enter(lease, host, PRINT(record->holder));
	if (entered)
		user_hold(lease->user, 1);
	else
		port_unuse(lease->host, lease->port, 0);
	lease->user = user;
	return entered;
}

/*
 * The port's first user goes elsewhere (connect() again): the record follows. Where
 * there is no room for a bound one's mark it goes without.
 */
__noinline int lease_move(struct lease *lease)
{
	struct tuple_request request = {};
	__u32 destination, peer, mark;
	struct port_record *record;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record)
		return 0;
	destination = lease->destination;
	peer = lease->peer;
	if ((record->mark & RECORD_BOUND) && lease_recall(lease, 1))
		tuple_leave(lease, 0, 1);
	record_unmark(record, RECORD_BOUND);
	lease->destination = destination;
	lease->peer = peer;
	record->holder = holder_of(lease);
	mark = is_bound(lease) && tuple_enter(lease, &request) ? RECORD_BOUND : 0;
	if (mark)
		record_mark(record, mark);
	return 1;
}

/*
 * Something else holds the port we just took: keep it out, on nobody's account.
 * Where we only shared it, that is undone.
 */
__noinline int lease_set_aside(struct lease *lease, __u32 flags)
{
	struct port_record *record;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record)
		return 0;
	if (record->holder != holder_of(lease) || USERS(record->counts) != 1)
		return lease_end(lease);
	record_mark(record, RECORD_FOREIGN | flags);
	if ((record->mark & RECORD_BOUND) && lease_recall(lease, 1))
		tuple_leave(lease, 0, 1);
	record->holder = 0;
	user_hold(lease->user, -1);
	return 1;
}

#endif /* ALLOC_LEASE_BPF_H */
