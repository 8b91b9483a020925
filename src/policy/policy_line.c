/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_line.h"

#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without blanks at both ends; writes the terminator. */
static char *strip(char *text)
{
	size_t length;

	while (is_blank(*text))
		text++;
	length = strlen(text);
	while (length && is_blank(text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

static void cut_comment(char *line)
{
	for (char *c = line; *c; c++) {
		if (*c == ';' && (c == line || is_blank(c[-1]))) {
			*c = '\0';
			return;
		}
	}
}

/* "[pool NAME]", of which line is what follows the bracket. */
static void parse_section(char *line, struct policy_line *ret)
{
	char *end = strchr(line, ']');
	char *value;

	if (!end || end[1] != '\0')
		return;
	*end = '\0';
	line = strip(line);
	value = line + strcspn(line, " \t");
	if (*value)
		*value++ = '\0';
	ret->kind = POLICY_LINE_SECTION;
	ret->name = line;
	ret->value = strip(value);
}

void policy_line_parse(char *line, struct policy_line *ret)
{
	char *equals;

	line = strip(line);
	if (*line == '#')
		*line = '\0';
	cut_comment(line);
	line = strip(line);
	*ret = (struct policy_line){.kind = POLICY_LINE_BAD, .name = line, .value = ""};
	if (*line == '\0') {
		ret->kind = POLICY_LINE_BLANK;
		return;
	}
	if (*line == '[') {
		parse_section(line + 1, ret);
		return;
	}
	equals = strchr(line, '=');
	if (!equals || equals == line)
		return;
	*equals = '\0';
	ret->kind = POLICY_LINE_SETTING;
	ret->name = strip(line);
	ret->value = strip(equals + 1);
}
