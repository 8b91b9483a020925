/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_dense.bpf.h - maps of what is open to a destination to which most ports are
 * not.
 *
 * Built a slice a connect(), so that none of them waits long. A map may
 * lag behind the records, which decide: a port it shows open is asked of them before it
 * is taken.
 */
#ifndef ALLOC_DENSE_BPF_H
#define ALLOC_DENSE_BPF_H

#include "alloc/alloc_hold.bpf.h"

#define DENSE_SLICE 1024

/*
 * In use or resting, of those in the tuple set: 0, or TUPLE_IN_USE, TUPLE_RESTING. A
 * socket that is not bound asks for those that are, on the same port, and the reverse.
 */
static __always_inline int tuple_meets(const struct alloc_host *host, __u32 destination,
				       __u32 peer, __u64 place, __u32 now)
{
	int found;

	if (!host->tuple_count)
		return 0;
	found = tuple_find(pick_tuple(destination, place >> 16, place & 0xffff), now);
	if (found || (peer == destination && !host->had_bound))
		return found;
	if (peer == destination)
		peer = pick_bound_mark(peer);
	return tuple_find(pick_tuple(peer, place >> 16, place & 0xffff), now);
}

/* The same, and the record of the port's first user is asked too. */
__noinline int tuple_is_closed(__u32 destination, __u32 peer, __u32 host_number,
			       __u32 port, __u32 now)
{
	struct alloc_host *host = by_id(&hosts, host_number);
	struct port_record *record = host ? record_in(host->chunk, port) : NULL;
	__u32 print;

	if (!record || (record->mark & (RECORD_FOREIGN | RECORD_LISTENED)))
		return 1;
	print = PRINT(record->holder);
	if (USERS(record->counts) &&
	    ((record->mark & RECORD_EXCLUSIVE) ||
	     (print && (print == destination || print == peer))))
		return 1;
	return tuple_meets(host, destination, peer, host_number << 16 | port, now);
}

static __always_inline int lease_is_closed(const struct lease *lease)
{
	return tuple_is_closed(lease->destination, lease->peer, lease->host,
			       lease->port, now_ms(lease->now_ns));
}

struct build {
	__u32 destination;
	__u32 peer;
	__u32 now_ms;
	__u32 host;
	__u32 space;
	__u32 dense;
	__u32 first;
};

static long build_port(__u32 i, void *arg)
{
	struct build *build = arg;
	struct alloc_space *space = by_id(&spaces, build->space);
	struct dense *dense = by_id(&denses, build->dense);
	__u32 port = build->first + i;

	if (!space || !dense || port > PORT_MAX)
		return 1;
	if (is_member(space, port) &&
	    !tuple_is_closed(build->destination, build->peer, build->host, port,
			     build->now_ms))
		port_map_give(&dense->open, port);
	return 0;
}

struct queueing {
	__u64 place;
	__u32 destination;
	__u32 dense;
	__u32 space;
	__u32 reserved;
};

/* Queue the rests of this destination, oldest first: the ring has them in that order.
 */
static long build_rest(__u32 i, void *arg)
{
	struct queueing *queueing = arg;
	struct rest_ring *all = by_id(&ring, 0);
	struct dense *dense = by_id(&denses, queueing->dense);
	__u64 place = queueing->place++, at;
	struct alloc_rest *rest;

	(void)i;
	if (!all || !dense || place >= all->tail)
		return 1;
	at = place;
	PICK_BOUND(at, 131071);
	rest = &all->rests[at];
	if (rest->destination != queueing->destination ||
	    rest->space != queueing->space || (rest->flags & ~REST_PEER_OPEN))
		return 0;
	at = dense->fifo_tail;
	if ((__u32)at - dense->fifo_head >= ALLOC_FIFO) {
		dense->fifo_missed |= FIFO_MISSED;
		return 1;
	}
	PICK_BOUND(at, 32767);
	dense->fifo[at] = place;
	dense->fifo_tail++;
	return 0;
}

