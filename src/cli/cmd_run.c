/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cmd_run.c - become a command whose sessions take managed source ports. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/paths.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "cli/spawn.h"
#include "policy/policy.h"
#include "policy/port_set.h"

#define PATIENCE_S   10 /* for a daemon that starts or ends just now */
#define RETRY_NS     20000000
#define ATTEMPTS_MAX 5
#define NAME_LONGEST 4096

struct run_options {
	const char *pool;
	const char *ports;
	const char *sharing;
};

DEFINE_CLEANUP(struct client, client_close)

#define FIELD(name) offsetof(struct run_options, name)

static const struct option_entry entries[] = {
	{"pool", 0, OPTION_TEXT, FIELD(pool), "NAME", "a pool of the policy (default)"},
	{"ports", 'p', OPTION_TEXT, FIELD(ports), "SET",
	 "these ports: 50000-50999,52000"},
	{"sharing", 0, OPTION_TEXT, FIELD(sharing), "HOW",
	 "never, when-full or always"},
	{0},
};

static int check_options(const struct run_options *options, struct fault *fault)
{
	CLEANUP_FREE struct port_set *ports = calloc(1, sizeof(*ports));
	enum sharing sharing;
	int err = 0;

	if (!ports)
		return fault_set(fault, -ENOMEM, "out of memory");
	if (options->pool && options->ports)
		return fault_set(fault, -EINVAL,
				 "--pool and --ports exclude each other");
	if (options->ports)
		err = port_set_parse(options->ports, ports, fault);
	if (err < 0)
		return err;
	if (options->sharing && sharing_parse(options->sharing, &sharing) < 0)
		return fault_set(fault, -EINVAL,
				 "--sharing %s: it is never, when-full or always",
				 options->sharing);
	return 0;
}

static int check_file(const char *path)
{
	struct stat stat_of;

	if (stat(path, &stat_of) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENOENT : -errno;
	if (S_ISDIR(stat_of.st_mode))
		return -EISDIR;
	return access(path, X_OK) < 0 ? -errno : 0;
}

/* As execvp(3) will look for it: 0, -ENOENT, or why it cannot be run. */
static int check_command(const char *name)
{
	const char *path = getenv("PATH");
	char file[NAME_LONGEST];
	int err, found = -ENOENT;
	size_t length;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/'))
		return check_file(name);
	for (path = path ? path : "/bin:/usr/bin";; path += length + 1) {
		length = strcspn(path, ":");
		snprintf(file, sizeof(file), "%.*s%s%s", (int)length, path,
			 length ? "/" : "", name);
		err = check_file(file);
		if (err == 0)
			return 0;
		if (err != -ENOENT)
			found = err;
		if (!path[length])
			return found;
	}
}

static int cannot_run(const char *name, int err)
{
	log_say("%s: %s", name, err == -ENOENT ? "command not found" : strerror(-err));
	return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

static pid_t find_holder(void)
{
	char root[NAME_LONGEST];

	if (paths_cgroup_root(root, sizeof(root)) < 0)
		return 0;
	return lock_holder(PATHS_LOCK, root, "");
}

/*
 * The running daemon, or a transient one. Of two that are started at once the
 * lock lets one live, and both callers find that one.
 */
static int join(const struct common *common, struct client **ret, struct fault *fault)
{
	const struct timespec pause = {.tv_nsec = RETRY_NS};
	time_t until = time(NULL) + PATIENCE_S;
	pid_t holder;
	int err;

	for (;;) {
		err = client_open(common->socket, ret, fault);
		if (err >= 0 || (err != -ENOENT && err != -ECONNREFUSED))
			return err;
		holder = find_holder();
		err = holder ? 0 : spawn_daemon(common, fault);
		/* It may have lost against one that started at the same time. */
		if (err < 0 && !find_holder())
			return client_open(common->socket, ret, NULL) < 0 ? err : 0;
		if (time(NULL) > until)
			return fault_set(
				fault, -ETIMEDOUT,
				"srcportd (pid %d) manages this host and does not "
				"answer at %s: say where with --socket",
				holder, common->socket);
		if (holder)
			nanosleep(&pause, NULL);
	}
}

static json_t *wish(const struct run_options *options)
{
	return json_pack("{s:s?, s:s?, s:s?}", "pool", options->pool, "ports",
			 options->ports, "sharing", options->sharing);
}

static int ask(const struct common *common, const struct run_options *options,
	       struct fault *fault)
{
	int err = -ECONNRESET;

	/* A transient daemon may end between our connect and its reading. */
	for (int attempt = 0; err == -ECONNRESET && attempt < ATTEMPTS_MAX; attempt++) {
		CLEANUP(client_close_ptr) struct client *client = NULL;
		json_t *done = NULL;

		err = join(common, &client, fault);
		if (err >= 0)
			err = client_ask(client, "run", wish(options), NULL, NULL,
					 &done, fault);
		json_decref(done);
	}
	return err;
}

static int run(const struct common *common, const void *options, int argc, char **argv)
{
	struct fault fault = {0};
	int err = check_options(options, &fault);

	if (err >= 0 && !argc)
		err = fault_set(&fault, -EINVAL, "run needs a command");
	if (err < 0) {
		cmd_fail(&fault);
		return EXIT_RUN_FAULT;
	}
	err = check_command(argv[0]);
	if (err < 0)
		return cannot_run(argv[0], err);
	if (geteuid() != 0)
		err = fault_set(&fault, -EPERM,
				"run must be started by root: it moves the "
				"command to a cgroup of its own");
	if (err >= 0)
		err = ask(common, options, &fault);
	if (err < 0) {
		cmd_fail(&fault);
		return EXIT_RUN_FAULT;
	}
	/* In our place, so that its input, output, signals and status are its own. */
	execvp(argv[0], argv);
	return cannot_run(argv[0], -errno);
}

const struct cmd cmd_run = {
	.name = "run",
	.arguments = "[--pool NAME | --ports SET] [--sharing HOW] [--] COMMAND "
		     "[ARGUMENT...]",
	.help = "Run a command whose sessions take managed source ports",
	.more = "Where no srcportd runs, one is started that ends with the last such "
		"command.\n"
		"The exit status is the command's; 125: srcport failed, 126: the "
		"command cannot\n"
		"be run, 127: it was not found.\n",
	.order = OPTIONS_FIRST,
	.fault_status = EXIT_RUN_FAULT,
	.options = entries,
	.options_size = sizeof(struct run_options),
	.run = run,
};
