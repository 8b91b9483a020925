/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What is put is found: rows, owners, questions, kill -9, the memory back end. */
#include "test_ledger.h"

static struct owner *python(void)
{
	struct owner *owner = owner_new(4711, NOON - HOUR, 1000);

	assert_non_null(owner);
	strcpy(owner->comm, "python3");
	owner->exe = strdup("/usr/bin/python3.11");
	owner->cmdline = strdup("python3 client.py");
	owner->user = strdup("anna");
	owner->cgroup = strdup("/user.slice/x");
	owner->exe_inode = 99;
	owner->exe_device = 66305;
	return owner;
}

static void a_session_comes_back_as_it_was_put(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	CLEANUP(owner_unref_ptr) struct owner *owner = python();
	struct session put_in = session_of(UINT64_MAX, 51423, NOON, NOON + SECOND);
	struct ledger_question all = {0};
	const struct session *found;

	put_in.owner = owner;
	put_in.id.use = UINT32_MAX;
	put_in.tx_bytes = 17;
	put_in.port_free_ns = NOON + HOUR;
	put_in.end_reason = END_RESET;
	put_in.direction = DIRECTION_IN;
	assert_int_equal(ledger_put(ledger, &put_in, NULL), 0);
	commit(ledger, NOON + SECOND);

	assert_int_equal(ledger_ask(ledger, &all, &query, NULL), 0);
	assert_int_equal(ledger_query_next(query, &found, NULL), 1);
	assert_ptr_not_equal(found->owner, owner);
	assert_int_equal(found->owner->pid, 4711);
	assert_int_equal(found->owner->pid_start_ns, NOON - HOUR);
	assert_int_equal(found->owner->uid, 1000);
	assert_int_equal(found->owner->exe_inode, 99);
	assert_int_equal(found->owner->exe_device, 66305);
	assert_string_equal(found->owner->comm, "python3");
	assert_string_equal(found->owner->exe, "/usr/bin/python3.11");
	assert_string_equal(found->owner->cmdline, "python3 client.py");
	assert_string_equal(found->owner->user, "anna");
	assert_string_equal(found->owner->cgroup, "/user.slice/x");
	assert_null(found->owner->unit);
	assert_null(found->owner->container);
	put_in.owner = found->owner;
	assert_string_equal(found->id.boot, put_in.id.boot);
	assert_string_equal(found->pool, put_in.pool);
	assert_true(found->id.netns == 1 && found->id.cookie == UINT64_MAX &&
		    found->id.use == UINT32_MAX);
	assert_true(address_equal(&found->src, &put_in.src));
	assert_true(address_equal(&found->dst, &put_in.dst));
	assert_int_equal(found->sport, 51423);
	assert_int_equal(found->dport, 443);
	assert_int_equal(found->protocol, IPPROTO_TCP);
	assert_int_equal(found->direction, DIRECTION_IN);
	assert_int_equal(found->start_ns, NOON);
	assert_int_equal(found->end_ns, NOON + SECOND);
	assert_int_equal(found->port_free_ns, NOON + HOUR);
	assert_int_equal(found->end_reason, END_RESET);
	assert_int_equal(found->picked_by, PICKED_BY_SRCPORT);
	assert_int_equal(found->tx_bytes, 17);
	assert_true(found->rx_bytes == BYTES_UNKNOWN);
}

static void what_is_not_known_stays_unknown(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct session bare = {.id = {.boot = BOOT, .cookie = 1}, .start_ns = NOON};
	struct answer answer;

	assert_int_equal(ledger_put(ledger, &bare, NULL), 0);
	commit(ledger, NOON);
	answer = ask(*state, 0, 0, NULL);
	assert_int_equal(answer.count, 1);
	assert_false(address_is_known(&answer.last.src));
	assert_int_equal(answer.last.end_ns, 0);
	assert_int_equal(answer.last.port_free_ns, 0);
	assert_string_equal(answer.last.pool, "");
	assert_string_equal(answer.last_exe, "");
}

static void a_session_is_seen_at_each_moment_it_was_open_and_at_no_other(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON + 10 * SECOND, NOON + 20 * SECOND);
	commit(ledger, NOON + 30 * SECOND);
	assert_int_equal(ask(*state, NOON, NOON + 9 * SECOND, NULL).count, 0);
	assert_int_equal(ask(*state, NOON, NOON + 10 * SECOND, NULL).count, 1);
	assert_int_equal(
		ask(*state, NOON + 15 * SECOND, NOON + 15 * SECOND, NULL).count, 1);
	assert_int_equal(
		ask(*state, NOON + 20 * SECOND, NOON + 20 * SECOND, NULL).count, 1);
	assert_int_equal(ask(*state, NOON + 20 * SECOND + 1, 0, NULL).count, 0);
}

