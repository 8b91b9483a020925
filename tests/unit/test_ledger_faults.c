/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What cannot be written or read is named, and nothing is changed by it. */
#include "test_ledger.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define FULL_COUNT 210000 /* sessions: more than the writer keeps in memory */
#define KEPT_COUNT 200000

static void expect_refused(const char *url, uint64_t now_ns, int err, const char *words)
{
	struct ledger *ledger = NULL;
	struct fault fault = {0};

	assert_int_equal(ledger_open(url, now_ns, &ledger, &fault), err);
	assert_null(ledger);
	if (!strstr(fault.text, words))
		fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
}

static void expect_unreadable(const char *url, int err, const char *words)
{
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	struct ledger_question all = {0};
	const struct session *session;
	struct fault fault = {0};
	int found;

	found = ledger_query_open(url, &all, &query, &fault);
	if (found == 0)
		found = ledger_query_next(query, &session, &fault);
	assert_int_equal(found, err);
	if (!strstr(fault.text, words))
		fail_msg("\"%s\" does not say \"%s\"", fault.text, words);
}

static void a_file_that_is_no_database_is_refused_and_left_as_it_was(void **state)
{
	static const char text[] =
		"This is a letter, and by no means a database. It is "
		"long enough to have a header, though not that of "
		"SQLite, and so it must not be touched.\n";
	char now[sizeof(text) + 8] = "";
	CLEANUP_FREE char *path = NULL;
	FILE *file;

	write_file(*state, "2026-11-22.db", text);
	expect_refused(*state, NOON, -EBADMSG, "2026-11-22.db");
	expect_refused(*state, DAY_TWO, -EBADMSG, "move it away");
	expect_unreadable(*state, -EBADMSG, "2026-11-22.db");
	assert_true(asprintf(&path, "%s/2026-11-22.db", (char *)*state) > 0);
	file = fopen(path, "r");
	assert_int_equal(fread(now, 1, sizeof(now), file), strlen(text));
	fclose(file);
	assert_string_equal(now, text);
	assert_false(is_there(*state, "2026-11-23.db"));
	assert_false(is_there(*state, "2026-11-22.db-wal"));
}

static void a_database_that_is_no_ledger_is_refused(void **state)
{
	run_sql(*state, "2026-11-22.db", "CREATE TABLE session (sport TEXT)");
	expect_refused(*state, NOON, -EBADMSG, "not a ledger");
	expect_unreadable(*state, -EBADMSG, "not a ledger");
}

static void a_newer_schema_is_refused_by_its_number(void **state)
{
	ledger_close(open_at(*state, NOON));
	run_sql(*state, "2026-11-22.db", "PRAGMA user_version = 77");
	expect_refused(*state, NOON, -EPROTONOSUPPORT, "schema 77");
	expect_unreadable(*state, -EPROTONOSUPPORT, "schema 77");
}

static void a_row_that_cannot_be_is_a_fault_and_not_an_answer(void **state)
{
	struct ledger *ledger = open_at(*state, NOON);

	put(ledger, 1, 50000, NOON, NOON + 1);
	ledger_close(ledger);
	run_sql(*state, "2026-11-22.db", "UPDATE session SET dport = 70000");
	expect_unreadable(*state, -EBADMSG, "2026-11-22.db");
	run_sql(*state, "2026-11-22.db", "UPDATE session SET dport = 7, src = x'0102'");
	expect_unreadable(*state, -EBADMSG, "2026-11-22.db");
	run_sql(*state, "2026-11-22.db", "UPDATE session SET src = NULL, owner = 12");
	expect_unreadable(*state, -EBADMSG, "2026-11-22.db");
}

static void a_second_writer_is_refused_until_the_first_closes(void **state)
{
	struct ledger *first = open_at(*state, NOON);

	expect_refused(*state, NOON, -EBUSY, "another srcportd");
	ledger_close(first);
	ledger_close(open_at(*state, NOON));
}

