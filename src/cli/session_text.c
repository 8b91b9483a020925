/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/session_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "model/moment.h"
#include "report/report_session.h"

static const char *text_of(const json_t *item, const char *name)
{
	return json_string_value(json_object_get(item, name));
}

static uint64_t number_of(const json_t *item, const char *name, uint64_t otherwise)
{
	const json_t *value = json_object_get(item, name);

	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : otherwise;
}

static uint64_t moment_of(const json_t *item, const char *name)
{
	const char *text = text_of(item, name);
	uint64_t moment_ns = 0;

	if (text)
		moment_parse(text, 0, &moment_ns);
	return moment_ns;
}

static void address_of(const json_t *item, const char *name, struct address *ret)
{
	const char *text = text_of(item, name);

	if (text)
		address_parse(text, ret);
}

static char *copy_of(const json_t *item, const char *name)
{
	const char *text = text_of(item, name);

	return text ? strdup(text) : NULL;
}

static struct owner *owner_of(const json_t *item)
{
	uint32_t pid = number_of(item, "pid", 0);
	const char *comm = text_of(item, "comm");
	struct owner *owner;

	if (!pid)
		return NULL;
	owner = owner_new(pid, moment_of(item, "pid_start"), number_of(item, "uid", 0));
	if (!owner)
		return NULL;
	snprintf(owner->comm, sizeof(owner->comm), "%s", comm ? comm : "");
	owner->exe = copy_of(item, "exe");
	owner->cmdline = copy_of(item, "cmdline");
	owner->user = copy_of(item, "user");
	owner->cgroup = copy_of(item, "cgroup");
	owner->unit = copy_of(item, "unit");
	owner->container = copy_of(item, "container");
	return owner;
}

int session_text_parse(const json_t *item, struct session *ret)
{
	const char *direction = text_of(item, "direction");
	const char *pool = text_of(item, "pool");

	if (!json_is_object(item) || !direction)
		return -EINVAL;
	*ret = (struct session){
		.protocol = protocol_parse(text_of(item, "proto")),
		.direction =
			strcmp(direction, "in") == 0 ? DIRECTION_IN : DIRECTION_OUT,
		.sport = number_of(item, "sport", 0),
		.dport = number_of(item, "dport", 0),
		.start_ns = moment_of(item, "start"),
		.end_ns = moment_of(item, "end"),
		.port_free_ns = moment_of(item, "port_free"),
		.end_reason = end_reason_parse(text_of(item, "end_reason")),
		.tx_bytes = number_of(item, "tx_bytes", BYTES_UNKNOWN),
		.rx_bytes = number_of(item, "rx_bytes", BYTES_UNKNOWN),
		.picked_by = picked_by_parse(text_of(item, "picked_by")),
		.owner = owner_of(item),
	};
	address_of(item, "src", &ret->src);
	address_of(item, "dst", &ret->dst);
	snprintf(ret->pool, sizeof(ret->pool), "%s", pool ? pool : "");
	return 0;
}

static void print_text(const json_t *item, bool is_first)
{
	struct session session;

	if (session_text_parse(item, &session) < 0)
		return;
	if (is_first)
		report_session_header(stdout);
	report_session_text(stdout, &session, isatty(STDOUT_FILENO));
	owner_unref(session.owner);
}

static void print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
}

int session_print(json_t *item, void *arg)
{
	struct session_printer *printer = arg;

	if (printer->is_json)
		print_json(item);
	else
		print_text(item, printer->count == 0);
	printer->count++;
	return 0;
}

void session_print_end(const struct session_printer *printer, const json_t *end)
{
	const json_t *gap;
	size_t i;

	if (printer->is_json) {
		print_json(end);
		return;
	}
	/* What was found comes first where both go to one terminal. */
	fflush(stdout);
	json_array_foreach(json_object_get(end, "gaps"), i, gap) log_say(
		"this may be incomplete: %s from %s until %s", text_of(gap, "cause"),
		text_of(gap, "from"), text_of(gap, "until"));
}
