/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_day.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "ledger/ledger_db.h"

#define DAY_SECONDS   86400
#define DAY_NS	      (DAY_SECONDS * 1000000000ULL)
#define DATE_LENGTH   10 /* 2026-11-22 */
#define DATE_TEXT_MAX 32

static void cleanup_folder(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int ledger_day_of(uint64_t moment_ns)
{
	return (int)(moment_ns / DAY_NS);
}

uint64_t ledger_day_start_ns(int day)
{
	return (uint64_t)day * DAY_NS;
}

static char *date_format(int day, char *buf)
{
	time_t start = (time_t)day * DAY_SECONDS;
	struct tm tm;

	gmtime_r(&start, &tm);
	strftime(buf, DATE_TEXT_MAX, "%Y-%m-%d", &tm);
	return buf;
}

/* The day that text begins with, or -1. Only what date_format() would write counts. */
static int date_parse(const char *text)
{
	char again[DATE_TEXT_MAX];
	struct tm tm = {0};
	time_t start;

	if (sscanf(text, "%4d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday) != 3)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	start = timegm(&tm);
	if (start < 0)
		return -1;
	date_format((int)(start / DAY_SECONDS), again);
	if (strncmp(text, again, DATE_LENGTH) != 0)
		return -1;
	return (int)(start / DAY_SECONDS);
}

char *ledger_day_path(const char *folder, int day, const char *suffix)
{
	char date[DATE_TEXT_MAX];
	char *path;

	if (asprintf(&path, "%s/%s%s", folder, date_format(day, date), suffix) < 0)
		return NULL;
	return path;
}

static int open_folder(const char *folder, DIR **ret, struct fault *fault)
{
	DIR *dir = opendir(folder);
	int err = -errno;

	if (dir) {
		*ret = dir;
		return 0;
	}
	if (err == -ENOENT)
		return fault_set(fault, err,
				 "%s: no ledger here: srcportd has not written one",
				 folder);
	if (err == -ENOTDIR && access(folder, F_OK) == 0)
		return fault_set(
			fault, err,
			"%s: is a file, and a ledger is a folder: name another",
			folder);
	return ledger_path_fault(folder, err, NULL, fault);
}

static int add_day(struct ledger_days *days, int day, size_t *capacity)
{
	struct ledger_day *list;

	if (days->count == *capacity) {
		*capacity = *capacity ? *capacity * 2 : 32;
		list = reallocarray(days->list, *capacity, sizeof(*list));
		if (!list)
			return -ENOMEM;
		days->list = list;
	}
	days->list[days->count++] = (struct ledger_day){.day = day, .since = day};
	return 0;
}

static int compare_days(const void *a, const void *b)
{
	return ((const struct ledger_day *)a)->day -
	       ((const struct ledger_day *)b)->day;
}

static int list_files(DIR *dir, struct ledger_days *days)
{
	const struct dirent *entry;
	size_t capacity = 0;
	int err;

	while ((entry = readdir(dir))) {
		int day = date_parse(entry->d_name);

		if (day < 0 || strcmp(entry->d_name + DATE_LENGTH, ".db") != 0)
			continue;
		err = add_day(days, day, &capacity);
		if (err < 0)
			return err;
	}
	if (days->count)
		qsort(days->list, days->count, sizeof(*days->list), compare_days);
	return 0;
}

/* The day that name marks, and *ret_since; -1 when name is no mark. */
static int mark_parse(const char *name, int *ret_since)
{
	static const char word[] = ".since-";
	int day = date_parse(name);
	int since;

	if (day < 0 || strncmp(name + DATE_LENGTH, word, strlen(word)) != 0)
		return -1;
	since = date_parse(name + DATE_LENGTH + strlen(word));
	if (since < 0)
		return -1;
	*ret_since = since;
	return day;
}

static void apply_marks(DIR *dir, struct ledger_days *days)
{
	const struct dirent *entry;

	rewinddir(dir);
	while ((entry = readdir(dir))) {
		struct ledger_day key = {.day = -1};
		struct ledger_day *marked = NULL;

		key.day = mark_parse(entry->d_name, &key.since);
		if (key.day >= 0 && days->count)
			marked = bsearch(&key, days->list, days->count, sizeof(key),
					 compare_days);
		if (marked && key.since < marked->since)
			marked->since = key.since;
	}
}

int ledger_days_list(const char *folder, struct ledger_days *ret, struct fault *fault)
{
	CLEANUP(cleanup_folder) DIR *dir = NULL;
	struct ledger_days days = {0};
	int err;

	err = open_folder(folder, &dir, fault);
	if (err < 0)
		return err;
	err = list_files(dir, &days);
	if (err < 0) {
		ledger_days_release(&days);
		return fault_set(fault, err, "%s: out of memory", folder);
	}
	apply_marks(dir, &days);
	*ret = days;
	return 0;
}

void ledger_days_release(struct ledger_days *days)
{
	free(days->list);
	*days = (struct ledger_days){0};
}

int ledger_day_mark(const char *folder, int day, int since, struct fault *fault)
{
	CLEANUP_FREE char *path = NULL;
	CLEANUP_CLOSE int fd = -1;
	char suffix[DATE_TEXT_MAX * 2] = ".since-";

	date_format(since, suffix + strlen(suffix));
	path = ledger_day_path(folder, day, suffix);
	if (!path)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0) {
		int err = -errno;

		return fault_set(fault, err, "%s: cannot be written: %s", path,
				 strerror(-err));
	}
	return 0;
}

/* A file that is not there is as good as removed. */
static int remove_file(const char *folder, int day, const char *suffix,
		       struct fault *fault)
{
	CLEANUP_FREE char *path = ledger_day_path(folder, day, suffix);
	int err;

	if (!path)
		return -ENOMEM;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	err = -errno;
	return fault_set(fault, err, "%s: cannot be deleted: %s", path, strerror(-err));
}

static void remove_marks(const char *folder, int day)
{
	CLEANUP(cleanup_folder) DIR *dir = opendir(folder);
	const struct dirent *entry;
	int since;

	while (dir && (entry = readdir(dir)))
		if (mark_parse(entry->d_name, &since) == day)
			unlinkat(dirfd(dir), entry->d_name, 0);
}

/* The day's own file goes last: as long as it is there, the rest is found again. */
int ledger_day_remove(const char *folder, int day, struct fault *fault)
{
	static const char *const suffixes[] = {".db-wal", ".db-shm", ".db"};
	int err;

	remove_marks(folder, day);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		err = remove_file(folder, day, suffixes[i], fault);
		if (err < 0)
			return err;
	}
	return 0;
}
