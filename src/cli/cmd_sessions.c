/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_sessions.c - list sessions: those open now, or those of a period. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/session_text.h"
#include "cli/source.h"
#include "model/filter.h"
#include "model/moment.h"

struct sessions_options {
	const char *since;
	const char *until;
	const char *at;
};

DEFINE_CLEANUP(struct source, source_close)
DEFINE_CLEANUP(json_t, json_decref)

#define FIELD(name) offsetof(struct sessions_options, name)

static const struct option_entry entries[] = {
	{"since", 's', OPTION_TEXT, FIELD(since), "TIME",
	 "those that were open after TIME"},
	{"until", 'u', OPTION_TEXT, FIELD(until), "TIME",
	 "those that were open before TIME"},
	{"at", 0, OPTION_TEXT, FIELD(at), "TIME", "those that were open at TIME"},
	{0},
};

static int read_moment(const char *option, const char *text, uint64_t *ret_ns,
		       struct fault *fault)
{
	if (text && moment_parse(text, cmd_now_ns(), ret_ns) < 0)
		return fault_set(fault, -EINVAL,
				 "%s %s: not a time; 2026-11-22T12:03:04Z, 12:03, "
				 "'5m ago' are",
				 option, text);
	return 0;
}

static int read_period(const struct sessions_options *options,
		       struct source_question *question, struct fault *fault)
{
	int err;

	if (options->at && (options->since || options->until))
		return fault_set(fault, -EINVAL,
				 "--at goes without --since and --until");
	err = read_moment("--since", options->since, &question->from_ns, fault);
	if (err >= 0)
		err = read_moment("--until", options->until, &question->until_ns,
				  fault);
	if (err >= 0)
		err = read_moment("--at", options->at, &question->from_ns, fault);
	if (err < 0)
		return err;
	if (options->at)
		question->until_ns = question->from_ns;
	if (question->until_ns && question->until_ns < question->from_ns)
		return fault_set(fault, -EINVAL, "--until lies before --since");
	question->is_past = options->at || options->since || options->until;
	return 0;
}

/* The arguments joined by spaces: a filter needs no quotes but for < > ( ). */
static int join(int argc, char **argv, struct buffer *ret)
{
	int err = 0;

	for (int i = 0; i < argc && err == 0; i++) {
		err = buffer_add(ret, argv[i], strlen(argv[i]));
		if (err == 0)
			err = buffer_add(ret, " ", 1);
	}
	return err < 0 ? err : buffer_add(ret, "", 1);
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(buffer_release) struct buffer text = {0};
	CLEANUP(source_close_ptr) struct source *source = NULL;
	CLEANUP(filter_free_ptr) struct filter *filter = NULL;
	CLEANUP(json_decref_ptr) json_t *end = NULL;
	struct session_printer printer = {.is_json = common->is_json};
	struct source_question question = {0};
	struct fault fault = {0};
	bool is_blind;

	if (join(argc, argv, &text) < 0)
		return cmd_fail(&fault);
	question.filter = text.bytes;
	if (read_period(options, &question, &fault) < 0)
		return cmd_fail(&fault);
	if (filter_parse(text.bytes, &filter, &fault) < 0)
		return cmd_fail(&fault);
	if (source_open(common, &source, &fault) < 0 ||
	    source_ask(source, &question, session_print, &printer, &end, &fault) < 0)
		return cmd_fail(&fault);
	is_blind = !source_is_live(source) && !question.is_past;
	if (printer.is_json || !is_blind)
		session_print_end(&printer, end);
	if (is_blind)
		log_say("no srcportd is running, so nothing is known to be open; "
			"--since asks the ledger");
	return printer.count ? EXIT_YES : EXIT_NO;
}

const struct cmd cmd_sessions = {
	.name = "sessions",
	.arguments = "[--since TIME] [--until TIME] [--at TIME] [FILTER...]",
	.help = "List the sessions that are open, or were in a period",
	.more = "FILTER is as in ss(8): 'sport >= 50000 and dport = 443', 'exe = "
		"curl',\n"
		"'dst = 10.0.0.0/8 and not uid = root'. srcport(1) lists the fields.\n",
	.fault_status = EXIT_FAULT,
	.options = entries,
	.options_size = sizeof(struct sessions_options),
	.run = run,
};