static void a_session_put_twice_is_one_and_has_its_end(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	put(ledger, 1, 0, NOON, 0);
	put(ledger, 1, 50001, NOON, 0);
	commit(ledger, NOON + SECOND);
	assert_int_equal(ask(*state, 0, 0, "sport = 50001").last.end_ns, 0);
	put(ledger, 1, 50002, NOON, 0);
	commit(ledger, NOON + 2 * SECOND);
	put(ledger, 1, 50002, NOON, NOON + 3 * SECOND);
	commit(ledger, NOON + 3 * SECOND);

	assert_int_equal(ask(*state, 0, 0, "sport = 50001").count, 0);
	answer = ask(*state, 0, 0, "sport = 50002");
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.end_ns, NOON + 3 * SECOND);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1);
}

static void one_cookie_in_two_uses_boots_or_namespaces_is_as_many_sessions(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct session session = session_of(1, 50000, NOON, 0);

	assert_int_equal(ledger_put(ledger, &session, NULL), 0);
	session.id.use = 1;
	assert_int_equal(ledger_put(ledger, &session, NULL), 0);
	session.id.netns = 2;
	assert_int_equal(ledger_put(ledger, &session, NULL), 0);
	session.id.boot[0] = '9';
	assert_int_equal(ledger_put(ledger, &session, NULL), 0);
	commit(ledger, NOON);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 4);
}

static void an_owner_is_stored_once_a_day_also_after_a_restart(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = python();
	struct session session = session_of(1, 50000, NOON, NOON + 1);
	struct ledger *ledger;

	session.owner = owner;
	for (int round = 0; round < 3; round++) {
		ledger = open_at(*state, NOON);
		owner->ledger_id = 0;
		for (int i = 0; i < 10; i++) {
			session.id.cookie++;
			assert_int_equal(ledger_put(ledger, &session, NULL), 0);
			commit(ledger, NOON);
		}
		ledger_close(ledger);
	}
	assert_int_equal(
		count_rows(*state, "2026-11-22.db", "SELECT count(*) FROM owner"), 1);
	assert_int_equal(
		count_rows(*state, "2026-11-22.db", "SELECT count(*) FROM session"),
		30);
	assert_string_equal(ask(*state, 0, 0, "exe = python3.11").last_exe,
			    "/usr/bin/python3.11");
}

/* More than a slot of rows, so that the index is asked slot by slot. */
static void a_port_is_found_among_many_thousands(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	for (unsigned int i = 0; i < 50000; i++)
		put(ledger, i, (uint16_t)(10000 + i % 25000), NOON + i, NOON + i + 1);
	commit(ledger, NOON + SECOND);
	answer = ask(*state, 0, 0, "sport = 34999");
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.last.start_ns, NOON + 49999);
	assert_int_equal(ask(*state, NOON + 24999, NOON + 24999, "sport = 34999").count,
			 1);
	assert_int_equal(ask(*state, 0, 0, "sport = 9999").count, 0);
}

static void a_long_search_in_vain_lets_the_caller_do_other_work(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	for (unsigned int i = 0; i < 40000; i++)
		put(ledger, i, 50000, NOON, NOON + 1);
	commit(ledger, NOON + SECOND);
	answer = ask(*state, 0, 0, "dport = 1");
	assert_int_equal(answer.count, 0);
	assert_true(answer.again >= 5);
	answer = ask(*state, 0, 0, NULL);
	assert_int_equal(answer.count, 40000);
}

static void
a_reader_sees_commits_while_the_writer_writes_and_nothing_before(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, 0);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 0);
	commit(ledger, NOON);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1);
	put(ledger, 2, 50000, NOON, 0);
	commit(ledger, NOON);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 2);
}

static void
closing_commits_and_leaves_one_file_that_reading_does_not_add_to(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, 0);
	ledger_close(ledger);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1);
	assert_true(is_there(*state, "2026-11-22.db"));
	assert_false(is_there(*state, "2026-11-22.db-wal"));
	assert_false(is_there(*state, "2026-11-22.db-shm"));
}

