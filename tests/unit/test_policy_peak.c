/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <netinet/in.h>

#include "policy/policy_peak.h"
#include "test_policy.h"

static const char two_ports[] = "[rule r]\ndestination = 192.0.2.1\npool = a\n"
				"[pool a]\nports = 20000-20001\n";

/* A session that the rule fits, open from from_ns until until_ns (0: still). */
static struct session session_of(uint64_t from_ns, uint64_t until_ns)
{
	struct session session = {
		.protocol = IPPROTO_TCP, .start_ns = from_ns, .end_ns = until_ns};

	assert_int_equal(address_parse("192.0.2.1", &session.dst), 0);
	return session;
}

static struct policy_peak *begin(struct fixture *f, const char *text)
{
	struct policy_peak *peak = policy_peak_new(parse(f, text), 7);

	assert_non_null(peak);
	return peak;
}

static void add(struct policy_peak *peak, struct session session)
{
	assert_int_equal(policy_peak_add(peak, &session), 0);
}

/* The text of the one warning, or "". Ends the peak. */
static const char *finish(struct fixture *f, struct policy_peak *peak)
{
	policy_peak_warn(peak, "now", &f->notes);
	policy_peak_free(peak);
	assert_true(f->notes.count <= 1);
	return f->notes.count ? f->notes.notes[0].text : "";
}

static void more_sessions_at_once_than_ports_are_told(void **state)
{
	struct policy_peak *peak = begin(*state, two_ports);
	struct fixture *f = *state;

	add(peak, session_of(30, 0));
	add(peak, session_of(10, 40));
	add(peak, session_of(20, 35));
	assert_string_equal(finish(f, peak),
			    "pool a has 2 ports, but 3 tcp sessions that it is for "
			    "were open at once now");
	assert_int_equal(f->notes.notes[0].line, 4);
	assert_false(f->notes.notes[0].is_error);
}

static void as_many_sessions_as_ports_fit(void **state)
{
	struct policy_peak *peak = begin(*state, two_ports);

	for (uint64_t i = 1; i < 100; i++) {
		add(peak, session_of(i * 10, i * 10 + 10));
		add(peak, session_of(i * 10, i * 10 + 10));
	}
	assert_string_equal(finish(*state, peak), "");
}

static void each_namespace_and_protocol_has_its_own_ports(void **state)
{
	struct policy_peak *peak = begin(*state, two_ports);

	for (uint64_t i = 0; i < 8; i++) {
		struct session session = session_of(10, 0);

		session.id.netns = i / 4;
		session.protocol = i / 2 % 2 ? IPPROTO_UDP : IPPROTO_TCP;
		add(peak, session);
	}
	assert_string_equal(finish(*state, peak), "");
}

static void what_takes_no_port_of_a_pool_does_not_count(void **state)
{
	struct policy_peak *peak = begin(*state, two_ports);

	for (int i = 0; i < 3; i++) {
		struct session in = session_of(10, 0), program = in, elsewhere = in;

		in.direction = DIRECTION_IN;
		program.picked_by = PICKED_BY_PROGRAM;
		assert_int_equal(address_parse("192.0.2.2", &elsewhere.dst), 0);
		add(peak, in);
		add(peak, program);
		add(peak, elsewhere);
	}
	assert_string_equal(finish(*state, peak), "");
}

static void without_a_rule_the_pool_it_came_from_counts(void **state)
{
	struct policy_peak *peak = begin(*state, "[pool a]\nports = 20000-20001\n");

	for (int i = 0; i < 3; i++) {
		struct session session = session_of(10, 0);

		strcpy(session.pool, "a");
		add(peak, session);
	}
	assert_true(strncmp(finish(*state, peak), "pool a has 2 ports, but 3", 25) ==
		    0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(more_sessions_at_once_than_ports_are_told),
		TEST(as_many_sessions_as_ports_fit),
		TEST(each_namespace_and_protocol_has_its_own_ports),
		TEST(what_takes_no_port_of_a_pool_does_not_count),
		TEST(without_a_rule_the_pool_it_came_from_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
