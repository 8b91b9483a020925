/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <netinet/in.h>

#include "policy/policy_reach.h"
#include "test_policy.h"

/* The line of the warning that holds message; -1: there is none. */
static int warns_at(struct fixture *f, const char *text, const char *message)
{
	policy_warn(parse(f, text), &f->notes);
	assert_int_equal(f->notes.error_count, 0);
	for (size_t i = 0; i < f->notes.count; i++)
		if (strstr(f->notes.notes[i].text, message))
			return f->notes.notes[i].line;
	return -1;
}

static bool warns(struct fixture *f, const char *text, const char *message)
{
	return warns_at(f, text, message) >= 0;
}

static void ports_that_others_use_by_habit_are_warned_of(void **state)
{
	struct fixture *f = *state;

	assert_true(warns(f, "", "61000"));
	assert_true(warns(f, "", "WireGuard"));
	assert_false(warns(f, "", "NodePort"));
	assert_false(warns(f, "[pool default]\nexcept = 51820", "WireGuard"));
	assert_false(warns(f, "[pool default]\nports = 50000-60999", "61000"));
	assert_true(warns(f, "[pool default]\nports = 30000-30999", "NodePort"));
	assert_true(warns(f, "[pool default]\nports = 30000-30999", "RTP"));
	assert_true(warns(f, "[pool default]\nports = 40000-40999", "Docker"));
}

static void a_warning_of_a_pool_has_its_line(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(warns_at(f, "", "61000"), 0);
	assert_int_equal(warns_at(f, "\n\n[pool default]\n", "61000"), 3);
}

static void a_pool_that_meets_no_habit_gets_no_warning(void **state)
{
	struct fixture *f = *state;

	policy_warn(parse(f, "[pool default]\nports = 10000-15999"), &f->notes);
	assert_int_equal(f->notes.count, 0);
}

static void pools_that_overlap_are_named_with_their_ports(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(warns_at(f, "[pool a]\nports = 50000-50009",
				  "pools default and a overlap: 50000-50009"),
			 1);
	assert_int_equal(warns_at(f,
				  "[pool default]\nports = 50000-50009\n"
				  "[pool a]\nports = 40000,50009-60000",
				  "pools default and a overlap: 50009"),
			 3);
	assert_false(warns(f, "[pool a]\nports = 40000-40999", "overlap:"));
}

static void settings_that_weaken_or_do_little_are_warned_of(void **state)
{
	struct fixture *f = *state;

	assert_true(warns(f, "[pool a]\nalgorithm = hash", "algorithm hash can be"));
	assert_true(warns(f, "[pool a]\nalgorithm = double-hash", "algorithm double-"));
	assert_true(warns(f, "[pool a]\nalgorithm = increments", "algorithm incr"));
	assert_true(warns(f, "[pool a]\nalgorithm = random-simple", "algorithm rand"));
	assert_false(warns(f, "[pool a]\nalgorithm = random-retry", "algorithm"));
	assert_false(warns(f, "[pool a]\nalgorithm = random", "algorithm"));
	assert_true(warns(f, "[pool a]\nudp-sharing = yes", "udp-sharing"));
	assert_false(warns(f, "[pool a]\nudp-sharing = no", "udp-sharing"));
	assert_true(warns(f, "[pool a]\nsharing = never\nquarantine = 5s", "60 s"));
	assert_false(warns(f, "[pool a]\nsharing = never\nquarantine = 60s", "60 s"));
	assert_true(warns(f, "[pool a]\nquarantine-all = yes", "120 s"));
	assert_false(
		warns(f, "[pool a]\nquarantine-all = yes\nquarantine = 2m", "120 s"));
}

static void a_pool_that_no_rule_names_is_warned_of(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		warns_at(f, "[rule r]\npool = a\n[pool a]\n[pool b]\n", "pool b: no"),
		4);
	assert_false(warns(f, "[rule r]\npool = a\n[pool a]\n", "no rule names it"));
	assert_false(warns(f, "[pool a]\n[pool b]\n", "no rule names it"));
	assert_false(warns(f, "[rule r]\npool = a\n[pool a]\n", "pool default"));
}

static void a_cgroup_with_its_mount_is_warned_of(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(warns_at(f,
				  "\n[rule r]\ncgroup = /sys/fs/cgroup/system.slice\n"
				  "pool = kernel\n",
				  "without /sys/fs/cgroup"),
			 2);
}

/* Is the rule of the second lines never reached behind that of the first? */
static bool hides(struct fixture *f, const char *first, const char *second)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "[rule one]\npool = kernel\n%s\n[rule two]\npool = kernel\n%s\n",
		 first, second);
	return warns(f, text, "rule two is never reached: what fits it fits rule one");
}

