/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The allocator on real sockets, in a network namespace and a cgroup of our own: each
 * port is what getsockname(2) says, each count comes from the sockets made here.
 */
#include "alloc_bed.h"

static void
every_port_of_the_pool_is_given_once_and_then_connect_is_refused(void **state)
{
	bool seen[64] = {false};
	int fds[64];

	(void)state;
	use_pool(64, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 64; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 64));
		assert_false(seen[port_of(fds[i]) - bed.first]);
		seen[port_of(fds[i]) - bed.first] = true;
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close_all(fds, 64);
	drain_listeners();
}

static void a_full_pool_is_shared_over_destinations_and_no_tuple_twice(void **state)
{
	bool seen[SERVERS][64] = {{false}};
	int fds[SERVERS * 64];

	(void)state;
	use_pool(64, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < SERVERS * 64; i++) {
		bool *mine = seen[i % SERVERS];

		fds[i] = connect_to(SOCK_STREAM, i % SERVERS);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 64));
		assert_false(mine[port_of(fds[i]) - bed.first]);
		mine[port_of(fds[i]) - bed.first] = true;
	}
	for (int i = 0; i < SERVERS; i++)
		assert_int_equal(connect_to(SOCK_STREAM, i), -1);
	close_all(fds, SERVERS * 64);
	drain_listeners();
}

static void udp_never_shares_a_port(void **state)
{
	int fds[16];

	(void)state;
	use_pool(16, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 16; i++) {
		fds[i] = connect_to(SOCK_DGRAM, i % SERVERS);
		assert_true(is_in_pool(port_of(fds[i]), 16));
	}
	for (int i = 0; i < SERVERS; i++)
		assert_int_equal(connect_to(SOCK_DGRAM, i), -1);
	close_all(fds, 16);
	/* close(2) gives the port back at once. */
	fds[0] = connect_to(SOCK_DGRAM, 0);
	assert_true(fds[0] >= 0);
	close(fds[0]);
}

static void a_tuple_in_quarantine_is_not_given_again(void **state)
{
	bool seen[32] = {false};

	(void)state;
	use_pool(32, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 32; i++) {
		unsigned int port = connect_and_close(0);

		assert_true(is_in_pool(port, 32));
		assert_false(seen[port - bed.first]);
		seen[port - bed.first] = true;
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	/* A resting tuple does not make its port used for others. */
	assert_true(is_in_pool(connect_and_close(1), 32));
}

static void early_reuse_takes_the_longest_rested_first(void **state)
{
	unsigned int first[32];
	struct alloc_count count;

	(void)state;
	use_pool(32, SHARING_WHEN_FULL, HOUR_NS, true);
	for (int i = 0; i < 32; i++)
		first[i] = connect_and_close(0);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 32; i++)
			assert_int_equal(connect_and_close(0), first[i]);
	alloc_count(bed.alloc, &count);
	assert_int_equal(count.early_reuses, 96);
}

static void a_reset_needs_no_rest(void **state)
{
	(void)state;
	use_pool(4, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 100; i++) {
		int fd = connect_to(SOCK_STREAM, 0);

		assert_true(fd >= 0);
		close_all(&fd, 1);
	}
	drain_listeners();
}

static void a_refused_connect_gives_its_port_back_at_once(void **state)
{
	const struct sockaddr_in nobody = {.sin_family = AF_INET,
					   .sin_port = htons(1),
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fds[100];

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 100; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (const struct sockaddr *)&nobody,
					 sizeof(nobody)),
				 -1);
		assert_int_equal(errno, ECONNREFUSED);
	}
	close_all(fds, 100);
}

static void connect_again_after_a_refusal_keeps_the_port(void **state)
{
	const struct sockaddr_in nobody = {.sin_family = AF_INET,
					   .sin_port = htons(1),
					   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unsigned int port;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, HOUR_NS, false);
	assert_int_equal(connect(fd, (const struct sockaddr *)&nobody, sizeof(nobody)),
			 -1);
	port = port_of(fd);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&bed.servers[0], sizeof(bed.servers[0])),
		0);
	assert_int_equal(port_of(fd), port);
	drain_listeners();
}

