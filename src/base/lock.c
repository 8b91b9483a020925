/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"

#define DEPTH_MAX 64

struct lock {
	int fds[DEPTH_MAX];
	int count;
};

DEFINE_CLEANUP(struct lock, lock_free)

void lock_free(struct lock *lock)
{
	if (!lock)
		return;
	while (lock->count)
		close(lock->fds[--lock->count]);
	free(lock);
}

/* The holder of a flock on this file as /proc/locks has it; 0: none. */
static pid_t find_holder(const struct stat *stat, bool or_shared)
{
	unsigned int major_number, minor_number;
	unsigned long inode;
	char line[256], mode[16];
	pid_t holder = 0;
	int pid;
	FILE *file = fopen("/proc/locks", "re");

	if (!file)
		return 0;
	while (!holder && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*d: FLOCK %*s %15s %d %x:%x:%lu", mode, &pid,
			   &major_number, &minor_number, &inode) != 5)
			continue;
		if (inode == stat->st_ino && major(stat->st_dev) == major_number &&
		    minor(stat->st_dev) == minor_number &&
		    (or_shared || strcmp(mode, "WRITE") == 0))
			holder = pid;
	}
	fclose(file);
	return holder;
}

pid_t lock_holder(const char *folder)
{
	struct stat folder_stat;

	if (stat(folder, &folder_stat) < 0)
		return 0;
	return find_holder(&folder_stat, false);
}

static int refuse(const char *folder, int fd, struct fault *fault)
{
	struct stat folder_stat;
	pid_t holder = 0;

	if (fstat(fd, &folder_stat) == 0)
		holder = find_holder(&folder_stat, true);
	return fault_set(
		fault, -EWOULDBLOCK,
		"another srcportd (pid %d) manages %s: stop it, use it "
		"(srcport --socket), or give each its own subtree with --cgroup",
		holder, folder);
}

static int lock_folder(struct lock *lock, const char *folder, int operation,
		       struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;

	if (lock->count == DEPTH_MAX)
		return fault_set(fault, -ENAMETOOLONG, "%s: the cgroup lies too deep",
				 folder);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fault_set(fault, -errno, "%s: %s", folder, strerror(errno));
	if (flock(fd, operation | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? refuse(folder, fd, fault)
					    : fault_set(fault, -errno, "lock %s: %s",
							folder, strerror(errno));
	lock->fds[lock->count++] = TAKE_FD(fd);
	return 0;
}

int lock_take(const char *root, const char *path, struct lock **ret,
	      struct fault *fault)
{
	CLEANUP(lock_free_ptr) struct lock *lock = calloc(1, sizeof(*lock));
	char folder[PATH_MAX];
	const char *slash = path;
	int err;

	if (!lock)
		return fault_set(fault, -ENOMEM, "out of memory");
	while (*slash) {
		snprintf(folder, sizeof(folder), "%s%.*s", root, (int)(slash - path),
			 path);
		err = lock_folder(lock, folder, LOCK_SH, fault);
		if (err < 0)
			return err;
		slash = strchrnul(slash + 1, '/');
	}
	snprintf(folder, sizeof(folder), "%s%s", root, path);
	err = lock_folder(lock, folder, LOCK_EX, fault);
	if (err < 0)
		return err;
	*ret = TAKE(lock);
	return 0;
}
