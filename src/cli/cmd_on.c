/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_on.c - allocate, or only observe, until said otherwise. */
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/cmd.h"

DEFINE_CLEANUP(json_t, json_decref)

static int set(const struct common *common, const char *method, int argc, char **argv)
{
	CLEANUP(json_decref_ptr) json_t *done = NULL;
	struct fault fault = {0};

	if (argc) {
		fault_set(&fault, -EINVAL, "%s: %s takes no arguments", argv[0],
			  method);
		return cmd_fail(&fault);
	}
	if (cmd_ask(common, method, json_object(), NULL, NULL, &done, &fault) < 0)
		return cmd_fail(&fault);
	json_object_del(done, "id");
	json_object_del(done, "done");
	if (common->is_json)
		cmd_print_json(done);
	else
		printf("mode %s\n", json_string_value(json_object_get(done, "mode")));
	return EXIT_YES;
}

static int run_on(const struct common *common, const void *options, int argc,
		  char **argv)
{
	(void)options;
	return set(common, "on", argc, argv);
}

static int run_off(const struct common *common, const void *options, int argc,
		   char **argv)
{
	(void)options;
	return set(common, "off", argc, argv);
}

const struct cmd cmd_on = {
	.name = "on",
	.arguments = "",
	.help = "Allocate again, after off",
	.fault_status = EXIT_FAULT,
	.run = run_on,
};

const struct cmd cmd_off = {
	.name = "off",
	.arguments = "",
	.help = "Leave every pick to the kernel, and keep observing",
	.more = "Sessions that are open keep their ports. It holds until srcport on, "
		"or until\n"
		"srcportd is started again; a reload does not change it.\n",
	.fault_status = EXIT_FAULT,
	.run = run_off,
};
