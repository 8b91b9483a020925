/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What programs do with ports of a pool by themselves, and what the hooks leave to
 * them: explicit binds, listeners, SO_REUSEADDR, ranges of their own; off, dry run,
 * notices.
 */
#include "alloc_bed.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define NOTICES 16

struct heard {
	size_t count;
	struct alloc_notice notices[NOTICES];
};

static void on_notice(const struct alloc_notice *notice, void *arg)
{
	struct heard *heard = arg;

	if (heard->count < NOTICES)
		heard->notices[heard->count] = *notice;
	heard->count++;
}

static void listen_to(struct heard *heard)
{
	alloc_set_notice(bed.alloc, on_notice, heard);
}

static void hear(void)
{
	uint64_t dropped;

	alloc_poll(bed.alloc, &dropped);
	assert_int_equal(dropped, 0);
}

/* A socket bound to 127.0.0.1 and this port, or -1 and errno. */
static int bind_to_port(int type, unsigned int port, int reuse)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	struct sockaddr_in at = bed.servers[0];

	at.sin_port = htons((uint16_t)port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return -1;
	return TAKE_FD(fd);
}

/* A second pool that nobody is led to, of ports right behind the test's own. */
static unsigned int add_other_pool(void)
{
	struct fault fault = {0};
	struct pool pool;
	uint32_t number;

	pool = plain_pool(1);
	memset(&pool.ports, 0, sizeof(pool.ports));
	port_set_add(&pool.ports, (uint16_t)(bed.first + 50),
		     (uint16_t)(bed.first + 59));
	assert_int_equal(alloc_add_pool(bed.alloc, &pool, &number, &fault), 0);
	assert_int_equal(alloc_prepare(bed.alloc, number, -1, &fault), 0);
	return bed.first + 50;
}

static void a_port_that_the_program_bound_is_not_given(int type)
{
	int own[16], fds[16], again;

	use_pool(32, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 16; i++) {
		own[i] = bind_to_port(type, bed.first + 2 * (unsigned int)i, 0);
		assert_true(own[i] >= 0);
	}
	for (int i = 0; i < 16; i++) {
		fds[i] = connect_to(type, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 32));
		assert_int_equal((port_of(fds[i]) - bed.first) % 2, 1);
	}
	assert_int_equal(connect_to(type, 0), -1);
	/* And again as soon as the program has closed it. */
	close(own[3]);
	again = connect_to(type, 0);
	assert_true(again >= 0);
	assert_int_equal(port_of(again), bed.first + 6);
	close(again);
	close_all(own, 3);
	close_all(fds, 16);
	drain_listeners();
}

static void a_tcp_port_that_the_program_bound_is_not_given(void **state)
{
	(void)state;
	a_port_that_the_program_bound_is_not_given(SOCK_STREAM);
}

static void a_udp_port_that_the_program_bound_is_not_given(void **state)
{
	(void)state;
	a_port_that_the_program_bound_is_not_given(SOCK_DGRAM);
}

static void a_listeners_port_is_not_given_nor_after_it_closed(void **state)
{
	int listener, fds[31];

	(void)state;
	use_pool(32, SHARING_WHEN_FULL, 0, false);
	listener = bind_to_port(SOCK_STREAM, bed.first + 7, 1);
	assert_int_equal(listen(listener, 1), 0);
	close(listener);
	for (int i = 0; i < 31; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_not_equal(port_of(fds[i]), bed.first + 7);
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	for (int i = 0; i < 3; i++)
		alloc_tick(bed.alloc);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	close_all(fds, 31);
	drain_listeners();
}

/* Outside our hooks: only its going to LISTEN is seen. */
static void the_port_of_a_listener_elsewhere_is_not_given(void **state)
{
	int listener, fds[31];

	(void)state;
	listener = bind_to_port(SOCK_STREAM, bed.first + 7, 1);
	use_pool(32, SHARING_WHEN_FULL, 0, false);
	assert_int_equal(listen(listener, 1), 0);
	for (int i = 0; i < 31; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_int_not_equal(port_of(fds[i]), bed.first + 7);
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	close_all(fds, 31);
	close(listener);
	drain_listeners();
}

static void nobody_joins_a_port_that_is_given_out(void **state)
{
	int fd;

	(void)state;
	use_pool(4, SHARING_ALWAYS, 0, false);
	alloc_set_guard(bed.alloc, FOREIGN_BIND_ALLOW);
	fd = connect_to(SOCK_STREAM, 0);
	assert_int_equal(bind_to_port(SOCK_STREAM, port_of(fd), 1), -1);
	assert_int_equal(errno, EADDRINUSE);
	close_all(&fd, 1);
	fd = connect_to(SOCK_DGRAM, 0);
	assert_int_equal(bind_to_port(SOCK_DGRAM, port_of(fd), 1), -1);
	assert_int_equal(errno, EADDRINUSE);
	close(fd);
	drain_listeners();
}

static void a_foreign_bind_is_reported_and_works(void **state)
{
	struct heard heard = {0};
	unsigned int port;
	int fd;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	port = add_other_pool();
	listen_to(&heard);
	alloc_set_guard(bed.alloc, FOREIGN_BIND_REPORT);
	fd = bind_to_port(SOCK_STREAM, port, 0);
	assert_true(fd >= 0);
	hear();
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.notices[0].kind, ALLOC_NOTICE_FOREIGN_BIND);
	assert_int_equal(heard.notices[0].port, port);
	assert_int_equal(heard.notices[0].pid, getpid());
	assert_int_equal(heard.notices[0].protocol, IPPROTO_TCP);
	assert_false(heard.notices[0].is_refused);
	close(fd);
}

static void a_foreign_bind_is_refused_with_EADDRINUSE(void **state)
{
	struct heard heard = {0};
	unsigned int port;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	port = add_other_pool();
	listen_to(&heard);
	alloc_set_guard(bed.alloc, FOREIGN_BIND_REFUSE);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(bind_to_port(i ? SOCK_DGRAM : SOCK_STREAM, port, 1),
				 -1);
		assert_int_equal(errno, EADDRINUSE);
	}
	hear();
	assert_int_equal(heard.count, 2);
	assert_true(heard.notices[1].is_refused);
	/* Its own pool, and ports of no pool, are none of the guard's business. */
	close(bind_to_port(SOCK_STREAM, bed.first, 0));
	close(bind_to_port(SOCK_STREAM, bed.first + 70, 0));
	hear();
	assert_int_equal(heard.count, 2);
}

