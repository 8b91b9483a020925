/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/daemon.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/paths.h"
#include "daemon/gauge.h"
#include "daemon/kernel_range.h"
#include "daemon/manage.h"
#include "daemon/notices.h"
#include "daemon/pools.h"
#include "daemon/recover.h"
#include "daemon/reload.h"
#include "daemon/resolve.h"
#include "daemon/runs.h"
#include "daemon/server.h"
#include "kernel/living.h"
#include "report/report_session.h"

#define LOCK_TRIES    40
#define LOCK_TRY_MS   200
#define NS_PER_S      1000000000ULL
#define TICK_NS	      (NS_PER_S / 4)
#define TICKS_PER_S   DAEMON_TICKS_PER_S
#define RECHECK_TICKS (10 * TICKS_PER_S)
#define SIFT_TICKS    (60 * TICKS_PER_S)
#define UNITS_TICKS   (60 * TICKS_PER_S)
#define PRUNE_TICKS   (3600 * TICKS_PER_S)
#define PROCESS_MAX   262144
#define SESSION_MAX   1048576
/* How long a transient daemon stays: for questions, for the first run, for stragglers.
 */
#define LINGER_NS      (1 * NS_PER_S)
#define LINGER_LONG_NS (10 * NS_PER_S)

DEFINE_CLEANUP(struct daemon, daemon_free)
DEFINE_CLEANUP(struct living, living_free)

static uint64_t read_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * NS_PER_S + time.tv_nsec;
}

uint64_t daemon_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t daemon_boot_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

static bool is_transient(pid_t pid)
{
	char path[64], argument[PATH_MAX];
	FILE *file;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	file = fopen(path, "re");
	for (size_t used = 0; file && !found && !feof(file);) {
		int c = fgetc(file);

		argument[used++] = c > 0 ? c : 0;
		if (c > 0 && used < sizeof(argument))
			continue;
		argument[used - 1] = 0;
		used = 0;
		found = strcmp(argument, "--transient") == 0;
	}
	if (file)
		fclose(file);
	return found;
}

/* One that a srcport run started ends some seconds after its last command: wait for it.
 */
static int lock_scope(struct daemon *daemon, const char *path, struct fault *fault)
{
	for (int tries = 0;; tries++) {
		int err = lock_take(PATHS_LOCK, daemon->cgroup_root, path,
				    &daemon->lock, fault);

		if (err != -EWOULDBLOCK || daemon->options.is_transient ||
		    tries == LOCK_TRIES ||
		    !is_transient(lock_holder(PATHS_LOCK, daemon->cgroup_root, path)))
			return err;
		if (tries == 0)
			log_say("waiting for the srcportd of an earlier srcport run to "
				"end");
		poll(NULL, 0, LOCK_TRY_MS);
	}
}

static int take_scope(struct daemon *daemon, struct fault *fault)
{
	char path[PATH_MAX] = "";
	int err;

	if (geteuid() != 0)
		return fault_set(
			fault, -EPERM,
			"srcportd must be started by root: it loads BPF programs");
	err = paths_cgroup_root(daemon->cgroup_root, sizeof(daemon->cgroup_root));
	if (err < 0)
		return fault_set(fault, err,
				 "cgroup2 is not mounted: mount -t cgroup2 cgroup2 "
				 "/sys/fs/cgroup (or /sys/fs/cgroup/unified)");
	if (daemon->options.cgroup)
		err = cgroup_parse(daemon->cgroup_root, daemon->options.cgroup, path,
				   fault);
	if (err >= 0)
		err = cgroup_open(daemon->cgroup_root, path, &daemon->scope, fault);
	if (err < 0)
		return err;
	return lock_scope(daemon, path, fault);
}

static void on_session(const struct session *session, void *arg)
{
	struct daemon *daemon = arg;

	reuse_note(daemon->reuse, session);
	if (session->end_ns)
		tally_remove(&daemon->destinations, session);
	else
		tally_add(&daemon->destinations, session, 0);
	if (daemon->options.print)
		report_session_text(stdout, session, isatty(STDOUT_FILENO));
}

