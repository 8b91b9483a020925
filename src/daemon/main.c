/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* srcportd - allocate source ports, and record who held which. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/options.h"
#include "base/paths.h"
#include "base/stdio.h"
#include "daemon/daemon.h"

#define EXIT_FAULT    2
#define LOG_MAX_BYTES (1 << 20)

DEFINE_CLEANUP(struct daemon, daemon_free)

#define FIELD(name) offsetof(struct daemon_options, name)

static const struct option_entry entries[] = {
	{"config", 'c', OPTION_TEXT, FIELD(config), "FILE",
	 "policy (" PATHS_CONFIG ")"},
	{"state", 0, OPTION_TEXT, FIELD(state), "DIR",
	 "where to keep things (" PATHS_STATE ")"},
	{"socket", 0, OPTION_TEXT, FIELD(socket), "PATH",
	 "where to be asked (" PATHS_SOCKET ")"},
	{"cgroup", 0, OPTION_TEXT, FIELD(cgroup), "PATH", "manage this cgroup alone"},
	{"transient", 0, OPTION_FLAG, FIELD(is_transient), NULL,
	 "end after the last srcport run"},
	{"no-record", 0, OPTION_FLAG, FIELD(no_record), NULL,
	 "allocate and record nothing"},
	{"manage-all", 0, OPTION_FLAG, FIELD(manage_all), NULL,
	 "manage every session, by the pool default"},
	{"dry-run", 0, OPTION_FLAG, FIELD(dry_run), NULL,
	 "pick nothing, and print what would be picked"},
	{"restore", 0, OPTION_FLAG, FIELD(restore), NULL,
	 "put back ip_local_port_range after a kill, and end"},
	{"print", 'p', OPTION_FLAG, FIELD(print), NULL,
	 "print each session as it opens and ends"},
	{"log", 0, OPTION_TEXT, FIELD(log), "FILE", "once started, talk to FILE"},
	{"version", 'V', OPTION_FLAG, FIELD(version), NULL, "print the version"},
	{"help", 'h', OPTION_FLAG, FIELD(help), NULL, "print this"},
	{0},
};

static int print_about(const struct daemon_options *options)
{
	if (!options->help) {
		puts("srcportd " SRCPORT_VERSION);
		return stdio_flush() < 0 ? EXIT_FAULT : 0;
	}
	printf("usage: srcportd [OPTION...]\n\nManage and record the source ports of "
	       "this "
	       "host. See srcportd(8).\n\n");
	options_print(stdout, entries);
	return stdio_flush() < 0 ? EXIT_FAULT : 0;
}

static int refuse(const struct fault *fault)
{
	log_say("%s", fault->text);
	return EXIT_FAULT;
}

/* The protocol of sd_notify(3): a datagram to the socket that systemd names. */
static void notify(const char *text)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	CLEANUP_CLOSE int fd = -1;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (address.sun_path[0] == '@')
		address.sun_path[0] = '\0';
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   offsetof(struct sockaddr_un, sun_path) + strlen(path)) < 0)
		log_say("NOTIFY_SOCKET %s: %s", path, strerror(errno));
}

/*
 * From here on standard error is the file, and whoever started us sees the old one
 * end: we are ready.
 */
static void talk_to_log(const char *path)
{
	CLEANUP_CLOSE int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	struct stat stat;

	if (fd < 0) {
		log_say("%s: %s", path, strerror(errno));
		return;
	}
	if (fstat(fd, &stat) == 0 && stat.st_size > LOG_MAX_BYTES &&
	    ftruncate(fd, 0) < 0)
		log_say("%s: %s", path, strerror(errno));
	dup2(fd, STDERR_FILENO);
}

/* Each run takes three descriptors, each client one, and BPF maps and links theirs. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct daemon_options options = {.state = PATHS_STATE, .socket = PATHS_SOCKET};
	const struct option_group groups[] = {{entries, &options}, {0}};
	CLEANUP(daemon_free_ptr) struct daemon *daemon = NULL;
	struct fault fault = {0};
	int used, err;

	if (stdio_hold() < 0)
		return EXIT_FAULT;
	used = options_parse(groups, OPTIONS_ANYWHERE, argc, argv, &fault);
	if (used >= 0 && used < argc)
		used = fault_set(&fault, -EINVAL, "%s: srcportd takes no arguments",
				 argv[used]);
	if (used < 0)
		return refuse(&fault);
	if (options.help || options.version)
		return print_about(&options);

	if (options.restore)
		return daemon_restore(&options, &fault) < 0 ? refuse(&fault) : 0;
	if (options.is_transient && options.manage_all) {
		fault_set(&fault, -EINVAL, "--transient never manages by rules");
		return refuse(&fault);
	}
	raise_file_limit();
	err = daemon_new(&options, &daemon, &fault);
	if (err < 0) {
		if (!fault.text[0])
			fault_set(&fault, err, "%s", strerror(-err));
		return refuse(&fault);
	}
	notify("READY=1");
	if (options.log)
		talk_to_log(options.log);
	err = daemon_run(daemon);
	notify("STOPPING=1");
	if (err < 0) {
		fault_set(&fault, err, "event loop: %s", strerror(-err));
		return refuse(&fault);
	}
	return 0;
}
