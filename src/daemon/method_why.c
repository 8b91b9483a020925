/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_why.c - what a connect() of a process to a destination would get now, and
 * what the allocator said of that destination last.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/census.h"
#include "daemon/manage.h"
#include "daemon/method.h"
#include "daemon/notices.h"
#include "daemon/pools.h"
#include "daemon/runs.h"
#include "kernel/netns.h"
#include "model/moment.h"
#include "report/report_escape.h"

#define NOTICES_SHOWN 10

/* What is asked, and what was found. */
struct why {
	struct daemon *daemon;
	struct alloc_subject subject;
	uint32_t uid;
	char comm[64];
	char cgroup[PATH_MAX];
	const struct run *run;
	const struct rule *rule; /* NULL with a rule at work: none fits */
	const struct pools_entry *pool;
	struct alloc_outlook outlook;
	bool has_outlook;
	uint32_t sessions_of_user;

	const char *verdict; /* a word for programs */
	bool has_port;
	char text[256];
};

static int bad(struct request *request, const char *where, const char *expected)
{
	fault_set(&request->fault, -EINVAL, "%s must be %s", where, expected);
	return request_refuse(request, -EINVAL, "bad-param", where);
}

/* A number from 1 to most; 0: it is missing. */
static int read_number(struct request *request, const char *name, json_int_t most,
		       json_int_t *ret)
{
	const json_t *value = json_object_get(request->params, name);

	if (!value || json_is_null(value)) {
		*ret = 0;
		return 0;
	}
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > most)
		return bad(request, name, "a number, 1 or more");
	*ret = json_integer_value(value);
	return 0;
}

static int read_destination(struct request *request, struct alloc_subject *subject)
{
	const char *address = NULL, *protocol = NULL;
	json_int_t port;
	int err = request_text(request, "address", &address);

	if (err >= 0)
		err = request_text(request, "protocol", &protocol);
	if (err >= 0)
		err = read_number(request, "port", 65535, &port);
	if (err < 0)
		return err;
	if (!address || address_parse(address, &subject->destination) < 0)
		return bad(request, "address", "an IPv4 or IPv6 address");
	if (!port)
		return bad(request, "port", "a number, 1 or more");
	subject->port = port;
	subject->protocol = protocol ? protocol_parse(protocol) : IPPROTO_TCP;
	return subject->protocol ? 0 : bad(request, "protocol", "tcp or udp");
}

static int read_subject(struct request *request, struct alloc_subject *subject)
{
	json_int_t pid;
	int err = read_destination(request, subject);

	if (err >= 0)
		err = read_number(request, "pid", INT32_MAX, &pid);
	if (err < 0)
		return err;
	subject->pid = pid ? pid : request->peer_pid;
	if (subject->pid <= 0)
		return bad(request, "pid",
			   "given: the caller lives in another pid namespace");
	return 0;
}

/* The effective uid, and the name. */
static int read_status(struct why *why)
{
	char path[64], line[256];
	FILE *file;
	int err = -ESRCH;

	snprintf(path, sizeof(path), "/proc/%d/status", why->subject.pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Uid: %*u %u", &why->uid) == 1)
			err = 0;
		sscanf(line, "Name: %63[^\n]", why->comm);
	}
	if (file)
		fclose(file);
	return err;
}

static int read_netns(struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", why->subject.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : netns_cookie(fd, &why->subject.netns);
}

static int find_process(struct request *request, struct why *why)
{
	int err = read_status(why);

	if (err >= 0)
		err = read_netns(why);
	if (err >= 0)
		err = cgroup_of(why->subject.pid, why->cgroup, NULL);
	if (err >= 0)
		return 0;
	/* It may be there, and hidden from srcportd. */
	if (kill(why->subject.pid, 0) < 0 && errno == ESRCH)
		err = -ESRCH;
	if (err == -ESRCH)
		fault_set(&request->fault, err, "there is no process %d",
			  why->subject.pid);
	else
		fault_set(&request->fault, err, "process %d cannot be looked at: %s",
			  why->subject.pid, strerror(-err));
	return request_refuse(request, err, "no-such-process", "pid");
}

static const struct run *find_run(const struct why *why)
{
	const struct run *found = NULL;

	/* A run inside a run: the inner one's hook comes first. */
	for (const struct run *run = runs_first(why->daemon->runs); run;
	     run = run->next)
		if (cgroup_is_inside(why->cgroup, run->cgroup.path) &&
		    (!found || strlen(run->cgroup.path) > strlen(found->cgroup.path)))
			found = run;
	return found;
}

