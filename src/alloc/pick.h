/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pick.h - draw a port, each free one equally likely, at a cost that does not
 * depend on how many are taken.
 *
 * Compiled twice: by the host compiler, and by clang -target bpf into alloc.bpf.c.
 * So: fixed-width types, no libc, no globals, no unbounded loop, and no branch on a
 * drawn value, which neither the verifier nor the branch predictor likes.
 * tests/bpf/test_pick.c checks that both builds agree.
 *
 * A draw is pick_prf() over a counter, reduced by pick_below() to a rank, and
 * port_map_select() finds the port of that rank. Nothing here locks. A port is
 * taken by the one atomic operation that clears its bit; the counts
 * follow, so a select that races with a take may come out at a port that is
 * no longer free: port_map_take() says so, and the caller draws again.
 */
#ifndef ALLOC_PICK_H
#define ALLOC_PICK_H

#ifndef __bpf__
#include <linux/types.h>
#include <stdbool.h>
#endif

#define PICK_INLINE static inline __attribute__((always_inline))

/*
 * Clang turns a mask that came from a comparison back into a branch, and loses a
 * bound that it thinks it knows. These keep both out of its sight.
 */
#ifdef __bpf__
#define PICK_SIGN(x)	    asm volatile("%0 s>>= 63" : "+r"(x))
#define PICK_BOUND(x, mask) asm volatile("%0 &= " #mask : "+r"(x))
#define PICK_OPAQUE(x)	    asm volatile("" : "+r"(x))
#else
#define PICK_SIGN(x)	    ((x) >>= 63)
#define PICK_BOUND(x, mask) ((x) &= (mask))
#define PICK_OPAQUE(x)	    ((void)(x))
#endif

/* A set of ports: a bit each, and counts that lead to the k-th one in few cache lines.
 */
struct port_map {
	__u32 count;
	__u32 reserved;
	__u32 per_4096[16];
	__u32 per_256[256];
	__u64 words[1024];
};

/* All ones where a >= b, else zero. a and b are below 2^63. */
PICK_INLINE __u64 pick_mask_ge(__u64 a, __u64 b)
{
	__s64 below = (__s64)(a - b);
	__u64 mask;

	PICK_SIGN(below);
	mask = ~(__u64)below;
	PICK_OPAQUE(mask);
	return mask;
}

#define PICK_L8 0x0101010101010101ULL
#define PICK_H8 0x8080808080808080ULL

/* For each byte of w the number of bits set in it and in the bytes below it. */
PICK_INLINE __u64 pick_byte_ranks(__u64 w)
{
	w = w - ((w >> 1) & 0x5555555555555555ULL);
	w = (w & 0x3333333333333333ULL) + ((w >> 2) & 0x3333333333333333ULL);
	return ((w + (w >> 4)) & 0x0f0f0f0f0f0f0f0fULL) * PICK_L8;
}

PICK_INLINE __u64 pick_popcount(__u64 w)
{
	return pick_byte_ranks(w) >> 56;
}

/* How many of the eight ranks are at most k: the place of the byte that holds bit k. */
PICK_INLINE __u64 pick_ranks_passed(__u64 ranks, __u64 k)
{
	return (((((k * PICK_L8) | PICK_H8) - ranks) & PICK_H8) >> 7) * PICK_L8 >> 56;
}

/*
 * The place of the k-th (from 0) set bit of w, which has more than k. Broadword
 * selection: S. Vigna, "Broadword Implementation of Rank/Select Queries", 2008.
 */
PICK_INLINE __u32 pick_select64(__u64 w, __u64 k)
{
	__u64 ranks = pick_byte_ranks(w);
	__u64 place = pick_ranks_passed(ranks, k) << 3;
	__u64 bits;

	PICK_BOUND(place, 63);
	k -= ((ranks << 8) >> place) & 0xff;
	/* Spread the byte's bits to one byte each, as 0 or 1. */
	bits = (((w >> place) & 0xff) * PICK_L8) & 0x8040201008040201ULL;
	bits = ((bits + 0x7f7f7f7f7f7f7f7fULL) & PICK_H8) >> 7;
	return place + pick_ranks_passed(bits * PICK_L8, k);
}

