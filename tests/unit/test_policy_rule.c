/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <netinet/in.h>

#include "test_policy.h"

/* A rule of one line beside its pool. */
static const struct rule *parse_rule(struct fixture *f, const char *line)
{
	char text[512];

	snprintf(text, sizeof(text), "[rule r]\n%s\npool = kernel\n", line);
	return &parse(f, text)->rules[0];
}

static void assert_refused(struct fixture *f, const char *line, const char *message)
{
	char text[1024];

	snprintf(text, sizeof(text), "[rule r]\npool = kernel\n%s\n", line);
	assert_fault(f, text, 3, message);
}

static void a_rule_keeps_every_condition_and_its_line(void **state)
{
	const struct policy *policy =
		parse(*state, "[rule proxy]\n"
			      "cgroup = /system.slice/\n"
			      "unit = haproxy.service\n"
			      "uid = 1000\n"
			      "exe = /usr/sbin/haproxy\n"
			      "netns = blue\n"
			      "destination = 192.0.2.0/24:8000-8999\n"
			      "protocol = tcp\n"
			      "pool = web\n"
			      "\n"
			      "[rule rest]\n"
			      "pool = default\n"
			      "[pool web]\n");
	const struct rule *rule = &policy->rules[0];
	char text[ADDRESS_TEXT_MAX];

	assert_int_equal(policy->rule_count, 2);
	assert_string_equal(rule->name, "proxy");
	assert_int_equal(rule->line, 1);
	assert_int_equal(rule->conditions, RULE_CGROUP | RULE_UNIT | RULE_UID |
						   RULE_EXE | RULE_NETNS |
						   RULE_DESTINATION | RULE_PROTOCOL);
	assert_string_equal(rule->cgroup, "/system.slice");
	assert_string_equal(rule->unit, "haproxy.service");
	assert_int_equal(rule->uid, 1000);
	assert_string_equal(rule->exe, "/usr/sbin/haproxy");
	assert_string_equal(rule->netns, "blue");
	assert_string_equal(address_format(&rule->destination, text), "192.0.2.0");
	assert_int_equal(rule->prefix_bits, 96 + 24);
	assert_int_equal(rule->port_first, 8000);
	assert_int_equal(rule->port_last, 8999);
	assert_int_equal(rule->protocol, IPPROTO_TCP);
	assert_string_equal(rule->pool, "web");
	assert_string_equal(policy->rules[1].name, "rest");
	assert_int_equal(policy->rules[1].line, 11);
	assert_int_equal(policy->rules[1].conditions, 0);
}

static void the_pool_kernel_is_no_pool(void **state)
{
	assert_string_equal(parse_rule(*state, "protocol = udp")->pool, "");
}

static void assert_destination(struct fixture *f, const char *value,
			       const char *address, unsigned int bits,
			       unsigned int first, unsigned int last)
{
	char line[128], text[ADDRESS_TEXT_MAX];
	const struct rule *rule;

	snprintf(line, sizeof(line), "destination = %s", value);
	rule = parse_rule(f, line);
	assert_string_equal(address_format(&rule->destination, text), address);
	assert_int_equal(rule->prefix_bits, bits);
	assert_int_equal(rule->port_first, first);
	assert_int_equal(rule->port_last, last);
}

static void a_destination_is_a_prefix_with_ports(void **state)
{
	struct fixture *f = *state;

	assert_destination(f, "192.0.2.1", "192.0.2.1", 128, 0, 65535);
	assert_destination(f, "192.0.2.1:443", "192.0.2.1", 128, 443, 443);
	assert_destination(f, "10.0.0.0/8:1-65535", "10.0.0.0", 104, 1, 65535);
	assert_destination(f, "0.0.0.0/0:53", "0.0.0.0", 96, 53, 53);
	assert_destination(f, "2001:db8::/32", "2001:db8::", 32, 0, 65535);
	assert_destination(f, "2001:db8::1", "2001:db8::1", 128, 0, 65535);
	assert_destination(f, "[2001:db8::1]", "2001:db8::1", 128, 0, 65535);
	assert_destination(f, "[2001:db8::/32]:443", "2001:db8::", 32, 443, 443);
	assert_destination(f, "[2001:db8::1]:8000-8001", "2001:db8::1", 128, 8000,
			   8001);
	assert_destination(f, "::/0", "::", 0, 0, 65535);
}

