/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "pipeline/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "base/boot.h"
#include "base/cleanup.h"
#include "base/hash.h"

#define ENDED_MAX 65536

/* A session that is open, or that the ledger has not got yet. */
struct entry {
	struct hash_node node; /* by cookie, while it is open */
	TAILQ_ENTRY(entry) opened;
	TAILQ_ENTRY(entry) unwritten;
	bool is_unwritten;
	bool is_open;
	bool is_gone; /* the last pipeline_sift() did not find its socket */
	struct session session;
};

TAILQ_HEAD(entry_list, entry);

/* How often the socket behind a cookie was used, after its session ended. */
struct ended {
	struct hash_node node; /* by cookie */
	TAILQ_ENTRY(ended) order;
	uint32_t use;
};

TAILQ_HEAD(ended_list, ended);

struct pipeline {
	struct pipeline_options options;
	char boot[SESSION_BOOT_MAX];
	struct hash open;
	struct entry_list opened; /* open ones, oldest first */
	struct entry_list
		unwritten; /* what the ledger has to get, oldest change first */
	uint32_t waiting;  /* of those, how many have ended */
	struct hash ended;
	struct ended_list ended_list; /* oldest first */
	struct gap dropped; /* what did not find room while the ledger failed */
	struct pipeline_count count;
};

DEFINE_CLEANUP(struct pipeline, pipeline_free)

int pipeline_new(const struct pipeline_options *options, struct pipeline **ret)
{
	CLEANUP(pipeline_free_ptr) struct pipeline *pipeline = NULL;
	int err;

	pipeline = calloc(1, sizeof(*pipeline));
	if (!pipeline)
		return -ENOMEM;
	pipeline->options = *options;
	if (!pipeline->options.session_max)
		pipeline->options.session_max = 1;
	TAILQ_INIT(&pipeline->opened);
	TAILQ_INIT(&pipeline->unwritten);
	TAILQ_INIT(&pipeline->ended_list);
	err = hash_init(&pipeline->open);
	if (!err)
		err = hash_init(&pipeline->ended);
	if (!err)
		err = boot_id_read(pipeline->boot);
	if (err)
		return err;
	*ret = TAKE(pipeline);
	return 0;
}

static void entry_free(struct entry *entry)
{
	owner_unref(entry->session.owner);
	free(entry);
}

void pipeline_free(struct pipeline *pipeline)
{
	struct entry *entry, *next;
	struct ended *ended;

	if (!pipeline)
		return;
	for (entry = TAILQ_FIRST(&pipeline->unwritten); entry; entry = next) {
		next = TAILQ_NEXT(entry, unwritten);
		if (!entry->is_open)
			entry_free(entry);
	}
	for (entry = TAILQ_FIRST(&pipeline->opened); entry; entry = next) {
		next = TAILQ_NEXT(entry, opened);
		entry_free(entry);
	}
	while ((ended = TAILQ_FIRST(&pipeline->ended_list))) {
		TAILQ_REMOVE(&pipeline->ended_list, ended, order);
		free(ended);
	}
	hash_release(&pipeline->open);
	hash_release(&pipeline->ended);
	free(pipeline);
}

static struct entry *entry_find(const struct pipeline *pipeline, uint64_t cookie)
{
	struct hash_node *node = hash_find(&pipeline->open, cookie);

	return node ? HASH_OWNER(node, struct entry, node) : NULL;
}

static bool is_unresolved(const struct session *session)
{
	return session->protocol == IPPROTO_UDP && !address_is_known(&session->src);
}

static uint64_t wall_ns(const struct pipeline *pipeline, uint64_t boottime_ns)
{
	return identify_wall_ns(pipeline->options.identify, boottime_ns);
}

static void tell(const struct pipeline *pipeline, const struct session *session)
{
	if (pipeline->options.session)
		pipeline->options.session(session, pipeline->options.arg);
}

