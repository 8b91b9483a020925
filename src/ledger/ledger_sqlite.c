/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The writer of a folder of SQLite files, one a day.
 *
 * What is put waits in memory until the next commit, so that a session which opened
 * and closed in between is one insert, and a full disk loses nothing for a while.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "ledger/ledger_backend.h"
#include "ledger/ledger_day.h"
#include "ledger/ledger_db.h"
#include "ledger/ledger_file.h"
#include "ledger/ledger_folder.h"

#define BATCH 20000 /* sessions that a put writes without waiting for a commit */
#define PENDING_MAX                                                       \
	200000 /* new sessions that are kept while nothing can be written \
		*/
#define GAP_MAX 1000

struct pending {
	struct session session; /* with a reference to its owner */
	int64_t stored_row;	/* in the newest file, as the open set has it, or 0 */
	uint16_t stored_sport;
	bool is_written; /* nothing is left to write of it */
	int64_t row;	 /* where the transaction under way put it */
};

struct writer {
	char *folder;
	int folder_fd; /* holds the lock that keeps a second writer out */
	struct ledger_file *file;
	int since;	       /* the first day a session in file began, as marked */
	uint64_t last_beat_ns; /* of the writer before */
	uint64_t beat_ns;      /* that stands in the file */
	uint64_t due_beat_ns;  /* that waits for what was put before it, or 0 */
	struct ledger_open_set open;
	struct pending *pending;
	size_t pending_count;
	size_t pending_capacity;
	size_t write_at; /* pending_count at which a put writes */
	struct gap *gaps;
	size_t gap_count;
	struct gap dropped; /* what fell over PENDING_MAX */
	bool is_visiting;   /* a statement runs over what a write would change */
};

static void writer_free(struct writer *writer)
{
	if (!writer)
		return;
	ledger_file_close(writer->file);
	ledger_open_set_release(&writer->open);
	for (size_t i = 0; i < writer->pending_count; i++)
		owner_unref(writer->pending[i].session.owner);
	free(writer->pending);
	free(writer->gaps);
	if (writer->folder_fd >= 0)
		close(writer->folder_fd);
	free(writer->folder);
	free(writer);
}

DEFINE_CLEANUP(struct writer, writer_free)

/* Point the open set at what waits, which may hold sessions that are not stored. */
static int link_pending(const struct writer *writer, struct ledger_open_set *open)
{
	for (size_t i = 0; i < writer->pending_count; i++) {
		struct ledger_open_entry *entry;

		entry = ledger_open_set_add(open, &writer->pending[i].session.id);
		if (!entry)
			return -ENOMEM;
		entry->pending = (int32_t)i;
	}
	return 0;
}

/* And what waits at its rows in the file of the writer's open set. */
static void note_stored(struct pending *pending, const struct ledger_open_entry *entry)
{
	pending->stored_row = entry->row;
	pending->stored_sport = entry->sport;
}

/* Let file be the newest one. The writer owns it on success. */
static int take_file(struct writer *writer, struct ledger_file *file, int since,
		     struct fault *fault)
{
	struct ledger_open_set open = {0};
	int err;

	err = ledger_file_load_open(file, &open, fault);
	if (err == 0 && link_pending(writer, &open) < 0)
		err = ledger_path_fault(writer->folder, -ENOMEM, NULL, fault);
	if (err < 0) {
		ledger_open_set_release(&open);
		return err;
	}
	ledger_open_set_release(&writer->open);
	ledger_file_close(writer->file);
	writer->open = open;
	writer->file = file;
	writer->since = since;
	for (size_t i = 0; i < writer->pending_count; i++) {
		struct pending *pending = &writer->pending[i];

		note_stored(pending,
			    ledger_open_set_find(&writer->open, &pending->session.id));
	}
	return 0;
}

/*
 * Begin the day's file, with what is open in the one before it. It keeps the beat, as
 * what was put since may not be stored.
 */
static int roll(struct writer *writer, int day, struct fault *fault)
{
	CLEANUP(ledger_file_close_ptr) struct ledger_file *file = NULL;
	int err;

	err = ledger_file_create(writer->folder, day, writer->file, writer->beat_ns,
				 &file, fault);
	if (err < 0)
		return err;
	err = take_file(writer, file, day, fault);
	if (err < 0) {
		ledger_file_close(TAKE(file));
		ledger_day_remove(writer->folder, day, NULL);
		return err;
	}
	file = NULL;
	return 0;
}

