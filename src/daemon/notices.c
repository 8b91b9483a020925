/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/notices.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/pools.h"
#include "model/moment.h"
#include "report/report_escape.h"

#define LIMITS	     64
#define BINDS_PER_S  20
#define OTHERS_PER_S 1
#define NS_PER_S     1000000000ULL
#define EXE_COLUMNS  256
#define PLACE_MAX    (ADDRESS_TEXT_MAX + sizeof("[]:65535/tcp"))

/* Lines of one pool, kind and reason in one second. */
struct limit {
	char pool[SESSION_POOL_MAX];
	enum alloc_notice_kind kind; /* 0: nobody's */
	enum alloc_reason reason;
	uint64_t since_ns;
	unsigned int said;
	uint64_t left_out;
};

struct notices {
	struct daemon *daemon;
	struct notice_kept kept[NOTICES_KEPT];
	uint64_t count; /* the next goes to count % NOTICES_KEPT */
	uint64_t dropped;
	struct limit limits[LIMITS];
};

static const char *place_format(const struct alloc_notice *notice, char buf[PLACE_MAX])
{
	char address[ADDRESS_TEXT_MAX];
	bool is_v4 = address_is_v4(&notice->address);

	address_format(&notice->address, address);
	snprintf(buf, PLACE_MAX, "%s%s%s:%u/%s", is_v4 ? "" : "[", address,
		 is_v4 ? "" : "]", notice->port, protocol_name(notice->protocol));
	return buf;
}

/* The process may be gone: then the recorder still knows it. */
static char *find_exe(const struct daemon *daemon, uint32_t pid)
{
	const char *known =
		daemon->identify ? identify_exe(daemon->identify, pid) : NULL;
	char link[64], path[PATH_MAX];
	ssize_t length;

	if (known)
		return report_escape(known, EXE_COLUMNS, REPORT_CUT_START);
	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return NULL;
	path[length] = '\0';
	return report_escape(path, EXE_COLUMNS, REPORT_CUT_START);
}

static void summarize(struct limit *limit)
{
	if (limit->left_out)
		log_say("pool %s: %s: + %" PRIu64 " more", limit->pool,
			limit->kind == ALLOC_NOTICE_FOREIGN_BIND
				? "foreign binds"
				: alloc_reason_name(limit->reason),
			limit->left_out);
	*limit = (struct limit){0};
}

static struct limit *limit_of(struct notices *notices, const struct notice_kept *kept)
{
	struct limit *oldest = &notices->limits[0];

	for (size_t i = 0; i < LIMITS; i++) {
		struct limit *limit = &notices->limits[i];

		if (limit->kind == kept->notice.kind &&
		    limit->reason == kept->notice.reason &&
		    strcmp(limit->pool, kept->pool) == 0)
			return limit;
		if (limit->since_ns < oldest->since_ns)
			oldest = limit;
	}
	summarize(oldest);
	oldest->kind = kept->notice.kind;
	oldest->reason = kept->notice.reason;
	oldest->since_ns = daemon_boot_ns();
	snprintf(oldest->pool, sizeof(oldest->pool), "%s", kept->pool);
	return oldest;
}

static bool may_say(struct notices *notices, const struct notice_kept *kept)
{
	struct limit *limit = limit_of(notices, kept);
	unsigned int most = kept->notice.kind == ALLOC_NOTICE_FOREIGN_BIND
				    ? BINDS_PER_S
				    : OTHERS_PER_S;

	if (limit->said < most) {
		limit->said++;
		return true;
	}
	limit->left_out++;
	return false;
}

static void say(const struct notices *notices, const struct notice_kept *kept)
{
	const struct alloc_notice *notice = &kept->notice;
	CLEANUP_FREE char *exe = find_exe(notices->daemon, notice->pid);
	CLEANUP_FREE char *comm = NULL;
	char place[PLACE_MAX], name[sizeof(notice->comm) + 1];

	snprintf(name, sizeof(name), "%.*s", (int)sizeof(notice->comm), notice->comm);
	comm = report_escape(name, sizeof(name) * 4, REPORT_CUT_END);
	place_format(notice, place);
	if (notice->kind == ALLOC_NOTICE_FOREIGN_BIND)
		log_say("pid %u (%s, %s, uid %u) bound %s, a port of pool %s: %s",
			notice->pid, comm ? comm : "?",
			exe ? exe : "executable unknown", notice->uid, place,
			kept->pool, notice->is_refused ? "refused" : "reported");
	else
		log_say("pid %u (%s, %s, uid %u) to %s, pool %s: %s: %s", notice->pid,
			comm ? comm : "?", exe ? exe : "executable unknown",
			notice->uid, place, kept->pool,
			alloc_reason_name(notice->reason),
			notice->is_refused ? "refused" : "the kernel picks");
}