static void set_unwritten(struct pipeline *pipeline, struct entry *entry)
{
	if (!pipeline->options.ledger || entry->is_unwritten)
		return;
	entry->is_unwritten = true;
	TAILQ_INSERT_TAIL(&pipeline->unwritten, entry, unwritten);
}

static void set_written(struct pipeline *pipeline, struct entry *entry)
{
	entry->is_unwritten = false;
	TAILQ_REMOVE(&pipeline->unwritten, entry, unwritten);
}

/* Fill in what was not known of the source, without forgetting what was. */
static void src_fill(struct pipeline *pipeline, struct entry *entry, const uint8_t *src,
		     uint16_t sport)
{
	struct session *session = &entry->session;
	struct address told;

	memcpy(told.bytes, src, sizeof(told.bytes));
	if (!address_is_known(&session->src) && address_is_known(&told)) {
		pipeline->count.unresolved -= is_unresolved(session);
		session->src = told;
	}
	if (!session->sport)
		session->sport = sport;
}

static void ended_forget(struct pipeline *pipeline, struct ended *ended)
{
	hash_remove(&pipeline->ended, &ended->node);
	TAILQ_REMOVE(&pipeline->ended_list, ended, order);
	free(ended);
}

static struct ended *ended_find(const struct pipeline *pipeline, uint64_t cookie)
{
	struct hash_node *node = hash_find(&pipeline->ended, cookie);

	return node ? HASH_OWNER(node, struct ended, node) : NULL;
}

void pipeline_remember(struct pipeline *pipeline, const struct session_id *id)
{
	struct ended *ended = ended_find(pipeline, id->cookie);

	if (ended)
		ended_forget(pipeline, ended);
	if (pipeline->ended.count >= ENDED_MAX)
		ended_forget(pipeline, TAILQ_FIRST(&pipeline->ended_list));
	ended = calloc(1, sizeof(*ended));
	if (!ended)
		return;
	ended->use = id->use;
	hash_add(&pipeline->ended, &ended->node, id->cookie);
	TAILQ_INSERT_TAIL(&pipeline->ended_list, ended, order);
}

/*
 * After a refusal or a reset the program may connect() the same socket again, and that
 * is another session; so is that of a UDP socket which turns to another peer. Orderly
 * ends are not remembered: they would push these out.
 */
static void ended_remember(struct pipeline *pipeline, const struct session *session,
			   bool is_turned)
{
	struct ended *ended = ended_find(pipeline, session->id.cookie);

	if (ended)
		ended_forget(pipeline, ended);
	if (is_turned ||
	    (session->protocol == IPPROTO_TCP && session->end_reason != END_FIN))
		pipeline_remember(pipeline, &session->id);
}

/* What was not written and finds no room is lost, and becomes a gap. */
static void drop(struct pipeline *pipeline, struct entry *entry)
{
	struct gap *gap = &pipeline->dropped;

	if (!gap->lost_count)
		gap->from_ns = entry->session.start_ns;
	if (entry->session.start_ns < gap->from_ns)
		gap->from_ns = entry->session.start_ns;
	gap->until_ns = entry->session.end_ns;
	gap->lost_count++;
	pipeline->count.lost++;
	if (entry->is_unwritten)
		set_written(pipeline, entry);
	entry_free(entry);
}

/* The session's end fields are set. The entry is not to be used any more. */
static void entry_end(struct pipeline *pipeline, struct entry *entry, bool is_turned)
{
	hash_remove(&pipeline->open, &entry->node);
	TAILQ_REMOVE(&pipeline->opened, entry, opened);
	entry->is_open = false;
	pipeline->count.unresolved -= is_unresolved(&entry->session);
	pipeline->count.closed++;
	ended_remember(pipeline, &entry->session, is_turned);
	tell(pipeline, &entry->session);
	if (!pipeline->options.ledger) {
		entry_free(entry);
	} else if (pipeline->waiting >= pipeline->options.session_max) {
		drop(pipeline, entry);
	} else {
		pipeline->waiting++;
		set_unwritten(pipeline, entry);
	}
}

