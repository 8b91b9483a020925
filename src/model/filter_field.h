/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * filter_field.h - the fields of a filter: how a value is read and compared.
 *
 * filter.c knows the grammar and this knows the fields. A new field is a line in
 * filter_fields. What a session does not know equals nothing and has no order: it
 * passes "!=" and fails all else.
 */
#ifndef MODEL_FILTER_FIELD_H
#define MODEL_FILTER_FIELD_H

#include "model/session.h"

enum relation {
	RELATION_EQUAL,
	RELATION_DIFFERENT,
	RELATION_BELOW,
	RELATION_AT_MOST,
	RELATION_ABOVE,
	RELATION_AT_LEAST,
};

struct filter_field;

/* One "field relation value", ready to be applied. */
struct filter_test {
	const struct filter_field *field;
	enum relation relation;
	uint64_t from; /* numbers: accepted when from <= number <= to */
	uint64_t to;
	struct address prefix;
	unsigned int prefix_bits;
	char *text; /* owned by the holder of the test */
};

struct filter_field {
	const char *name;
	const char *expected; /* what a value looks like, for messages */
	bool is_ordered;
	int (*parse)(const char *value, struct filter_test *test);
	bool (*equals)(const struct filter_test *test, const struct session *session);
};

extern const struct filter_field filter_fields[]; /* the last has no name */

/* Fill a test whose relation is set. 0, -EINVAL, -ENOMEM. */
int filter_field_parse(const struct filter_field *field, const char *value,
		       struct filter_test *test);

bool filter_test_holds(const struct filter_test *test, const struct session *session);

/* The source port a session must have to pass, or 0 where several pass. */
uint16_t filter_test_fixed_sport(const struct filter_test *test);

#endif /* MODEL_FILTER_FIELD_H */
