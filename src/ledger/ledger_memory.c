/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The back end for tests: growing arrays. Everything is committed as it is put. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_backend.h"

struct memory {
	struct session *sessions;
	size_t session_count;
	size_t session_capacity;
	struct gap *gaps;
	size_t gap_count;
};

/* Reads the arrays of a ledger that must outlive it. */
struct memory_query {
	const struct memory *memory;
	struct ledger_question question;
	size_t next_session;
	size_t next_gap;
};

static int memory_open(const char *path, uint64_t now_ns, void **ret,
		       struct fault *fault)
{
	struct memory *memory = calloc(1, sizeof(*memory));

	(void)path;
	(void)now_ns;
	if (!memory)
		return fault_set(fault, -ENOMEM, "memory: out of memory");
	*ret = memory;
	return 0;
}

static void memory_close(void *db)
{
	struct memory *memory = db;

	for (size_t i = 0; i < memory->session_count; i++)
		owner_unref(memory->sessions[i].owner);
	free(memory->sessions);
	free(memory->gaps);
	free(memory);
}

static bool is_same(const struct session_id *a, const struct session_id *b)
{
	return a->cookie == b->cookie && a->netns == b->netns && a->use == b->use &&
	       strcmp(a->boot, b->boot) == 0;
}

static struct session *slot_of(struct memory *memory, const struct session_id *id)
{
	struct session *grown;

	for (size_t i = memory->session_count; i > 0; i--)
		if (is_same(&memory->sessions[i - 1].id, id))
			return &memory->sessions[i - 1];
	if (memory->session_count == memory->session_capacity) {
		size_t capacity = memory->session_capacity * 2 + 16;

		grown = reallocarray(memory->sessions, capacity, sizeof(*grown));
		if (!grown)
			return NULL;
		memory->sessions = grown;
		memory->session_capacity = capacity;
	}
	memory->sessions[memory->session_count].owner = NULL;
	return &memory->sessions[memory->session_count++];
}

static int memory_put(void *db, const struct session *session, struct fault *fault)
{
	struct session *slot = slot_of(db, &session->id);
	struct owner *before;

	if (!slot)
		return fault_set(fault, -ENOMEM, "memory: out of memory");
	before = slot->owner;
	*slot = *session;
	owner_ref(slot->owner);
	owner_unref(before);
	return 0;
}

static int memory_put_gap(void *db, const struct gap *gap, struct fault *fault)
{
	struct memory *memory = db;
	struct gap *grown;

	grown = reallocarray(memory->gaps, memory->gap_count + 1, sizeof(*grown));
	if (!grown)
		return fault_set(fault, -ENOMEM, "memory: out of memory");
	memory->gaps = grown;
	memory->gaps[memory->gap_count++] = *gap;
	return 0;
}

static int memory_commit(void *db, uint64_t now_ns, struct fault *fault)
{
	(void)db;
	(void)now_ns;
	(void)fault;
	return 0;
}

static int memory_prune(void *db, uint64_t now_ns, uint64_t keep_ns,
			struct fault *fault)
{
	(void)db;
	(void)now_ns;
	(void)keep_ns;
	(void)fault;
	return 0;
}

static uint64_t memory_last_beat(const void *db)
{
	(void)db;
	return 0;
}

static int memory_visit_open(void *db, ledger_visit_fn *visit, void *arg,
			     struct fault *fault)
{
	const struct memory *memory = db;
	size_t count = memory->session_count;
	int visited = 0;

	(void)fault;
	for (size_t i = 0; i < count; i++) {
		/* A copy: what the visitor puts may move the array. */
		struct session session = memory->sessions[i];

		if (session.end_ns)
			continue;
		visited++;
		if (visit(&session, arg))
			break;
	}
	return visited;
}

static int memory_ask(void *db, const struct ledger_question *question, void **ret,
		      struct fault *fault)
{
	struct memory_query *query = calloc(1, sizeof(*query));

	if (!query)
		return fault_set(fault, -ENOMEM, "memory: out of memory");
	query->memory = db;
	query->question = *question;
	*ret = query;
	return 0;
}

static bool overlaps(const struct ledger_question *question, uint64_t from_ns,
		     uint64_t until_ns)
{
	return from_ns <= question->until_ns &&
	       (until_ns == 0 || until_ns >= question->from_ns);
}

static int memory_query_next(void *asked, const struct session **ret_session,
			     struct fault *fault)
{
	struct memory_query *query = asked;
	const struct filter *filter = query->question.filter;

	(void)fault;
	while (query->next_session < query->memory->session_count) {
		const struct session *session =
			&query->memory->sessions[query->next_session++];

		if (!overlaps(&query->question, session->start_ns, session->end_ns) ||
		    (filter && !filter_accepts(filter, session)))
			continue;
		*ret_session = session;
		return 1;
	}
	return 0;
}

static int memory_query_next_gap(void *asked, struct gap *ret_gap, struct fault *fault)
{
	struct memory_query *query = asked;

	(void)fault;
	while (query->next_gap < query->memory->gap_count) {
		const struct gap *gap = &query->memory->gaps[query->next_gap++];

		/* What a gap ends with is known again. */
		if (!overlaps(&query->question, gap->from_ns, gap->until_ns - 1))
			continue;
		*ret_gap = *gap;
		return 1;
	}
	return 0;
}

static int memory_query_last_beat(void *asked, uint64_t *ret_ns, struct fault *fault)
{
	(void)asked;
	(void)fault;
	*ret_ns = 0;
	return 0;
}

const struct ledger_backend ledger_memory = {
	.scheme = "memory",
	.open = memory_open,
	.close = memory_close,
	.put = memory_put,
	.put_gap = memory_put_gap,
	.commit = memory_commit,
	.prune = memory_prune,
	.beat = memory_commit,
	.last_beat = memory_last_beat,
	.visit_open = memory_visit_open,
	.ask = memory_ask,
	.query_next = memory_query_next,
	.query_next_gap = memory_query_next_gap,
	.query_last_beat = memory_query_last_beat,
	.query_close = free,
};
