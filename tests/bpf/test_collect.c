/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Real connections on the loopback of a network namespace of our own, and a program run
 * again: each event is compared with what the sockets and the process say of
 * themselves.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/collect.h"
#include "model/address.h"
#include "model/session.h"

#define SKIP_STATUS    77
#define EVENT_MAX      512
#define EVENT_BYTES    2200
#define TRIES_MAX      2000 /* of a millisecond */
#define SELF_ARG       "--exec-me"
#define CGROUP2_MOUNTS "/proc/self/mounts"

union event {
	struct event_head head;
	struct event_open open;
	struct event_established established;
	struct event_close close;
	struct event_fork fork;
	struct event_exec exec;
	struct event_exit exit;
	uint8_t bytes[EVENT_BYTES];
};

struct recorder {
	struct collect *collect;
	int verdict_fd;
	int count;
	union event events[EVENT_MAX];
};

static size_t size_of(uint8_t kind)
{
	static const size_t sizes[] = {
		[EVENT_OPEN] = sizeof(struct event_open),
		[EVENT_ESTABLISHED] = sizeof(struct event_established),
		[EVENT_CLOSE] = sizeof(struct event_close),
		[EVENT_FORK] = sizeof(struct event_fork),
		[EVENT_EXEC] = sizeof(struct event_exec),
		[EVENT_EXIT] = sizeof(struct event_exit),
	};

	return sizes[kind];
}

static void record(const struct event_head *event, void *arg)
{
	struct recorder *recorder = arg;

	/* Other programs of this machine are seen too; keep the newest. */
	memcpy(&recorder->events[recorder->count++ % EVENT_MAX], event,
	       size_of(event->kind));
}

typedef bool match_fn(const union event *event, uint64_t key);

/* The newest event that matches, waiting for it a little; NULL: it did not come. */
static const union event *await(struct recorder *recorder, match_fn *match,
				uint64_t key)
{
	for (int try = 0; try < TRIES_MAX; try++) {
		collect_poll(recorder->collect);
		for (int i = recorder->count - 1;
		     i >= 0 && i >= recorder->count - EVENT_MAX; i--)
			if (match(&recorder->events[i % EVENT_MAX], key))
				return &recorder->events[i % EVENT_MAX];
		poll(NULL, 0, 1);
	}
	return NULL;
}

static bool is_open(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_OPEN && event->open.cookie == cookie;
}

static bool is_established(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_ESTABLISHED &&
	       event->established.cookie == cookie;
}

static bool is_close(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_CLOSE && event->close.cookie == cookie;
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

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
	return cookie;
}

static uint64_t netns_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	return cookie;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 at = {};
	socklen_t size = sizeof(at);

	getsockname(fd, (struct sockaddr *)&at, &size);
	return ntohs(at.sin6_port); /* where sin_port is, too */
}