static void a_foreign_bind_that_is_allowed_is_not_told(void **state)
{
	struct heard heard = {0};
	unsigned int port;
	int fd;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	port = add_other_pool();
	listen_to(&heard);
	alloc_set_guard(bed.alloc, FOREIGN_BIND_ALLOW);
	fd = bind_to_port(SOCK_STREAM, port, 0);
	assert_true(fd >= 0);
	close(fd);
	hear();
	assert_int_equal(heard.count, 0);
}

static int reuse_after_connect(int type)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int reuse = 1;
	socklen_t size = sizeof(reuse);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	assert_int_equal(
		connect(fd, (struct sockaddr *)&bed.servers[0], sizeof(bed.servers[0])),
		0);
	assert_true(is_in_pool(port_of(fd), 4));
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &size), 0);
	return reuse;
}

static void a_pool_that_never_shares_clears_SO_REUSEADDR(void **state)
{
	(void)state;
	use_pool(4, SHARING_NEVER, 0, false);
	assert_int_equal(reuse_after_connect(SOCK_STREAM), 0);
	drain_listeners();
}

static void udp_loses_SO_REUSEADDR_so_that_no_other_user_can_bind(void **state)
{
	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	assert_int_equal(reuse_after_connect(SOCK_DGRAM), 0);
}

static void a_socket_that_gets_no_port_of_ours_keeps_its_own_SO_REUSEADDR(void **state)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int held = bind_to_port(SOCK_STREAM, bed.first, 0), reuse = 1;
	socklen_t size = sizeof(reuse);
	struct pool pool;

	(void)state;
	pool = plain_pool(1);
	pool.exhausted = EXHAUSTED_KERNEL;
	use(&pool);
	assert_int_equal(
		connect(fd, (struct sockaddr *)&bed.servers[0], sizeof(bed.servers[0])),
		0);
	assert_false(is_in_pool(port_of(fd), 1));
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, &size), 0);
	assert_int_equal(reuse, 0);
	close(held);
	drain_listeners();
}

static void a_range_of_the_programs_own_is_left_to_it(void **state)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t range = 40999U << 16 | 40900;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	if (setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)))
		skip(); /* Linux 6.3 */
	assert_int_equal(
		connect(fd, (struct sockaddr *)&bed.servers[0], sizeof(bed.servers[0])),
		0);
	assert_in_range(port_of(fd), 40900, 40999);
	drain_listeners();
}

static void off_leaves_the_pick_to_the_kernel_and_on_takes_it_back(void **state)
{
	int fd;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	alloc_set_mode(bed.alloc, ALLOC_OFF);
	fd = connect_to(SOCK_STREAM, 0);
	assert_false(is_in_pool(port_of(fd), 4));
	close_all(&fd, 1);
	alloc_set_mode(bed.alloc, ALLOC_ON);
	fd = connect_to(SOCK_STREAM, 0);
	assert_true(is_in_pool(port_of(fd), 4));
	close_all(&fd, 1);
	drain_listeners();
}

