/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/filter.h"

static struct owner curl = {
	.references = 1,
	.pid = 123,
	.uid = 1000,
	.comm = "curl",
	.exe = (char *)"/usr/bin/curl",
	.user = (char *)"bob",
	.cgroup = (char *)"/system.slice/x.service",
};

static struct session make_session(void)
{
	struct session session = {
		.id = {.netns = 7},
		.protocol = IPPROTO_TCP,
		.sport = 51423,
		.dport = 443,
		.end_ns = 5,
		.end_reason = END_REFUSED,
		.picked_by = PICKED_BY_KERNEL,
		.pool = "default",
		.owner = &curl,
	};

	address_parse("10.0.0.1", &session.src);
	address_parse("192.0.2.9", &session.dst);
	return session;
}

static bool accepts(const char *text, const struct session *session)
{
	struct filter *filter;
	struct fault fault = {.text = ""};
	bool accepted;

	if (filter_parse(text, &filter, &fault) < 0)
		fail_msg("\"%s\" was refused: %s", text, fault.text);
	accepted = filter_accepts(filter, session);
	filter_free(filter);
	return accepted;
}

static void assert_accepts(const char *text)
{
	struct session session = make_session();

	if (!accepts(text, &session))
		fail_msg("\"%s\" did not accept", text);
}

static void assert_rejects(const char *text)
{
	struct session session = make_session();

	if (accepts(text, &session))
		fail_msg("\"%s\" accepted", text);
}

static void assert_fault(const char *text, const char *message)
{
	struct filter *filter = NULL;
	struct fault fault = {.text = ""};

	assert_int_equal(filter_parse(text, &filter, &fault), -EINVAL);
	assert_null(filter);
	if (!strstr(fault.text, message))
		fail_msg("\"%s\" gave \"%s\", not \"%s\"", text, fault.text, message);
}

static void a_blank_filter_accepts_every_session(void **state)
{
	(void)state;
	assert_accepts(NULL);
	assert_accepts("");
	assert_accepts(" \t ");
}

static void every_field_compares_its_own_part_of_the_session(void **state)
{
	static const char *const true_texts[] = {
		"sport = 51423", "dport = 443",	     "port = 443",
		"port = 51423",	 "src = 10.0.0.1",   "dst = 192.0.2.9",
		"pid = 123",	 "exe = curl",	     "comm = curl",
		"uid = 1000",	 "user = bob",	     "pool = default",
		"proto = tcp",	 "state = closed",   "reason = refused",
		"netns = 7",	 "picked-by=kernel", "cgroup = /system.slice/*",
	};
	static const char *const false_texts[] = {
		"sport = 443", "dport = 51423",	    "port = 80",
		"pid = 12",    "src = 10.0.0.2",    "dst = 10.0.0.1",
		"exe = wget",  "exe = cur",	    "comm = bash",
		"uid = 0",     "user = root",	    "pool = other",
		"proto = udp", "state = open",	    "reason = fin",
		"netns = 8",   "picked-by=srcport", "cgroup = /user.slice/*",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(true_texts) / sizeof(true_texts[0]); i++)
		assert_accepts(true_texts[i]);
	for (size_t i = 0; i < sizeof(false_texts) / sizeof(false_texts[0]); i++)
		assert_rejects(false_texts[i]);
}

static void numbers_have_an_order(void **state)
{
	(void)state;
	assert_accepts("sport >= 51423");
	assert_accepts("sport <= 51423");
	assert_accepts("sport > 51422");
	assert_accepts("sport < 51424");
	assert_rejects("sport > 51423");
	assert_rejects("sport < 51423");
	assert_rejects("pid < 0");
	assert_rejects("netns > 18446744073709551615");
	assert_accepts("sport gt 51422 and sport le 51423 and sport ne 1");
}

static void ports_take_ranges_services_and_the_colon_of_ss(void **state)
{
	(void)state;
	assert_accepts("sport = 51000-51999");
	assert_rejects("sport = 52000-52999");
	assert_rejects("sport != 51000-51999");
	assert_accepts("dport = :443");
	if (getservbyname("https", NULL)) /* no /etc/services without netbase */
		assert_accepts("dport eq https");
	assert_fault("sport < 1-2", "expected a port");
	assert_fault("sport = 2-1", "expected a port");
}

