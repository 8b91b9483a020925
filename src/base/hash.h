/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * hash.h - a hash table of nodes that live inside their owners' structs.
 *
 * The table allocates only its buckets and frees no node. Several nodes may have
 * the same key; hash_next() walks them.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_node {
	struct hash_node *next;
	uint64_t key;
};

struct hash {
	struct hash_node **buckets;
	size_t bucket_count; /* a power of two */
	size_t count;
};

/* The struct around a node. */
#define HASH_OWNER(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))

int hash_init(struct hash *hash); /* 0 or -ENOMEM */
void hash_release(struct hash *hash);

/* Never fails: without memory to grow, chains grow longer. */
void hash_add(struct hash *hash, struct hash_node *node, uint64_t key);
void hash_remove(struct hash *hash, struct hash_node *node);

struct hash_node *hash_find(const struct hash *hash, uint64_t key); /* NULL: none */
struct hash_node *hash_next(const struct hash_node *node); /* the next of its key */

/*
 * A number from another and bytes, for keys of hash tables: eight bytes at a time.
 * Begin with any number. It is no defence against who chooses the bytes.
 */
uint64_t hash_mix(uint64_t key, const void *bytes, size_t length);

#endif /* BASE_HASH_H */