static void a_dry_run_says_what_it_would_have_picked(void **state)
{
	struct heard heard = {0};
	int fd;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	listen_to(&heard);
	alloc_set_mode(bed.alloc, ALLOC_DRY_RUN);
	fd = connect_to(SOCK_STREAM, 1);
	assert_false(is_in_pool(port_of(fd), 4));
	hear();
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.notices[0].kind, ALLOC_NOTICE_WOULD_PICK);
	assert_true(is_in_pool(heard.notices[0].picked, 4));
	assert_int_equal(heard.notices[0].port, ntohs(bed.servers[1].sin_port));
	close_all(&fd, 1);
	drain_listeners();
}

static void a_refusal_is_told_with_its_reason(void **state)
{
	struct heard heard = {0};
	struct alloc_pool_count count;
	int fd;

	(void)state;
	use_pool(1, SHARING_NEVER, 0, false);
	listen_to(&heard);
	fd = connect_to(SOCK_STREAM, 0);
	assert_int_equal(connect_to(SOCK_STREAM, 1), -1);
	hear();
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.notices[0].kind, ALLOC_NOTICE_REFUSED);
	assert_int_equal(heard.notices[0].reason, ALLOC_REASON_FULL);
	assert_int_equal(alloc_pool_count(bed.alloc, bed.pool, &count), 0);
	assert_int_equal(count.count.refusals, 1);
	assert_int_equal(count.count.by_reason[ALLOC_REASON_FULL], 1);
	close_all(&fd, 1);
	drain_listeners();
}

static void with_quarantine_all_every_close_rests(void **state)
{
	struct pool pool;

	(void)state;
	pool = plain_pool(8);
	pool.quarantine_ns = HOUR_NS;
	pool.quarantine_all = true;
	pool.early_reuse = false;
	use(&pool);
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		bool seen[8] = {false};

		for (int i = 0; i < 8; i++) {
			int fd = connect_to(type, 0);
			unsigned int place = port_of(fd) - bed.first;

			assert_true(fd >= 0 && place < 8);
			assert_false(seen[place]);
			seen[place] = true;
			close_all(&fd, 1); /* by reset */
		}
		assert_int_equal(connect_to(type, 0), -1);
		drain_listeners();
	}
}

static void udp_shares_when_told_but_never_a_tuple(void **state)
{
	struct pool pool;
	int fds[SERVERS * 8];

	(void)state;
	pool = plain_pool(8);
	pool.udp_shares = true;
	use(&pool);
	for (int server = 0; server < SERVERS; server++) {
		bool seen[8] = {false};

		for (int i = 0; i < 8; i++) {
			int fd = connect_to(SOCK_DGRAM, server);
			unsigned int place = port_of(fd) - bed.first;

			assert_true(fd >= 0 && place < 8);
			assert_false(seen[place]);
			seen[place] = true;
			fds[server * 8 + i] = fd;
		}
		assert_int_equal(connect_to(SOCK_DGRAM, server), -1);
	}
	/* What would make a twin is refused: to where another on the port is. */
	assert_int_equal(connect(fds[0], (struct sockaddr *)&bed.servers[1],
				 sizeof(bed.servers[1])),
			 -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close_all(fds, SERVERS * 8);
}

static void a_quota_holds_one_user_back_and_no_other(void **state)
{
	struct pool pool;
	int mine[4], roots[4];

	(void)state;
	pool = plain_pool(32);
	pool.quota = 3;
	use(&pool);
	assert_int_equal(seteuid(65534), 0);
	for (int i = 0; i < 3; i++) {
		mine[i] = connect_to(SOCK_STREAM, 0);
		assert_true(mine[i] >= 0);
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(seteuid(0), 0);
	for (int i = 0; i < 4; i++) {
		roots[i] = connect_to(SOCK_STREAM, 0);
		assert_true(roots[i] >= 0);
	}
	/* A close makes room again. */
	close_all(mine, 1);
	assert_int_equal(seteuid(65534), 0);
	mine[0] = connect_to(SOCK_STREAM, 0);
	assert_true(mine[0] >= 0);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	assert_int_equal(seteuid(0), 0);
	close_all(mine, 3);
	close_all(roots, 4);
	drain_listeners();
}

/* 192.0.2.1 is no address of this host: the kernel refuses after the hook has drawn. */
static void a_bind_that_fails_gives_its_port_back(void **state)
{
	struct sockaddr_in nowhere = {.sin_family = AF_INET};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fds[8];

	(void)state;
	use_pool(8, SHARING_NEVER, 0, false);
	inet_pton(AF_INET, "192.0.2.1", &nowhere.sin_addr);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(bind(fd, (struct sockaddr *)&nowhere, sizeof(nowhere)),
				 -1);
		assert_int_equal(errno, EADDRNOTAVAIL);
	}
	close(TAKE_FD(fd));
	for (int i = 0; i < 8; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 8));
	}
	close_all(fds, 8);
	drain_listeners();
}

