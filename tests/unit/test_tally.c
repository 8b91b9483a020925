/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "pipeline/tally.h"

static struct session make(const char *pool, const char *dst, uint16_t dport,
			   struct owner *owner)
{
	struct session session = {
		.id.netns = 7,
		.protocol = IPPROTO_TCP,
		.sport = 50000,
		.dport = dport,
		.owner = owner,
	};

	snprintf(session.pool, sizeof(session.pool), "%s", pool);
	address_parse(dst, &session.dst);
	return session;
}

static void the_destination_with_most_sessions_is_found_for_each_pool(void **state)
{
	const struct session two = make("a", "198.51.100.2", 443, NULL);
	const struct session three = make("a", "198.51.100.3", 443, NULL);
	const struct session other = make("b", "198.51.100.9", 80, NULL);
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_DESTINATION), 0);
	for (int i = 0; i < 2; i++)
		tally_add(&tally, &two, 0);
	for (int i = 0; i < 3; i++)
		tally_add(&tally, &three, 0);
	for (int i = 0; i < 9; i++)
		tally_add(&tally, &other, 0);
	assert_int_equal(tally_most(&tally, "a")->count, 3);
	assert_true(address_equal(&tally_most(&tally, "a")->address, &three.dst));
	assert_int_equal(tally_most(&tally, "b")->count, 9);
	assert_null(tally_most(&tally, "c"));
	for (int i = 0; i < 2; i++)
		tally_remove(&tally, &three);
	assert_true(address_equal(&tally_most(&tally, "a")->address, &two.dst));
	tally_remove(&tally, &three);
	assert_null(tally_find(&tally, &three));
	tally_release(&tally);
}

static void destinations_differ_by_port_protocol_and_namespace(void **state)
{
	struct session session = make("a", "198.51.100.2", 443, NULL);
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_DESTINATION), 0);
	tally_add(&tally, &session, 0);
	session.dport = 80;
	tally_add(&tally, &session, 0);
	session.protocol = IPPROTO_UDP;
	tally_add(&tally, &session, 0);
	session.id.netns = 8;
	tally_add(&tally, &session, 0);
	assert_int_equal(tally.entries.count, 4);
	assert_int_equal(tally_most(&tally, "a")->count, 1);
	tally_release(&tally);
}

static void a_session_without_a_pool_is_not_counted(void **state)
{
	const struct session session = make("", "198.51.100.2", 443, NULL);
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_DESTINATION), 0);
	tally_add(&tally, &session, 0);
	assert_int_equal(tally.entries.count, 0);
	tally_remove(&tally, &session);
	tally_release(&tally);
}

static void one_process_is_one_owner_before_and_after_an_exec(void **state)
{
	struct owner *before = owner_new(100, 5, 33), *after = owner_new(100, 5, 33);
	struct owner *another = owner_new(100, 6, 33);
	const struct session sessions[] = {
		make("a", "198.51.100.2", 443, before),
		make("a", "198.51.100.3", 443, after),
		make("a", "198.51.100.4", 443, another),
	};
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_OWNER), 0);
	for (int i = 0; i < 3; i++)
		tally_add(&tally, &sessions[i], 0);
	assert_int_equal(tally.entries.count, 2);
	assert_int_equal(tally_most(&tally, "a")->count, 2);
	assert_int_equal(tally_most(&tally, "a")->owner->pid, 100);
	owner_unref(before);
	owner_unref(after);
	owner_unref(another);
	tally_release(&tally);
}

static void without_an_owner_the_user_counts(void **state)
{
	const struct session session = make("a", "198.51.100.2", 443, NULL);
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_OWNER), 0);
	tally_add(&tally, &session, 33);
	tally_add(&tally, &session, 33);
	tally_add(&tally, &session, 34);
	assert_int_equal(tally_most(&tally, "a")->uid, 33);
	assert_null(tally_most(&tally, "a")->owner);
	tally_release(&tally);
}

static void past_the_ceiling_what_is_new_is_left_out_and_said(void **state)
{
	struct session session = make("a", "198.51.100.2", 1, NULL);
	struct tally tally;

	(void)state;
	assert_int_equal(tally_init(&tally, TALLY_BY_DESTINATION), 0);
	for (int i = 0; i < TALLY_MAX + 10; i++) {
		session.id.netns = i / 60000;
		session.dport = i % 60000;
		tally_add(&tally, &session, 0);
	}
	assert_int_equal(tally.entries.count, TALLY_MAX);
	assert_int_equal(tally.left_out, 10);
	/* The end of one that was left out ends nobody else's. */
	tally_remove(&tally, &session);
	assert_int_equal(tally.entries.count, TALLY_MAX);
	tally_release(&tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			the_destination_with_most_sessions_is_found_for_each_pool),
		cmocka_unit_test(destinations_differ_by_port_protocol_and_namespace),
		cmocka_unit_test(a_session_without_a_pool_is_not_counted),
		cmocka_unit_test(one_process_is_one_owner_before_and_after_an_exec),
		cmocka_unit_test(without_an_owner_the_user_counts),
		cmocka_unit_test(past_the_ceiling_what_is_new_is_left_out_and_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