static void addresses_take_prefixes_and_ports(void **state)
{
	(void)state;
	assert_accepts("src = 10.0.0.0/8");
	assert_rejects("src = 11.0.0.0/8");
	assert_accepts("src = 10.0.0.1:51423");
	assert_rejects("src = 10.0.0.1:51424");
	assert_accepts("src = 10.0.0.0/8:51000-52000");
	assert_accepts("src = [::ffff:10.0.0.1]:51423");
	assert_accepts("src = ::ffff:10.0.0.1");
	assert_rejects("dst = [2001:db8::]/32:443");
	assert_accepts("dst = :443");
	assert_accepts("dst = *:443");
	assert_fault("dst = 10.0.0.0/33", "expected an address");
	assert_fault("dst = 10.0.0.1:70000", "expected an address");
}

static void an_executable_without_a_slash_is_the_last_part_of_a_path(void **state)
{
	(void)state;
	assert_accepts("exe = /usr/bin/curl");
	assert_accepts("exe = /usr/bin/*");
	assert_accepts("exe = c*l");
	assert_rejects("exe = /bin/curl");
	assert_accepts("exe = \"curl\"");
}

static void and_binds_tighter_than_or(void **state)
{
	(void)state;
	assert_accepts("sport >= 50000 and dport = 443");
	assert_accepts("dport = 443 or dport = 80 and sport = 1");
	assert_rejects("(dport = 443 or dport = 80) and sport = 1");
	assert_accepts("sport=51423 dport=443");
	assert_accepts("sport=51423&&dport=443||pid=1");
	assert_accepts("not sport = 1");
	assert_rejects("! (sport = 1 or dport = 443)");
	assert_accepts("not not dport=443");
}

static void what_is_unknown_passes_only_a_difference(void **state)
{
	struct session unknown = {.protocol = IPPROTO_UDP,
				  .tx_bytes = BYTES_UNKNOWN,
				  .rx_bytes = BYTES_UNKNOWN};

	(void)state;
	assert_false(accepts("sport < 70", &unknown));
	assert_false(accepts("pid >= 0", &unknown));
	assert_false(accepts("uid = 0", &unknown));
	assert_false(accepts("exe = *", &unknown));
	assert_false(accepts("src = ::/1", &unknown));
	assert_false(accepts("pool = *", &unknown));
	assert_true(accepts("exe != curl", &unknown));
	assert_true(accepts("state = open", &unknown));
}

static void a_user_name_means_its_number(void **state)
{
	struct session session = make_session();
	struct owner root = {.references = 1, .uid = 0, .pid = 1};

	(void)state;
	session.owner = &root;
	assert_true(accepts("uid = root", &session));
	assert_fault("uid = no-such-user-here", "expected a user's number or name");
}

static void a_fault_names_column_found_and_expected(void **state)
{
	(void)state;
	assert_fault("frog = 1", "column 1: found \"frog\", expected a field");
	assert_fault("sport 443", "column 7: found \"443\", expected =, !=");
	assert_fault("sport =", "column 8: found the end, expected a port");
	assert_fault("sport = 70000", "column 9: found \"70000\"");
	assert_fault("sport = 1 )", "column 11: found \")\", expected \"and\", \"or\"");
	assert_fault("(sport = 1", "column 11: found the end");
	assert_fault("proto > tcp", "column 7: found \">\", expected = or !=");
	assert_fault("sport = 1 and", "column 14: found the end, expected a field");
	assert_fault("exe = \"x", "column 7: found \"\"x\"");
	assert_fault("sport & 1", "column 7: found \"&\"");
	assert_fault("proto = \x1b[31m", "found \"?[31m\"");
}