/* Fill the empty queue of the destination from the ring. */
__noinline int dense_queue(struct lease *lease, __u32 number)
{
	struct rest_ring *all = by_id(&ring, 0);
	struct queueing queueing = {.dense = number};

	if (!all || !lease)
		return 0;
	queueing.destination = lease->destination;
	queueing.space = lease->space;
	queueing.place = all->head;
	if (all->head != all->tail)
		bpf_loop(ALLOC_RESTS, build_rest, &queueing, 0);
	return 1;
}

/* The queue is empty, and some found no place in it: fill it again. 1: it was. */
__noinline int dense_requeue(struct lease *lease, __u32 number)
{
	struct dense *dense = by_id(&denses, number);

	if (!dense || !lease || dense->fifo_head != dense->fifo_tail ||
	    __sync_val_compare_and_swap(&dense->fifo_missed, FIFO_MISSED,
					FIFO_REBUILDING) != FIFO_MISSED)
		return 0;
	dense_queue(lease, number);
	__sync_fetch_and_and(&dense->fifo_missed, ~FIFO_REBUILDING);
	return 1;
}

/* Build the next slice. Returns 1 when the map is ready. */
__noinline int dense_build(struct lease *lease, __u32 number)
{
	struct dense *dense = by_id(&denses, number);
	struct build build = {.dense = number};
	struct alloc_space *space;
	struct alloc_pool *pool;
	__u32 from, total;

	if (!dense || !lease)
		return 0;
	if (dense->state == DENSE_READY)
		return 1;
	space = by_id(&spaces, lease->space);
	pool = space ? by_id(&pools, space->pool) : NULL;
	if (!pool)
		return 0;
	total = pool->last - pool->first + 1;
	from = __sync_fetch_and_add(&dense->cursor, DENSE_SLICE);
	if (from >= total)
		return 0;
	build.destination = lease->destination;
	build.peer = lease->peer;
	build.now_ms = now_ms(lease->now_ns);
	build.host = lease->host;
	build.space = lease->space;
	build.first = pool->first + from;
	bpf_loop(DENSE_SLICE, build_port, &build, 0);
	if (__sync_fetch_and_add(&dense->built, DENSE_SLICE) + DENSE_SLICE < total)
		return 0;
	dense_queue(lease, number);
	dense->state = DENSE_READY;
	return 1;
}

struct eviction {
	__u64 idle_since_ns;
	__u32 victim;
	__u32 reserved;
};

static long find_idle(__u32 i, void *arg)
{
	struct eviction *eviction = arg;
	struct dense *dense = by_id(&denses, i);

	if (dense && dense->state == DENSE_READY &&
	    dense->used_ns < eviction->idle_since_ns) {
		eviction->idle_since_ns = dense->used_ns;
		eviction->victim = i + 1;
	}
	return 0;
}

static __always_inline void dense_forget(__u32 number)
{
	struct dense *dense = by_id(&denses, number);
	struct alloc_space *space;

	if (!dense || bpf_map_delete_elem(&dense_ids, &dense->key))
		return;
	space = by_id(&spaces, dense->key.space);
	if (space)
		__sync_fetch_and_add(&space->dense_count, -1);
	dense->state = 0;
	bpf_map_push_elem(&free_denses, &number, 0);
}

/* Give up the map whose destination asked for nothing longest, if that is a second or
 * more. */
__noinline int dense_evict(__u64 now_ns)
{
	struct eviction eviction = {.idle_since_ns = now_ns - NS_PER_S};

	bpf_loop(ALLOC_DENSE, find_idle, &eviction, 0);
	if (!eviction.victim)
		return 0;
	dense_forget(eviction.victim - 1);
	return 1;
}

