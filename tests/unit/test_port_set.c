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

/* Straight from the layout of RFC 7597, 5.1: every port, by its bits. */
static void assert_psid(const char *text, unsigned int a_bits, unsigned int k_bits,
			unsigned int psid, size_t expected_count)
{
	struct port_set set;
	struct fault fault = {.text = ""};
	size_t count = 0;

	if (port_set_parse_psid(text, &set, &fault) < 0)
		fail_msg("\"%s\" was refused: %s", text, fault.text);
	for (uint32_t port = 0; port <= 65535; port++) {
		unsigned int m_bits = 16 - a_bits - k_bits;
		unsigned int a = port >> (16 - a_bits);
		unsigned int found = (port >> m_bits) & ((1U << k_bits) - 1);
		bool is_in = found == psid && (a_bits == 0 || a > 0) && port >= 1024;

		if (port_set_has(&set, (uint16_t)port) != is_in)
			fail_msg("psid %s, port %u", text, port);
		count += is_in;
	}
	assert_int_equal(port_set_count(&set), count);
	assert_int_equal(count, expected_count);
}

static void a_psid_set_is_the_one_of_the_rfc(void **state)
{
	(void)state;
	assert_psid("6,8,52", 6, 8, 52, 63 * 4);
	assert_psid("4,8,1", 4, 8, 1, 15 * 16);
	assert_psid("6, 8, 0x34", 6, 8, 52, 63 * 4);
	assert_psid("0,2,3", 0, 2, 3, 16384);
	assert_psid("0,2,0", 0, 2, 0, 16384 - 1024);
	assert_psid("0,0,0", 0, 0, 0, 65536 - 1024);
	assert_psid("6,0,0", 6, 0, 0, 65536 - 1024);
	assert_psid("16,0,0", 16, 0, 0, 65536 - 1024);
	assert_psid("0,16,51820", 0, 16, 51820, 1);
	assert_psid("8,8,255", 8, 8, 255, 252);
	assert_psid("1,15,32767", 1, 15, 32767, 1);
}

/* RFC 7597, appendix A, example 1: 63 ranges from 1232-1235 to 64720-64723. */
static void the_example_of_the_rfc_has_its_ports(void **state)
{
	struct port_set set;
	char buf[40];

	(void)state;
	assert_int_equal(port_set_parse_psid("6,8,52", &set, NULL), 0);
	assert_string_equal(port_set_format(&set, buf, sizeof(buf)),
			    "1232-1235,2256-2259,3280-3283,4304-4...");
	assert_true(port_set_has(&set, 64720));
	assert_true(port_set_has(&set, 64723));
	assert_false(port_set_has(&set, 64724));
}

static void assert_psid_fault(const char *text, const char *message)
{
	struct port_set set = {.words = {7}};
	struct fault fault = {.text = ""};

	assert_int_equal(port_set_parse_psid(text, &set, &fault), -EINVAL);
	if (!strstr(fault.text, message))
		fail_msg("\"%s\" gave \"%s\", not \"%s\"", text, fault.text, message);
	assert_int_equal(set.words[0], 7);
}

static void a_wrong_psid_is_refused_with_its_reason(void **state)
{
	(void)state;
	assert_psid_fault("", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8,", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8,52,1", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6 8 52", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("-6,8,52", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8,0x", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8,99999999999999999999", "expected OFFSET,LENGTH,PSID");
	assert_psid_fault("6,8,\t\x1b[31m", "\"6,8,??[31m\"");
	assert_psid_fault("9,8,52", "expected at most 16 bits");
	assert_psid_fault("17,0,0", "expected at most 16 bits");
	assert_psid_fault("6,8,256", "expected one below 256");
	assert_psid_fault("6,0,1", "expected one below 1");
	assert_psid_fault("0,8,0", "no port from 1024");
	assert_psid_fault("0,16,80", "no port from 1024");
}

static void sets_join_and_intersect_by_their_members(void **state)
{
	struct port_set a = parse("50000-50009"), b = parse("50005-50014");
	struct port_set both = a;
	char buf[40];

	(void)state;
	port_set_intersect(&both, &b);
	assert_string_equal(port_set_format(&both, buf, sizeof(buf)), "50005-50009");
	port_set_join(&a, &b);
	assert_string_equal(port_set_format(&a, buf, sizeof(buf)), "50000-50014");
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
		cmocka_unit_test(a_psid_set_is_the_one_of_the_rfc),
		cmocka_unit_test(the_example_of_the_rfc_has_its_ports),
		cmocka_unit_test(a_wrong_psid_is_refused_with_its_reason),
		cmocka_unit_test(sets_join_and_intersect_by_their_members),
		cmocka_unit_test(a_set_too_long_for_its_buffer_ends_in_dots),
		cmocka_unit_test(what_was_printed_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
