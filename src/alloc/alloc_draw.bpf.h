/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_draw.bpf.h - which port: the order of choice.
 *
 *	1. a port nobody uses,
 *	2. when sharing allows, a port not used to that destination,
 *	3. with early reuse, the tuple to that destination that rested longest.
 *
 * Each is a uniform draw from its set. A draw that meets a port closed to
 * this destination is drawn again, which leaves the rest equally likely. Where that
 * happens too often the destination is *dense* and gets a map of the ports
 * open to it, built a slice a connect() so that none of them waits long.
 */
#ifndef ALLOC_DRAW_BPF_H
#define ALLOC_DRAW_BPF_H

#include "alloc/alloc_dense.bpf.h"

#define DRAWS		   8
#define DRAWS_BEFORE_DENSE 3

/* A rank below n for this space, or PICK_AGAIN. */
__noinline __u32 draw_below(__u32 space_number, __u32 destination, __u32 n)
{
	struct alloc_space *space = by_id(&spaces, space_number);
	__u64 counter;

	if (!space || !n || n > PORT_MAX)
		return PICK_AGAIN;
	counter = __sync_fetch_and_add(&space->counter, 1);
	return pick_below(
		pick_prf(draw_key, counter, (__u64)space_number << 32 | destination),
		n);
}

static __always_inline __u32 lease_sharing(const struct lease *lease,
					   const struct alloc_pool *pool,
					   __u32 protocol)
{
	return lease->rest_flags & LEASE_UNSHARED ? ALLOC_SHARING_NEVER
						  : sharing_of(pool, protocol);
}

static __always_inline bool tuple_rests(struct lease *lease)
{
	struct alloc_host *host = by_id(&hosts, lease->host);

	return host &&
	       tuple_meets(host, lease->destination, lease->peer,
			   lease->host << 16 | lease->port, now_ms(lease->now_ns));
}

/*
 * A TCP socket bound for itself alone meets every TIME_WAIT on its port, ours or the
 * kernel's own, however short the quarantine.
 */
static __always_inline bool port_is_warm(const struct port_record *record,
					 __u32 protocol, __u64 now_ns)
{
	if (RESTING(record->counts))
		return true;
	return protocol == IPPROTO_TCP_NUMBER && record_is_warm(record, now_ns);
}

/* One draw from the ports nobody uses. 1: lease->port; 0: met a closed one; -1: there
 * is none. */
__noinline int draw_unused(struct lease *lease)
{
	struct alloc_space *space;
	__u32 count, rank;

	if (!lease)
		return -1;
	space = by_id(&spaces, lease->space);
	if (!space)
		return -1;
	count = space->unused.count;
	if (!count || count > PORT_MAX)
		return -1;
	rank = draw_below(lease->space, lease->destination, count);
	if (rank == PICK_AGAIN)
		return 0;
	lease->port = port_map_select(&space->unused, rank);
	if (!lease->destination || (lease->rest_flags & LEASE_UNSHARED)) {
		struct port_record *record = record_in(space->chunk, lease->port);

		return record && !port_is_warm(record, space->protocol, lease->now_ns);
	}
	return !tuple_rests(lease);
}

/* Take lease->port as its first or as one more user. */
static __always_inline int port_take(struct lease *lease)
{
	return port_claim(lease) || port_share(lease);
}

/* One draw from all ports of the pool, used or not. 1: lease->port is open; or 0. */
__noinline int draw_any(struct lease *lease)
{
	struct alloc_space *space;
	struct alloc_pool *pool;
	__u32 count, rank;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	if (!space)
		return 0;
	pool = by_id(&pools, space->pool);
	if (!pool)
		return 0;
	count = pool->members.count;
	if (!count || count > PORT_MAX)
		return 0;
	rank = draw_below(lease->space, lease->destination, count);
	if (rank == PICK_AGAIN)
		return 0;
	lease->port = port_map_select(&pool->members, rank);
	return !lease_is_closed(lease);
}

/* ---- dense destinations ---- */

/* One draw from the ports open to the destination. 1: lease->port, 0: again, -1: none.
 */