static void find_pool(struct why *why)
{
	struct daemon *daemon = why->daemon;
	int index;

	why->run = find_run(why);
	if (why->run) {
		why->pool = why->run->pool;
		return;
	}
	if (!manage_is_on(daemon->manage) ||
	    !cgroup_is_inside(why->cgroup, daemon->scope.path))
		return;
	index = alloc_fit(daemon->alloc, &why->subject);
	if (index < 0 || (size_t)index >= daemon->policy->rule_count)
		return;
	why->rule = &daemon->policy->rules[index];
	why->pool = manage_pool(daemon->manage, index);
}

static void look(struct why *why)
{
	const struct alloc_subject *subject = &why->subject;

	if (!why->pool)
		return;
	why->has_outlook =
		alloc_outlook(why->daemon->alloc, why->pool->number, subject->netns,
			      subject->protocol, &subject->destination, subject->port,
			      &why->outlook) == 0;
	if (!why->has_outlook)
		why->outlook.unused = port_set_count(&why->pool->pool.ports);
	if (why->pool->pool.quota && why->uid)
		why->sessions_of_user =
			census_count_user(why->daemon, why->pool->pool.name,
					  subject->netns, subject->protocol, why->uid);
}

static void __attribute__((format(printf, 4, 5)))
conclude(struct why *why, const char *verdict, bool has_port, const char *format, ...)
{
	va_list args;

	why->verdict = verdict;
	why->has_port = has_port;
	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
}

static bool shares(const struct why *why)
{
	const struct pool *pool = &why->pool->pool;

	return why->subject.protocol == IPPROTO_TCP ? pool->sharing != SHARING_NEVER
						    : pool->udp_shares;
}

/* Nothing of the pool is left, or the user may have no more of it. */
static void conclude_none(struct why *why, const char *reason)
{
	if (why->pool->pool.exhausted == EXHAUSTED_REFUSE)
		conclude(why, "refused", false, "EADDRNOTAVAIL: %s", reason);
	else
		conclude(why, "kernel", false, "the kernel's own pick: %s", reason);
}

static void conclude_unused(struct why *why)
{
	const struct pool *pool = &why->pool->pool;

	if (pool->algorithm == ALGORITHM_RANDOM)
		conclude(why, "unused", true,
			 "a port nobody uses, drawn uniformly from %u",
			 why->outlook.unused);
	else
		conclude(why, "unused", true,
			 "a port nobody uses, one of %u, by the algorithm %s",
			 why->outlook.unused, algorithm_name(pool->algorithm));
}

/* In the order of choice that the hooks have. */
static void conclude_from_pool(struct why *why)
{
	const struct alloc_outlook *outlook = &why->outlook;
	const struct pool *pool = &why->pool->pool;
	bool is_tcp = why->subject.protocol == IPPROTO_TCP;

	if (pool->quota && why->uid && why->sessions_of_user >= pool->quota)
		conclude_none(why, "the user has its share of the pool");
	else if (is_tcp && pool->sharing == SHARING_ALWAYS &&
		 outlook->unused + outlook->shared)
		conclude(why, "shared", true,
			 "a port of the pool, in use or not, one of %u that are open "
			 "to it",
			 outlook->unused + outlook->shared);
	else if (outlook->unused)
		conclude_unused(why);
	else if (shares(why) && outlook->shared)
		conclude(why, "shared", true,
			 "a shared port, one of %u in use that are open to it",
			 outlook->shared);
	else if (is_tcp && pool->early_reuse && pool->sharing != SHARING_NEVER &&
		 outlook->resting)
		conclude(why, "early-reuse", true,
			 "the longest-rested tuple of %u, before its time",
			 outlook->resting);
	else
		conclude_none(why, "pool exhausted");
}

static void judge(struct why *why)
{
	if (why->daemon->mode == ALLOC_OFF)
		conclude(why, "off", true,
			 "the kernel's own pick: srcport is off (srcport on "
			 "resumes)");
	else if (!why->pool && why->rule)
		conclude(why, "by-rule", true,
			 "the kernel's own pick: the rule says so");
	else if (!why->pool)
		conclude(why, "no-rule", true, "the kernel's own pick: no rule fits");
	else
		conclude_from_pool(why);
	if (why->pool && why->daemon->mode == ALLOC_DRY_RUN) {
		char would[sizeof(why->text)];

		memcpy(would, why->text, sizeof(would));
		conclude(why, "dry-run", true,
			 "the kernel's own pick: a dry run; else %.180s", would);
	}
}

static const char *kind_name(enum alloc_notice_kind kind)
{
	switch (kind) {
	case ALLOC_NOTICE_FOREIGN_BIND:
		return "foreign-bind";
	case ALLOC_NOTICE_FALLBACK:
		return "fallback";
	case ALLOC_NOTICE_REFUSED:
		return "refused";
	case ALLOC_NOTICE_WOULD_PICK:
		return "would-pick";
	case ALLOC_NOTICE_WOULD_REFUSE:
		return "would-refuse";
	}
	return NULL;
}

