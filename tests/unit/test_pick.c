/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The algorithm of alloc/pick.h, in user space. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/pick.h"

static struct port_map map;

static __u64 draw(void)
{
	static const struct pick_key key = {0x0123456789abcdefULL,
					    0xfedcba9876543210ULL};
	static __u64 counter;

	return pick_prf(key, counter++, 0);
}

static void fill_map(double share)
{
	memset(&map, 0, sizeof(map));
	for (unsigned int port = 1024; port < 65536; port++)
		if ((double)(draw() >> 11) / 9007199254740992.0 < share)
			port_map_give(&map, port);
}

static void the_prf_gives_the_published_siphash_value(void **state)
{
	/* Key 00..0f over the message 00..0f, from the authors' table. */
	const struct pick_key key = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

	(void)state;
	assert_true(pick_prf(key, 0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL) ==
		    0x3f2acc7f57c29bdbULL);
}

static void select64_finds_every_bit_by_its_rank(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		__u64 w = draw(), rank = 0;

		if (round & 1)
			w &= draw();
		if (round & 2)
			w |= draw();
		if (!round)
			w = ~0ULL;
		for (unsigned int bit = 0; bit < 64; bit++)
			if (w >> bit & 1)
				assert_int_equal(pick_select64(w, rank++), bit);
		assert_int_equal(pick_popcount(w), rank);
	}
}

static void select_finds_every_free_port_by_its_rank(void **state)
{
	static const double shares[] = {1, .5, .1, .001};

	(void)state;
	for (int i = 0; i < 4; i++) {
		__u64 rank = 0;

		fill_map(shares[i]);
		for (unsigned int port = 0; port < 65536; port++)
			if (port_map_has(&map, port))
				assert_int_equal(port_map_select(&map, rank++), port);
		assert_int_equal(map.count, rank);
	}
}

static void a_port_is_taken_once_and_given_once(void **state)
{
	(void)state;
	fill_map(0);
	assert_true(port_map_give(&map, 50000));
	assert_false(port_map_give(&map, 50000));
	assert_int_equal(map.count, 1);
	assert_int_equal(port_map_select(&map, 0), 50000);
	assert_true(port_map_take(&map, 50000));
	assert_false(port_map_take(&map, 50000));
	assert_int_equal(map.count, 0);
}

/* The chi-square statistic as a normal deviate (Wilson and Hilferty, 1931). */
static double chi_square_deviate(const unsigned int *seen, size_t n, double expected)
{
	double sum = 0, df = n - 1;

	for (size_t i = 0; i < n; i++)
		sum += (seen[i] - expected) * (seen[i] - expected) / expected;
	return (cbrt(sum / df) - (1 - 2 / (9 * df))) / sqrt(2 / (9 * df));
}

static void every_free_port_is_drawn_equally_often(void **state)
{
	static unsigned int seen[65536], dense[65536];
	size_t n = 0;

	(void)state;
	fill_map(.05);
	for (unsigned int i = 0; i < 200 * map.count; i++) {
		__u32 rank = pick_below(draw(), map.count);
		__u32 port;

		assert_true(rank != PICK_AGAIN);
		port = port_map_select(&map, rank);
		assert_true(port_map_has(&map, port));
		seen[port]++;
	}
	for (unsigned int port = 0; port < 65536; port++)
		if (port_map_has(&map, port))
			dense[n++] = seen[port];
	assert_true(fabs(chi_square_deviate(dense, n, 200)) < 4);
}

static void below_rejects_exactly_what_would_bias_it(void **state)
{
	(void)state;
	/* 2^48 mod 3 is 1: of the products' low parts only 0 must be drawn again. */
	assert_true(pick_below(0, 3) == PICK_AGAIN);
	assert_true(pick_below(1ULL << 16, 3) == 0);
	/* A power of two divides 2^48: nothing is rejected. */
	assert_true(pick_below(0, 16384) == 0);
	assert_true(pick_below(~0ULL, 16384) == 16383);
	assert_true(pick_below(~0ULL, 65536) == 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_prf_gives_the_published_siphash_value),
		cmocka_unit_test(select64_finds_every_bit_by_its_rank),
		cmocka_unit_test(select_finds_every_free_port_by_its_rank),
		cmocka_unit_test(a_port_is_taken_once_and_given_once),
		cmocka_unit_test(every_free_port_is_drawn_equally_often),
		cmocka_unit_test(below_rejects_exactly_what_would_bias_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