__noinline int draw_open(struct lease *lease, __u32 number, __u32 only_unused)
{
	struct alloc_space *space;
	struct dense *dense = by_id(&denses, number);
	__u32 count, rank;

	if (!lease || !dense)
		return -1;
	space = by_id(&spaces, lease->space);
	if (!space)
		return -1;
	count = dense->open.count;
	if (!count || count > PORT_MAX)
		return -1;
	rank = draw_below(lease->space, lease->destination, count);
	if (rank == PICK_AGAIN)
		return 0;
	lease->port = port_map_select(&dense->open, rank);
	if (only_unused && !port_map_has(&space->unused, lease->port))
		return 0;
	if (!is_member(space, lease->port) || lease_is_closed(lease)) {
		port_map_take(&dense->open, lease->port);
		return 0;
	}
	return 1;
}

struct meeting {
	__u64 rank; /* of the port wanted among those in both maps; ~0: only count */
	__u64 passed;
	__u32 space;
	__u32 dense;
	__u32 first_word;
	__u32 port;
};

static long meet_word(__u32 i, void *arg)
{
	struct meeting *meeting = arg;
	struct alloc_space *space = by_id(&spaces, meeting->space);
	struct dense *dense = by_id(&denses, meeting->dense);
	__u64 word = meeting->first_word + i, both, count;

	if (!space || !dense || word > 1023)
		return 1;
	PICK_BOUND(word, 1023);
	both = space->unused.words[word] & dense->open.words[word];
	count = pick_popcount(both);
	if (meeting->rank < meeting->passed + count) {
		meeting->port = (word << 6) +
				pick_select64(both, meeting->rank - meeting->passed);
		return 1;
	}
	meeting->passed += count;
	return 0;
}

/* Walk what the maps share up to a rank: how many there are, or the port of that rank.
 */
__noinline int meet(struct lease *lease, __u32 number, __u64 rank)
{
	struct meeting meeting = {.rank = rank, .dense = number};
	struct alloc_space *space;
	struct alloc_pool *pool;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	pool = space ? by_id(&pools, space->pool) : NULL;
	if (!pool)
		return 0;
	meeting.space = lease->space;
	meeting.first_word = pool->first >> 6;
	bpf_loop((pool->last >> 6) - meeting.first_word + 1, meet_word, &meeting, 0);
	return rank == ~0ULL ? meeting.passed : meeting.port;
}

/*
 * A port both unused and open, when few of either are: count what the two maps
 * share, draw, find. Some microseconds, and only where eight draws met none.
 */
__noinline int draw_meeting(struct lease *lease, __u32 number)
{
	__u32 count, rank;

	if (!lease)
		return 0;
	count = meet(lease, number, ~0ULL);
	rank = draw_below(lease->space, lease->destination, count);
	if (rank == PICK_AGAIN)
		return 0;
	lease->port = meet(lease, number, rank);
	return lease->port && !lease_is_closed(lease) && port_claim(lease);
}

struct queue_search {
	__u64 place;
	__u32 destination;
	__u32 dense;
	__u32 space;
	__u32 found;
};

/* Take the front off the queue; stop where it still rests. */
static long queue_next(__u32 i, void *arg)
{
	struct queue_search *search = arg;
	struct rest_ring *all = by_id(&ring, 0);
	struct dense *dense = by_id(&denses, search->dense);
	struct alloc_space *space = by_id(&spaces, search->space);
	struct alloc_rest *rest;
	__u64 front = 0, at;
	bool has = false;
	__u32 ahead;

	(void)i;
	if (!all || !dense || !space)
		return 1;
	bpf_spin_lock(&dense->lock);
	if (dense->fifo_head != dense->fifo_tail) {
		at = dense->fifo_head++;
		PICK_BOUND(at, 32767);
		front = dense->fifo[at];
		has = true;
	}
	bpf_spin_unlock(&dense->lock);
	if (!has)
		return 1;
	/* The queue has the low half of the place. */
	ahead = (__u32)front - (__u32)all->head;
	if (ahead >= all->tail - all->head)
		return 0;
	search->place = all->head + ahead;
	at = search->place;
	PICK_BOUND(at, 131071);
	rest = &all->rests[at];
	search->found =
		rest->destination == search->destination &&
		rest->space == search->space && !(rest->flags & ~REST_PEER_OPEN) &&
		(space_shares(space) || port_map_has(&space->unused, rest->port));
	return search->found;
}

