/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger.h - the durable record: who held which source port, and when.
 *
 * One process writes, any number reads. A ledger is a folder with one file a day
 * (UTC). A session stands in the file of the day it started; one that is still
 * open at midnight is carried: written again into the new day's file, so that the
 * question "who at T" opens one file. What was carried has no end in the old file;
 * readers follow it into the later ones.
 *
 * Functions return 0 or a count, or a negative errno with a fault that names the file.
 * None of them logs. Nothing here reads the clock: the caller says what time it is.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include <stdint.h>

#include "base/fault.h"
#include "model/filter.h"
#include "model/gap.h"
#include "model/session.h"

struct ledger;	     /* the writer */
struct ledger_query; /* one question, answered a few sessions at a time */

/*
 * Open for writing, creating the folder (0750) where it is missing, and prove by a
 * write that it can be written. url is "sqlite:/path" or a path alone, or "memory:"
 * (tests). A second writer gets -EBUSY.
 *
 * Sessions left open by a writer that was killed stay open until the caller says,
 * through ledger_visit_open() and ledger_put(), what became of them.
 */
int ledger_open(const char *url, uint64_t now_ns, struct ledger **ret,
		struct fault *fault);
void ledger_close(struct ledger *ledger); /* commits; NULL is fine */

/*
 * Record that a session opened, or (end_ns set) opened and closed. The ledger
 * copies what it needs, and stores the session's owner once. Buffered until
 * ledger_commit(). Recording the same id again replaces what is known of it, until
 * a commit has stored it with its end.
 */
int ledger_put(struct ledger *ledger, const struct session *session,
	       struct fault *fault);

/* Record lost events. */
int ledger_put_gap(struct ledger *ledger, const struct gap *gap, struct fault *fault);

/*
 * Make everything put so far durable against kill -9. Rolls to a new day's file
 * when now_ns is past midnight (never back), carrying what is open. On failure
 * (full disk) what was put is kept, up to a ceiling, for the next commit; what fell
 * over the ceiling becomes a gap.
 */
int ledger_commit(struct ledger *ledger, uint64_t now_ns, struct fault *fault);

/* Delete the files of days that ended more than keep_ns ago. Returns how many. */
int ledger_prune(struct ledger *ledger, uint64_t now_ns, uint64_t keep_ns,
		 struct fault *fault);

/*
 * Note that the writer is alive at now_ns; what a killed writer missed starts here. It
 * is written when all that was put before it is, at the latest with the next commit.
 */
int ledger_beat(struct ledger *ledger, uint64_t now_ns, struct fault *fault);

/* The last beat of the writer before this one, 0 if there was none. */
uint64_t ledger_last_beat(const struct ledger *ledger);

/* Called with a session that is valid only during the call. Non-zero stops. */
typedef int ledger_visit_fn(const struct session *session, void *arg);

/* Visit the sessions that have no end in the newest file. Returns the number visited.
 */
int ledger_visit_open(struct ledger *ledger, ledger_visit_fn *visit, void *arg,
		      struct fault *fault);

struct ledger_question {
	uint64_t from_ns; /* sessions that overlap [from_ns, until_ns]; 0: since ever */
	uint64_t until_ns;	     /* 0: for ever */
	const struct filter *filter; /* borrowed until the query is closed; NULL: all */
};

/*
 * Ask the ledger at url, which may be written meanwhile, or by nobody. Sessions
 * come ordered by day of start, then as recorded; each once. A folder that does not
 * exist is -ENOENT.
 */
int ledger_query_open(const char *url, const struct ledger_question *question,
		      struct ledger_query **ret, struct fault *fault);

/*
 * The same, asked of a ledger that is open here, which must outlive the query: the
 * only way to ask "memory:". What was committed is seen.
 */
int ledger_ask(struct ledger *ledger, const struct ledger_question *question,
	       struct ledger_query **ret, struct fault *fault);

/*
 * The next session: 1 and *ret_session, valid until the next call (its owner too);
 * 0 at the end. -EAGAIN after examining some thousands of rows without a match: call
 * again.
 */
int ledger_query_next(struct ledger_query *query, const struct session **ret_session,
		      struct fault *fault);

/* After the end: the gaps that overlap the question's period, one a call, 1 or 0. */
int ledger_query_next_gap(struct ledger_query *query, struct gap *ret_gap,
			  struct fault *fault);

/*
 * Until when the ledger knows: the last beat of the one who writes or wrote it, 0:
 * none. At any time before the query is closed.
 */
int ledger_query_last_beat(struct ledger_query *query, uint64_t *ret_ns,
			   struct fault *fault);
void ledger_query_close(struct ledger_query *query); /* NULL is fine */

#endif /* LEDGER_LEDGER_H */
