/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The reader of a folder of SQLite files.
 *
 * A file is read a slot of rows at a time, and nothing is held between the slots: a
 * long answer neither stops the writer's checkpoints nor the program that asks. A
 * slot has no row twice, so what is written meanwhile cannot make it appear twice.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_backend.h"
#include "ledger/ledger_day.h"
#include "ledger/ledger_db.h"
#include "ledger/ledger_row.h"

/* How much a call may do before it says -EAGAIN, counted in rows. */
#define PATIENCE     4096
#define COST_OF_SCAN 4096 /* a slot that is read through */
#define COST_OF_SEEK 64	  /* a slot where the index was asked */

/* Parameters: 1 slot, 2 until, 3 from, 4 whether carried rows count, 5 port. */
#define OVERLAPS                                                        \
	"AND s.start_ns <= ?2 AND (s.end_ns IS NULL OR s.end_ns >= ?3)" \
	" AND s.carried <= ?4"

static const char scan_sql[] = LEDGER_ROW_SELECT LEDGER_ROW_NAMES
	"WHERE s.id >= ?1 << " LEDGER_SLOT_BITS
	" AND s.id < (?1 + 1) << " LEDGER_SLOT_BITS " " OVERLAPS;
static const char sport_sql[] =
	LEDGER_ROW_SELECT "INDEXED BY session_sport " LEDGER_ROW_NAMES
			  "WHERE s." LEDGER_SLOT_SQL " = ?1 AND s.sport = ?5 " OVERLAPS;
static const char follow_sql[] = LEDGER_ROW_SELECT
	"INDEXED BY session_carried " LEDGER_ROW_NAMES
	"WHERE s.carried = 1 AND s.cookie = ?1 AND s.netns = ?2 AND s.use = ?3"
	" AND b.text = ?4";
static const char gap_sql[] = "SELECT from_ns, until_ns, lost_count, cause FROM gap"
			      " WHERE from_ns <= ?2 AND until_ns > ?3 ORDER BY id";
static const char owner_sql[] =
	"SELECT " LEDGER_OWNER_COLUMNS " FROM owner WHERE id = ?1";
static const char beat_sql[] = "SELECT alive_ns FROM beat WHERE id = 1";
static const char slots_sql[] = "SELECT ifnull(max(id) >> " LEDGER_SLOT_BITS ", -1)"
				" FROM session";

/* One day's file, opened when it is first needed. */
struct reader {
	struct ledger_day day;
	bool is_tried; /* then db is set, or there is nothing in the file */
	char *path;
	sqlite3 *db;
	sqlite3_stmt *select;
	sqlite3_stmt *follow;
	sqlite3_stmt *gaps;
	struct ledger_owners owners;
	int64_t last_slot;
};

struct query {
	char *folder;
	struct ledger_question question;
	uint16_t sport; /* that the filter asks for, or 0 */
	struct reader *readers;
	size_t reader_count;
	size_t first; /* the file that stands for the time the question begins */
	size_t at;
	int64_t slot;
	bool is_in_slot;
	size_t gap_at;
	struct gap added_gap;
	bool has_added_gap;
	struct session current; /* with a reference to its owner */
};

static void reader_close(struct reader *reader)
{
	ledger_owners_release(&reader->owners);
	sqlite3_finalize(reader->select);
	sqlite3_finalize(reader->follow);
	sqlite3_finalize(reader->gaps);
	sqlite3_close(reader->db);
	free(reader->path);
	*reader = (struct reader){.day = reader->day};
}

static int reader_fault(const struct reader *reader, int rc, struct fault *fault)
{
	return ledger_db_fault(reader->db, reader->path, rc, fault);
}

/* SQLite's numbers are signed. */
static void bind_time(sqlite3_stmt *statement, int column, uint64_t time_ns)
{
	sqlite3_bind_int64(statement, column,
			   time_ns > INT64_MAX ? INT64_MAX : (int64_t)time_ns);
}

