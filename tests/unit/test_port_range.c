/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "kernel/port_range.h"

static void avoid(bool *ports, unsigned int from, unsigned int to)
{
	for (unsigned int port = from; port <= to; port++)
		ports[port] = true;
}

static int make_avoid(void **state)
{
	*state = calloc(1, sizeof(struct port_range_avoid));
	return *state ? 0 : -1;
}

static int free_avoid(void **state)
{
	free(*state);
	return 0;
}

static void assert_chosen(const struct port_range_avoid *ports, struct port_range range,
			  uint16_t from, uint16_t to)
{
	struct port_range chosen;

	assert_int_equal(port_range_choose(&range, ports, &chosen), 0);
	assert_int_equal(chosen.from, from);
	assert_int_equal(chosen.to, to);
}

static void a_range_that_meets_no_pool_stays(void **state)
{
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 61000, 65535);
	assert_chosen(ports, (struct port_range){32768, 60999}, 32768, 60999);
	/* However short it is. */
	assert_chosen(ports, (struct port_range){50000, 50003}, 50000, 50003);
}

static void the_longer_side_of_a_pool_is_kept(void **state)
{
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 49152, 65535);
	assert_chosen(ports, (struct port_range){32768, 60999}, 32768, 49151);
	avoid(ports->pools, 32768, 45000);
	assert_chosen(ports, (struct port_range){32768, 60999}, 45001, 49151);
}

static void a_thousand_ports_are_enough_and_999_are_not(void **state)
{
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 33768, 65535);
	assert_chosen(ports, (struct port_range){32768, 60999}, 32768, 33767);
	avoid(ports->pools, 33767, 33767);
	assert_chosen(ports, (struct port_range){32768, 60999}, 1024, 33766);
}

static void a_new_place_keeps_clear_of_reserved_ports(void **state)
{
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 32768, 65535);
	avoid(ports->reserved, 20000, 20000);
	assert_chosen(ports, (struct port_range){32768, 60999}, 1024, 19999);
	/* The old place had them, and may keep them. */
	memset(ports->pools, 0, sizeof(ports->pools));
	avoid(ports->pools, 61000, 61010);
	avoid(ports->reserved, 40000, 40000);
	assert_chosen(ports, (struct port_range){32768, 61010}, 32768, 60999);
}

static void without_room_it_is_refused(void **state)
{
	struct port_range range = {32768, 60999}, chosen = {1, 2};
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 2000, 65535);
	assert_int_equal(port_range_choose(&range, ports, &chosen), -ENOSPC);
	assert_int_equal(chosen.from, 1);
	avoid(ports->pools, 1024, 65535);
	assert_int_equal(port_range_choose(&range, ports, &chosen), -ENOSPC);
}

static void the_last_port_is_part_of_the_range(void **state)
{
	struct port_range_avoid *ports = *state;

	avoid(ports->pools, 1024, 60000);
	assert_chosen(ports, (struct port_range){32768, 65535}, 60001, 65535);
}

static void the_own_range_can_be_read(void **state)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	struct port_range range;
	int from, to;

	(void)state;
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d %d", &from, &to), 2);
	fclose(file);
	assert_int_equal(port_range_read(-1, &range), 0);
	assert_int_equal(range.from, from);
	assert_int_equal(range.to, to);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_avoid, free_avoid)
	const struct CMUnitTest tests[] = {
		TEST(a_range_that_meets_no_pool_stays),
		TEST(the_longer_side_of_a_pool_is_kept),
		TEST(a_thousand_ports_are_enough_and_999_are_not),
		TEST(a_new_place_keeps_clear_of_reserved_ports),
		TEST(without_room_it_is_refused),
		TEST(the_last_port_is_part_of_the_range),
		cmocka_unit_test(the_own_range_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
