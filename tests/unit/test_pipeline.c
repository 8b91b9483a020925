/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "pipeline/pipeline.h"

#define SESSION_MAX 4
#define COOKIE	    UINT64_C(77)
#define PID	    UINT32_C(0x40000001) /* past any that the kernel gives */
#define PID_START   UINT64_C(5000000001)
#define WALL	    UINT64_C(1700000000000000000) /* when the boot-time clock says 0 */
#define TOLD_MAX    64

/* What the session callback told, newest last. */
struct fixture {
	struct identify *identify;
	struct pipeline *pipeline;
	struct ledger *ledger;
	int told_count;
	struct session told[TOLD_MAX];
};

static void keep_told(const struct session *session, void *arg)
{
	struct fixture *fixture = arg;

	assert_true(fixture->told_count < TOLD_MAX);
	fixture->told[fixture->told_count] = *session;
	fixture->told[fixture->told_count++].owner = NULL;
}

static const char *name_pool(uint32_t pool, void *arg)
{
	(void)arg;
	return pool == 3 ? "proxy" : NULL;
}

static int setup_with(void **state, struct ledger *ledger)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct pipeline_options options = {
		.ledger = ledger,
		.pool_name = name_pool,
		.session = keep_told,
		.arg = fixture,
		.session_max = SESSION_MAX,
	};

	if (identify_new(IDENTIFY_CMDLINE_FULL, "/nonexistent", 16, &fixture->identify))
		return -1;
	identify_set_clock(fixture->identify, WALL, 0);
	options.identify = fixture->identify;
	fixture->ledger = ledger;
	*state = fixture;
	return pipeline_new(&options, &fixture->pipeline);
}

static int setup(void **state)
{
	return setup_with(state, NULL);
}

static int setup_ledger(void **state)
{
	struct ledger *ledger;

	return ledger_open("memory:", WALL, &ledger, NULL) ? -1
							   : setup_with(state, ledger);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	pipeline_free(fixture->pipeline);
	ledger_close(fixture->ledger);
	identify_free(fixture->identify);
	free(fixture);
	return 0;
}

static void set_v4(uint8_t *address, uint8_t last)
{
	memcpy(address, (uint8_t[16]){[10] = 0xff, [11] = 0xff, [12] = 10, [15] = last},
	       16);
}

static void open_to(struct fixture *fixture, uint64_t time, uint64_t cookie,
		    uint8_t protocol, uint16_t sport, uint8_t dst)
{
	struct event_open event = {
		.head = {.time_ns = time,
			 .kind = EVENT_OPEN,
			 .protocol = protocol,
			 .picked_by = EVENT_PICKED_SRCPORT,
			 .pool = 3},
		.netns = 1,
		.cookie = cookie,
		.pid = PID,
		.pid_start_ns = PID_START,
		.sport = sport,
		.dport = 443,
		.comm = "client",
	};

	set_v4(event.dst, dst);
	if (protocol == IPPROTO_TCP)
		set_v4(event.src, 1);
	pipeline_event(fixture->pipeline, &event.head);
}

static void open_tcp(struct fixture *fixture, uint64_t time, uint64_t cookie,
		     uint16_t sport)
{
	open_to(fixture, time, cookie, IPPROTO_TCP, sport, 2);
}

static void close_as(struct fixture *fixture, uint64_t time, uint64_t cookie,
		     uint8_t reason, uint64_t port_free)
{
	struct event_close event = {
		.head = {.time_ns = time, .kind = EVENT_CLOSE, .end_reason = reason},
		.cookie = cookie,
		.port_free_ns = port_free,
		.tx_bytes = 100,
		.rx_bytes = 200,
		.sport = 50999,
	};

	set_v4(event.src, 1);
	pipeline_event(fixture->pipeline, &event.head);
}

static const struct session *last_told(const struct fixture *fixture)
{
	assert_true(fixture->told_count > 0);
	return &fixture->told[fixture->told_count - 1];
}

static struct pipeline_count count_of(const struct fixture *fixture)
{
	struct pipeline_count count;

	pipeline_count(fixture->pipeline, &count);
	return count;
}

