/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_check.c - read a policy and say what is wrong with it, or what may be. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/check_host.h"
#include "cli/cmd.h"
#include "policy/policy_parse.h"
#include "report/report_escape.h"

static void print_json(const char *path, const struct policy_note *note)
{
	CLEANUP_FREE char *file = report_mend_utf8(path);
	json_t *object = json_pack("{s:s, s:o, s:s, s:s}", "file", file, "line",
				   note->line ? json_integer(note->line) : json_null(),
				   "severity", note->is_error ? "error" : "warning",
				   "message", note->text);

	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(object);
}

static void print_text(const char *path, const struct policy_note *note)
{
	const char *severity = note->is_error ? "error" : "warning";

	if (note->line)
		printf("%s:%d: %s: %s\n", path, note->line, severity, note->text);
	else
		printf("%s: %s: %s\n", path, severity, note->text);
}

/* By line; those of the file as a whole first. */
static void sort(struct policy_note *notes, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct policy_note note = notes[i];
		size_t at = i;

		for (; at && notes[at - 1].line > note.line; at--)
			notes[at] = notes[at - 1];
		notes[at] = note;
	}
}

static void print_notes(const char *path, struct policy_notes *notes, bool is_json)
{
	size_t kept = notes->count < POLICY_NOTES_MAX ? notes->count : POLICY_NOTES_MAX;

	sort(notes->notes, kept);
	for (size_t i = 0; i < kept; i++)
		(is_json ? print_json : print_text)(path, &notes->notes[i]);
	fflush(stdout);
	if (notes->count > kept)
		log_say("%s: %zu more were not kept", path, notes->count - kept);
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP_FREE struct policy *policy = calloc(1, sizeof(*policy));
	CLEANUP_FREE struct policy_notes *notes = calloc(1, sizeof(*notes));
	const char *path = argc ? argv[0] : PATHS_CONFIG;
	struct fault fault = {0};
	int err = 0;

	(void)options;
	if (!policy || !notes)
		return cmd_fail(&fault);
	if (argc > 1) {
		fault_set(&fault, -EINVAL, "check takes one file");
		return cmd_fail(&fault);
	}
	if (!argc && access(path, F_OK) < 0) {
		log_say("%s is not there: the built-in policy holds", path);
		policy_init(policy);
	} else {
		err = policy_read(path, policy, notes);
	}
	if (err == 0) {
		policy_warn(policy, notes);
		check_host(policy, notes);
		check_seen(policy, common->state, notes);
	}
	print_notes(path, notes, common->is_json);
	if (err < 0 && err != -EINVAL)
		return EXIT_FAULT;
	return err < 0 || notes->error_count ? EXIT_NO : EXIT_YES;
}

const struct cmd cmd_check = {
	.name = "check",
	.arguments = "[FILE]",
	.help = "Check the policy: 0 it is good, 1 it has errors, 2 it cannot be read",
	.fault_status = EXIT_FAULT,
	.run = run,
};