static int count_slots(struct reader *reader, struct fault *fault)
{
	CLEANUP(sqlite3_finalize_ptr) sqlite3_stmt *slots = NULL;
	int err, rc;

	err = ledger_db_prepare(reader->db, reader->path, slots_sql, &slots, fault);
	if (err < 0)
		return err;
	rc = sqlite3_step(slots);
	if (rc != SQLITE_ROW)
		return reader_fault(reader, rc, fault);
	reader->last_slot = sqlite3_column_int64(slots, 0);
	return 0;
}

static int reader_prepare(const struct query *query, struct reader *reader,
			  struct fault *fault)
{
	const struct {
		const char *sql;
		sqlite3_stmt **statement;
	} wanted[] = {
		{query->sport ? sport_sql : scan_sql, &reader->select},
		{follow_sql, &reader->follow},
		{gap_sql, &reader->gaps},
		{owner_sql, &reader->owners.find},
	};
	int err;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		err = ledger_db_prepare(reader->db, reader->path, wanted[i].sql,
					wanted[i].statement, fault);
		if (err < 0)
			return err;
	}
	for (size_t i = 0; i < 3; i += 2) {
		bind_time(*wanted[i].statement, 2, query->question.until_ns);
		bind_time(*wanted[i].statement, 3, query->question.from_ns);
	}
	/* In the first file what was carried is news; later ones repeat it. */
	sqlite3_bind_int(reader->select, 4, reader == &query->readers[query->first]);
	if (query->sport)
		sqlite3_bind_int(reader->select, 5, query->sport);
	return count_slots(reader, fault);
}

/* The reader of file i, ready: 1, or 0 when there is nothing in the file. */
static int need_reader(struct query *query, size_t i, struct fault *fault)
{
	struct reader *reader = &query->readers[i];
	int found;

	if (reader->is_tried)
		return reader->db != NULL;
	reader->path = ledger_day_path(query->folder, reader->day.day, ".db");
	if (!reader->path)
		return ledger_path_fault(query->folder, -ENOMEM, NULL, fault);
	found = ledger_db_open_read(reader->path, &reader->db, fault);
	if (found > 0)
		found = reader_prepare(query, reader, fault);
	if (found < 0) {
		reader_close(reader);
		return found;
	}
	reader->is_tried = true;
	return reader->db != NULL;
}

/* Whether sessions of the question's period stand in file i. */
static bool is_asked(const struct query *query, size_t i)
{
	return i == query->first ||
	       (i > query->first && ledger_day_start_ns(query->readers[i].day.since) <=
					    query->question.until_ns);
}

/*
 * A gap is recorded when it is over, so the one that began in the last file asked
 * may stand in the next: "srcportd not running" always does.
 */
static bool may_have_gap(const struct query *query, size_t i)
{
	return is_asked(query, i) || (i > query->first && is_asked(query, i - 1));
}

/* A file stands for its day and all that follow until the next file. */
static size_t first_file(const struct ledger_days *days, uint64_t from_ns)
{
	size_t first = 0;

	while (first + 1 < days->count &&
	       days->list[first + 1].day <= ledger_day_of(from_ns))
		first++;
	return first;
}

/* An empty file, left by a writer killed as it began the day, stands for nothing. */
static int find_first(struct query *query, const struct ledger_days *days,
		      struct fault *fault)
{
	int found = 1;

	query->first = first_file(days, query->question.from_ns);
	if (days->count)
		found = need_reader(query, query->first, fault);
	while (found == 0 && query->first > 0)
		found = need_reader(query, --query->first, fault);
	return found < 0 ? found : 0;
}

static void query_free(struct query *query)
{
	if (!query)
		return;
	for (size_t i = 0; i < query->reader_count; i++)
		reader_close(&query->readers[i]);
	owner_unref(query->current.owner);
	free(query->readers);
	free(query->folder);
	free(query);
}

DEFINE_CLEANUP(struct query, query_free)

