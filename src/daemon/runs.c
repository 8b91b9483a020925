/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/runs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/pools.h"

#define RUNS_MAX    1024
#define RUNS_PREFIX "srcport-"
/* A program may move its only process out of the cgroup for a moment, and back. */
#define GRACE_NS (2ULL * 1000000000)

struct runs {
	struct daemon *daemon;
	struct run *first;
	unsigned int count;
	unsigned int serial; /* of the next run: a pid may start several */
};

int runs_new(struct daemon *daemon, struct runs **ret)
{
	struct runs *runs = calloc(1, sizeof(*runs));

	if (!runs)
		return -ENOMEM;
	runs->daemon = daemon;
	*ret = runs;
	return 0;
}

static void state_path(const struct runs *runs, const char *suffix, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/runs%s", runs->daemon->options.state, suffix);
}

/* Write STATE/runs anew. A fault here costs only the cleaning after a kill. */
static void store(const struct runs *runs)
{
	char path[PATH_MAX], new_path[PATH_MAX];
	FILE *file;
	bool is_written;

	state_path(runs, "", path);
	state_path(runs, ".new", new_path);
	if (!runs->first) {
		unlink(path);
		return;
	}
	file = fopen(new_path, "we");
	if (!file) {
		log_say("%s: %s", new_path, strerror(errno));
		return;
	}
	for (const struct run *run = runs->first; run; run = run->next)
		fprintf(file, "%s\n", run->cgroup.path);
	is_written = !ferror(file);
	if (fclose(file) != 0 || !is_written || rename(new_path, path) < 0)
		log_say("%s: %s", path, strerror(errno));
}

/* Undo what runs_start() did, as far as it came. The cgroup's folder goes too. */
static void run_free(struct run *run)
{
	struct daemon *daemon;

	if (!run)
		return;
	daemon = run->runs->daemon;
	if (run->events_fd >= 0) {
		loop_remove(daemon->loop, run->events_fd);
		close(run->events_fd);
	}
	if (run->cgroup.fd >= 0) {
		alloc_detach(daemon->alloc, run->cgroup.id);
		if (daemon->options.is_transient && daemon->collect)
			collect_detach_cgroup(daemon->collect, run->cgroup.id);
		cgroup_release(&run->cgroup);
		if (cgroup_dissolve(daemon->cgroup_root, run->cgroup.path) < 0)
			log_say("cgroup %s stays: something holds it",
				run->cgroup.path);
	}
	if (run->pool)
		pools_drop(daemon->pools, run->pool, run->pool_user);
	free(run);
}

DEFINE_CLEANUP(struct run, run_free)

void runs_free(struct runs *runs)
{
	struct run *run;

	if (!runs)
		return;
	while ((run = runs->first)) {
		runs->first = run->next;
		run_free(run);
	}
	store(runs);
	free(runs);
}

static void end_run(struct run *ended)
{
	struct runs *runs = ended->runs;
	struct run **link = &runs->first;

	while (*link != ended)
		link = &(*link)->next;
	*link = ended->next;
	runs->count--;
	/* Events of its last sessions name its pool by number: deliver them first. */
	daemon_catch_up(runs->daemon);
	run_free(ended);
	store(runs);
	runs->daemon->busy_ns = daemon_boot_ns();
}

static void on_cgroup_event(uint32_t events, void *arg)
{
	struct run *run = arg;

	(void)events;
	run->empty_ns = cgroup_is_populated(run->events_fd) ? 0 : daemon_boot_ns();
}

/* The kernel refuses to remove the folder of one that somebody entered just now. */
static bool is_over(const struct run *run)
{
	const struct daemon *daemon = run->runs->daemon;

	return cgroup_remove(daemon->cgroup_root, run->cgroup.path) != -EBUSY;
}

/* End the runs that have been empty for that long. Returns how many. */
static unsigned int end_empty(struct runs *runs, uint64_t grace_ns)
{
	uint64_t now_ns = daemon_boot_ns();
	unsigned int ended = 0;
	struct run *next;

	for (struct run *run = runs->first; run; run = next) {
		next = run->next;
		if (!run->empty_ns || now_ns - run->empty_ns < grace_ns ||
		    !is_over(run))
			continue;
		end_run(run);
		ended++;
	}
	return ended;
}

void runs_tick(struct runs *runs)
{
	end_empty(runs, GRACE_NS);
}

/* What others hold in the caller's network namespace is set aside before the first
 * pick. */
static int prepare(struct run *run, struct fault *fault)
{
	CLEANUP_CLOSE int netns_fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", run->pid);
	netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (netns_fd < 0)
		return fault_set(fault, -errno, "%s: %s", path, strerror(errno));
	return alloc_prepare(run->runs->daemon->alloc, run->pool->number, netns_fd,
			     fault);
}

