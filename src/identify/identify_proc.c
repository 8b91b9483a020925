/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "identify/identify_proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define DELETED		" (deleted)"
#define FIELDS_TO_START 19 /* from the state, field 3, to the start time, field 22 */

bool proc_start_agrees(uint64_t start_ns, uint64_t ticks_ns)
{
	return start_ns / PROC_TICK_NS == ticks_ns / PROC_TICK_NS;
}

/* Returns the length or a negative errno; buf is terminated. */
static ssize_t read_file(int dir_fd, const char *name, char *buf, size_t size)
{
	CLEANUP_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -errno;
	length = read(fd, buf, size - 1);
	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return length;
}

static int start_read(int dir_fd, uint64_t *ret_ns)
{
	char stat[1024], *at;
	uint64_t ticks;

	if (read_file(dir_fd, "stat", stat, sizeof(stat)) < 0)
		return -ENOENT;
	at = strrchr(stat, ')'); /* the name before it may hold anything */
	for (int i = 0; at && i <= FIELDS_TO_START; i++)
		at = strchr(at + 1, ' ');
	if (!at || sscanf(at, "%" SCNu64, &ticks) != 1)
		return -ENOENT;
	*ret_ns = ticks * PROC_TICK_NS;
	return 0;
}

static void exe_read(int dir_fd, struct proc_process *process)
{
	char path[PATH_MAX];
	struct stat is;
	ssize_t length = readlinkat(dir_fd, "exe", path, sizeof(path) - 1);

	if (length <= 0)
		return;
	path[length] = '\0';
	if (length > (ssize_t)strlen(DELETED) &&
	    !strcmp(path + length - strlen(DELETED), DELETED))
		path[length - strlen(DELETED)] = '\0';
	process->exe = strdup(path);
	if (!fstatat(dir_fd, "exe", &is, 0)) {
		process->exe_inode = is.st_ino;
		process->exe_device = is.st_dev;
	}
}

int proc_read(uint32_t pid, struct proc_process *ret)
{
	struct proc_process process = {};
	CLEANUP_CLOSE int dir_fd = -1;
	char path[32];
	ssize_t length;
	int err;

	snprintf(path, sizeof(path), "/proc/%" PRIu32, pid);
	dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -ENOENT;
	err = start_read(dir_fd, &process.pid_start_ns);
	if (err)
		return err;
	exe_read(dir_fd, &process);
	length = read_file(dir_fd, "cmdline", process.cmdline, sizeof(process.cmdline));
	process.cmdline_length = length > 0 ? length : 0;
	*ret = process;
	return 0;
}

void proc_release(struct proc_process *process)
{
	free(process->exe);
}

static void dir_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int proc_visit(proc_visit_fn *visit, void *arg)
{
	CLEANUP(dir_close) DIR *proc = opendir("/proc");
	struct dirent *entry;
	int visited = 0;

	if (!proc)
		return -errno;
	while ((entry = readdir(proc))) {
		CLEANUP(proc_release) struct proc_process process = {};
		uint32_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = strtoul(entry->d_name, NULL, 10);
		if (proc_read(pid, &process))
			continue; /* it ended meanwhile */
		visit(pid, &process, arg);
		visited++;
	}
	return visited;
}