static void a_path_that_is_a_file_is_refused(void **state)
{
	CLEANUP_FREE char *path = NULL;

	write_file(*state, "ledger", "a file");
	assert_true(asprintf(&path, "%s/ledger", (char *)*state) > 0);
	expect_refused(path, NOON, -ENOTDIR, "/ledger: is a file");
	expect_unreadable(path, -ENOTDIR, "/ledger: is a file");
	free(path);
	assert_true(asprintf(&path, "%s/ledger/inner", (char *)*state) > 0);
	expect_refused(path, NOON, -ENOTDIR, "/inner: a part of its path is a file");
	expect_unreadable(path, -ENOTDIR, "/inner: a part of its path is a file");
}

static void a_day_file_that_is_a_folder_is_refused(void **state)
{
	CLEANUP_FREE char *path = NULL;

	assert_true(asprintf(&path, "%s/2026-11-22.db", (char *)*state) > 0);
	assert_int_equal(mkdir(path, 0750), 0);
	expect_refused(*state, NOON, -EISDIR, "2026-11-22.db: is a folder");
	expect_unreadable(*state, -EISDIR, "2026-11-22.db: is a folder");
}

static void a_reader_makes_no_folder_where_there_is_none(void **state)
{
	CLEANUP_FREE char *path = NULL;
	struct ledger *ledger;

	assert_true(asprintf(&path, "%s/a/b", (char *)*state) > 0);
	expect_unreadable(path, -ENOENT, path);
	assert_false(is_there(*state, "a"));
	ledger = open_at(path, NOON);
	ledger_close(ledger);
	assert_true(is_there(*state, "a/b/2026-11-22.db"));
}

static void a_url_of_an_unknown_kind_is_refused(void **state)
{
	(void)state;
	expect_refused("postgres:x", NOON, -EPROTONOSUPPORT, "postgres");
	expect_refused("", NOON, -EINVAL, "no path");
}

/*
 * Run fn in a child with a tmpfs of its own over folder, which the host does not see.
 * The test is skipped where the child may not mount.
 */
static void on_a_mount(const char *folder, const char *options,
		       void fn(const char *folder))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("tmpfs", folder, "tmpfs", 0, options) < 0)
			_exit(77);
		fn(folder);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: a mount namespace is not allowed here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void remount(const char *folder, unsigned long flags, const char *options)
{
	if (mount(NULL, folder, NULL, MS_REMOUNT | flags, options) < 0)
		fail_msg("remount: %s", strerror(errno));
}

static void write_then_freeze(const char *folder)
{
	CLEANUP_FREE char *missing = NULL;
	struct ledger *ledger = open_at(folder, NOON);

	put(ledger, 1, 50000, NOON, 0);
	ledger_close(ledger);
	remount(folder, MS_RDONLY, NULL);
	expect_refused(folder, NOON, -EROFS, folder);
	expect_refused(folder, DAY_TWO, -EROFS, "read-only file system");
	assert_int_equal(ask(folder, 0, 0, NULL).count, 1);
	assert_true(asprintf(&missing, "%s/new", folder) > 0);
	expect_refused(missing, NOON, -EROFS, "/new");
}

static void a_read_only_mount_is_refused_for_writing_and_can_be_read(void **state)
{
	on_a_mount(*state, "size=1m", write_then_freeze);
}

static void die_then_freeze(const char *folder)
{
	pid_t child = fork();

	if (child == 0) {
		struct ledger *ledger = open_at(folder, NOON);

		put(ledger, 1, 50000, NOON, 0);
		commit(ledger, NOON);
		_exit(0);
	}
	assert_int_equal(waitpid(child, NULL, 0), child);
	remount(folder, MS_RDONLY, NULL);
	assert_true(is_there(folder, "2026-11-22.db-wal"));
	assert_int_equal(ask(folder, 0, 0, NULL).count, 1);
}

static void a_read_only_mount_with_a_killed_writers_log_can_be_read(void **state)
{
	on_a_mount(*state, "size=1m", die_then_freeze);
}

/* Leave no more than bytes free. */
static void fill(const char *folder, size_t bytes)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int fd = -1;
	char page[4096] = "";
	off_t size = 0;

	assert_true(asprintf(&path, "%s/ballast", folder) > 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, page, sizeof(page)) == (ssize_t)sizeof(page))
		size += sizeof(page);
	assert_int_equal(ftruncate(fd, size - (off_t)bytes), 0);
}

