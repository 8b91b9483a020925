/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_line.h - one line of an INI file, taken apart by libinih.
 *
 * libinih is given one line at a time, so that every fault has its line and nothing
 * carries over (a line is never the continuation of the one before). What is a
 * comment, a section and a key is its decision: ";" and "#" begin a comment at the
 * start of a line, elsewhere ";" behind a blank does; "=" or ":" ends a key.
 */
#ifndef POLICY_LINE_H
#define POLICY_LINE_H

#define POLICY_LINE_MAX 4352 /* a ledger path of 4095 with its key and a comment */

enum policy_line_kind {
	POLICY_LINE_BLANK, /* or a comment */
	POLICY_LINE_SECTION,
	POLICY_LINE_SETTING,
	POLICY_LINE_BAD,
};

struct policy_line {
	enum policy_line_kind kind;
	char name[POLICY_LINE_MAX + 1];	 /* of the section or the key */
	char value[POLICY_LINE_MAX + 1]; /* "NAME" of "[pool NAME]", or of the key */
};

/*
 * line has at most POLICY_LINE_MAX characters and no control bytes but tab and \r.
 * 0, or -ENOMEM.
 */
int policy_line_parse(const char *line, struct policy_line *ret);

#endif /* POLICY_LINE_H */