static const char *pool_name(uint32_t number, void *arg)
{
	struct daemon *daemon = arg;

	return pools_name(number, daemon->pools);
}

static void on_event(const struct event_head *event, void *arg)
{
	struct daemon *daemon = arg;

	identify_event(daemon->identify, event);
	recover_event(daemon->recover, event);
	pipeline_event(daemon->pipeline, event);
}

static int load_programs(struct daemon *daemon, struct fault *fault)
{
	struct collect_options options = {.managed_only = daemon->options.is_transient};
	uint32_t ids[2];
	int err;

	err = alloc_open(&daemon->alloc, fault);
	if (err < 0)
		return err;
	err = alloc_watch(daemon->alloc, daemon->scope.fd, fault);
	if (err < 0)
		return err;
	err = pools_new(daemon->alloc, &daemon->pools);
	if (err < 0 || daemon->options.no_record)
		return err;
	options.verdict_map_fd = alloc_verdict_map_fd(daemon->alloc);
	err = collect_open(&options, on_event, daemon, &daemon->collect, fault);
	if (err < 0)
		return err;
	collect_connect_programs(daemon->collect, ids);
	alloc_know_programs(daemon->alloc, ids, 2);
	return 0;
}

static int make_state(struct daemon *daemon, struct fault *fault)
{
	const char *state = daemon->options.state;
	const struct group *group;

	if (mkdir(state, 0750) < 0) {
		if (errno == EEXIST)
			return 0;
		return fault_set(fault, -errno, "cannot make %s: %s", state,
				 strerror(errno));
	}
	group = getgrnam(PATHS_GROUP);
	if (group && chown(state, 0, group->gr_gid) < 0)
		return fault_set(fault, -errno, "%s: chown: %s", state,
				 strerror(errno));
	return 0;
}

static int open_ledger(struct daemon *daemon, struct fault *fault)
{
	daemon->start_ns = daemon_wall_ns();
	if (daemon->options.no_record)
		return 0;
	return ledger_open(daemon->ledger_path, daemon->start_ns, &daemon->ledger,
			   fault);
}

enum identify_cmdline daemon_cmdline_rule(const struct daemon *daemon)
{
	static const enum identify_cmdline rules[] = {
		[CMDLINE_REDACTED] = IDENTIFY_CMDLINE_REDACTED,
		[CMDLINE_FULL] = IDENTIFY_CMDLINE_FULL,
		[CMDLINE_ARGV0] = IDENTIFY_CMDLINE_ARGV0,
		[CMDLINE_OFF] = IDENTIFY_CMDLINE_OFF,
	};

	return rules[daemon->policy->cmdline];
}

static int open_pipeline(struct daemon *daemon, struct fault *fault)
{
	struct pipeline_options options = {
		.ledger = daemon->ledger,
		.pool_name = pool_name,
		.session = on_session,
		.arg = daemon,
		.session_max = SESSION_MAX,
	};
	int err;

	if (daemon->options.no_record)
		return 0;
	err = identify_new(daemon_cmdline_rule(daemon), daemon->cgroup_root,
			   PROCESS_MAX, &daemon->identify);
	if (err < 0)
		return fault_set(fault, err, "process table: %s", strerror(-err));
	identify_set_clock(daemon->identify, daemon_wall_ns(), daemon_boot_ns());
	err = identify_list(daemon->identify);
	if (err < 0)
		return fault_set(fault, err, "/proc cannot be read: %s",
				 strerror(-err));
	options.identify = daemon->identify;
	err = reuse_new(&daemon->reuse);
	if (err >= 0)
		err = pipeline_new(&options, &daemon->pipeline);
	if (err < 0)
		return fault_set(fault, err, "session table: %s", strerror(-err));
	return recover_open(daemon, &daemon->recover, fault);
}

static int open_runs(struct daemon *daemon, struct fault *fault)
{
	int err = loop_new(&daemon->loop);

	if (err >= 0)
		err = runs_new(daemon, &daemon->runs);
	if (err < 0)
		return fault_set(fault, err, "event loop: %s", strerror(-err));
	runs_recover(daemon->runs);
	return 0;
}

