/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
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
	char own[PATH_MAX]; /* the file of the subtree itself, once locked */
};

DEFINE_CLEANUP(struct lock, lock_free)

void lock_free(struct lock *lock)
{
	if (!lock)
		return;
	/* While it is locked: who opened it before and locks it now looks again. */
	if (lock->own[0])
		unlink(lock->own);
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

pid_t lock_file_holder(const char *path)
{
	struct stat file;

	return stat(path, &file) < 0 ? 0 : find_holder(&file, false);
}

/* The file of a cgroup. Inode numbers of cgroups are not used twice. */
static int file_of(const char *folder, const char *cgroup, char ret[PATH_MAX],
		   struct fault *fault)
{
	struct stat stat_of;

	if (stat(cgroup, &stat_of) < 0)
		return fault_set(fault, -errno, "%s: %s", cgroup, strerror(errno));
	if (snprintf(ret, PATH_MAX, "%s/cgroup-%ju", folder,
		     (uintmax_t)stat_of.st_ino) >= PATH_MAX)
		return fault_set(fault, -ENAMETOOLONG, "%s: too long", folder);
	return 0;
}

pid_t lock_holder(const char *folder, const char *root, const char *path)
{
	char cgroup[PATH_MAX], file[PATH_MAX];

	snprintf(cgroup, sizeof(cgroup), "%s%s", root, path);
	return file_of(folder, cgroup, file, NULL) < 0 ? 0 : lock_file_holder(file);
}

static int make_folder(const char *folder, struct fault *fault)
{
	char parent[PATH_MAX];
	struct stat stat_of;

	snprintf(parent, sizeof(parent), "%s", folder);
	if ((mkdir(dirname(parent), 0755) < 0 && errno != EEXIST) ||
	    (mkdir(folder, 0700) < 0 && errno != EEXIST) || lstat(folder, &stat_of) < 0)
		return fault_set(fault, -errno, "cannot make %s: %s", folder,
				 strerror(errno));
	if (!S_ISDIR(stat_of.st_mode) || stat_of.st_uid != geteuid() ||
	    stat_of.st_mode & 077)
		return fault_set(fault, -EPERM,
				 "%s is open to others, who could lock us out: remove "
				 "it while no srcportd runs",
				 folder);
	return 0;
}

static int refuse(const char *cgroup, int fd, struct fault *fault)
{
	struct stat stat_of;
	pid_t holder = 0;

	if (fstat(fd, &stat_of) == 0)
		holder = find_holder(&stat_of, true);
	return fault_set(
		fault, -EWOULDBLOCK,
		"another srcportd (pid %d) manages %s: stop it, use it "
		"(srcport --socket), or give each its own subtree with --cgroup",
		holder, cgroup);
}

/* Not the file of a holder who removed it as he let go. */
static bool is_at(int fd, const char *file)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(file, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

static int lock_file(struct lock *lock, const char *file, const char *cgroup,
		     int operation, struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;

	if (lock->count == DEPTH_MAX)
		return fault_set(fault, -ENAMETOOLONG, "%s: the cgroup lies too deep",
				 cgroup);
	do {
		cleanup_close(&fd);
		fd = open(file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return fault_set(fault, -errno, "%s: %s", file,
					 strerror(errno));
		if (flock(fd, operation | LOCK_NB) < 0)
			return errno == EWOULDBLOCK
				       ? refuse(cgroup, fd, fault)
				       : fault_set(fault, -errno, "lock %s: %s", file,
						   strerror(errno));
	} while (!is_at(fd, file));
	lock->fds[lock->count++] = TAKE_FD(fd);
	return 0;
}

static int lock_cgroup(struct lock *lock, const char *folder, const char *cgroup,
		       int operation, struct fault *fault)
{
	char file[PATH_MAX];
	int err = file_of(folder, cgroup, file, fault);

	if (err == 0)
		err = lock_file(lock, file, cgroup, operation, fault);
	if (err == 0 && operation == LOCK_EX)
		memcpy(lock->own, file, sizeof(file));
	return err;
}

int lock_take(const char *folder, const char *root, const char *path, struct lock **ret,
	      struct fault *fault)
{
	CLEANUP(lock_free_ptr) struct lock *lock = calloc(1, sizeof(*lock));
	char cgroup[PATH_MAX];
	const char *slash = path;
	int err;

	if (!lock)
		return fault_set(fault, -ENOMEM, "out of memory");
	err = make_folder(folder, fault);
	while (err == 0 && *slash) {
		snprintf(cgroup, sizeof(cgroup), "%s%.*s", root, (int)(slash - path),
			 path);
		err = lock_cgroup(lock, folder, cgroup, LOCK_SH, fault);
		slash = strchrnul(slash + 1, '/');
	}
	snprintf(cgroup, sizeof(cgroup), "%s%s", root, path);
	if (err == 0)
		err = lock_cgroup(lock, folder, cgroup, LOCK_EX, fault);
	if (err < 0)
		return err;
	*ret = TAKE(lock);
	return 0;
}
