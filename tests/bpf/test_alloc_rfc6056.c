/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The five algorithms of RFC 6056, against what its section 3.3 says of the ports that
 * come one after another. A connection is reset at once, so that its port is free for
 * the next; ports are what getsockname(2) says.
 */
#include "alloc_bed.h"

#define DRAWS 200

static void use_algorithm(enum algorithm algorithm, unsigned int count)
{
	struct pool pool;

	pool = plain_pool(count);
	pool.algorithm = algorithm;
	use(&pool);
}

/* The place in the pool that a connection to server i takes; it is closed again. */
static int draw(int i)
{
	int fd = connect_to(SOCK_STREAM, i), place;

	assert_true(fd >= 0);
	place = (int)(port_of(fd) - bed.first);
	close_all(&fd, 1);
	drain_listeners();
	return place;
}

static int step(int from, int to, int count)
{
	return (to - from + count) % count;
}

/* Of 200 draws from 64 ports whose lower half is held, how many take the one above. */
static int draws_behind_a_held_half(enum algorithm algorithm)
{
	int held[32], behind = 0;

	for (int i = 0; i < 32; i++) {
		struct sockaddr_in at = bed.servers[0];

		at.sin_port = htons((uint16_t)(bed.first + (unsigned int)i));
		held[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(held[i], (struct sockaddr *)&at, sizeof(at)), 0);
		assert_int_equal(listen(held[i], 1), 0);
	}
	use_algorithm(algorithm, 64);
	for (int i = 0; i < DRAWS; i++) {
		int place = draw(0);

		assert_true(place >= 32 && place < 64);
		behind += place == 32;
	}
	close_all(held, 32);
	return behind;
}

/* A start in the held half, which is every second, ends at the first port above it. */
static void random_simple_goes_on_from_a_port_in_use_to_the_next(void **state)
{
	int behind = draws_behind_a_held_half(ALGORITHM_RANDOM_SIMPLE);

	(void)state;
	assert_in_range(behind, 70, 140); /* 103 expected, 7 the deviation */
}

static void random_retry_draws_anew_after_a_port_in_use(void **state)
{
	int behind = draws_behind_a_held_half(ALGORITHM_RANDOM_RETRY);

	(void)state;
	assert_in_range(behind, 0, 25); /* 6 expected */
}

static void hash_counts_on_for_all_destinations_together(void **state)
{
	int last[2];

	(void)state;
	use_algorithm(ALGORITHM_HASH, 97);
	last[0] = draw(0);
	last[1] = draw(1);
	for (int i = 0; i < 100; i++) {
		int place = draw(i % 2);

		assert_int_equal(step(last[i % 2], place, 97), 2);
		last[i % 2] = place;
	}
}

static void hash_to_one_destination_takes_every_port_in_turn(void **state)
{
	int last;

	(void)state;
	use_algorithm(ALGORITHM_HASH, 97);
	last = draw(0);
	for (int i = 0; i < 200; i++) {
		int place = draw(0);

		assert_int_equal(step(last, place, 97), 1);
		last = place;
	}
}

/* Two destinations share a counter by chance 1 in 64, three never all in four starts.
 */
static void double_hash_counts_on_for_a_destination_alone(void **state)
{
	int last[SERVERS], alone = 0;

	(void)state;
	use_algorithm(ALGORITHM_DOUBLE_HASH, 97);
	for (int i = 0; i < SERVERS; i++)
		last[i] = draw(i);
	for (int i = 0; i < SERVERS * 50; i++) {
		int server = i % SERVERS, place = draw(server);
		int by = step(last[server], place, 97);

		assert_in_range(by, 1, SERVERS);
		alone += by == 1;
		last[server] = place;
	}
	assert_true(alone >= 50);
}

