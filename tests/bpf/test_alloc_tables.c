/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The allocator's tables: sockets bound to addresses, what is counted for whom, and
 * every table at its ceiling. A table is filled from outside, through the
 * descriptor of its map, so that no test needs a hundred thousand sockets.
 */
#include "alloc_bed.h"

#include <sys/wait.h>

#include <bpf/bpf.h>

#define NOBODY	   65534
#define MEMORY_MAX (24 << 20)

/* ---- helpers ---- */

/* The map of this name among our own descriptors: other allocators run on the machine.
 */
static int map_find(const char *name)
{
	struct bpf_map_info info;

	for (int fd = 3; fd < 200; fd++) {
		uint32_t size = sizeof(info);

		memset(&info, 0, sizeof(info));
		if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.max_entries &&
		    strcmp(info.name, name) == 0)
			return fd;
	}
	fail_msg("no map %s", name);
	return -1;
}

/* A connection to server i from this address of loopback (0: not bound), or -1. */
static int connect_from(uint32_t source, int i)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct sockaddr_in mine = {.sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(source)};
	const int late = 1;

	if (source) {
		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
					    &late, sizeof(late)),
				 0);
		assert_int_equal(bind(fd, (const struct sockaddr *)&mine, sizeof(mine)),
				 0);
	}
	if (connect(fd, (struct sockaddr *)&bed.servers[i], sizeof(bed.servers[i])))
		return -1;
	return TAKE_FD(fd);
}

#define SOURCE_A 0x7f000202
#define SOURCE_B 0x7f000203

/* Open count sessions from there, each on a port of its own of the first 8. */
static void fill_from(uint32_t source, int *fds, int count)
{
	unsigned int seen = 0;

	for (int i = 0; i < count; i++) {
		fds[i] = connect_from(source, 0);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 8));
		assert_int_equal(seen >> (port_of(fds[i]) - bed.first) & 1, 0);
		seen |= 1U << (port_of(fds[i]) - bed.first);
	}
}

static struct alloc_count counted(void)
{
	struct alloc_count count;

	alloc_count(bed.alloc, &count);
	return count;
}