static void a_wrong_destination_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"somewhere",
		"192.0.2",
		"192.0.2.256",
		"192.0.2.0/33",
		"192.0.2.0/",
		"192.0.2.0/-1",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:http",
		"192.0.2.1:443-",
		"192.0.2.1:443-80",
		"192.0.2.1:80-443x",
		"192.0.2.1:80,443",
		"[192.0.2.1]:443",
		"[2001:db8::1",
		"[2001:db8::1]443",
		"[2001:db8::1]:",
		"[[2001:db8::1]]:443",
		"2001:db8::/129",
		"2001:db8::zz",
		":443",
		"*:443",
		"192.0.2.0/24/24",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char line[128];

		snprintf(line, sizeof(line), "destination = %s", wrong[i]);
		assert_refused(*state, line, "expected an address or prefix");
	}
}

static void bits_behind_a_prefix_are_cleared_with_a_warning(void **state)
{
	struct fixture *f = *state;

	assert_destination(f, "192.0.2.77/24", "192.0.2.0", 120, 0, 65535);
	assert_int_equal(f->notes.count, 1);
	assert_false(f->notes.notes[0].is_error);
	assert_int_equal(f->notes.notes[0].line, 2);
	assert_non_null(strstr(f->notes.notes[0].text, "taken as from 192.0.2.0"));
	assert_destination(f, "2001:db8::ffff/35", "2001:db8::", 35, 0, 65535);
	assert_int_equal(f->notes.count, 1);
	assert_destination(f, "192.0.2.0/24", "192.0.2.0", 120, 0, 65535);
	assert_int_equal(f->notes.count, 0);
}

static void a_cgroup_is_a_clean_path_from_the_root(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(parse_rule(f, "cgroup = /")->cgroup, "/");
	assert_string_equal(parse_rule(f, "cgroup = /a/b c")->cgroup, "/a/b c");
	assert_refused(f, "cgroup = system.slice", "cgroup: found \"system.slice\"");
	assert_refused(f, "cgroup =", "expected a path from the root of cgroup2");
	assert_refused(f, "cgroup = /a/../b", "expected a path from the root");
	assert_refused(f, "cgroup = /a/./b", "expected a path from the root");
	assert_refused(f, "cgroup = //", "expected a path from the root");
	assert_refused(f, "cgroup = /a//b", "expected a path from the root");
}

static void a_text_too_long_for_a_rule_is_refused(void **state)
{
	char line[512] = "cgroup = /";

	memset(line + strlen(line), 'x', 255);
	assert_refused(*state, line, "found 256 characters, expected at most 255");
	line[strlen(line) - 1] = '\0';
	assert_int_equal(strlen(parse_rule(*state, line)->cgroup), 255);
}

static void a_unit_has_a_kind_that_runs_processes(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(parse_rule(f, "unit = getty@tty1.service")->unit,
			    "getty@tty1.service");
	assert_string_equal(parse_rule(f, "unit = a\\x2db.scope")->unit,
			    "a\\x2db.scope");
	parse_rule(f, "unit = user-1000.slice");
	parse_rule(f, "unit = x.socket");
	assert_refused(f, "unit = haproxy", "unit: found \"haproxy\", expected a");
	assert_refused(f, "unit = .service", "expected a systemd unit");
	assert_refused(f, "unit = haproxy.timer", "expected a systemd unit");
	assert_refused(f, "unit = a/b.service", "expected a systemd unit");
	assert_refused(f, "unit = getty@.service", "expected a systemd unit");
	assert_refused(f, "unit = a b.service", "expected a systemd unit");
}

static void a_uid_is_a_number_or_a_user_of_this_host(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse_rule(f, "uid = root")->uid, 0);
	assert_int_equal(parse_rule(f, "uid = 0")->uid, 0);
	assert_int_equal(parse_rule(f, "uid = 4294967294")->uid, 4294967294U);
	assert_refused(f, "uid = 4294967295", "a number below 4294967295");
	assert_refused(f, "uid = 99999999999999999999", "a number below");
	assert_refused(f, "uid = -1", "the name of a user of this host");
	assert_refused(f, "uid = no-such-user", "uid: found \"no-such-user\"");
	assert_refused(f, "uid =", "uid: found \"\"");
}

