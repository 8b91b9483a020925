/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_open_set.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 1024

void ledger_open_set_release(struct ledger_open_set *set)
{
	free(set->slots);
	free(set->boots);
	*set = (struct ledger_open_set){0};
}

/* Cookies are counted up by the kernel; the product spreads them over the highest bits.
 */
static size_t home_of(const struct ledger_open_set *set, uint64_t netns,
		      uint64_t cookie, uint32_t use)
{
	uint64_t mixed =
		(cookie ^ netns << 40 ^ (uint64_t)use << 20) * 0x9e3779b97f4a7c15;

	return mixed >> (__builtin_clzll(set->capacity) + 1);
}

/* Index plus 1, or 0. */
static uint16_t find_boot(const struct ledger_open_set *set, const char *boot)
{
	for (size_t i = set->boot_count; i > 0; i--)
		if (strcmp(set->boots[i - 1], boot) == 0)
			return (uint16_t)i;
	return 0;
}

static uint16_t add_boot(struct ledger_open_set *set, const char *boot)
{
	uint16_t found = find_boot(set, boot);
	void *grown;

	if (found)
		return found;
	if (set->boot_count == UINT16_MAX)
		return 0;
	grown = reallocarray(set->boots, set->boot_count + 1, sizeof(*set->boots));
	if (!grown)
		return 0;
	set->boots = grown;
	snprintf(set->boots[set->boot_count], SESSION_BOOT_MAX, "%s", boot);
	return (uint16_t)++set->boot_count;
}

/* The slot of the id, or the empty one where it belongs. */
static struct ledger_open_entry *probe(const struct ledger_open_set *set,
				       const struct ledger_open_entry *wanted)
{
	size_t at = home_of(set, wanted->netns, wanted->cookie, wanted->use);

	for (;; at = (at + 1) & (set->capacity - 1)) {
		struct ledger_open_entry *slot = &set->slots[at];

		if (!slot->boot ||
		    (slot->cookie == wanted->cookie && slot->netns == wanted->netns &&
		     slot->use == wanted->use && slot->boot == wanted->boot))
			return slot;
	}
}

struct ledger_open_entry *ledger_open_set_find(const struct ledger_open_set *set,
					       const struct session_id *id)
{
	struct ledger_open_entry wanted = {
		.netns = id->netns,
		.cookie = id->cookie,
		.use = id->use,
		.boot = find_boot(set, id->boot),
	};
	struct ledger_open_entry *slot;

	if (!wanted.boot || !set->capacity)
		return NULL;
	slot = probe(set, &wanted);
	return slot->boot ? slot : NULL;
}

static bool grow(struct ledger_open_set *set)
{
	struct ledger_open_set grown = *set;

	grown.capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
	grown.slots = calloc(grown.capacity, sizeof(*grown.slots));
	if (!grown.slots)
		return false;
	for (size_t i = 0; i < set->capacity; i++)
		if (set->slots[i].boot)
			*probe(&grown, &set->slots[i]) = set->slots[i];
	free(set->slots);
	*set = grown;
	return true;
}

struct ledger_open_entry *ledger_open_set_add(struct ledger_open_set *set,
					      const struct session_id *id)
{
	struct ledger_open_entry wanted = {
		.netns = id->netns,
		.cookie = id->cookie,
		.use = id->use,
		.boot = add_boot(set, id->boot),
		.pending = LEDGER_NOT_PENDING,
	};
	struct ledger_open_entry *slot;

	if (!wanted.boot)
		return NULL;
	if (set->count * 4 >= set->capacity * 3 && !grow(set))
		return NULL;
	slot = probe(set, &wanted);
	if (!slot->boot) {
		*slot = wanted;
		set->count++;
	}
	return slot;
}

/* Close the hole by moving back what was pushed past it (Knuth, vol. 3, 6.4 R). */
void ledger_open_set_remove(struct ledger_open_set *set,
			    struct ledger_open_entry *entry)
{
	size_t mask = set->capacity - 1;
	size_t hole = (size_t)(entry - set->slots);

	for (size_t at = (hole + 1) & mask; set->slots[at].boot; at = (at + 1) & mask) {
		const struct ledger_open_entry *moved = &set->slots[at];
		size_t home = home_of(set, moved->netns, moved->cookie, moved->use);

		if (((at - home) & mask) < ((at - hole) & mask))
			continue;
		set->slots[hole] = *moved;
		hole = at;
	}
	set->slots[hole] = (struct ledger_open_entry){0};
	set->count--;
}