/* In a child that is not root: what does it return? */
static int as_nobody(int (*task)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(setgid(NOBODY) || setuid(NOBODY) ? 99 : task());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

/* ---- several local addresses ---- */

static void each_of_two_sources_gets_every_port_and_an_unbound_socket_none(void **state)
{
	int a[8], b[8];

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, 0, false);
	fill_from(SOURCE_A, a, 8);
	fill_from(SOURCE_B, b, 8);
	assert_int_equal(connect_from(SOURCE_A, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(connect_from(0, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	/* To another destination the ports are as open as ever. */
	a[0] = (close_all(a, 8), connect_from(0, 1));
	assert_true(is_in_pool(port_of(a[0]), 8));
	close_all(a, 1);
	close_all(b, 8);
	drain_listeners();
}

static void a_bound_socket_gets_no_tuple_that_an_unbound_one_has(void **state)
{
	int unbound[8], bound;

	(void)state;
	use_pool(8, SHARING_ALWAYS, 0, false);
	fill_from(0, unbound, 7);
	bound = connect_from(SOURCE_A, 0);
	for (int i = 0; i < 7; i++)
		assert_int_not_equal(port_of(bound), port_of(unbound[i]));
	assert_int_equal(connect_from(SOURCE_A, 0), -1);
	assert_int_equal(connect_from(0, 0), -1);
	close_all(unbound, 7);
	close_all(&bound, 1);
	drain_listeners();
}

static void a_v4_mapped_socket_has_no_tuple_of_an_ipv4_one_at_its_address(void **state)
{
	struct sockaddr_in6 mine = {.sin6_family = AF_INET6}, to = mine;
	const int late = 1;
	int fds[4], mapped;

	(void)state;
	use_pool(5, SHARING_ALWAYS, 0, false);
	fill_from(SOURCE_A, fds, 4);
	inet_pton(AF_INET6, "::ffff:127.0.2.2", &mine.sin6_addr);
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
	to.sin6_port = bed.servers[0].sin_port;
	for (int i = 0; i < 2; i++) {
		mapped = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(mapped, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &late,
			   sizeof(late));
		assert_int_equal(bind(mapped, (struct sockaddr *)&mine, sizeof(mine)),
				 0);
		/* The first takes the fifth port, the second finds none. */
		assert_int_equal(connect(mapped, (struct sockaddr *)&to, sizeof(to)),
				 -i);
		for (int k = 0; !i && k < 4; k++)
			assert_int_not_equal(port_of(mapped), port_of(fds[k]));
	}
	assert_int_equal(errno, EADDRNOTAVAIL);
	drain_listeners();
}

/* Who holds which tuple, by what was really connected. */
struct holding {
	int fd;
	uint32_t source;
	int server;
};

static bool exclude(const struct holding *a, const struct holding *b)
{
	return port_of(a->fd) == port_of(b->fd) && a->server == b->server &&
	       (a->source == b->source || !a->source || !b->source);
}

static void no_mix_of_sources_gives_a_tuple_twice_or_loses_one(void **state)
{
	static const uint32_t sources[] = {0, SOURCE_A, SOURCE_B};
	struct holding held[64];
	int count = 0, opened = 0, all[8];
	unsigned int seed = 12345;

	(void)state;
	use_pool(8, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 3000; i++) {
		struct holding new = {.source = sources[rand_r(&seed) % 3],
				      .server = rand_r(&seed) % 2};
		int which = count ? rand_r(&seed) % count : 0;

		if (count == 64 || (count && rand_r(&seed) % 5 < 2)) {
			close_all(&held[which].fd, 1);
			held[which] = held[--count];
			continue;
		}
		new.fd = connect_from(new.source, new.server);
		if (new.fd < 0)
			continue;
		assert_true(is_in_pool(port_of(new.fd), 8));
		for (int k = 0; k < count; k++)
			assert_false(exclude(&new, &held[k]));
		held[count++] = new;
		opened++;
		if (i % 100 == 0)
			drain_listeners();
	}
	assert_true(opened > 500);
	while (count)
		close_all(&held[--count].fd, 1);
	drain_listeners();
	/* A map of a destination may lag behind for a second. */
	poll(NULL, 0, 1100);
	for (int i = 0; i < 3; i++) {
		fill_from(sources[i], all, 8);
		close_all(all, 8);
	}
	drain_listeners();
}

static void what_a_bound_socket_left_rests_from_unbound_ones_too(void **state)
{
	CLEANUP_CLOSE int server = -1;
	int fd;

	(void)state;
	use_pool(1, SHARING_WHEN_FULL, HOUR_NS, false);
	fd = connect_from(SOURCE_A, 0);
	server = accept4(bed.listeners[0], NULL, NULL, SOCK_CLOEXEC);
	close(fd);
	close(TAKE_FD(server));
	assert_int_equal(connect_from(SOURCE_A, 0), -1);
	assert_int_equal(connect_from(0, 0), -1);
	fd = connect_from(SOURCE_B, 0);
	assert_int_equal(port_of(fd), bed.first);
	close_all(&fd, 1);
	drain_listeners();
}

/* ---- UDP ---- */

static void udp_shares_to_different_destinations_where_the_pool_says_so(void **state)
{
	struct pool pool = plain_pool(4);
	int fds[8];

	(void)state;
	pool.udp_shares = true;
	use(&pool);
	for (int i = 0; i < 8; i++) {
		fds[i] = connect_to(SOCK_DGRAM, i % 2);
		assert_true(fds[i] >= 0);
		assert_true(is_in_pool(port_of(fds[i]), 4));
		for (int k = i & 1; k < i; k += 2)
			assert_int_not_equal(port_of(fds[i]), port_of(fds[k]));
	}
	assert_int_equal(connect_to(SOCK_DGRAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close(fds[0]);
	fds[0] = connect_to(SOCK_DGRAM, 0);
	assert_true(fds[0] >= 0);
	close_all(fds, 8);
}

static void with_quarantine_all_a_udp_tuple_rests_after_its_close(void **state)
{
	struct pool pool = plain_pool(4);

	(void)state;
	pool.quarantine_all = true;
	pool.quarantine_ns = HOUR_NS;
	use(&pool);
	for (int i = 0; i < 4; i++)
		close(connect_to(SOCK_DGRAM, 0));
	assert_int_equal(connect_to(SOCK_DGRAM, 0), -1);
	assert_int_equal(errno, EADDRNOTAVAIL);
	close(connect_to(SOCK_DGRAM, 1));
}

/* ---- what is set aside ---- */

static void a_reserved_port_is_not_given_until_it_is_reserved_no_more(void **state)
{
	struct port_set reserved = {{0}}, none = {{0}};
	int fds[2];

	(void)state;
	port_set_add(&reserved, bed.first, bed.first);
	use_pool(2, SHARING_WHEN_FULL, 0, false);
	alloc_set_reserved(bed.alloc, &reserved);
	for (int i = 0; i < 10; i++)
		alloc_tick(bed.alloc);
	fds[0] = connect_to(SOCK_STREAM, 0);
	assert_int_equal(port_of(fds[0]), bed.first + 1);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
	alloc_set_reserved(bed.alloc, &none);
	alloc_tick(bed.alloc);
	fds[1] = connect_to(SOCK_STREAM, 0);
	assert_int_equal(port_of(fds[1]), bed.first);
	close_all(fds, 2);
	drain_listeners();
}

/* ---- users ---- */

static int open_ten(void)
{
	for (int i = 0; i < 10; i++)
		if (connect_to(SOCK_DGRAM, 0) < 0)
			return 1;
	return 0;
}

/* The leases that all users but root hold, as the table has it. */
static int held_by_users(void)
{
	int users = map_find("users");
	uint32_t user[8];
	int held = 0;

	for (uint32_t number = 0; number < 4096; number++) {
		assert_int_equal(bpf_map_lookup_elem(users, &number, user), 0);
		held += user[1];
	}
	return held;
}

/* As if closes had not been counted. */
static void leak_from_users(uint32_t count)
{
	int users = map_find("users");
	uint32_t user[8];

	for (uint32_t number = 0; number < 4096; number++) {
		assert_int_equal(bpf_map_lookup_elem(users, &number, user), 0);
		if (!user[1])
			continue;
		user[1] += count;
		assert_int_equal(bpf_map_update_elem(users, &number, user, BPF_ANY), 0);
		return;
	}
	fail_msg("no user holds anything");
}

static void the_leases_of_a_user_are_counted_until_they_end(void **state)
{
	int fds[3], pipe_fds[2], status;
	pid_t pid;
	char byte;

	(void)state;
	use_pool(20, SHARING_WHEN_FULL, 0, false);
	for (int i = 0; i < 3; i++)
		fds[i] = connect_to(SOCK_DGRAM, 0);
	assert_int_equal(held_by_users(), 0); /* root's are not counted */
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (!pid) {
		if (setgid(NOBODY) || setuid(NOBODY) || open_ten())
			_exit(1);
		_exit(write(pipe_fds[1], "x", 1) == 1 ? (pause(), 0) : 1);
	}
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	assert_int_equal(held_by_users(), 10);
	leak_from_users(5);
	for (int i = 0; i < 30; i++)
		alloc_tick(bed.alloc);
	assert_int_equal(held_by_users(), 10);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_int_equal(held_by_users(), 0);
	close_all(fds, 3);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static int connect_past_the_pool(void)
{
	int fd = connect_to(SOCK_DGRAM, 0);

	return fd >= 0 && !is_in_pool(port_of(fd), 4) ? 0 : 1;
}

static void a_full_table_of_users_leaves_root_alone(void **state)
{
	const struct pool pool = plain_pool(4);
	uint32_t number;
	int fd, numbers;

	(void)state;
	attach_pool(&pool);
	numbers = map_find("free_users");
	while (!bpf_map_lookup_and_delete_elem(numbers, NULL, &number))
		;
	/* Nothing is made for a user who cannot be counted. */
	assert_int_equal(as_nobody(connect_past_the_pool), 0);
	assert_int_equal(counted().table_full, 1);
	fd = connect_to(SOCK_DGRAM, 0);
	assert_true(is_in_pool(port_of(fd), 4));
	close(fd);
}

static int connect_tcp_past_the_pool(void)
{
	int fd = connect_to(SOCK_STREAM, 0);

	return fd >= 0 && !is_in_pool(port_of(fd), 4) ? 0 : 1;
}

static int connect_in_the_pool(void)
{
	return is_in_pool(port_of(connect_to(SOCK_DGRAM, 0)), 4) ? 0 : 1;
}

/* As if all spaces that one user may have were made for those that have one. */
static void give_users_spaces(uint32_t count)
{
	int users = map_find("users");
	uint32_t user[8];

	for (uint32_t number = 0; number < 4096; number++) {
		assert_int_equal(bpf_map_lookup_elem(users, &number, user), 0);
		if (!user[4])
			continue;
		user[4] = count;
		assert_int_equal(bpf_map_update_elem(users, &number, user, BPF_ANY), 0);
	}
}

static void a_user_with_a_quarter_of_all_spaces_gets_no_more_but_root_does(void **state)
{
	const struct pool pool = plain_pool(4);
	int fd;

	(void)state;
	attach_pool(&pool);
	assert_int_equal(as_nobody(connect_in_the_pool), 0);
	give_users_spaces(128);
	assert_int_equal(as_nobody(connect_tcp_past_the_pool), 0);
	assert_int_equal(counted().table_full, 1);
	assert_int_equal(as_nobody(connect_in_the_pool), 0);
	fd = connect_to(SOCK_STREAM, 0);
	assert_true(is_in_pool(port_of(fd), 4));
	close_all(&fd, 1);
	drain_listeners();
}

/* ---- ceilings ---- */

static void a_full_table_of_sharers_leaves_the_pick_to_the_kernel(void **state)
{
	uint64_t words[8];
	int fds[5], limbo;

	(void)state;
	use_pool(4, SHARING_WHEN_FULL, 0, false);
	limbo = map_find("limbo");
	memset(words, 0xff, sizeof(words));
	for (uint32_t bucket = 0; bucket < 32768; bucket++)
		assert_int_equal(bpf_map_update_elem(limbo, &bucket, words, BPF_ANY),
				 0);
	/* A port that nobody uses needs no place in it. */
	for (int i = 0; i < 4; i++) {
		fds[i] = connect_to(SOCK_STREAM, 0);
		assert_true(is_in_pool(port_of(fds[i]), 4));
	}
	fds[4] = connect_to(SOCK_STREAM, 1);
	assert_true(fds[4] >= 0);
	assert_false(is_in_pool(port_of(fds[4]), 4));
	assert_int_equal(counted().table_full, 1);
	assert_int_equal(counted().fallbacks, 1);
	assert_int_equal(counted().by_reason[ALLOC_REASON_TABLE], 1);
	close_all(fds, 5);
	drain_listeners();
}

static void
without_record_blocks_in_stock_the_kernel_picks_until_the_next_tick(void **state)
{
	struct pool pool = plain_pool(1);
	int fd;

	(void)state;
	port_set_add(&pool.ports, 1024, 65535);
	attach_pool(&pool);
	/* 63 blocks of 1,024 ports for each protocol, and 64 in stock. */
	close(connect_to(SOCK_STREAM, 0));
	assert_int_equal(counted().picks, 1);
	fd = connect_to(SOCK_DGRAM, 0);
	assert_true(fd >= 0);
	assert_int_equal(counted().picks, 1);
	assert_int_equal(counted().table_full, 1);
	close(fd);
	alloc_tick(bed.alloc);
	close(connect_to(SOCK_DGRAM, 0));
	assert_int_equal(counted().picks, 2);
	drain_listeners();
}

/* As struct rest_ring of alloc_maps.bpf.h. */
struct ring {
	uint64_t lock;
	uint64_t head;
	uint64_t tail;
	struct {
		uint32_t destination;
		uint32_t until_ms;
		uint32_t rest[4];
	} rests[131072];
};

static void a_full_ring_cuts_the_oldest_rest_short_and_counts_it(void **state)
{
	CLEANUP_FREE struct ring *ring = calloc(1, sizeof(*ring));
	uint32_t zero = 0;
	unsigned int port;
	int map;

	(void)state;
	use_pool(2, SHARING_WHEN_FULL, HOUR_NS, false);
	map = map_find("ring");
	assert_int_equal(bpf_map_lookup_elem(map, &zero, ring), 0);
	ring->tail = ring->head + 131072;
	for (int i = 0; i < 131072; i++)
		ring->rests[i].until_ms = UINT32_MAX / 2;
	assert_int_equal(bpf_map_update_elem(map, &zero, ring, BPF_ANY), 0);
	port = connect_and_close(0);
	assert_int_equal(counted().rests_cut_short, 1);
	assert_int_equal(counted().rests, 1);
	assert_int_not_equal(connect_and_close(0), port);
	assert_int_equal(connect_to(SOCK_STREAM, 0), -1);
}

/* ---- memory ---- */

static uint64_t stated_memory(void)
{
	struct bpf_map_info info;
	char path[64], line[256];
	uint64_t sum = 0;

	for (int fd = 3; fd < 200; fd++) {
		unsigned long bytes, is_map = 0;
		uint32_t size = sizeof(info);
		FILE *file;

		if (bpf_obj_get_info_by_fd(fd, &info, &size))
			continue;
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file)) {
			is_map |= !strncmp(line, "map_type", 8);
			if (is_map && sscanf(line, "memlock: %lu", &bytes) == 1)
				sum += bytes;
		}
		if (file)
			fclose(file);
	}
	return sum;
}

static void a_pool_of_16384_ports_takes_16_bytes_each_and_all_under_24_mib(void **state)
{
	struct pool pool = plain_pool(1);
	struct alloc_memory memory;

	(void)state;
	memset(&pool.ports, 0, sizeof(pool.ports));
	port_set_add(&pool.ports, 49152, 65535);
	use(&pool);
	alloc_memory(bed.alloc, &memory);
	assert_int_equal(memory.per_port, 16);
	assert_int_equal(memory.records, 2 * 16384 * 16);
	assert_true(memory.total >= stated_memory() + memory.records);
	assert_true(memory.total < MEMORY_MAX);
	printf("# all tables %lu bytes; a shared tuple %lu, a resting one %lu\n",
	       (unsigned long)memory.total, (unsigned long)memory.per_shared,
	       (unsigned long)memory.per_resting);
}

static struct alloc_outlook outlook_of(int server)
{
	struct address to = {.bytes = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	struct alloc_outlook outlook;
	uint64_t netns;
	socklen_t size = sizeof(netns);

	assert_int_equal(getsockopt(bed.listeners[0], SOL_SOCKET, SO_NETNS_COOKIE,
				    &netns, &size),
			 0);
	assert_int_equal(alloc_outlook(bed.alloc, bed.pool, netns, IPPROTO_TCP, &to,
				       ntohs(bed.servers[server].sin_port), &outlook),
			 0);
	return outlook;
}

static void the_outlook_tells_what_each_destination_would_meet(void **state)
{
	struct sockaddr_in mine = {.sin_family = AF_INET,
				   .sin_port = htons(bed.first + 5)};
	CLEANUP_CLOSE int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct alloc_outlook to_0, to_1;
	int fds[6];

	(void)state;
	assert_int_equal(bind(holder, (struct sockaddr *)&mine, sizeof(mine)), 0);
	assert_int_equal(listen(holder, 1), 0);
	use_pool(8, SHARING_WHEN_FULL, HOUR_NS, false);
	for (int i = 0; i < 4; i++)
		fds[i] = connect_to(SOCK_STREAM, 0);
	drain_listeners();
	connect_and_close(0);
	fds[4] = connect_from(SOURCE_A, 1);
	to_0 = outlook_of(0);
	to_1 = outlook_of(1);
	assert_int_equal(to_0.aside, 1);
	assert_int_equal(to_1.aside, 1);
	assert_int_equal(to_0.taken, 4);
	assert_int_equal(to_0.unused + to_0.shared + to_0.resting, 3);
	assert_int_equal(to_0.resting, 1);
	assert_int_equal(to_1.taken, 1);
	assert_int_equal(to_1.shared, 4);
	assert_int_equal(to_1.resting, 0);
	assert_int_equal(to_1.unused, 2);
	close_all(fds, 5);
	drain_listeners();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_of_two_sources_gets_every_port_and_an_unbound_socket_none),
		TEST(a_bound_socket_gets_no_tuple_that_an_unbound_one_has),
		TEST(a_v4_mapped_socket_has_no_tuple_of_an_ipv4_one_at_its_address),
		TEST(no_mix_of_sources_gives_a_tuple_twice_or_loses_one),
		TEST(what_a_bound_socket_left_rests_from_unbound_ones_too),
		TEST(udp_shares_to_different_destinations_where_the_pool_says_so),
		TEST(with_quarantine_all_a_udp_tuple_rests_after_its_close),
		TEST(a_reserved_port_is_not_given_until_it_is_reserved_no_more),
		TEST(the_leases_of_a_user_are_counted_until_they_end),
		TEST(a_full_table_of_users_leaves_root_alone),
		TEST(a_user_with_a_quarter_of_all_spaces_gets_no_more_but_root_does),
		TEST(a_full_table_of_sharers_leaves_the_pick_to_the_kernel),
		TEST(without_record_blocks_in_stock_the_kernel_picks_until_the_next_tick),
		TEST(a_full_ring_cuts_the_oldest_rest_short_and_counts_it),
		TEST(a_pool_of_16384_ports_takes_16_bytes_each_and_all_under_24_mib),
		TEST(the_outlook_tells_what_each_destination_would_meet),
	};

	return RUN_IN_BED(tests);
}
