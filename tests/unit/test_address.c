/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/address.h"

static struct address parse(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return address;
}

static void an_address_prints_as_it_was_written(void **state)
{
	static const char *const texts[] = {"10.0.0.1", "255.255.255.255", "0.0.0.0",
					    "2001:db8::1", "::1"};
	char buf[ADDRESS_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct address address = parse(texts[i]);

		assert_string_equal(address_format(&address, buf), texts[i]);
	}
}

static void the_longest_address_fits_its_buffer(void **state)
{
	struct address address = parse("1111:2222:3333:4444:5555:6666:7777:8888");
	char buf[ADDRESS_TEXT_MAX];

	(void)state;
	address_format(&address, buf);
	assert_string_equal(buf, "1111:2222:3333:4444:5555:6666:7777:8888");
}

static void a_mapped_address_is_the_ipv4_address(void **state)
{
	struct address mapped = parse("::ffff:10.0.0.1"), plain = parse("10.0.0.1");

	(void)state;
	assert_true(address_equal(&mapped, &plain));
	assert_true(address_is_v4(&mapped));
}

static void brackets_are_for_ipv6_only(void **state)
{
	struct address bracketed = parse("[2001:db8::1]"), plain = parse("2001:db8::1");
	struct address kept = plain;

	(void)state;
	assert_true(address_equal(&bracketed, &plain));
	assert_int_equal(address_parse("[10.0.0.1]", &kept), -EINVAL);
	assert_true(address_equal(&kept, &plain));
}

static void text_that_is_no_address_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"10.0.0",
		"10.0.0.256",
		"10.0.0.1 ",
		"localhost",
		"[::1",
		"::1]",
		"[]",
		"1:2:3",
		"::1%lo",
		"10.0.0.1/8",
		"[",
		"::ffff:1.2.3.4:99999999999999999999999999999"};
	struct address address;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(address_parse(texts[i], &address), -EINVAL);
}

static void only_the_all_zero_address_is_unknown(void **state)
{
	struct address zero = {0}, any_v4 = parse("0.0.0.0");

	(void)state;
	assert_false(address_is_known(&zero));
	assert_true(address_is_known(&any_v4));
}

static bool is_inside(const char *address_text, const char *prefix_text)
{
	struct address address = parse(address_text), prefix;
	unsigned int bits;

	assert_int_equal(address_parse_prefix(prefix_text, &prefix, &bits), 0);
	return address_in_prefix(&address, &prefix, bits);
}

static void a_prefix_holds_what_shares_its_bits(void **state)
{
	(void)state;
	assert_true(is_inside("10.255.0.1", "10.0.0.0/8"));
	assert_false(is_inside("11.0.0.1", "10.0.0.0/8"));
	assert_true(is_inside("10.0.0.129", "10.0.0.128/25"));
	assert_false(is_inside("10.0.0.127", "10.0.0.128/25"));
	assert_true(is_inside("10.0.0.1", "10.0.0.1"));
	assert_false(is_inside("10.0.0.2", "10.0.0.1"));
	assert_true(is_inside("1.2.3.4", "0.0.0.0/0"));
	assert_false(is_inside("2001:db8::1", "0.0.0.0/0"));
	assert_true(is_inside("2001:db8::1", "[2001:db8::]/32"));
	assert_true(is_inside("10.1.2.3", "::/0"));
	assert_true(is_inside("::1", "::1/128"));
}

static void ipv4_prefix_bits_count_from_the_front_of_sixteen_bytes(void **state)
{
	struct address prefix;
	unsigned int bits;

	(void)state;
	assert_int_equal(address_parse_prefix("10.0.0.0/8", &prefix, &bits), 0);
	assert_int_equal(bits, 104);
	assert_int_equal(address_parse_prefix("2001:db8::/32", &prefix, &bits), 0);
	assert_int_equal(bits, 32);
}

static void a_prefix_longer_than_its_address_is_refused(void **state)
{
	static const char *const texts[] = {"10.0.0.0/33", "::/129",	  "10.0.0.0/",
					    "10.0.0.0/-1", "10.0.0.0/8x", "/8",
					    "::/0128",	   "10.0.0.0/8/8"};
	struct address prefix;
	unsigned int bits = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_equal(address_parse_prefix(texts[i], &prefix, &bits),
				 -EINVAL);
	assert_int_equal(bits, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_prints_as_it_was_written),
		cmocka_unit_test(the_longest_address_fits_its_buffer),
		cmocka_unit_test(a_mapped_address_is_the_ipv4_address),
		cmocka_unit_test(brackets_are_for_ipv6_only),
		cmocka_unit_test(text_that_is_no_address_is_refused),
		cmocka_unit_test(only_the_all_zero_address_is_unknown),
		cmocka_unit_test(a_prefix_holds_what_shares_its_bits),
		cmocka_unit_test(
			ipv4_prefix_bits_count_from_the_front_of_sixteen_bytes),
		cmocka_unit_test(a_prefix_longer_than_its_address_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
