/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_limbo.bpf.h - the sockets that have a place in the tuple set, by their cookie:
 * those that share a port, and first users that are bound to an address.
 *
 * A close may not know any more which destination was asked for (it was unreachable,
 * or another program rewrote it); and of several closes that meet, the one that takes
 * the word out is the one that counts. A word is the low half of the cookie and the
 * destination, in one of four buckets of eight; beside it, what the destination is to
 * sockets that are not bound. No locks: a word comes and goes by compare-and-swap, and
 * only its own socket, or who found it leaked, asks for it.
 */
#ifndef ALLOC_LIMBO_BPF_H
#define ALLOC_LIMBO_BPF_H

#include "alloc/alloc_maps.bpf.h"

#define LIMBO_NEIGHBOURS 4

static __always_inline __u32 limbo_bucket_of(__u32 cookie)
{
	/* Cookies come in runs of one CPU: spread them. */
	return (cookie * 0x9e3779b1U) >> 17;
}

static __always_inline int limbo_bucket_add(__u32 number, __u64 word, __u32 peer)
{
	struct limbo_bucket *bucket = by_id(&limbo, number);
	struct limbo_peers *peers = by_id(&limbo_peers, number);

	if (!bucket || !peers)
		return 0;
	for (int i = 0; i < ALLOC_LIMBO_SLOTS; i++) {
		if (bucket->words[i] ||
		    __sync_val_compare_and_swap(&bucket->words[i], 0, word))
			continue;
		peers->peers[i] = peer;
		return 1;
	}
	return 0;
}

/* 1, or 0 where there is no room. */
__noinline int limbo_add(__u64 cookie, __u32 destination, __u32 peer)
{
	__u64 word = cookie << 32 | destination;
	__u32 number = limbo_bucket_of(cookie);

	for (__u32 i = 0; i < LIMBO_NEIGHBOURS; i++)
		if (limbo_bucket_add(number ^ i, word, peer))
			return 1;
	return 0;
}

static __always_inline int limbo_bucket_find(__u32 number, __u32 cookie)
{
	struct limbo_bucket *bucket = by_id(&limbo, number);

	if (!bucket)
		return -1;
	for (int i = 0; i < ALLOC_LIMBO_SLOTS; i++)
		if (bucket->words[i] && bucket->words[i] >> 32 == cookie)
			return i;
	return -1;
}

/* The place of the socket's word, from 1; 0: it has none. */
__noinline int limbo_find(__u32 cookie)
{
	__u32 number = limbo_bucket_of(cookie);

	for (__u32 i = 0; i < LIMBO_NEIGHBOURS; i++) {
		int slot = limbo_bucket_find(number ^ i, cookie);

		if (slot >= 0)
			return (number ^ i) * ALLOC_LIMBO_SLOTS + slot + 1;
	}
	return 0;
}

/* Take the word out. 0: somebody else did. */
__noinline int limbo_take(__u32 cookie)
{
	__u32 place = limbo_find(cookie), slot = (place - 1) % ALLOC_LIMBO_SLOTS;
	struct limbo_bucket *bucket = by_id(&limbo, (place - 1) / ALLOC_LIMBO_SLOTS);
	__u64 word;

	if (!place || !bucket)
		return 0;
	word = bucket->words[slot];
	return word >> 32 == cookie && word &&
	       __sync_val_compare_and_swap(&bucket->words[slot], word, 0) == word;
}

#endif /* ALLOC_LIMBO_BPF_H */
