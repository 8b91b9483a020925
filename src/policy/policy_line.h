/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_line.h - one line of an INI file.
 *
 * libinih is not used: it drops what is past 200 characters of a line and 50 of a
 * section, does not tell of a section without keys, reports the first bad line only,
 * and gives no line numbers in Debian's build.
 */
#ifndef POLICY_LINE_H
#define POLICY_LINE_H

#include <stddef.h>

#define POLICY_LINE_MAX 4352 /* a ledger path of 4095 with its key and a comment */

enum policy_line_kind {
	POLICY_LINE_BLANK, /* or a comment */
	POLICY_LINE_SECTION,
	POLICY_LINE_SETTING,
	POLICY_LINE_BAD,
};

struct policy_line {
	enum policy_line_kind kind;
	const char *name;  /* of the section or the key; BAD: the whole line */
	const char *value; /* "NAME" of "[pool NAME]", or right of "="; may be "" */
};

/*
 * Take line apart, in place: *ret points into it. ";" and "#" begin a comment at the
 * start of a line; elsewhere only ";" behind a blank does.
 */
void policy_line_parse(char *line, struct policy_line *ret);

#endif /* POLICY_LINE_H */
