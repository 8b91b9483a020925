/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * reuse.h - how soon ports and tuples come back, told from sessions as they open and
 * end.
 *
 * The distance of a port is the number of sessions that its pool opened between the
 * end of one use of the port and the next use. The rest of a tuple is the time between
 * the end of one use and the next. What is remembered is bounded (131,072 ports and as
 * many tuples); what was forgotten is not measured.
 */
#ifndef PIPELINE_REUSE_H
#define PIPELINE_REUSE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/session.h"

struct reuse;

int reuse_new(struct reuse **ret);
void reuse_free(struct reuse *reuse); /* NULL is fine */

/* A session opened, or ended (end_ns set). Those without a pool or port are ignored. */
void reuse_note(struct reuse *reuse, const struct session *session);

/* The median is that of a histogram with eight classes for each power of two. */
struct reuse_figures {
	uint64_t count; /* of the uses after another; 0: the rest says nothing */
	uint64_t minimum;
	uint64_t median;
};

struct reuse_pool {
	uint64_t opened; /* sessions */
	struct reuse_figures distance;
	struct reuse_figures rest_ns;
};

/* False: no session of this pool was seen. */
bool reuse_find(const struct reuse *reuse, const char *pool, struct reuse_pool *ret);

#endif /* PIPELINE_REUSE_H */
