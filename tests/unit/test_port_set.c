/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/port_set.h"

static struct port_set parse(const char *text)
{
	struct port_set set;
	struct fault fault = {.text = ""};

	if (port_set_parse(text, &set, &fault) < 0)
		fail_msg("\"%s\" was refused: %s", text, fault.text);
	return set;
}

static void assert_fault(const char *text, const char *message)
{
	struct port_set set = {.words = {7}};
	struct fault fault = {.text = ""};

	assert_int_equal(port_set_parse(text, &set, &fault), -EINVAL);
	if (!strstr(fault.text, message))
		fail_msg("\"%s\" gave \"%s\", not \"%s\"", text, fault.text, message);
	assert_int_equal(set.words[0], 7);
	assert_int_equal(port_set_parse(text, &set, NULL), -EINVAL);
}

static void assert_reads_as(const char *text, const char *expected)
{
	struct port_set set = parse(text);
	char buf[128];

	assert_string_equal(port_set_format(&set, buf, sizeof(buf)), expected);
}

static void a_set_prints_as_its_ranges(void **state)
{
	(void)state;
	assert_reads_as("49152-65535", "49152-65535");
	assert_reads_as("50000,50002,51000-51999", "50000,50002,51000-51999");
	assert_reads_as("50001 50000", "50000-50001");
	assert_reads_as("1024-65535", "1024-65535");
	assert_reads_as("65535", "65535");
}

static void an_exception_counts_wherever_it_stands(void **state)
{
	(void)state;
	assert_reads_as("49152-65535 !50000-50099", "49152-49999,50100-65535");
	assert_reads_as("!50000-50099, 49152-65535", "49152-49999,50100-65535");
	assert_reads_as("50000-50002 !50001", "50000,50002");
}

static void a_wrong_part_is_named_with_its_reason(void **state)
{
	(void)state;
	assert_fault("", "empty");
	assert_fault(" , ", "empty");
	assert_fault("!50000", "empty");
	assert_fault("50000-40000", "\"50000-40000\" is reversed");
	assert_fault("49152-65535,80", "\"80\" is below 1024");
	assert_fault("0", "is below 1024");
	assert_fault("1023-2000", "is below 1024");
	assert_fault("60000-70000", "\"60000-70000\" is over 65535");
	assert_fault("65536", "is over 65535");
	assert_fault("99999999999999999999", "is over 65535");
	assert_fault("http", "\"http\" is not a port");
	assert_fault("50000-", "is not a port");
	assert_fault("-50000", "is not a port");
	assert_fault("50000--50001", "is not a port");
	assert_fault("+50000", "is not a port");
	assert_fault("0x5000", "is not a port");
	assert_fault("50000;", "is not a port");
	assert_fault("!!50000", "is not a port");
	assert_fault("50000 !50000", "leave no port");
	assert_fault("\x1b[31m", "\"?[31m\"");
}

static void a_text_past_the_ceiling_is_refused(void **state)
{
	char text[PORT_SET_TEXT_MAX + 2];

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "50000", 5);
	text[PORT_SET_TEXT_MAX + 1] = '\0';
	assert_fault(text, "longer than 512");
	text[PORT_SET_TEXT_MAX] = '\0';
	parse(text);
}

static void count_and_overlap_follow_the_members(void **state)
{
	struct port_set set = parse("49152-65535 !50000"), other = parse("60000-65535");

	(void)state;
	assert_int_equal(port_set_count(&set), 16383);
	assert_true(port_set_has(&set, 65535));
	assert_false(port_set_has(&set, 50000));
	assert_true(port_set_overlaps(&set, 1024, 49152));
	assert_false(port_set_overlaps(&set, 1024, 49151));
	assert_false(port_set_overlaps(&set, 50000, 50000));
	port_set_remove(&set, &other);
	assert_int_equal(port_set_count(&set), 16383 - 5536);
	assert_false(port_set_overlaps(&set, 60000, 65535));
}

static void a_set_too_long_for_its_buffer_ends_in_dots(void **state)
{
	struct port_set set = parse("50000,50002,50004");
	char buf[32];

	(void)state;
	assert_string_equal(port_set_format(&set, buf, 18), "50000,50002,50004");
	assert_string_equal(port_set_format(&set, buf, 17), "50000,50002...");
	assert_string_equal(port_set_format(&set, buf, 13), "50000,500...");
	assert_string_equal(port_set_format(&set, buf, 4), "...");
	assert_string_equal(port_set_format(&set, buf, 2), ".");
	assert_string_equal(port_set_format(&set, buf, 1), "");
}

static void what_was_printed_reads_back(void **state)
{
	static const char alphabet[] = "0123456789-,! ";
	unsigned int seed = 20261122;
	int accepted = 0;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 3000; round++) {
		struct port_set set, back;
		char text[24], buf[512];
		size_t length = (size_t)rand_r(&seed) % (sizeof(text) - 1);

		for (size_t i = 0; i < length; i++)
			text[i] = alphabet[(size_t)rand_r(&seed) %
					   (sizeof(alphabet) - 1)];
		text[length] = '\0';
		if (port_set_parse(text, &set, NULL) < 0)
			continue;
		accepted++;
		back = parse(port_set_format(&set, buf, sizeof(buf)));
		assert_memory_equal(&set, &back, sizeof(set));
	}
	assert_true(accepted > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_prints_as_its_ranges),
		cmocka_unit_test(an_exception_counts_wherever_it_stands),
		cmocka_unit_test(a_wrong_part_is_named_with_its_reason),
		cmocka_unit_test(a_text_past_the_ceiling_is_refused),
		cmocka_unit_test(count_and_overlap_follow_the_members),
		cmocka_unit_test(a_set_too_long_for_its_buffer_ends_in_dots),
		cmocka_unit_test(what_was_printed_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