static void an_unreachable_connect_gives_its_port_back_when_closed(void **state)
{
	/* Only loopback is up here: there is no route to anywhere else. */
	const struct sockaddr_in far = {.sin_family = AF_INET,
					.sin_port = htons(80),
					.sin_addr.s_addr = htonl(0xc0000201)};

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 100; i++) {
		CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(
			connect(fd, (const struct sockaddr *)&far, sizeof(far)), -1);
		assert_int_equal(errno, ENETUNREACH);
	}
}

static void bind_to_port_0_takes_a_port_of_its_own(void **state)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	int fds[8];

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 8; i++) {
		fds[i] = socket(AF_INET,
				(i & 1 ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
		assert_int_equal(
			bind(fds[i], (const struct sockaddr *)&any, sizeof(any)), 0);
		assert_true(is_in_pool(port_of(fds[i]), 8));
		for (int k = i & 1; k < i; k += 2)
			assert_int_not_equal(port_of(fds[i]), port_of(fds[k]));
	}
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	assert_true(is_in_pool(connect_and_close(0), 8));
}

static void bind_to_port_0_avoids_what_others_bound_since(void **state)
{
	struct sockaddr_in mine = {.sin_family = AF_INET};
	int holders[4], fds[4];

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 4; i++) {
		holders[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		mine.sin_port = htons(bed.first + 2 * i);
		assert_int_equal(
			bind(holders[i], (struct sockaddr *)&mine, sizeof(mine)), 0);
	}
	mine.sin_port = 0;
	for (int i = 0; i < 4; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&mine, sizeof(mine)),
				 0);
		assert_true(port_of(fds[i]) % 2 != bed.first % 2 ||
			    !is_in_pool(port_of(fds[i]), 8));
	}
	close_all(fds, 4);
	close_all(holders, 4);
}

static void a_port_held_by_something_else_is_set_aside(void **state)
{
	bool seen[8] = {false};
	struct sockaddr_in mine = {.sin_family = AF_INET,
				   .sin_port = htons(bed.first + 3)};
	CLEANUP_CLOSE int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fds[7];

	(void)state;
	assert_int_equal(bind(holder, (struct sockaddr *)&mine, sizeof(mine)), 0);
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 7; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_not_equal(port_of(fds[i]), bed.first + 3);
		assert_false(seen[port_of(fds[i]) - bed.first]);
		seen[port_of(fds[i]) - bed.first] = true;
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	drain_listeners();
	close(TAKE_FD(holder));
	/* One tick sees that a pick found nothing, and that the port is free. */
	alloc_tick(bed.alloc);
	assert_true(is_in_pool(connect_and_close(0), 8));
	close_all(fds, 7);
}

static void a_listeners_port_is_not_given_after_it_closed(void **state)
{
	struct sockaddr_in mine = {.sin_family = AF_INET,
				   .sin_port = htons(bed.first + 1)};
	CLEANUP_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&mine, sizeof(mine)), 0);
	assert_int_equal(listen(listener, 1), 0);
	use_pool(2, SHARING_WHEN_FULL, 0, false);
	close(TAKE_FD(listener));
	for (int i = 0; i < 50; i++) {
		int fd = connect_to(SOCK_STREAM, 0);

		assert_int_equal(port_of(fd), bed.first);
		close_all(&fd, 1);
		if (i % 10 == 0)
			alloc_tick(bed.alloc);
	}
	drain_listeners();
}

static unsigned int address_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t size = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &size);
	return ntohl(address.sin_addr.s_addr);
}