static void a_session_is_told_as_it_opens_with_all_that_is_known(void **state)
{
	struct fixture *fixture = *state;
	const struct session *session;

	open_tcp(fixture, 10, COOKIE, 50000);
	session = last_told(fixture);
	assert_int_equal(session->id.cookie, COOKIE);
	assert_int_equal(session->id.netns, 1);
	assert_int_equal(session->id.use, 0);
	assert_int_equal(strlen(session->id.boot), SESSION_BOOT_MAX - 1);
	assert_int_equal(session->sport, 50000);
	assert_int_equal(session->dport, 443);
	assert_string_equal(session->pool, "proxy");
	assert_int_equal(session->picked_by, PICKED_BY_SRCPORT);
	assert_int_equal(session->direction, DIRECTION_OUT);
	assert_true(session->start_ns == WALL + 10);
	assert_true(session->end_ns == 0);
	assert_true(session->tx_bytes == BYTES_UNKNOWN);
	assert_int_equal(count_of(fixture).open, 1);
}

static void
a_close_ends_it_with_its_bytes_reason_and_the_time_its_port_is_free(void **state)
{
	struct fixture *fixture = *state;
	const struct session *session;

	open_tcp(fixture, 10, COOKIE, 50000);
	close_as(fixture, 20, COOKIE, EVENT_END_FIN, 60020);
	session = last_told(fixture);
	assert_true(session->end_ns == WALL + 20);
	assert_true(session->port_free_ns == WALL + 60020);
	assert_int_equal(session->end_reason, END_FIN);
	assert_int_equal(session->tx_bytes, 100);
	assert_int_equal(session->rx_bytes, 200);
	assert_int_equal(session->sport, 50000); /* as it opened */
	assert_int_equal(count_of(fixture).open, 0);
	assert_int_equal(count_of(fixture).closed, 1);
}

static void a_port_that_is_free_at_once_is_free_at_the_end(void **state)
{
	struct fixture *fixture = *state;

	open_tcp(fixture, 10, COOKIE, 50000);
	close_as(fixture, 20, COOKIE, EVENT_END_RESET, 0);
	assert_true(last_told(fixture)->port_free_ns == WALL + 20);
}

static int keep_session(const struct session *session, void *arg)
{
	*(struct session *)arg = *session;
	return 1;
}

static void a_port_the_kernel_drew_is_filled_in_when_established(void **state)
{
	struct event_established event = {
		.head = {.kind = EVENT_ESTABLISHED}, .cookie = COOKIE, .sport = 40000};
	struct fixture *fixture = *state;
	struct session session;

	open_tcp(fixture, 10, COOKIE, 0);
	pipeline_event(fixture->pipeline, &event.head);
	assert_int_equal(pipeline_visit_open(fixture->pipeline, keep_session, &session),
			 1);
	assert_int_equal(session.sport, 40000);
	assert_string_equal(session.owner->comm, "client");
	assert_int_equal(session.owner->pid, PID);
}

static void a_port_not_known_until_the_end_is_taken_from_the_end(void **state)
{
	struct fixture *fixture = *state;

	open_tcp(fixture, 10, COOKIE, 0);
	close_as(fixture, 20, COOKIE, EVENT_END_REFUSED, 0);
	assert_int_equal(last_told(fixture)->sport, 50999);
}

static void the_end_of_a_session_not_seen_to_open_is_ignored(void **state)
{
	struct fixture *fixture = *state;

	close_as(fixture, 20, COOKIE, EVENT_END_FIN, 0);
	assert_int_equal(fixture->told_count, 0);
	assert_int_equal(count_of(fixture).closed, 0);
}

static void a_socket_connected_again_after_a_refusal_is_another_session(void **state)
{
	struct fixture *fixture = *state;

	for (uint32_t use = 0; use < 3; use++) {
		open_tcp(fixture, 10 + use, COOKIE, 50000);
		assert_int_equal(last_told(fixture)->id.use, use);
		close_as(fixture, 10 + use, COOKIE, EVENT_END_REFUSED, 0);
		assert_int_equal(last_told(fixture)->id.use, use);
	}
	open_tcp(fixture, 20, COOKIE + 1, 50000);
	assert_int_equal(last_told(fixture)->id.use, 0);
}

