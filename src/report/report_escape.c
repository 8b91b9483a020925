/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "report/report_escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define REPLACEMENT   "\xef\xbf\xbd" /* U+FFFD */
#define DOTS	      "..."
#define ESCAPE_LENGTH 4 /* "\x1b" */

/*
 * The length of the UTF-8 character at text (RFC 3629) and its code point, or 0 where
 * there is none. text is terminated and not at its end.
 */
static size_t decode(const char *text, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *bytes = (const unsigned char *)text;
	uint32_t point = bytes[0];
	size_t length = point < 0x80   ? 1
			: point < 0xc2 ? 0
			: point < 0xe0 ? 2
			: point < 0xf0 ? 3
			: point < 0xf5 ? 4
				       : 0;

	if (length > 1)
		point &= 0xffU >> (length + 1);
	for (size_t i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (bytes[i] & 0x3f);
	}
	if (length == 0 || point < least[length] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret = point;
	return length;
}

char *report_mend_utf8(const char *text)
{
	char *mended = malloc(strlen(text) * strlen(REPLACEMENT) + 1);
	char *to = mended;
	uint32_t point;

	if (!mended)
		return NULL;
	while (*text) {
		size_t length = decode(text, &point);

		if (length)
			to = mempcpy(to, text, length);
		else
			to = mempcpy(to, REPLACEMENT, strlen(REPLACEMENT));
		text += length ? length : 1;
	}
	*to = '\0';
	return mended;
}

/* Controls (C0, C1), and what hides or reorders text: zero-width, bidirectional, BOM.
 */
static bool is_harmless(uint32_t point)
{
	return point >= 0x20 && !(point >= 0x7f && point < 0xa0) &&
	       !(point >= 0x200b && point <= 0x200f) &&
	       !(point >= 0x2028 && point <= 0x202e) &&
	       !(point >= 0x2060 && point <= 0x206f) && point != 0xfeff;
}

static char *escape_all(const char *text)
{
	char *escaped = malloc(strlen(text) * ESCAPE_LENGTH + 1);
	char *to = escaped;
	uint32_t point;

	if (!escaped)
		return NULL;
	while (*text) {
		size_t length = decode(text, &point);

		if (length && is_harmless(point)) {
			to = mempcpy(to, text, length);
			text += length;
			continue;
		}
		for (size_t i = 0; i < (length ? length : 1); i++, text++)
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
	}
	*to = '\0';
	return escaped;
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

static size_t count_characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += !is_continuation(*text);
	return count;
}

/* Behind the first count characters of text, which has more. */
static char *skip_characters(char *text, size_t count)
{
	while (count--)
		for (text++; is_continuation(*text);)
			text++;
	return text;
}

char *report_escape(const char *text, size_t columns, enum report_cut cut)
{
	CLEANUP_FREE char *escaped = escape_all(text);
	size_t count = escaped ? count_characters(escaped) : 0;
	size_t kept = columns - strlen(DOTS);
	char *result;

	if (!escaped || count <= columns)
		return TAKE(escaped);
	if (cut == REPORT_CUT_END) {
		*skip_characters(escaped, kept) = '\0';
		return asprintf(&result, "%s" DOTS, escaped) < 0 ? NULL : result;
	}
	return asprintf(&result, DOTS "%s", skip_characters(escaped, count - kept)) < 0
		       ? NULL
		       : result;
}
