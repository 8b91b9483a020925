/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_backend.h - what a storage back end provides. Private to ledger/.
 *
 * Each function is the one of ledger.h with the same name. A question has until_ns
 * set (UINT64_MAX for ever).
 */
#ifndef LEDGER_BACKEND_H
#define LEDGER_BACKEND_H

#include "ledger/ledger.h"

struct ledger_backend {
	const char *scheme; /* the part of the url before the colon */
	int (*open)(const char *path, uint64_t now_ns, void **ret, struct fault *fault);
	void (*close)(void *db);
	int (*put)(void *db, const struct session *session, struct fault *fault);
	int (*put_gap)(void *db, const struct gap *gap, struct fault *fault);
	int (*commit)(void *db, uint64_t now_ns, struct fault *fault);
	int (*prune)(void *db, uint64_t now_ns, uint64_t keep_ns, struct fault *fault);
	int (*beat)(void *db, uint64_t now_ns, struct fault *fault);
	uint64_t (*last_beat)(const void *db);
	int (*visit_open)(void *db, ledger_visit_fn *visit, void *arg,
			  struct fault *fault);

	/* NULL where only the one who writes can ask. */
	int (*query_open)(const char *path, const struct ledger_question *question,
			  void **ret, struct fault *fault);
	int (*ask)(void *db, const struct ledger_question *question, void **ret,
		   struct fault *fault);
	int (*query_next)(void *query, const struct session **ret_session,
			  struct fault *fault);
	int (*query_next_gap)(void *query, struct gap *ret_gap, struct fault *fault);
	int (*query_last_beat)(void *query, uint64_t *ret_ns, struct fault *fault);
	void (*query_close)(void *query);
};

extern const struct ledger_backend ledger_sqlite;
extern const struct ledger_backend ledger_memory;

/* The reading half of ledger_sqlite, in ledger_sqlite_query.c. */
int ledger_sqlite_query_open(const char *path, const struct ledger_question *question,
			     void **ret, struct fault *fault);

/* Let the query tell of a gap that is not in a file. */
void ledger_sqlite_query_add_gap(void *query, const struct gap *gap);
int ledger_sqlite_query_next(void *query, const struct session **ret_session,
			     struct fault *fault);
int ledger_sqlite_query_next_gap(void *query, struct gap *ret_gap, struct fault *fault);
int ledger_sqlite_query_last_beat(void *query, uint64_t *ret_ns, struct fault *fault);
void ledger_sqlite_query_close(void *query);

#endif /* LEDGER_BACKEND_H */
