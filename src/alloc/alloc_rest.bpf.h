/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_rest.bpf.h - tuples that rest: the ring has them in the order of their closes,
 * the tuple set keeps others off them.
 */
#ifndef ALLOC_REST_BPF_H
#define ALLOC_REST_BPF_H

#include "alloc/alloc_lease.bpf.h"

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

#endif /* ALLOC_REST_BPF_H */