static void a_rule_behind_a_wider_one_is_never_reached(void **state)
{
	struct fixture *f = *state;

	assert_true(hides(f, "", "uid = 5"));
	assert_true(hides(f, "", ""));
	assert_true(hides(f, "uid = 5", "uid = 5\nprotocol = tcp"));
	assert_true(hides(f, "cgroup = /a", "cgroup = /a/b"));
	assert_true(hides(f, "cgroup = /a", "cgroup = /a"));
	assert_true(hides(f, "cgroup = /", "uid = 5"));
	assert_true(hides(f, "cgroup = /\nprotocol = tcp", "protocol = tcp"));
	assert_true(hides(f, "unit = x.service", "cgroup = /system.slice/x.service/y"));
	assert_true(hides(f, "unit = x.service", "unit = x.service\nuid = 1"));
	assert_true(hides(f, "exe = /bin/a", "exe = /bin/a\nnetns = host"));
	assert_true(hides(f, "netns = host", "netns = host\nuid = 1"));
	assert_true(
		hides(f, "destination = 10.0.0.0/8", "destination = 10.1.0.0/16:443"));
	assert_true(hides(f, "destination = 10.0.0.0/8:1-1000",
			  "destination = 10.0.0.0/8:80-443"));
	assert_true(hides(f, "destination = ::/0", "destination = 10.0.0.0/8"));
}

static void a_rule_that_something_reaches_is_not_warned_of(void **state)
{
	struct fixture *f = *state;

	assert_false(hides(f, "uid = 5", ""));
	assert_false(hides(f, "uid = 5", "uid = 6"));
	assert_false(hides(f, "uid = 5\nprotocol = tcp", "uid = 5"));
	assert_false(hides(f, "protocol = tcp", "protocol = udp"));
	assert_false(hides(f, "cgroup = /a", "cgroup = /ab"));
	assert_false(hides(f, "cgroup = /a/b", "cgroup = /a"));
	assert_false(hides(f, "unit = x.service", "cgroup = /system.slice/xx.service"));
	assert_false(hides(f, "unit = x.service", "unit = y.service"));
	assert_false(hides(f, "exe = /bin/a", "exe = /bin/b"));
	assert_false(hides(f, "netns = host", "netns = blue"));
	assert_false(hides(f, "destination = 10.0.0.0/8", "destination = 11.0.0.0/8"));
	assert_false(hides(f, "destination = 10.0.0.0/16", "destination = 10.0.0.0/8"));
	assert_false(hides(f, "destination = 10.0.0.0/8:443",
			   "destination = 10.0.0.0/8:442-443"));
	assert_false(
		hides(f, "destination = 0.0.0.0/0", "destination = 2001:db8::/32"));
}

static const char *fitting(const struct policy *policy, const struct session *session)
{
	const struct rule *rule = policy_fit(policy, session, 7);

	return rule ? rule->name : "none";
}

static void a_recorded_session_finds_the_first_rule_that_fits(void **state)
{
	struct owner owner = {.uid = 33,
			      .exe = "/usr/sbin/haproxy",
			      .cgroup = "/system.slice/haproxy.service"};
	struct session session = {.protocol = IPPROTO_TCP, .dport = 443};
	const struct policy *policy = parse(
		*state, "[rule port]\ndestination = 192.0.2.0/24:80\npool = kernel\n"
			"[rule exe]\nexe = /usr/sbin/nginx\npool = kernel\n"
			"[rule netns]\nnetns = host\nuid = 33\npool = kernel\n"
			"[rule unit]\nunit = haproxy.service\npool = kernel\n"
			"[rule udp]\nprotocol = udp\npool = kernel\n");

	assert_int_equal(address_parse("192.0.2.1", &session.dst), 0);
	session.owner = &owner;
	assert_string_equal(fitting(policy, &session), "unit");
	session.id.netns = 7;
	assert_string_equal(fitting(policy, &session), "netns");
	session.dport = 80;
	assert_string_equal(fitting(policy, &session), "port");
	session.dport = 81;
	session.owner = NULL;
	assert_string_equal(fitting(policy, &session), "none");
	session.protocol = IPPROTO_UDP;
	assert_string_equal(fitting(policy, &session), "udp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_that_others_use_by_habit_are_warned_of),
		TEST(a_warning_of_a_pool_has_its_line),
		TEST(a_pool_that_meets_no_habit_gets_no_warning),
		TEST(pools_that_overlap_are_named_with_their_ports),
		TEST(settings_that_weaken_or_do_little_are_warned_of),
		TEST(a_pool_that_no_rule_names_is_warned_of),
		TEST(a_cgroup_with_its_mount_is_warned_of),
		TEST(a_rule_behind_a_wider_one_is_never_reached),
		TEST(a_rule_that_something_reaches_is_not_warned_of),
		TEST(a_recorded_session_finds_the_first_rule_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
