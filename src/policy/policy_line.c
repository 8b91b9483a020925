/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_line.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * libinih tells of a section only with a key in it, so a key follows each line; and
 * a section stands before it, to tell "[]" from none. Their name is a byte that no
 * line has.
 */
#define PROBE	    "\x01"
#define BEFORE	    "[" PROBE "]\n"
#define BEHIND	    "\n" PROBE "=\n"
#define BLANKS	    " \t\r"
#define SECTION_MAX 49 /* libinih drops what is past it */

/* "pool NAME" into name and value. */
static void split_section(const char *section, struct policy_line *ret)
{
	const char *value;
	size_t length;

	section += strspn(section, BLANKS);
	length = strcspn(section, BLANKS);
	memcpy(ret->name, section, length);
	ret->name[length] = '\0';
	value = section + length + strspn(section + length, BLANKS);
	length = strlen(value);
	while (length && strchr(BLANKS, value[length - 1]))
		length--;
	memcpy(ret->value, value, length);
	ret->value[length] = '\0';
}

static int take(void *user, const char *section, const char *name, const char *value)
{
	struct policy_line *ret = user;

	if (strcmp(section, PROBE) != 0) {
		ret->kind = strlen(section) < SECTION_MAX ? POLICY_LINE_SECTION
							  : POLICY_LINE_BAD;
		split_section(section, ret);
	} else if (strcmp(name, PROBE) != 0) {
		ret->kind = *name ? POLICY_LINE_SETTING : POLICY_LINE_BAD;
		snprintf(ret->name, sizeof(ret->name), "%s", name);
		snprintf(ret->value, sizeof(ret->value), "%s", value);
	}
	return 1;
}

/* libinih does not look at what follows a section. */
static bool is_clean_behind(const char *line)
{
	const char *end = strchr(line, ']');

	end += 1 + strspn(end + 1, BLANKS);
	return *end == '\0' || *end == ';';
}

int policy_line_parse(const char *line, struct policy_line *ret)
{
	char text[sizeof(BEFORE) + POLICY_LINE_MAX + sizeof(BEHIND)];
	int result;

	/* Debian's build cuts a line at 200 characters unless told otherwise. */
	ini_use_stack = false;
	ini_max_line = ini_initial_alloc = (int)sizeof(text);
	snprintf(text, sizeof(text), BEFORE "%s" BEHIND, line);
	ret->kind = POLICY_LINE_BLANK;
	result = ini_parse_string(text, take, ret);
	if (result < 0)
		return -ENOMEM;
	if (result > 0 || (ret->kind == POLICY_LINE_SECTION && !is_clean_behind(line)))
		ret->kind = POLICY_LINE_BAD;
	return 0;
}
