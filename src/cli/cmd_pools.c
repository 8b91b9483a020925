/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_pools.c - how full the pools are, who fills them, and when they will be. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cmd.h"
#include "cli/field.h"
#include "report/report_escape.h"

#define DURATION_MAX 32

struct pools_printer {
	bool is_json;
	size_t count;
};

DEFINE_CLEANUP(json_t, json_decref)

/* "-" where it is null: not growing, or not known. */
static const char *duration_format(const json_t *seconds, char buf[DURATION_MAX])
{
	double s = json_number_value(seconds);

	if (!json_is_number(seconds))
		return "-";
	if (s < 1)
		snprintf(buf, DURATION_MAX, "%.0fms", s * 1000);
	else if (s < 120)
		snprintf(buf, DURATION_MAX, "%.0fs", s);
	else if (s < 7200)
		snprintf(buf, DURATION_MAX, "%.0fm", s / 60);
	else if (s < 172800)
		snprintf(buf, DURATION_MAX, "%.0fh", s / 3600);
	else
		snprintf(buf, DURATION_MAX, "%.0fd", fmin(s / 86400, 9999));
	return buf;
}

static void print_header(void)
{
	printf("%-16s %8s %8s %8s %8s %8s %8s %8s %6s %6s %8s %8s %8s\n", "POOL",
	       "PORTS", "BUSIEST", "HELD", "LEASES", "RESTING", "PICKS/s", "SHARED",
	       "EARLY", "CONFL", "FALLBACK", "REFUSED", "FULL-IN");
}

static void print_row(const json_t *pool)
{
	char full_in[DURATION_MAX];

	printf("%-16s %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64
	       " %8.1f %8" PRId64 " %6" PRId64 " %6" PRId64 " %8" PRId64 " %8" PRId64
	       " %8s\n",
	       field_text(pool, "name"), field_number(pool, "capacity"),
	       field_number(pool, "busiest"), field_number(pool, "held"),
	       field_number(pool, "leases"), field_number(pool, "resting"),
	       json_number_value(json_object_get(pool, "picks_per_second")),
	       field_number(pool, "shared"), field_number(pool, "early_reuses"),
	       field_number(pool, "conflicts"), field_number(pool, "fallbacks"),
	       field_number(pool, "refusals"),
	       duration_format(json_object_get(pool, "forecast"), full_in));
}

static void print_policy(const json_t *pool)
{
	const json_t *quota = json_object_get(pool, "quota");

	printf("  ports        %s, algorithm %s, sharing %s, exhausted %s",
	       field_text(pool, "ports"), field_text(pool, "algorithm"),
	       field_text(pool, "sharing"), field_text(pool, "exhausted"));
	if (json_is_integer(quota))
		printf(", quota %" JSON_INTEGER_FORMAT " a user",
		       json_integer_value(quota));
	printf("; %" PRId64 " rules, %" PRId64 " runs%s\n", field_number(pool, "rules"),
	       field_number(pool, "runs"),
	       json_is_true(json_object_get(pool, "is_outdated"))
		       ? "; no more in the policy"
		       : "");
}

static void print_reasons(const json_t *pool)
{
	json_t *reasons = json_object_get(pool, "by_reason");
	const char *name;
	json_t *value;

	if (!field_number(pool, "fallbacks") && !field_number(pool, "refusals"))
		return;
	printf("  left out    ");
	json_object_foreach(reasons, name, value)
	{
		if (json_integer_value(value))
			printf(" %s %" JSON_INTEGER_FORMAT, name,
			       json_integer_value(value));
	}
	putchar('\n');
}

static void print_destination(const json_t *pool)
{
	const json_t *busiest = json_object_get(pool, "busiest_destination");
	const json_t *open = json_object_get(busiest, "open");
	bool is_v6 = strchr(field_text(busiest, "dst"), ':');
	char full_in[DURATION_MAX];

	if (!json_is_object(busiest))
		return;
	printf("  most go to   %s%s%s:%" PRId64 "/%s: %" PRId64 " sessions",
	       is_v6 ? "[" : "", field_text(busiest, "dst"), is_v6 ? "]" : "",
	       field_number(busiest, "dport"), field_text(busiest, "proto"),
	       field_number(busiest, "sessions"));
	if (json_is_integer(open))
		printf(", %" JSON_INTEGER_FORMAT " ports open to it, full in %s",
		       json_integer_value(open),
		       duration_format(json_object_get(busiest, "forecast"), full_in));
	putchar('\n');
}

