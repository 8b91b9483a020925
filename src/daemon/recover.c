/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/recover.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/boot.h"
#include "base/cleanup.h"
#include "base/log.h"

struct orphan {
	uint64_t cookie;	/* the order of the array */
	struct session session; /* its owner is referenced */
};

struct recover {
	struct daemon *daemon;
	struct orphan *orphans;
	size_t count;
	size_t capacity;
	char boot[SESSION_BOOT_MAX];
};

DEFINE_CLEANUP(struct recover, recover_free)
DEFINE_CLEANUP(struct living, living_free)

void recover_free(struct recover *recover)
{
	if (!recover)
		return;
	for (size_t i = 0; i < recover->count; i++)
		owner_unref(recover->orphans[i].session.owner);
	free(recover->orphans);
	free(recover);
}

static int compare_cookies(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static int add_orphan(const struct session *session, void *arg)
{
	struct recover *recover = arg;
	size_t capacity = recover->capacity ? 2 * recover->capacity : 64;
	struct orphan *orphans;

	if (recover->count == recover->capacity) {
		orphans = realloc(recover->orphans, capacity * sizeof(*orphans));
		if (!orphans)
			return -ENOMEM;
		recover->orphans = orphans;
		recover->capacity = capacity;
	}
	recover->orphans[recover->count] = (struct orphan){
		.cookie = session->id.cookie,
		.session = *session,
	};
	owner_ref(session->owner);
	recover->count++;
	return 0;
}

static void record(struct recover *recover, const struct session *session)
{
	struct fault fault = {0};

	if (ledger_put(recover->daemon->ledger, session, &fault) < 0)
		log_say("%s", fault.text);
}

static void end_as_lost(struct recover *recover, struct session *session,
			uint64_t end_ns)
{
	session->end_ns = end_ns > session->start_ns ? end_ns : session->start_ns;
	session->end_reason = END_LOST;
	session->port_free_ns = 0;
	record(recover, session);
}

/*
 * End as lost, at end_ns, every orphan that does not live; NULL: nobody knows which
 * do. A socket that is not listed may yet connect() again.
 */
static void sift(struct recover *recover, const struct living *living, uint64_t end_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < recover->count; i++) {
		struct orphan *orphan = &recover->orphans[i];
		bool same_boot = strcmp(orphan->session.id.boot, recover->boot) == 0;

		if (same_boot && (!living || living_has(living, orphan->cookie))) {
			recover->orphans[kept++] = *orphan;
			continue;
		}
		end_as_lost(recover, &orphan->session, end_ns);
		if (same_boot)
			pipeline_remember(recover->daemon->pipeline,
					  &orphan->session.id);
		owner_unref(orphan->session.owner);
	}
	recover->count = kept;
}

static int record_gap(struct recover *recover, struct fault *fault)
{
	struct daemon *daemon = recover->daemon;
	struct gap gap = {
		.from_ns = ledger_last_beat(daemon->ledger),
		.until_ns = daemon->start_ns,
		.cause = "srcportd not running",
	};

	/* The first start has no earlier daemon to miss anything of. */
	if (!gap.from_ns || gap.from_ns >= gap.until_ns)
		return 0;
	return ledger_put_gap(daemon->ledger, &gap, fault);
}

int recover_open(struct daemon *daemon, struct recover **ret, struct fault *fault)
{
	CLEANUP(recover_free_ptr) struct recover *recover = calloc(1, sizeof(*recover));
	CLEANUP(living_free_ptr) struct living *living = NULL;
	uint64_t last_beat_ns = ledger_last_beat(daemon->ledger);
	int err;

	if (!recover)
		return fault_set(fault, -ENOMEM, "out of memory");
	recover->daemon = daemon;
	err = boot_id_read(recover->boot);
	if (err < 0)
		return fault_set(fault, err, "cannot read the kernel's boot id");
	err = ledger_visit_open(daemon->ledger, add_orphan, recover, fault);
	if (err < 0)
		return err;
	err = record_gap(recover, fault);
	if (err < 0)
		return err;
	if (recover->count) {
		living_list(&living);
		sift(recover, living, last_beat_ns);
	}
	if (recover->count)
		qsort(recover->orphans, recover->count, sizeof(*recover->orphans),
		      compare_cookies);
	*ret = TAKE(recover);
	return 0;
}

static struct orphan *orphan_find(struct recover *recover, uint64_t cookie)
{
	if (!recover->count)
		return NULL;
	return bsearch(&cookie, recover->orphans, recover->count,
		       sizeof(*recover->orphans), compare_cookies);
}

/* The session's end fields are set. Its socket may yet connect() again. */
static void orphan_end(struct recover *recover, struct orphan *orphan)
{
	record(recover, &orphan->session);
	pipeline_remember(recover->daemon->pipeline, &orphan->session.id);
	owner_unref(orphan->session.owner);
	recover->count--;
	memmove(orphan, orphan + 1,
		(recover->orphans + recover->count - orphan) * sizeof(*orphan));
}

static void on_close(struct recover *recover, const struct event_close *event)
{
	const struct identify *identify = recover->daemon->identify;
	struct orphan *orphan = orphan_find(recover, event->cookie);
	struct session *session;

	if (!orphan)
		return;
	session = &orphan->session;
	session->end_ns = identify_wall_ns(identify, event->head.time_ns);
	session->end_reason = event->head.end_reason;
	session->port_free_ns =
		event->port_free_ns ? identify_wall_ns(identify, event->port_free_ns)
				    : session->end_ns;
	/* The bytes of UDP are counted since this daemon's start, for a later session.
	 */
	if (session->protocol == IPPROTO_TCP) {
		session->tx_bytes = event->tx_bytes;
		session->rx_bytes = event->rx_bytes;
	}
	orphan_end(recover, orphan);
}

/* Its socket connects again: UDP needs no end for that; that of TCP was missed. */
static void on_open(struct recover *recover, const struct event_open *event)
{
	struct orphan *orphan = orphan_find(recover, event->cookie);
	struct session *session;

	if (!orphan)
		return;
	session = &orphan->session;
	session->end_ns =
		identify_wall_ns(recover->daemon->identify, event->head.time_ns);
	session->end_reason = session->protocol == IPPROTO_UDP ? END_FIN : END_LOST;
	orphan_end(recover, orphan);
}

void recover_event(struct recover *recover, const struct event_head *event)
{
	if (event->kind == EVENT_CLOSE)
		on_close(recover, (const struct event_close *)event);
	else if (event->kind == EVENT_OPEN)
		on_open(recover, (const struct event_open *)event);
}

size_t recover_count(const struct recover *recover)
{
	return recover->count;
}

void recover_check(struct recover *recover, const struct living *living)
{
	sift(recover, living, daemon_wall_ns());
}

int recover_visit_open(const struct recover *recover, ledger_visit_fn *visit, void *arg)
{
	int stop = 0;

	for (size_t i = 0; i < recover->count && !stop; i++)
		stop = visit(&recover->orphans[i].session, arg);
	return stop;
}
