/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Midnight, days without a writer, clocks that are set back, and deletion. */
#include "test_ledger.h"

static void
a_session_open_at_midnight_is_found_on_both_days_and_once_over_both(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	put(ledger, 1, 50000, NOON, 0);
	put(ledger, 2, 50000, NOON, NOON + SECOND);
	commit(ledger, NOON + SECOND);
	commit(ledger, DAY_TWO + SECOND);
	put(ledger, 1, 50000, NOON, DAY_TWO + HOUR);
	put(ledger, 3, 50000, DAY_TWO + HOUR, DAY_TWO + HOUR);
	commit(ledger, DAY_TWO + HOUR);
	assert_true(is_there(*state, "2026-11-23.db"));

	answer = ask(*state, NOON + HOUR, NOON + HOUR, "sport = 50000");
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.end_ns, DAY_TWO + HOUR);
	assert_int_equal(answer.last.end_reason, END_FIN);
	answer = ask(*state, DAY_TWO + SECOND, DAY_TWO + SECOND, "sport = 50000");
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.start_ns, NOON);
	assert_int_equal(ask(*state, NOON, DAY_TWO + DAY, NULL).count, 3);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 3);
	assert_int_equal(ask(*state, DAY_TWO + HOUR + 1, 0, NULL).count, 0);
}

/* Nothing was committed between the close, just past midnight, and the roll. */
static void
a_close_between_midnight_and_the_next_commit_is_seen_from_both_days(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	put(ledger, 1, 50001, NOON, 0);
	commit(ledger, DAY_TWO - SECOND);
	put(ledger, 1, 50001, NOON, DAY_TWO + 200);
	put(ledger, 2, 50001, DAY_TWO - 100, DAY_TWO + 300);
	put(ledger, 3, 50001, DAY_TWO - 100, DAY_TWO - 50);
	put(ledger, 4, 50001, DAY_TWO + 100, DAY_TWO + 400);
	put(ledger, 5, 50001, DAY_TWO + 100, 0);
	commit(ledger, DAY_TWO + 500);

	assert_int_equal(ask(*state, DAY_TWO + 250, DAY_TWO + 250, NULL).count, 3);
	assert_int_equal(ask(*state, DAY_TWO - 60, DAY_TWO - 60, NULL).count, 3);
	answer = ask(*state, NOON, NOON, NULL);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.end_ns, DAY_TWO + 200);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 5);
	assert_int_equal(ask(*state, DAY_TWO + 401, 0, NULL).count, 1);
}

static void a_session_is_followed_over_many_days_to_its_end(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);
	struct answer answer;

	put(ledger, 1, 50000, NOON, 0);
	for (int day = 1; day < 5; day++)
		commit(ledger, NOON + day * DAY);
	put(ledger, 1, 50000, NOON, NOON + 4 * DAY + HOUR);
	ledger_close(ledger);
	for (int day = 0; day < 5; day++) {
		answer = ask(*state, NOON + day * DAY, NOON + day * DAY, NULL);
		assert_int_equal(answer.count, 1);
		assert_int_equal(answer.last.end_ns, NOON + 4 * DAY + HOUR);
	}
	assert_int_equal(ask(*state, 0, 0, "sport = 50000").count, 1);
}

static void days_without_a_writer_belong_to_the_file_before_them(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);
	struct gap gap = {NOON + SECOND, NOON + 3 * DAY, 0, "srcportd not running"};
	struct answer answer;

	put(ledger, 1, 50000, NOON, 0);
	put(ledger, 2, 50000, NOON, NOON + 1);
	ledger_close(ledger);
	ledger = open_at(*state, NOON + 3 * DAY);
	put(ledger, 1, 50000, NOON, NOON + 2 * DAY);
	assert_int_equal(ledger_put_gap(ledger, &gap, NULL), 0);
	ledger_close(ledger);

	answer = ask(*state, NOON + DAY, NOON + DAY, NULL);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.last.end_ns, NOON + 2 * DAY);
	assert_int_equal(answer.gap_count, 1);
	assert_int_equal(
		ask(*state, NOON + 2 * DAY + 1, NOON + 2 * DAY + 1, NULL).count, 0);
}

static uint64_t last_beat(const char *folder)
{
	const struct ledger_question all = {0};
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	uint64_t beat_ns = 1;

	assert_int_equal(ledger_query_open(folder, &all, &query, NULL), 0);
	assert_int_equal(ledger_query_last_beat(query, &beat_ns, NULL), 0);
	return beat_ns;
}

static void a_reader_learns_the_last_beat_while_and_after_it_is_written(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	assert_int_equal(last_beat(*state), NOON);
	assert_int_equal(ledger_beat(ledger, NOON + SECOND, NULL), 0);
	assert_int_equal(last_beat(*state), NOON + SECOND);
	commit(ledger, NOON + DAY);
	assert_int_equal(ledger_beat(ledger, NOON + DAY + SECOND, NULL), 0);
	ledger_close(ledger);
	assert_int_equal(last_beat(*state), NOON + DAY + SECOND);
	/* As a writer leaves it that was killed as it began the day. */
	write_file(*state, "2026-11-25.db", "");
	assert_int_equal(last_beat(*state), NOON + DAY + SECOND);
}

/* No day but the one asked about, and the next for what is open and for gaps. */
static void a_question_about_one_moment_does_not_open_every_day(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, NOON + 1);
	for (int day = 1; day < 4; day++)
		commit(ledger, NOON + day * DAY);
	ledger_close(ledger);
	write_file(*state, "2026-11-24.db",
		   "a file whose opening would be a fault, as "
		   "it is not of the kind it should be");
	assert_int_equal(ask(*state, NOON, NOON, NULL).count, 1);
	assert_int_equal(ask(*state, NOON + 3 * DAY, 0, NULL).count, 0);
}

