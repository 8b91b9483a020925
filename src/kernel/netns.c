/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "kernel/netns.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define OWN_NETNS "/proc/thread-self/ns/net"

static void netns_return(int *own_fd)
{
	if (*own_fd < 0)
		return;
	/* A thread that went on in a stranger's namespace would lie to everybody. */
	if (setns(*own_fd, CLONE_NEWNET))
		abort();
	close(*own_fd);
}

/* The calling thread is inside until *ret_own_fd goes to netns_return(). */
static int netns_enter(int netns_fd, int *ret_own_fd)
{
	CLEANUP_CLOSE int own_fd = -1;

	if (netns_fd < 0)
		return 0;
	own_fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	if (own_fd < 0)
		return -errno;
	if (setns(netns_fd, CLONE_NEWNET))
		return -errno;
	*ret_own_fd = TAKE_FD(own_fd);
	return 0;
}

int netns_socket(int netns_fd, int domain, int type, int protocol)
{
	CLEANUP(netns_return) int own_fd = -1;
	int err, fd;

	err = netns_enter(netns_fd, &own_fd);
	if (err)
		return err;
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	return fd < 0 ? -errno : fd;
}

int netns_cookie(int netns_fd, uint64_t *ret_cookie)
{
	CLEANUP_CLOSE int fd = netns_socket(netns_fd, AF_INET, SOCK_DGRAM, 0);
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size))
		return -errno;
	*ret_cookie = cookie;
	return 0;
}

/* The namespaces visited so far, by inode. */
struct seen {
	ino_t *inodes;
	size_t count;
};

/* 1 where it is new, 0 where it was seen. */
static int seen_add(struct seen *seen, ino_t inode)
{
	ino_t *grown;

	for (size_t i = 0; i < seen->count; i++)
		if (seen->inodes[i] == inode)
			return 0;
	grown = reallocarray(seen->inodes, seen->count + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	seen->inodes = grown;
	seen->inodes[seen->count++] = inode;
	return 1;
}

static void seen_release(struct seen *seen)
{
	free(seen->inodes);
}

/* Visit the namespace behind the path, unless it was seen or is not there any more. */
static int path_visit(const char *path, struct seen *seen, netns_visit_fn *visit,
		      void *arg, int *visited)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat is;
	uint64_t cookie;
	int is_new;

	if (stat(path, &is))
		return 0;
	is_new = seen_add(seen, is.st_ino);
	if (is_new <= 0)
		return is_new;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || netns_cookie(fd, &cookie)) {
		seen->count--; /* another path may show it */
		return 0;
	}
	(*visited)++;
	return visit(fd, cookie, arg);
}

static void dir_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static bool is_number(const char *name)
{
	return isdigit((unsigned char)name[0]);
}

static bool is_name(const char *name)
{
	return name[0] != '.';
}

/* Visit folder/ENTRY/rest for each entry that fits. 1: stopped. */
static int folder_visit(const char *folder, bool (*fits)(const char *name),
			const char *rest, struct seen *seen, netns_visit_fn *visit,
			void *arg, int *visited)
{
	CLEANUP(dir_close) DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[PATH_MAX];
	int stop = 0;

	if (!dir)
		return -errno;
	while (!stop && (entry = readdir(dir))) {
		if (!fits(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", folder, entry->d_name, rest);
		stop = path_visit(path, seen, visit, arg, visited);
	}
	return stop;
}

int netns_visit(netns_visit_fn *visit, void *arg)
{
	CLEANUP(seen_release) struct seen seen = {};
	int stop, visited = 0;

	stop = folder_visit("/proc", is_number, "/ns/net", &seen, visit, arg, &visited);
	if (!stop)
		stop = folder_visit("/run/netns", is_name, "", &seen, visit, arg,
				    &visited);
	/* Hosts without `ip netns` do not have that folder. */
	return stop < 0 && stop != -ENOENT ? stop : visited;
}

/* /proc/sys/net shows the namespace of the thread that opens the file. */
static int sysctl_open(int netns_fd, const char *name, int flags)
{
	CLEANUP(netns_return) int own_fd = -1;
	char path[PATH_MAX];
	int err, fd;

	err = netns_enter(netns_fd, &own_fd);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int netns_read_sysctl(int netns_fd, const char *name, char *buf, int size)
{
	CLEANUP_CLOSE int fd = sysctl_open(netns_fd, name, O_RDONLY);
	ssize_t length;

	if (fd < 0)
		return fd;
	length = read(fd, buf, size - 1);
	if (length < 0)
		return -errno;
	buf[length] = '\0';
	return length;
}

int netns_write_sysctl(int netns_fd, const char *name, const char *text)
{
	CLEANUP_CLOSE int fd = sysctl_open(netns_fd, name, O_WRONLY);

	if (fd < 0)
		return fd;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}
