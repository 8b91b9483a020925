/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* srcport - ask about source ports, and run commands with managed ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/paths.h"
#include "base/stdio.h"
#include "cli/cmd.h"

static const struct cmd *const cmds[] = {
	&cmd_run,   &cmd_who,	 &cmd_sessions, &cmd_pools, &cmd_why,
	&cmd_check, &cmd_reload, &cmd_on,	&cmd_off,   &cmd_status,
};

DEFINE_CLEANUP(struct client, client_close)

/* What goes only before a command. */
struct own {
	bool is_version;
};

static const struct option_entry own_entries[] = {
	{"version", 'V', OPTION_FLAG, offsetof(struct own, is_version), NULL,
	 "print the version"},
	{0},
};

#define FIELD(name) offsetof(struct common, name)

static const struct option_entry common_entries[] = {
	{"json", 'j', OPTION_FLAG, FIELD(is_json), NULL, "one JSON object a line"},
	{"socket", 0, OPTION_TEXT, FIELD(socket), "PATH",
	 "of srcportd (" PATHS_SOCKET ")"},
	{"state", 0, OPTION_TEXT, FIELD(state), "DIR", "of srcportd (" PATHS_STATE ")"},
	{"help", 'h', OPTION_FLAG, FIELD(is_help), NULL, "print this"},
	{0},
};

uint64_t cmd_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int cmd_fail(const struct fault *fault)
{
	fflush(stdout);
	log_say("%s", fault->text[0] ? fault->text : "failed");
	return EXIT_FAULT;
}

int cmd_ask(const struct common *common, const char *method, json_t *params,
	    client_item_fn *item, void *arg, json_t **ret_done, struct fault *fault)
{
	CLEANUP(client_close_ptr) struct client *client = NULL;
	int err = client_open(common->socket, &client, fault);

	if (err == -ENOENT || err == -ECONNREFUSED) {
		json_decref(params);
		return fault_set(fault, err,
				 "srcportd is not running: nobody answers at %s",
				 common->socket);
	}
	if (err < 0) {
		json_decref(params);
		return err;
	}
	return client_ask(client, method, params, item, arg, ret_done, fault);
}

void cmd_print_json(const json_t *object)
{
	json_dumpf(object, stdout, JSON_COMPACT);
	putchar('\n');
}

static void print_help(FILE *file)
{
	fprintf(file,
		"usage: srcport [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n\n");
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		fprintf(file, "  %-10s %s\n", cmds[i]->name, cmds[i]->help);
	fprintf(file,
		"\nsrcport COMMAND --help says more. Before or after the command:\n");
	options_print(file, common_entries);
	options_print(file, own_entries);
}

static void print_cmd_help(FILE *file, const struct cmd *cmd)
{
	fprintf(file, "usage: srcport %s %s\n\n%s.\n\n", cmd->name, cmd->arguments,
		cmd->help);
	if (cmd->more)
		fprintf(file, "%s\n", cmd->more);
	if (cmd->options)
		options_print(file, cmd->options);
	options_print(file, common_entries);
}

static const struct cmd *find_cmd(const char *name)
{
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		if (strcmp(cmds[i]->name, name) == 0)
			return cmds[i];
	return NULL;
}

/* "srcport help [COMMAND]", as --help. */
static int help(int argc, char **argv)
{
	const struct cmd *cmd = argc ? find_cmd(argv[0]) : NULL;

	if (argc && !cmd) {
		log_say("there is no command %s: srcport --help lists them", argv[0]);
		return EXIT_FAULT;
	}
	if (cmd)
		print_cmd_help(stdout, cmd);
	else
		print_help(stdout);
	return EXIT_YES;
}

static const char *setting(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);

	return value && *value ? value : otherwise;
}

static int refuse(const char *name, const struct fault *fault, int status)
{
	log_say("%s%s%s (srcport %s%s--help lists the options)", name ? name : "",
		name ? ": " : "", fault->text, name ? name : "", name ? " " : "");
	return status;
}

static int run_cmd(const struct cmd *cmd, struct common *common, int argc, char **argv)
{
	CLEANUP_FREE void *options = calloc(1, cmd->options_size + 1);
	const struct option_group groups[] = {
		{common_entries, common},
		{cmd->options, options},
		{0},
	};
	struct fault fault = {0};
	int used;

	if (!options)
		return cmd->fault_status;
	used = options_parse(groups, cmd->order, argc, argv, &fault);
	if (used < 0)
		return refuse(cmd->name, &fault, cmd->fault_status);
	if (common->is_help) {
		print_cmd_help(stdout, cmd);
		return EXIT_YES;
	}
	return cmd->run(common, options, argc - used, argv + used);
}

/* An answer that did not arrive is none. */
static int finish(int status, int fault_status)
{
	int err = stdio_flush();

	if (err < 0)
		log_say("standard output: %s", strerror(-err));
	return err < 0 ? fault_status : status;
}

static int act(int argc, char **argv)
{
	struct common common = {
		.socket = setting("SRCPORT_SOCKET", PATHS_SOCKET),
		.state = setting("SRCPORT_STATE", PATHS_STATE),
	};
	struct own own = {0};
	const struct option_group groups[] = {
		{common_entries, &common},
		{own_entries, &own},
		{0},
	};
	struct fault fault = {0};
	const struct cmd *cmd;
	int used = options_parse(groups, OPTIONS_FIRST, argc, argv, &fault);

	if (used < 0)
		return refuse(NULL, &fault, EXIT_FAULT);
	if (own.is_version) {
		puts("srcport " SRCPORT_VERSION);
		return finish(EXIT_YES, EXIT_FAULT);
	}
	if (used == argc) {
		print_help(common.is_help ? stdout : stderr);
		return finish(common.is_help ? EXIT_YES : EXIT_FAULT, EXIT_FAULT);
	}
	if (strcmp(argv[used], "help") == 0)
		return finish(help(argc - used - 1, argv + used + 1), EXIT_FAULT);
	cmd = find_cmd(argv[used]);
	if (!cmd) {
		log_say("there is no command %s: srcport --help lists them",
			argv[used]);
		return EXIT_FAULT;
	}
	return finish(run_cmd(cmd, &common, argc - used, argv + used),
		      cmd->fault_status);
}

int main(int argc, char **argv)
{
	if (stdio_hold() < 0)
		return EXIT_FAULT;
	return act(argc, argv);
}
