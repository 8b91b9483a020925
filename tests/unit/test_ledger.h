/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * test_ledger.h - what the tests of the ledger share: real files in a folder of the
 * test's own, and no clock (the tests say what time it is).
 */
#ifndef TEST_LEDGER_H
#define TEST_LEDGER_H

#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/cleanup.h"
#include "ledger/ledger.h"

#define SECOND	1000000000ULL
#define HOUR	(3600 * SECOND)
#define DAY	(24 * HOUR)
#define DAY_ONE (20779 * DAY) /* 2026-11-22T00:00:00Z */
#define NOON	(DAY_ONE + 12 * HOUR)
#define DAY_TWO (DAY_ONE + DAY)

#define BOOT "11111111-2222-3333-4444-555555555555"

DEFINE_CLEANUP(struct ledger, ledger_close)
DEFINE_CLEANUP(struct ledger_query, ledger_query_close)
DEFINE_CLEANUP(struct owner, owner_unref)

struct answer {
	unsigned int count;
	unsigned int again; /* how often the query asked for patience */
	struct session last;
	char last_exe[64];
	struct gap gap;
	unsigned int gap_count;
};

static inline int remove_one(const char *path, const struct stat *st, int type,
			     struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int make_folder(void **state)
{
	char template[] = "/tmp/test_ledger.XXXXXX";

	*state = mkdtemp(template) ? strdup(template) : NULL;
	return *state ? 0 : -1;
}

static inline int remove_folder(void **state)
{
	nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

static inline struct session session_of(uint64_t cookie, uint16_t sport,
					uint64_t start_ns, uint64_t end_ns)
{
	struct session session = {
		.id = {.boot = BOOT, .netns = 1, .cookie = cookie},
		.protocol = IPPROTO_TCP,
		.sport = sport,
		.dport = 443,
		.start_ns = start_ns,
		.end_ns = end_ns,
		.end_reason = end_ns ? END_FIN : END_UNKNOWN,
		.tx_bytes = BYTES_UNKNOWN,
		.rx_bytes = BYTES_UNKNOWN,
		.picked_by = PICKED_BY_SRCPORT,
		.pool = "default",
	};

	assert_int_equal(address_parse("10.0.0.1", &session.src), 0);
	assert_int_equal(address_parse("2001:db8::7", &session.dst), 0);
	return session;
}

static inline struct ledger *open_at(const char *folder, uint64_t now_ns)
{
	struct ledger *ledger = NULL;
	struct fault fault = {0};
	int err = ledger_open(folder, now_ns, &ledger, &fault);

	if (err < 0)
		fail_msg("%s: %d %s", folder, err, fault.text);
	return ledger;
}

static inline void put(struct ledger *ledger, uint64_t cookie, uint16_t sport,
		       uint64_t start_ns, uint64_t end_ns)
{
	struct session session = session_of(cookie, sport, start_ns, end_ns);

	assert_int_equal(ledger_put(ledger, &session, NULL), 0);
}

static inline void commit(struct ledger *ledger, uint64_t now_ns)
{
	struct fault fault = {0};
	int err = ledger_commit(ledger, now_ns, &fault);

	if (err < 0)
		fail_msg("%d %s", err, fault.text);
}

static inline void read_answer(struct ledger_query *query, struct answer *ret)
{
	struct answer answer = {0};
	const struct session *session;
	struct fault fault = {0};
	struct gap gap;
	int found;

	while ((found = ledger_query_next(query, &session, &fault)) != 0) {
		if (found == -EAGAIN) {
			answer.again++;
			continue;
		}
		if (found < 0)
			fail_msg("%d %s", found, fault.text);
		answer.count++;
		answer.last = *session;
		answer.last.owner = NULL;
		if (session->owner && session->owner->exe)
			snprintf(answer.last_exe, sizeof(answer.last_exe), "%s",
				 session->owner->exe);
	}
	while ((found = ledger_query_next_gap(query, &gap, &fault)) != 0) {
		assert_int_equal(found, 1);
		answer.gap = gap;
		answer.gap_count++;
	}
	*ret = answer;
}

static inline struct answer ask(const char *url, uint64_t from_ns, uint64_t until_ns,
				const char *filter_text)
{
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	CLEANUP(filter_free_ptr) struct filter *filter = NULL;
	struct ledger_question question = {.from_ns = from_ns, .until_ns = until_ns};
	struct fault fault = {0};
	struct answer answer;
	int err;

	assert_int_equal(filter_parse(filter_text, &filter, &fault), 0);
	question.filter = filter;
	err = ledger_query_open(url, &question, &query, &fault);
	if (err < 0)
		fail_msg("%d %s", err, fault.text);
	read_answer(query, &answer);
	return answer;
}

static inline int count_visit(const struct session *session, void *arg)
{
	(void)session;
	++*(unsigned int *)arg;
	return 0;
}

static inline bool is_there(const char *folder, const char *name)
{
	CLEANUP_FREE char *path = NULL;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return access(path, F_OK) == 0;
}

static inline void write_file(const char *folder, const char *name, const char *text)
{
	CLEANUP_FREE char *path = NULL;
	FILE *file;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static inline void run_sql(const char *folder, const char *name, const char *sql)
{
	CLEANUP_FREE char *path = NULL;
	sqlite3 *db;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static inline int count_rows(const char *folder, const char *name, const char *sql)
{
	CLEANUP_FREE char *path = NULL;
	sqlite3_stmt *statement;
	sqlite3 *db;
	int count;

	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	count = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return count;
}

#endif /* TEST_LEDGER_H */