static void a_tcp_socket_that_opens_again_unclosed_has_lost_its_end(void **state)
{
	struct fixture *fixture = *state;

	open_tcp(fixture, 10, COOKIE, 50000);
	open_tcp(fixture, 30, COOKIE, 50001);
	assert_int_equal(fixture->told_count, 3);
	assert_int_equal(fixture->told[1].end_reason, END_LOST);
	assert_true(fixture->told[1].end_ns == WALL + 30);
	assert_int_equal(fixture->told[2].id.use, 1);
	assert_int_equal(count_of(fixture).open, 1);
}

static void a_udp_socket_that_turns_to_another_peer_begins_another_session(void **state)
{
	struct fixture *fixture = *state;

	open_to(fixture, 10, COOKIE, IPPROTO_UDP, 50000, 2);
	open_to(fixture, 30, COOKIE, IPPROTO_UDP, 50000, 3);
	assert_int_equal(fixture->told_count, 3);
	assert_int_equal(fixture->told[1].end_reason, END_FIN);
	assert_int_equal(fixture->told[2].id.use, 1);
}

static void a_udp_connect_told_twice_is_one_session(void **state)
{
	struct fixture *fixture = *state;

	open_to(fixture, 10, COOKIE, IPPROTO_UDP, 0, 2);
	open_to(fixture, 11, COOKIE, IPPROTO_UDP, 50000, 2);
	assert_int_equal(fixture->told_count, 1);
	assert_int_equal(count_of(fixture).opened, 1);
}

static void a_udp_socket_turned_with_its_bytes_told_has_two_sessions(void **state)
{
	struct fixture *fixture = *state;
	struct event_close turn = {
		.head = {.time_ns = 20,
			 .kind = EVENT_CLOSE,
			 .protocol = IPPROTO_UDP,
			 .end_reason = EVENT_END_FIN},
		.cookie = COOKIE,
		.tx_bytes = 100,
		.rx_bytes = 0,
		.is_turned = 1,
	};

	for (uint8_t turns = 0; turns < 3; turns++) {
		open_to(fixture, 10, COOKIE, IPPROTO_UDP, 50000, turns);
		assert_int_equal(last_told(fixture)->id.use, turns);
		pipeline_event(fixture->pipeline, &turn.head);
		assert_int_equal(last_told(fixture)->id.use, turns);
		assert_int_equal(last_told(fixture)->tx_bytes, 100);
		assert_int_equal(last_told(fixture)->end_reason, END_FIN);
	}
}

static void a_udp_session_counted_anew_is_another_though_to_the_same_peer(void **state)
{
	struct fixture *fixture = *state;
	struct event_open event = {
		.head = {.time_ns = 20, .kind = EVENT_OPEN, .protocol = IPPROTO_UDP},
		.netns = 1,
		.cookie = COOKIE,
		.dport = 443,
		.is_anew = 1,
	};

	open_to(fixture, 10, COOKIE, IPPROTO_UDP, 50000, 2);
	set_v4(event.dst, 2);
	pipeline_event(fixture->pipeline, &event.head);
	assert_int_equal(fixture->told_count, 3);
	assert_true(fixture->told[1].tx_bytes == BYTES_UNKNOWN);
	assert_int_equal(fixture->told[2].id.use, 1);
}

static void a_udp_session_is_unresolved_until_its_source_is_known(void **state)
{
	struct fixture *fixture = *state;
	struct address src;

	open_to(fixture, 10, COOKIE, IPPROTO_UDP, 0, 2);
	open_to(fixture, 10, COOKIE + 1, IPPROTO_UDP, 0, 2);
	assert_int_equal(count_of(fixture).unresolved, 2);
	set_v4(src.bytes, 1);
	pipeline_resolve(fixture->pipeline, COOKIE, &src, 50123);
	assert_int_equal(count_of(fixture).unresolved, 1);
	close_as(fixture, 20, COOKIE, EVENT_END_FIN, 0);
	assert_int_equal(last_told(fixture)->sport, 50123);
	close_as(fixture, 20, COOKIE + 1, EVENT_END_FIN, 0);
	assert_int_equal(count_of(fixture).unresolved, 0);
}