/* End a session whose own end was not told. */
static void entry_cut(struct pipeline *pipeline, struct entry *entry, uint64_t end_ns,
		      enum end_reason reason)
{
	entry->session.end_ns = end_ns;
	entry->session.end_reason = reason;
	entry_end(pipeline, entry, false);
}

static void session_fill(struct pipeline *pipeline, struct session *session,
			 const struct event_open *event, uint32_t use)
{
	const char *pool = NULL;

	memcpy(session->id.boot, pipeline->boot, sizeof(session->id.boot));
	session->id.netns = event->netns;
	session->id.cookie = event->cookie;
	session->id.use = use;
	session->protocol = event->head.protocol;
	session->direction = DIRECTION_OUT;
	memcpy(session->src.bytes, event->src, sizeof(session->src.bytes));
	memcpy(session->dst.bytes, event->dst, sizeof(session->dst.bytes));
	session->sport = event->sport;
	session->dport = event->dport;
	session->start_ns = wall_ns(pipeline, event->head.time_ns);
	session->tx_bytes = BYTES_UNKNOWN;
	session->rx_bytes = BYTES_UNKNOWN;
	session->picked_by = (enum picked_by)event->head.picked_by;
	if (event->head.pool && pipeline->options.pool_name)
		pool = pipeline->options.pool_name(event->head.pool,
						   pipeline->options.arg);
	if (pool)
		snprintf(session->pool, sizeof(session->pool), "%s", pool);
	session->owner = identify_owner(pipeline->options.identify, event);
}

static void entry_add(struct pipeline *pipeline, const struct event_open *event,
		      uint32_t use)
{
	struct entry *entry;

	if (pipeline->open.count >= pipeline->options.session_max)
		entry_cut(pipeline, TAILQ_FIRST(&pipeline->opened),
			  wall_ns(pipeline, event->head.time_ns), END_LOST);
	entry = calloc(1, sizeof(*entry));
	if (!entry) {
		pipeline->count.lost++;
		return;
	}
	session_fill(pipeline, &entry->session, event, use);
	entry->is_open = true;
	hash_add(&pipeline->open, &entry->node, event->cookie);
	TAILQ_INSERT_TAIL(&pipeline->opened, entry, opened);
	set_unwritten(pipeline, entry);
	pipeline->count.opened++;
	pipeline->count.unresolved += is_unresolved(&entry->session);
	tell(pipeline, &entry->session);
}

static bool is_to_the_same(const struct session *session,
			   const struct event_open *event)
{
	return session->dport == event->dport &&
	       !memcmp(session->dst.bytes, event->dst, sizeof(event->dst));
}

static void on_open(struct pipeline *pipeline, const struct event_open *event)
{
	struct entry *before = entry_find(pipeline, event->cookie);
	struct ended *ended = ended_find(pipeline, event->cookie);
	bool is_udp = event->head.protocol == IPPROTO_UDP;
	uint32_t use = ended ? ended->use + 1 : 0;

	if (before && is_udp && !event->is_anew &&
	    is_to_the_same(&before->session, event)) {
		/* connect() again, or two hooks on the way to the root told of one. */
		src_fill(pipeline, before, event->src, event->sport);
		set_unwritten(pipeline, before);
		return;
	}
	if (before) {
		use = before->session.id.use + 1;
		/* A UDP socket may connect() again; a TCP one must have closed. */
		entry_cut(pipeline, before, wall_ns(pipeline, event->head.time_ns),
			  is_udp ? END_FIN : END_LOST);
	}
	entry_add(pipeline, event, use);
}

static void on_established(struct pipeline *pipeline,
			   const struct event_established *event)
{
	struct entry *entry = entry_find(pipeline, event->cookie);

	if (!entry)
		return;
	src_fill(pipeline, entry, event->src, event->sport);
	set_unwritten(pipeline, entry);
}

