/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * source.h - sessions from wherever they are: the daemon, or, where none runs, the
 * ledger.
 */
#ifndef CLI_SOURCE_H
#define CLI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/client.h"
#include "cli/cmd.h"

struct source;

struct source_question {
	const char *filter; /* NULL: all */
	bool is_past;	    /* else: what is open now */
	uint64_t from_ns;   /* 0: since ever */
	uint64_t until_ns;  /* 0: for ever */
};

int source_open(const struct common *common, struct source **ret, struct fault *fault);
void source_close(struct source *source); /* NULL is fine */

/* A daemon answers. Without one nothing is known to be open now. */
bool source_is_live(const struct source *source);

/*
 * Visit the sessions as JSON. *ret_end is {"complete","gaps"}, the caller's to
 * release. Returns 0, what item returned to stop, or a negative errno.
 */
int source_ask(struct source *source, const struct source_question *question,
	       client_item_fn *item, void *arg, json_t **ret_end, struct fault *fault);

#endif /* CLI_SOURCE_H */
