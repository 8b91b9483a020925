/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_day.h - the day files of a ledger folder, by their names. Private to ledger/.
 *
 * A day is a number of days since 1970-01-01, UTC; its file is DIR/2026-11-22.db.
 * A file holds what was recorded until the next file was begun. Where the clock was
 * set back, or a session was found long after it began, a file holds sessions that
 * began before its day: an empty file DIR/2026-11-22.since-2026-11-20 says so by its
 * name, and a question about the 20th need not open every file to learn it.
 */
#ifndef LEDGER_DAY_H
#define LEDGER_DAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

struct ledger_day {
	int day;
	int since; /* the first day on which a session in it may have begun */
};

struct ledger_days {
	struct ledger_day *list; /* in order */
	size_t count;
};

int ledger_day_of(uint64_t moment_ns);
uint64_t ledger_day_start_ns(int day);

/* DIR/2026-11-22 and suffix (".db", ".db-wal"). The caller frees it; NULL: no memory.
 */
char *ledger_day_path(const char *folder, int day, const char *suffix);

/* -ENOENT where there is no folder, -ENOTDIR where it is a file. */
int ledger_days_list(const char *folder, struct ledger_days *ret, struct fault *fault);
void ledger_days_release(struct ledger_days *days);

/* Mark that the file of day holds sessions that began on the day since. */
int ledger_day_mark(const char *folder, int day, int since, struct fault *fault);

/* Delete a day's file and all that stands beside it. */
int ledger_day_remove(const char *folder, int day, struct fault *fault);

#endif /* LEDGER_DAY_H */