/* Take from the destination's queue what has rested longest: 1 and lease->port, or 0.
 */
__noinline int rest_take(struct lease *lease, __u32 number)
{
	struct queue_search search = {.dense = number};
	struct popped popped = {};

	if (!lease)
		return 0;
	search.destination = lease->destination;
	search.space = lease->space;
	bpf_loop(ALLOC_FIFO, queue_next, &search, 0);
	if (!search.found && dense_requeue(lease, number))
		bpf_loop(ALLOC_FIFO, queue_next, &search, 0);
	if (!search.found || !ring_take(&popped, search.place, lease))
		return 0;
	lease->port = popped.rest.port;
	lease->rest_flags = popped.rest.flags | (lease->rest_flags & LEASE_NO_ROOM);
	lease->local = popped.rest.local;
	if (!is_past(popped.rest.until_ms, now_ms(lease->now_ns)))
		STAT_ADD(pool_of_space(lease->space), early_reuses, 1);
	return rest_end(&popped, 0);
}

/* As draw_open(), of ports used or not, and take it. A function of its own, or clang
 * lays out the loop round it in a way that Linux 6.1 refuses. */
__noinline int take_open(struct lease *lease, __u32 number)
{
	int drew = draw_open(lease, number, 0);

	return drew > 0 ? port_take(lease) : drew;
}

/* ---- the order of choice ---- */

#define DREW_UNUSED 1
#define DREW_SHARED 2
#define DREW_RESTED 3

/* Draws for a destination whose map is ready. */
static __always_inline int draw_dense(struct lease *lease, __u32 number, __u32 shares)
{
	int drew;

	if (!lease)
		return 0;
	if (shares != ALLOC_SHARING_ALWAYS) {
		for (int i = 0; i < DRAWS; i++) {
			drew = draw_open(lease, number, 1);
			if (drew > 0 && port_claim(lease))
				return DREW_UNUSED;
			if (drew < 0)
				return 0;
		}
		if (draw_meeting(lease, number))
			return DREW_UNUSED;
	}
	if (shares != ALLOC_SHARING_NEVER) {
		for (int i = 0; i < DRAWS; i++) {
			drew = take_open(lease, number);
			if (drew > 0)
				return DREW_SHARED;
			if (drew < 0)
				break;
		}
	}
	return 0;
}

static __always_inline int draw_rested(struct lease *lease, __u32 number, __u32 shares)
{
	if (!lease)
		return 0;
	for (int i = 0; i < DRAWS; i++) {
		if (rest_take(lease, number) &&
		    (port_claim(lease) ||
		     (shares != ALLOC_SHARING_NEVER && port_share(lease))))
			return DREW_RESTED;
	}
	return 0;
}

struct scan {
	__u32 destination;
	__u32 peer;
	__u32 now_ms;
	__u32 host;
	__u32 space;
	__u32 first;
	__u32 span;
	__u32 start;
	__u32 only_unused;
	__u32 port; /* found; 0: none */
};

static long scan_port(__u32 i, void *arg)
{
	struct scan *scan = arg;
	struct alloc_space *space = by_id(&spaces, scan->space);
	__u32 at = scan->start + i, port;

	if (!space)
		return 1;
	if (at >= scan->span)
		at -= scan->span;
	port = scan->first + at;
	if (port > PORT_MAX || !is_member(space, port) ||
	    (scan->only_unused && !port_map_has(&space->unused, port)) ||
	    tuple_is_closed(scan->destination, scan->peer, scan->host, port,
			    scan->now_ms))
		return 0;
	scan->port = port;
	return 1;
}

/*
 * No map can be had, because another CPU is building it or too many destinations are
 * dense: go round the pool from a random port to the first that is open.
 */
