/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_serve.bpf.h - what user space asks of the tables, in `ask`, one question at a
 * time (enum alloc_ask_op).
 */
#ifndef ALLOC_SERVE_BPF_H
#define ALLOC_SERVE_BPF_H

#include "alloc/alloc_dense.bpf.h"

static __always_inline void serve_set_aside(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct lease lease = {.space = ask.space, .port = ask.port, .cookie = 1};

	if (!space)
		return;
	lease.host = space->host;
	if (port_claim(&lease))
		ask.result = lease_set_aside(&lease, ask.flags);
}

static __always_inline void serve_rest(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct lease lease = {
		.space = ask.space,
		.port = ask.port,
		.destination = ask.destination,
		.peer = ask.destination,
		.rest_until_ns = ask.until_ns,
		.rest_flags = REST_NOT_EARLY,
		.now_ns = bpf_ktime_get_boot_ns(),
	};

	if (!space)
		return;
	lease.host = space->host;
	/* Ours rest already. */
	if (!tuple_find(pick_tuple(lease.destination, lease.host, lease.port),
			now_ms(lease.now_ns)))
		ask.result = lease_rest(&lease);
}

/*
 * Two kinds of ports were set aside: those something foreign held, which carry a
 * count of their own, and those another pool of ours held, which are just missing.
 */
static __always_inline void serve_return(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct port_record *record = space ? record_in(space->chunk, ask.port) : NULL;

	if (!record || port_map_has(&space->unused, ask.port))
		return;
	if (record->mark & RECORD_FOREIGN) {
		/* A program bound it, or listens, since it was judged. */
		if (record->holder != ask.holder || record->mark & RECORD_LISTENED)
			return;
		record->holder = 0;
		record_unmark(record, 0xffff & ~RECORD_LISTENED);
		record_mark(record, ask.space);
		ask.result = port_unuse(space->host, ask.port, 0);
	} else if (!USERS(record->counts) && !PRINT(record->holder) &&
		   !(record->mark & RECORD_LISTENED) && is_member(space, ask.port)) {
		ask.result = port_map_give(&space->unused, ask.port);
	}
	if (ask.result && space->dense_count)
		dense_reopen(space->host, ask.port);
}

/* The tuple of a sharer that leaked, where it is on the port in question. */
static __always_inline void sharer_drop(struct limbo_bucket *bucket,
					struct limbo_peers *peers, __u32 slot)
{
	struct lease lease = {.host = ask.host, .port = ask.port};
	__u64 word;

	if (slot >= ALLOC_LIMBO_SLOTS)
		return;
	word = bucket->words[slot];
	lease.destination = word;
	lease.peer = peers->peers[slot];
	lease.cookie = word >> 32;
	if (!word ||
	    !tuple_is_used_by(pick_tuple(lease.destination, lease.host, lease.port),
			      lease.cookie) ||
	    __sync_val_compare_and_swap(&bucket->words[slot], word, 0) != word)
		return;
	lease.now_ns = bpf_ktime_get_boot_ns();
	tuple_leave(&lease, 0, 0);
}

static long sharers_drop(__u32 i, void *arg)
{
	struct limbo_bucket *bucket = by_id(&limbo, i / ALLOC_LIMBO_SLOTS);
	struct limbo_peers *peers = by_id(&limbo_peers, i / ALLOC_LIMBO_SLOTS);

	(void)arg;
	if (!bucket || !peers)
		return 1;
	sharer_drop(bucket, peers, i % ALLOC_LIMBO_SLOTS);
	return 0;
}

/* A lease without a socket. No print: the first user went, and the others leaked. */
static __always_inline void serve_forget(void)
{
	struct port_record *record = record_of(ask.host, ask.port);
	struct lease lease = {.host = ask.host, .port = ask.port, .cookie = ask.holder};
	__u32 none = 0;

	if (!record || record->holder != ask.holder)
		return;
	if (PRINT(ask.holder)) {
		ask.result = lease_end(&lease);
		return;
	}
	if (record->closed != ask.flags)
		return;
	bpf_loop(ALLOC_LIMBO * ALLOC_LIMBO_SLOTS, sharers_drop, &none, 0);
	for (int i = 0; i < 64 && !ask.result && USERS(record->counts); i++)
		ask.result = port_unuse(ask.host, ask.port, 0);
}

static long dense_of_space_forget(__u32 i, void *arg)
{
	struct dense *dense = by_id(&denses, i);

	(void)arg;
	if (dense && dense->state && dense->key.space == ask.space)
		dense_forget(i);
	return 0;
}

static __always_inline void serve_drop_space(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct alloc_space_key key = {};

	if (!space || !space->netns)
		return;
	key.netns = space->netns;
	key.pool = space->pool;
	key.protocol = space->protocol;
	if (bpf_map_delete_elem(&space_ids, &key))
		return;
	bpf_loop(ALLOC_DENSE, dense_of_space_forget, &key, 0);
	space->is_dropped = 1;
	space->netns = 0;
	ask.result = 1;
}

#define SWEEP_ENDS                                                         \
	4096 /* rests ended in one call, which stops other work on its CPU \
	      */

struct sweep {
	__u64 now_ns;
	__u64 place;
	__u32 ended;
	__u32 over; /* met behind one that still rests */
};

/* End what is over, also behind what rests longer. */
static long sweep_one(__u32 i, void *arg)
{
	struct sweep *sweep = arg;
	struct rest_ring *all = by_id(&ring, 0);
	struct popped popped = {};
	__u64 at = sweep->place;
	struct alloc_rest *rest;

	(void)i;
	if (!all || at >= all->tail || sweep->ended >= SWEEP_ENDS)
		return 1;
	PICK_BOUND(at, 131071);
	rest = &all->rests[at];
	if (rest->flags & REST_IS_OVER)
		sweep->over++;
	else if (is_past(rest->until_ms, now_ms(sweep->now_ns)) &&
		 ring_end(&popped, sweep->place, sweep->now_ns))
		sweep->ended += rest_end(&popped, 0);
	sweep->place++;
	return 0;
}

static long pop_one(__u32 i, void *arg)
{
	(void)i;
	return !rests_pop(*(__u64 *)arg);
}

/* Move the head to the tail, so that what is over behind it can leave. */
static long rotate_one(__u32 i, void *arg)
{
	struct rest_ring *all = by_id(&ring, 0);

	(void)i;
	(void)arg;
	if (!all)
		return 1;
	bpf_spin_lock(&all->lock);
	if (all->head != all->tail) {
		__u64 from = all->head, to = all->tail;

		PICK_BOUND(from, 131071);
		PICK_BOUND(to, 131071);
		if (!(all->rests[from].flags & REST_IS_OVER)) {
			all->rests[to] = all->rests[from];
			all->tail++;
		}
		all->head++;
	}
	bpf_spin_unlock(&all->lock);
	return 0;
}

static __always_inline void serve_sweep(void)
{
	struct sweep sweep = {.now_ns = bpf_ktime_get_boot_ns()};
	struct rest_ring *all = by_id(&ring, 0);

	if (!all || all->head == all->tail)
		return;
	sweep.place = all->head;
	bpf_loop(ALLOC_RESTS, sweep_one, &sweep, 0);
	bpf_loop(ALLOC_RESTS, pop_one, &sweep.now_ns, 0);
	if (all->tail - all->head > ALLOC_RESTS / 2 && sweep.over > ALLOC_RESTS / 4)
		bpf_loop(SWEEP_ENDS, rotate_one, &sweep, 0);
}

#endif /* ALLOC_SERVE_BPF_H */
