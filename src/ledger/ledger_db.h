/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_db.h - open a day's SQLite file, and say in words what went wrong with it.
 * Private to ledger/.
 */
#ifndef LEDGER_DB_H
#define LEDGER_DB_H

#include <sqlite3.h>

#include "base/cleanup.h"
#include "base/fault.h"

#define LEDGER_APPLICATION_ID 0x73706c67 /* "splg": file(1) and we tell it by this */
#define LEDGER_SCHEMA_VERSION 1

DEFINE_CLEANUP(sqlite3, sqlite3_close)
DEFINE_CLEANUP(sqlite3_stmt, sqlite3_finalize)

/*
 * Open for writing; the file is made when missing. 1: it is a ledger file; 0: it is
 * new or was left empty, and wants its schema. What is no ledger is left unchanged:
 * -EBADMSG; -EPROTONOSUPPORT when a newer srcport wrote it.
 */
int ledger_db_open_write(const char *path, sqlite3 **ret, struct fault *fault);

/*
 * Open for reading, whether or not somebody writes it or can. Makes no file. 1 and
 * *ret; 0 when there is nothing in it, or it was pruned meanwhile.
 */
int ledger_db_open_read(const char *path, sqlite3 **ret, struct fault *fault);

int ledger_db_exec(sqlite3 *db, const char *path, const char *sql, struct fault *fault);

int ledger_db_prepare(sqlite3 *db, const char *path, const char *sql,
		      sqlite3_stmt **ret, struct fault *fault);

/* Turn the SQLite error rc into a negative errno and a fault with the remedy. */
int ledger_db_fault(sqlite3 *db, const char *path, int rc, struct fault *fault);

/* The same, with an errno already known (-EBADMSG, -ENOMEM, -EROFS, ...). */
int ledger_path_fault(const char *path, int err, const char *detail,
		      struct fault *fault);

#endif /* LEDGER_DB_H */
