/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_who.c - who holds, or held, a source port. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/session_text.h"
#include "cli/source.h"
#include "cli/target.h"
#include "model/moment.h"
#include "model/session.h"

#define HOLDERS_MAX 10 /* past holders shown, the latest ones */
#define MINUTE_NS   (60ULL * 1000000000)

struct who_options {
	const char *at;
};

/* The latest holders, latest first. */
struct holders {
	json_t *items[HOLDERS_MAX + 1];
	size_t count;
};

DEFINE_CLEANUP(struct source, source_close)

#define FIELD(name) offsetof(struct who_options, name)

static const struct option_entry entries[] = {
	{"at", 0, OPTION_TEXT, FIELD(at), "TIME", "who held it at TIME"},
	{0},
};

/* "PORT", "ADDR:PORT", "[ADDR]:PORT", each with "/tcp" or "/udp", as a filter. */
static int parse_port_of(const char *argument, char *filter, size_t size,
			 struct fault *fault)
{
	char source[80] = "", protocol[32] = "", address[ADDRESS_TEXT_MAX];
	struct target target;
	int err = target_parse(argument, &target, fault);

	if (err < 0)
		return err;
	if (target.protocol)
		snprintf(protocol, sizeof(protocol), " and proto = %s",
			 protocol_name(target.protocol));
	if (target.has_address)
		snprintf(source, sizeof(source), " and src = %s",
			 address_format(&target.address, address));
	snprintf(filter, size, "sport = %u%s%s", target.port, source, protocol);
	return 0;
}

/* When it was last known to hold the port. RFC 3339 in UTC sorts as text. */
static const char *last_held(const json_t *item)
{
	const char *end = json_string_value(json_object_get(item, "end"));
	const char *start = json_string_value(json_object_get(item, "start"));

	/* Open sessions come before all that ended. */
	if (!end)
		return "~";
	return start && strcmp(start, end) > 0 ? start : end;
}

static int keep_latest(json_t *item, void *arg)
{
	struct holders *holders = arg;
	size_t i = holders->count;

	for (; i > 0 && strcmp(last_held(holders->items[i - 1]), last_held(item)) < 0;
	     i--)
		holders->items[i] = holders->items[i - 1];
	holders->items[i] = json_incref(item);
	if (holders->count < HOLDERS_MAX)
		holders->count++;
	else
		json_decref(holders->items[HOLDERS_MAX]);
	return 0;
}

static void holders_release(struct holders *holders)
{
	for (size_t i = 0; i < holders->count; i++)
		json_decref(holders->items[i]);
}

/*
 * A port in use has many holders a day: look a minute back, then further, until
 * someone is found.
 */
static int ask_recent(struct source *source, struct source_question *question,
		      struct holders *holders, json_t **ret_end, struct fault *fault)
{
	static const uint64_t minutes[] = {2, 60, 24 * 60, 0};
	uint64_t now_ns = cmd_now_ns();
	int result = 0;

	question->is_past = true;
	for (size_t i = 0; i < sizeof(minutes) / sizeof(minutes[0]) && !holders->count;
	     i++) {
		json_decref(*ret_end);
		*ret_end = NULL;
		question->from_ns = minutes[i] ? now_ns - minutes[i] * MINUTE_NS : 0;
		result = source_ask(source, question, keep_latest, holders, ret_end,
				    fault);
		if (result < 0)
			break;
	}
	return result;
}

static int ask(struct source *source, const struct who_options *options,
	       const char *filter, struct holders *holders, json_t **ret_end,
	       struct fault *fault)
{
	struct source_question question = {.filter = filter};
	int result;

	if (options->at) {
		if (moment_parse(options->at, cmd_now_ns(), &question.from_ns) < 0)
			return fault_set(fault, -EINVAL, "--at %s: not a time",
					 options->at);
		question.until_ns = question.from_ns;
		question.is_past = true;
	}
	result = source_ask(source, &question, keep_latest, holders, ret_end, fault);
	if (result < 0 || holders->count || options->at)
		return result;
	return ask_recent(source, &question, holders, ret_end, fault);
}

static void print(const struct holders *holders, bool is_json, const json_t *end)
{
	struct session_printer printer = {.is_json = is_json, .is_who = true};

	for (size_t i = 0; i < holders->count; i++)
		session_print(holders->items[i], &printer);
	session_print_end(&printer, end);
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	CLEANUP(source_close_ptr) struct source *source = NULL;
	const struct who_options *who = options;
	struct holders holders = {0};
	struct fault fault = {0};
	json_t *end = NULL;
	char filter[256];
	int result;

	if (argc != 1) {
		fault_set(&fault, -EINVAL, "who takes one PORT or ADDR:PORT");
		return cmd_fail(&fault);
	}
	if (parse_port_of(argv[0], filter, sizeof(filter), &fault) < 0 ||
	    source_open(common, &source, &fault) < 0)
		return cmd_fail(&fault);
	result = ask(source, who, filter, &holders, &end, &fault);
	if (result < 0) {
		cmd_fail(&fault);
	} else {
		if (!holders.count && !common->is_json)
			log_say("nobody held %s", argv[0]);
		print(&holders, common->is_json, end);
	}
	result = result < 0 ? EXIT_FAULT : holders.count ? EXIT_YES : EXIT_NO;
	holders_release(&holders);
	json_decref(end);
	return result;
}

const struct cmd cmd_who = {
	.name = "who",
	.arguments = "PORT | ADDR:PORT[/tcp|/udp] [--at TIME]",
	.help = "Say who holds, or held, a source port",
	.more = "Where nobody holds it now, the last holders are shown, the latest "
		"first.\n",
	.fault_status = EXIT_FAULT,
	.options = entries,
	.options_size = sizeof(struct who_options),
	.run = run,
};