/* The group of 16 that holds rank *k; *k becomes the rank within the group. */
PICK_INLINE __u64 pick_group(const __u32 *counts, __u64 *k)
{
	__u64 sum = 0, passed = 0, group = 0, rank = *k;

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++) {
		__u64 count = counts[i], mask;

		sum += count;
		mask = pick_mask_ge(rank, sum);
		group -= mask;
		passed += count & mask;
	}
	*k = rank - passed;
	PICK_BOUND(group, 15);
	return group;
}

/* The port of rank k (from 0), where map->count > k; some port otherwise. */
PICK_INLINE __u32 port_map_select(const struct port_map *map, __u64 k)
{
	__u64 group = pick_group(map->per_4096, &k) << 4;
	__u64 sum = 0, passed = 0, word = 0;

	group += pick_group(&map->per_256[group], &k);
	group <<= 2;
	PICK_BOUND(group, 1020);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		__u64 count = pick_popcount(map->words[group + i]), mask;

		sum += count;
		mask = pick_mask_ge(k, sum);
		word -= mask;
		passed += count & mask;
	}
	PICK_BOUND(word, 3);
	group += word;
	PICK_BOUND(group, 1023);
	return (group << 6) + pick_select64(map->words[group], k - passed);
}

PICK_INLINE bool port_map_has(const struct port_map *map, __u64 port)
{
	__u64 word = port >> 6;

	PICK_BOUND(word, 1023);
	return map->words[word] >> (port & 63) & 1;
}

PICK_INLINE void port_map_count(struct port_map *map, __u64 port, __u32 change)
{
	__u64 group = port >> 8, super;

	PICK_BOUND(group, 255);
	super = group >> 4;
	PICK_BOUND(super, 15);
	__sync_fetch_and_add(&map->per_256[group], change);
	__sync_fetch_and_add(&map->per_4096[super], change);
	__sync_fetch_and_add(&map->count, change);
}

/* Take the port out. False when it was not there: somebody else took it. */
PICK_INLINE bool port_map_take(struct port_map *map, __u64 port)
{
	__u64 word = port >> 6, bit = 1ULL << (port & 63);

	PICK_BOUND(word, 1023);
	if (!(__sync_fetch_and_and(&map->words[word], ~bit) & bit))
		return false;
	port_map_count(map, port, -1);
	return true;
}

/* Put the port in. False when it was there. */
PICK_INLINE bool port_map_give(struct port_map *map, __u64 port)
{
	__u64 word = port >> 6, bit = 1ULL << (port & 63);

	PICK_BOUND(word, 1023);
	if (__sync_fetch_and_or(&map->words[word], bit) & bit)
		return false;
	port_map_count(map, port, 1);
	return true;
}

struct pick_key {
	__u64 k0;
	__u64 k1;
};

#define PICK_ROTATE(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define PICK_SIP_ROUND                    \
	do {                              \
		v0 += v1;                 \
		v1 = PICK_ROTATE(v1, 13); \
		v1 ^= v0;                 \
		v0 = PICK_ROTATE(v0, 32); \
		v2 += v3;                 \
		v3 = PICK_ROTATE(v3, 16); \
		v3 ^= v2;                 \
		v0 += v3;                 \
		v3 = PICK_ROTATE(v3, 21); \
		v3 ^= v0;                 \
		v2 += v1;                 \
		v1 = PICK_ROTATE(v1, 17); \
		v1 ^= v2;                 \
		v2 = PICK_ROTATE(v2, 32); \
	} while (0)