static void an_exe_is_a_whole_path(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(parse_rule(f, "exe = /opt/a b/c")->exe, "/opt/a b/c");
	assert_refused(f, "exe = curl", "exe: found \"curl\", expected the whole path");
	assert_refused(f, "exe = /usr/bin/", "expected the whole path");
	assert_refused(f, "exe = /", "expected the whole path");
	assert_refused(f, "exe = /usr/../bin/curl", "expected the whole path");
}

static void a_netns_is_host_a_name_or_a_path(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(parse_rule(f, "netns = host")->netns, "host");
	assert_string_equal(parse_rule(f, "netns = blue")->netns, "blue");
	assert_string_equal(parse_rule(f, "netns = /proc/1/ns/net")->netns,
			    "/proc/1/ns/net");
	assert_refused(f, "netns =", "expected host, a name in /run/netns");
	assert_refused(f, "netns = a/b", "expected host, a name in /run/netns");
	assert_refused(f, "netns = ..", "expected host, a name in /run/netns");
	assert_refused(f, "netns = /run/../x", "expected host, a name in /run/netns");
}

static void a_protocol_is_tcp_or_udp(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(parse_rule(f, "protocol = udp")->protocol, IPPROTO_UDP);
	assert_refused(f, "protocol = sctp", "expected tcp or udp");
	assert_refused(f, "protocol = TCP", "expected tcp or udp");
}

static void a_rule_needs_a_pool_that_is_there(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "\n[rule r]\nprotocol = tcp\n", 2,
		     "rule r: found no pool, expected pool = NAME");
	assert_fault(f, "[rule r]\npool = web\n[pool wob]\n", 2,
		     "pool: found \"web\", expected a pool of this file");
	assert_fault(f, "[rule r]\npool =\n", 2, "found the pool name \"\"");
	assert_fault(f, "[rule r]\npool = a b\n", 2, "found the pool name \"a b\"");
	assert_string_equal(parse(f, "[rule r]\npool = default\n")->rules[0].pool,
			    "default");
}

static void rules_have_names_and_stand_once(void **state)
{
	struct fixture *f = *state;

	assert_fault(f, "[rule]\npool = default\n", 1, "found the rule name \"\"");
	assert_fault(f, "[rule a]\npool = default\n[rule a]\npool = x\n", 3,
		     "found [rule a] again, expected it once (it is on line 1)");
	assert_fault(f, "[rule a]\nuid = 1\nuid = 2\npool = kernel", 3,
		     "found \"uid\" again");
	assert_fault(f, "[rule a]\npool = kernel\nports = 5\n", 3,
		     "expected one of cgroup, unit, uid, exe, netns, destination, "
		     "protocol, pool");
}

static void one_rule_too_many_is_refused(void **state)
{
	char text[POLICY_RULES_MAX * 40 + 80] = "";

	for (int i = 0; i < POLICY_RULES_MAX; i++)
		sprintf(text + strlen(text), "[rule r%d]\npool = kernel\n", i);
	assert_int_equal(parse(*state, text)->rule_count, POLICY_RULES_MAX);
	strcat(text, "[rule more]\npool = kernel\n");
	assert_fault(*state, text, 2 * POLICY_RULES_MAX + 1,
		     "found one rule too many, expected at most 64");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rule_keeps_every_condition_and_its_line),
		TEST(the_pool_kernel_is_no_pool),
		TEST(a_destination_is_a_prefix_with_ports),
		TEST(a_wrong_destination_is_refused),
		TEST(bits_behind_a_prefix_are_cleared_with_a_warning),
		TEST(a_cgroup_is_a_clean_path_from_the_root),
		TEST(a_text_too_long_for_a_rule_is_refused),
		TEST(a_unit_has_a_kind_that_runs_processes),
		TEST(a_uid_is_a_number_or_a_user_of_this_host),
		TEST(an_exe_is_a_whole_path),
		TEST(a_netns_is_host_a_name_or_a_path),
		TEST(a_protocol_is_tcp_or_udp),
		TEST(a_rule_needs_a_pool_that_is_there),
		TEST(rules_have_names_and_stand_once),
		TEST(one_rule_too_many_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