static void past_the_ceiling_the_oldest_session_is_ended_as_lost(void **state)
{
	struct fixture *fixture = *state;

	for (int i = 0; i <= SESSION_MAX; i++)
		open_tcp(fixture, 10 + i, COOKIE + i, 50000 + i);
	assert_int_equal(count_of(fixture).open, SESSION_MAX);
	assert_int_equal(fixture->told[SESSION_MAX].id.cookie, COOKIE);
	assert_int_equal(fixture->told[SESSION_MAX].end_reason, END_LOST);
}

static bool is_cookie(const struct session *session, void *arg)
{
	return session->id.cookie == *(uint64_t *)arg;
}

static void a_session_gone_twice_in_a_row_is_ended_as_lost(void **state)
{
	struct fixture *fixture = *state;
	uint64_t gone = COOKIE, none = 0;

	open_tcp(fixture, 10, COOKIE, 50000);
	open_tcp(fixture, 10, COOKIE + 1, 50001);
	assert_int_equal(pipeline_sift(fixture->pipeline, 20, is_cookie, &gone), 1);
	assert_int_equal(pipeline_sift(fixture->pipeline, 30, is_cookie, &none), 0);
	assert_int_equal(pipeline_sift(fixture->pipeline, 40, is_cookie, &gone), 1);
	assert_int_equal(fixture->told_count, 2);
	assert_int_equal(pipeline_sift(fixture->pipeline, WALL + 50, is_cookie, &gone),
			 0);
	assert_int_equal(fixture->told_count, 3);
	assert_int_equal(last_told(fixture)->id.cookie, COOKIE);
	assert_int_equal(last_told(fixture)->end_reason, END_LOST);
	assert_true(last_told(fixture)->end_ns == WALL + 50);
}

static void a_socket_used_before_this_pipeline_goes_on_counting(void **state)
{
	struct session_id before = {.cookie = COOKIE, .use = 4};
	struct fixture *fixture = *state;

	pipeline_remember(fixture->pipeline, &before);
	open_to(fixture, 10, COOKIE, IPPROTO_UDP, 50000, 2);
	assert_int_equal(last_told(fixture)->id.use, 5);
	open_to(fixture, 11, COOKIE, IPPROTO_UDP, 50000, 3);
	assert_int_equal(last_told(fixture)->id.use, 6);
}

static void lost_events_are_counted(void **state)
{
	struct fixture *fixture = *state;
	struct gap gap = {.lost_count = 12};

	pipeline_lost(fixture->pipeline, &gap);
	assert_int_equal(count_of(fixture).lost, 12);
}

/* Sessions in the ledger; the newest of them in *ret_last, with no owner. */
static int stored(struct fixture *fixture, struct session *ret_last)
{
	const struct ledger_question question = {};
	struct ledger_query *query;
	const struct session *session;
	int count = 0;

	assert_int_equal(ledger_ask(fixture->ledger, &question, &query, NULL), 0);
	while (ledger_query_next(query, &session, NULL) == 1) {
		*ret_last = *session;
		ret_last->owner = NULL;
		count++;
	}
	ledger_query_close(query);
	return count;
}

static void a_session_is_stored_at_the_flush_and_its_end_at_the_next(void **state)
{
	struct fixture *fixture = *state;
	struct session session;

	open_tcp(fixture, 10, COOKIE, 50000);
	assert_int_equal(stored(fixture, &session), 0);
	assert_int_equal(pipeline_flush(fixture->pipeline, WALL + 11, NULL), 0);
	assert_int_equal(stored(fixture, &session), 1);
	assert_true(session.end_ns == 0);
	close_as(fixture, 20, COOKIE, EVENT_END_FIN, 0);
	assert_int_equal(pipeline_flush(fixture->pipeline, WALL + 21, NULL), 0);
	assert_int_equal(stored(fixture, &session), 1);
	assert_true(session.end_ns == WALL + 20);
}

