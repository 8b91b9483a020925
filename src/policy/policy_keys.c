/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the keys of all sections share: notes, words, choices, names. */
#include "policy/policy_keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add_note(struct policy_notes *notes, bool is_error, int line,
		     const char *format, va_list args)
{
	size_t at = notes->count++;

	if (is_error)
		notes->error_count++;
	if (at >= POLICY_NOTES_MAX)
		return;
	notes->notes[at].is_error = is_error;
	notes->notes[at].line = line;
	vsnprintf(notes->notes[at].text, sizeof(notes->notes[at].text), format, args);
}

void policy_notes_warn(struct policy_notes *notes, int line, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(notes, false, line, format, args);
	va_end(args);
}

void policy_fail(struct policy_parser *parser, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(parser->notes, true, parser->line, format, args);
	va_end(args);
}

void policy_fail_value(struct policy_parser *parser, const char *key, const char *value,
		       const char *expected)
{
	policy_fail(parser, "%s: found \"%s\", expected %s", key,
		    policy_show(value).text, expected);
}

bool policy_has_key(const struct policy_parser *parser, const char *name)
{
	const struct policy_key *keys = parser->section->keys;

	for (size_t i = 0; keys[i].name; i++)
		if (strcmp(keys[i].name, name) == 0)
			return parser->key_lines[i] != 0;
	return false;
}

int policy_choose(struct policy_parser *parser, const char *key, const char *value,
		  const char *const *names)
{
	char expected[128] = "";
	size_t length = 0;

	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], value) == 0)
			return i;
	for (int i = 0; names[i]; i++) {
		const char *before = !i ? "" : names[i + 1] ? ", " : " or ";

		length += (size_t)snprintf(expected + length, sizeof(expected) - length,
					   "%s%s", before, names[i]);
	}
	policy_fail_value(parser, key, value, expected);
	return -1;
}

void policy_set_flag(struct policy_parser *parser, const char *key, const char *value,
		     bool *ret)
{
	static const char *const names[] = {"no", "yes", NULL};
	int chosen = policy_choose(parser, key, value, names);

	if (chosen >= 0)
		*ret = chosen == 1;
}

bool policy_check_name(struct policy_parser *parser, const char *what, const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_-.";

	if (*name && *name != '-' && *name != '.' &&
	    strspn(name, letters) == strlen(name) && strlen(name) < SESSION_POOL_MAX)
		return true;
	policy_fail(parser,
		    "found the %s name \"%s\", expected 1 to %d letters, digits, _ - "
		    "or ., the first a letter, a digit or _",
		    what, policy_show(name).text, SESSION_POOL_MAX - 1);
	return false;
}

bool policy_begin_only(struct policy_parser *parser, const char *name,
		       const char *value, int *line)
{
	if (*value) {
		policy_fail(parser, "found [%s %s], expected [%s]", name,
			    policy_show(value).text, name);
		return false;
	}
	if (*line) {
		policy_fail(parser,
			    "found [%s] again, expected it once (it is on line %d)",
			    name, *line);
		return false;
	}
	*line = parser->line;
	return true;
}