static void increments_go_on_by_1_to_500_wherever_to(void **state)
{
	int count = 4000, last, sum = 0;

	(void)state;
	bed.first = FIRST_OF_ALL;
	use_algorithm(ALGORITHM_INCREMENTS, count);
	last = draw(0);
	for (int i = 0; i < DRAWS; i++) {
		int place = draw(i % SERVERS), by = step(last, place, count);

		assert_in_range(by, 1, 500);
		sum += by;
		last = place;
	}
	/* 250.5 expected, 144 / sqrt(200) = 10 the deviation. */
	assert_in_range(sum / DRAWS, 200, 300);
}

static void
every_algorithm_gives_every_port_once_and_then_shares_or_refuses(void **state)
{
	(void)state;
	for (int algorithm = ALGORITHM_RANDOM_SIMPLE; algorithm <= ALGORITHM_INCREMENTS;
	     algorithm++) {
		bool seen[2][32] = {{false}};
		int fds[64];

		use_algorithm((enum algorithm)algorithm, 32);
		for (int i = 0; i < 64; i++) {
			bool *mine = seen[i / 32];

			fds[i] = connect_to(SOCK_STREAM, i / 32);
			assert_true(fds[i] >= 0);
			assert_true(is_in_pool(port_of(fds[i]), 32));
			assert_false(mine[port_of(fds[i]) - bed.first]);
			mine[port_of(fds[i]) - bed.first] = true;
		}
		assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
		assert_int_equal(errno, EADDRNOTAVAIL);
		close_all(fds, 64);
		drain_listeners();
		alloc_detach(bed.alloc, bed.cgroup_id);
		alloc_remove_pool(bed.alloc, bed.pool);
	}
}

/* UDP, which needs no listener: the place a socket takes that connects to the address.
 */
static int draw_udp(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, address, &to.sin_addr);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return (int)(port_of(fd) - bed.first);
}

static void give_loopback_another_address(void)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo:1"};
	struct sockaddr_in *address = (struct sockaddr_in *)&request.ifr_addr;

	address->sin_family = AF_INET;
	inet_pton(AF_INET, "192.0.2.1", &address->sin_addr);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &request), 0);
}

static void what_loopback_draws_does_not_move_other_counters(void **state)
{
	int last;

	(void)state;
	give_loopback_another_address();
	use_algorithm(ALGORITHM_HASH, 97);
	last = draw_udp("192.0.2.1");
	for (int i = 0; i < 20; i++)
		draw_udp("127.0.0.1");
	assert_int_equal(step(last, draw_udp("192.0.2.1"), 97), 1);
}

/* The chance that all of 8 agree is 1 in 97^8. */
static void two_namespaces_have_nothing_in_common(void **state)
{
	int here[8], there[8], equal = 0;
	char address[16];

	(void)state;
	use_algorithm(ALGORITHM_DOUBLE_HASH, 97);
	for (int i = 0; i < 8; i++) {
		snprintf(address, sizeof(address), "127.0.0.%d", i + 1);
		here[i] = draw_udp(address);
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(bring_loopback_up(), 0);
	for (int i = 0; i < 8; i++) {
		snprintf(address, sizeof(address), "127.0.0.%d", i + 1);
		there[i] = draw_udp(address);
		equal += here[i] == there[i];
	}
	assert_true(equal < 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_simple_goes_on_from_a_port_in_use_to_the_next),
		TEST(random_retry_draws_anew_after_a_port_in_use),
		TEST(hash_counts_on_for_all_destinations_together),
		TEST(hash_to_one_destination_takes_every_port_in_turn),
		TEST(double_hash_counts_on_for_a_destination_alone),
		TEST(increments_go_on_by_1_to_500_wherever_to),
		TEST(every_algorithm_gives_every_port_once_and_then_shares_or_refuses),
		TEST(what_loopback_draws_does_not_move_other_counters),
		/* Last: it leaves the namespace with the listeners. */
		TEST(two_namespaces_have_nothing_in_common),
	};

	return RUN_IN_BED(tests);
}
