/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * daemon.h - srcportd put together: what it owns, from the lock to the socket.
 *
 * One thread, one loop. The parts are public to the files of this folder.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "alloc/alloc.h"
#include "base/fault.h"
#include "base/lock.h"
#include "base/loop.h"
#include "collect/collect.h"
#include "daemon/cgroup.h"
#include "identify/identify.h"
#include "ledger/ledger.h"
#include "pipeline/pipeline.h"
#include "pipeline/reuse.h"
#include "pipeline/tally.h"
#include "policy/policy.h"

struct daemon_options {
	const char *config; /* NULL: the default file, if it is there */
	const char *state;
	const char *socket;
	const char *cgroup; /* NULL: the whole tree */
	const char *log;    /* NULL: standard error */
	bool is_transient;  /* ends after the last run */
	bool no_record;	    /* allocates and does not observe */
	bool manage_all;    /* with the rule "everything", after those of the policy */
	bool dry_run;	    /* says what it would pick and refuse */
	bool restore;	    /* does nothing but put back ip_local_port_range */
	bool print;
	bool version;
	bool help;
};

struct manage;
struct notices;
struct pools;
struct recover;
struct runs;
struct server;

#define DAEMON_TICKS_PER_S 4

struct daemon {
	struct daemon_options options;
	char cgroup_root[PATH_MAX];
	char ledger_path[PATH_MAX];
	struct cgroup scope;
	struct lock *lock;
	struct policy *policy;
	bool policy_has_file; /* else it is the built-in one */
	struct loop *loop;
	struct alloc *alloc;
	enum alloc_mode mode;
	struct pools *pools;
	struct notices *notices;
	struct runs *runs;
	struct manage *manage;
	struct server *server;
	/* The rest is NULL with --no-record. */
	struct collect *collect;
	struct ledger *ledger;
	struct identify *identify;
	struct pipeline *pipeline;
	struct recover *recover;
	struct reuse *reuse;
	struct tally destinations; /* of the sessions of pools that are open */
	bool is_observing;	   /* the recorder's hooks are on the scope */

	uint64_t start_ns; /* wall clock */
	uint64_t tick_ns;  /* wall clock of the last tick */
	uint64_t ticks;
	uint64_t busy_ns; /* CLOCK_BOOTTIME of the end of the last run, or the start */
	uint64_t last_commit_ns;       /* wall clock; 0: none yet */
	struct collect_lost lost_seen; /* when last asked */
	uint64_t repairs_seen;	       /* the allocator's, when last asked */
	bool is_in_doubt; /* the end of an open session may have been missed */
	uint64_t unresolved_seen;
	char ledger_error[512]; /* empty: it works */
};

/*
 * Start in order: lock, policy, programs, ledger, what a killed daemon left,
 * socket. A failure undoes what was done.
 */
int daemon_new(const struct daemon_options *options, struct daemon **ret,
	       struct fault *fault);

/* Stores what is under way and leaves the host as it was. NULL is fine. */
void daemon_free(struct daemon *daemon);

/* Until SIGINT or SIGTERM, or, for a transient one, the end of the last run. */
int daemon_run(struct daemon *daemon);

/*
 * Without a daemon: put back what one that was killed left on the host. -EWOULDBLOCK
 * while one runs.
 */
int daemon_restore(const struct daemon_options *options, struct fault *fault);

/* Deliver all events up to now. */
void daemon_deliver(struct daemon *daemon);

/* And store them, so that an answer has them. */
void daemon_catch_up(struct daemon *daemon);

/* Visit the open sessions, those of before a restart too. Non-zero from visit stops. */
void daemon_visit_open(struct daemon *daemon, ledger_visit_fn *visit, void *arg);

/* Pick from now on, or not; what was on before off was a dry run, or not. */
void daemon_set_mode(struct daemon *daemon, enum alloc_mode mode);

/* What the policy keeps of command lines. */
enum identify_cmdline daemon_cmdline_rule(const struct daemon *daemon);

uint64_t daemon_wall_ns(void);
uint64_t daemon_boot_ns(void); /* CLOCK_BOOTTIME */

#endif /* DAEMON_DAEMON_H */