void daemon_set_mode(struct daemon *daemon, enum alloc_mode mode)
{
	daemon->mode = mode;
	alloc_set_mode(daemon->alloc, mode);
}

/* The kernel leaves the pools before the first session may get a port of them. */
static int manage(struct daemon *daemon, struct fault *fault)
{
	int err;

	daemon_set_mode(daemon, daemon->options.dry_run ? ALLOC_DRY_RUN : ALLOC_ON);
	err = notices_new(daemon, &daemon->notices);
	if (err >= 0)
		err = manage_new(daemon, &daemon->manage);
	if (err < 0)
		return fault_set(fault, err, "event loop: %s", strerror(-err));
	if (daemon->options.is_transient)
		return 0;
	err = kernel_range_adjust(daemon->options.state, daemon->policy, fault);
	return err < 0 ? err : manage_apply(daemon->manage, daemon->policy, fault);
}

/* After the allocator's hooks, whose picks the recorder's have to see. */
static int attach_scope(struct daemon *daemon, struct fault *fault)
{
	int err;

	/* A transient daemon attaches to its runs alone: runs_start(). */
	if (!daemon->collect || daemon->options.is_transient)
		return 0;
	err = collect_attach_cgroup(daemon->collect, daemon->scope.fd, daemon->scope.id,
				    fault);
	daemon->is_observing = err >= 0;
	return err;
}

static int open_server(struct daemon *daemon, struct fault *fault)
{
	return server_open(daemon, &daemon->server, fault);
}

static void on_signal(uint32_t events, void *arg)
{
	struct daemon *daemon = arg;

	(void)events;
	loop_stop(daemon->loop);
}

static void on_reload(uint32_t events, void *arg)
{
	struct fault fault = {0};

	(void)events;
	reload_policy(arg, NULL, NULL, &fault);
}

void daemon_deliver(struct daemon *daemon)
{
	if (!daemon->collect)
		return;
	collect_poll(daemon->collect);
	if (daemon->options.print)
		fflush(stdout);
}

static void on_ring(uint32_t events, void *arg)
{
	(void)events;
	daemon_deliver(arg);
}

/* A ledger that fails is said once, and once again when it works. */
static void note_ledger(struct daemon *daemon, int err, const struct fault *fault)
{
	if (err < 0 && strcmp(daemon->ledger_error, fault->text) != 0)
		log_say("%s (kept in memory and tried again)", fault->text);
	if (err >= 0 && daemon->ledger_error[0])
		log_say("%s can be written again", daemon->ledger_path);
	snprintf(daemon->ledger_error, sizeof(daemon->ledger_error), "%s",
		 err < 0 ? fault->text : "");
}

static void store(struct daemon *daemon)
{
	struct fault fault = {0};
	uint64_t now_ns = daemon_wall_ns();
	int err;

	if (!daemon->pipeline)
		return;
	err = pipeline_flush(daemon->pipeline, now_ns, &fault);
	note_ledger(daemon, err, &fault);
	if (err >= 0)
		daemon->last_commit_ns = now_ns;
}

void daemon_catch_up(struct daemon *daemon)
{
	daemon_deliver(daemon);
	store(daemon);
}

void daemon_visit_open(struct daemon *daemon, ledger_visit_fn *visit, void *arg)
{
	if (recover_visit_open(daemon->recover, visit, arg) == 0)
		pipeline_visit_open(daemon->pipeline, visit, arg);
}

static void note_lost(struct daemon *daemon, uint64_t now_ns, uint64_t count,
		      const char *cause)
{
	struct gap gap = {
		.from_ns = daemon->tick_ns,
		.until_ns = now_ns,
		.lost_count = count,
	};

	if (!count)
		return;
	snprintf(gap.cause, sizeof(gap.cause), "%s", cause);
	log_say("%llu events lost: %s", (unsigned long long)count, cause);
	pipeline_lost(daemon->pipeline, &gap);
	daemon->is_in_doubt = true;
}

static void check_lost(struct daemon *daemon, uint64_t now_ns)
{
	const struct collect_lost *seen = &daemon->lost_seen;
	struct collect_lost lost;

	collect_lost(daemon->collect, &lost);
	note_lost(daemon, now_ns, lost.ring_full - seen->ring_full, "ring full");
	note_lost(daemon, now_ns, lost.skipped - seen->skipped,
		  "event missed by the kernel's tracing");
	daemon->lost_seen = lost;
}

