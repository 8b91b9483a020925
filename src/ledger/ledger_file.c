/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "ledger/ledger_day.h"
#include "ledger/ledger_db.h"
#include "ledger/ledger_row.h"

#define NAME_MAX_SIZE 40 /* a boot id or the name of a pool */

/*
 * The order of columns puts first what every scan looks at. The indexes over what is
 * open and what was carried hold few rows, and cost the others nothing.
 */
static const char schema[] =
	"CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE owner ("
	"  id INTEGER PRIMARY KEY, pid INTEGER, pid_start_ns INTEGER, uid INTEGER,"
	"  comm TEXT, exe TEXT, exe_inode INTEGER, exe_device INTEGER, cmdline TEXT,"
	"  user TEXT, cgroup TEXT, unit TEXT, container TEXT) STRICT;"
	"CREATE INDEX owner_process ON owner(pid_start_ns, pid);"
	"CREATE TABLE session ("
	"  id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER,"
	"  sport INTEGER NOT NULL, dport INTEGER NOT NULL, src BLOB, dst BLOB,"
	"  protocol INTEGER NOT NULL, direction INTEGER NOT NULL,"
	"  port_free_ns INTEGER, end_reason INTEGER NOT NULL, tx_bytes INTEGER,"
	"  rx_bytes INTEGER, picked_by INTEGER NOT NULL, owner INTEGER, pool INTEGER,"
	"  boot INTEGER NOT NULL, netns INTEGER NOT NULL, cookie INTEGER NOT NULL,"
	"  use INTEGER NOT NULL, carried INTEGER NOT NULL) STRICT;"
	"CREATE INDEX session_sport ON session(" LEDGER_SLOT_SQL ", sport);"
	"CREATE INDEX session_open ON session(cookie) WHERE end_ns IS NULL;"
	"CREATE INDEX session_carried ON session(cookie) WHERE carried = 1;"
	"CREATE TABLE gap ("
	"  id INTEGER PRIMARY KEY, from_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL,"
	"  lost_count INTEGER NOT NULL, cause TEXT NOT NULL) STRICT;"
	"CREATE TABLE beat (id INTEGER PRIMARY KEY, alive_ns INTEGER NOT NULL) STRICT;";

enum {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_INSERT,
	SQL_UPDATE,
	SQL_UPDATE_SPORT,
	SQL_FIND_OWNER,
	SQL_INSERT_OWNER,
	SQL_FIND_NAME,
	SQL_INSERT_NAME,
	SQL_INSERT_GAP,
	SQL_SET_BEAT,
	SQL_GET_BEAT,
	SQL_OPEN_SESSIONS,
	SQL_OPEN_IDS,
	SQL_COUNT,
};

/* Parameters 1 to 17 are the same in INSERT and UPDATE: see bind_session(). */
static const char *const statements[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_INSERT] =
		"INSERT INTO session (start_ns, end_ns, dport, src, dst, protocol,"
		" direction, port_free_ns, end_reason, tx_bytes, rx_bytes, picked_by,"
		" owner, pool, sport, boot, netns, cookie, use, carried)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
		" ?15, ?16, ?17, ?18, ?19, ?20)",
	[SQL_UPDATE] =
		"UPDATE session SET start_ns = ?1, end_ns = ?2, dport = ?3, src = ?4,"
		" dst = ?5, protocol = ?6, direction = ?7, port_free_ns = ?8,"
		" end_reason = ?9, tx_bytes = ?10, rx_bytes = ?11, picked_by = ?12,"
		" owner = ?13, pool = ?14 WHERE id = ?15",
	[SQL_UPDATE_SPORT] = "UPDATE session SET sport = ?1 WHERE id = ?2",
	[SQL_FIND_OWNER] =
		"SELECT id FROM owner WHERE pid = ?1 AND pid_start_ns IS ?2 AND uid = "
		"?3"
		" AND comm = ?4 AND exe IS ?5 AND exe_inode IS ?6 AND exe_device IS ?7"
		" AND cmdline IS ?8 AND user IS ?9 AND cgroup IS ?10 AND unit IS ?11"
		" AND container IS ?12",
	[SQL_INSERT_OWNER] = "INSERT INTO owner (" LEDGER_OWNER_COLUMNS ")"
			     " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[SQL_FIND_NAME] = "SELECT id FROM name WHERE text = ?1",
	[SQL_INSERT_NAME] = "INSERT INTO name (text) VALUES (?1)",
	[SQL_INSERT_GAP] = "INSERT INTO gap (from_ns, until_ns, lost_count, cause)"
			   " VALUES (?1, ?2, ?3, ?4)",
	[SQL_SET_BEAT] = "REPLACE INTO beat (id, alive_ns) VALUES (1, ?1)",
	[SQL_GET_BEAT] = "SELECT alive_ns FROM beat WHERE id = 1",
	[SQL_OPEN_SESSIONS] = LEDGER_ROW_SELECT
	"INDEXED BY session_open " LEDGER_ROW_NAMES "WHERE s.end_ns IS NULL",
	[SQL_OPEN_IDS] = "SELECT s.id, b.text, s.netns, s.cookie, s.use, s.sport"
			 " FROM session AS s INDEXED BY session_open"
			 " LEFT JOIN name AS b ON b.id = s.boot WHERE s.end_ns IS NULL",
};

