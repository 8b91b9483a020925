/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Ends of sessions that the first program does not see: because we take it away, which
 * is why its link is reached into here, or because the kernel skips it.
 */
#include <netinet/tcp.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>

#include "collect/collect.c"

#include "recorder.h"

#define SLOTS	     65536
#define SKIP_SECONDS 10
#define SKIPS	     20
#define BURST	     16

/* Both ends of a connection. */
struct pair {
	int client;
	int server;
	uint64_t cookie; /* the client's */
	uint16_t sport;
};

static int listen_any(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void pair_open(struct pair *pair)
{
	CLEANUP_CLOSE int listener = listen_any();
	struct sockaddr_in to = loopback_v4(port_of(listener));

	pair->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(pair->client, (struct sockaddr *)&to, sizeof(to)), 0);
	pair->server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(pair->server >= 0);
	pair->cookie = cookie_of(pair->client);
	pair->sport = port_of(pair->client);
}

static void move(int from, int to, size_t count)
{
	char buf[4096] = {};

	assert_int_equal(send(from, buf, count, 0), count);
	assert_int_equal(recv(to, buf, count, MSG_WAITALL), count);
}

static void abort_now(int fd)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static int count_closes(const struct recorder *recorder, uint64_t cookie)
{
	int count = 0;

	for (int i = 0; i < recorder->count && i < EVENT_MAX; i++)
		count += is_close(&recorder->events[i], cookie);
	return count;
}

/* From here on changes of state are not seen. */
static void blind(struct recorder *recorder)
{
	struct collect_bpf *skel = recorder->collect->skel;

	bpf_link__destroy(skel->links.on_set_state);
	skel->links.on_set_state = NULL;
}

static int setup(void **state)
{
	struct collect_options options = {.verdict_map_fd = -1};
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	*state = recorder;
	return collect_open(&options, record, recorder, &recorder->collect, NULL);
}

static int teardown(void **state)
{
	struct recorder *recorder = *state;

	collect_close(recorder->collect);
	free(recorder);
	return 0;
}

static bool is_60_s_after(uint64_t moment_ns, uint64_t than_ns)
{
	return moment_ns - than_ns - UINT64_C(60000000000) < UINT64_C(5000000000);
}

static void a_missed_end_in_order_is_told_with_its_bytes_and_port(void **state)
{
	struct recorder *recorder = *state;
	const union event *event;
	struct pair pair;

	pair_open(&pair);
	blind(recorder);
	move(pair.client, pair.server, 1000);
	move(pair.server, pair.client, 51);
	shutdown(pair.client, SHUT_WR);
	close(pair.server);
	close(pair.client);
	event = await(recorder, is_close, pair.cookie);
	assert_non_null(event);
	assert_int_equal(event->head.protocol, IPPROTO_TCP);
	assert_int_equal(event->head.end_reason, EVENT_END_FIN);
	assert_int_equal(event->close.tx_bytes, 1000);
	assert_int_equal(event->close.rx_bytes, 51);
	assert_int_equal(event->close.sport, pair.sport);
	assert_true(is_address(event->close.src, "127.0.0.1"));
	assert_true(is_60_s_after(event->close.port_free_ns, event->head.time_ns));
}

static void a_missed_abort_is_a_reset_and_ours_has_no_bytes_any_more(void **state)
{
	struct recorder *recorder = *state;
	const union event *event;
	struct pair pairs[2];

	pair_open(&pairs[0]);
	pair_open(&pairs[1]);
	blind(recorder);
	for (int ours = 0; ours < 2; ours++) {
		struct pair *pair = &pairs[ours];

		move(pair->client, pair->server, 12);
		abort_now(ours ? pair->client : pair->server);
		close(ours ? pair->server : pair->client);
		event = await(recorder, is_close, pair->cookie);
		assert_non_null(event);
		assert_int_equal(event->head.end_reason, EVENT_END_RESET);
		assert_true(event->close.tx_bytes == (ours ? UINT64_MAX : 12));
		assert_int_equal(event->close.port_free_ns, 0);
	}
}

