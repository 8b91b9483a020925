/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_sequence.bpf.h - the five algorithms of RFC 6056, section 3.3, by its numbers:
 *
 *	1. random-simple   a random port, then the next ones up
 *	2. random-retry    random ports, one after another
 *	3. hash            F(destination) plus a counter of all destinations
 *	4. double-hash     F(destination) plus a counter of those with the same G
 *	5. increments      the port before plus 1 to 500
 *
 * Where the RFC counts ports from min_ephemeral, we count those of the pool, so that
 * exceptions skew nothing. F and G are keyed by a secret of this start and of the
 * namespace; counters are of one namespace, pool and protocol, and loopback has its
 * own: what is seen in one, or on loopback, tells nothing of another (A. Kol, A. Klein,
 * Y. Gilad, "Device Tracking via Linux's New TCP Source Port Selection Algorithm",
 * 2023). The local address is part of F and G where the program bound to one; the
 * route, and with it the address of the others, is not known yet in the hook.
 *
 * A port that is not suitable is passed over, as in the RFC, which takes longer as the
 * pool fills: that is what `random` is for. Suitable is what the order of choice says
 * (alloc_draw.bpf.h): unused, and where there is none, open to the destination.
 */
#ifndef ALLOC_SEQUENCE_BPF_H
#define ALLOC_SEQUENCE_BPF_H

#include "alloc/alloc_draw.bpf.h"

#define RFC_SIMPLE	1
#define RFC_RETRY	2
#define RFC_HASH	3
#define RFC_DOUBLE_HASH 4
#define RFC_INCREMENTS	5

#define SEQUENCE_TABLE	64  /* counters of algorithm 4; the RFC's example has 10 */
#define SEQUENCE_STEP	500 /* N of algorithm 5; the RFC's example */
#define SEQUENCE_CLAIMS 4   /* tries to claim a port that another CPU may take first */

/*
 * The counters of a space: one for all destinations, and the table of algorithm 4; then
 * those of loopback. Where they start is no secret: F is.
 */
#define SEQUENCE_COUNTERS (1 + SEQUENCE_TABLE)

struct sequence {
	__u32 counters[2 * SEQUENCE_COUNTERS];
};

ARRAY(sequences, struct sequence, ALLOC_SPACES);

struct search {
	__u32 destination;
	__u32 peer;
	__u32 now_ms;
	__u32 host;
	__u32 space;
	__u32 only_unused;
	__u32 only_cold; /* no TIME_WAIT may be on the port */
	__u32 algorithm;
	__u32 counter;	/* its number in the space's, plus 1; 0: the algorithm has none
			 */
	__u32 from;	/* what the counter was */
	__u32 offset;	/* F: what the position is counted from */
	__u32 position; /* of the try, as the RFC counts; its rank is taken modulo */
	__u32 port;	/* found; 0: none */
};

/* The position of the next try. */
static __always_inline __u32 search_next(const struct search *search, __u32 count)
{
	__u32 step = 0;

	if (search->algorithm == RFC_RETRY)
		return draw_below(search->space, search->destination, count);
	if (search->algorithm == RFC_INCREMENTS)
		step = draw_below(search->space, search->destination, SEQUENCE_STEP);
	return search->position + step + 1;
}

static __always_inline bool port_is_cold(const struct alloc_space *space, __u32 port)
{
	struct port_record *record = record_in(space->chunk, port);

	return record &&
	       !port_is_warm(record, space->protocol, bpf_ktime_get_boot_ns());
}

/* One try. */
static long search_try(__u32 i, void *arg)
{
	struct search *search = arg;
	struct alloc_space *space = by_id(&spaces, search->space);
	struct alloc_pool *pool = space ? by_id(&pools, space->pool) : NULL;
	__u32 count, port;

	(void)i;
	if (!pool)
		return 1;
	count = pool->members.count;
	if (!count)
		return 1;
	port = port_map_select(&pool->members,
			       (search->offset + search->position) % count);
	if ((!search->only_unused || port_map_has(&space->unused, port)) &&
	    (!search->only_cold || port_is_cold(space, port)) &&
	    !tuple_is_closed(search->destination, search->peer, search->host, port,
			     search->now_ms)) {
		search->port = port;
		return 1;
	}
	search->position = search_next(search, count);
	return 0;
}

