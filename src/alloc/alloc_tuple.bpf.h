/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_tuple.bpf.h - the set of tuples that share a port or rest.
 *
 * A hash of 64-byte buckets, seven slots each, one lock each; a full bucket
 * spills into its neighbour. The first user of a port is in the port's record and not
 * here. A slot is 0, or 31 bits of the tuple's hash, a bit that says resting, and
 * the low half of the cookie (in use) or the millisecond the rest ends. A rest that
 * is over counts as an empty slot, so nothing has to happen at its end.
 *
 * A socket bound to an address has a tuple of its own (its destination is a hash of the
 * address too), and joins the destination's *bound mark* on that port: one slot for
 * all of them, which counts them and knows when the last of their rests ends. A socket
 * that is not bound may come out at any address, so it asks for the mark as well; and
 * the bound one asks for the destination as the unbound have it.
 *
 * Slots are compared without branches: the verifier would follow each.
 */
#ifndef ALLOC_TUPLE_BPF_H
#define ALLOC_TUPLE_BPF_H

#include "alloc/alloc_maps.bpf.h"

enum tuple_op {
	TUPLE_ADD,    /* in use by cookie; fails where it is in use or resting */
	TUPLE_TAKE,   /* the same, but where it rests, the rest ends */
	TUPLE_REST,   /* resting until value, whatever it was */
	TUPLE_JOIN,   /* a bound mark: one socket more */
	TUPLE_REMOVE, /* where it is in use by cookie */
	TUPLE_UNREST, /* where it rests until just then */
	TUPLE_LEAVE, /* a bound mark: one less, which rests until value (0: does not) */
};

struct tuple_request {
	__u64 hash;  /* pick_tuple() */
	__u32 value; /* low half of the cookie, or the millisecond the rest ends */
	__u32 now_ms;
};

#define TUPLE_IN_USE  1
#define TUPLE_RESTING 2

#define SLOT_RESTING (1ULL << 32)

/* A bound mark in use: 14 bits count, 18 bits say until when one rests, in 1,024 ms. */
#define MARK_COUNT  0x3fff
#define MARK_SHIFT  14
#define MARK_CLOCK  0x3ffff
#define MARK_FUTURE 0x20000

static __always_inline __u64 slot_print(__u64 hash)
{
	return hash >> 33 | 1;
}

static __always_inline __u64 is_zero(__u64 x)
{
	x = x >> 1 | (x & 1);
	PICK_OPAQUE(x);
	x -= 1;
	PICK_OPAQUE(x);
	return x >> 63;
}

struct slot_masks {
	__u64 same;    /* this tuple, in use or still resting */
	__u64 free;    /* empty, or its rest is over */
	__u64 resting; /* still resting */
};

static __always_inline struct slot_masks slots_compare(const __u64 *slots, __u64 print,
						       __u32 now)
{
	struct slot_masks masks = {};

#pragma unroll
	for (int i = 0; i < 7; i++) {
		__u64 slot = slots[i];
		__u64 resting = slot >> 32 & 1;
		__u64 left = ((slot & 0xffffffff) - now) & 0xffffffff;
		__u64 over;

		PICK_OPAQUE(left);
		/* Over where left is 0 or, as a signed number, negative. */
		over = resting & ((left - 1) >> 31 & 1);
		PICK_OPAQUE(over);
		masks.free |= (is_zero(slot) | over) << i;
		masks.same |= (is_zero((slot >> 33) ^ print) & ~over) << i;
		masks.resting |= (resting & ~over) << i;
	}
	PICK_OPAQUE(masks.free);
	PICK_OPAQUE(masks.same);
	PICK_OPAQUE(masks.resting);
	return masks;
}

/* The place of the lowest bit of a mask that has one. */
static __always_inline __u64 lowest(__u64 mask)
{
	__u64 place = pick_popcount((mask & -mask) - 1);

	PICK_BOUND(place, 7);
	return place;
}

