/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_why.c - what a connect() to a destination would get, or why one failed. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/cmd.h"
#include "cli/field.h"
#include "cli/target.h"
#include "model/session.h"
#include "report/report_escape.h"

struct why_options {
	const char *pid;
};

DEFINE_CLEANUP(json_t, json_decref)

#define FIELD(name) offsetof(struct why_options, name)

static const struct option_entry entries[] = {
	{"pid", 0, OPTION_TEXT, FIELD(pid), "PID",
	 "of this process, instead of one started here"},
	{0},
};

static int parse_pid(const char *text, json_int_t *ret, struct fault *fault)
{
	char *end;
	long pid;

	if (!text)
		return 0;
	errno = 0;
	pid = strtol(text, &end, 10);
	if (errno || end == text || *end || pid < 1 || pid > INT32_MAX)
		return fault_set(fault, -EINVAL, "--pid %s: not a process id", text);
	*ret = pid;
	return 0;
}

static int parse(const struct why_options *options, const char *argument,
		 json_t **ret_params, struct fault *fault)
{
	char address[ADDRESS_TEXT_MAX];
	struct target target;
	json_int_t pid = 0;
	int err = target_parse(argument, &target, fault);

	if (err >= 0 && !target.has_address)
		err = fault_set(fault, -EINVAL, "%s: an address is missing: ADDR:PORT",
				argument);
	if (err >= 0)
		err = parse_pid(options->pid, &pid, fault);
	if (err < 0)
		return err;
	*ret_params = json_pack("{s:s, s:i, s:s?, s:o}", "address",
				address_format(&target.address, address), "port",
				target.port, "protocol",
				target.protocol ? protocol_name(target.protocol) : NULL,
				"pid", pid ? json_integer(pid) : json_null());
	return *ret_params ? 0 : fault_set(fault, -ENOMEM, "out of memory");
}

static void print_outlook(const json_t *why)
{
	const json_t *outlook = json_object_get(why, "outlook");

	if (!json_is_object(outlook))
		return;
	printf("  pool      %s, by %s%s\n", field_text(why, "pool"),
	       json_is_true(json_object_get(why, "is_run")) ? "srcport run" : "rule ",
	       json_is_true(json_object_get(why, "is_run")) ? ""
							    : field_text(why, "rule"));
	printf("  ports     %" PRId64 " nobody uses, %" PRId64
	       " in use that are open to it, %" PRId64 " taken, %" PRId64
	       " resting, %" PRId64 " held by others%s\n",
	       field_number(outlook, "unused"), field_number(outlook, "shared"),
	       field_number(outlook, "taken"), field_number(outlook, "resting"),
	       field_number(outlook, "aside"),
	       json_is_true(json_object_get(outlook, "is_used_there"))
		       ? ""
		       : " (the pool was not used there yet)");
}

static void print_quota(const json_t *why)
{
	const json_t *quota = json_object_get(why, "quota");

	if (json_is_object(quota))
		printf("  quota     %" PRId64 " of %" PRId64 " sessions of uid %" PRId64
		       "%s\n",
		       field_number(quota, "sessions"), field_number(quota, "limit"),
		       field_number(why, "uid"),
		       json_is_true(json_object_get(quota, "is_over")) ? ": all" : "");
}

static void print_notices(const json_t *notices)
{
	const json_t *notice;
	size_t i;

	json_array_foreach(notices, i, notice)
	{
		CLEANUP_FREE char *comm =
			report_escape(field_text(notice, "comm"), 64, REPORT_CUT_END);

		printf("  %s  %s%s%s, pid %" PRId64 " (%s)\n",
		       field_text(notice, "time"), field_text(notice, "kind"),
		       json_is_string(json_object_get(notice, "reason")) ? ": " : "",
		       json_is_string(json_object_get(notice, "reason"))
			       ? field_text(notice, "reason")
			       : "",
		       field_number(notice, "pid"), comm ? comm : "-");
	}
}

static void print_text(const json_t *why)
{
	CLEANUP_FREE char *comm =
		report_escape(field_text(why, "comm"), 64, REPORT_CUT_END);
	bool is_v6 = strchr(field_text(why, "dst"), ':');

	printf("%s%s%s:%" PRId64 "/%s: %s\n", is_v6 ? "[" : "", field_text(why, "dst"),
	       is_v6 ? "]" : "", field_number(why, "dport"), field_text(why, "proto"),
	       field_text(why, "text"));
	print_outlook(why);
	print_quota(why);
	printf("  process   %" PRId64 " (%s), uid %" PRId64 ", cgroup %s\n",
	       field_number(why, "pid"), comm ? comm : "-", field_number(why, "uid"),
	       field_text(why, "cgroup"));
	print_notices(json_object_get(why, "notices"));
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(json_decref_ptr) json_t *why = NULL;
	json_t *params = NULL;
	struct fault fault = {0};

	if (argc != 1) {
		fault_set(&fault, -EINVAL, "why takes one ADDR:PORT");
		return cmd_fail(&fault);
	}
	if (parse(options, argv[0], &params, &fault) < 0 ||
	    cmd_ask(common, "why", params, NULL, NULL, &why, &fault) < 0)
		return cmd_fail(&fault);
	json_object_del(why, "id");
	json_object_del(why, "done");
	if (common->is_json)
		cmd_print_json(why);
	else
		print_text(why);
	return json_is_true(json_object_get(why, "has_port")) ? EXIT_YES : EXIT_NO;
}

const struct cmd cmd_why = {
	.name = "why",
	.arguments = "ADDR:PORT[/tcp|/udp] [--pid PID]",
	.help = "Say what a connect() to there would get, and why the last ones failed",
	.more = "0: a port; 1: none of the pool, so that connect() fails or the kernel "
		"picks.\n",
	.fault_status = EXIT_FAULT,
	.options = entries,
	.options_size = sizeof(struct why_options),
	.run = run,
};