static void open_when_full(const char *folder)
{
	CLEANUP_FREE char *inner = NULL;
	CLEANUP_FREE char *ballast = NULL;

	assert_true(asprintf(&inner, "%s/ledger", folder) > 0);
	assert_true(asprintf(&ballast, "%s/ballast", folder) > 0);
	fill(folder, 0);
	expect_refused(inner, NOON, -ENOSPC, "disk is full");
	assert_false(is_there(folder, "ledger"));
	/* A little room: enough for a file, too little for what is in it. */
	for (size_t pages = 1; pages < 8; pages++) {
		assert_int_equal(unlink(ballast), 0);
		fill(folder, pages * 4096);
		expect_refused(inner, NOON, -ENOSPC, "disk is full");
		assert_false(is_there(folder, "ledger"));
	}
	assert_int_equal(unlink(ballast), 0);
	ledger_close(open_at(inner, NOON));
	fill(folder, 0);
	expect_refused(inner, NOON, -ENOSPC, "disk is full");
	expect_refused(inner, DAY_TWO, -ENOSPC, "disk is full");
	assert_false(is_there(inner, "2026-11-23.db"));
}

static void a_full_disk_is_found_out_when_the_ledger_is_opened(void **state)
{
	on_a_mount(*state, "size=1m", open_when_full);
}

static struct answer ask_writer(struct ledger *ledger, uint64_t from_ns)
{
	const struct ledger_question question = {.from_ns = from_ns};
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	struct answer answer;

	assert_int_equal(ledger_ask(ledger, &question, &query, NULL), 0);
	read_answer(query, &answer);
	return answer;
}

static void fill_under_the_writer(const char *folder)
{
	struct ledger *ledger = open_at(folder, NOON);
	struct fault fault = {0};
	struct answer answer;

	put(ledger, 1, 50000, NOON, 0);
	commit(ledger, NOON);
	fill(folder, 0);
	for (unsigned int i = 0; i < FULL_COUNT; i++)
		put(ledger, 2 + i, 50000, NOON + SECOND, NOON + 2 * SECOND);
	put(ledger, 1, 50000, NOON, NOON + SECOND);
	assert_int_equal(ledger_commit(ledger, NOON + 3 * SECOND, &fault), -ENOSPC);
	assert_non_null(strstr(fault.text, "2026-11-22.db"));
	assert_int_equal(ledger_commit(ledger, DAY_TWO, &fault), -ENOSPC);
	assert_int_equal(ask(folder, 0, 0, NULL).count, 1);
	assert_int_equal(ask_writer(ledger, 0).gap_count, 1);
	assert_int_equal(ask_writer(ledger, 0).gap.lost_count, FULL_COUNT - KEPT_COUNT);
	assert_int_equal(ask_writer(ledger, NOON + HOUR).gap_count, 0);

	remount(folder, 0, "size=256m");
	commit(ledger, NOON + 4 * SECOND);
	answer = ask(folder, 0, 0, NULL);
	assert_int_equal(answer.count, 1 + KEPT_COUNT);
	assert_int_equal(answer.gap_count, 1);
	assert_int_equal(answer.gap.lost_count, FULL_COUNT - KEPT_COUNT);
	assert_int_equal(answer.gap.from_ns, NOON + SECOND);
	assert_int_equal(answer.gap.until_ns, NOON + 2 * SECOND);
	ledger_close(ledger);
}

static void
what_a_full_disk_refused_is_written_later_and_the_rest_is_a_gap(void **state)
{
	on_a_mount(*state, "size=1m", fill_under_the_writer);
}