#define BUCKET_SPILLED 4

/* 0 where the tuple may be used, TUPLE_IN_USE or TUPLE_RESTING; BUCKET_SPILLED in
 * addition where the neighbour is to be asked. Takes no lock. */
static __always_inline int bucket_find(__u32 number, __u64 print, __u32 now)
{
	struct tuple_bucket *bucket = by_id(&buckets, number);
	struct slot_masks masks;

	if (!bucket)
		return 0;
	masks = slots_compare(bucket->slots, print, now);
	if (!masks.same)
		return bucket->is_spilled ? BUCKET_SPILLED : 0;
	return masks.same & masks.resting ? TUPLE_RESTING : TUPLE_IN_USE;
}

__noinline int tuple_find(__u64 hash, __u32 now)
{
	__u32 number = hash & (ALLOC_BUCKETS - 1);
	int found = 0;

	for (int i = 0; i < 2; i++) {
		found = bucket_find(number ^ i, slot_print(hash), now);
		if (found != BUCKET_SPILLED)
			return found;
	}
	return 0;
}

static __always_inline bool bucket_has(__u32 number, __u64 slot)
{
	struct tuple_bucket *bucket = by_id(&buckets, number);
	__u64 same = 0;

	if (!bucket)
		return false;
#pragma unroll
	for (int i = 0; i < 7; i++)
		same |= is_zero(bucket->slots[i] ^ slot);
	return same;
}

/* True where this cookie uses the tuple. */
__noinline int tuple_is_used_by(__u64 hash, __u32 cookie)
{
	__u64 slot = slot_print(hash) << 33 | cookie;
	__u32 number = hash & (ALLOC_BUCKETS - 1);

	return bucket_has(number, slot) || bucket_has(number ^ 1, slot);
}

/* How long the mark's longest rest still takes, in its clock. */
static __always_inline __u32 mark_left(__u64 slot, __u32 now)
{
	__u32 left;

	if (!slot)
		return 0;
	if (slot & SLOT_RESTING)
		return (((__u32)slot - now) >> 10) + 1;
	left = ((__u32)slot >> MARK_SHIFT) - (now >> 10);
	left &= MARK_CLOCK;
	return left & MARK_FUTURE ? 0 : left;
}

/* The mark's slot with one socket more or less, 0 where nothing remains of it. */
static __always_inline __u64 mark_change(__u64 slot,
					 const struct tuple_request *request, __u32 op)
{
	__u64 print = slot_print(request->hash) << 33;
	__u32 now = request->now_ms, left = mark_left(slot, now), rest;
	__u32 count = slot & SLOT_RESTING ? 0 : slot & MARK_COUNT;

	if (op == TUPLE_JOIN) {
		count++;
	} else {
		count--;
		rest = request->value ? ((request->value - now) >> 10) + 1 : 0;
		if (rest < MARK_FUTURE && rest > left)
			left = rest;
	}
	if (count)
		return print | ((left + (now >> 10)) & MARK_CLOCK) << MARK_SHIFT |
		       count;
	return left ? print | SLOT_RESTING | (__u32)(now + (left << 10)) : 0;
}

/* What the slot becomes, and where; the lock is held. 0, or -EEXIST, -ENOENT, -ENOSPC.
 */
static __always_inline int bucket_change(struct tuple_bucket *bucket,
					 const struct tuple_request *request, __u32 op,
					 __u32 force)
{
	__u64 print = slot_print(request->hash);
	struct slot_masks masks = slots_compare(bucket->slots, print, request->now_ms);
	__u64 slot = print << 33 | request->value, place, mask = masks.same;
	if ((op == TUPLE_ADD && mask) || (op == TUPLE_TAKE && (mask & ~masks.resting)))
		return -17;
	if (op == TUPLE_REST)
		slot |= SLOT_RESTING;
	if (op == TUPLE_UNREST)
		mask &= masks.resting;
	if (op <= TUPLE_REST && !mask) {
		mask = masks.free;
		if (!mask && force)
			mask = masks.resting;
		if (!mask)
			return -28;
	}
	if (!mask)
		return -2;
	place = lowest(mask);
	if (place > 6)
		return -2;
	if (op == TUPLE_UNREST)
		slot |= SLOT_RESTING;
	if (op >= TUPLE_REMOVE && bucket->slots[place] != slot)
		return -2;
	bucket->slots[place] = op <= TUPLE_REST ? slot : 0;
	return 0;
}

