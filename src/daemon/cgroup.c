/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define NESTING_MAX 32

int cgroup_open(const char *root, const char *path, struct cgroup *ret,
		struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;
	char folder[PATH_MAX];
	struct stat stat;

	snprintf(folder, sizeof(folder), "%s%s", root, path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat) < 0)
		return fault_set(fault, -errno, "cgroup %s: %s", folder,
				 strerror(errno));
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	/* On 64-bit kernels a cgroup's id is the inode number of its folder. */
	ret->id = stat.st_ino;
	ret->fd = TAKE_FD(fd);
	return 0;
}

void cgroup_release(struct cgroup *cgroup)
{
	cleanup_close(&cgroup->fd);
	cgroup->fd = -1;
}

int cgroup_parse(const char *root, const char *text, char ret[PATH_MAX],
		 struct fault *fault)
{
	size_t length = strlen(root);

	if (strncmp(text, root, length) == 0 && (text[length] == '/' || !text[length]))
		text += length;
	else if (text[0] != '/')
		return fault_set(fault, -EINVAL, "--cgroup %s: not a path below %s",
				 text, root);
	snprintf(ret, PATH_MAX, "%s", text);
	for (length = strlen(ret); length && ret[length - 1] == '/';)
		ret[--length] = '\0';
	return 0;
}

int cgroup_of(pid_t pid, char ret[PATH_MAX], struct fault *fault)
{
	char name[64], line[PATH_MAX + 64];
	int err = -ENOENT;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	file = fopen(name, "re");
	if (!file)
		return fault_set(fault, -errno, "%s: %s", name, strerror(errno));
	while (err < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::/", 4) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret, PATH_MAX, "%.*s", PATH_MAX - 1,
			 strcmp(line, "0::/") == 0 ? "" : line + 3);
		err = 0;
	}
	fclose(file);
	if (err < 0)
		fault_set(fault, err, "process %d is in no cgroup2 cgroup", pid);
	return err;
}

bool cgroup_is_inside(const char *path, const char *scope)
{
	size_t length = strlen(scope);

	if (strncmp(path, "/..", 3) == 0)
		return false;
	return strncmp(path, scope, length) == 0 &&
	       (path[length] == '/' || !path[length]);
}

static const char *remedy_of_make(int error)
{
	switch (error) {
	case EROFS:
		return "cgroup2 is mounted read-only here (a container?): run srcport "
		       "on "
		       "the host, or mount it read-write";
	case EAGAIN:
		return "the limit cgroup.max.descendants or cgroup.max.depth of an "
		       "ancestor "
		       "is reached: raise it there";
	case EACCES:
	case EPERM:
		return "srcportd may not make cgroups here: it must be root";
	default:
		return strerror(error);
	}
}

int cgroup_make(const char *root, const char *parent, const char *name,
		struct cgroup *ret, struct fault *fault)
{
	char path[PATH_MAX], folder[PATH_MAX];
	int err;

	if (snprintf(path, sizeof(path), "%s/%s", parent, name) >= PATH_MAX ||
	    snprintf(folder, sizeof(folder), "%s%s", root, path) >= PATH_MAX)
		return fault_set(fault, -ENAMETOOLONG,
				 "cgroup %s: its path is too long", parent);
	if (mkdir(folder, 0755) < 0)
		return fault_set(fault, -errno, "cannot make the cgroup %s: %s", folder,
				 remedy_of_make(errno));
	err = cgroup_open(root, path, ret, fault);
	if (err < 0)
		rmdir(folder);
	return err;
}

static const char *remedy_of_move(int error)
{
	switch (error) {
	case EOPNOTSUPP:
		return "its parent is threaded, and so cannot hold a whole process in "
		       "a "
		       "child: start the command from a cgroup of type domain "
		       "(systemd-run --scope srcport run ...)";
	case EBUSY:
		return "controllers are on for its children, so it cannot hold "
		       "processes "
		       "itself: start the command from a leaf cgroup "
		       "(systemd-run --scope srcport run ...)";
	case EROFS:
	case EACCES:
	case EPERM:
		return "srcportd may not move processes there: it must be root, and "
		       "cgroup2 mounted read-write";
	default:
		return strerror(error);
	}
}

static int write_pid(int folder_fd, pid_t pid)
{
	CLEANUP_CLOSE int fd = openat(folder_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", pid);

	if (fd < 0 || write(fd, text, length) < 0)
		return -errno;
	return 0;
}

int cgroup_move(const struct cgroup *cgroup, pid_t pid, struct fault *fault)
{
	int err = write_pid(cgroup->fd, pid);

	if (err < 0)
		return fault_set(fault, err,
				 "cannot move process %d to the cgroup %s: %s", pid,
				 cgroup->path, remedy_of_move(-err));
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type,
			struct FTW *place)
{
	(void)stat;
	(void)place;
	if (type != FTW_DP)
		return 0;
	return rmdir(path) < 0 && errno != ENOENT ? errno : 0;
}

int cgroup_remove(const char *root, const char *path)
{
	char folder[PATH_MAX];
	int error;

	snprintf(folder, sizeof(folder), "%s%s", root, path);
	error = nftw(folder, remove_entry, NESTING_MAX,
		     FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (error < 0)
		return errno == ENOENT ? 0 : -errno;
	return -error;
}

static void move_to_parent(int folder_fd)
{
	CLEANUP_CLOSE int parent_fd =
		openat(folder_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = openat(folder_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	int pid;

	if (!file)
		return;
	while (parent_fd >= 0 && fscanf(file, "%d", &pid) == 1)
		write_pid(parent_fd, pid);
	fclose(file);
}

int cgroup_dissolve(const char *root, const char *path)
{
	struct cgroup cgroup;
	int err = cgroup_remove(root, path);

	/* A process that forks meanwhile may leave a child behind: look again. */
	for (int attempt = 0; err == -EBUSY && attempt < 8; attempt++) {
		if (cgroup_open(root, path, &cgroup, NULL) < 0)
			return 0;
		move_to_parent(cgroup.fd);
		cgroup_release(&cgroup);
		err = cgroup_remove(root, path);
	}
	return err;
}

int cgroup_open_events(const struct cgroup *cgroup)
{
	int fd = openat(cgroup->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

bool cgroup_is_populated(int events_fd)
{
	char text[256];
	ssize_t length = pread(events_fd, text, sizeof(text) - 1, 0);

	if (length < 0)
		return false;
	text[length] = '\0';
	return strstr(text, "populated 1") != NULL;
}