static void print_owner(const json_t *pool)
{
	const json_t *owner = json_object_get(pool, "holds_most");
	const json_t *pid = json_object_get(owner, "pid");
	CLEANUP_FREE char *comm = NULL;
	CLEANUP_FREE char *exe = NULL;

	if (!json_is_object(owner))
		return;
	printf("  held most by ");
	comm = report_escape(field_text(owner, "comm"), 64, REPORT_CUT_END);
	exe = report_escape(field_text(owner, "exe"), 256, REPORT_CUT_START);
	if (json_is_integer(pid))
		printf("%s (pid %" JSON_INTEGER_FORMAT ", %s, uid %" PRId64 ")",
		       comm ? comm : "-", json_integer_value(pid), exe ? exe : "-",
		       field_number(owner, "uid"));
	else
		printf("uid %" PRId64, field_number(owner, "uid"));
	printf(": %" PRId64 " sessions%s\n", field_number(owner, "sessions"),
	       strcmp(field_text(pool, "told_by"), "record") == 0
		       ? ""
		       : " (by their ports: nothing is recorded)");
}

static void print_reuse(const json_t *pool)
{
	const json_t *distance = json_object_get(pool, "reuse_distance");
	const json_t *rest = json_object_get(pool, "rest");
	char least[DURATION_MAX], median[DURATION_MAX];

	if (json_is_object(distance))
		printf("  reuse        a port after %.0f sessions at least, %.0f in "
		       "the "
		       "median\n",
		       json_number_value(json_object_get(distance, "min")),
		       json_number_value(json_object_get(distance, "median")));
	if (json_is_object(rest))
		printf("  rest         a tuple for %s at least, %s in the median\n",
		       duration_format(json_object_get(rest, "min"), least),
		       duration_format(json_object_get(rest, "median"), median));
}

static int print_pool(json_t *pool, void *arg)
{
	struct pools_printer *printer = arg;

	printer->count++;
	if (printer->is_json) {
		cmd_print_json(pool);
		return 0;
	}
	if (printer->count == 1)
		print_header();
	print_row(pool);
	print_policy(pool);
	print_reasons(pool);
	print_destination(pool);
	print_owner(pool);
	print_reuse(pool);
	return 0;
}

static void print_memory(const json_t *memory)
{
	const json_t *recorder = json_object_get(memory, "recorder");

	printf("kernel memory: %" PRId64 " KiB for the pools (%" PRId64
	       " B a port, %" PRId64 " B a shared tuple, %" PRId64 " B a resting one)",
	       field_number(memory, "total") / 1024, field_number(memory, "per_port"),
	       field_number(memory, "per_shared"), field_number(memory, "per_resting"));
	if (json_is_integer(recorder))
		printf(", %" JSON_INTEGER_FORMAT " KiB for the record",
		       json_integer_value(recorder) / 1024);
	putchar('\n');
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(json_decref_ptr) json_t *done = NULL;
	struct pools_printer printer = {.is_json = common->is_json};
	struct fault fault = {0};

	(void)options;
	if (argc > 1) {
		fault_set(&fault, -EINVAL, "pools takes the name of one pool, or none");
		return cmd_fail(&fault);
	}
	if (cmd_ask(common, "pools", json_pack("{s:s?}", "name", argc ? argv[0] : NULL),
		    print_pool, &printer, &done, &fault) < 0)
		return cmd_fail(&fault);
	json_object_del(done, "id");
	json_object_del(done, "done");
	if (printer.is_json)
		cmd_print_json(done);
	else
		print_memory(json_object_get(done, "memory"));
	return EXIT_YES;
}

const struct cmd cmd_pools = {
	.name = "pools",
	.arguments = "[NAME]",
	.help = "Show how full the pools are, who fills them, and when they will be",
	.more = "BUSIEST: ports in use or set aside in the network namespace and "
		"protocol where\n"
		"most are; HELD: in all of them. FULL-IN: if it goes on growing as in "
		"the last two\n"
		"minutes.\n",
	.fault_status = EXIT_FAULT,
	.run = run,
};
