/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * cmd.h - a subcommand: one file, one const entry, one function.
 *
 * The function returns the exit status: 0 yes or clean, 1 no or something found,
 * 2 usage or failure.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/options.h"
#include "cli/client.h"

enum {
	EXIT_YES = 0,
	EXIT_NO = 1,
	EXIT_FAULT = 2,
	EXIT_RUN_FAULT = 125, /* as env(1) has them */
	EXIT_CANNOT_RUN = 126,
	EXIT_NOT_FOUND = 127,
};

/* What every subcommand takes. */
struct common {
	const char *socket;
	const char *state;
	bool is_json;
	bool is_help;
};

struct cmd {
	const char *name;
	const char *arguments; /* for the usage line */
	const char *help;      /* one line */
	const char *more;      /* further lines of its --help, or NULL */
	enum options_order order;
	int fault_status;		    /* of a usage error */
	const struct option_entry *options; /* NULL: none but the common ones */
	size_t options_size; /* of the struct they are bound to, zeroed */
	/* argv[0] is the first argument after the options. */
	int (*run)(const struct common *common, const void *options, int argc,
		   char **argv);
};

extern const struct cmd cmd_run;
extern const struct cmd cmd_who;
extern const struct cmd cmd_sessions;
extern const struct cmd cmd_status;
extern const struct cmd cmd_check;
extern const struct cmd cmd_pools;
extern const struct cmd cmd_why;
extern const struct cmd cmd_reload;
extern const struct cmd cmd_on;
extern const struct cmd cmd_off;

/* The wall clock. To the second would be too coarse: "now" is after what just happened.
 */
uint64_t cmd_now_ns(void);

/*
 * Ask a running srcportd and nobody else; client.h says how. Where none runs the fault
 * says so.
 */
int cmd_ask(const struct common *common, const char *method, json_t *params,
	    client_item_fn *item, void *arg, json_t **ret_done, struct fault *fault);

/* One JSON object on a line. The reference stays the caller's. */
void cmd_print_json(const json_t *object);

/* Say it on stderr; returns EXIT_FAULT. */
int cmd_fail(const struct fault *fault);

#endif /* CLI_CMD_H */
