/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Real connections on the loopback of a network namespace of our own, and a program run
 * again: each event is compared with what the sockets and the process say of
 * themselves.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "recorder.h"

#define SELF_ARG "--exec-me"

static bool is_established(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_ESTABLISHED &&
	       event->established.cookie == cookie;
}

static bool is_fork_of(const union event *event, uint64_t pid)
{
	return event->head.kind == EVENT_FORK && event->fork.child_pid == pid;
}

static bool is_exec_of(const union event *event, uint64_t pid)
{
	return event->head.kind == EVENT_EXEC && event->exec.pid == pid;
}

static bool is_exit_of(const union event *event, uint64_t pid)
{
	return event->head.kind == EVENT_EXIT && event->exit.pid == pid;
}

/* Both ends of a connection, and the listener. */
struct pair {
	int listener;
	int client;
	int server;
	uint64_t cookie; /* the client's */
	uint16_t sport;
	uint16_t dport;
};

static void pair_release(struct pair *pair)
{
	close(pair->listener);
	if (pair->client >= 0)
		close(pair->client);
	if (pair->server >= 0)
		close(pair->server);
}

static int listen_any(void)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void pair_connect(struct pair *pair, const void *to, socklen_t size)
{
	assert_int_equal(connect(pair->client, to, size), 0);
	pair->server = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair->server >= 0);
	pair->cookie = cookie_of(pair->client);
	pair->sport = port_of(pair->client);
}

static void pair_open_v4(struct pair *pair)
{
	struct sockaddr_in to;

	pair->listener = listen_any();
	pair->dport = port_of(pair->listener);
	pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to = loopback_v4(pair->dport);
	pair_connect(pair, &to, sizeof(to));
}

static void pair_open_v6(struct pair *pair, const char *text)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6};

	pair->listener = listen_any();
	pair->dport = port_of(pair->listener);
	pair->client = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to.sin6_port = htons(pair->dport);
	inet_pton(AF_INET6, text, &to.sin6_addr);
	pair_connect(pair, &to, sizeof(to));
}

static void move(int from, int to, size_t count)
{
	char buf[4096] = {};
	size_t moved = 0;

	assert_int_equal(send(from, buf, count, 0), count);
	while (moved < count) {
		ssize_t length = recv(to, buf, sizeof(buf), 0);

		assert_true(length > 0);
		moved += length;
	}
}

static void close_now(int *fd)
{
	close(*fd);
	*fd = -1;
}

static void abort_now(int *fd)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close_now(fd);
}

static bool is_seconds_after(uint64_t moment_ns, uint64_t than_ns, int seconds)
{
	int64_t off_ns = moment_ns - than_ns - seconds * INT64_C(1000000000);

	return off_ns >= 0 && off_ns < INT64_C(5000000000);
}

static void a_connect_is_told_with_its_owner_and_tuple(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	event = await(recorder, is_open, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.protocol, IPPROTO_TCP);
	assert_int_equal(event->head.picked_by, EVENT_PICKED_KERNEL);
	assert_int_equal(event->head.pool, 0);
	assert_int_equal(event->open.pid, getpid());
	assert_int_equal(event->open.uid, geteuid());
	assert_int_equal(event->open.netns, netns_of(pair.client));
	assert_true(event->open.cgroup != 0);
	assert_true(event->open.pid_start_ns < event->head.time_ns);
	assert_string_equal((const char *)event->open.comm, "test_collect");
	assert_true(is_address(event->open.src, "127.0.0.1"));
	assert_true(is_address(event->open.dst, "127.0.0.1"));
	assert_int_equal(event->open.dport, pair.dport);
}

static void a_port_the_kernel_drew_is_told_when_established(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	event = await(recorder, is_established, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->established.sport, pair.sport);
	assert_true(is_address(event->established.src, "127.0.0.1"));
}

static void a_port_the_program_bound_is_told_at_once(void **state)
{
	CLEANUP(pair_release) struct pair pair = {.server = -1};
	struct sockaddr_in from = loopback_v4(51423), to;
	struct recorder *recorder = *state;
	const union event *event;

	pair.listener = listen_any();
	to = loopback_v4(port_of(pair.listener));
	pair.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(pair.client, (struct sockaddr *)&from, sizeof(from)), 0);
	pair_connect(&pair, &to, sizeof(to));
	event = await(recorder, is_open, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.picked_by, EVENT_PICKED_PROGRAM);
	assert_int_equal(event->open.sport, 51423);
	abort_now(&pair.client);
}

static void ipv6_and_v4_mapped_addresses_are_kept(void **state)
{
	static const char *const texts[] = {"::1", "::ffff:127.0.0.1"};
	struct recorder *recorder = *state;

	for (int i = 0; i < 2; i++) {
		CLEANUP(pair_release) struct pair pair;
		const union event *event;

		pair_open_v6(&pair, texts[i]);
		event = await(recorder, is_open, pair.cookie);
		assert_non_null(event);
		assert_true(is_address(event->open.src, texts[i]));
		assert_true(is_address(event->open.dst, texts[i]));
		event = await(recorder, is_established, pair.cookie);
		assert_non_null(event);
		assert_true(is_address(event->established.src, texts[i]));
		close_now(&pair.client);
		close_now(&pair.server);
		event = await(recorder, is_close, pair.cookie);
		assert_non_null(event);
		assert_true(is_address(event->close.src, texts[i]));
		assert_int_equal(event->close.sport, pair.sport);
	}
}

