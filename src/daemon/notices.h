/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * notices.h - what the allocator tells: to the log, to standard output in a dry run,
 * and kept for those who ask why.
 *
 * Fallbacks and refusals are logged at most once a second for each pool and reason,
 * binds into a pool twenty times; what was left out is counted.
 */
#ifndef DAEMON_NOTICES_H
#define DAEMON_NOTICES_H

#include "daemon/daemon.h"

#define NOTICES_KEPT 256

struct notices;

struct notice_kept {
	struct alloc_notice notice;
	uint64_t wall_ns;
	char pool[SESSION_POOL_MAX]; /* its name at that time; empty: none */
};

int notices_new(struct daemon *daemon, struct notices **ret);
void notices_free(struct notices *notices); /* NULL is fine */

/* Take what is there. */
void notices_poll(struct notices *notices);

/* Call about once a second: says how many lines were left out. */
void notices_tick(struct notices *notices);

/* Visit those kept, the latest first. Non-zero from visit stops. */
typedef int notices_visit_fn(const struct notice_kept *kept, void *arg);
void notices_visit(const struct notices *notices, notices_visit_fn *visit, void *arg);

/* How many came, and how many of those the allocator could not hold. */
uint64_t notices_count(const struct notices *notices);
uint64_t notices_dropped(const struct notices *notices);

#endif /* DAEMON_NOTICES_H */