static long clear_map(__u32 i, void *arg)
{
	struct dense *dense = by_id(&denses, *(__u32 *)arg);

	if (!dense || i >= 1024)
		return 1;
	dense->open.words[i] = 0;
	if (i < 256)
		dense->open.per_256[i] = 0;
	if (i < 16)
		dense->open.per_4096[i] = 0;
	return 0;
}

/* A map for this destination, empty and about to be built. */
__noinline int dense_make(struct lease *lease)
{
	struct dense_key key = {};
	struct alloc_space *space;
	struct dense *dense;
	__u32 number = 0;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	if (!space || dense_find(lease->space, lease->destination))
		return 0;
	if (bpf_map_pop_elem(&free_denses, &number) &&
	    (!dense_evict(lease->now_ns) || bpf_map_pop_elem(&free_denses, &number))) {
		STAT_ADD(space->pool, dense_full, 1);
		return 0;
	}
	dense = by_id(&denses, number);
	if (!dense)
		return 0;
	bpf_loop(1024, clear_map, &number, 0);
	dense->open.count = 0;
	dense->cursor = 0;
	dense->built = 0;
	dense->fifo_head = 0;
	dense->fifo_tail = 0;
	dense->fifo_missed = FIFO_COMPLETE;
	dense->made_ns = lease->now_ns;
	dense->used_ns = lease->now_ns;
	key.destination = lease->destination;
	key.space = lease->space;
	dense->key = key;
	dense->state = DENSE_BUILDING;
	if (bpf_map_update_elem(&dense_ids, &key, &number, BPF_NOEXIST)) {
		dense->state = 0;
		bpf_map_push_elem(&free_denses, &number, 0);
		return 0;
	}
	__sync_fetch_and_add(&space->dense_count, 1);
	return 1;
}

/*
 * A map is not told what sockets that are bound otherwise let go. So that no port is
 * lost for good, one that shows none open is made anew after a second.
 */
static __always_inline bool is_stale(const struct dense *dense,
				     const struct lease *lease)
{
	struct alloc_space *space = by_id(&spaces, lease->space);
	struct alloc_host *host = space ? by_id(&hosts, space->host) : NULL;

	return host && host->had_bound && !dense->open.count &&
	       lease->now_ns - dense->made_ns > NS_PER_S;
}

/* The number of the destination's map plus one, when it is ready; a slice is built when
 * not. */
__noinline int dense_ready(struct lease *lease, __u32 at_once)
{
	struct dense_key key = {};
	struct dense *dense;
	__u32 *number;

	if (!lease)
		return 0;
	key.destination = lease->destination;
	key.space = lease->space;
	number = bpf_map_lookup_elem(&dense_ids, &key);
	if (!number)
		return 0;
	dense = by_id(&denses, *number);
	if (!dense)
		return 0;
	dense->used_ns = lease->now_ns;
	if (dense->state == DENSE_READY && is_stale(dense, lease)) {
		dense_forget(*number);
		return 0;
	}
	if (dense->state == DENSE_READY)
		return *number + 1;
	for (int i = 0; i < ALLOC_GROUPS; i++) {
		if (dense_build(lease, *number))
			return *number + 1;
		if (!at_once)
			return 0;
	}
	return 0;
}

struct reopening {
	__u32 host;
	__u32 port;
};

static long reopen_in(__u32 i, void *arg)
{
	struct reopening *reopening = arg;
	struct dense *dense = by_id(&denses, i);
	struct alloc_space *space;

	if (!dense || !dense->state)
		return 0;
	space = by_id(&spaces, dense->key.space);
	if (space && space->host == reopening->host &&
	    is_member(space, reopening->port))
		port_map_give(&dense->open, reopening->port);
	return 0;
}

/* The port is free for all destinations again. */
static __always_inline void dense_reopen(__u32 host, __u32 port)
{
	struct reopening reopening = {.host = host, .port = port};

	bpf_loop(ALLOC_DENSE, reopen_in, &reopening, 0);
}

#endif /* ALLOC_DENSE_BPF_H */