int ledger_sqlite_query_open(const char *path, const struct ledger_question *question,
			     void **ret, struct fault *fault)
{
	CLEANUP(ledger_days_release) struct ledger_days days = {0};
	CLEANUP(query_free_ptr) struct query *query = NULL;
	int err;

	err = ledger_days_list(path, &days, fault);
	if (err < 0)
		return err;
	query = calloc(1, sizeof(*query));
	if (!query)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	query->folder = strdup(path);
	query->readers = calloc(days.count + 1, sizeof(*query->readers));
	if (!query->folder || !query->readers)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	query->question = *question;
	if (question->filter)
		query->sport = filter_fixed_sport(question->filter);
	for (size_t i = 0; i < days.count; i++)
		query->readers[i].day = days.list[i];
	query->reader_count = days.count;
	err = find_first(query, &days, fault);
	if (err < 0)
		return err;
	query->at = query->gap_at = query->first;
	*ret = TAKE(query);
	return 0;
}

/* Look for session in the file that follows: 1 when it was carried into it. */
static int follow_into(struct reader *reader, struct session *session,
		       struct fault *fault)
{
	sqlite3_stmt *row = reader->follow;
	char boot[SESSION_BOOT_MAX];
	int err = 0, rc;

	memcpy(boot, session->id.boot, sizeof(boot));
	sqlite3_bind_int64(row, 1, (int64_t)session->id.cookie);
	sqlite3_bind_int64(row, 2, (int64_t)session->id.netns);
	sqlite3_bind_int64(row, 3, session->id.use);
	ledger_bind_text(row, 4, boot);
	rc = sqlite3_step(row);
	if (rc == SQLITE_ROW) {
		err = ledger_row_read(row, &reader->owners, session);
		err = err < 0 ? ledger_path_fault(reader->path, err, NULL, fault) : 1;
	} else if (rc != SQLITE_DONE) {
		err = reader_fault(reader, rc, fault);
	}
	sqlite3_reset(row);
	return err;
}

/* What the later files know of a session that has no end in the one at hand. */
static int follow(struct query *query, struct session *session, struct fault *fault)
{
	for (size_t i = query->at + 1; i < query->reader_count && !session->end_ns;
	     i++) {
		int found = need_reader(query, i, fault);

		if (found < 0)
			return found;
		if (found == 0)
			continue;
		found = follow_into(&query->readers[i], session, fault);
		if (found <= 0)
			return found;
	}
	return 0;
}

/* Make the row at hand the current session: 1, or 0 when it was not asked for. */
static int take_row(struct query *query, struct fault *fault)
{
	struct reader *reader = &query->readers[query->at];
	const struct ledger_question *question = &query->question;
	struct session session;
	int err;

	err = ledger_row_read(reader->select, &reader->owners, &session);
	if (err < 0)
		return ledger_path_fault(reader->path, err, NULL, fault);
	err = follow(query, &session, fault);
	if (err < 0)
		return err;
	if (session.end_ns && session.end_ns < question->from_ns)
		return 0;
	if (question->filter && !filter_accepts(question->filter, &session))
		return 0;
	owner_ref(session.owner);
	owner_unref(query->current.owner);
	query->current = session;
	return 1;
}

/* Go to the next file that is asked. Nothing leads back to the ones before it. */
static void next_file(struct query *query)
{
	size_t next = query->at + 1;

	while (next < query->reader_count && !is_asked(query, next))
		next++;
	for (size_t i = query->at; i < next && i < query->reader_count; i++)
		reader_close(&query->readers[i]);
	query->at = next;
	query->slot = 0;
	query->is_in_slot = false;
}

/* Read on in the slot at hand: 1 for a session, 0 at its end. Adds to *cost. */
static int read_slot(struct query *query, unsigned int *cost, struct fault *fault)
{
	struct reader *reader = &query->readers[query->at];
	int rc, taken;

	if (!query->is_in_slot)
		sqlite3_bind_int64(reader->select, 1, query->slot);
	query->is_in_slot = true;
	while ((rc = sqlite3_step(reader->select)) == SQLITE_ROW) {
		taken = take_row(query, fault);
		if (taken != 0)
			return taken;
		if (++*cost >= PATIENCE)
			return -EAGAIN;
	}
	if (rc != SQLITE_DONE)
		return reader_fault(reader, rc, fault);
	sqlite3_reset(reader->select);
	query->is_in_slot = false;
	query->slot++;
	*cost += query->sport ? COST_OF_SEEK : COST_OF_SCAN;
	return 0;
}

