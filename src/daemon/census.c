/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/census.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "daemon/pools.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"

#define STATE_LISTEN 10

/* Called with each open session; uid is its owner's. */
typedef void census_fn(const struct session *session, uint32_t uid, void *arg);

struct walk {
	const struct daemon *daemon;
	census_fn *visit;
	void *arg;
	uint64_t netns; /* of the sockets that are listed */
};

static int visit_session(const struct session *session, void *arg)
{
	const struct walk *walk = arg;

	if (session->picked_by == PICKED_BY_SRCPORT)
		walk->visit(session, session->owner ? session->owner->uid : 0,
			    walk->arg);
	return 0;
}

static int visit_socket(const struct diag_socket *socket, void *arg)
{
	const struct walk *walk = arg;
	struct session session = {
		.id.netns = walk->netns,
		.protocol = socket->protocol,
		.src = socket->local,
		.dst = socket->remote,
		.sport = socket->local_port,
		.dport = socket->remote_port,
	};

	if (!socket->remote_port || !socket->inode || socket->state == STATE_LISTEN)
		return 0;
	for (const struct pools_entry *entry = pools_first(walk->daemon->pools); entry;
	     entry = entry->next) {
		if (!port_set_has(&entry->pool.ports, socket->local_port))
			continue;
		snprintf(session.pool, sizeof(session.pool), "%s", entry->pool.name);
		walk->visit(&session, socket->uid, walk->arg);
		break;
	}
	return 0;
}

static int visit_netns(int netns_fd, uint64_t cookie, void *arg)
{
	struct walk *walk = arg;

	walk->netns = cookie;
	/* A namespace that ends meanwhile takes its sockets along: no fault. */
	sock_diag_visit(netns_fd, IPPROTO_TCP, visit_socket, walk, NULL);
	sock_diag_visit(netns_fd, IPPROTO_UDP, visit_socket, walk, NULL);
	return 0;
}

static void visit_all(struct daemon *daemon, census_fn *visit, void *arg)
{
	struct walk walk = {.daemon = daemon, .visit = visit, .arg = arg};

	if (!daemon->pipeline) {
		netns_visit(visit_netns, &walk);
		return;
	}
	daemon_deliver(daemon);
	daemon_visit_open(daemon, visit_session, &walk);
}

static void count(const struct session *session, uint32_t uid, void *arg)
{
	struct census *census = arg;

	tally_add(&census->destinations, session, uid);
	tally_add(&census->owners, session, uid);
}

int census_take(struct daemon *daemon, struct census *ret)
{
	int err = tally_init(&ret->destinations, TALLY_BY_DESTINATION);

	if (err < 0)
		return err;
	err = tally_init(&ret->owners, TALLY_BY_OWNER);
	if (err < 0) {
		tally_release(&ret->destinations);
		return err;
	}
	ret->is_guess = !daemon->pipeline;
	visit_all(daemon, count, ret);
	return 0;
}

void census_release(struct census *census)
{
	tally_release(&census->destinations);
	tally_release(&census->owners);
}

struct user_count {
	const char *pool;
	uint64_t netns;
	uint8_t protocol;
	uint32_t uid;
	uint32_t count;
};

static void count_if_user(const struct session *session, uint32_t uid, void *arg)
{
	struct user_count *wanted = arg;

	wanted->count += uid == wanted->uid && session->id.netns == wanted->netns &&
			 session->protocol == wanted->protocol &&
			 strcmp(session->pool, wanted->pool) == 0;
}

uint32_t census_count_user(struct daemon *daemon, const char *pool, uint64_t netns,
			   uint8_t protocol, uint32_t uid)
{
	struct user_count wanted = {
		.pool = pool,
		.netns = netns,
		.protocol = protocol,
		.uid = uid,
	};

	visit_all(daemon, count_if_user, &wanted);
	return wanted.count;
}
