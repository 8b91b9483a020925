/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * report_session.h - a session for programs (JSON) and for people (text).
 *
 * What is unknown is null in JSON and "-" in text. Text never carries a control
 * character of a session's strings to the terminal, and shows local time.
 */
#ifndef REPORT_REPORT_SESSION_H
#define REPORT_REPORT_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "model/session.h"

/*
 * The session object of design.md, keys in its order. Bytes that are not UTF-8
 * become U+FFFD, because JSON has no place for them. A new reference, NULL without
 * memory.
 */
json_t *report_session_json(const struct session *session);

/*
 * What report_session_json() made. Missing keys read as null. The caller releases
 * ret->owner, which is NULL where neither pid nor uid is known. 0, -EINVAL where a
 * value has the wrong type or range, -ENOMEM.
 */
int report_session_parse(const json_t *object, struct session *ret);

/* The table: a line of headings, a line for each session. */
void report_session_header(FILE *file);
void report_session_text(FILE *file, const struct session *session, bool color);

/* Who holds or held the source port: a sentence, then a line for each thing known. */
void report_session_who(FILE *file, const struct session *session, bool color);

#endif /* REPORT_REPORT_SESSION_H */