/*
 * Open the newest file that is not empty (a writer killed while it began a file
 * leaves one). Returns 1, or 0 when there is none.
 */
static int open_newest(struct writer *writer, const struct ledger_days *days,
		       struct fault *fault)
{
	CLEANUP(ledger_file_close_ptr) struct ledger_file *file = NULL;
	int found = 0;

	for (size_t i = days->count; i > 0 && found == 0; i--) {
		const struct ledger_day *day = &days->list[i - 1];

		found = ledger_file_open(writer->folder, day->day, &file, fault);
		if (found < 0)
			return found;
		if (found == 0)
			continue;
		found = take_file(writer, file, day->since, fault);
		if (found < 0)
			return found;
		file = NULL;
		return 1;
	}
	return 0;
}

/*
 * Open or begin the newest file, and prove that it can be written. The beat stays that
 * of the writer before: who is killed before he wrote the gap since then leaves it to
 * the next one.
 */
static int start(struct writer *writer, uint64_t now_ns, struct fault *fault)
{
	CLEANUP(ledger_days_release) struct ledger_days days = {0};
	int today = ledger_day_of(now_ns);
	int found, err;

	err = ledger_days_list(writer->folder, &days, fault);
	if (err < 0)
		return err;
	found = open_newest(writer, &days, fault);
	if (found < 0)
		return found;
	if (found) {
		err = ledger_file_last_beat(writer->file, &writer->last_beat_ns, fault);
		if (err < 0)
			return err;
	}
	writer->beat_ns = writer->last_beat_ns ? writer->last_beat_ns : now_ns;
	if (!found || ledger_file_day(writer->file) < today)
		return roll(writer, today, fault);
	return ledger_file_beat(writer->file, writer->beat_ns, fault);
}

static int sqlite_open(const char *path, uint64_t now_ns, void **ret,
		       struct fault *fault)
{
	CLEANUP(writer_free_ptr) struct writer *writer = calloc(1, sizeof(*writer));
	int is_new, err;

	if (!writer)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	writer->folder_fd = -1;
	writer->write_at = BATCH;
	writer->folder = strdup(path);
	if (!writer->folder)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	is_new = ledger_folder_make(path, fault);
	if (is_new < 0)
		return is_new;
	err = ledger_folder_lock(path, &writer->folder_fd, fault);
	if (err == 0)
		err = start(writer, now_ns, fault);
	if (err < 0) {
		if (is_new)
			rmdir(path);
		return err;
	}
	*ret = TAKE(writer);
	return 0;
}

static struct pending *add_pending(struct writer *writer)
{
	struct pending *grown;

	if (writer->pending_count == writer->pending_capacity) {
		size_t capacity = writer->pending_capacity * 2 + 256;

		grown = reallocarray(writer->pending, capacity, sizeof(*grown));
		if (!grown)
			return NULL;
		writer->pending = grown;
		writer->pending_capacity = capacity;
	}
	writer->pending[writer->pending_count] = (struct pending){0};
	return &writer->pending[writer->pending_count++];
}

static void replace(struct pending *pending, const struct session *session)
{
	struct owner *before = pending->session.owner;

	pending->session = *session;
	owner_ref(pending->session.owner);
	owner_unref(before);
}

/* Lengthen the gap of what was dropped to hold the session. */
static void drop(struct writer *writer, const struct session *session)
{
	struct gap *gap = &writer->dropped;
	uint64_t until_ns = session->end_ns ? session->end_ns : session->start_ns;

	if (gap->lost_count == 0 || session->start_ns < gap->from_ns)
		gap->from_ns = session->start_ns;
	if (until_ns > gap->until_ns)
		gap->until_ns = until_ns;
	gap->lost_count++;
	snprintf(gap->cause, sizeof(gap->cause), "ledger could not be written");
}

/*
 * Put one session that waits into the file. Before a roll, one that is not over when
 * the new day begins gets its end there: here it is open, and is carried.
 */
static int write_one(struct writer *writer, struct pending *pending,
		     uint64_t midnight_ns, struct fault *fault)
{
	struct session session = pending->session;

	if (session.end_ns >= midnight_ns)
		session.end_ns = 0;
	if (pending->stored_row) {
		pending->row = pending->stored_row;
		return ledger_file_update(writer->file, &session, pending->stored_row,
					  pending->stored_sport, fault);
	}
	return ledger_file_insert(writer->file, &session, false, &pending->row, fault);
}