int ledger_sqlite_query_next(void *asked, const struct session **ret_session,
			     struct fault *fault)
{
	struct query *query = asked;
	unsigned int cost = 0;

	while (query->at < query->reader_count) {
		int found = need_reader(query, query->at, fault);

		if (found < 0)
			return found;
		if (found == 0 || query->slot > query->readers[query->at].last_slot) {
			next_file(query);
			continue;
		}
		found = read_slot(query, &cost, fault);
		if (found > 0)
			*ret_session = &query->current;
		if (found != 0)
			return found;
		if (cost >= PATIENCE)
			return -EAGAIN;
	}
	return 0;
}

static void read_gap(sqlite3_stmt *row, struct gap *ret)
{
	const char *cause = (const char *)sqlite3_column_text(row, 3);

	*ret = (struct gap){
		.from_ns = (uint64_t)sqlite3_column_int64(row, 0),
		.until_ns = (uint64_t)sqlite3_column_int64(row, 1),
		.lost_count = (uint64_t)sqlite3_column_int64(row, 2),
	};
	snprintf(ret->cause, sizeof(ret->cause), "%s", cause ? cause : "");
}

void ledger_sqlite_query_add_gap(void *asked, const struct gap *gap)
{
	struct query *query = asked;

	query->added_gap = *gap;
	query->has_added_gap = gap->from_ns <= query->question.until_ns &&
			       gap->until_ns > query->question.from_ns;
}

int ledger_sqlite_query_next_gap(void *asked, struct gap *ret_gap, struct fault *fault)
{
	struct query *query = asked;

	for (; query->gap_at < query->reader_count; query->gap_at++) {
		struct reader *reader = &query->readers[query->gap_at];
		int found, rc;

		if (!may_have_gap(query, query->gap_at))
			continue;
		found = need_reader(query, query->gap_at, fault);
		if (found < 0)
			return found;
		if (found == 0)
			continue;
		rc = sqlite3_step(reader->gaps);
		if (rc == SQLITE_ROW) {
			read_gap(reader->gaps, ret_gap);
			return 1;
		}
		if (rc != SQLITE_DONE)
			return reader_fault(reader, rc, fault);
		reader_close(reader);
	}
	if (!query->has_added_gap)
		return 0;
	query->has_added_gap = false;
	*ret_gap = query->added_gap;
	return 1;
}

/* The beat in a day's file: 1 and *ret_ns, or 0 where there is nothing in the file. */
static int read_beat(const char *path, uint64_t *ret_ns, struct fault *fault)
{
	CLEANUP(sqlite3_close_ptr) sqlite3 *db = NULL;
	CLEANUP(sqlite3_finalize_ptr) sqlite3_stmt *beat = NULL;
	int err = ledger_db_open_read(path, &db, fault);
	int rc;

	if (err > 0)
		err = ledger_db_prepare(db, path, beat_sql, &beat, fault);
	if (err < 0 || !beat)
		return err;
	rc = sqlite3_step(beat);
	if (rc == SQLITE_ROW)
		*ret_ns = (uint64_t)sqlite3_column_int64(beat, 0);
	else if (rc != SQLITE_DONE)
		return ledger_db_fault(db, path, rc, fault);
	return rc == SQLITE_ROW;
}

/* In the newest file: each is begun with a beat. */
int ledger_sqlite_query_last_beat(void *asked, uint64_t *ret_ns, struct fault *fault)
{
	const struct query *query = asked;
	uint64_t beat_ns = 0;
	int found = 0;

	for (size_t i = query->reader_count; i > 0 && found == 0; i--) {
		int day = query->readers[i - 1].day.day;
		CLEANUP_FREE char *path = ledger_day_path(query->folder, day, ".db");

		if (!path)
			return ledger_path_fault(query->folder, -ENOMEM, NULL, fault);
		found = read_beat(path, &beat_ns, fault);
	}
	if (found < 0)
		return found;
	*ret_ns = beat_ns;
	return 0;
}

void ledger_sqlite_query_close(void *query)
{
	query_free(query);
}
