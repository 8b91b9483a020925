/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/trend.h"

#define S UINT64_C(1000000000)

static void fill(struct trend *trend, int count, double from, double per_s)
{
	for (int i = 0; i < count; i++)
		trend_add(trend, 1000 * S + i * S, from + i * per_s);
}

static void a_line_that_rises_is_continued(void **state)
{
	struct trend trend = {0};
	double per_s, seconds;

	(void)state;
	fill(&trend, 60, 100, 5);
	assert_true(trend_growth(&trend, &per_s));
	assert_float_equal(per_s, 5, 1e-6);
	assert_true(trend_seconds_for(&trend, 1000, &seconds));
	assert_float_equal(seconds, 200, 1e-3);
}

static void what_stays_or_falls_is_never_full(void **state)
{
	struct trend flat = {0}, falling = {0};
	double seconds = -7;

	(void)state;
	fill(&flat, 60, 100, 0);
	fill(&falling, 60, 1000, -3);
	assert_false(trend_seconds_for(&flat, 10, &seconds));
	assert_false(trend_seconds_for(&falling, 10, &seconds));
	assert_float_equal(seconds, -7, 0);
}

static void nine_samples_say_nothing_and_ten_do(void **state)
{
	struct trend trend = {0};
	double per_s;

	(void)state;
	fill(&trend, 9, 0, 10);
	assert_false(trend_growth(&trend, &per_s));
	trend_add(&trend, 1009 * S, 90);
	assert_true(trend_growth(&trend, &per_s));
}

static void a_saw_that_goes_nowhere_does_not_grow(void **state)
{
	struct trend trend = {0};
	double per_s;

	(void)state;
	for (int i = 0; i < 120; i++)
		trend_add(&trend, i * S, 500 + i % 7 * 40);
	assert_false(trend_growth(&trend, &per_s));
}

static void only_the_last_samples_count(void **state)
{
	struct trend trend = {0};
	double per_s;

	(void)state;
	fill(&trend, 300, 5000, -10);
	for (int i = 0; i < TREND_SAMPLES; i++)
		trend_add(&trend, 2000 * S + i * S, i * 2);
	assert_true(trend_growth(&trend, &per_s));
	assert_float_equal(per_s, 2, 1e-6);
}

static void samples_at_one_moment_have_no_slope(void **state)
{
	struct trend trend = {0};
	double per_s;

	(void)state;
	for (int i = 0; i < 20; i++)
		trend_add(&trend, 5 * S, i);
	assert_false(trend_growth(&trend, &per_s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_that_rises_is_continued),
		cmocka_unit_test(what_stays_or_falls_is_never_full),
		cmocka_unit_test(nine_samples_say_nothing_and_ten_do),
		cmocka_unit_test(a_saw_that_goes_nowhere_does_not_grow),
		cmocka_unit_test(only_the_last_samples_count),
		cmocka_unit_test(samples_at_one_moment_have_no_slope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
