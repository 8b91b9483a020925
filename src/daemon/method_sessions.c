/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_sessions.c - the sessions that are open, or that were in a period.
 *
 * Without from and until the table of open sessions answers. With them the ledger
 * does, which has the open ones as well, after everything seen so far is stored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/method.h"
#include "model/filter.h"
#include "model/moment.h"
#include "report/report_gap.h"
#include "report/report_session.h"

#define ROWS_PER_STEP 512

struct answer {
	struct filter *filter;
	struct ledger_query *query; /* NULL: about now */
	/* About now: copies, since the table changes while the client reads. */
	struct session *live;
	size_t live_count;
	size_t live_capacity;
	size_t live_next;
	uint64_t left; /* of the limit */
	int err;
};

static int read_moment(struct request *request, const char *name, uint64_t *ret_ns)
{
	const char *text = NULL;
	int err = request_text(request, name, &text);

	if (err < 0 || !text)
		return err;
	if (moment_parse(text, daemon_wall_ns(), ret_ns) < 0) {
		fault_set(&request->fault, -EINVAL, "%.64s is not a time", text);
		return request_refuse(request, -EINVAL, "bad-param", name);
	}
	return 1;
}

static int read_limit(struct request *request, struct answer *answer)
{
	const json_t *limit = json_object_get(request->params, "limit");

	answer->left = UINT64_MAX;
	if (!limit || json_is_null(limit))
		return 0;
	if (!json_is_integer(limit) || json_integer_value(limit) < 0) {
		fault_set(&request->fault, -EINVAL,
			  "limit must be a number, 0 or more");
		return request_refuse(request, -EINVAL, "bad-param", "limit");
	}
	answer->left = json_integer_value(limit);
	return 0;
}

static int read_filter(struct request *request, struct answer *answer)
{
	const char *text = NULL;
	int err = request_text(request, "filter", &text);

	if (err < 0)
		return err;
	err = filter_parse(text, &answer->filter, &request->fault);
	return err < 0 ? request_refuse(request, err, "bad-param", "filter") : 0;
}

static int keep_live(const struct session *session, void *arg)
{
	struct answer *answer = arg;
	size_t capacity = answer->live_capacity ? 2 * answer->live_capacity : 64;
	struct session *live;

	if (!filter_accepts(answer->filter, session))
		return 0;
	if (answer->live_count == answer->live_capacity) {
		live = realloc(answer->live, capacity * sizeof(*live));
		if (!live)
			return answer->err = -ENOMEM;
		answer->live = live;
		answer->live_capacity = capacity;
	}
	answer->live[answer->live_count] = *session;
	owner_ref(session->owner);
	answer->live_count++;
	return answer->live_count >= answer->left;
}

static int ask_now(struct request *request, struct answer *answer)
{
	daemon_catch_up(request->daemon);
	if (answer->left)
		daemon_visit_open(request->daemon, keep_live, answer);
	return answer->err;
}

static int ask_past(struct request *request, struct answer *answer, uint64_t from_ns,
		    uint64_t until_ns)
{
	struct ledger_question question = {
		.from_ns = from_ns,
		.until_ns = until_ns,
		.filter = answer->filter,
	};

	daemon_catch_up(request->daemon);
	/* Of the writer, which knows what still waits for room on the disk. */
	return ledger_ask(request->daemon->ledger, &question, &answer->query,
			  &request->fault);
}

static int begin(struct request *request)
{
	struct answer *answer;
	uint64_t from_ns = 0, until_ns = 0;
	int has_from, has_until, err;

	if (!request->daemon->pipeline) {
		fault_set(
			&request->fault, -EOPNOTSUPP,
			"this srcportd was started with --no-record: it allocates and "
			"does not observe");
		return request_refuse(request, -EOPNOTSUPP, "no-record", NULL);
	}
	request->state = answer = calloc(1, sizeof(*answer));
	if (!answer)
		return -ENOMEM;
	has_from = read_moment(request, "from", &from_ns);
	has_until = has_from < 0 ? has_from : read_moment(request, "until", &until_ns);
	err = has_until < 0 ? has_until : read_limit(request, answer);
	if (err >= 0)
		err = read_filter(request, answer);
	if (err >= 0)
		err = has_from || has_until
			      ? ask_past(request, answer, from_ns, until_ns)
			      : ask_now(request, answer);
	return err < 0 ? err : METHOD_MORE;
}

static int end_answer(struct request *request, json_t *gaps)
{
	json_t *end = report_end_json(gaps);

	if (!end)
		return -ENOMEM;
	json_object_update(request->done, end);
	json_decref(end);
	return METHOD_DONE;
}

static int step_now(struct request *request, struct answer *answer)
{
	while (answer->live_next < answer->live_count) {
		if (!request_has_room(request))
			return METHOD_MORE;
		request_item(request,
			     report_session_json(&answer->live[answer->live_next++]));
	}
	return end_answer(request, json_array());
}

static int collect_gaps(struct request *request, struct answer *answer)
{
	json_t *gaps = json_array();
	struct gap gap;
	int more;

	while ((more = ledger_query_next_gap(answer->query, &gap, &request->fault)) > 0)
		json_array_append_new(gaps, report_gap_json(&gap));
	if (more < 0) {
		json_decref(gaps);
		return more;
	}
	return end_answer(request, gaps);
}

static int step_past(struct request *request, struct answer *answer)
{
	const struct session *session;
	int more;

	for (int i = 0; i < ROWS_PER_STEP && request_has_room(request); i++) {
		more = answer->left ? ledger_query_next(answer->query, &session,
							&request->fault)
				    : 0;
		if (more == -EAGAIN)
			return METHOD_MORE;
		if (more < 0)
			return more;
		if (more == 0)
			return collect_gaps(request, answer);
		request_item(request, report_session_json(session));
		answer->left--;
	}
	return METHOD_MORE;
}

static int step(struct request *request)
{
	struct answer *answer = request->state;

	return answer->query ? step_past(request, answer) : step_now(request, answer);
}

static void end(struct request *request)
{
	struct answer *answer = request->state;

	if (!answer)
		return;
	ledger_query_close(answer->query);
	filter_free(answer->filter);
	for (size_t i = 0; i < answer->live_count; i++)
		owner_unref(answer->live[i].owner);
	free(answer->live);
	free(answer);
}

const struct method method_sessions = {
	.name = "sessions",
	.begin = begin,
	.step = step,
	.end = end,
};