/* A lease without a socket: its end was not seen, and the session's may not have been.
 */
static void check_repairs(struct daemon *daemon)
{
	struct alloc_count count;

	alloc_count(daemon->alloc, &count);
	if (count.repairs != daemon->repairs_seen)
		daemon->is_in_doubt = true;
	daemon->repairs_seen = count.repairs;
}

/* Of a namespace that no process is in nothing is known. */
static bool is_gone(const struct session *session, void *arg)
{
	const struct living *living = arg;

	return living_knows(living, session->id.netns) &&
	       !living_has(living, session->id.cookie);
}

/*
 * End what ended unseen. To list the sockets is work, so it is done for the open
 * sessions seldom, and sooner only where there is doubt.
 */
static void check_living(struct daemon *daemon, uint64_t now_ns)
{
	CLEANUP(living_free_ptr) struct living *living = NULL;
	bool is_due = daemon->is_in_doubt || daemon->ticks % SIFT_TICKS == 0;
	struct pipeline_count count;

	pipeline_count(daemon->pipeline, &count);
	is_due = is_due && count.open;
	if (!is_due && !recover_count(daemon->recover))
		return;
	if (living_list(&living) < 0)
		return;
	recover_check(daemon->recover, living);
	if (is_due)
		daemon->is_in_doubt =
			pipeline_sift(daemon->pipeline, now_ns, is_gone, living) > 0;
}

/* What stays unresolved (a socket that never sends) is asked for less often. */
static void resolve(struct daemon *daemon)
{
	struct pipeline_count count;

	pipeline_count(daemon->pipeline, &count);
	if (count.unresolved && (count.unresolved != daemon->unresolved_seen ||
				 daemon->ticks % RECHECK_TICKS == 0))
		resolve_udp(daemon->pipeline);
	pipeline_count(daemon->pipeline, &count);
	daemon->unresolved_seen = count.unresolved;
}

static void prune(struct daemon *daemon, uint64_t now_ns)
{
	struct fault fault = {0};

	if (ledger_prune(daemon->ledger, now_ns, daemon->policy->ledger_keep_ns,
			 &fault) < 0)
		log_say("%s", fault.text);
}

static void observe(struct daemon *daemon, uint64_t now_ns)
{
	daemon_deliver(daemon);
	check_lost(daemon, now_ns);
	if (daemon->ticks % TICKS_PER_S == 0) {
		identify_set_clock(daemon->identify, now_ns, daemon_boot_ns());
		resolve(daemon);
		check_repairs(daemon);
		/* A fault shows in the flush just below. */
		ledger_beat(daemon->ledger, now_ns, NULL);
	}
	if (daemon->ticks % RECHECK_TICKS == 0)
		check_living(daemon, now_ns);
	store(daemon);
	if (daemon->ticks % PRUNE_TICKS == 0)
		prune(daemon, now_ns);
}

static bool is_done(const struct daemon *daemon)
{
	uint64_t idle_ns = daemon_boot_ns() - daemon->busy_ns;
	struct pipeline_count count = {0};

	if (!daemon->options.is_transient || runs_first(daemon->runs))
		return false;
	if (daemon->pipeline)
		pipeline_count(daemon->pipeline, &count);
	if (count.open || server_client_count(daemon->server) ||
	    !runs_were_any(daemon->runs))
		return idle_ns >= LINGER_LONG_NS;
	return idle_ns >= LINGER_NS;
}

static void on_tick(uint32_t events, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t now_ns = daemon_wall_ns();

	(void)events;
	if (daemon->collect)
		observe(daemon, now_ns);
	runs_tick(daemon->runs);
	if (daemon->ticks % TICKS_PER_S == 0) {
		alloc_tick(daemon->alloc);
		server_tick(daemon->server);
		notices_tick(daemon->notices);
		gauge_tick(daemon);
	}
	if (daemon->ticks % UNITS_TICKS == UNITS_TICKS - 1)
		manage_tick(daemon->manage);
	daemon->tick_ns = now_ns;
	daemon->ticks++;
	if (is_done(daemon))
		loop_stop(daemon->loop);
}