/* Say by a mark if a session began before the file's day. Before the commit, so that
 * no session is ever where no reader looks for it. */
static int mark_early(struct writer *writer, uint64_t midnight_ns, struct fault *fault)
{
	int since = writer->since;
	int err;

	for (size_t i = 0; i < writer->pending_count; i++) {
		const struct session *session = &writer->pending[i].session;
		int day = ledger_day_of(session->start_ns);

		if (session->start_ns == 0 || session->start_ns >= midnight_ns ||
		    day >= since || writer->pending[i].stored_row)
			continue;
		since = day;
	}
	if (since == writer->since)
		return 0;
	err = ledger_day_mark(writer->folder, ledger_file_day(writer->file), since,
			      fault);
	if (err < 0)
		return err;
	writer->since = since;
	return 0;
}

/* Write what waits from place i on, as far as one transaction goes. */
static int write_batch(struct writer *writer, size_t i, size_t end,
		       uint64_t midnight_ns, struct fault *fault)
{
	int err = ledger_file_begin(writer->file, fault);

	for (; i < end && err == 0; i++)
		if (writer->pending[i].session.start_ns < midnight_ns)
			err = write_one(writer, &writer->pending[i], midnight_ns,
					fault);
	if (err == 0)
		err = ledger_file_commit(writer->file, fault);
	if (err < 0)
		ledger_file_rollback(writer->file);
	return err;
}

/* After a commit: note which rows the sessions got, and who need not wait longer. */
static void note_rows(struct writer *writer, size_t i, size_t end, uint64_t midnight_ns)
{
	for (; i < end; i++) {
		struct pending *pending = &writer->pending[i];
		const struct session *session = &pending->session;
		struct ledger_open_entry *entry;

		if (session->start_ns >= midnight_ns)
			continue;
		pending->is_written = session->end_ns < midnight_ns;
		/* Else its entry is removed next. */
		if (pending->is_written && session->end_ns)
			continue;
		entry = ledger_open_set_find(&writer->open, &session->id);
		entry->row = pending->row;
		entry->sport = session->sport;
		note_stored(pending, entry);
	}
}

/* Take out what is written. What has ended is not looked for again. */
static void remove_written(struct writer *writer)
{
	size_t kept = 0;

	for (size_t i = 0; i < writer->pending_count; i++) {
		struct pending *pending = &writer->pending[i];
		struct ledger_open_entry *entry;

		entry = ledger_open_set_find(&writer->open, &pending->session.id);
		if (!pending->is_written) {
			entry->pending = (int32_t)kept;
			writer->pending[kept++] = *pending;
			continue;
		}
		entry->pending = LEDGER_NOT_PENDING;
		if (pending->session.end_ns)
			ledger_open_set_remove(&writer->open, entry);
		owner_unref(pending->session.owner);
	}
	writer->pending_count = kept;
}

/*
 * Write the sessions that wait and began before midnight_ns, the end of the file's
 * day (or UINT64_MAX where no new file is due). In batches, so that a full disk, which
 * shows at the end of a transaction, costs each try no more than one.
 */
static int write_sessions(struct writer *writer, uint64_t midnight_ns,
			  struct fault *fault)
{
	int err = mark_early(writer, midnight_ns, fault);

	for (size_t i = 0; i < writer->pending_count && err == 0; i += BATCH) {
		size_t end = i + BATCH;

		if (end > writer->pending_count)
			end = writer->pending_count;
		err = write_batch(writer, i, end, midnight_ns, fault);
		if (err == 0)
			note_rows(writer, i, end, midnight_ns);
	}
	remove_written(writer);
	writer->write_at = writer->pending_count + BATCH;
	return err;
}

static int write_gaps(struct writer *writer, struct fault *fault)
{
	int err;

	if (writer->gap_count == 0 && writer->dropped.lost_count == 0)
		return 0;
	err = ledger_file_begin(writer->file, fault);
	for (size_t i = 0; i < writer->gap_count && err == 0; i++)
		err = ledger_file_put_gap(writer->file, &writer->gaps[i], fault);
	if (err == 0 && writer->dropped.lost_count)
		err = ledger_file_put_gap(writer->file, &writer->dropped, fault);
	if (err == 0)
		err = ledger_file_commit(writer->file, fault);
	if (err < 0) {
		ledger_file_rollback(writer->file);
		return err;
	}
	writer->gap_count = 0;
	writer->dropped = (struct gap){0};
	return 0;
}

