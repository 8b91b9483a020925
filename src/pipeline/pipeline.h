/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pipeline.h - from events to sessions: the table of what is open, and the way
 * of each session into the ledger.
 */
#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "bpf/event_abi.h"
#include "identify/identify.h"
#include "ledger/ledger.h"
#include "model/session.h"

struct pipeline;

/* Called as a session opens or ends (end_ns set); valid during the call only. */
typedef void pipeline_session_fn(const struct session *session, void *arg);

/* The name of a pool by its number in the kernel; NULL: none. */
typedef const char *pipeline_pool_fn(uint32_t pool, void *arg);

struct pipeline_options {
	struct identify *identify; /* borrowed */
	struct ledger *ledger;	   /* borrowed; NULL: nothing is stored */
	pipeline_pool_fn *pool_name;
	pipeline_session_fn *session; /* NULL: nobody listens */
	void *arg;
	uint32_t session_max; /* ceiling on open sessions; past it the oldest is ended
				 as lost */
};

int pipeline_new(const struct pipeline_options *options, struct pipeline **ret);
void pipeline_free(struct pipeline *pipeline); /* NULL is fine */

/*
 * One event from collect, in order; those of processes are ignored (identify_event()
 * takes them, and before this). So is the end of a session not seen to open.
 */
void pipeline_event(struct pipeline *pipeline, const struct event_head *event);

/*
 * Give the ledger what changed since the last flush and commit it. A session that
 * opened and closed in between is written once. Call at least once a second.
 */
int pipeline_flush(struct pipeline *pipeline, uint64_t now_ns, struct fault *fault);

/* Events were lost between these two moments: a gap, here and in the ledger. */
void pipeline_lost(struct pipeline *pipeline, const struct gap *gap);

/* Fill in source address and port of an open session (sock_diag found it). */
void pipeline_resolve(struct pipeline *pipeline, uint64_t cookie,
		      const struct address *src, uint16_t sport);

/* A session of before, whose socket may be used again: the next one has another id. */
void pipeline_remember(struct pipeline *pipeline, const struct session_id *id);

/* Has the kernel no more socket of this session? */
typedef bool pipeline_gone_fn(const struct session *session, void *arg);

/*
 * End as lost, at now_ns, the sessions that are gone and were so at the call before:
 * of one that is gone for the first time the end may still be on its way. Returns how
 * many are.
 */
int pipeline_sift(struct pipeline *pipeline, uint64_t now_ns, pipeline_gone_fn *is_gone,
		  void *arg);

/* Visit the open sessions, in no order. Non-zero from visit stops. Returns the number
 * visited. */
int pipeline_visit_open(const struct pipeline *pipeline, ledger_visit_fn *visit,
			void *arg);

struct pipeline_count {
	uint64_t opened;
	uint64_t closed;
	uint64_t open;
	uint64_t unresolved; /* open UDP sessions whose source address is not known */
	uint64_t lost;	     /* events */
};

void pipeline_count(const struct pipeline *pipeline, struct pipeline_count *ret);

#endif /* PIPELINE_PIPELINE_H */
