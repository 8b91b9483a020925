/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "pipeline/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)

int tally_init(struct tally *tally, enum tally_by by)
{
	*tally = (struct tally){.by = by};
	return hash_init(&tally->entries);
}

static void entry_free(struct tally_entry *entry)
{
	owner_unref(entry->owner);
	free(entry);
}

void tally_release(struct tally *tally)
{
	for (size_t i = 0; i < tally->entries.bucket_count; i++) {
		struct hash_node *next;

		for (struct hash_node *node = tally->entries.buckets[i]; node;
		     node = next) {
			next = node->next;
			entry_free(HASH_OWNER(node, struct tally_entry, node));
		}
	}
	hash_release(&tally->entries);
}

static uint64_t mix(uint64_t key, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i++)
		key = (key ^ at[i]) * FNV_PRIME;
	return key;
}

static struct tally_entry entry_of(const struct tally *tally,
				   const struct session *session, uint32_t uid)
{
	struct tally_entry entry = {0};

	snprintf(entry.pool, sizeof(entry.pool), "%s", session->pool);
	if (tally->by == TALLY_BY_DESTINATION) {
		entry.netns = session->id.netns;
		entry.address = session->dst;
		entry.port = session->dport;
		entry.protocol = session->protocol;
	} else {
		entry.owner = session->owner;
		entry.uid = session->owner ? session->owner->uid : uid;
	}
	return entry;
}

static uint64_t key_of(const struct tally_entry *entry)
{
	uint64_t key = mix(1, entry->pool, strlen(entry->pool));

	key = mix(key, &entry->netns, sizeof(entry->netns));
	key = mix(key, &entry->address, sizeof(entry->address));
	key = mix(key, &entry->port, sizeof(entry->port));
	key = mix(key, &entry->protocol, sizeof(entry->protocol));
	key = mix(key, &entry->uid, sizeof(entry->uid));
	if (entry->owner)
		key = mix(key, &entry->owner->pid, sizeof(entry->owner->pid));
	return key;
}

/* Of one process there may be several owners: before and after an execve(2). */
static bool is_same_owner(const struct owner *a, const struct owner *b)
{
	if (!a || !b)
		return a == b;
	return a == b || (a->pid == b->pid && a->pid_start_ns == b->pid_start_ns);
}

static bool is_same(const struct tally_entry *a, const struct tally_entry *b)
{
	return a->netns == b->netns && a->port == b->port &&
	       a->protocol == b->protocol && a->uid == b->uid &&
	       address_equal(&a->address, &b->address) &&
	       is_same_owner(a->owner, b->owner) && strcmp(a->pool, b->pool) == 0;
}

static struct tally_entry *find(const struct tally *tally,
				const struct tally_entry *wanted, uint64_t key)
{
	struct hash_node *node = hash_find(&tally->entries, key);

	for (; node; node = hash_next(node)) {
		struct tally_entry *entry = HASH_OWNER(node, struct tally_entry, node);

		if (is_same(entry, wanted))
			return entry;
	}
	return NULL;
}

void tally_add(struct tally *tally, const struct session *session, uint32_t uid)
{
	struct tally_entry wanted = entry_of(tally, session, uid);
	uint64_t key = key_of(&wanted);
	struct tally_entry *entry = find(tally, &wanted, key);

	if (!session->pool[0])
		return;
	if (!entry && tally->entries.count < TALLY_MAX) {
		entry = malloc(sizeof(*entry));
		if (entry) {
			*entry = wanted;
			owner_ref(entry->owner);
			hash_add(&tally->entries, &entry->node, key);
		}
	}
	if (entry)
		entry->count++;
	else
		tally->left_out++;
}

void tally_remove(struct tally *tally, const struct session *session)
{
	struct tally_entry wanted = entry_of(tally, session, 0);
	struct tally_entry *entry = find(tally, &wanted, key_of(&wanted));

	if (!entry || --entry->count)
		return;
	hash_remove(&tally->entries, &entry->node);
	entry_free(entry);
}

const struct tally_entry *tally_most(const struct tally *tally, const char *pool)
{
	const struct tally_entry *most = NULL;

	for (size_t i = 0; i < tally->entries.bucket_count; i++) {
		for (struct hash_node *node = tally->entries.buckets[i]; node;
		     node = node->next) {
			const struct tally_entry *entry =
				HASH_OWNER(node, struct tally_entry, node);

			if ((!most || entry->count > most->count) &&
			    strcmp(entry->pool, pool) == 0)
				most = entry;
		}
	}
	return most;
}

const struct tally_entry *tally_find(const struct tally *tally,
				     const struct session *session)
{
	struct tally_entry wanted = entry_of(tally, session, 0);

	return find(tally, &wanted, key_of(&wanted));
}
