/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * forker - fork children that each open one TCP session, close it and exit at once.
 *
 * Each child prints one line: its pid, its start time (field 22 of proc(5)'s stat, in
 * clock ticks) and its source port.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static unsigned long long start_ticks(void)
{
	char text[1024], *field;
	CLEANUP_CLOSE int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (length < 0)
		return 0;
	text[length] = '\0';
	/* The name in brackets may hold anything: count from the last bracket, field 2.
	 */
	field = strrchr(text, ')');
	for (int i = 2; field && i < 22; i++)
		field = strchr(field + 1, ' ');
	return field ? strtoull(field, NULL, 10) : 0;
}

static int child(const struct endpoint *remote)
{
	struct endpoint local;
	char line[64];
	int length;
	int fd = socket(remote->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (const void *)&remote->address, remote->length) < 0 ||
	    endpoint_local(fd, &local) < 0)
		return 1;
	close(fd);
	length = snprintf(line, sizeof(line), "%d %llu %u\n", getpid(), start_ticks(),
			  endpoint_port(&local));
	/* One write: lines of many children do not mix in a pipe or an O_APPEND file.
	 */
	return write(STDOUT_FILENO, line, length) == length ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct endpoint remote;
	long count = argc == 4 ? atol(argv[1]) : 0, failed = 0;

	if (count <= 0 || endpoint_parse(argv[2], argv[3], &remote) < 0) {
		fputs("usage: forker COUNT ADDRESS PORT\n", stderr);
		return 2;
	}
	for (long i = 0; i < count; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(child(&remote));
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
			failed++;
	}
	if (failed)
		fprintf(stderr, "forker: %ld of %ld children failed\n", failed, count);
	return failed ? 1 : 0;
}
