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
 * Slots are compared without branches: the verifier would follow each.
 */
#ifndef ALLOC_TUPLE_BPF_H
#define ALLOC_TUPLE_BPF_H

#include "alloc/alloc_maps.bpf.h"

enum tuple_op {
	TUPLE_ADD,    /* in use by cookie; fails where it is in use or resting */
	TUPLE_TAKE,   /* the same, but where it rests, the rest ends */
	TUPLE_REST,   /* resting until value, whatever it was */
	TUPLE_REMOVE, /* where it is in use by cookie */
	TUPLE_UNREST, /* where it rests until just then */
};

struct tuple_request {
	__u64 hash;  /* pick_tuple() */
	__u32 value; /* low half of the cookie, or the millisecond the rest ends */
	__u32 op;    /* enum tuple_op */
	__u32 now_ms;
	__u32 host;
};

#define TUPLE_IN_USE  1
#define TUPLE_RESTING 2

#define SLOT_RESTING (1ULL << 32)

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

/* 0 where the tuple may be used, TUPLE_IN_USE or TUPLE_RESTING. Takes no lock. */
static __always_inline int bucket_find(__u32 number, __u64 hash, __u32 now,
				       __u32 *ret_spilled)
{
	struct tuple_bucket *bucket = by_id(&buckets, number);
	struct slot_masks masks;

	if (!bucket)
		return 0;
	*ret_spilled = bucket->is_spilled;
	masks = slots_compare(bucket->slots, slot_print(hash), now);
	if (!masks.same)
		return 0;
	return masks.same & masks.resting ? TUPLE_RESTING : TUPLE_IN_USE;
}

__noinline int tuple_find(__u64 hash, __u32 now)
{
	__u32 number = hash & (ALLOC_BUCKETS - 1), spilled = 0, ignored;
	int found = bucket_find(number, hash, now, &spilled);

	if (found || !spilled)
		return found;
	return bucket_find(number ^ 1, hash, now, &ignored);
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

/* What the slot becomes, and where; the lock is held. 0, or -EEXIST, -ENOENT, -ENOSPC.
 */
static __always_inline int bucket_change(struct tuple_bucket *bucket,
					 const struct tuple_request *request,
					 __u32 force)
{
	__u64 print = slot_print(request->hash);
	struct slot_masks masks = slots_compare(bucket->slots, print, request->now_ms);
	__u64 slot = print << 33 | request->value, place, mask = masks.same;
	__u32 op = request->op;

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

__noinline int bucket_op(struct tuple_request *request, __u32 number, __u32 force)
{
	struct tuple_bucket *bucket;
	int err;

	if (!request)
		return -22;
	bucket = by_id(&buckets, number);
	if (!bucket)
		return -22;
	bpf_spin_lock(&bucket->lock);
	err = bucket_change(bucket, request, force);
	if (err == -28)
		bucket->is_spilled = 1;
	bpf_spin_unlock(&bucket->lock);
	return err;
}

/* 0, or -EEXIST, -ENOENT, -ENOSPC as the operation says. */
__noinline int tuple_change(struct tuple_request *request)
{
	__u32 number, spilled = 0, ignored;
	int err;

	if (!request)
		return -22;
	number = request->hash & (ALLOC_BUCKETS - 1);
	if (!bucket_find(number, request->hash, request->now_ms, &spilled) && spilled &&
	    bucket_find(number ^ 1, request->hash, request->now_ms, &ignored))
		number ^= 1;
	err = bucket_op(request, number, 0);
	if (err == -28)
		err = bucket_op(request, number ^ 1, 0);
	if (err == -28) {
		err = bucket_op(request, number, 1);
		if (!err)
			STAT_ADD(rests_cut_short, 1);
	}
	return err;
}

#endif /* ALLOC_TUPLE_BPF_H */