static int watch(struct daemon *daemon, struct fault *fault)
{
	sigset_t signals, reload;
	int err;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigemptyset(&reload);
	sigaddset(&reload, SIGHUP);
	err = loop_add_signals(daemon->loop, &signals, on_signal, daemon);
	if (err >= 0)
		err = loop_add_signals(daemon->loop, &reload, on_reload, daemon);
	if (err >= 0)
		err = loop_add_timer(daemon->loop, TICK_NS, on_tick, daemon);
	if (err >= 0 && daemon->collect)
		err = loop_add(daemon->loop, collect_fd(daemon->collect), EPOLLIN,
			       on_ring, daemon);
	if (err < 0)
		return fault_set(fault, err, "event loop: %s", strerror(-err));
	daemon->tick_ns = daemon_wall_ns();
	daemon->busy_ns = daemon_boot_ns();
	return 0;
}

int daemon_new(const struct daemon_options *options, struct daemon **ret,
	       struct fault *fault)
{
	/*
	 * What changes nothing on the host comes first. The collector is attached
	 * before anything is listed, so that nothing falls between the two.
	 */
	static int (*const steps[])(struct daemon *, struct fault *) = {
		take_scope,   reload_first,  load_programs, make_state,
		open_ledger,  open_pipeline, open_runs,	    manage,
		attach_scope, watch,	     open_server,
	};
	CLEANUP(daemon_free_ptr) struct daemon *daemon = calloc(1, sizeof(*daemon));
	int err;

	if (!daemon)
		return fault_set(fault, -ENOMEM, "out of memory");
	daemon->options = *options;
	daemon->scope.fd = -1;
	err = tally_init(&daemon->destinations, TALLY_BY_DESTINATION);
	if (err < 0)
		return err;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		err = steps[i](daemon, fault);
		if (err < 0)
			return err;
	}
	*ret = TAKE(daemon);
	return 0;
}

/* With the programs gone the kernel may have its range again. */
static void put_back(const struct daemon *daemon)
{
	struct fault fault = {0};

	if (daemon->manage && !daemon->options.is_transient &&
	    kernel_range_restore(daemon->options.state, &fault) < 0)
		log_say("kernel-range: %s", fault.text);
}

int daemon_restore(const struct daemon_options *options, struct fault *fault)
{
	CLEANUP(daemon_free_ptr) struct daemon *daemon = calloc(1, sizeof(*daemon));
	int err;

	if (!daemon)
		return fault_set(fault, -ENOMEM, "out of memory");
	daemon->options = *options;
	daemon->scope.fd = -1;
	/* Nothing to do is no reason to wait for another srcportd. */
	if (geteuid() == 0 && !kernel_range_is_moved(options->state))
		return 0;
	err = take_scope(daemon, fault);
	return err < 0 ? err : kernel_range_restore(options->state, fault);
}

void daemon_free(struct daemon *daemon)
{
	if (!daemon)
		return;
	/* All is stored before the socket goes: who finds it gone reads the ledger. */
	if (daemon->recover)
		daemon_catch_up(daemon);
	runs_free(daemon->runs);
	if (daemon->recover) {
		daemon_catch_up(daemon);
		ledger_beat(daemon->ledger, daemon_wall_ns(), NULL);
	}
	server_free(daemon->server);
	manage_free(daemon->manage);
	notices_free(daemon->notices);
	collect_close(daemon->collect);
	pipeline_free(daemon->pipeline);
	recover_free(daemon->recover);
	identify_free(daemon->identify);
	ledger_close(daemon->ledger);
	reuse_free(daemon->reuse);
	tally_release(&daemon->destinations);
	pools_free(daemon->pools);
	alloc_close(daemon->alloc);
	put_back(daemon);
	loop_free(daemon->loop);
	cgroup_release(&daemon->scope);
	free(daemon->policy);
	lock_free(daemon->lock);
	free(daemon);
}

int daemon_run(struct daemon *daemon)
{
	return loop_run(daemon->loop);
}