static void print_dry(const struct notice_kept *kept)
{
	const struct alloc_notice *notice = &kept->notice;
	CLEANUP_FREE char *comm = NULL;
	char place[PLACE_MAX], name[sizeof(notice->comm) + 1], time[MOMENT_TEXT_MAX];

	snprintf(name, sizeof(name), "%.*s", (int)sizeof(notice->comm), notice->comm);
	comm = report_escape(name, sizeof(name) * 4, REPORT_CUT_END);
	printf("%s pid %u (%s) to %s, pool %s: ", moment_format(kept->wall_ns, time),
	       notice->pid, comm ? comm : "?", place_format(notice, place), kept->pool);
	if (notice->kind == ALLOC_NOTICE_WOULD_PICK)
		printf("would take port %u\n", notice->picked);
	else
		printf("would be refused: %s\n", alloc_reason_name(notice->reason));
}

static void on_notice(const struct alloc_notice *notice, void *arg)
{
	struct notices *notices = arg;
	struct notice_kept *kept = &notices->kept[notices->count++ % NOTICES_KEPT];
	const char *pool = pools_name(notice->pool, notices->daemon->pools);

	kept->notice = *notice;
	kept->wall_ns = daemon_wall_ns() - (daemon_boot_ns() - notice->time_ns);
	snprintf(kept->pool, sizeof(kept->pool), "%s", pool ? pool : "");
	if (notice->kind == ALLOC_NOTICE_WOULD_PICK ||
	    notice->kind == ALLOC_NOTICE_WOULD_REFUSE)
		print_dry(kept);
	else if (may_say(notices, kept))
		say(notices, kept);
}

static void on_readable(uint32_t events, void *arg)
{
	(void)events;
	notices_poll(arg);
}

int notices_new(struct daemon *daemon, struct notices **ret)
{
	struct notices *notices = calloc(1, sizeof(*notices));
	int fd = alloc_notice_fd(daemon->alloc);
	int err = 0;

	if (!notices)
		return -ENOMEM;
	notices->daemon = daemon;
	alloc_set_notice(daemon->alloc, on_notice, notices);
	if (fd >= 0)
		err = loop_add(daemon->loop, fd, EPOLLIN, on_readable, notices);
	if (err < 0) {
		free(notices);
		return err;
	}
	*ret = notices;
	return 0;
}

void notices_free(struct notices *notices)
{
	if (!notices)
		return;
	alloc_set_notice(notices->daemon->alloc, NULL, NULL);
	if (alloc_notice_fd(notices->daemon->alloc) >= 0)
		loop_remove(notices->daemon->loop,
			    alloc_notice_fd(notices->daemon->alloc));
	free(notices);
}

void notices_poll(struct notices *notices)
{
	uint64_t dropped = 0;

	/* Who a short-lived process was is in events that may still wait. */
	daemon_deliver(notices->daemon);
	alloc_poll(notices->daemon->alloc, &dropped);
	notices->dropped += dropped;
	if (dropped)
		log_say("%" PRIu64 " notices of the allocator were too many to keep",
			dropped);
	fflush(stdout);
}

void notices_tick(struct notices *notices)
{
	uint64_t now_ns = daemon_boot_ns();

	notices_poll(notices);
	for (size_t i = 0; i < LIMITS; i++)
		if (notices->limits[i].kind &&
		    now_ns - notices->limits[i].since_ns >= NS_PER_S)
			summarize(&notices->limits[i]);
}

void notices_visit(const struct notices *notices, notices_visit_fn *visit, void *arg)
{
	uint64_t kept = notices->count < NOTICES_KEPT ? notices->count : NOTICES_KEPT;

	for (uint64_t i = 1; i <= kept; i++)
		if (visit(&notices->kept[(notices->count - i) % NOTICES_KEPT], arg))
			return;
}

uint64_t notices_count(const struct notices *notices)
{
	return notices->count;
}

uint64_t notices_dropped(const struct notices *notices)
{
	return notices->dropped;
}