static void a_conflict_leaves_the_source_address_the_program_chose(void **state)
{
	struct sockaddr_in source = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(0x7f000203)};
	struct sockaddr_in mine = {.sin_family = AF_INET};
	int holders[4], late = 1;

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 4; i++) {
		holders[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		mine.sin_port = htons(bed.first + 2 * i);
		assert_int_equal(
			bind(holders[i], (struct sockaddr *)&mine, sizeof(mine)), 0);
		assert_int_equal(listen(holders[i], 1), 0);
	}
	for (int i = 0; i < 4; i++) {
		CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
					    &late, sizeof(late)),
				 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof(source)),
				 0);
		connect(fd, (struct sockaddr *)&bed.servers[0], sizeof(bed.servers[0]));
		assert_int_equal(address_of(fd), 0x7f000203);
	}
	close_all(holders, 4);
	drain_listeners();
}

static void a_peer_that_closes_late_does_not_end_early_reuse(void **state)
{
	unsigned int first[8];

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, true);
	for (int i = 0; i < 8; i++) {
		int fd = connect_to(SOCK_STREAM, 0), server;

		server = accept4(bed.listeners[0], NULL, NULL, SOCK_CLOEXEC);
		first[i] = port_of(fd);
		close(fd);
		/* Past the delayed ACK: the client's side waits in FIN_WAIT2. */
		poll(NULL, 0, 60);
		close(server);
	}
	for (int i = 0; i < 8; i++)
		assert_int_equal(connect_and_close(0), first[i]);
}

static void a_half_open_tuple_is_not_reused_early(void **state)
{
	CLEANUP_CLOSE int server = -1;
	int fd;

	(void)state;
	use_pool(1, SHARING_WHEN_FULL, HOUR_NS, true);
	fd = connect_to(SOCK_STREAM, 0);
	server = accept4(bed.listeners[0], NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	poll(NULL, 0, 60);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
}

static void rests_that_ended_do_not_stand_before_early_reuse(void **state)
{
	const uint64_t quarantine_ns = 300000000;
	struct alloc_count count;

	(void)state;
	use_pool(40, SHARING_WHEN_FULL, quarantine_ns, true);
	for (int round = 0; round < 3; round++) {
		/* Twice round the pool: the second time by early reuse. */
		for (int i = 0; i < 80; i++)
			assert_true(is_in_pool(connect_and_close(0), 40));
		poll(NULL, 0, 2 * quarantine_ns / 1000000);
		alloc_tick(bed.alloc);
	}
	alloc_count(bed.alloc, &count);
	assert_int_equal(count.refusals, 0);
}

static void a_pool_that_never_shares_gives_a_port_to_one_socket_only(void **state)
{
	int fds[8];

	(void)state;
	use_pool(8, SHARING_NEVER, 0, false);
	for (int i = 0; i < 8; i++)
		fds[i] = connect_to(SOCK_STREAM, 0);
	assert_true(fds[7] >= 0);
	assert_int_equal(connect_to(SOCK_STREAM, 1), -1);
	close_all(fds, 8);
	fds[0] = connect_to(SOCK_STREAM, 1);
	assert_true(fds[0] >= 0);
	close_all(fds, 1);
	drain_listeners();
}

static void ipv6_and_v4_mapped_sockets_take_pool_ports(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	int fds[4];

	(void)state;
	use_pool(4, SHARING_NEVER, 0, false);
	for (int i = 0; i < 4; i++) {
		inet_pton(AF_INET6, i & 1 ? "::1" : "::ffff:127.0.0.1", &to.sin6_addr);
		fds[i] = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&to, sizeof(to)),
				 0);
		assert_true(is_in_pool(port_of(fds[i]), 4));
		for (int k = 0; k < i; k++)
			assert_int_not_equal(port_of(fds[i]), port_of(fds[k]));
	}
	close_all(fds, 4);
}