static void an_end_that_was_told_is_not_told_again(void **state)
{
	struct recorder *recorder = *state;
	struct pair pair, later;

	pair_open(&pair);
	close(pair.server);
	close(pair.client);
	pair_open(&later);
	abort_now(later.client);
	close(later.server);
	assert_non_null(await(recorder, is_close, later.cookie));
	assert_int_equal(count_closes(recorder, pair.cookie), 1);
	assert_int_equal(count_closes(recorder, later.cookie), 1);
}

/* Sessions to one port of which no end was told yet. */
struct tally {
	uint16_t dport;
	int overtaken; /* and of how many there was no end when their slot was taken */
	uint64_t open[SLOTS]; /* cookies, by their low bits */
};

static void keep_tally(const struct event_head *event, void *arg)
{
	const struct event_open *open = (const struct event_open *)event;
	const struct event_close *closed = (const struct event_close *)event;
	struct tally *tally = arg;

	if (event->kind == EVENT_OPEN && open->dport == tally->dport) {
		tally->overtaken += tally->open[open->cookie % SLOTS] != 0;
		tally->open[open->cookie % SLOTS] = open->cookie;
	}
	if (event->kind == EVENT_CLOSE &&
	    tally->open[closed->cookie % SLOTS] == closed->cookie)
		tally->open[closed->cookie % SLOTS] = 0;
}

static int count_open(const struct tally *tally)
{
	int count = tally->overtaken;

	for (int i = 0; i < SLOTS; i++)
		count += tally->open[i] != 0;
	return count;
}

static void stay_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* All that loopback receives interrupts CPU 1. */
static bool steer(void)
{
	FILE *file = NULL;
	bool is_done;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL))
		return false;
	file = fopen("/sys/class/net/lo/queues/rx-0/rps_cpus", "we");
	if (!file)
		return false;
	is_done = fputs("2", file) >= 0;
	return fclose(file) == 0 && is_done;
}

/* Changes of state on CPU 1, without end: sessions to a port that nobody listens on. */
static pid_t start_changing(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	stay_on(1);
	for (;;) {
		struct sockaddr_in to = loopback_v4(1);
		CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		connect(fd, (struct sockaddr *)&to, sizeof(to));
	}
}

/* Sessions that the server aborts: they end where the resets are received. */
static void reset_burst(int listener)
{
	struct sockaddr_in to = loopback_v4(port_of(listener));
	int clients[BURST], servers[BURST];
	char byte;

	for (int i = 0; i < BURST; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		connect(clients[i], (struct sockaddr *)&to, sizeof(to));
		servers[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	}
	for (int i = 0; i < BURST; i++)
		abort_now(servers[i]);
	for (int i = 0; i < BURST; i++) {
		recv(clients[i], &byte, 1, 0);
		close(clients[i]);
	}
}

static uint64_t skipped_by(const struct collect *collect)
{
	struct collect_lost lost;

	collect_lost(collect, &lost);
	return lost.skipped;
}

static void ends_that_the_kernel_skips_are_counted_and_told_all_the_same(void **state)
{
	struct collect_options options = {.verdict_map_fd = -1};
	struct tally *tally = calloc(1, sizeof(*tally));
	struct collect *collect = NULL;
	CLEANUP_CLOSE int listener = -1;
	time_t until = time(NULL) + SKIP_SECONDS;
	pid_t other;

	(void)state;
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || !steer()) {
		free(tally);
		skip();
	}
	assert_int_equal(collect_open(&options, keep_tally, tally, &collect, NULL), 0);
	listener = listen_any();
	tally->dport = port_of(listener);
	other = start_changing();
	stay_on(0);
	while (time(NULL) < until && skipped_by(collect) < SKIPS) {
		reset_burst(listener);
		collect_poll(collect);
	}
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	poll(NULL, 0, 100);
	collect_poll(collect);
	assert_true(skipped_by(collect) >= SKIPS);
	assert_int_equal(count_open(tally), 0);
	collect_close(collect);
	free(tally);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_missed_end_in_order_is_told_with_its_bytes_and_port),
		TEST(a_missed_abort_is_a_reset_and_ours_has_no_bytes_any_more),
		TEST(an_end_that_was_told_is_not_told_again),
		cmocka_unit_test(
			ends_that_the_kernel_skips_are_counted_and_told_all_the_same),
	};
	static struct recorder recorder;

	if (!recorder_open(&recorder))
		return SKIP_STATUS;
	recorder_close(&recorder);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
