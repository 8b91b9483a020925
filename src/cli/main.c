/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* srcport - ask about source ports, and run commands with managed ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/cmd.h"

static const struct cmd *const cmds[] = {
	&cmd_run, &cmd_who, &cmd_sessions, &cmd_status, &cmd_check,
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

int cmd_fail(const struct fault *fault)
{
	fflush(stdout);
	log_say("%s", fault->text[0] ? fault->text : "failed");
	return EXIT_FAULT;
}

static void print_help(FILE *file)
{
	fprintf(file, "usage: srcport COMMAND [OPTION...] [ARGUMENT...]\n\n");
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		fprintf(file, "  %-10s %s\n", cmds[i]->name, cmds[i]->help);
	fprintf(file, "\nsrcport COMMAND --help says more. Every command takes:\n");
	options_print(file, common_entries);
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

static const char *setting(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);

	return value && *value ? value : otherwise;
}

static int run_cmd(const struct cmd *cmd, int argc, char **argv)
{
	struct common common = {
		.socket = setting("SRCPORT_SOCKET", PATHS_SOCKET),
		.state = setting("SRCPORT_STATE", PATHS_STATE),
	};
	CLEANUP_FREE void *options = calloc(1, cmd->options_size + 1);
	const struct option_group groups[] = {
		{common_entries, &common},
		{cmd->options, options},
		{0},
	};
	struct fault fault = {0};
	int used;

	if (!options)
		return cmd->fault_status;
	used = options_parse(groups, cmd->order, argc, argv, &fault);
	if (used < 0) {
		log_say("%s: %s (srcport %s --help lists the options)", cmd->name,
			fault.text, cmd->name);
		return cmd->fault_status;
	}
	if (common.is_help) {
		print_cmd_help(stdout, cmd);
		return EXIT_YES;
	}
	return cmd->run(&common, options, argc - used, argv + used);
}

int main(int argc, char **argv)
{
	const struct cmd *cmd;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_FAULT;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return EXIT_YES;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("srcport " SRCPORT_VERSION);
		return EXIT_YES;
	}
	cmd = find_cmd(argv[1]);
	if (!cmd) {
		log_say("there is no command %s: srcport --help lists them", argv[1]);
		return EXIT_FAULT;
	}
	return run_cmd(cmd, argc - 1, argv + 1);
}