struct name {
	char text[NAME_MAX_SIZE];
	int64_t id;
};

struct ledger_file {
	int day;
	char *path;
	sqlite3 *db;
	sqlite3_stmt *sql[SQL_COUNT];
	struct ledger_owners owners; /* as read: for what is open */
	struct name *names;	     /* boots and pools that were used: few */
	size_t name_count;
	/*
	 * The upper half of owner.ledger_id, so that a number given in another file,
	 * or in a transaction that was rolled back, is not mistaken for one of ours.
	 */
	uint32_t epoch;
};

static int sql_fault(const struct ledger_file *file, int rc, struct fault *fault)
{
	return ledger_db_fault(file->db, file->path, rc, fault);
}

/* Run a statement that answers nothing. */
static int run(struct ledger_file *file, int which, struct fault *fault)
{
	int rc = sqlite3_step(file->sql[which]);
	int err = rc == SQLITE_DONE ? 0 : sql_fault(file, rc, fault);

	sqlite3_reset(file->sql[which]);
	return err;
}

/* Run a statement that answers one number: 1 and *ret, or 0 for no row. */
static int find(struct ledger_file *file, int which, int64_t *ret, struct fault *fault)
{
	int rc = sqlite3_step(file->sql[which]);
	int err = 0;

	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(file->sql[which], 0);
		err = 1;
	} else if (rc != SQLITE_DONE) {
		err = sql_fault(file, rc, fault);
	}
	sqlite3_reset(file->sql[which]);
	return err;
}

/* What was learnt of rows in the file holds no longer. */
static void forget_rows(struct ledger_file *file)
{
	free(file->names);
	file->names = NULL;
	file->name_count = 0;
	if (getrandom(&file->epoch, sizeof(file->epoch), 0) < 0 || file->epoch == 0)
		file->epoch = 1;
}

static int prepare_all(struct ledger_file *file, struct fault *fault)
{
	int err;

	for (int i = 0; i < SQL_COUNT; i++) {
		err = ledger_db_prepare(file->db, file->path, statements[i],
					&file->sql[i], fault);
		if (err < 0)
			return err;
	}
	return ledger_db_prepare(file->db, file->path,
				 "SELECT " LEDGER_OWNER_COLUMNS
				 " FROM owner WHERE id = ?1",
				 &file->owners.find, fault);
}

/* Open without statements; *ret_is_ledger is false for a file that wants a schema. */
static int open_file(const char *folder, int day, struct ledger_file **ret,
		     bool *ret_is_ledger, struct fault *fault)
{
	CLEANUP(ledger_file_close_ptr) struct ledger_file *file = NULL;
	int is_ledger;

	file = calloc(1, sizeof(*file));
	if (!file)
		return ledger_path_fault(folder, -ENOMEM, NULL, fault);
	file->day = day;
	file->path = ledger_day_path(folder, day, ".db");
	if (!file->path)
		return ledger_path_fault(folder, -ENOMEM, NULL, fault);
	is_ledger = ledger_db_open_write(file->path, &file->db, fault);
	if (is_ledger < 0)
		return is_ledger;
	forget_rows(file);
	*ret_is_ledger = is_ledger;
	*ret = TAKE(file);
	return 0;
}

int ledger_file_open(const char *folder, int day, struct ledger_file **ret,
		     struct fault *fault)
{
	CLEANUP(ledger_file_close_ptr) struct ledger_file *file = NULL;
	bool is_ledger;
	int err;

