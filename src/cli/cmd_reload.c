/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_reload.c - let srcportd read its policy anew. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cmd.h"

DEFINE_CLEANUP(json_t, json_decref)

/* Faults of the file, and what a reload cannot change. */
static int say(json_t *item, void *arg)
{
	const char *message = json_string_value(json_object_get(item, "message"));

	(void)arg;
	if (message)
		log_say("%s", message);
	return 0;
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(json_decref_ptr) json_t *done = NULL;
	struct fault fault = {0};

	(void)options;
	if (argc) {
		fault_set(&fault, -EINVAL, "%s: reload takes no arguments", argv[0]);
		return cmd_fail(&fault);
	}
	if (cmd_ask(common, "reload", json_object(), say, NULL, &done, &fault) < 0)
		return cmd_fail(&fault);
	json_object_del(done, "id");
	json_object_del(done, "done");
	if (common->is_json)
		cmd_print_json(done);
	else
		printf("the policy was read anew: %" JSON_INTEGER_FORMAT
		       " pools, %" JSON_INTEGER_FORMAT " rules, mode %s\n",
		       json_integer_value(json_object_get(done, "pools")),
		       json_integer_value(json_object_get(done, "rules")),
		       json_string_value(json_object_get(done, "mode")));
	return EXIT_YES;
}

const struct cmd cmd_reload = {
	.name = "reload",
	.arguments = "",
	.help = "Read the policy anew: all of it or, where it has a fault, nothing",
	.more = "Open sessions keep their ports. Each fault is said with its line.\n",
	.fault_status = EXIT_FAULT,
	.run = run,
};