static void a_ledger_taken_away_is_begun_again_with_a_gap(void **state)
{
	CLEANUP_FREE char *folder = NULL;
	CLEANUP_FREE char *aside = NULL;
	struct ledger *ledger, *second = NULL;
	struct answer answer;

	assert_true(asprintf(&folder, "%s/ledger", (char *)*state) > 0);
	assert_true(asprintf(&aside, "%s/aside", (char *)*state) > 0);
	ledger = open_at(folder, NOON);
	put(ledger, 1, 50000, NOON, 0);
	put(ledger, 2, 50001, NOON, NOON + 1);
	commit(ledger, NOON + 1);
	assert_int_equal(rename(folder, aside), 0);
	put(ledger, 1, 50000, NOON, NOON + SECOND);
	put(ledger, 3, 50002, NOON + SECOND, NOON + SECOND);
	commit(ledger, NOON + SECOND);
	answer = ask(folder, 0, 0, NULL);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.gap_count, 1);
	assert_int_equal(answer.gap.from_ns, DAY_ONE);
	assert_int_equal(answer.gap.until_ns, NOON + SECOND);
	assert_int_equal(ledger_open(folder, NOON, &second, NULL), -EBUSY);
	ledger_close(ledger);
	assert_int_equal(ask(folder, 0, 0, NULL).count, 2);
	assert_int_equal(ask(aside, 0, 0, NULL).count, 2);
}

/* Also where the folder stays, and with it the lock. */
static void a_file_taken_away_is_begun_again(void **state)
{
	CLEANUP_FREE char *path = NULL;
	struct ledger *ledger = open_at(*state, NOON);

	assert_true(asprintf(&path, "%s/2026-11-22.db", (char *)*state) > 0);
	put(ledger, 1, 50000, NOON, NOON + 1);
	commit(ledger, NOON + 1);
	assert_int_equal(unlink(path), 0);
	put(ledger, 2, 50000, NOON, NOON + 2);
	commit(ledger, NOON + 2);
	put(ledger, 3, 50000, NOON, NOON + 3);
	commit(ledger, NOON + 3);
	ledger_close(ledger);
	assert_int_equal(ask(*state, 0, 0, NULL).count, 2);
	assert_int_equal(ask(*state, 0, 0, NULL).gap_count, 1);
}

/* chattr +i or -i: what stops even root. False where the file system has no such flag.
 */
static bool set_immutable(const char *path, bool is_immutable)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flags;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return false;
	flags = is_immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static void an_immutable_file_or_folder_is_refused(void **state)
{
	CLEANUP_FREE char *path = NULL;
	struct ledger *ledger = NULL;
	int of_file, of_folder;

	assert_true(asprintf(&path, "%s/2026-11-22.db", (char *)*state) > 0);
	ledger_close(open_at(*state, NOON));
	if (!set_immutable(path, true)) {
		print_message("skipped: chattr +i is not possible here\n");
		skip();
	}
	of_file = ledger_open(*state, NOON, &ledger, NULL);
	set_immutable(path, false);
	set_immutable(*state, true);
	of_folder = ledger_open(*state, DAY_TWO, &ledger, NULL);
	set_immutable(*state, false);
	assert_int_equal(of_file, -EACCES);
	assert_int_equal(of_folder, -EACCES);
	assert_null(ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define ON_FILES(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
		ON_FILES(a_file_that_is_no_database_is_refused_and_left_as_it_was),
		ON_FILES(a_database_that_is_no_ledger_is_refused),
		ON_FILES(a_newer_schema_is_refused_by_its_number),
		ON_FILES(a_row_that_cannot_be_is_a_fault_and_not_an_answer),
		ON_FILES(a_second_writer_is_refused_until_the_first_closes),
		ON_FILES(a_path_that_is_a_file_is_refused),
		ON_FILES(a_day_file_that_is_a_folder_is_refused),
		ON_FILES(a_reader_makes_no_folder_where_there_is_none),
		cmocka_unit_test(a_url_of_an_unknown_kind_is_refused),
		ON_FILES(a_read_only_mount_is_refused_for_writing_and_can_be_read),
		ON_FILES(a_read_only_mount_with_a_killed_writers_log_can_be_read),
		ON_FILES(a_ledger_taken_away_is_begun_again_with_a_gap),
		ON_FILES(a_file_taken_away_is_begun_again),
		ON_FILES(a_full_disk_is_found_out_when_the_ledger_is_opened),
		ON_FILES(
			what_a_full_disk_refused_is_written_later_and_the_rest_is_a_gap),
		ON_FILES(an_immutable_file_or_folder_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