/*
 * SipHash-2-4 of the 16 bytes m0 m1: J.-P. Aumasson and D. J. Bernstein, "SipHash: a
 * fast short-input PRF", 2012. Without the key its values cannot be told from random
 * ones.
 */
PICK_INLINE __u64 pick_prf(struct pick_key key, __u64 m0, __u64 m1)
{
	__u64 v0 = key.k0 ^ 0x736f6d6570736575ULL;
	__u64 v1 = key.k1 ^ 0x646f72616e646f6dULL;
	__u64 v2 = key.k0 ^ 0x6c7967656e657261ULL;
	__u64 v3 = key.k1 ^ 0x7465646279746573ULL;

	v3 ^= m0;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	v0 ^= m0;
	v3 ^= m1;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	v0 ^= m1;
	v3 ^= 16ULL << 56;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	v0 ^= 16ULL << 56;
	v2 ^= 0xff;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	PICK_SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

#define PICK_AGAIN 0xffffffffU

/*
 * A number below n (1 to 65,536) from 64 random bits, each equally likely, or
 * PICK_AGAIN (once in 2^32 draws, at most): D. Lemire, "Fast Random Integer Generation
 * in an Interval", 2019, on 48 of the bits, whose product with n fits 64.
 */
PICK_INLINE __u32 pick_below(__u64 random, __u32 n)
{
	__u64 product = (random >> 16) * n;
	__u64 low = product & 0xffffffffffffULL;

	if (low < n && low < (1ULL << 48) % n)
		return PICK_AGAIN;
	return product >> 48;
}

/*
 * A destination as 32 bits, under a secret. A keyed hash and no more: where two
 * destinations fall together, one sees the other's ports as taken. Bit 0 is set.
 */
PICK_INLINE __u32 pick_destination(struct pick_key key, const __u32 *address,
				   __u16 port)
{
	__u64 front = (__u64)address[1] << 32 | address[0];
	__u64 back = (__u64)address[3] << 32 | address[2];
	__u64 h = (back ^ key.k0) * 0xff51afd7ed558ccdULL;

	h ^= h >> 32;
	h = (h ^ front ^ key.k1) * 0xc4ceb9fe1a85ec53ULL;
	h ^= h >> 29;
	h = (h ^ port) * 0x9e3779b97f4a7c15ULL;
	return (__u32)(h ^ h >> 32) | 1;
}

/* Bytes 8 to 11 of a v4-mapped address, as little-endian machines (all ours) read them.
 */
#define PICK_MAPPED 0xffff0000U

/*
 * The same destination as it is to a socket bound to the address source. An IPv4
 * address is the same with or without the prefix of v4-mapped ones.
 */
PICK_INLINE __u32 pick_bound_destination(struct pick_key key, __u32 destination,
					 const __u32 *source)
{
	__u64 front = (__u64)source[1] << 32 | source[0];
	__u32 third = !front && source[2] == PICK_MAPPED ? 0 : source[2];
	__u64 back = (__u64)source[3] << 32 | third;
	__u64 h = (back ^ key.k1) * 0xc4ceb9fe1a85ec53ULL;

	h ^= h >> 32;
	h = (h ^ front ^ key.k0) * 0xff51afd7ed558ccdULL;
	h ^= h >> 29;
	h = (h ^ destination) * 0x9e3779b97f4a7c15ULL;
	return (__u32)(h ^ h >> 32) | 1;
}

/* "Some bound socket has it": never the same as any destination. */
PICK_INLINE __u32 pick_bound_mark(__u32 destination)
{
	return destination & ~1U;
}

/* One tuple of a host (namespace and protocol) as 64 bits, from its destination and
 * port. */
PICK_INLINE __u64 pick_tuple(__u32 destination, __u32 host, __u32 port)
{
	__u64 h =
		((__u64)destination << 32 | host << 16 | port) * 0xff51afd7ed558ccdULL;

	h ^= h >> 32;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 29;
}

#endif /* ALLOC_PICK_H */