struct shown {
	const struct why *why;
	json_t *notices;
};

static json_t *notice_json(const struct notice_kept *kept)
{
	const struct alloc_notice *notice = &kept->notice;
	bool is_pick = notice->kind == ALLOC_NOTICE_WOULD_PICK;
	char time[MOMENT_TEXT_MAX], comm[sizeof(notice->comm) + 1];
	CLEANUP_FREE char *mended = NULL;

	snprintf(comm, sizeof(comm), "%.*s", (int)sizeof(notice->comm), notice->comm);
	mended = report_mend_utf8(comm);
	return json_pack(
		"{s:s, s:s?, s:s?, s:b, s:s, s:I, s:s?, s:I, s:o}", "time",
		moment_format(kept->wall_ns, time), "kind", kind_name(notice->kind),
		"reason", is_pick ? NULL : alloc_reason_name(notice->reason),
		"is_refused", notice->is_refused, "pool", kept->pool, "pid",
		(json_int_t)notice->pid, "comm", mended, "uid", (json_int_t)notice->uid,
		"picked", is_pick ? json_integer(notice->picked) : json_null());
}

static int show_notice(const struct notice_kept *kept, void *arg)
{
	const struct alloc_notice *notice = &kept->notice;
	struct shown *shown = arg;
	const struct alloc_subject *subject = &shown->why->subject;

	if (notice->kind == ALLOC_NOTICE_FOREIGN_BIND ||
	    notice->port != subject->port || notice->netns != subject->netns ||
	    notice->protocol != subject->protocol ||
	    !address_equal(&notice->address, &subject->destination))
		return 0;
	json_array_append_new(shown->notices, notice_json(kept));
	return json_array_size(shown->notices) >= NOTICES_SHOWN;
}

static json_t *outlook_json(const struct why *why)
{
	const struct alloc_outlook *outlook = &why->outlook;

	if (!why->pool)
		return json_null();
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:b}", "unused", (json_int_t)outlook->unused,
		"shared", (json_int_t)outlook->shared, "taken",
		(json_int_t)outlook->taken, "resting", (json_int_t)outlook->resting,
		"aside", (json_int_t)outlook->aside, "is_used_there", why->has_outlook);
}

static json_t *quota_json(const struct why *why)
{
	if (!why->pool || !why->pool->pool.quota)
		return json_null();
	return json_pack("{s:I, s:I, s:b}", "limit", (json_int_t)why->pool->pool.quota,
			 "sessions", (json_int_t)why->sessions_of_user, "is_over",
			 why->uid && why->sessions_of_user >= why->pool->pool.quota);
}

static int answer(struct request *request, const struct why *why)
{
	const struct alloc_subject *subject = &why->subject;
	struct shown shown = {.why = why, .notices = json_array()};
	CLEANUP_FREE char *comm = report_mend_utf8(why->comm);
	CLEANUP_FREE char *cgroup = report_mend_utf8(why->cgroup);
	char address[ADDRESS_TEXT_MAX];
	json_t *done;

	notices_visit(why->daemon->notices, show_notice, &shown);
	done = json_pack(
		"{s:s, s:i, s:s, s:i, s:s?, s:I, s:s?, s:I, s:s, s:b, s:s?, s:o, s:s?, "
		"s:s, s:b, s:s, s:o, s:o, s:o}",
		"dst", address_format(&subject->destination, address), "dport",
		subject->port, "proto", protocol_name(subject->protocol), "pid",
		subject->pid, "comm", comm, "uid", (json_int_t)why->uid, "cgroup",
		cgroup && cgroup[0] ? cgroup : "/", "netns", (json_int_t)subject->netns,
		"mode", method_mode_name(why->daemon), "is_run", why->run != NULL,
		"rule", why->rule ? why->rule->name : NULL, "rule_line",
		why->rule && why->rule->line ? json_integer(why->rule->line)
					     : json_null(),
		"pool", why->pool ? why->pool->pool.name : NULL, "verdict",
		why->verdict, "has_port", why->has_port, "text", why->text, "outlook",
		outlook_json(why), "quota", quota_json(why), "notices", shown.notices);
	if (!done)
		return fault_set(&request->fault, -ENOMEM, "out of memory");
	json_decref(request->done);
	request->done = done;
	return METHOD_DONE;
}

static int begin(struct request *request)
{
	struct why why = {.daemon = request->daemon};
	int err = read_subject(request, &why.subject);

	if (err >= 0)
		err = find_process(request, &why);
	if (err < 0)
		return err;
	notices_poll(request->daemon->notices);
	find_pool(&why);
	look(&why);
	judge(&why);
	return answer(request, &why);
}

const struct method method_why = {
	.name = "why",
	.begin = begin,
};