static bool is_address(const uint8_t *bytes, const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return memcmp(bytes, address.bytes, sizeof(address.bytes)) == 0;
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

static struct sockaddr_in loopback_v4(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
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

static uint64_t boottime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
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
	assert_int_equal(collect_lost(recorder->collect), 0);
	for (int i = 0; i < 100; i++) {
		CLEANUP(pair_release) struct pair pair;

		pair_open_v4(&pair);
	}
	assert_true(collect_lost(recorder->collect) >= 100);
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
	assert_int_equal(collect_lost(recorder->collect), 0);
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
	assert_int_equal(EVENT_EXE_MAX - event->exec.exe_from, length);
	assert_memory_equal(event->exec.exe + event->exec.exe_from, self, length);
	assert_false(event->exec.cmdline_is_cut);
	assert_int_equal(event->exec.cmdline_length,
			 sizeof("renamed\0" SELF_ARG "\0two words"));
	assert_memory_equal(event->exec.cmdline, "renamed\0" SELF_ARG "\0two words",
			    event->exec.cmdline_length);
}

/* Where cgroup2 is mounted: some folder there that goes away with the test. */
static bool cgroup_make(char *path, size_t size)
{
	CLEANUP_FREE char *line = NULL;
	FILE *mounts = fopen(CGROUP2_MOUNTS, "re");
	bool is_found = false;
	char at[1024];
	size_t room = 0;

	while (!is_found && getline(&line, &room, mounts) > 0)
		is_found = sscanf(line, "%*s %1023s cgroup2 ", at) == 1 &&
			   strstr(line, " cgroup2 ");
	fclose(mounts);
	if (!is_found)
		return false;
	snprintf(path, size, "%s/srcport-test-%d", at, getpid());
	return mkdir(path, 0755) == 0;
}

struct udp_report {
	uint64_t cookie;
	uint16_t sport;
};

/* In the cgroup: connect a UDP socket, say what it became, close it. */
static void udp_child(int cgroup_fd, int pipe_fd)
{
	struct sockaddr_in to = loopback_v4(53);
	struct udp_report report;
	int procs, fd;

	procs = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (write(procs, "0", 1) != 1)
		_exit(1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		_exit(2);
	report.cookie = cookie_of(fd);
	report.sport = port_of(fd);
	if (write(pipe_fd, &report, sizeof(report)) != sizeof(report))
		_exit(3);
	_exit(0);
}

static void a_udp_session_is_told_from_connect_to_close(void **state)
{
	struct recorder *recorder = *state;
	const union event *event;
	struct udp_report report;
	char cgroup[PATH_MAX];
	int ends[2], status, fd;
	struct stat is;
	pid_t pid;

	if (!cgroup_make(cgroup, sizeof(cgroup)))
		skip(); /* no cgroup2 that can be written */
	fd = open(cgroup, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(fd, &is), 0);
	assert_int_equal(collect_attach_cgroup(recorder->collect, fd, is.st_ino, NULL),
			 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		udp_child(fd, ends[1]);
	waitpid(pid, &status, 0);
	collect_detach_cgroup(recorder->collect, is.st_ino);
	rmdir(cgroup);
	close(fd);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], &report, sizeof(report)), sizeof(report));
	close(ends[0]);
	close(ends[1]);

	event = await(recorder, is_open, report.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.protocol, IPPROTO_UDP);
	assert_int_equal(event->head.picked_by, EVENT_PICKED_KERNEL);
	assert_int_equal(event->open.pid, pid);
	assert_int_equal(event->open.cgroup, is.st_ino);
	assert_true(is_address(event->open.dst, "127.0.0.1"));
	assert_int_equal(event->open.dport, 53);
	event = await(recorder, is_close, report.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.protocol, IPPROTO_UDP);
	assert_int_equal(event->close.sport, report.sport);
	assert_true(is_address(event->close.src, "127.0.0.1"));
	assert_true(event->close.tx_bytes == BYTES_UNKNOWN);
	assert_true(event->close.port_free_ns == 0 &&
		    event->head.time_ns <= boottime_ns());
}

/* A namespace whose loopback is up. */
static int netns_make(void)
{
	CLEANUP_CLOSE int fd = -1;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &lo) ? -errno : 0;
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
		cmocka_unit_test(a_udp_session_is_told_from_connect_to_close),
	};
	struct collect_options options = {};
	static struct recorder recorder;
	struct fault fault = {};
	int failed;

	if (argc > 1 && !strcmp(argv[1], SELF_ARG))
		return 0;
	recorder.verdict_fd =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "verdicts", sizeof(uint32_t),
			       sizeof(struct verdict), VERDICT_SLOTS, NULL);
	options.verdict_map_fd = recorder.verdict_fd;
	if (recorder.verdict_fd < 0 || netns_make() ||
	    collect_open(&options, record, &recorder, &recorder.collect, &fault)) {
		printf("1..0 # SKIP BPF programs cannot be loaded: %s\n", fault.text);
		return SKIP_STATUS;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &recorder;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	collect_close(recorder.collect);
	close(recorder.verdict_fd);
	return failed;
}