static void on_close(struct pipeline *pipeline, const struct event_close *event)
{
	struct entry *entry = entry_find(pipeline, event->cookie);
	struct session *session;

	if (!entry)
		return;
	session = &entry->session;
	src_fill(pipeline, entry, event->src, event->sport);
	session->end_ns = wall_ns(pipeline, event->head.time_ns);
	session->end_reason = (enum end_reason)event->head.end_reason;
	session->port_free_ns = event->port_free_ns
					? wall_ns(pipeline, event->port_free_ns)
					: session->end_ns;
	session->tx_bytes = event->tx_bytes;
	session->rx_bytes = event->rx_bytes;
	entry_end(pipeline, entry, event->is_turned);
}

void pipeline_event(struct pipeline *pipeline, const struct event_head *event)
{
	switch (event->kind) {
	case EVENT_OPEN:
		on_open(pipeline, (const struct event_open *)event);
		break;
	case EVENT_ESTABLISHED:
		on_established(pipeline, (const struct event_established *)event);
		break;
	case EVENT_CLOSE:
		on_close(pipeline, (const struct event_close *)event);
		break;
	}
}

static int put_dropped(struct pipeline *pipeline, struct fault *fault)
{
	struct gap *gap = &pipeline->dropped;
	int err;

	if (!gap->lost_count)
		return 0;
	snprintf(gap->cause, sizeof(gap->cause), "ledger could not be written");
	err = ledger_put_gap(pipeline->options.ledger, gap, fault);
	if (!err)
		*gap = (struct gap){};
	return err;
}

int pipeline_flush(struct pipeline *pipeline, uint64_t now_ns, struct fault *fault)
{
	struct ledger *ledger = pipeline->options.ledger;
	struct entry *entry;
	int err;

	if (!ledger)
		return 0;
	while ((entry = TAILQ_FIRST(&pipeline->unwritten))) {
		err = ledger_put(ledger, &entry->session, fault);
		if (err < 0)
			return err; /* the rest waits for the next flush */
		set_written(pipeline, entry);
		if (!entry->is_open) {
			pipeline->waiting--;
			entry_free(entry);
		}
	}
	err = put_dropped(pipeline, fault);
	return err ? err : ledger_commit(ledger, now_ns, fault);
}

void pipeline_lost(struct pipeline *pipeline, const struct gap *gap)
{
	pipeline->count.lost += gap->lost_count;
	if (pipeline->options.ledger)
		ledger_put_gap(pipeline->options.ledger, gap, NULL);
}

void pipeline_resolve(struct pipeline *pipeline, uint64_t cookie,
		      const struct address *src, uint16_t sport)
{
	struct entry *entry = entry_find(pipeline, cookie);

	if (!entry)
		return;
	src_fill(pipeline, entry, src->bytes, sport);
	set_unwritten(pipeline, entry);
}

int pipeline_sift(struct pipeline *pipeline, uint64_t now_ns, pipeline_gone_fn *is_gone,
		  void *arg)
{
	struct entry *entry, *next;
	int count = 0;

	for (entry = TAILQ_FIRST(&pipeline->opened); entry; entry = next) {
		bool was_gone = entry->is_gone;

		next = TAILQ_NEXT(entry, opened);
		entry->is_gone = is_gone(&entry->session, arg);
		if (entry->is_gone && was_gone)
			entry_cut(pipeline, entry, now_ns, END_LOST);
		else
			count += entry->is_gone;
	}
	return count;
}

int pipeline_visit_open(const struct pipeline *pipeline, ledger_visit_fn *visit,
			void *arg)
{
	struct entry *entry;
	int visited = 0;

	TAILQ_FOREACH(entry, &pipeline->opened, opened)
	{
		visited++;
		if (visit(&entry->session, arg))
			break;
	}
	return visited;
}

void pipeline_count(const struct pipeline *pipeline, struct pipeline_count *ret)
{
	*ret = pipeline->count;
	ret->open = pipeline->open.count;
}
