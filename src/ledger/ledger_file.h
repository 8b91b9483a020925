/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_file.h - one day's file, open for writing. Private to ledger/.
 *
 * Rows are put between ledger_file_begin() and ledger_file_commit(). When a put
 * fails the caller calls ledger_file_rollback(), and nothing was written.
 */
#ifndef LEDGER_FILE_H
#define LEDGER_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "ledger/ledger_open_set.h"
#include "model/gap.h"
#include "model/session.h"

struct ledger_file;

/* Open the day's file in folder: 1 and *ret, or 0 when there is nothing in it. */
int ledger_file_open(const char *folder, int day, struct ledger_file **ret,
		     struct fault *fault);

/*
 * Begin the day's file, or go on with one that a killed writer left empty, and copy
 * into it what is open in previous (NULL: nothing). On failure no file is left.
 */
int ledger_file_create(const char *folder, int day, struct ledger_file *previous,
		       uint64_t now_ns, struct ledger_file **ret, struct fault *fault);
void ledger_file_close(struct ledger_file *file); /* NULL is fine */
DEFINE_CLEANUP(struct ledger_file, ledger_file_close)

int ledger_file_day(const struct ledger_file *file);

/* Whether the file was deleted, moved or replaced, so that no reader finds it. */
bool ledger_file_is_gone(const struct ledger_file *file);

/* Remove what a file that is gone left in its folder; refused where another took its
 * name. */
int ledger_file_clear(const struct ledger_file *file, struct fault *fault);

/* Add to set what is open in the file. */
int ledger_file_load_open(struct ledger_file *file, struct ledger_open_set *set,
			  struct fault *fault);

/* The time of the last beat, 0: none. */
int ledger_file_last_beat(struct ledger_file *file, uint64_t *ret, struct fault *fault);

int ledger_file_begin(struct ledger_file *file, struct fault *fault);
int ledger_file_commit(struct ledger_file *file, struct fault *fault);
void ledger_file_rollback(struct ledger_file *file);

/* Add a session; is_carried: it stands in an older file too. */
int ledger_file_insert(struct ledger_file *file, const struct session *session,
		       bool is_carried, int64_t *ret_row, struct fault *fault);

/* Replace a session, whose row holds stored_sport now. */
int ledger_file_update(struct ledger_file *file, const struct session *session,
		       int64_t row, uint16_t stored_sport, struct fault *fault);
int ledger_file_put_gap(struct ledger_file *file, const struct gap *gap,
			struct fault *fault);
int ledger_file_beat(struct ledger_file *file, uint64_t now_ns, struct fault *fault);

/* As ledger_visit_open(). */
int ledger_file_visit_open(struct ledger_file *file,
			   int (*visit)(const struct session *session, void *arg),
			   void *arg, struct fault *fault);

#endif /* LEDGER_FILE_H */