static void bytes_of_a_client_that_closes_first_are_exact(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	move(pair.client, pair.server, 1000);
	move(pair.server, pair.client, 51);
	shutdown(pair.client, SHUT_WR);
	close_now(&pair.server);
	close_now(&pair.client);
	event = await(recorder, is_close, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->close.tx_bytes, 1000);
	assert_int_equal(event->close.rx_bytes, 51);
	assert_int_equal(event->close.sport, pair.sport);
	assert_int_equal(event->head.end_reason, EVENT_END_FIN);
	assert_true(
		is_seconds_after(event->close.port_free_ns, event->head.time_ns, 60));
}

static void
bytes_of_a_client_that_closes_last_are_exact_and_its_port_is_free(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	move(pair.client, pair.server, 7);
	move(pair.server, pair.client, 4096);
	close_now(&pair.server);
	close_now(&pair.client);
	event = await(recorder, is_close, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->close.tx_bytes, 7);
	assert_int_equal(event->close.rx_bytes, 4096);
	assert_int_equal(event->head.end_reason, EVENT_END_FIN);
	assert_int_equal(event->close.port_free_ns, 0);
}

static void a_session_without_a_byte_counts_none(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	close_now(&pair.server);
	close_now(&pair.client);
	event = await(recorder, is_close, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->close.tx_bytes, 0);
	assert_int_equal(event->close.rx_bytes, 0);
}

static void a_peer_that_keeps_its_side_open_holds_the_port_up_to_120_s(void **state)
{
	CLEANUP(pair_release) struct pair pair;
	struct recorder *recorder = *state;
	const union event *event;

	pair_open_v4(&pair);
	close_now(&pair.client);
	event = await(recorder, is_close, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.end_reason, EVENT_END_FIN);
	assert_true(
		is_seconds_after(event->close.port_free_ns, event->head.time_ns, 120));
}

static void an_abort_on_either_side_is_a_reset_and_frees_the_port(void **state)
{
	struct recorder *recorder = *state;

	for (int ours = 0; ours < 2; ours++) {
		CLEANUP(pair_release) struct pair pair;
		const union event *event;

		pair_open_v4(&pair);
		move(pair.client, pair.server, 12);
		abort_now(ours ? &pair.client : &pair.server);
		event = await(recorder, is_close, pair.cookie);
		assert_non_null(event);
		assert_int_equal(event->head.end_reason, EVENT_END_RESET);
		assert_int_equal(event->close.port_free_ns, 0);
		assert_int_equal(event->close.tx_bytes, 12);
	}
}

static void a_refused_connect_is_told_as_refused_with_its_port(void **state)
{
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = loopback_v4(51424), to = loopback_v4(1);
	struct recorder *recorder = *state;
	const union event *event;

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	event = await(recorder, is_close, cookie_of(fd));
	assert_non_null(event);
	assert_int_equal(event->head.end_reason, EVENT_END_REFUSED);
	assert_int_equal(event->close.sport, 51424);
	assert_int_equal(event->close.tx_bytes, 0);
	assert_int_equal(event->close.port_free_ns, 0);
}

static void give_verdict(struct recorder *recorder, int fd)
{
	struct verdict verdict = {
		.cookie = cookie_of(fd), .pool = 3, .picked_by = EVENT_PICKED_SRCPORT};
	uint32_t slot = syscall(SYS_gettid) & (VERDICT_SLOTS - 1);

	assert_int_equal(
		bpf_map_update_elem(recorder->verdict_fd, &slot, &verdict, BPF_ANY), 0);
}

static void the_verdict_for_this_very_socket_names_the_pool(void **state)
{
	CLEANUP(pair_release) struct pair pair = {.server = -1};
	struct recorder *recorder = *state;
	const union event *event;
	struct sockaddr_in to;

	pair.listener = listen_any();
	to = loopback_v4(port_of(pair.listener));
	pair.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	give_verdict(recorder, pair.client);
	pair_connect(&pair, &to, sizeof(to));
	event = await(recorder, is_open, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.picked_by, EVENT_PICKED_SRCPORT);
	assert_int_equal(event->head.pool, 3);
}