/* A child commits and ends without a word, as by kill -9: the WAL is left hot. */
static void
after_a_kill_everything_committed_is_there_and_the_open_ones_known(void **state)
{
	struct ledger *ledger;
	unsigned int visited = 0;
	pid_t child = fork();
	int status;

	if (child == 0) {
		ledger = open_at(*state, NOON);
		for (unsigned int i = 0; i < 1000; i++)
			put(ledger, i, 50000, NOON, i < 10 ? 0 : NOON + SECOND);
		ledger_beat(ledger, NOON + SECOND, NULL);
		commit(ledger, NOON + SECOND);
		put(ledger, 5000, 50000, NOON, 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(is_there(*state, "2026-11-22.db-wal"));
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1000);

	ledger = open_at(*state, NOON + HOUR);
	assert_int_equal(ledger_last_beat(ledger), NOON + SECOND);
	assert_int_equal(ledger_visit_open(ledger, count_visit, &visited, NULL), 10);
	assert_int_equal(visited, 10);
	put(ledger, 3, 50000, NOON, NOON + HOUR);
	commit(ledger, NOON + HOUR);
	assert_int_equal(ledger_visit_open(ledger, count_visit, &visited, NULL), 9);
	ledger_close(ledger);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1000);
}

static int end_it(const struct session *session, void *arg)
{
	struct session ended = *session;

	ended.end_ns = NOON + HOUR;
	ended.end_reason = END_LOST;
	return ledger_put(arg, &ended, NULL);
}

static void open_sessions_can_be_ended_as_they_are_visited(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);

	for (unsigned int i = 0; i < 30000; i++)
		put(ledger, i, 50000, NOON, 0);
	commit(ledger, NOON);
	assert_int_equal(ledger_visit_open(ledger, end_it, ledger, NULL), 30000);
	commit(ledger, NOON + HOUR);
	assert_int_equal(ledger_visit_open(ledger, end_it, ledger, NULL), 0);
	assert_int_equal(ask(*state, 0, 0, "reason = lost").count, 30000);
}

static void a_gap_is_told_with_the_period_it_falls_into(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct gap gap = {NOON + 10 * SECOND, NOON + 20 * SECOND, 42, "ring full"};
	struct answer answer;

	assert_int_equal(ledger_put_gap(ledger, &gap, NULL), 0);
	commit(ledger, NOON + 20 * SECOND);
	answer = ask(*state, NOON + 15 * SECOND, NOON + 15 * SECOND, NULL);
	assert_int_equal(answer.gap_count, 1);
	assert_int_equal(answer.gap.lost_count, 42);
	assert_string_equal(answer.gap.cause, "ring full");
	assert_int_equal(ask(*state, NOON, NOON + 9 * SECOND, NULL).gap_count, 0);
	assert_int_equal(ask(*state, NOON + 21 * SECOND, 0, NULL).gap_count, 0);
}

static void the_memory_ledger_answers_who_holds_it(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at("memory:", NOON);
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	struct ledger_question question = {.from_ns = NOON, .until_ns = NOON};
	struct fault fault = {0};
	struct answer answer;

	(void)state;
	put(ledger, 1, 50000, NOON, 0);
	put(ledger, 1, 50000, NOON, NOON + SECOND);
	put(ledger, 2, 50000, NOON + SECOND, 0);
	assert_int_equal(ledger_query_open("memory:", &question, &query, &fault),
			 -EOPNOTSUPP);
	assert_int_equal(ledger_ask(ledger, &question, &query, &fault), 0);
	read_answer(query, &answer);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.end_ns, NOON + SECOND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_FILES(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
		ON_FILES(a_session_comes_back_as_it_was_put),
		ON_FILES(what_is_not_known_stays_unknown),
		ON_FILES(a_session_is_seen_at_each_moment_it_was_open_and_at_no_other),
		ON_FILES(a_session_put_twice_is_one_and_has_its_end),
		ON_FILES(
			one_cookie_in_two_uses_boots_or_namespaces_is_as_many_sessions),
		ON_FILES(an_owner_is_stored_once_a_day_also_after_a_restart),
		ON_FILES(a_port_is_found_among_many_thousands),
		ON_FILES(a_long_search_in_vain_lets_the_caller_do_other_work),
		ON_FILES(
			a_reader_sees_commits_while_the_writer_writes_and_nothing_before),
		ON_FILES(
			closing_commits_and_leaves_one_file_that_reading_does_not_add_to),
		ON_FILES(
			after_a_kill_everything_committed_is_there_and_the_open_ones_known),
		ON_FILES(open_sessions_can_be_ended_as_they_are_visited),
		ON_FILES(a_gap_is_told_with_the_period_it_falls_into),
		cmocka_unit_test(the_memory_ledger_answers_who_holds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
