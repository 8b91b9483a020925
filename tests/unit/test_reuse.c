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

#include "pipeline/reuse.h"

#define S UINT64_C(1000000000)

static struct session make(const char *pool, uint16_t sport, const char *dst,
			   uint64_t start_ns)
{
	struct session session = {
		.id.netns = 7,
		.protocol = IPPROTO_TCP,
		.sport = sport,
		.dport = 443,
		.start_ns = start_ns,
		.picked_by = PICKED_BY_SRCPORT,
	};

	snprintf(session.pool, sizeof(session.pool), "%s", pool);
	address_parse("192.0.2.1", &session.src);
	address_parse(dst, &session.dst);
	return session;
}

static void use(struct reuse *reuse, struct session session, uint64_t end_ns)
{
	session.end_ns = 0;
	reuse_note(reuse, &session);
	session.end_ns = end_ns;
	reuse_note(reuse, &session);
}

static int make_reuse(void **state)
{
	return reuse_new((struct reuse **)state);
}

static int free_reuse(void **state)
{
	reuse_free(*state);
	return 0;
}

static void a_port_used_once_has_no_distance(void **state)
{
	struct reuse_pool pool;

	assert_false(reuse_find(*state, "a", &pool));
	use(*state, make("a", 50000, "198.51.100.1", S), 2 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.opened, 1);
	assert_int_equal(pool.distance.count, 0);
	assert_int_equal(pool.rest_ns.count, 0);
}

static void the_distance_is_the_sessions_between(void **state)
{
	struct reuse_pool pool;

	use(*state, make("a", 50000, "198.51.100.1", S), 2 * S);
	for (int i = 0; i < 5; i++)
		use(*state, make("a", 50001 + i, "198.51.100.1", 3 * S), 4 * S);
	use(*state, make("a", 50000, "198.51.100.2", 5 * S), 6 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.distance.count, 1);
	assert_int_equal(pool.distance.minimum, 5);
	assert_int_equal(pool.distance.median, 5);
	/* Another destination is another tuple. */
	assert_int_equal(pool.rest_ns.count, 0);
}

static void sessions_of_another_pool_are_no_distance(void **state)
{
	struct reuse_pool pool;

	use(*state, make("a", 50000, "198.51.100.1", S), 2 * S);
	for (int i = 0; i < 9; i++)
		use(*state, make("b", 51000 + i, "198.51.100.1", S), 2 * S);
	use(*state, make("a", 50000, "198.51.100.1", 3 * S), 4 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.distance.minimum, 0);
}

static void the_rest_is_from_the_end_to_the_next_start(void **state)
{
	struct reuse_pool pool;

	use(*state, make("a", 50000, "198.51.100.1", S), 10 * S);
	use(*state, make("a", 50000, "198.51.100.1", 70 * S), 71 * S);
	use(*state, make("a", 50000, "198.51.100.1", 72 * S), 73 * S);
	use(*state, make("a", 50000, "198.51.100.1", 103 * S), 104 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.rest_ns.count, 3);
	assert_int_equal(pool.rest_ns.minimum, S);
	/* 30 s, to an eighth. */
	assert_in_range(pool.rest_ns.median, 30 * S * 7 / 8, 30 * S);
}

static void a_namespace_of_its_own_has_tuples_of_its_own(void **state)
{
	struct session session = make("a", 50000, "198.51.100.1", S);
	struct reuse_pool pool;

	use(*state, session, 2 * S);
	session.id.netns = 8;
	use(*state, session, 3 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.opened, 2);
	assert_int_equal(pool.distance.count, 0);
	assert_int_equal(pool.rest_ns.count, 0);
}

static void what_the_kernel_picked_is_not_counted(void **state)
{
	struct session session = make("a", 50000, "198.51.100.1", S);
	struct reuse_pool pool;

	session.picked_by = PICKED_BY_KERNEL;
	use(*state, session, 2 * S);
	session = make("", 50000, "198.51.100.1", S);
	use(*state, session, 2 * S);
	assert_false(reuse_find(*state, "a", &pool));
	assert_false(reuse_find(*state, "", &pool));
}

static void the_median_of_many_distances_is_right_to_an_eighth(void **state)
{
	struct reuse_pool pool;

	/* Round and round over 1,000 ports: each comes back after 999 others. */
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < 1000; i++)
			use(*state, make("a", 50000 + i, "198.51.100.1", S), 2 * S);
	assert_true(reuse_find(*state, "a", &pool));
	assert_int_equal(pool.distance.count, 3000);
	assert_int_equal(pool.distance.minimum, 999);
	assert_in_range(pool.distance.median, 999 * 7 / 8, 999);
}

static void the_ceiling_on_pools_forgets_the_quietest(void **state)
{
	struct reuse_pool pool;
	char name[16];

	for (int i = 0; i < 257; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		use(*state, make(name, 50000, "198.51.100.1", (i + 1) * S),
		    (i + 1) * S);
	}
	assert_false(reuse_find(*state, "p0", &pool));
	assert_true(reuse_find(*state, "p1", &pool));
	assert_true(reuse_find(*state, "p256", &pool));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_reuse, free_reuse)
	const struct CMUnitTest tests[] = {
		TEST(a_port_used_once_has_no_distance),
		TEST(the_distance_is_the_sessions_between),
		TEST(sessions_of_another_pool_are_no_distance),
		TEST(the_rest_is_from_the_end_to_the_next_start),
		TEST(a_namespace_of_its_own_has_tuples_of_its_own),
		TEST(what_the_kernel_picked_is_not_counted),
		TEST(the_median_of_many_distances_is_right_to_an_eighth),
		TEST(the_ceiling_on_pools_forgets_the_quietest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
