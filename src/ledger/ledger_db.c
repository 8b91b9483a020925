/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_db.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* How long to wait for another reader that rebuilds the index of a WAL. */
#define BUSY_MS 2000

struct remedy {
	int err;
	const char *text;
};

static const struct remedy remedies[] = {
	{-EBADMSG, "is damaged or is not a ledger file: move it away"},
	{-ENOSPC, "cannot be written, the disk is full: make room"},
	{-EDQUOT, "cannot be written, the disk quota is used up: make room"},
	{-EROFS, "is on a read-only file system: mount it writable, or name another "
		 "folder"},
	{-EACCES, "may not be opened or written: see its permissions and lsattr(1)"},
	{-EBUSY, "is locked by another program: end that program"},
	{-EISDIR, "is a folder, and a file is expected there: move it away"},
	{-ENOTDIR, "a part of its path is a file, where a folder is expected: name "
		   "another"},
	{-ENOMEM, "out of memory"},
};

int ledger_path_fault(const char *path, int err, const char *detail,
		      struct fault *fault)
{
	const char *text = "cannot be read or written";

	if (err == -EPERM)
		err = -EACCES;
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (remedies[i].err == err)
			text = remedies[i].text;
	if (!detail)
		detail = strerror(-err);
	return fault_set(fault, err, "%s: %s (%s)", path, text, detail);
}

static unsigned long mount_flags(const char *path, bool *ret_is_full)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return 0;
	*ret_is_full = fs.f_bavail == 0;
	return fs.f_flag;
}

/* A full disk and a read-only mount show as several errors of SQLite: ask the mount. */
static int errno_of_io(sqlite3 *db, const char *path, bool is_full)
{
	int err = sqlite3_system_errno(db);
	struct stat st;

	if (is_full)
		return -ENOSPC;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	return err ? -err : -EIO;
}

static int errno_of(sqlite3 *db, const char *path, int rc)
{
	bool is_full = false;
	unsigned long flags = mount_flags(path, &is_full);

	switch (rc & 0xff) {
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_FORMAT:
	case SQLITE_ERROR: /* our SQL is right, so the schema is not ours */
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return flags & ST_RDONLY ? -EROFS : -EACCES;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	default:
		return errno_of_io(db, path, is_full);
	}
}

int ledger_db_fault(sqlite3 *db, const char *path, int rc, struct fault *fault)
{
	return ledger_path_fault(path, errno_of(db, path, rc), sqlite3_errmsg(db),
				 fault);
}

int ledger_db_exec(sqlite3 *db, const char *path, const char *sql, struct fault *fault)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : ledger_db_fault(db, path, rc, fault);
}

int ledger_db_prepare(sqlite3 *db, const char *path, const char *sql,
		      sqlite3_stmt **ret, struct fault *fault)
{
	int rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);

	return rc == SQLITE_OK ? 0 : ledger_db_fault(db, path, rc, fault);
}

/* The number that a one-value statement answers. */
static int ask_number(sqlite3 *db, const char *path, const char *sql, int *ret,
		      struct fault *fault)
{
	CLEANUP(sqlite3_finalize_ptr) sqlite3_stmt *statement = NULL;
	int err, rc;

	err = ledger_db_prepare(db, path, sql, &statement, fault);
	if (err < 0)
		return err;
	rc = sqlite3_step(statement);
	if (rc != SQLITE_ROW)
		return ledger_db_fault(db, path, rc, fault);
	*ret = sqlite3_column_int(statement, 0);
	return 0;
}

/* 1: a ledger file; 0: an empty one. Anything else is an error, and untouched. */
static int identify_db(sqlite3 *db, const char *path, struct fault *fault)
{
	int application, version, tables, err;

	err = ask_number(db, path, "PRAGMA application_id", &application, fault);
	if (err < 0)
		return err;
	err = ask_number(db, path, "PRAGMA user_version", &version, fault);
	if (err < 0)
		return err;
	err = ask_number(db, path, "SELECT count(*) FROM sqlite_schema", &tables,
			 fault);
	if (err < 0)
		return err;
	if (application == 0 && version == 0 && tables == 0)
		return 0;
	if (application != LEDGER_APPLICATION_ID)
		return fault_set(fault, -EBADMSG,
				 "%s: is an SQLite file but not a ledger: move it away",
				 path);
	if (version != LEDGER_SCHEMA_VERSION)
		return fault_set(fault, -EPROTONOSUPPORT,
				 "%s: has ledger schema %d, and this srcport knows %d: "
				 "use the srcport that wrote it, or move it away",
				 path, version, LEDGER_SCHEMA_VERSION);
	return 1;
}

