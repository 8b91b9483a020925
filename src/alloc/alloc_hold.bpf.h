/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_hold.bpf.h - ports that sockets take, share and let go.
 *
 * A port is held in this order, and let go in the reverse: its bit leaves `unused`;
 * its record names the first user; its users are counted. Later users (sharing)
 * count themselves only while the count is not zero, and stand in the tuple set. Who
 * brings the count to zero puts the bit back. No step needs a lock over the others.
 */
#ifndef ALLOC_HOLD_BPF_H
#define ALLOC_HOLD_BPF_H

#include "alloc/alloc_rest.bpf.h"

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
	record_close(record, lease->now_ns, true);
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
	record_close(record, lease->now_ns, lease->rest_flags & LEASE_WAITS);
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
	    (record->mark &
	     (RECORD_FOREIGN | RECORD_EXCLUSIVE | RECORD_LISTENED | RECORD_PROGRAM)))
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

#endif /* ALLOC_HOLD_BPF_H */