static void what_ended_before_the_flush_is_stored_too(void **state)
{
	struct fixture *fixture = *state;
	struct session session;

	for (int i = 0; i < SESSION_MAX; i++) {
		open_tcp(fixture, 10, COOKIE + i, 50000);
		close_as(fixture, 20, COOKIE + i, EVENT_END_FIN, 0);
	}
	assert_int_equal(pipeline_flush(fixture->pipeline, WALL + 21, NULL), 0);
	assert_int_equal(stored(fixture, &session), SESSION_MAX);
	assert_int_equal(count_of(fixture).lost, 0);
}

static void what_waits_past_the_ceiling_is_lost_and_becomes_a_gap(void **state)
{
	const struct ledger_question question = {};
	struct fixture *fixture = *state;
	const struct session *session;
	struct ledger_query *query;
	struct gap gap;

	for (int i = 0; i < SESSION_MAX + 2; i++) {
		open_tcp(fixture, 10 + i, COOKIE + i, 50000);
		close_as(fixture, 20 + i, COOKIE + i, EVENT_END_FIN, 0);
	}
	assert_int_equal(count_of(fixture).lost, 2);
	assert_int_equal(pipeline_flush(fixture->pipeline, WALL + 30, NULL), 0);
	assert_int_equal(ledger_ask(fixture->ledger, &question, &query, NULL), 0);
	for (int i = 0; i < SESSION_MAX; i++)
		assert_int_equal(ledger_query_next(query, &session, NULL), 1);
	assert_int_equal(ledger_query_next(query, &session, NULL), 0);
	assert_int_equal(ledger_query_next_gap(query, &gap, NULL), 1);
	ledger_query_close(query);
	assert_int_equal(gap.lost_count, 2);
	assert_true(gap.from_ns == WALL + 10 + SESSION_MAX);
	assert_true(gap.until_ns == WALL + 20 + SESSION_MAX + 1);
}

static void sessions_not_flushed_are_freed_with_the_pipeline(void **state)
{
	struct fixture *fixture = *state;

	open_tcp(fixture, 10, COOKIE, 50000);
	open_tcp(fixture, 10, COOKIE + 1, 50001);
	close_as(fixture, 20, COOKIE, EVENT_END_FIN,
		 0); /* the leak checker sees the rest */
	assert_int_equal(count_of(fixture).open, 1);
}

#define TEST(name)	  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_LEDGER(name) cmocka_unit_test_setup_teardown(name, setup_ledger, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_is_told_as_it_opens_with_all_that_is_known),
		TEST(a_close_ends_it_with_its_bytes_reason_and_the_time_its_port_is_free),
		TEST(a_port_that_is_free_at_once_is_free_at_the_end),
		TEST(a_port_the_kernel_drew_is_filled_in_when_established),
		TEST(a_port_not_known_until_the_end_is_taken_from_the_end),
		TEST(the_end_of_a_session_not_seen_to_open_is_ignored),
		TEST(a_socket_connected_again_after_a_refusal_is_another_session),
		TEST(a_tcp_socket_that_opens_again_unclosed_has_lost_its_end),
		TEST(a_udp_socket_that_turns_to_another_peer_begins_another_session),
		TEST(a_udp_connect_told_twice_is_one_session),
		TEST(a_udp_socket_turned_with_its_bytes_told_has_two_sessions),
		TEST(a_udp_session_counted_anew_is_another_though_to_the_same_peer),
		TEST(a_udp_session_is_unresolved_until_its_source_is_known),
		TEST(past_the_ceiling_the_oldest_session_is_ended_as_lost),
		TEST(a_session_gone_twice_in_a_row_is_ended_as_lost),
		TEST(a_socket_used_before_this_pipeline_goes_on_counting),
		TEST(lost_events_are_counted),
		TEST_LEDGER(a_session_is_stored_at_the_flush_and_its_end_at_the_next),
		TEST_LEDGER(what_ended_before_the_flush_is_stored_too),
		TEST_LEDGER(what_waits_past_the_ceiling_is_lost_and_becomes_a_gap),
		TEST_LEDGER(sessions_not_flushed_are_freed_with_the_pipeline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