static void a_port_of_ours_that_listens_is_not_kept_out_for_an_hour(void **state)
{
	int fds[8];

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 40; i++) {
		struct sockaddr_in closed = bed.servers[0];
		CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		closed.sin_port = htons(9);
		assert_int_equal(
			connect(fd, (struct sockaddr *)&closed, sizeof(closed)), -1);
		listen(fd, 1);
	}
	for (int i = 0; i < 2; i++)
		alloc_tick(bed.alloc);
	for (int i = 0; i < 8; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 8));
	}
	close_all(fds, 8);
	drain_listeners();
}

/* What the kernel makes of "any" is no other program's doing: sharing goes on. */
static void connects_to_any_do_not_end_sharing(void **state)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6,
				      .sin6_port = bed.servers[0].sin_port};
	struct sockaddr_in any = {.sin_family = AF_INET,
				  .sin_port = bed.servers[0].sin_port};
	struct sockaddr_in source = {.sin_family = AF_INET};
	int fds[3], one = 1;

	(void)state;
	use_pool(1, SHARING_WHEN_FULL, 0, false);
	inet_pton(AF_INET6, "::ffff:0.0.0.0", &mapped.sin6_addr);
	fds[0] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&mapped, sizeof(mapped)),
			 0);
	fds[1] = connect_to(SOCK_STREAM, 1);
	assert_true(fds[1] >= 0);
	/* From 127.0.0.2 "any" is 127.0.0.2, where nobody listens. */
	inet_pton(AF_INET, "127.0.0.2", &source.sin_addr);
	fds[2] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fds[2], IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one,
		   sizeof(one));
	assert_int_equal(bind(fds[2], (struct sockaddr *)&source, sizeof(source)), 0);
	assert_int_equal(connect(fds[2], (struct sockaddr *)&any, sizeof(any)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fds[2]);
	fds[2] = connect_to(SOCK_STREAM, 2);
	assert_true(fds[2] >= 0);
	assert_int_equal(port_of(fds[2]), port_of(fds[0]));
	close_all(fds, 3);
	drain_listeners();
}

static void a_dry_run_refuses_no_bind(void **state)
{
	unsigned int port;
	int fd;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	port = add_other_pool();
	alloc_set_guard(bed.alloc, FOREIGN_BIND_REFUSE);
	alloc_set_mode(bed.alloc, ALLOC_DRY_RUN);
	fd = bind_to_port(SOCK_STREAM, port, 1);
	assert_true(fd >= 0);
	close(fd);
}

static void quarantine_all_holds_after_a_reset_where_nothing_is_shared(void **state)
{
	struct pool pool = plain_pool(2);

	(void)state;
	pool.quarantine_ns = HOUR_NS;
	pool.quarantine_all = true;
	pool.sharing = SHARING_NEVER;
	use(&pool);
	for (int i = 0; i < 2; i++) {
		int fd = connect_to(SOCK_STREAM, 0);

		assert_true(fd >= 0);
		close_all(&fd, 1);
	}
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	drain_listeners();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tcp_port_that_the_program_bound_is_not_given),
		TEST(a_udp_port_that_the_program_bound_is_not_given),
		TEST(a_listeners_port_is_not_given_nor_after_it_closed),
		TEST(the_port_of_a_listener_elsewhere_is_not_given),
		TEST(nobody_joins_a_port_that_is_given_out),
		TEST(a_foreign_bind_is_reported_and_works),
		TEST(a_foreign_bind_is_refused_with_EADDRINUSE),
		TEST(a_foreign_bind_that_is_allowed_is_not_told),
		TEST(a_pool_that_never_shares_clears_SO_REUSEADDR),
		TEST(udp_loses_SO_REUSEADDR_so_that_no_other_user_can_bind),
		TEST(a_socket_that_gets_no_port_of_ours_keeps_its_own_SO_REUSEADDR),
		TEST(a_range_of_the_programs_own_is_left_to_it),
		TEST(off_leaves_the_pick_to_the_kernel_and_on_takes_it_back),
		TEST(a_dry_run_says_what_it_would_have_picked),
		TEST(a_refusal_is_told_with_its_reason),
		TEST(with_quarantine_all_every_close_rests),
		TEST(udp_shares_when_told_but_never_a_tuple),
		TEST(a_quota_holds_one_user_back_and_no_other),
		TEST(a_bind_that_fails_gives_its_port_back),
		TEST(a_port_of_ours_that_listens_is_not_kept_out_for_an_hour),
		TEST(connects_to_any_do_not_end_sharing),
		TEST(a_dry_run_refuses_no_bind),
		TEST(quarantine_all_holds_after_a_reset_where_nothing_is_shared),
	};

	return RUN_IN_BED(tests);
}
