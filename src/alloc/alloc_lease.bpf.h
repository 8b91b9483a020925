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

#include "alloc/alloc_tuple.bpf.h"

/* In rest_flags too. */
#define LEASE_LISTENED 0x100 /* the socket was a listener */
#define LEASE_INSISTS  0x200 /* it has the port, and takes the tuple though it rests */

/* A socket that asks for a port, or has one. */
struct lease {
	__u64 destination; /* pick_destination(); 0: none, the port is for this socket
			      alone */
	__u64 cookie;
	__u64 now_ns;
	__u32 space;
	__u32 host;
	__u32 port;
	__u32 rest_flags;
	__u64 rest_until_ns; /* when let go: 0, or until when the tuple rests */
	__u32 local[4];	     /* address of our side, where a rest needs it */
};

#define USERS(counts)	((__u32)(counts))
#define ONE_REST	(1ULL << 32)
#define RESTING(counts) ((counts) >> 32)

static __always_inline __u64 holder_of(const struct lease *lease)
{
	return lease->destination << 32 | (__u32)lease->cookie;
}

static __always_inline struct port_record *record_in(const __u32 *chunk_ids, __u64 port)
{
	__u64 group = port >> 10, place = port;
	struct record_chunk *chunk;

	PICK_BOUND(group, 63);
	PICK_BOUND(place, 1023);
	if (!chunk_ids[group])
		return NULL;
	chunk = by_id(&chunks, chunk_ids[group]);
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

/* ---- dense destinations: what is open to them ---- */

static __always_inline struct dense *dense_find(__u32 space, __u64 destination)
{
	struct dense_key key = {.destination = destination, .space = space};
	__u32 *number = bpf_map_lookup_elem(&dense_ids, &key);

	return number ? by_id(&denses, *number) : NULL;
}

/* The tuple may be given (again), or is taken; for a destination that is dense. */
__noinline int dense_mark(__u32 space_number, __u64 destination, __u32 port,
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
__noinline int port_unuse(__u32 host_number, __u32 port, __u64 also_off_counts)
{
	struct port_record *record = record_of(host_number, port);
	struct alloc_space *space;
	__u64 was;

	if (!record)
		return 0;
	was = __sync_fetch_and_add(&record->counts, -(1 + also_off_counts));
	if (USERS(was) != 1)
		return 0;
	space = by_id(&spaces, record->space);
	if (space && is_member(space, port))
		port_map_give(&space->unused, port);
	return 1;
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
		if (force || rest->until_ns <= now_ns || (rest->flags & REST_IS_OVER)) {
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
		if (rest->until_ns <= now_ns && !(rest->flags & REST_IS_OVER)) {
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
	struct tuple_request request = {.op = TUPLE_UNREST};
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
	if (rest->flags & REST_HOLDS_PORT)
		return port_unuse(rest->host, port, ONE_REST);
	record = record_of(rest->host, port);
	if (record)
		__sync_fetch_and_add(&record->counts, -ONE_REST);
	if (keeps_tuple)
		return 1;
	/* As of a moment before its end, or the set would call it over. */
	request.hash = pick_tuple(rest->destination, rest->host, port);
	request.value = now_ms(rest->until_ns) + 1;
	request.now_ms = request.value - 2;
	tuple_change(&request);
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
 * Called before a lease ends, so that its rest finds a place: the oldest gives way.
 * Where the kernel would refuse its tuple, the tuple set goes on holding it.
 */
static __always_inline void ring_make_room(__u64 now_ns)
{
	struct rest_ring *all = by_id(&ring, 0);
	struct popped popped = {};

	if (!all || all->tail - all->head < ALLOC_RESTS - 64 ||
	    !ring_pop(&popped, now_ns, 1))
		return;
	if (!(popped.rest.flags & REST_IS_OVER) && popped.rest.until_ns > now_ns)
		STAT_ADD(rests_cut_short, 1);
	rest_end(&popped, popped.rest.flags & REST_NOT_EARLY);
}

/* Put the tuple to rest: into the ring, and into the queue of a dense destination. */
__noinline int ring_push(struct lease *lease)
{
	struct rest_ring *all = by_id(&ring, 0);
	struct alloc_space *space;
	struct alloc_host *host;
	struct dense *dense;
	__u32 place = 0, ok = 0;

	if (!all || !lease)
		return 0;
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
		rest->until_ns = lease->rest_until_ns;
		rest->space = lease->space;
		rest->host = lease->host;
		rest->port = lease->port;
		rest->flags = lease->rest_flags;
		rest->local[0] = lease->local[0];
		rest->local[1] = lease->local[1];
		rest->local[2] = lease->local[2];
		rest->local[3] = lease->local[3];
		all->tail++;
		ok = 1;
	}
	bpf_spin_unlock(&all->lock);
	if (!ok)
		return 0;
	__sync_fetch_and_add(&host->tuple_count, 1);
	__sync_fetch_and_add(&space->resting_count, 1);
	STAT_ADD(rests, 1);
	if (!space->dense_count || (lease->rest_flags & ~REST_PEER_OPEN))
		return 1;
	dense = dense_find(lease->space, lease->destination);
	if (!dense || dense->state != DENSE_READY)
		return 1;
	bpf_spin_lock(&dense->lock);
	/* What ended in front makes room behind: the queue never outgrows the ring by
	 * much. */
	for (int i = 0; i < 2; i++) {
		__u64 front = dense->fifo_head;

		PICK_BOUND(front, 65535);
		if (dense->fifo_head != dense->fifo_tail &&
		    (__u32)(dense->fifo[front] - (__u32)all->head) >=
			    (__u32)(all->tail - all->head))
			dense->fifo_head++;
	}
	if (dense->fifo_tail - dense->fifo_head < ALLOC_FIFO) {
		__u64 at = dense->fifo_tail;

		PICK_BOUND(at, 65535);
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
	struct tuple_request request = {.op = TUPLE_REST};
	struct port_record *record;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record)
		return 0;
	request.hash = pick_tuple(lease->destination, lease->host, lease->port);
	request.value = now_ms(lease->rest_until_ns) + 1;
	request.now_ms = now_ms(lease->now_ns);
	if (!(lease->rest_flags & REST_HOLDS_PORT) && tuple_change(&request))
		return 0;
	__sync_fetch_and_add(&record->counts, ONE_REST);
	if (ring_push(lease))
		return 1;
	__sync_fetch_and_add(&record->counts, -ONE_REST);
	STAT_ADD(table_full, 1);
	return 0;
}

static __always_inline void tuple_leave(struct lease *lease, bool rests)
{
	struct alloc_host *host = by_id(&hosts, lease->host);
	struct limbo_key key = {.cookie = lease->cookie};

	if (!rests) {
		struct tuple_request request = {
			.hash = pick_tuple(lease->destination, lease->host,
					   lease->port),
			.value = lease->cookie,
			.op = TUPLE_REMOVE,
			.now_ms = now_ms(lease->now_ns),
		};

		tuple_change(&request);
	}
	if (host)
		__sync_fetch_and_add(&host->tuple_count, -1);
	bpf_map_delete_elem(&limbo, &key);
}

/* True when the socket shares this port, under the destination it has or had. */
static __always_inline bool lease_is_shared(struct lease *lease)
{
	struct limbo_key key = {.cookie = lease->cookie};
	struct alloc_host *host = by_id(&hosts, lease->host);
	__u64 *destination;

	if (!host || !host->tuple_count)
		return false;
	if (tuple_is_used_by(pick_tuple(lease->destination, lease->host, lease->port),
			     lease->cookie))
		return true;
	destination = bpf_map_lookup_elem(&limbo, &key);
	if (!destination)
		return false;
	lease->destination = *destination;
	return true;
}

/*
 * What a listener accepted, and its TIME_WAIT, hold the port on after it, to all
 * destinations: it stays out until user space finds no socket on it.
 */
static __always_inline int port_cool(struct port_record *record, struct lease *lease)
{
	struct alloc_space *space = by_id(&spaces, lease->space);

	record->holder = 0;
	record->closed_ms = now_ms(lease->now_ns) | 1;
	STAT_ADD(releases, 1);
	/* Nobody would look after it. */
	if (!space || space->is_dropped)
		return port_unuse(lease->host, lease->port, 0);
	record->flags = RECORD_FOREIGN;
	return 1;
}

/*
 * The socket lets go of its port. Returns 1 where the lease was its own; another's
 * (told by the cookie) is left alone.
 */
__noinline int lease_end(struct lease *lease)
{
	struct port_record *record;
	bool is_first, rests = false;
	__u64 holder;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record || !USERS(record->counts) || (record->flags & RECORD_FOREIGN))
		return 0;
	holder = record->holder;
	is_first = holder && (__u32)holder == (__u32)lease->cookie;
	if (!is_first && !lease_is_shared(lease))
		return 0;
	lease->space = record->space;
	if ((record->flags & RECORD_EXCLUSIVE) && (lease->rest_flags & LEASE_LISTENED))
		return port_cool(record, lease);
	if (lease->rest_until_ns)
		rests = lease_rest(lease);
	if (is_first)
		record->holder = 0;
	else
		tuple_leave(lease, rests);
	if (!rests)
		dense_mark(lease->space, lease->destination, lease->port, 1);
	record->closed_ms = now_ms(lease->now_ns) | 1;
	if (!rests || !(lease->rest_flags & REST_HOLDS_PORT))
		port_unuse(lease->host, lease->port, 0);
	STAT_ADD(releases, 1);
	return 1;
}

/* ---- holding ---- */

/* Become the first user of a port that nobody uses. */
__noinline int port_claim(struct lease *lease)
{
	struct alloc_space *space;
	struct port_record *record;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	if (!space)
		return 0;
	record = record_in(space->chunk, lease->port);
	if (!record || !port_map_take(&space->unused, lease->port))
		return 0;
	if (USERS(record->counts) ||
	    __sync_val_compare_and_swap(&record->holder, 0, holder_of(lease)))
		return 0; /* held through another pool: its bit stays out until free */
	record->space = lease->space;
	record->flags = lease->destination ? 0 : RECORD_EXCLUSIVE;
	record->last_cookie = lease->cookie;
	__sync_fetch_and_add(&record->counts, 1);
	return 1;
}

/* Become one more user of a port in use, or its first; only where the tuple is open. */
__noinline int port_share(struct lease *lease)
{
	struct tuple_request request = {.op = TUPLE_ADD};
	struct port_record *record;
	struct limbo_key key;
	struct alloc_host *host;
	__u64 counts, holder;

	if (!lease)
		return 0;
	key.cookie = lease->cookie;
	record = record_of(lease->host, lease->port);
	host = by_id(&hosts, lease->host);
	if (!record || !host)
		return 0;
	counts = record->counts;
	if (!USERS(counts) || (record->flags & (RECORD_FOREIGN | RECORD_EXCLUSIVE)))
		return 0;
	if (__sync_val_compare_and_swap(&record->counts, counts, counts + 1) != counts)
		return 0;
	holder = record->holder;
	if (lease->rest_flags & LEASE_INSISTS)
		request.op = TUPLE_TAKE;
	request.hash = pick_tuple(lease->destination, lease->host, lease->port);
	request.value = lease->cookie;
	request.now_ms = now_ms(lease->now_ns);
	if ((holder && holder >> 32 == (__u32)lease->destination) ||
	    tuple_change(&request)) {
		port_unuse(lease->host, lease->port, 0);
		return 0;
	}
	__sync_fetch_and_add(&host->tuple_count, 1);
	/* Linux 6.1 takes a map's value from our own stack only, not the caller's. */
	request.hash = lease->destination;
	bpf_map_update_elem(&limbo, &key, &request.hash, BPF_ANY);
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
	record->flags = RECORD_FOREIGN | flags;
	record->holder = 0;
	return 1;
}

#endif /* ALLOC_LEASE_BPF_H */