__noinline int bucket_op(struct tuple_request *request, __u32 op, __u32 number,
			 __u32 force)
{
	struct tuple_bucket *bucket;
	int err;

	if (!request)
		return -22;
	bucket = by_id(&buckets, number);
	if (!bucket)
		return -22;
	bpf_spin_lock(&bucket->lock);
	err = bucket_change(bucket, request, op, force);
	if (err == -28)
		bucket->is_spilled = 1;
	bpf_spin_unlock(&bucket->lock);
	return err;
}

/* The mark's slot; the lock is held. 0, or -EEXIST (too many), -ENOENT, -ENOSPC. */
static __always_inline int bucket_mark(struct tuple_bucket *bucket,
				       const struct tuple_request *request, __u32 op,
				       __u32 force)
{
	struct slot_masks masks = slots_compare(
		bucket->slots, slot_print(request->hash), request->now_ms);
	__u32 joins = op == TUPLE_JOIN;
	__u64 mask = masks.same, slot = 0, place;

	if (!joins)
		mask &= ~masks.resting;
	else if (!mask)
		mask = masks.free ? masks.free : force ? masks.resting : 0;
	if (!mask)
		return joins ? -28 : -2;
	place = lowest(mask);
	if (place > 6)
		return -2;
	if (masks.same)
		slot = bucket->slots[place];
	if (joins && !(slot & SLOT_RESTING) && (slot & MARK_COUNT) == MARK_COUNT)
		return -17;
	bucket->slots[place] = mark_change(slot, request, op);
	return 0;
}

__noinline int mark_op(struct tuple_request *request, __u32 op, __u32 number,
		       __u32 force)
{
	struct tuple_bucket *bucket;
	int err;

	if (!request)
		return -22;
	bucket = by_id(&buckets, number);
	if (!bucket)
		return -22;
	bpf_spin_lock(&bucket->lock);
	err = bucket_mark(bucket, request, op, force);
	if (err == -28)
		bucket->is_spilled = 1;
	bpf_spin_unlock(&bucket->lock);
	return err;
}

static __always_inline int bucket_do(struct tuple_request *request, __u32 op,
				     __u32 number, __u32 force)
{
	return op == TUPLE_JOIN || op == TUPLE_LEAVE
		       ? mark_op(request, op, number, force)
		       : bucket_op(request, op, number, force);
}

/* The bucket that has the tuple, or should. */
__noinline __u32 bucket_of(__u64 hash, __u32 now)
{
	__u32 number = hash & (ALLOC_BUCKETS - 1);
	int found;

	for (int i = 0; i < 2; i++) {
		found = bucket_find(number ^ i, slot_print(hash), now);
		if (found && found != BUCKET_SPILLED)
			return number ^ i;
		if (!found)
			break;
	}
	return number;
}

/* 0, or -EEXIST, -ENOENT, -ENOSPC as the operation says. */
__noinline int tuple_change(struct tuple_request *request, __u32 op)
{
	__u32 number;
	int err;

	if (!request)
		return -22;
	number = bucket_of(request->hash, request->now_ms);
	err = bucket_do(request, op, number, 0);
	if (err == -28)
		err = bucket_do(request, op, number ^ 1, 0);
	if (err == -28) {
		err = bucket_do(request, op, number, 1);
		if (!err)
			STAT_ADD(0, rests_cut_short, 1);
	}
	return err;
}

#endif /* ALLOC_TUPLE_BPF_H */
