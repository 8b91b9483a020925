/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* test_policy.h - what the tests of the policy share: parse a text, judge its faults.
 */
#ifndef TEST_POLICY_H
#define TEST_POLICY_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy_parse.h"

struct fixture {
	struct policy policy;
	struct policy_notes notes;
};

static inline int make_fixture(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static inline int free_fixture(void **state)
{
	free(*state);
	return 0;
}

static inline const struct policy *parse(struct fixture *f, const char *text)
{
	if (policy_parse(text, &f->policy, &f->notes) < 0)
		fail_msg("line %d: %s", f->notes.notes[0].line, f->notes.notes[0].text);
	return &f->policy;
}

/* The text has one error: at that line, and its note holds message. */
static inline void assert_fault(struct fixture *f, const char *text, int line,
				const char *message)
{
	const struct policy_note *note = &f->notes.notes[0];

	f->policy.pool_count = 99;
	assert_int_equal(policy_parse(text, &f->policy, &f->notes), -EINVAL);
	assert_int_equal(f->policy.pool_count, 99);
	if (f->notes.error_count != 1 || note->line != line || !note->is_error ||
	    !strstr(note->text, message))
		fail_msg("%zu errors, line %d: %s", f->notes.error_count, note->line,
			 note->text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)

#endif /* TEST_POLICY_H */
