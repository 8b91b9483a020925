/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* session_text.h - the sessions of an answer on standard output, as text or JSON. */
#ifndef CLI_SESSION_TEXT_H
#define CLI_SESSION_TEXT_H

#include <jansson.h>

#include "cli/cmd.h"

struct session_printer {
	bool is_json;
	bool is_who;  /* as text, a sentence each and no table */
	size_t count; /* printed so far */
};

/* Print one; a client_item_fn whose arg is a struct session_printer. Always 0. */
int session_print(json_t *item, void *printer);

/* The last line of an answer: as JSON, or, where it has gaps, a note on stderr. */
void session_print_end(const struct session_printer *printer, const json_t *end);

#endif /* CLI_SESSION_TEXT_H */
