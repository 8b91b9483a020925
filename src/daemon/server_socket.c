/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/server_socket.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/paths.h"

#define GROUPS_MAX 1024

static int make_folder(const char *path, struct fault *fault)
{
	char copy[PATH_MAX];
	char *folder;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return fault_set(fault, -errno, "cannot make %s: %s", folder,
				 strerror(errno));
	return 0;
}

/* Remove the socket of a daemon that was killed; never that of one that answers. */
static int remove_stale(const char *path, const struct sockaddr_un *address,
			struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat stat;

	if (lstat(path, &stat) < 0)
		return 0;
	if (!S_ISSOCK(stat.st_mode))
		return fault_set(fault, -EEXIST, "%s is there and is not a socket",
				 path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fault_set(fault, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno == EAGAIN)
		return fault_set(
			fault, -EADDRINUSE,
			"another srcportd answers at %s: give this one its own "
			"--socket",
			path);
	unlink(path);
	return 0;
}

static int open_to_group(const char *path, struct fault *fault)
{
	const struct group *group = getgrnam(PATHS_GROUP);

	if (group && chown(path, 0, group->gr_gid) < 0)
		return fault_set(fault, -errno, "%s: chown: %s", path, strerror(errno));
	if (chmod(path, 0660) < 0)
		return fault_set(fault, -errno, "%s: chmod: %s", path, strerror(errno));
	return 0;
}

static int bind_privately(int fd, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177);
	int err = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	err = err < 0 ? -errno : 0;
	umask(mask);
	return err;
}

int server_socket_open(const char *path, struct fault *fault)
{
	CLEANUP_CLOSE int fd = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int err;

	if (strlen(path) >= sizeof(address.sun_path))
		return fault_set(fault, -ENAMETOOLONG,
				 "%s: the path of a socket has at most %zu bytes", path,
				 sizeof(address.sun_path) - 1);
	strcpy(address.sun_path, path);
	err = make_folder(path, fault);
	if (err >= 0)
		err = remove_stale(path, &address, fault);
	if (err < 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fault_set(fault, -errno, "socket: %s", strerror(errno));
	err = bind_privately(fd, &address);
	if (err < 0)
		return fault_set(fault, err, "cannot bind %s: %s", path,
				 strerror(-err));
	err = open_to_group(path, fault);
	if (err >= 0 && listen(fd, SOMAXCONN) < 0)
		err = fault_set(fault, -errno, "%s: listen: %s", path, strerror(errno));
	if (err < 0) {
		unlink(path);
		return err;
	}
	return TAKE_FD(fd);
}

static bool is_in_group(int fd, gid_t primary)
{
	const struct group *group = getgrnam(PATHS_GROUP);
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (!group)
		return false;
	if (primary == group->gr_gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == group->gr_gid)
			return true;
	return false;
}

int server_socket_peer(int fd, struct server_peer *ret)
{
	struct ucred credentials;
	socklen_t size = sizeof(credentials);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
		return -errno;
	*ret = (struct server_peer){
		.pid = credentials.pid,
		.uid = credentials.uid,
		.may_change = credentials.uid == 0,
		.may_read = credentials.uid == 0 || is_in_group(fd, credentials.gid),
	};
	return 0;
}