static int open_db(const char *name, const char *path, int flags, sqlite3 **ret,
		   struct fault *fault)
{
	CLEANUP(sqlite3_close_ptr) sqlite3 *db = NULL;
	int rc;

	rc = sqlite3_open_v2(name, &db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (!db)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	if (rc != SQLITE_OK)
		return ledger_db_fault(db, path, rc, fault);
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, BUSY_MS);
	/* A ledger file may come from elsewhere: what it says in SQL is not run. */
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	*ret = TAKE(db);
	return 0;
}

int ledger_db_open_write(const char *path, sqlite3 **ret, struct fault *fault)
{
	CLEANUP(sqlite3_close_ptr) sqlite3 *db = NULL;
	int is_ledger, err;

	/* root passes permission bits, but not a read-only mount or chattr +i. */
	if (access(path, W_OK) < 0 && errno != ENOENT)
		return ledger_path_fault(path, -errno, NULL, fault);
	err = open_db(path, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &db,
		      fault);
	if (err < 0)
		return err;
	is_ledger = identify_db(db, path, fault);
	if (is_ledger < 0)
		return is_ledger;
	/* In WAL a commit survives kill -9 without a sync; NORMAL syncs at checkpoints.
	 */
	err = ledger_db_exec(db, path,
			     "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
			     "PRAGMA journal_size_limit = 67108864;"
			     "PRAGMA cache_size = -16384;",
			     fault);
	if (err < 0)
		return err;
	*ret = TAKE(db);
	return is_ledger;
}

/* "file:" and path, with what a URI would take for itself as %xx. NULL: no memory. */
static char *uri_of(const char *path, const char *query)
{
	size_t size = strlen("file:") + strlen(path) * 3 + strlen(query) + 1;
	char *uri = malloc(size);
	char *at = uri;

	if (!uri)
		return NULL;
	at = stpcpy(at, "file:");
	for (; *path; path++)
		at += snprintf(at, 4, strchr("?#%", *path) ? "%%%02x" : "%c",
			       (unsigned char)*path);
	strcpy(at, query);
	return uri;
}

/*
 * Whether the file can be read without locks: nobody has it open for writing while
 * it has no WAL (a writer has one from its first write until it closes), and on a
 * read-only mount nobody can write. Opened in the plain way SQLite would make the
 * WAL and its index, which a reader must not and often cannot do.
 */
static bool is_at_rest(const char *path)
{
	CLEANUP_FREE char *wal = NULL;
	struct stat st;
	bool is_full;

	if (asprintf(&wal, "%s-wal", path) < 0) {
		wal = NULL;
		return false;
	}
	if (stat(wal, &st) < 0)
		return errno == ENOENT;
	return st.st_size == 0 && (mount_flags(path, &is_full) & ST_RDONLY);
}

int ledger_db_open_read(const char *path, sqlite3 **ret, struct fault *fault)
{
	CLEANUP(sqlite3_close_ptr) sqlite3 *db = NULL;
	CLEANUP_FREE char *uri = NULL;
	int is_ledger, err;

	if (access(path, R_OK) < 0)
		return errno == ENOENT ? 0
				       : ledger_path_fault(path, -errno, NULL, fault);
	uri = uri_of(path, is_at_rest(path) ? "?immutable=1" : "");
	if (!uri)
		return ledger_path_fault(path, -ENOMEM, NULL, fault);
	err = open_db(uri, path, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, &db, fault);
	if (err < 0)
		return err == -ENOENT ? 0 : err;
	is_ledger = identify_db(db, path, fault);
	if (is_ledger > 0)
		*ret = TAKE(db);
	return is_ledger;
}
