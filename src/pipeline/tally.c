/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "pipeline/tally.h"

#include <stdlib.h>
#include <string.h>

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

static struct tally_entry entry_of(const struct tally *tally,
				   const struct session *session, uint32_t uid)
{
	struct tally_entry entry = {0};

	_Static_assert(sizeof(entry.pool) == sizeof(session->pool), "names of pools");
	memcpy(entry.pool, session->pool, sizeof(entry.pool));
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
	const uint64_t numbers[] = {
		entry->netns,
		(uint64_t)entry->port << 8 | entry->protocol,
		(uint64_t)entry->uid << 32 | (entry->owner ? entry->owner->pid : 0),
	};
	uint64_t key = hash_mix(0, entry->pool, strlen(entry->pool));

	key = hash_mix(key, &entry->address, sizeof(entry->address));
	return hash_mix(key, numbers, sizeof(numbers));
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
