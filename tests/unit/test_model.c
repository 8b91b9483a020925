/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/owner.h"
#include "model/session.h"

#define BOOT "01234567-89ab-cdef-0123-456789abcdef"

static void an_owner_lives_until_its_last_reference_goes(void **state)
{
	struct owner *owner = owner_new(123, 5, 1000);

	(void)state;
	assert_non_null(owner);
	owner->exe = strdup("/usr/bin/curl");
	assert_ptr_equal(owner_ref(owner), owner);
	owner_unref(owner);
	assert_int_equal(owner->references, 1);
	assert_string_equal(owner->exe, "/usr/bin/curl");
	owner_unref(owner); /* the leak checker says whether the rest was freed */
}

static void no_owner_may_be_counted(void **state)
{
	(void)state;
	assert_null(owner_ref(NULL));
	owner_unref(NULL);
}

static void every_name_reads_back_as_itself(void **state)
{
	(void)state;
	for (enum picked_by who = PICKED_BY_SRCPORT; who <= PICKED_BY_PROGRAM; who++)
		assert_int_equal(picked_by_parse(picked_by_name(who)), who);
	for (enum end_reason reason = END_FIN; reason <= END_LOST; reason++)
		assert_int_equal(end_reason_parse(end_reason_name(reason)), reason);
	assert_int_equal(protocol_parse(protocol_name(IPPROTO_TCP)), IPPROTO_TCP);
	assert_int_equal(protocol_parse(protocol_name(IPPROTO_UDP)), IPPROTO_UDP);
}

static void what_is_unknown_has_no_name(void **state)
{
	(void)state;
	assert_null(picked_by_name(PICKED_BY_UNKNOWN));
	assert_null(picked_by_name((enum picked_by)99));
	assert_null(end_reason_name(END_UNKNOWN));
	assert_null(end_reason_name((enum end_reason)99));
	assert_null(protocol_name(IPPROTO_ICMP));
	assert_int_equal(picked_by_parse("nobody"), PICKED_BY_UNKNOWN);
	assert_int_equal(picked_by_parse(NULL), PICKED_BY_UNKNOWN);
	assert_int_equal(end_reason_parse(""), END_UNKNOWN);
	assert_int_equal(protocol_parse("sctp"), 0);
}

static void a_session_id_names_the_use_only_after_the_first(void **state)
{
	struct session_id id = {.boot = BOOT, .netns = 1, .cookie = 77};
	char buf[SESSION_ID_TEXT_MAX];

	(void)state;
	assert_string_equal(session_id_format(&id, buf), BOOT "-1-77");
	id.use = 2;
	assert_string_equal(session_id_format(&id, buf), BOOT "-1-77-2");
}

static void the_longest_session_id_reads_back(void **state)
{
	struct session_id id = {.boot = BOOT,
				.netns = UINT64_MAX,
				.cookie = UINT64_MAX,
				.use = UINT32_MAX};
	struct session_id back;
	char buf[SESSION_ID_TEXT_MAX];

	(void)state;
	assert_int_equal(session_id_parse(session_id_format(&id, buf), &back), 0);
	assert_string_equal(back.boot, BOOT);
	assert_int_equal(back.netns, id.netns);
	assert_int_equal(back.cookie, id.cookie);
	assert_int_equal(back.use, id.use);
}

static void a_torn_session_id_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		BOOT,
		BOOT "-1",
		BOOT "-1-",
		BOOT "-1-2-",
		BOOT "-1-2-3-4",
		BOOT "-1--2",
		BOOT "-99999999999999999999-2",
		BOOT "-1-2-4294967296",
	};
	struct session_id id;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(session_id_parse(texts[i], &id), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_owner_lives_until_its_last_reference_goes),
		cmocka_unit_test(no_owner_may_be_counted),
		cmocka_unit_test(every_name_reads_back_as_itself),
		cmocka_unit_test(what_is_unknown_has_no_name),
		cmocka_unit_test(a_session_id_names_the_use_only_after_the_first),
		cmocka_unit_test(the_longest_session_id_reads_back),
		cmocka_unit_test(a_torn_session_id_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
