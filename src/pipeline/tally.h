/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tally.h - how many open sessions of each pool go to each destination, or belong to
 * each owner.
 *
 * At most 65,536 of them are told apart; sessions of further ones are only counted as
 * left out.
 */
#ifndef PIPELINE_TALLY_H
#define PIPELINE_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "model/session.h"

#define TALLY_MAX 65536

enum tally_by {
	TALLY_BY_DESTINATION, /* namespace, protocol, address, port */
	TALLY_BY_OWNER,	      /* process; where it is not known, the user */
};

struct tally_entry {
	struct hash_node node;
	char pool[SESSION_POOL_MAX];
	uint32_t count;
	/* by destination */
	uint64_t netns;
	struct address address;
	uint16_t port;
	uint8_t protocol;
	/* by owner */
	uint32_t uid;
	struct owner *owner; /* referenced; NULL: only the uid is known */
};

struct tally {
	enum tally_by by;
	struct hash entries;
	uint64_t left_out;
};

int tally_init(struct tally *tally, enum tally_by by);
void tally_release(struct tally *tally);

/* Of a session without an owner, uid says whose it is. */
void tally_add(struct tally *tally, const struct session *session, uint32_t uid);
void tally_remove(struct tally *tally, const struct session *session);

/* The one that has most of this pool's sessions; NULL: none has any. */
const struct tally_entry *tally_most(const struct tally *tally, const char *pool);

/* That of this session; NULL: it was not counted. */
const struct tally_entry *tally_find(const struct tally *tally,
				     const struct session *session);

#endif /* PIPELINE_TALLY_H */
