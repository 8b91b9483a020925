/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/paths.h"
#include "ledger/ledger.h"
#include "model/moment.h"
#include "policy/policy_parse.h"
#include "report/report_gap.h"
#include "report/report_session.h"

struct source {
	struct client *client; /* NULL: no daemon */
	const char *state;
	bool has_item; /* of the answer under way */
	client_item_fn *item;
	void *arg;
};

DEFINE_CLEANUP(json_t, json_decref)
DEFINE_CLEANUP(struct ledger_query, ledger_query_close)

int source_open(const struct common *common, struct source **ret, struct fault *fault)
{
	CLEANUP_FREE struct source *source = calloc(1, sizeof(*source));
	int err;

	if (!source)
		return fault_set(fault, -ENOMEM, "out of memory");
	source->state = common->state;
	err = client_open(common->socket, &source->client, fault);
	if (err < 0 && err != -ENOENT && err != -ECONNREFUSED)
		return err;
	*ret = TAKE(source);
	return 0;
}

void source_close(struct source *source)
{
	if (!source)
		return;
	client_close(source->client);
	free(source);
}

bool source_is_live(const struct source *source)
{
	return source->client;
}

static void set_moment(json_t *params, const char *name, uint64_t moment_ns)
{
	char text[MOMENT_TEXT_MAX];

	json_object_set_new(params, name, json_string(moment_format(moment_ns, text)));
}

static int pass_item(json_t *item, void *arg)
{
	struct source *source = arg;

	source->has_item = true;
	return source->item(item, source->arg);
}

static int ask_daemon(struct source *source, const struct source_question *question,
		      json_t **ret_end, struct fault *fault)
{
	CLEANUP(json_decref_ptr) json_t *done = NULL;
	json_t *params = json_object();
	json_t *gaps;
	int result;

	if (question->filter)
		json_object_set_new(params, "filter", json_string(question->filter));
	/* Some bound must be named, or the daemon takes the question to be about now.
	 */
	if (question->is_past)
		set_moment(params, "from", question->from_ns);
	if (question->is_past && question->until_ns)
		set_moment(params, "until", question->until_ns);
	result = client_ask(source->client, "sessions", params, pass_item, source,
			    &done, fault);
	if (result != 0)
		return result;
	gaps = json_object_get(done, "gaps");
	*ret_end = report_end_json(gaps ? json_incref(gaps) : json_array());
	return 0;
}

/* The policy may have moved the ledger; one that cannot be read has not. */
static void find_ledger(const struct source *source, char *buf, size_t size)
{
	CLEANUP_FREE struct policy *policy = calloc(1, sizeof(*policy));
	CLEANUP_FREE struct policy_notes *notes = calloc(1, sizeof(*notes));
	bool has_policy = policy && notes && access(PATHS_CONFIG, R_OK) == 0 &&
			  policy_read(PATHS_CONFIG, policy, notes) == 0;

	paths_ledger(has_policy ? policy->ledger_path : NULL, source->state, buf, size);
}

static uint64_t later(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/* Of what came after the last beat of a writer that is no more the ledger is silent. */
static int add_silence(struct ledger_query *query,
		       const struct ledger_question *question, json_t *gaps,
		       struct fault *fault)
{
	struct gap gap = {.until_ns = cmd_now_ns(), .cause = "srcportd not running"};
	uint64_t beat_ns;
	int err = ledger_query_last_beat(query, &beat_ns, fault);

	if (err < 0 || (question->until_ns && question->until_ns <= beat_ns))
		return err;
	if (question->until_ns && question->until_ns < gap.until_ns)
		gap.until_ns = question->until_ns;
	gap.from_ns = later(beat_ns, question->from_ns);
	gap.until_ns = later(gap.from_ns, gap.until_ns);
	json_array_append_new(gaps, report_gap_json(&gap));
	return 0;
}

static int collect_gaps(const char *path, struct ledger_query *query,
			const struct ledger_question *question, json_t **ret_end,
			struct fault *fault)
{
	CLEANUP(json_decref_ptr) json_t *gaps = json_array();
	struct gap gap;
	int more;

	while ((more = ledger_query_next_gap(query, &gap, fault)) > 0)
		json_array_append_new(gaps, report_gap_json(&gap));
	/* A writer that is asked at another socket has said all up to now. */
	if (more == 0 && !lock_file_holder(path))
		more = add_silence(query, question, gaps, fault);
	if (more < 0)
		return more;
	*ret_end = report_end_json(TAKE(gaps));
	return 0;
}

static int ask_ledger(struct source *source, const struct source_question *question,
		      json_t **ret_end, struct fault *fault)
{
	CLEANUP(filter_free_ptr) struct filter *filter = NULL;
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	struct ledger_question asked = {
		.from_ns = question->from_ns,
		.until_ns = question->until_ns,
	};
	const struct session *session;
	char path[4096];
	int more, stop = 0;

	find_ledger(source, path, sizeof(path));
	more = filter_parse(question->filter, &filter, fault);
	asked.filter = filter;
	if (more >= 0)
		more = ledger_query_open(path, &asked, &query, fault);
	if (more < 0)
		return fault_prefix(fault, more, "no srcportd is running");
	while (!stop && (more = ledger_query_next(query, &session, fault)) != 0) {
		CLEANUP(json_decref_ptr) json_t *item = NULL;

		if (more == -EAGAIN)
			continue;
		if (more < 0)
			return more;
		item = report_session_json(session);
		stop = source->item(item, source->arg);
	}
	return stop ? stop : collect_gaps(path, query, &asked, ret_end, fault);
}

/* Nobody sees what is open now. */
static int know_nothing(json_t **ret_end)
{
	struct gap gap = {.cause = "srcportd not running"};
	json_t *gaps = json_array();

	gap.from_ns = gap.until_ns = cmd_now_ns();
	json_array_append_new(gaps, report_gap_json(&gap));
	*ret_end = report_end_json(gaps);
	return 0;
}

int source_ask(struct source *source, const struct source_question *question,
	       client_item_fn *item, void *arg, json_t **ret_end, struct fault *fault)
{
	int result;

	source->item = item;
	source->arg = arg;
	source->has_item = false;
	if (source->client) {
		result = ask_daemon(source, question, ret_end, fault);
		if (result != -ECONNRESET || source->has_item)
			return result;
		/* It ended just now, and stored everything before it hung up. */
		client_close(source->client);
		source->client = NULL;
	}
	if (question->is_past)
		return ask_ledger(source, question, ret_end, fault);
	return know_nothing(ret_end);
}