/* A beat says that all before it is stored, so it comes last. */
static int write_beat(struct writer *writer, struct fault *fault)
{
	int err;

	if (!writer->due_beat_ns || writer->pending_count || writer->gap_count ||
	    writer->dropped.lost_count)
		return 0;
	err = ledger_file_beat(writer->file, writer->due_beat_ns, fault);
	if (err < 0)
		return err;
	writer->beat_ns = writer->due_beat_ns;
	writer->due_beat_ns = 0;
	return 0;
}

static int write_pending(struct writer *writer, uint64_t midnight_ns,
			 struct fault *fault)
{
	int err = 0;

	if (writer->pending_count)
		err = write_sessions(writer, midnight_ns, fault);
	if (err == 0)
		err = write_gaps(writer, fault);
	return err < 0 ? err : write_beat(writer, fault);
}

static void sqlite_close(void *db)
{
	struct writer *writer = db;

	write_pending(writer, UINT64_MAX, NULL);
	writer_free(writer);
}

static int sqlite_put(void *db, const struct session *session, struct fault *fault)
{
	struct writer *writer = db;
	struct ledger_open_entry *entry;
	struct pending *pending;

	entry = ledger_open_set_find(&writer->open, &session->id);
	if (entry && entry->pending != LEDGER_NOT_PENDING) {
		replace(&writer->pending[entry->pending], session);
		return 0;
	}
	/* The ends of stored sessions are let in: they are no more than were stored. */
	if (!entry && writer->pending_count >= PENDING_MAX) {
		drop(writer, session);
		return 0;
	}
	if (!entry)
		entry = ledger_open_set_add(&writer->open, &session->id);
	pending = entry ? add_pending(writer) : NULL;
	if (!pending) {
		if (entry && !entry->row)
			ledger_open_set_remove(&writer->open, entry);
		return ledger_path_fault(writer->folder, -ENOMEM, NULL, fault);
	}
	replace(pending, session);
	note_stored(pending, entry);
	entry->pending = (int32_t)(writer->pending_count - 1);
	/* A failure here is no loss: the commit tries again, and reports. */
	if (writer->pending_count >= writer->write_at && !writer->is_visiting)
		write_pending(writer,
			      ledger_day_start_ns(ledger_file_day(writer->file) + 1),
			      NULL);
	return 0;
}

/* Past the ceiling the last gap grows instead: gaps say too much rather than less. */
static int sqlite_put_gap(void *db, const struct gap *gap, struct fault *fault)
{
	struct writer *writer = db;
	struct gap *last;

	if (writer->gap_count >= GAP_MAX) {
		last = &writer->gaps[writer->gap_count - 1];
		if (gap->from_ns < last->from_ns)
			last->from_ns = gap->from_ns;
		if (gap->until_ns > last->until_ns)
			last->until_ns = gap->until_ns;
		last->lost_count += gap->lost_count;
		return 0;
	}
	if (!writer->gaps)
		writer->gaps = calloc(GAP_MAX, sizeof(*writer->gaps));
	if (!writer->gaps)
		return ledger_path_fault(writer->folder, -ENOMEM, NULL, fault);
	writer->gaps[writer->gap_count++] = *gap;
	return 0;
}

/* Hold the lock of the folder that has the name now. */
static int relock(struct writer *writer, struct fault *fault)
{
	struct stat held, found;
	int fd, err = ledger_folder_make(writer->folder, fault);

	if (err < 0)
		return err;
	if (fstat(writer->folder_fd, &held) == 0 && stat(writer->folder, &found) == 0 &&
	    held.st_ino == found.st_ino && held.st_dev == found.st_dev)
		return 0;
	err = ledger_folder_lock(writer->folder, &fd, fault);
	if (err < 0)
		return err;
	close(writer->folder_fd);
	writer->folder_fd = fd;
	return 0;
}

/* Somebody took the ledger away under us: begin another, and say what it misses. */
static int begin_again(struct writer *writer, uint64_t now_ns, struct fault *fault)
{
	const struct gap gap = {
		.from_ns = ledger_day_start_ns(writer->since),
		.until_ns = now_ns,
		.cause = "ledger file was removed",
	};
	uint64_t last_beat_ns = writer->last_beat_ns;
	int err = relock(writer, fault);

	/* The log of the file that is no more must not be taken for the new one's. */
	if (err == 0)
		err = ledger_file_clear(writer->file, fault);
	if (err == 0)
		err = start(writer, now_ns, fault);
	writer->last_beat_ns = last_beat_ns;
	return err < 0 ? err : sqlite_put_gap(writer, &gap, fault);
}