static void nesting_and_length_have_ceilings(void **state)
{
	char deep[300], longest[5000];

	(void)state;
	memset(deep, '(', 100);
	strcpy(deep + 100, "sport = 1");
	assert_fault(deep, "column 65: found \"(\", expected at most 64 levels");
	memset(deep, '!', 100);
	assert_fault(deep, "at most 64 levels");
	memset(longest, ' ', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_fault(longest, "more than 4096 characters");
}

static void the_longest_chain_of_terms_is_judged(void **state)
{
	char text[4097] = "";

	(void)state;
	for (size_t at = 0; at + 6 < sizeof(text); at += 6)
		memcpy(text + at, "pid=1 ", 7);
	assert_rejects(text);
}

static void many_stars_cost_little(void **state)
{
	char path[4096], text[600] = "exe = ";
	struct session session = make_session();
	struct owner owner = curl;

	(void)state;
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	owner.exe = path;
	session.owner = &owner;
	for (int i = 0; i < 200; i++)
		strcat(text, "*a");
	strcat(text, "b");
	assert_false(accepts(text, &session)); /* hangs where matching is exponential */
}

static uint16_t fixed_sport(const char *text)
{
	struct filter *filter;
	uint16_t port;

	assert_int_equal(filter_parse(text, &filter, NULL), 0);
	port = filter_fixed_sport(filter);
	filter_free(filter);
	return port;
}

static void a_port_is_fixed_only_where_every_accepted_session_has_it(void **state)
{
	(void)state;
	assert_int_equal(fixed_sport(""), 0);
	assert_int_equal(fixed_sport("sport = 5"), 5);
	assert_int_equal(fixed_sport("pid = 1 and (sport = 5)"), 5);
	assert_int_equal(fixed_sport("src = 10.0.0.1:5"), 5);
	assert_int_equal(fixed_sport("sport = 5 or sport = 5"), 5);
	assert_int_equal(fixed_sport("sport = 5 or sport = 6"), 0);
	assert_int_equal(fixed_sport("sport = 5 or pid = 1"), 0);
	assert_int_equal(fixed_sport("not sport = 5"), 0);
	assert_int_equal(fixed_sport("sport != 5"), 0);
	assert_int_equal(fixed_sport("sport = 5-6"), 0);
	assert_int_equal(fixed_sport("port = 5"), 0);
	assert_int_equal(fixed_sport("dport = 5"), 0);
	assert_int_equal(fixed_sport("src = 10.0.0.1"), 0);
}

/* Random words of the language and, now and then, random bytes. */
static void append_random(char *text, size_t size, unsigned int *seed)
{
	static const char *const pieces[] = {
		"sport",    "src",  "=",  "!=",	     ">=",	 "(",	 ")",
		"!",	    "and",  "or", "not",     "443",	 "1-2",	 "10.0/8",
		"[::1]:80", "\"a",  "&&", "||",	     "10.0.0.1", "*",	 "uid",
		"exe",	    "root", ":",  "'",	     "tcp",	 "]",	 "=",
		"pid",	    "dst=", "/",  "::1/128", "-",	 "\xff",
	};
	size_t length = strlen(text);
	const char *piece =
		pieces[(size_t)rand_r(seed) % (sizeof(pieces) / sizeof(pieces[0]))];

	if (length + strlen(piece) + 2 > size)
		return;
	strcat(text, piece);
	if (rand_r(seed) % 4)
		strcat(text, " ");
	if (rand_r(seed) % 16 == 0 && strlen(text))
		text[(size_t)rand_r(seed) % strlen(text)] =
			(char)(1 + rand_r(seed) % 255);
}

static void no_text_crashes_the_parser(void **state)
{
	struct session session = make_session();
	unsigned int seed = 20261122;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < 20000; round++) {
		struct filter *filter = NULL;
		struct fault fault = {.text = ""};
		char text[200] = "";

		for (int pieces = rand_r(&seed) % 12; pieces > 0; pieces--)
			append_random(text, sizeof(text), &seed);
		if (filter_parse(text, &filter, &fault) == 0) {
			filter_accepts(filter, &session);
			filter_fixed_sport(filter);
		} else {
			assert_null(filter);
			assert_true(fault.text[0] != '\0');
		}
		filter_free(filter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_blank_filter_accepts_every_session),
		cmocka_unit_test(every_field_compares_its_own_part_of_the_session),
		cmocka_unit_test(numbers_have_an_order),
		cmocka_unit_test(ports_take_ranges_services_and_the_colon_of_ss),
		cmocka_unit_test(addresses_take_prefixes_and_ports),
		cmocka_unit_test(
			an_executable_without_a_slash_is_the_last_part_of_a_path),
		cmocka_unit_test(and_binds_tighter_than_or),
		cmocka_unit_test(what_is_unknown_passes_only_a_difference),
		cmocka_unit_test(a_user_name_means_its_number),
		cmocka_unit_test(a_fault_names_column_found_and_expected),
		cmocka_unit_test(nesting_and_length_have_ceilings),
		cmocka_unit_test(the_longest_chain_of_terms_is_judged),
		cmocka_unit_test(many_stars_cost_little),
		cmocka_unit_test(
			a_port_is_fixed_only_where_every_accepted_session_has_it),
		cmocka_unit_test(no_text_crashes_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
