/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "model/moment.h"

#define S 1000000000ULL

/* 2026-11-22T12:03:04Z */
#define NOON (1795348984 * S)

static uint64_t parse(const char *text)
{
	uint64_t moment_ns;

	if (moment_parse(text, NOON, &moment_ns) < 0)
		fail_msg("\"%s\" was refused", text);
	return moment_ns;
}

static int in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
	return 0;
}

static int use_utc(void **state)
{
	(void)state;
	return in_zone("UTC0");
}

static void a_moment_prints_as_rfc_3339_with_nine_digits(void **state)
{
	char buf[MOMENT_TEXT_MAX];

	(void)state;
	assert_string_equal(moment_format(NOON + 5, buf),
			    "2026-11-22T12:03:04.000000005Z");
	assert_string_equal(moment_format(0, buf), "1970-01-01T00:00:00.000000000Z");
	moment_format(UINT64_MAX, buf);
	assert_string_equal(buf, "2554-07-21T23:34:33.709551615Z");
}

static void what_moment_format_wrote_reads_back(void **state)
{
	static const uint64_t moments[] = {0, 1, NOON, NOON + 123456789,
					   4102444800 * S};
	char buf[MOMENT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
		assert_int_equal(parse(moment_format(moments[i], buf)), moments[i]);
}

static void an_offset_moves_the_moment(void **state)
{
	(void)state;
	assert_int_equal(parse("2026-11-22T13:03:04+01:00"), NOON);
	assert_int_equal(parse("2026-11-22t06:33:04-05:30"), NOON);
	assert_int_equal(parse("2026-11-22T12:03:04.5Z"), NOON + S / 2);
	assert_int_equal(parse("2026-11-22T12:03:04.0000000019Z"), NOON + 1);
}

static void a_date_without_an_offset_is_local_time(void **state)
{
	(void)state;
	in_zone("XXX-2"); /* two hours east */
	assert_int_equal(parse("2026-11-22 14:03:04"), NOON);
	assert_int_equal(parse("2026-11-22 14:03"), NOON - 4 * S);
	assert_int_equal(parse("2026-11-22"), NOON - (14 * 3600 + 3 * 60 + 4) * S);
	in_zone("UTC0");
}

static void a_clock_time_is_the_last_such_time(void **state)
{
	(void)state;
	assert_int_equal(parse("12:03:04"), NOON);
	assert_int_equal(parse("12:03"), NOON - 4 * S);
	assert_int_equal(parse("12:03:05"), NOON + S - 86400 * S);
	assert_int_equal(parse("00:00"), NOON - (12 * 3600 + 3 * 60 + 4) * S);
}

static void words_count_back_from_now(void **state)
{
	(void)state;
	assert_int_equal(parse("now"), NOON);
	assert_int_equal(parse("yesterday"), NOON - 86400 * S);
	assert_int_equal(parse("90s ago"), NOON - 90 * S);
	assert_int_equal(parse("5m ago"), NOON - 300 * S);
	assert_int_equal(parse("2h ago"), NOON - 7200 * S);
	assert_int_equal(parse("3d ago"), NOON - 3 * 86400 * S);
	assert_int_equal(parse("-5m"), NOON - 300 * S);
	assert_int_equal(parse("@1700000000"), 1700000000 * S);
	assert_int_equal(parse("@1700000000.5"), 1700000000 * S + S / 2);
}

static void text_that_is_no_moment_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"soon",
		"ago",
		"5m agoo",
		"5 m ago",
		"-",
		"@",
		"@-1",
		"@1.",
		"@99999999999999999999999",
		"2026-02-30",
		"2026-13-01",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00+01:00",
		"9999-01-01",
		"2026-11-22T",
		"2026-11-22T25:00:00Z",
		"2026-11-22T12:60:00Z",
		"2026-11-22T12:03:04ZZ",
		"2026-11-22T12:03:04+1",
		"2026-11-22T12:03:04.Z",
		"12:3",
		"24:00",
		"12:03:",
		"-300y",
		"-99y",
		"-99999999999d",
		"12:03:04 ",
	};
	uint64_t moment_ns = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (moment_parse(texts[i], NOON, &moment_ns) != -EINVAL)
			fail_msg("\"%s\" was taken", texts[i]);
	assert_int_equal(moment_ns, 7);
}

static void a_duration_needs_a_unit_unless_it_is_zero(void **state)
{
	uint64_t ns = 0;

	(void)state;
	assert_int_equal(duration_parse("60s", &ns), 0);
	assert_int_equal(ns, 60 * S);
	assert_int_equal(duration_parse("250ms", &ns), 0);
	assert_int_equal(ns, S / 4);
	assert_int_equal(duration_parse("30d", &ns), 0);
	assert_int_equal(ns, 30 * 86400 * S);
	assert_int_equal(duration_parse("0", &ns), 0);
	assert_int_equal(ns, 0);
	assert_int_equal(duration_parse("60", &ns), -EINVAL);
	assert_int_equal(duration_parse("s", &ns), -EINVAL);
	assert_int_equal(duration_parse("-1s", &ns), -EINVAL);
	assert_int_equal(duration_parse("1.5s", &ns), -EINVAL);
	assert_int_equal(duration_parse("1s ", &ns), -EINVAL);
	assert_int_equal(duration_parse("", &ns), -EINVAL);
}

static void a_duration_past_a_century_is_out_of_range(void **state)
{
	uint64_t ns = 7;

	(void)state;
	assert_int_equal(duration_parse("36500d", &ns), 0);
	ns = 7;
	assert_int_equal(duration_parse("36501d", &ns), -ERANGE);
	assert_int_equal(duration_parse("99999999999999999999999s", &ns), -ERANGE);
	assert_int_equal(duration_parse("18446744073709551615w", &ns), -ERANGE);
	assert_int_equal(ns, 7);
}

static void no_text_crashes_the_parsers(void **state)
{
	static const char alphabet[] = "0123456789:-T Z@.+smhdagonwy";
	unsigned int seed = 20261122;
	uint64_t ns;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		char text[40];
		size_t length = (size_t)rand_r(&seed) % (sizeof(text) - 1);

		for (size_t i = 0; i < length; i++)
			text[i] = alphabet[(size_t)rand_r(&seed) %
					   (sizeof(alphabet) - 1)];
		text[length] = '\0';
		moment_parse(text, NOON, &ns);
		duration_parse(text, &ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_moment_prints_as_rfc_3339_with_nine_digits),
		cmocka_unit_test(what_moment_format_wrote_reads_back),
		cmocka_unit_test(an_offset_moves_the_moment),
		cmocka_unit_test(a_date_without_an_offset_is_local_time),
		cmocka_unit_test(a_clock_time_is_the_last_such_time),
		cmocka_unit_test(words_count_back_from_now),
		cmocka_unit_test(text_that_is_no_moment_is_refused),
		cmocka_unit_test(a_duration_needs_a_unit_unless_it_is_zero),
		cmocka_unit_test(a_duration_past_a_century_is_out_of_range),
		cmocka_unit_test(no_text_crashes_the_parsers),
	};

	return cmocka_run_group_tests(tests, use_utc, NULL);
}