static void two_pools_that_overlap_do_not_give_one_port_twice(void **state)
{
	CLEANUP_CLOSE int first = -1;
	int fds[4];

	(void)state;
	use_pool(1, SHARING_NEVER, 0, false);
	first = connect_to(SOCK_DGRAM, 0);
	assert_int_equal(port_of(first), bed.first);
	alloc_detach(bed.alloc, bed.cgroup_id);
	use_pool(4, SHARING_NEVER, 0, false);
	for (int i = 0; i < 3; i++) {
		fds[i] = connect_to(SOCK_DGRAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_not_equal(port_of(fds[i]), bed.first);
	}
	assert_int_equal(connect_to(SOCK_DGRAM, 0), -1);
	close_all(fds, 3);
}

static void udp_finds_the_few_ports_that_another_pool_left(void **state)
{
	int fds[90];

	(void)state;
	use_pool(80, SHARING_NEVER, 0, false);
	for (int i = 0; i < 80; i++)
		fds[i] = connect_to(SOCK_DGRAM, 0);
	assert_true(fds[79] >= 0);
	alloc_detach(bed.alloc, bed.cgroup_id);
	use_pool(90, SHARING_WHEN_FULL, 0, false);
	for (int i = 80; i < 90; i++) {
		fds[i] = connect_to(SOCK_DGRAM, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 90));
	}
	assert_int_equal(connect_to(SOCK_DGRAM, 0), -1);
	close_all(fds, 90);
}

static void bind_to_port_0_stays_in_a_pool_that_always_shares(void **state)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	use_pool(8, SHARING_ALWAYS, 0, false);
	assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
	assert_true(is_in_pool(port_of(fd), 8));
}

static void time_wait_from_before_the_start_rests_too(void **state)
{
	struct fault fault = {0};
	unsigned int before;

	(void)state;
	use_pool(1, SHARING_WHEN_FULL, HOUR_NS, false);
	before = connect_and_close(0);
	assert_int_equal(before, bed.first);
	/* A new allocator knows nothing but what the kernel tells it. */
	alloc_close(bed.alloc);
	assert_int_equal(alloc_open(&bed.alloc, &fault), 0);
	use_pool(2, SHARING_WHEN_FULL, HOUR_NS, false);
	assert_int_equal(connect_and_close(0), bed.first + 1);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
}

static void closing_the_allocator_leaves_the_kernel_to_pick(void **state)
{
	CLEANUP_CLOSE int fd = -1;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	alloc_close(bed.alloc);
	bed.alloc = NULL;
	fd = connect_to(SOCK_STREAM, 0);
	assert_true(fd >= 0);
	assert_false(is_in_pool(port_of(fd), 4));
	drain_listeners();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_port_of_the_pool_is_given_once_and_then_connect_is_refused),
		TEST(a_full_pool_is_shared_over_destinations_and_no_tuple_twice),
		TEST(udp_never_shares_a_port),
		TEST(a_tuple_in_quarantine_is_not_given_again),
		TEST(early_reuse_takes_the_longest_rested_first),
		TEST(a_reset_needs_no_rest),
		TEST(a_refused_connect_gives_its_port_back_at_once),
		TEST(connect_again_after_a_refusal_keeps_the_port),
		TEST(an_unreachable_connect_gives_its_port_back_when_closed),
		TEST(bind_to_port_0_takes_a_port_of_its_own),
		TEST(bind_to_port_0_avoids_what_others_bound_since),
		TEST(a_port_held_by_something_else_is_set_aside),
		TEST(a_listeners_port_is_not_given_after_it_closed),
		TEST(a_conflict_leaves_the_source_address_the_program_chose),
		TEST(a_peer_that_closes_late_does_not_end_early_reuse),
		TEST(a_half_open_tuple_is_not_reused_early),
		TEST(rests_that_ended_do_not_stand_before_early_reuse),
		TEST(a_pool_that_never_shares_gives_a_port_to_one_socket_only),
		TEST(ipv6_and_v4_mapped_sockets_take_pool_ports),
		TEST(two_pools_that_overlap_do_not_give_one_port_twice),
		TEST(udp_finds_the_few_ports_that_another_pool_left),
		TEST(bind_to_port_0_stays_in_a_pool_that_always_shares),
		TEST(time_wait_from_before_the_start_rests_too),
		TEST(closing_the_allocator_leaves_the_kernel_to_pick),
	};

	return RUN_IN_BED(tests);
}