static int attach(struct run *run, struct fault *fault)
{
	struct daemon *daemon = run->runs->daemon;
	int err = prepare(run, fault);

	if (err < 0)
		return err;
	err = alloc_attach(daemon->alloc, run->cgroup.fd, run->cgroup.id,
			   run->pool->number, fault);

	if (err < 0 || !daemon->options.is_transient || !daemon->collect)
		return err;
	return collect_attach_cgroup(daemon->collect, run->cgroup.fd, run->cgroup.id,
				     fault);
}

static int watch(struct run *run, struct fault *fault)
{
	int err = cgroup_open_events(&run->cgroup);

	if (err < 0)
		return fault_set(fault, err, "cgroup %s: cgroup.events: %s",
				 run->cgroup.path, strerror(-err));
	run->events_fd = err;
	err = loop_add(run->runs->daemon->loop, run->events_fd, EPOLLPRI,
		       on_cgroup_event, run);
	if (err < 0)
		return fault_set(fault, err, "cgroup %s: epoll: %s", run->cgroup.path,
				 strerror(-err));
	return 0;
}

static int check_place(const struct runs *runs, const char *cgroup, struct fault *fault)
{
	const char *scope = runs->daemon->scope.path;

	if (runs->count == RUNS_MAX)
		return fault_set(fault, -EAGAIN,
				 "%d commands run already: wait for one to "
				 "end",
				 RUNS_MAX);
	if (!cgroup_is_inside(cgroup, scope))
		return fault_set(
			fault, -EXDEV,
			"the caller's cgroup %s lies outside %s, which this "
			"srcportd manages: start the command from a cgroup inside it",
			*cgroup ? cgroup : "/", *scope ? scope : "/");
	return 0;
}

static int make_cgroup(struct run *run, struct fault *fault)
{
	struct runs *runs = run->runs;
	char parent[PATH_MAX], name[64];
	int err = cgroup_of(run->pid, parent, fault);

	if (err < 0)
		return err;
	err = check_place(runs, parent, fault);
	if (err < 0)
		return err;
	snprintf(name, sizeof(name), RUNS_PREFIX "%d-%u", run->pid, runs->serial++);
	return cgroup_make(runs->daemon->cgroup_root, parent, name, &run->cgroup,
			   fault);
}

static int start(struct runs *runs, pid_t pid, const struct pool *pool,
		 bool is_made_for_run, const struct run **ret, struct fault *fault)
{
	CLEANUP(run_free_ptr) struct run *run = calloc(1, sizeof(*run));
	int err;

	if (!run)
		return fault_set(fault, -ENOMEM, "out of memory");
	run->runs = runs;
	run->pid = pid;
	run->events_fd = run->cgroup.fd = -1;
	run->pool_user = is_made_for_run ? POOLS_RUN : POOLS_RUN_OF_POLICY;
	err = pools_use(runs->daemon->pools, pool, run->pool_user, &run->pool, fault);
	if (err >= 0)
		err = make_cgroup(run, fault);
	if (err >= 0)
		err = attach(run, fault);
	if (err >= 0)
		err = watch(run, fault);
	/* Last, so that a failure leaves the process where it was. */
	if (err >= 0)
		err = cgroup_move(&run->cgroup, pid, fault);
	if (err < 0)
		return err;

	run->next = runs->first;
	runs->first = run;
	runs->count++;
	store(runs);
	*ret = TAKE(run);
	return 0;
}

int runs_start(struct runs *runs, pid_t pid, const struct pool *pool,
	       bool is_made_for_run, const struct run **ret, struct fault *fault)
{
	int err = start(runs, pid, pool, is_made_for_run, ret, fault);

	/* At a ceiling those that wait for their end make room. */
	if ((err == -ENOSPC || err == -EAGAIN) && end_empty(runs, 0))
		err = start(runs, pid, pool, is_made_for_run, ret, fault);
	return err;
}

const struct run *runs_first(const struct runs *runs)
{
	return runs->first;
}

bool runs_were_any(const struct runs *runs)
{
	return runs->serial > 0;
}

void runs_recover(struct runs *runs)
{
	const struct daemon *daemon = runs->daemon;
	char path[PATH_MAX], line[PATH_MAX];
	const char *name;
	FILE *file;

	state_path(runs, "", path);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		name = strrchr(line, '/');
		/* Only what a run makes: the file could be damaged. */
		if (!name || strncmp(name + 1, RUNS_PREFIX, strlen(RUNS_PREFIX)) != 0 ||
		    strstr(line, "/../") || !cgroup_is_inside(line, daemon->scope.path))
			continue;
		if (cgroup_dissolve(daemon->cgroup_root, line) < 0)
			log_say("cgroup %s, left by an earlier srcportd, stays: "
				"something "
				"holds it",
				line);
	}
	fclose(file);
	unlink(path);
}
