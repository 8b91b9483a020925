/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * runs.h - the commands that srcport run started: a cgroup each, with its pool.
 *
 * A run ends when its cgroup has had no process for two seconds: until then a process
 * may come back. The cgroups are also written to STATE/runs, so that the next start
 * finds what a killed daemon left.
 */
#ifndef DAEMON_RUNS_H
#define DAEMON_RUNS_H

#include "daemon/daemon.h"
#include "daemon/pools.h"
#include "policy/policy.h"

struct runs;

struct run {
	struct runs *runs;
	struct run *next;
	struct pools_entry *pool;
	enum pools_user pool_user;
	struct cgroup cgroup;
	int events_fd;
	pid_t pid;	   /* the command's */
	uint64_t empty_ns; /* CLOCK_BOOTTIME since when it is empty; 0: it is not */
};

int runs_new(struct daemon *daemon, struct runs **ret);
void runs_free(struct runs *runs); /* ends all; their processes live on. NULL is fine */

/*
 * Move process pid into a new cgroup below its own, where the pool gives the ports.
 * On failure nothing is left behind and the process is where it was.
 */
int runs_start(struct runs *runs, pid_t pid, const struct pool *pool,
	       bool is_made_for_run, const struct run **ret, struct fault *fault);

/* Call a few times a second: ends the runs whose time has come. */
void runs_tick(struct runs *runs);

const struct run *runs_first(const struct runs *runs);
bool runs_were_any(const struct runs *runs); /* ended ones count */

/* Remove what a killed daemon left: its runs' cgroups, whose processes live on. */
void runs_recover(struct runs *runs);

#endif /* DAEMON_RUNS_H */
