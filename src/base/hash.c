/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET_COUNT_MIN 64
#define SPREAD		 UINT64_C(0x9e3779b97f4a7c15)

/*
 * Keys are counters and addresses; a multiplication spreads them over the highest bits.
 * (Not over those in the middle: there a counter meets every ninth bucket only.)
 */
static size_t bucket_of(const struct hash *hash, uint64_t key)
{
	key ^= key >> 32;
	key *= SPREAD;
	return key >> (__builtin_clzll(hash->bucket_count) + 1);
}

int hash_init(struct hash *hash)
{
	struct hash_node **buckets = calloc(BUCKET_COUNT_MIN, sizeof(*buckets));

	if (!buckets)
		return -ENOMEM;
	*hash = (struct hash){.buckets = buckets, .bucket_count = BUCKET_COUNT_MIN};
	return 0;
}

void hash_release(struct hash *hash)
{
	free(hash->buckets);
	*hash = (struct hash){};
}

static void push(struct hash *hash, struct hash_node *node)
{
	struct hash_node **bucket = &hash->buckets[bucket_of(hash, node->key)];

	node->next = *bucket;
	*bucket = node;
}

static void grow(struct hash *hash)
{
	struct hash old = *hash;
	struct hash_node *next;

	hash->buckets = calloc(old.bucket_count * 2, sizeof(*hash->buckets));
	if (!hash->buckets) {
		hash->buckets = old.buckets;
		return;
	}
	hash->bucket_count = old.bucket_count * 2;
	for (size_t i = 0; i < old.bucket_count; i++) {
		for (struct hash_node *node = old.buckets[i]; node; node = next) {
			next = node->next;
			push(hash, node);
		}
	}
	free(old.buckets);
}

void hash_add(struct hash *hash, struct hash_node *node, uint64_t key)
{
	if (hash->count >= hash->bucket_count)
		grow(hash);
	node->key = key;
	push(hash, node);
	hash->count++;
}

void hash_remove(struct hash *hash, struct hash_node *node)
{
	struct hash_node **at = &hash->buckets[bucket_of(hash, node->key)];

	while (*at && *at != node)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = node->next;
	hash->count--;
}

struct hash_node *hash_find(const struct hash *hash, uint64_t key)
{
	struct hash_node *node = hash->buckets[bucket_of(hash, key)];

	while (node && node->key != key)
		node = node->next;
	return node;
}

struct hash_node *hash_next(const struct hash_node *node)
{
	struct hash_node *next = node->next;

	while (next && next->key != node->key)
		next = next->next;
	return next;
}

static uint64_t mix_word(uint64_t key, uint64_t word)
{
	key = (key ^ word) * SPREAD;
	return key ^ key >> 32;
}

uint64_t hash_mix(uint64_t key, const void *bytes, size_t length)
{
	const char *at = bytes;
	uint64_t word;

	for (; length >= sizeof(word); at += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		key = mix_word(key, word);
	}
	if (!length)
		return key;
	word = 0;
	memcpy(&word, at, length);
	return mix_word(key, word);
}
