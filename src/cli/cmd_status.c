/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_status.c - is the daemon running, on which hooks, what was lost. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "cli/field.h"

DEFINE_CLEANUP(struct client, client_close)
DEFINE_CLEANUP(json_t, json_decref)

static void print_pools(const json_t *pools)
{
	const json_t *pool;
	size_t i;

	json_array_foreach(pools, i, pool)
		printf("pool      %s: %s, %" PRId64 " of %" PRId64 " held, %" PRId64
		       " resting, sharing %s\n",
		       field_text(pool, "name"), field_text(pool, "ports"),
		       field_number(pool, "held"), field_number(pool, "capacity"),
		       field_number(pool, "resting"), field_text(pool, "sharing"));
}

static void print_counts(const json_t *counts, const char *title)
{
	const char *name;
	json_t *value;

	if (!json_is_object(counts))
		return;
	printf("%-8s ", title);
	json_object_foreach((json_t *)counts, name, value)
		printf(" %" JSON_INTEGER_FORMAT " %s", json_integer_value(value), name);
	putchar('\n');
}

static void print_hooks(const json_t *hooks)
{
	const json_t *hook;
	size_t i;

	printf("hooks     ");
	json_array_foreach(hooks, i, hook)
		printf("%s%s", i ? ", " : "", json_string_value(hook));
	putchar('\n');
}

static void print_policy(const json_t *policy)
{
	const json_t *ranges = json_object_get(policy, "kernel_range"), *range;
	size_t i;

	printf("policy    %s, %" PRId64 " pools, %" PRId64
	       " rules, foreign binds: %s\n",
	       json_is_string(json_object_get(policy, "file"))
		       ? field_text(policy, "file")
		       : "built in",
	       field_number(policy, "pools"), field_number(policy, "rules"),
	       field_text(policy, "foreign_bind"));
	json_array_foreach(ranges, i, range)
	{
		const json_t *before = json_object_get(range, "before");
		const json_t *now = json_object_get(range, "now");

		printf("range     the kernel picks from %" JSON_INTEGER_FORMAT
		       "-%" JSON_INTEGER_FORMAT ", moved from %" JSON_INTEGER_FORMAT
		       "-%" JSON_INTEGER_FORMAT "\n",
		       json_integer_value(json_array_get(now, 0)),
		       json_integer_value(json_array_get(now, 1)),
		       json_integer_value(json_array_get(before, 0)),
		       json_integer_value(json_array_get(before, 1)));
	}
}

static void print_runs(const json_t *runs)
{
	const json_t *run;
	size_t i;

	json_array_foreach(runs, i, run)
		printf("run       pid %" PRId64 ", pool %s, cgroup %s\n",
		       field_number(run, "pid"), field_text(run, "pool"),
		       field_text(run, "cgroup"));
}

static void print_text(const json_t *status)
{
	const json_t *ledger = json_object_get(status, "ledger");

	printf("srcportd  %s, pid %" PRId64 ", since %s, mode %s, cgroup %s\n",
	       field_text(status, "version"), field_number(status, "pid"),
	       field_text(status, "since"), field_text(status, "mode"),
	       field_text(status, "scope"));
	print_hooks(json_object_get(status, "hooks"));
	print_policy(json_object_get(status, "policy"));
	print_counts(json_object_get(status, "sessions"), "sessions");
	print_counts(json_object_get(status, "alloc"), "alloc");
	if (json_is_object(ledger))
		printf("ledger    %s, last commit %s%s%s\n", field_text(ledger, "path"),
		       field_text(ledger, "last_commit"),
		       json_is_string(json_object_get(ledger, "error")) ? ": " : "",
		       json_is_string(json_object_get(ledger, "error"))
			       ? field_text(ledger, "error")
			       : "");
	print_pools(json_object_get(status, "pools"));
	print_runs(json_object_get(status, "runs"));
}

/* An answer like another, so it goes to standard output. */
static int say_not_running(const struct common *common)
{
	if (common->is_json)
		puts("{\"running\":false}");
	else
		printf("srcportd  not running: nobody answers at %s\n", common->socket);
	return EXIT_NO;
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(client_close_ptr) struct client *client = NULL;
	CLEANUP(json_decref_ptr) json_t *status = NULL;
	struct fault fault = {0};
	int err;

	(void)options;
	if (argc) {
		fault_set(&fault, -EINVAL, "%s: status takes no arguments", argv[0]);
		return cmd_fail(&fault);
	}
	err = client_open(common->socket, &client, &fault);
	if (err == -ENOENT || err == -ECONNREFUSED)
		return say_not_running(common);
	if (err < 0 || client_ask(client, "status", json_object(), NULL, NULL, &status,
				  &fault) < 0)
		return cmd_fail(&fault);
	json_object_del(status, "id");
	json_object_del(status, "done");
	json_object_set_new(status, "running", json_true());
	if (common->is_json) {
		json_dumpf(status, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_text(status);
	}
	return EXIT_YES;
}

const struct cmd cmd_status = {
	.name = "status",
	.arguments = "",
	.help = "Say whether srcportd runs, on which hooks, and what was lost",
	.fault_status = EXIT_FAULT,
	.run = run,
};