	err = open_file(folder, day, &file, &is_ledger, fault);
	if (err < 0)
		return err;
	if (!is_ledger)
		return 0;
	err = prepare_all(file, fault);
	if (err < 0)
		return err;
	*ret = TAKE(file);
	return 1;
}

static int carry(struct ledger_file *file, struct ledger_file *previous,
		 struct fault *fault)
{
	sqlite3_stmt *row = previous->sql[SQL_OPEN_SESSIONS];
	struct session session;
	int64_t id;
	int err = 0, rc;

	while ((rc = sqlite3_step(row)) == SQLITE_ROW && err == 0) {
		err = ledger_row_read(row, &previous->owners, &session);
		if (err < 0)
			err = ledger_path_fault(previous->path, err, NULL, fault);
		else
			err = ledger_file_insert(file, &session, true, &id, fault);
	}
	if (err == 0 && rc != SQLITE_DONE)
		err = sql_fault(previous, rc, fault);
	sqlite3_reset(row);
	return err;
}

/*
 * Schema, carried sessions and beat are one transaction: a file that has a schema
 * has what was open. PRAGMA user_version is part of it, as it stands in page 1.
 */
static int fill_new(struct ledger_file *file, struct ledger_file *previous,
		    uint64_t now_ns, struct fault *fault)
{
	char pragmas[128];
	int err;

	snprintf(pragmas, sizeof(pragmas),
		 "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 LEDGER_APPLICATION_ID, LEDGER_SCHEMA_VERSION);
	err = ledger_db_exec(file->db, file->path, "BEGIN IMMEDIATE", fault);
	if (err == 0)
		err = ledger_db_exec(file->db, file->path, pragmas, fault);
	if (err == 0)
		err = ledger_db_exec(file->db, file->path, schema, fault);
	if (err == 0)
		err = prepare_all(file, fault);
	if (err == 0 && previous)
		err = carry(file, previous, fault);
	if (err == 0)
		err = ledger_file_beat(file, now_ns, fault);
	if (err == 0)
		err = ledger_file_commit(file, fault);
	return err;
}

int ledger_file_create(const char *folder, int day, struct ledger_file *previous,
		       uint64_t now_ns, struct ledger_file **ret, struct fault *fault)
{
	CLEANUP(ledger_file_close_ptr) struct ledger_file *file = NULL;
	CLEANUP_FREE char *path = ledger_day_path(folder, day, ".db");
	bool was_there = path && access(path, F_OK) == 0;
	bool is_ledger = false;
	int err;

	err = open_file(folder, day, &file, &is_ledger, fault);
	if (err == 0)
		err = fill_new(file, previous, now_ns, fault);
	if (err < 0) {
		ledger_file_close(TAKE(file));
		if (!was_there)
			ledger_day_remove(folder, day, NULL);
		return err;
	}
	*ret = TAKE(file);
	return 0;
}

void ledger_file_close(struct ledger_file *file)
{
	if (!file)
		return;
	for (int i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(file->sql[i]);
	ledger_owners_release(&file->owners);
	sqlite3_close(file->db);
	free(file->names);
	free(file->path);
	free(file);
}

int ledger_file_day(const struct ledger_file *file)
{
	return file->day;
}

bool ledger_file_is_gone(const struct ledger_file *file)
{
	int has_moved = 0;

	return sqlite3_file_control(file->db, "main", SQLITE_FCNTL_HAS_MOVED,
				    &has_moved) == SQLITE_OK &&
	       has_moved;
}

int ledger_file_clear(const struct ledger_file *file, struct fault *fault)
{
	static const char *const suffixes[] = {"-wal", "-shm"};
	char path[PATH_MAX];

	if (access(file->path, F_OK) == 0)
		return fault_set(fault, -ESTALE,
				 "%s: was replaced while srcportd wrote it: restart "
				 "srcportd",
				 file->path);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", file->path, suffixes[i]);
		if (unlink(path) < 0 && errno != ENOENT)
			return ledger_path_fault(path, -errno, NULL, fault);
	}
	return 0;
}

static int add_open(struct ledger_open_set *set, sqlite3_stmt *row)
{
	const char *boot = (const char *)sqlite3_column_text(row, 1);
	struct session_id id = {
		.netns = (uint64_t)sqlite3_column_int64(row, 2),
		.cookie = (uint64_t)sqlite3_column_int64(row, 3),
		.use = (uint32_t)sqlite3_column_int64(row, 4),
	};
	struct ledger_open_entry *entry;

	snprintf(id.boot, sizeof(id.boot), "%s", boot ? boot : "");
	entry = ledger_open_set_add(set, &id);
	if (!entry)
		return -ENOMEM;
	entry->row = sqlite3_column_int64(row, 0);
	entry->sport = (uint16_t)sqlite3_column_int(row, 5);
	return 0;
}

int ledger_file_load_open(struct ledger_file *file, struct ledger_open_set *set,
			  struct fault *fault)
{
	sqlite3_stmt *row = file->sql[SQL_OPEN_IDS];
	int err = 0, rc;

	while (err == 0 && (rc = sqlite3_step(row)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW)
			err = sql_fault(file, rc, fault);
		else if (add_open(set, row) < 0)
			err = ledger_path_fault(file->path, -ENOMEM, NULL, fault);
	}
	sqlite3_reset(row);
	return err;
}

int ledger_file_last_beat(struct ledger_file *file, uint64_t *ret, struct fault *fault)
{
	int64_t alive_ns = 0;
	int err = find(file, SQL_GET_BEAT, &alive_ns, fault);

	if (err < 0)
		return err;
	*ret = (uint64_t)alive_ns;
	return 0;
}

int ledger_file_begin(struct ledger_file *file, struct fault *fault)
{
	return run(file, SQL_BEGIN, fault);
}

int ledger_file_commit(struct ledger_file *file, struct fault *fault)
{
	return run(file, SQL_COMMIT, fault);
}

void ledger_file_rollback(struct ledger_file *file)
{
	if (!sqlite3_get_autocommit(file->db))
		sqlite3_exec(file->db, "ROLLBACK", NULL, NULL, NULL);
	forget_rows(file);
}

/* The number of a boot id or of a pool's name, added when new. */
static int name_id(struct ledger_file *file, const char *text, int64_t *ret,
		   struct fault *fault)
{
	struct name *names;
	int64_t id;
	int found;

	for (size_t i = 0; i < file->name_count; i++)
		if (strcmp(file->names[i].text, text) == 0) {
			*ret = file->names[i].id;
			return 0;
		}
	ledger_bind_text(file->sql[SQL_FIND_NAME], 1, text);
	found = find(file, SQL_FIND_NAME, &id, fault);
	if (found == 0) {
		ledger_bind_text(file->sql[SQL_INSERT_NAME], 1, text);
		found = run(file, SQL_INSERT_NAME, fault);
		id = sqlite3_last_insert_rowid(file->db);
	}
	if (found < 0)
		return found;
	names = reallocarray(file->names, file->name_count + 1, sizeof(*names));
	if (!names)
		return ledger_path_fault(file->path, -ENOMEM, NULL, fault);
	file->names = names;
	snprintf(names[file->name_count].text, NAME_MAX_SIZE, "%s", text);
	names[file->name_count++].id = id;
	*ret = id;
	return 0;
}

/* The number of an owner, who is stored when the file does not have him yet. */
static int owner_id(struct ledger_file *file, struct owner *owner, int64_t *ret,
		    struct fault *fault)
{
	int64_t id;
	int found;

	if (owner->ledger_id >> 32 == file->epoch) {
		*ret = (int64_t)(owner->ledger_id & UINT32_MAX);
		return 0;
	}
	ledger_owner_bind(file->sql[SQL_FIND_OWNER], owner);
	found = find(file, SQL_FIND_OWNER, &id, fault);
	if (found == 0) {
		ledger_owner_bind(file->sql[SQL_INSERT_OWNER], owner);
		found = run(file, SQL_INSERT_OWNER, fault);
		id = sqlite3_last_insert_rowid(file->db);
	}
	if (found < 0)
		return found;
	if (id <= UINT32_MAX)
		owner->ledger_id = (uint64_t)file->epoch << 32 | (uint64_t)id;
	*ret = id;
	return 0;
}

/* Parameters 1 to 14, and those of the owner and the pool stored on the way. */
static int bind_session(struct ledger_file *file, sqlite3_stmt *put,
			const struct session *session, struct fault *fault)
{
	int64_t owner = 0, pool = 0;
	int err = 0;

	if (session->owner)
		err = owner_id(file, session->owner, &owner, fault);
	if (err == 0 && session->pool[0])
		err = name_id(file, session->pool, &pool, fault);
	if (err < 0)
		return err;
	sqlite3_bind_int64(put, 1, (int64_t)session->start_ns);
	ledger_bind_or_null(put, 2, session->end_ns, 0);
	sqlite3_bind_int(put, 3, session->dport);
	ledger_bind_address(put, 4, &session->src);
	ledger_bind_address(put, 5, &session->dst);
	sqlite3_bind_int(put, 6, session->protocol);
	sqlite3_bind_int(put, 7, (int)session->direction);
	ledger_bind_or_null(put, 8, session->port_free_ns, 0);
	sqlite3_bind_int(put, 9, (int)session->end_reason);
	ledger_bind_or_null(put, 10, session->tx_bytes, BYTES_UNKNOWN);
	ledger_bind_or_null(put, 11, session->rx_bytes, BYTES_UNKNOWN);
	sqlite3_bind_int(put, 12, (int)session->picked_by);
	ledger_bind_or_null(put, 13, (uint64_t)owner, 0);
	ledger_bind_or_null(put, 14, (uint64_t)pool, 0);
	return 0;
}

int ledger_file_insert(struct ledger_file *file, const struct session *session,
		       bool is_carried, int64_t *ret_row, struct fault *fault)
{
	sqlite3_stmt *put = file->sql[SQL_INSERT];
	int64_t boot;
	int err;

	err = name_id(file, session->id.boot, &boot, fault);
	if (err == 0)
		err = bind_session(file, put, session, fault);
	if (err < 0)
		return err;
	sqlite3_bind_int(put, 15, session->sport);
	sqlite3_bind_int64(put, 16, boot);
	sqlite3_bind_int64(put, 17, (int64_t)session->id.netns);
	sqlite3_bind_int64(put, 18, (int64_t)session->id.cookie);
	sqlite3_bind_int64(put, 19, session->id.use);
	sqlite3_bind_int(put, 20, is_carried);
	err = run(file, SQL_INSERT, fault);
	if (err < 0)
		return err;
	*ret_row = sqlite3_last_insert_rowid(file->db);
	return 0;
}

/* The port is rarely news, and setting it would rewrite its index entry. */
int ledger_file_update(struct ledger_file *file, const struct session *session,
		       int64_t row, uint16_t stored_sport, struct fault *fault)
{
	sqlite3_stmt *sport = file->sql[SQL_UPDATE_SPORT];
	int err;

	err = bind_session(file, file->sql[SQL_UPDATE], session, fault);
	if (err < 0)
		return err;
	sqlite3_bind_int64(file->sql[SQL_UPDATE], 15, row);
	err = run(file, SQL_UPDATE, fault);
	if (err < 0 || session->sport == stored_sport)
		return err;
	sqlite3_bind_int(sport, 1, session->sport);
	sqlite3_bind_int64(sport, 2, row);
	return run(file, SQL_UPDATE_SPORT, fault);
}

int ledger_file_put_gap(struct ledger_file *file, const struct gap *gap,
			struct fault *fault)
{
	sqlite3_stmt *put = file->sql[SQL_INSERT_GAP];

	sqlite3_bind_int64(put, 1, (int64_t)gap->from_ns);
	sqlite3_bind_int64(put, 2, (int64_t)gap->until_ns);
	sqlite3_bind_int64(put, 3, (int64_t)gap->lost_count);
	ledger_bind_text(put, 4, gap->cause);
	return run(file, SQL_INSERT_GAP, fault);
}

int ledger_file_beat(struct ledger_file *file, uint64_t now_ns, struct fault *fault)
{
	sqlite3_bind_int64(file->sql[SQL_SET_BEAT], 1, (int64_t)now_ns);
	return run(file, SQL_SET_BEAT, fault);
}

int ledger_file_visit_open(struct ledger_file *file,
			   int (*visit)(const struct session *session, void *arg),
			   void *arg, struct fault *fault)
{
	sqlite3_stmt *row = file->sql[SQL_OPEN_SESSIONS];
	struct session session;
	int visited = 0, err = 0, rc;

	while (err == 0 && (rc = sqlite3_step(row)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW) {
			err = sql_fault(file, rc, fault);
			break;
		}
		err = ledger_row_read(row, &file->owners, &session);
		if (err < 0) {
			err = ledger_path_fault(file->path, err, NULL, fault);
			break;
		}
		visited++;
		if (visit(&session, arg))
			break;
	}
	sqlite3_reset(row);
	return err < 0 ? err : visited;
}