static int sqlite_commit(void *db, uint64_t now_ns, struct fault *fault)
{
	struct writer *writer = db;
	int today = ledger_day_of(now_ns);
	int err;

	if (ledger_file_is_gone(writer->file)) {
		err = begin_again(writer, now_ns, fault);
		if (err < 0)
			return err;
	}
	if (today > ledger_file_day(writer->file)) {
		err = write_pending(writer, ledger_day_start_ns(today), fault);
		if (err == 0)
			err = roll(writer, today, fault);
		if (err < 0)
			return err;
	}
	return write_pending(writer, UINT64_MAX, fault);
}

static int sqlite_prune(void *db, uint64_t now_ns, uint64_t keep_ns,
			struct fault *fault)
{
	CLEANUP(ledger_days_release) struct ledger_days days = {0};
	const struct writer *writer = db;
	int deleted = 0;
	int err;

	err = ledger_days_list(writer->folder, &days, fault);
	if (err < 0)
		return err;
	for (size_t i = 0; i < days.count; i++) {
		int day = days.list[i].day;
		uint64_t end_ns = ledger_day_start_ns(day + 1);

		if (day >= ledger_file_day(writer->file) || end_ns >= now_ns ||
		    now_ns - end_ns <= keep_ns)
			continue;
		err = ledger_day_remove(writer->folder, day, fault);
		if (err < 0)
			return err;
		deleted++;
	}
	return deleted;
}

static int sqlite_beat(void *db, uint64_t now_ns, struct fault *fault)
{
	struct writer *writer = db;

	writer->due_beat_ns = now_ns;
	return write_beat(writer, fault);
}

static uint64_t sqlite_last_beat(const void *db)
{
	return ((const struct writer *)db)->last_beat_ns;
}

static int sqlite_visit_open(void *db, ledger_visit_fn *visit, void *arg,
			     struct fault *fault)
{
	struct writer *writer = db;
	int visited;

	writer->is_visiting = true;
	visited = ledger_file_visit_open(writer->file, visit, arg, fault);
	writer->is_visiting = false;
	return visited;
}

static void lengthen(struct gap *gap, uint64_t from_ns, uint64_t until_ns)
{
	if (from_ns < gap->from_ns)
		gap->from_ns = from_ns;
	if (until_ns > gap->until_ns)
		gap->until_ns = until_ns;
}

/* What waits for its commit no reader sees: false, or true and the time it is of. */
static bool unwritten_gap(const struct writer *writer, struct gap *ret)
{
	struct gap gap = {
		.from_ns = UINT64_MAX,
		.until_ns = writer->due_beat_ns,
		.lost_count = writer->dropped.lost_count,
		.cause = "ledger could not be written",
	};

	for (size_t i = 0; i < writer->pending_count; i++) {
		const struct session *session = &writer->pending[i].session;

		lengthen(&gap, session->start_ns, session->end_ns);
	}
	for (size_t i = 0; i < writer->gap_count; i++)
		lengthen(&gap, writer->gaps[i].from_ns, writer->gaps[i].until_ns);
	if (writer->dropped.lost_count)
		lengthen(&gap, writer->dropped.from_ns, writer->dropped.until_ns);
	if (gap.from_ns == UINT64_MAX)
		return false;
	if (gap.until_ns < gap.from_ns)
		gap.until_ns = gap.from_ns;
	*ret = gap;
	return true;
}

static int sqlite_ask(void *db, const struct ledger_question *question, void **ret,
		      struct fault *fault)
{
	const struct writer *writer = db;
	struct gap gap;
	int err = ledger_sqlite_query_open(writer->folder, question, ret, fault);

	if (err == 0 && unwritten_gap(writer, &gap))
		ledger_sqlite_query_add_gap(*ret, &gap);
	return err;
}

const struct ledger_backend ledger_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.put = sqlite_put,
	.put_gap = sqlite_put_gap,
	.commit = sqlite_commit,
	.prune = sqlite_prune,
	.beat = sqlite_beat,
	.last_beat = sqlite_last_beat,
	.visit_open = sqlite_visit_open,
	.ask = sqlite_ask,
	.query_open = ledger_sqlite_query_open,
	.query_next = ledger_sqlite_query_next,
	.query_next_gap = ledger_sqlite_query_next_gap,
	.query_last_beat = ledger_sqlite_query_last_beat,
	.query_close = ledger_sqlite_query_close,
};
