/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "ledger/ledger_backend.h"

struct ledger {
	const struct ledger_backend *backend;
	void *db;
};

struct ledger_query {
	const struct ledger_backend *backend;
	void *query;
};

static const struct ledger_backend *const backends[] = {
	&ledger_sqlite,
	&ledger_memory,
};

/* The back end of url, and in *ret_path what follows the scheme. */
static int find_backend(const char *url, const struct ledger_backend **ret,
			const char **ret_path, struct fault *fault)
{
	size_t scheme = strcspn(url, ":/");

	if (url[0] == '\0')
		return fault_set(fault, -EINVAL, "no path was given for the ledger");
	if (url[scheme] != ':') {
		*ret = &ledger_sqlite;
		*ret_path = url;
		return 0;
	}
	for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
		if (strlen(backends[i]->scheme) != scheme ||
		    memcmp(backends[i]->scheme, url, scheme) != 0)
			continue;
		*ret = backends[i];
		*ret_path = url + scheme + 1;
		return 0;
	}
	return fault_set(fault, -EPROTONOSUPPORT,
			 "%s: \"%.*s\" is not a kind of ledger; a path is", url,
			 (int)scheme, url);
}

int ledger_open(const char *url, uint64_t now_ns, struct ledger **ret,
		struct fault *fault)
{
	CLEANUP_FREE struct ledger *ledger = calloc(1, sizeof(*ledger));
	const char *path;
	int err;

	if (!ledger)
		return fault_set(fault, -ENOMEM, "%s: out of memory", url);
	err = find_backend(url, &ledger->backend, &path, fault);
	if (err < 0)
		return err;
	err = ledger->backend->open(path, now_ns, &ledger->db, fault);
	if (err < 0)
		return err;
	*ret = TAKE(ledger);
	return 0;
}

void ledger_close(struct ledger *ledger)
{
	if (!ledger)
		return;
	ledger->backend->close(ledger->db);
	free(ledger);
}

int ledger_put(struct ledger *ledger, const struct session *session,
	       struct fault *fault)
{
	return ledger->backend->put(ledger->db, session, fault);
}

int ledger_put_gap(struct ledger *ledger, const struct gap *gap, struct fault *fault)
{
	return ledger->backend->put_gap(ledger->db, gap, fault);
}

int ledger_commit(struct ledger *ledger, uint64_t now_ns, struct fault *fault)
{
	return ledger->backend->commit(ledger->db, now_ns, fault);
}

int ledger_prune(struct ledger *ledger, uint64_t now_ns, uint64_t keep_ns,
		 struct fault *fault)
{
	return ledger->backend->prune(ledger->db, now_ns, keep_ns, fault);
}

int ledger_beat(struct ledger *ledger, uint64_t now_ns, struct fault *fault)
{
	return ledger->backend->beat(ledger->db, now_ns, fault);
}

uint64_t ledger_last_beat(const struct ledger *ledger)
{
	return ledger->backend->last_beat(ledger->db);
}

int ledger_visit_open(struct ledger *ledger, ledger_visit_fn *visit, void *arg,
		      struct fault *fault)
{
	return ledger->backend->visit_open(ledger->db, visit, arg, fault);
}

/* Ask path, or where writer is set what it has. */
static int query(const struct ledger_backend *backend, const char *path, void *writer,
		 const struct ledger_question *question, struct ledger_query **ret,
		 struct fault *fault)
{
	CLEANUP_FREE struct ledger_query *asked = calloc(1, sizeof(*asked));
	struct ledger_question bounded = *question;
	int err;

	if (!asked)
		return fault_set(fault, -ENOMEM, "out of memory");
	if (bounded.until_ns == 0)
		bounded.until_ns = UINT64_MAX;
	if (bounded.from_ns > bounded.until_ns)
		return fault_set(fault, -EINVAL,
				 "the period asked for ends before it "
				 "begins");
	asked->backend = backend;
	if (writer)
		err = backend->ask(writer, &bounded, &asked->query, fault);
	else
		err = backend->query_open(path, &bounded, &asked->query, fault);
	if (err < 0)
		return err;
	*ret = TAKE(asked);
	return 0;
}

int ledger_query_open(const char *url, const struct ledger_question *question,
		      struct ledger_query **ret, struct fault *fault)
{
	const struct ledger_backend *backend;
	const char *path;
	int err;

	err = find_backend(url, &backend, &path, fault);
	if (err < 0)
		return err;
	if (!backend->query_open)
		return fault_set(fault, -EOPNOTSUPP,
				 "%s: can be asked only by the program that writes it",
				 url);
	return query(backend, path, NULL, question, ret, fault);
}

int ledger_ask(struct ledger *ledger, const struct ledger_question *question,
	       struct ledger_query **ret, struct fault *fault)
{
	return query(ledger->backend, NULL, ledger->db, question, ret, fault);
}

int ledger_query_next(struct ledger_query *asked, const struct session **ret_session,
		      struct fault *fault)
{
	return asked->backend->query_next(asked->query, ret_session, fault);
}

int ledger_query_next_gap(struct ledger_query *asked, struct gap *ret_gap,
			  struct fault *fault)
{
	return asked->backend->query_next_gap(asked->query, ret_gap, fault);
}

int ledger_query_last_beat(struct ledger_query *asked, uint64_t *ret_ns,
			   struct fault *fault)
{
	return asked->backend->query_last_beat(asked->query, ret_ns, fault);
}

void ledger_query_close(struct ledger_query *asked)
{
	if (!asked)
		return;
	asked->backend->query_close(asked->query);
	free(asked);
}