/* The number, plus 1, of the counter that the algorithm goes on from; 0: none. */
static __always_inline __u32 counter_of(const struct lease *lease, __u64 netns,
					__u32 algorithm)
{
	__u32 row = lease->rest_flags & LEASE_LOOPBACK ? SEQUENCE_COUNTERS : 0;

	if (algorithm == RFC_HASH || algorithm == RFC_INCREMENTS)
		return row + 1;
	if (algorithm != RFC_DOUBLE_HASH)
		return 0;
	return row + 2 +
	       pick_prf(hash_secret(), lease->destination, netns << 2 | 1) %
		       SEQUENCE_TABLE;
}

static __always_inline __u32 *counter_at(__u32 space_number, __u32 number)
{
	struct sequence *sequence = by_id(&sequences, space_number);

	return sequence && number && number <= 2 * SEQUENCE_COUNTERS
		       ? &sequence->counters[number - 1]
		       : NULL;
}

/* Where the search begins. A function of its own for the sake of the stack. */
static __noinline int sequence_begin(struct lease *lease, struct search *search)
{
	struct alloc_space *space = by_id(&spaces, lease->space);
	struct alloc_pool *pool = space ? by_id(&pools, space->pool) : NULL;
	__u32 *counter, count;
	__u64 key;

	if (!pool)
		return 0;
	count = pool->members.count;
	lease->host = space->host;
	search->destination = lease->destination;
	search->peer = lease->peer;
	search->now_ms = now_ms(lease->now_ns);
	search->host = lease->host;
	search->only_cold = lease->rest_flags & LEASE_UNSHARED;
	search->space = lease->space;
	search->algorithm = pool->algorithm;
	search->counter = counter_of(lease, space->netns, pool->algorithm);
	counter = counter_at(lease->space, search->counter);
	if (!counter) {
		search->position = draw_below(lease->space, lease->destination, count);
		return count;
	}
	key = pool->algorithm == RFC_INCREMENTS ? 0 : lease->destination;
	search->offset = pick_prf(hash_secret(), key, space->netns << 2 | 2) >> 33;
	search->from = *counter;
	search->position = search->from;
	if (pool->algorithm == RFC_INCREMENTS)
		search->position = search_next(search, count);
	return count;
}

static __noinline int sequence_finish(const struct search *search, int drew)
{
	__u32 *counter = counter_at(search->space, search->counter);
	__u32 advance = search->position - search->from;

	if (!counter)
		return 0;
	if (drew && search->algorithm != RFC_INCREMENTS)
		advance++;
	__sync_fetch_and_add(counter, advance);
	return 0;
}

/* Try for as long as one pass of the pool takes; claim what is found. */
static __always_inline int sequence_pass(struct lease *lease, struct search *search,
					 __u32 count)
{
	for (int i = 0; i < SEQUENCE_CLAIMS; i++) {
		search->port = 0;
		bpf_loop(count, search_try, search, 0);
		lease->port = search->port;
		if (!search->port)
			return 0;
		if (port_claim(lease))
			return DREW_UNUSED;
		if (!search->only_unused && port_share(lease))
			return DREW_SHARED;
		search->position = search_next(search, count);
	}
	return 0;
}

/*
 * Draw by the pool's algorithm: DREW_UNUSED, DREW_SHARED, or 0 where no port is
 * suitable.
 */
__noinline int sequence_draw(struct lease *lease, __u32 shares)
{
	struct search search = {};
	int count, drew;

	if (!lease)
		return 0;
	count = sequence_begin(lease, &search);
	search.only_unused = shares != ALLOC_SHARING_ALWAYS;
	drew = sequence_pass(lease, &search, count);
	if (!drew && search.only_unused && shares != ALLOC_SHARING_NEVER) {
		search.only_unused = 0;
		drew = sequence_pass(lease, &search, count);
	}
	sequence_finish(&search, drew);
	return drew;
}

#endif /* ALLOC_SEQUENCE_BPF_H */
