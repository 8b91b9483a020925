/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/session_text.h"

#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "report/report_session.h"

static const char *text_of(const json_t *item, const char *name)
{
	return json_string_value(json_object_get(item, name));
}

static void print_text(const struct session_printer *printer, const json_t *item)
{
	bool has_color = isatty(STDOUT_FILENO);
	struct session session;

	if (report_session_parse(item, &session) < 0)
		return;
	if (printer->is_who) {
		report_session_who(stdout, &session, has_color);
	} else {
		if (printer->count == 0)
			report_session_header(stdout);
		report_session_text(stdout, &session, has_color);
	}
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
		print_text(printer, item);
	printer->count++;
	return 0;
}

/* One line: runs one after the other leave a gap between each two. */
static void print_gaps(const json_t *gaps)
{
	size_t count = json_array_size(gaps);
	const json_t *last = json_array_get(gaps, count - 1);

	if (!count)
		return;
	log_say("this may be incomplete: %s from %s until %s%s", text_of(last, "cause"),
		text_of(last, "from"), text_of(last, "until"),
		count > 1 ? ", and earlier (--json lists all gaps)" : "");
}

void session_print_end(const struct session_printer *printer, const json_t *end)
{
	if (printer->is_json) {
		print_json(end);
		return;
	}
	/* What was found comes first where both go to one terminal. */
	fflush(stdout);
	print_gaps(json_object_get(end, "gaps"));
}