static void a_clock_set_back_neither_goes_back_a_file_nor_hides_sessions(void **state)
{
	struct ledger *ledger = open_at(*state, NOON - 2 * DAY);
	uint64_t back = NOON - 2 * DAY + HOUR;

	commit(ledger, NOON - DAY);
	commit(ledger, NOON);
	put(ledger, 1, 50000, back, back + SECOND);
	commit(ledger, back + SECOND);
	ledger_close(ledger);
	ledger = open_at(*state, back + HOUR);
	put(ledger, 2, 50000, back + HOUR, back + HOUR + SECOND);
	commit(ledger, back + HOUR + SECOND);
	ledger_close(ledger);

	assert_int_equal(
		count_rows(*state, "2026-11-22.db", "SELECT count(*) FROM session"), 2);
	assert_int_equal(ask(*state, back, back, NULL).count, 1);
	assert_int_equal(ask(*state, back + HOUR, back + HOUR, NULL).count, 1);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 2);
	assert_int_equal(ask(*state, NOON, NOON, NULL).count, 0);
}

static void a_file_left_empty_by_a_kill_hides_nothing_and_is_used(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, 0);
	ledger_close(ledger);
	write_file(*state, "2026-11-23.db", "");
	assert_int_equal(ask(*state, DAY_TWO, DAY_TWO, NULL).count, 1);

	ledger = open_at(*state, DAY_TWO);
	put(ledger, 1, 50000, NOON, DAY_TWO + SECOND);
	ledger_close(ledger);
	assert_int_equal(
		count_rows(*state, "2026-11-23.db", "SELECT count(*) FROM session"), 1);
	assert_int_equal(ask(*state, 0, 0, NULL).last.end_ns, DAY_TWO + SECOND);
}

static void pruning_deletes_old_days_and_no_others(void **state)
{
	CLEANUP(ledger_close_ptr) struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, 0);
	for (int day = 1; day < 4; day++)
		commit(ledger, NOON + day * DAY);
	write_file(*state, "notes.txt", "mine");
	write_file(*state, "2026-11-22.since-2026-11-20", "");
	assert_int_equal(
		ledger_prune(ledger, NOON + 3 * DAY, 2 * DAY + 13 * HOUR, NULL), 0);
	assert_int_equal(ledger_prune(ledger, NOON + 3 * DAY, 2 * DAY, NULL), 1);
	assert_false(is_there(*state, "2026-11-22.db"));
	assert_false(is_there(*state, "2026-11-22.since-2026-11-20"));
	assert_true(is_there(*state, "2026-11-23.db"));
	assert_int_equal(ledger_prune(ledger, NOON + 99 * DAY, 0, NULL), 2);
	assert_true(is_there(*state, "2026-11-25.db"));
	assert_true(is_there(*state, "notes.txt"));
	assert_int_equal(ask(*state, 0, 0, NULL).count, 1);
}

static void the_last_beat_is_that_of_the_writer_before_also_days_later(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	assert_int_equal(ledger_last_beat(ledger), 0);
	assert_int_equal(ledger_beat(ledger, NOON + HOUR, NULL), 0);
	ledger_close(ledger);
	ledger = open_at(*state, NOON + 5 * DAY);
	assert_int_equal(ledger_last_beat(ledger), NOON + HOUR);
	ledger_close(ledger);
}

/* It is killed before its first commit. */
static void write_and_die(const char *folder, uint64_t now_ns)
{
	const struct gap gap = {.from_ns = NOON, .until_ns = now_ns};
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct ledger *ledger = open_at(folder, now_ns);

		assert_int_equal(ledger_put_gap(ledger, &gap, NULL), 0);
		put(ledger, 1, 50000, now_ns, now_ns);
		assert_int_equal(ledger_beat(ledger, now_ns + SECOND, NULL), 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_beat_waits_for_the_gap_and_the_sessions_before_it(void **state)
{
	struct ledger *ledger;

	ledger_close(open_at(*state, NOON));
	write_and_die(*state, NOON + HOUR);
	assert_int_equal(last_beat(*state), NOON);
	write_and_die(*state, NOON + DAY);
	assert_int_equal(last_beat(*state), NOON);
	ledger = open_at(*state, NOON + 2 * DAY);
	assert_int_equal(ledger_last_beat(ledger), NOON);
	put(ledger, 1, 50000, NOON, 0);
	assert_int_equal(ledger_beat(ledger, NOON + 2 * DAY, NULL), 0);
	assert_int_equal(last_beat(*state), NOON);
	commit(ledger, NOON + 2 * DAY);
	assert_int_equal(last_beat(*state), NOON + 2 * DAY);
	ledger_close(ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_FILES(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
		ON_FILES(
			a_session_open_at_midnight_is_found_on_both_days_and_once_over_both),
		ON_FILES(
			a_close_between_midnight_and_the_next_commit_is_seen_from_both_days),
		ON_FILES(a_session_is_followed_over_many_days_to_its_end),
		ON_FILES(days_without_a_writer_belong_to_the_file_before_them),
		ON_FILES(a_reader_learns_the_last_beat_while_and_after_it_is_written),
		ON_FILES(a_question_about_one_moment_does_not_open_every_day),
		ON_FILES(a_clock_set_back_neither_goes_back_a_file_nor_hides_sessions),
		ON_FILES(a_file_left_empty_by_a_kill_hides_nothing_and_is_used),
		ON_FILES(pruning_deletes_old_days_and_no_others),
		ON_FILES(the_last_beat_is_that_of_the_writer_before_also_days_later),
		ON_FILES(a_beat_waits_for_the_gap_and_the_sessions_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