static void managed_only_tells_nothing_of_sockets_without_a_verdict(void **state)
{
	CLEANUP(pair_release)
	struct pair plain = {.server = -1}, managed = {.server = -1};
	struct recorder *outer = *state;
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	struct collect_options options = {.verdict_map_fd = outer->verdict_fd,
					  .managed_only = true,
					  .ring_bytes = 1 << 18};
	struct sockaddr_in to;

	assert_int_equal(
		collect_open(&options, record, recorder, &recorder->collect, NULL), 0);
	recorder->verdict_fd = outer->verdict_fd;
	pair_open_v4(&plain);
	managed.listener = listen_any();
	managed.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	to = loopback_v4(port_of(managed.listener));
	give_verdict(recorder, managed.client);
	pair_connect(&managed, &to, sizeof(to));
	abort_now(&plain.client);
	abort_now(&managed.client);
	assert_non_null(await(recorder, is_close, managed.cookie));
	for (int i = 0; i < recorder->count; i++) {
		assert_false(is_open(&recorder->events[i], plain.cookie));
		assert_false(is_close(&recorder->events[i], plain.cookie));
	}
	collect_close(recorder->collect);
	free(recorder);
}

static void a_full_ring_counts_what_it_lost(void **state)
{
	struct collect_options options = {.verdict_map_fd = -1, .ring_bytes = 4096};
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	(void)state;
	assert_int_equal(
		collect_open(&options, record, recorder, &recorder->collect, NULL), 0);
	assert_int_equal(lost_by(recorder), 0);
	for (int i = 0; i < 100; i++) {
		CLEANUP(pair_release) struct pair pair;

		pair_open_v4(&pair);
	}
	assert_true(lost_by(recorder) >= 100);
	collect_close(recorder->collect);
	free(recorder);
}

static void a_quarter_full_ring_wakes_the_reader(void **state)
{
	struct collect_options options = {.verdict_map_fd = -1, .ring_bytes = 1 << 16};
	struct recorder *recorder = calloc(1, sizeof(*recorder));
	struct pollfd ready = {.events = POLLIN};

	(void)state;
	assert_int_equal(
		collect_open(&options, record, recorder, &recorder->collect, NULL), 0);
	ready.fd = collect_fd(recorder->collect);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++) {
			CLEANUP(pair_release) struct pair pair;

			pair_open_v4(&pair);
		}
		assert_int_equal(poll(&ready, 1, 1000), 1);
		assert_true(collect_poll(recorder->collect) > 100);
	}
	assert_int_equal(lost_by(recorder), 0);
	collect_close(recorder->collect);
	free(recorder);
}

static void a_program_shorter_than_a_poll_is_named_right(void **state)
{
	struct recorder *recorder = *state;
	const union event *event;
	struct stat is;
	char self[PATH_MAX];
	ssize_t length;
	int status;
	pid_t pid;

	length = readlink("/proc/self/exe", self, sizeof(self));
	assert_int_equal(stat("/proc/self/exe", &is), 0);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "renamed", SELF_ARG, "two words", NULL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	event = await(recorder, is_exit_of, pid);
	assert_non_null(event);
	event = await(recorder, is_fork_of, pid);
	assert_non_null(event);
	assert_int_equal(event->fork.parent_pid, getpid());
	event = await(recorder, is_exec_of, pid);
	assert_non_null(event);
	assert_int_equal(event->exec.parent_pid, getpid());
	assert_int_equal(event->exec.exe_inode, is.st_ino);
	assert_false(event->exec.exe_is_cut);
	/* The path goes to the host's root, which may lie above ours. */
	assert_true(EVENT_EXE_MAX - event->exec.exe_from >= length);
	assert_memory_equal(event->exec.exe + EVENT_EXE_MAX - length, self, length);
	assert_false(event->exec.cmdline_is_cut);
	assert_int_equal(event->exec.cmdline_length,
			 sizeof("renamed\0" SELF_ARG "\0two words"));
	assert_memory_equal(event->exec.cmdline, "renamed\0" SELF_ARG "\0two words",
			    event->exec.cmdline_length);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connect_is_told_with_its_owner_and_tuple),
		cmocka_unit_test(a_port_the_kernel_drew_is_told_when_established),
		cmocka_unit_test(a_port_the_program_bound_is_told_at_once),
		cmocka_unit_test(ipv6_and_v4_mapped_addresses_are_kept),
		cmocka_unit_test(bytes_of_a_client_that_closes_first_are_exact),
		cmocka_unit_test(
			bytes_of_a_client_that_closes_last_are_exact_and_its_port_is_free),
		cmocka_unit_test(a_session_without_a_byte_counts_none),
		cmocka_unit_test(
			a_peer_that_keeps_its_side_open_holds_the_port_up_to_120_s),
		cmocka_unit_test(an_abort_on_either_side_is_a_reset_and_frees_the_port),
		cmocka_unit_test(a_refused_connect_is_told_as_refused_with_its_port),
		cmocka_unit_test(the_verdict_for_this_very_socket_names_the_pool),
		cmocka_unit_test(
			managed_only_tells_nothing_of_sockets_without_a_verdict),
		cmocka_unit_test(a_full_ring_counts_what_it_lost),
		cmocka_unit_test(a_quarter_full_ring_wakes_the_reader),
		cmocka_unit_test(a_program_shorter_than_a_poll_is_named_right),
	};
	static struct recorder recorder;
	int failed;

	if (argc > 1 && !strcmp(argv[1], SELF_ARG))
		return 0;
	if (!recorder_open(&recorder))
		return SKIP_STATUS;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &recorder;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	recorder_close(&recorder);
	return failed;
}
