/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/cleanup.h"
#include "base/paths.h"
#include "cli/check_host.h"
#include "cli/cmd.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"
#include "ledger/ledger.h"
#include "policy/policy_peak.h"

#define DAY_NS	     (86400 * 1000000000ULL)
#define SESSIONS_MAX 500000 /* that are read: some seconds */

DEFINE_CLEANUP(struct ledger_query, ledger_query_close)

/* The sessions of the last day, which a ledger may have. A negative errno: it has not.
 */
static int add_ledger(const char *path, struct policy_peak *peak)
{
	CLEANUP(ledger_query_close_ptr) struct ledger_query *query = NULL;
	struct ledger_question question = {.from_ns = cmd_now_ns() - DAY_NS};
	const struct session *session;
	size_t count = 0;
	int more = ledger_query_open(path, &question, &query, NULL);

	while (more >= 0 && count < SESSIONS_MAX) {
		more = ledger_query_next(query, &session, NULL);
		if (more == -EAGAIN) {
			more = 0;
			continue;
		}
		if (more <= 0)
			break;
		count++;
		more = policy_peak_add(peak, session);
	}
	return more < 0 ? more : (int)count;
}

/* What is open now, in this network namespace. */
struct listing {
	struct policy_peak *peak;
	struct port_set listeners; /* ports: who is connected there came in */
	uint64_t netns;
};

static int note_listener(const struct diag_socket *socket, void *arg)
{
	struct listing *listing = arg;

	if (socket->state == TCP_LISTEN)
		port_set_add(&listing->listeners, socket->local_port,
			     socket->local_port);
	return 0;
}

/* Of its owner sock_diag knows the user alone. */
static int add_socket(const struct diag_socket *socket, void *arg)
{
	struct listing *listing = arg;
	struct owner owner = {.uid = socket->uid};
	struct session session = {
		.id.netns = listing->netns,
		.protocol = socket->protocol,
		.dst = socket->remote,
		.dport = socket->remote_port,
		.owner = &owner,
	};

	if (!socket->remote_port || socket->state == TCP_TIME_WAIT ||
	    socket->state == TCP_CLOSE ||
	    (socket->protocol == IPPROTO_TCP &&
	     port_set_has(&listing->listeners, socket->local_port)))
		return 0;
	return policy_peak_add(listing->peak, &session);
}

static void add_open(struct policy_peak *peak, uint64_t netns)
{
	struct listing listing = {.peak = peak, .netns = netns};

	if (sock_diag_visit(-1, IPPROTO_TCP, note_listener, &listing, NULL) >= 0)
		sock_diag_visit(-1, IPPROTO_TCP, add_socket, &listing, NULL);
	sock_diag_visit(-1, IPPROTO_UDP, add_socket, &listing, NULL);
}

void check_seen(const struct policy *policy, const char *state,
		struct policy_notes *notes)
{
	CLEANUP(policy_peak_free_ptr) struct policy_peak *peak = NULL;
	char path[4096];
	uint64_t netns = 0;
	int count;

	netns_cookie(-1, &netns);
	peak = policy_peak_new(policy, netns);
	if (!peak)
		return;
	paths_ledger(policy->ledger_path, state, path, sizeof(path));
	count = add_ledger(path, peak);
	if (count > 0) {
		policy_peak_warn(peak, "in the last day", notes);
		return;
	}
	add_open(peak, netns);
	policy_peak_warn(peak, "just now", notes);
}
