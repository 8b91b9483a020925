/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* field.h - fields of an answer from the daemon, for people to read. */
#ifndef CLI_FIELD_H
#define CLI_FIELD_H

#include <stdint.h>

#include <jansson.h>

/* "-" where it is null or missing. Borrowed from the object. */
const char *field_text(const json_t *object, const char *name);

/* 0 where it is null or missing. */
int64_t field_number(const json_t *object, const char *name);

#endif /* CLI_FIELD_H */
