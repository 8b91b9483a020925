/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Real UDP sessions on the loopback of a network namespace of our own, in a cgroup of
 * our own: who had them, and every byte, counted against what the calls returned.
 */
#include <fcntl.h>
#include <limits.h>
#include <netinet/udp.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <bpf/libbpf.h>

#include "model/session.h"
#include "recorder.h"

#define COOKIE_SLOTS 65536
#define SOCKETS_MAX  (8 * COOKIE_SLOTS)
#define PING_GROUPS  "/proc/sys/net/ipv4/ping_group_range"

/* From Linux 6.3 on. */
static bool kernel_tells_lengths(void)
{
	return libbpf_find_vmlinux_btf_id("sock_send_length", BPF_TRACE_RAW_TP) > 0;
}

/* Two sockets that talk, and a third that listens only. */
struct trio {
	int client; /* connected to peer */
	int peer;   /* connected to client */
	int other;
	uint64_t cookie; /* the client's */
};

static void trio_release(struct trio *trio)
{
	if (trio->client >= 0)
		close(trio->client);
	close(trio->peer);
	close(trio->other);
}

static int udp_socket(void)
{
	struct sockaddr_in at = loopback_v4(0);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void udp_connect(int fd, int to)
{
	struct sockaddr_in at = loopback_v4(port_of(to));

	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void trio_open(struct trio *trio)
{
	trio->peer = udp_socket();
	trio->other = udp_socket();
	trio->client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	udp_connect(trio->client, trio->peer);
	udp_connect(trio->peer, trio->client);
	trio->cookie = cookie_of(trio->client);
}

static void send_bytes(int fd, size_t count)
{
	static const char buf[65507];

	assert_int_equal(send(fd, buf, count, 0), count);
}

/* Close the client; its last EVENT_CLOSE. */
static const struct event_close *trio_close(struct trio *trio,
					    struct recorder *recorder)
{
	const union event *event;

	close(trio->client);
	trio->client = -1;
	event = await(recorder, is_close, trio->cookie);
	assert_non_null(event);
	return &event->close;
}

/* The nth EVENT_OPEN or EVENT_CLOSE of a cookie, from 0; NULL: there are fewer. */
static const union event *nth(const struct recorder *recorder, uint64_t cookie, int n)
{
	int from = recorder->count > EVENT_MAX ? recorder->count - EVENT_MAX : 0;

	for (int i = from; i < recorder->count; i++) {
		const union event *event = &recorder->events[i % EVENT_MAX];

		if ((is_open(event, cookie) || is_close(event, cookie)) && n-- == 0)
			return event;
	}
	return NULL;
}

static void a_udp_session_is_told_from_connect_to_close(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	const union event *event;
	uint16_t sport;
	uint64_t none;

	trio_open(&trio);
	sport = port_of(trio.client);
	event = await(recorder, is_open, trio.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.protocol, IPPROTO_UDP);
	assert_int_equal(event->head.picked_by, EVENT_PICKED_KERNEL);
	assert_int_equal(event->open.pid, getpid());
	assert_int_equal(event->open.netns, netns_of(trio.client));
	assert_true(is_address(event->open.dst, "127.0.0.1"));
	assert_int_equal(event->open.dport, port_of(trio.peer));
	closed = trio_close(&trio, recorder);
	assert_int_equal(closed->head.protocol, IPPROTO_UDP);
	assert_int_equal(closed->head.end_reason, EVENT_END_FIN);
	assert_int_equal(closed->sport, sport);
	assert_int_equal(closed->is_turned, 0);
	assert_true(is_address(closed->src, "127.0.0.1"));
	assert_true(closed->port_free_ns == 0);
	none = kernel_tells_lengths() ? 0 : BYTES_UNKNOWN;
	assert_true(closed->tx_bytes == none && closed->rx_bytes == none);
}

static void every_way_of_sending_is_counted(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	char buf[8000] = {};
	struct iovec parts[2] = {{buf, 3}, {buf, 40}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	struct mmsghdr messages[2] = {{message, 0}, {message, 0}};
	struct sockaddr_in other;

	trio_open(&trio);
	other = loopback_v4(port_of(trio.other));
	send_bytes(trio.client, 1);
	send_bytes(trio.client, 0);
	assert_int_equal(write(trio.client, buf, 500), 500);
	assert_int_equal(writev(trio.client, parts, 2), 43);
	assert_int_equal(sendmsg(trio.client, &message, 0), 43);
	assert_int_equal(sendmmsg(trio.client, messages, 2, 0), 2);
	assert_int_equal(send(trio.client, buf, 600, MSG_MORE), 600);
	assert_int_equal(send(trio.client, buf, 7, 0), 7);
	assert_int_equal(sendto(trio.client, buf, 8000, 0, (struct sockaddr *)&other,
				sizeof(other)),
			 8000);
	closed = trio_close(&trio, recorder);
	assert_int_equal(closed->tx_bytes, 1 + 500 + 43 + 43 + 2 * 43 + 607 + 8000);
	assert_int_equal(closed->rx_bytes, 0);
}

static void every_way_of_receiving_is_counted_and_peeking_is_not(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	char buf[1000];
	struct iovec part = {buf, sizeof(buf)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct mmsghdr messages[2] = {{message, 0}, {message, 0}};

	trio_open(&trio);
	for (size_t count = 1; count <= 64; count *= 2)
		send_bytes(trio.peer, count);
	send_bytes(trio.peer, 0);
	assert_int_equal(recv(trio.client, buf, sizeof(buf), MSG_PEEK), 1);
	assert_int_equal(recv(trio.client, buf, sizeof(buf), 0), 1);
	assert_int_equal(read(trio.client, buf, sizeof(buf)), 2);
	assert_int_equal(recvfrom(trio.client, buf, sizeof(buf), 0, NULL, NULL), 4);
	assert_int_equal(recvmsg(trio.client, &message, MSG_PEEK), 8);
	assert_int_equal(recvmsg(trio.client, &message, 0), 8);
	assert_int_equal(recvmmsg(trio.client, messages, 2, 0, NULL), 2);
	assert_int_equal(readv(trio.client, &part, 1), 64);
	assert_int_equal(recv(trio.client, buf, sizeof(buf), 0), 0);
	assert_int_equal(recv(trio.client, buf, sizeof(buf), MSG_DONTWAIT), -1);
	closed = trio_close(&trio, recorder);
	assert_int_equal(closed->rx_bytes, 127);
	assert_int_equal(closed->tx_bytes, 0);
}

static void a_cut_datagram_counts_for_what_the_program_got(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	char buf[10];

	trio_open(&trio);
	send_bytes(trio.peer, 100);
	assert_int_equal(recv(trio.client, buf, sizeof(buf), 0), sizeof(buf));
	assert_int_equal(trio_close(&trio, recorder)->rx_bytes, sizeof(buf));
}

static void what_the_error_queue_gives_back_is_not_received(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	char buf[100], control[512];
	struct iovec part = {buf, sizeof(buf)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	int on = 1;

	trio_open(&trio);
	setsockopt(trio.client, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	close(trio.peer);
	send_bytes(trio.client, 33); /* refused */
	assert_int_equal(send(trio.client, buf, 20, 0), -1);
	assert_int_equal(recvmsg(trio.client, &message, MSG_ERRQUEUE), 33);
	trio.peer = udp_socket();
	closed = trio_close(&trio, recorder);
	assert_int_equal(closed->tx_bytes, 33);
	assert_int_equal(closed->rx_bytes, 0);
}

static void a_segmented_send_counts_whole(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	int size = 100;

	trio_open(&trio);
	assert_int_equal(
		setsockopt(trio.client, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)),
		0);
	send_bytes(trio.client, 1234);
	assert_int_equal(trio_close(&trio, recorder)->tx_bytes, 1234);
}

static void ipv6_is_counted_too(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6,
				  .sin6_addr = in6addr_loopback,
				  .sin6_port = htons(9)};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t cookie = cookie_of(fd);
	const union event *event;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	send_bytes(fd, 77);
	close(fd);
	event = await(*state, is_close, cookie);
	assert_non_null(event);
	assert_int_equal(event->close.tx_bytes, 77);
	assert_true(is_address(event->close.src, "::1"));
	event = await(*state, is_open, cookie);
	assert_non_null(event);
	assert_true(is_address(event->open.dst, "::1"));
}

static void each_peer_of_a_socket_that_turns_has_its_own_bytes(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	const union event *first;
	uint16_t sport;

	trio_open(&trio);
	sport = port_of(trio.client);
	send_bytes(trio.client, 100);
	udp_connect(trio.client, trio.other);
	send_bytes(trio.client, 7);
	closed = trio_close(&trio, recorder);
	assert_int_equal(closed->tx_bytes, 7);
	assert_int_equal(closed->is_turned, 0);

	assert_true(is_open(nth(recorder, trio.cookie, 0), trio.cookie));
	first = nth(recorder, trio.cookie, 1);
	assert_true(is_close(first, trio.cookie));
	assert_int_equal(first->close.tx_bytes, 100);
	assert_int_equal(first->close.is_turned, 1);
	assert_int_equal(first->close.sport, sport);
	assert_true(is_address(first->close.src, "127.0.0.1"));
	assert_true(is_open(nth(recorder, trio.cookie, 2), trio.cookie));
	assert_ptr_equal(&nth(recorder, trio.cookie, 3)->close, closed);
	assert_null(nth(recorder, trio.cookie, 4));
}

static void connecting_to_the_same_peer_again_counts_on(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;

	trio_open(&trio);
	send_bytes(trio.client, 100);
	udp_connect(trio.client, trio.peer);
	send_bytes(trio.client, 7);
	assert_int_equal(trio_close(&trio, recorder)->tx_bytes, 107);
	assert_int_equal(nth(recorder, trio.cookie, 0)->open.is_anew, 1);
	assert_true(is_open(nth(recorder, trio.cookie, 1), trio.cookie));
	assert_int_equal(nth(recorder, trio.cookie, 1)->open.is_anew, 0);
}

/* A UDP socket whose cookie shares its low half with another's; -1: none came. */
static int socket_that_shares(uint64_t cookie)
{
	for (int i = 0; i < SOCKETS_MAX; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if ((cookie_of(fd) - cookie) % COOKIE_SLOTS == 0)
			return fd;
		close(fd);
	}
	return -1;
}

static void of_two_sockets_in_one_slot_the_newer_has_its_bytes(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	const struct event_close *closed;
	const union event *event;
	uint64_t cookie;
	int newer;

	trio_open(&trio);
	send_bytes(trio.client, 100);
	newer = socket_that_shares(trio.cookie);
	if (newer < 0)
		skip(); /* the other processors took all such cookies */
	cookie = cookie_of(newer);
	udp_connect(newer, trio.other);
	send_bytes(newer, 7);
	send_bytes(trio.client, 100);
	closed = trio_close(&trio, recorder);
	assert_true(closed->tx_bytes == BYTES_UNKNOWN);
	assert_true(closed->rx_bytes == BYTES_UNKNOWN);
	close(newer);
	event = await(recorder, is_close, cookie);
	assert_non_null(event);
	assert_int_equal(event->close.tx_bytes, 7);
}

static void a_socket_that_lost_its_slot_begins_anew_when_it_connects_again(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct recorder *recorder = *state;
	CLEANUP_CLOSE int newer = -1;

	trio_open(&trio);
	send_bytes(trio.client, 100);
	newer = socket_that_shares(trio.cookie);
	if (newer < 0)
		skip();
	udp_connect(newer, trio.other);
	udp_connect(trio.client, trio.peer);
	send_bytes(trio.client, 5);
	assert_int_equal(trio_close(&trio, recorder)->tx_bytes, 5);
	assert_int_equal(nth(recorder, trio.cookie, 1)->open.is_anew, 1);
}

/* Room for some events, and none for the one that is looked for. */
static void bytes_of_a_session_whose_start_was_lost_are_told_of_no_other(void **state)
{
	CLEANUP(trio_release) struct trio trio, filler;
	struct recorder *outer = *state, *recorder = calloc(1, sizeof(*recorder));
	struct collect_options options = {.verdict_map_fd = -1, .ring_bytes = 4096};
	CLEANUP_CLOSE int cgroup_fd = open(getenv("TEST_CGROUP"), O_RDONLY | O_CLOEXEC);

	assert_int_equal(
		collect_open(&options, record, recorder, &recorder->collect, NULL), 0);
	assert_int_equal(collect_attach_cgroup(recorder->collect, cgroup_fd, 2, NULL),
			 0);
	trio_open(&trio);
	trio_open(&filler);
	assert_non_null(await(recorder, is_open, trio.cookie));
	while (lost_by(recorder) < 2) {
		udp_connect(filler.client, filler.peer);
		collect_poll(outer->collect);
	}
	udp_connect(trio.client, trio.other); /* neither end nor start is told */
	send_bytes(trio.client, 7);
	collect_poll(recorder->collect);
	assert_true(trio_close(&trio, recorder)->tx_bytes == BYTES_UNKNOWN);
	collect_close(recorder->collect);
	free(recorder);
}

static void a_ping_socket_is_no_udp_session(void **state)
{
	CLEANUP(trio_release) struct trio trio;
	struct sockaddr_in to = loopback_v4(0);
	struct recorder *recorder = *state;
	FILE *groups = fopen(PING_GROUPS, "we");
	CLEANUP_CLOSE int fd = -1;

	fprintf(groups, "0 %d\n", getegid());
	fclose(groups);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (fd < 0)
		skip(); /* in a container that keeps the setting from us */
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	trio_open(&trio);
	assert_non_null(await(recorder, is_open, trio.cookie));
	assert_null(nth(recorder, cookie_of(fd), 0));
}

/* In the cgroup, whose hooks go by where a socket was made. */
static int run_in(const char *cgroup)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(a_udp_session_is_told_from_connect_to_close),
		cmocka_unit_test(a_ping_socket_is_no_udp_session),
	};
	struct CMUnitTest counted_tests[] = {
		cmocka_unit_test(every_way_of_sending_is_counted),
		cmocka_unit_test(every_way_of_receiving_is_counted_and_peeking_is_not),
		cmocka_unit_test(a_cut_datagram_counts_for_what_the_program_got),
		cmocka_unit_test(what_the_error_queue_gives_back_is_not_received),
		cmocka_unit_test(a_segmented_send_counts_whole),
		cmocka_unit_test(ipv6_is_counted_too),
		cmocka_unit_test(each_peer_of_a_socket_that_turns_has_its_own_bytes),
		cmocka_unit_test(connecting_to_the_same_peer_again_counts_on),
		cmocka_unit_test(of_two_sockets_in_one_slot_the_newer_has_its_bytes),
		cmocka_unit_test(
			a_socket_that_lost_its_slot_begins_anew_when_it_connects_again),
		cmocka_unit_test(
			bytes_of_a_session_whose_start_was_lost_are_told_of_no_other),
	};
	CLEANUP_CLOSE int fd = open(cgroup, O_RDONLY | O_CLOEXEC);
	CLEANUP_CLOSE int procs = openat(fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	static struct recorder recorder;
	int failed;

	setenv("TEST_CGROUP", cgroup, 1);
	if (write(procs, "0", 1) != 1 || !recorder_open(&recorder))
		return SKIP_STATUS;
	if (collect_attach_cgroup(recorder.collect, fd, 1, NULL))
		return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = &recorder;
	for (size_t i = 0; i < sizeof(counted_tests) / sizeof(counted_tests[0]); i++)
		counted_tests[i].initial_state = &recorder;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (kernel_tells_lengths())
		failed += cmocka_run_group_tests(counted_tests, NULL, NULL);
	recorder_close(&recorder);
	return failed;
}

int main(void)
{
	char cgroup[PATH_MAX];
	int status;
	pid_t pid;

	if (!cgroup_make(cgroup, sizeof(cgroup))) {
		printf("1..0 # SKIP no cgroup2 that can be written\n");
		return SKIP_STATUS;
	}
	pid = fork();
	if (pid == 0)
		exit(run_in(cgroup));
	waitpid(pid, &status, 0);
	rmdir(cgroup);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
