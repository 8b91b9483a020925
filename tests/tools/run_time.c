/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * run_time - how long BPF programs run, and how often, while a command does.
 *
 *	run_time "ID ..." COMMAND...
 *
 * Of each program that ran, on standard error: name, runs, nanoseconds. The kernel
 * counts while this program asks it to (BPF_ENABLE_STATS), and no longer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"

#define PROGRAMS_MAX 256

struct program {
	int fd;
	struct bpf_prog_info before;
};

static int info_of(int fd, struct bpf_prog_info *ret)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*ret = info;
	return 0;
}

/* The descriptors end with this process. */
static size_t programs_open(const char *ids, struct program *programs)
{
	size_t count = 0;
	char *end;

	for (; *ids && count < PROGRAMS_MAX; ids = end) {
		struct program program = {
			.fd = bpf_prog_get_fd_by_id(strtoul(ids, &end, 10))};

		if (end == ids)
			break;
		if (program.fd >= 0 && !info_of(program.fd, &program.before))
			programs[count++] = program;
	}
	return count;
}

/* Its exit status, or 125. */
static int run(char **command)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return 125;
	return WEXITSTATUS(status);
}

static void tell(const struct program *program)
{
	struct bpf_prog_info now;

	if (info_of(program->fd, &now) < 0 || now.run_cnt == program->before.run_cnt)
		return;
	fprintf(stderr, "%s %llu %llu\n", now.name,
		(unsigned long long)(now.run_cnt - program->before.run_cnt),
		(unsigned long long)(now.run_time_ns - program->before.run_time_ns));
}

int main(int argc, char **argv)
{
	static struct program programs[PROGRAMS_MAX];
	CLEANUP_CLOSE int stats = -1;
	size_t count;
	int status;

	if (argc < 3) {
		fputs("usage: run_time \"ID ...\" COMMAND...\n", stderr);
		return 125;
	}
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	count = programs_open(argv[1], programs);
	if (stats < 0 || !count) {
		fprintf(stderr, "run_time: %s\n",
			stats < 0 ? strerror(errno) : "no such programs");
		return 125;
	}
	status = run(argv + 2);
	for (size_t i = 0; i < count; i++)
		tell(&programs[i]);
	return status;
}