__noinline int draw_scan(struct lease *lease, __u32 shares)
{
	struct scan scan = {.only_unused = shares == ALLOC_SHARING_NEVER};
	struct alloc_space *space;
	struct alloc_pool *pool;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	pool = space ? by_id(&pools, space->pool) : NULL;
	if (!pool)
		return 0;
	scan.destination = lease->destination;
	scan.peer = lease->peer;
	scan.now_ms = now_ms(lease->now_ns);
	scan.host = lease->host;
	scan.space = lease->space;
	scan.first = pool->first;
	scan.span = pool->last - pool->first + 1;
	scan.start = draw_below(lease->space, lease->destination, scan.span);
	if (scan.start == PICK_AGAIN)
		return 0;
	bpf_loop(scan.span, scan_port, &scan, 0);
	lease->port = scan.port;
	return lease->port != 0;
}

static __always_inline int draw_scanned(struct lease *lease, __u32 shares)
{
	if (!draw_scan(lease, shares))
		return 0;
	if (shares == ALLOC_SHARING_NEVER)
		return port_claim(lease) ? DREW_UNUSED : 0;
	return port_take(lease) ? DREW_SHARED : 0;
}

/* Few or no draws succeeded: the exact way, with the destination's map. */
static __always_inline int draw_exact(struct lease *lease, __u32 shares, __u32 early)
{
	int number, drew;

	if (!lease)
		return 0;
	number = dense_ready(lease, 1);
	if (!number) {
		dense_make(lease);
		number = dense_ready(lease, 1);
		if (!number)
			return draw_scanned(lease, shares);
	}
	number--;
	drew = draw_dense(lease, number, shares);
	if (drew || !early)
		return drew;
	return draw_rested(lease, number, shares);
}

/*
 * Take a port for the lease: how it was drawn (DREW_...), or 0 where the pool has
 * none for it.
 */
__noinline int lease_draw(struct lease *lease)
{
	struct alloc_space *space;
	struct alloc_pool *pool;
	__u32 shares, number = 0;
	bool may_be_dense;
	int drew, met = 0;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	pool = space ? by_id(&pools, space->pool) : NULL;
	if (!pool)
		return 0;
	lease->host = space->host;
	/* A socket that binds for itself alone shares nothing and rests nowhere. */
	may_be_dense = lease->destination && knows_tuples(pool, space->protocol);
	shares = may_be_dense ? lease_sharing(lease, pool, space->protocol)
			      : ALLOC_SHARING_NEVER;
	if (space->dense_count && may_be_dense && !(lease->rest_flags & LEASE_UNSHARED))
		number = dense_ready(lease, 0);
	if (shares != ALLOC_SHARING_ALWAYS && !number) {
		for (int i = 0; i < DRAWS; i++) {
			drew = draw_unused(lease);
			if (drew > 0 && port_claim(lease)) {
				if (met >= DRAWS_BEFORE_DENSE && may_be_dense)
					dense_make(lease);
				dense_mark(lease->space, lease->destination,
					   lease->port, 0);
				return DREW_UNUSED;
			}
			if (drew < 0)
				break;
			met++;
		}
	}
	if (!lease->destination || (lease->rest_flags & LEASE_UNSHARED) ||
	    (!met && !number && shares == ALLOC_SHARING_NEVER))
		return 0;
	if (!may_be_dense)
		return draw_scanned(lease, ALLOC_SHARING_NEVER);
	if (shares != ALLOC_SHARING_NEVER && !number &&
	    (!met || shares == ALLOC_SHARING_ALWAYS)) {
		for (int i = 0; i < DRAWS; i++) {
			if (draw_any(lease) && port_take(lease)) {
				if (i >= DRAWS_BEFORE_DENSE)
					dense_make(lease);
				dense_mark(lease->space, lease->destination,
					   lease->port, 0);
				return DREW_SHARED;
			}
		}
	}
	drew = draw_exact(lease, shares, pool->early_reuse);
	if (drew)
		dense_mark(lease->space, lease->destination, lease->port, 0);
	return drew;
}

#endif /* ALLOC_DRAW_BPF_H */
