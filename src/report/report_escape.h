/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * report_escape.h - strings that a stranger chose (command lines, paths) made fit for
 * JSON and for a terminal.
 */
#ifndef REPORT_ESCAPE_H
#define REPORT_ESCAPE_H

#include <stddef.h>

/* Which end of a text that is too long is left out. */
enum report_cut {
	REPORT_CUT_END,
	REPORT_CUT_START, /* of a path, whose last part says most */
};

/*
 * A copy in which every byte that is not UTF-8 is U+FFFD. The caller frees it; NULL
 * without memory.
 */
char *report_mend_utf8(const char *text);

/*
 * A copy for a terminal: what is not UTF-8, control characters and characters that
 * reorder or hide text are written as \xNN, byte by byte. At most columns
 * characters (at least 4), with "..." where it was cut. The caller frees it; NULL
 * without memory.
 */
char *report_escape(const char *text, size_t columns, enum report_cut cut);

#endif /* REPORT_ESCAPE_H */
