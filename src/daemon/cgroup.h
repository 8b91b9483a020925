/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * cgroup.h - folders of the cgroup2 tree: the daemon's scope and the runs' own.
 *
 * A cgroup is named by its path below the mount, "/a/b", or "" for the root.
 */
#ifndef DAEMON_CGROUP_H
#define DAEMON_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/fault.h"

struct cgroup {
	char path[PATH_MAX];
	int fd;	     /* of the folder */
	uint64_t id; /* as bpf_get_current_cgroup_id() has it */
};

int cgroup_open(const char *root, const char *path, struct cgroup *ret,
		struct fault *fault);
void cgroup_release(struct cgroup *cgroup); /* closes it; the folder stays */

/* What a person gave, "/sys/fs/cgroup/a" or "/a", as a path below root. */
int cgroup_parse(const char *root, const char *text, char ret[PATH_MAX],
		 struct fault *fault);

/* The cgroup of a process. */
int cgroup_of(pid_t pid, char ret[PATH_MAX], struct fault *fault);

/* path is scope or lies below it. */
bool cgroup_is_inside(const char *path, const char *scope);

/*
 * Make a child folder of parent and open it. The fault says what to do about a
 * read-only mount, a ceiling on descendants, a cgroup that vanished.
 */
int cgroup_make(const char *root, const char *parent, const char *name,
		struct cgroup *ret, struct fault *fault);

/* Move a process. The fault explains threaded cgroups and those with controllers on. */
int cgroup_move(const struct cgroup *cgroup, pid_t pid, struct fault *fault);

/* Remove the folder and its empty descendants. -EBUSY while processes live in it. */
int cgroup_remove(const char *root, const char *path);

/*
 * The same, after moving what lives in it to its parent. Nothing loses a limit: a
 * parent that holds processes gives its children no controllers, and one that does
 * not refuses them.
 */
int cgroup_dissolve(const char *root, const char *path);

/* Readable (EPOLLPRI) when the cgroup gets or loses its last process. */
int cgroup_open_events(const struct cgroup *cgroup);
bool cgroup_is_populated(int events_fd);

#endif /* DAEMON_CGROUP_H */
