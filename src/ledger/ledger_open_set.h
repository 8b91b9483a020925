/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_open_set.h - where the writer finds a session again by its id. Private to
 * ledger/.
 *
 * It holds the sessions that are open in the newest file and those that wait for
 * the next commit. A unique index over boot, namespace, cookie and use would do the
 * same for 30 bytes a row; what is open is few.
 */
#ifndef LEDGER_OPEN_SET_H
#define LEDGER_OPEN_SET_H

#include <stddef.h>
#include <stdint.h>

#include "model/session.h"

#define LEDGER_NOT_PENDING (-1)

struct ledger_open_entry {
	uint64_t netns;
	uint64_t cookie;
	uint32_t use;
	uint16_t boot;	 /* index in boots, plus 1; 0: the slot is empty */
	uint16_t sport;	 /* as stored */
	int64_t row;	 /* in the newest file; 0: not stored */
	int32_t pending; /* place among those that wait, or LEDGER_NOT_PENDING */
};

struct ledger_open_set {
	struct ledger_open_entry *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
	char (*boots)[SESSION_BOOT_MAX];
	size_t boot_count;
};

void ledger_open_set_release(struct ledger_open_set *set);

/* Entries move: what these two return is good until the next add or remove. */
struct ledger_open_entry *ledger_open_set_find(const struct ledger_open_set *set,
					       const struct session_id *id);

/* The entry of id, made when missing. NULL: no memory. */
struct ledger_open_entry *ledger_open_set_add(struct ledger_open_set *set,
					      const struct session_id *id);

void ledger_open_set_remove(struct ledger_open_set *set,
			    struct ledger_open_entry *entry);

#endif /* LEDGER_OPEN_SET_H */
