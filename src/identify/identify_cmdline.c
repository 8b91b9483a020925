/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "identify/identify.h"

#define STARS "***"

/* Does a name (length bytes) tell of a secret behind it? */
static bool names_a_secret(const char *name, size_t length)
{
	static const char *const words[] = {"pass", "token", "secret", "key"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (size_t at = 0; at + strlen(words[i]) <= length; at++)
			if (!strncasecmp(name + at, words[i], strlen(words[i])))
				return true;
	return false;
}

/* A line is being written into room enough. */
struct line {
	char *text;
	size_t length;
};

/* Control characters would break the line, and a terminal. */
static void line_add(struct line *line, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		line->text[line->length++] =
			iscntrl((unsigned char)text[i]) ? ' ' : text[i];
}

/*
 * One argument with its secrets starred. *is_secret says that the option before named
 * one, and is set for the next. "--a-key --b": what follows is starred even if it looks
 * like an option, and is still read as one.
 */
static void line_add_redacted(struct line *line, const char *text, size_t length,
			      bool *is_secret)
{
	const char *equals = memchr(text, '=', length);
	size_t name = equals ? (size_t)(equals - text) : length;
	bool is_option = length > 1 && text[0] == '-';
	bool names = (is_option || equals) && names_a_secret(text, name);

	if (*is_secret)
		line_add(line, STARS, strlen(STARS));
	else
		line_add(line, text, names && equals ? name + 1 : length);
	if (!*is_secret && names && equals)
		line_add(line, STARS, strlen(STARS));
	*is_secret = names && !equals;
}

char *identify_cmdline_format(enum identify_cmdline rule, const char *argv,
			      size_t length)
{
	bool is_redacted = rule == IDENTIFY_CMDLINE_REDACTED;
	bool is_secret = false;
	struct line line = {};
	size_t at = 0, size;

	if (rule == IDENTIFY_CMDLINE_OFF || length == 0)
		return NULL;
	/* An argument, even an empty one, grows at most from one byte to the stars. */
	line.text = malloc(length * sizeof(STARS) + 1);
	if (!line.text)
		return NULL;
	while (at < length) {
		size = strnlen(argv + at, length - at);
		if (at)
			line.text[line.length++] = ' ';
		if (is_redacted && at)
			line_add_redacted(&line, argv + at, size, &is_secret);
		else
			line_add(&line, argv + at, size);
		if (rule == IDENTIFY_CMDLINE_ARGV0)
			break;
		at += size + 1;
	}
	line.text[line.length] = '\0';
	return line.text;
}
