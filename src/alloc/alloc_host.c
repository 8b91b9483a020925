/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What user space does for the tables: compare them with the sockets there are. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"
#include "base/cleanup.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"

#include "alloc/alloc.skel.h"

#define PORTS 65536

/* A listing does not take longer. closed is modulo: it says little about long ago. */
#define JUST_CLOSED_S 600
#define LISTENER_S    3600 /* so long a listener's port waits for its return */

#define STATE_FIN_WAIT2 5
#define STATE_TIME_WAIT 6
#define STATE_LISTEN	10
#define TIME_WAIT_NS	64000000000ULL

/* Which ports the sockets of one namespace and protocol hold. */
struct holding {
	uint64_t since_ns; /* CLOCK_BOOTTIME when the listing began */
	bool is_held[PORTS];
	bool is_open[PORTS]; /* by more than TIME_WAIT, which our own closes leave too
			      */
	bool is_listening[PORTS];
};

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* A connection without a socket: TIME_WAIT, or FIN_WAIT2 that waits for the peer's FIN.
 */
static bool is_waiting(const struct diag_socket *socket)
{
	return socket->state == STATE_TIME_WAIT ||
	       (socket->state == STATE_FIN_WAIT2 && !socket->inode);
}

static int note_socket(const struct diag_socket *socket, void *arg)
{
	struct holding *holding = arg;

	holding->is_held[socket->local_port] = true;
	if (!is_waiting(socket))
		holding->is_open[socket->local_port] = true;
	if (socket->protocol == IPPROTO_TCP && socket->state == STATE_LISTEN)
		holding->is_listening[socket->local_port] = true;
	return 0;
}

/* Both protocols, TCP first. */
static int note_sockets(int netns_fd, struct holding *holding, struct fault *fault)
{
	int err;

	holding[0].since_ns = holding[1].since_ns = boot_ns();
	err = sock_diag_visit(netns_fd, IPPROTO_TCP, note_socket, &holding[0], fault);
	if (err >= 0)
		err = sock_diag_visit(netns_fd, IPPROTO_UDP, note_socket, &holding[1],
				      fault);
	return err;
}

/* "8080,9000-9100" as in ip_local_reserved_ports. */
static void note_sysctl(int netns_fd, bool *is_reserved)
{
	char text[4096], *at = text;

	if (netns_read_sysctl(netns_fd, "ipv4/ip_local_reserved_ports", text,
			      sizeof(text)) < 0)
		return;
	while (at && *at) {
		unsigned int from, to;
		int n = sscanf(at, "%u-%u", &from, &to);

		if (n < 1)
			return;
		if (n == 1)
			to = from;
		for (; from <= to && from < PORTS; from++)
			is_reserved[from] = true;
		at = strchr(at, ',');
		if (at)
			at++;
	}
}

/* One of ours let go of the port since the listing began, which may have met it. */
static bool is_just_closed(struct alloc *alloc, const struct alloc_space *space,
			   unsigned int port, const struct holding *holding)
{
	const struct port_record *record = alloc_record(alloc, space->chunk, port);

	return record && record->closed &&
	       (uint16_t)((record->closed & ~CLOSED_WARM) -
			  record_clock(holding->since_ns)) < 2 * JUST_CLOSED_S;
}

/* Ports that are never given in the namespace. */
static void note_reserved(const struct alloc *alloc, int netns_fd, uint64_t cookie,
			  bool *is_reserved)
{
	note_sysctl(netns_fd, is_reserved);
	if (cookie != alloc->own_netns)
		return;
	for (unsigned int port = 1024; port < PORTS; port++)
		if (port_set_has(&alloc->reserved, port))
			is_reserved[port] = true;
}

/* Its hour begins anew whenever the listener is seen. */
static void note_listener(struct port_record *record)
{
	record_close(record, boot_ns(), true);
	record_mark(record, RECORD_LISTENED);
}

static bool set_port_aside(struct alloc *alloc, uint32_t number, unsigned int port,
			   uint32_t flags)
{
	const struct alloc_ask ask = {.op = ALLOC_ASK_SET_ASIDE,
				      .space = number,
				      .port = port,
				      .flags = flags};

	return port_map_has(&alloc->spaces[number].unused, port) &&
	       alloc_serve(alloc, &ask);
}

/* Set aside the ports of the space that nobody of ours uses and that are held. Returns
 * how many. */
static unsigned int set_aside(struct alloc *alloc, uint32_t number,
			      const struct holding *holding)
{
	const struct alloc_space *space = &alloc->spaces[number];
	unsigned int count = 0;

	for (unsigned int port = 1024; port < PORTS; port++) {
		if (!holding->is_open[port] ||
		    is_just_closed(alloc, space, port, holding) ||
		    !set_port_aside(alloc, number, port, 0))
			continue;
		count++;
		if (holding->is_listening[port])
			note_listener(alloc_record(alloc, space->chunk, port));
	}
	return count;
}

static void set_reserved_aside(struct alloc *alloc, uint32_t number,
			       const bool *is_reserved)
{
	for (unsigned int port = 1024; port < PORTS; port++)
		if (is_reserved[port])
			set_port_aside(alloc, number, port, RECORD_RESERVED);
}

/*
 * A connection in TIME_WAIT from before we came rests like one of ours: its tuple
 * is not given again, and its port is not one to bind for oneself alone.
 */
struct resting {
	struct alloc *alloc;
	uint64_t netns;
	uint64_t until_ns;
};

uint32_t alloc_destination(const struct alloc *alloc, const struct address *address,
			   uint16_t port)
{
	struct pick_key key;
	__u32 words[4];

	memcpy(&key, (const void *)&alloc->bpf->rodata->hash_key, sizeof(key));
	memcpy(words, address->bytes, sizeof(words));
	return pick_destination(key, words, htons(port));
}

static int rest_socket(const struct diag_socket *socket, void *arg)
{
	const struct resting *resting = arg;
	struct alloc_ask ask = {.op = ALLOC_ASK_REST,
				.port = socket->local_port,
				.until_ns = resting->until_ns};

	if (!is_waiting(socket))
		return 0;
	ask.destination =
		alloc_destination(resting->alloc, &socket->remote, socket->remote_port);
	for (ask.space = 1; ask.space < ALLOC_SPACES; ask.space++) {
		const struct alloc_space *space = &resting->alloc->spaces[ask.space];

		if (space->netns != resting->netns || space->is_listed ||
		    space->protocol != IPPROTO_TCP)
			continue;
		if (port_map_has(&resting->alloc->pools[space->pool].members,
				 ask.port)) {
			alloc_serve(resting->alloc, &ask);
			return 0;
		}
	}
	return 0;
}

static void rest_what_waits(struct alloc *alloc, int netns_fd, uint64_t cookie)
{
	struct resting resting = {.alloc = alloc, .netns = cookie};
	resting.until_ns = boot_ns() + TIME_WAIT_NS;
	sock_diag_visit(netns_fd, IPPROTO_TCP, rest_socket, &resting, NULL);
}

int alloc_list_netns(struct alloc *alloc, int netns_fd, uint64_t cookie,
		     struct fault *fault)
{
	CLEANUP_FREE struct holding *held = calloc(2, sizeof(*held));
	CLEANUP_FREE bool *is_reserved = calloc(PORTS, sizeof(*is_reserved));
	bool is_there[ALLOC_SPACES];
	int err;

	if (!held || !is_reserved)
		return fault_set(fault, -ENOMEM, "out of memory");
	/* A space that comes while we list is not listed by that. */
	for (uint32_t number = 0; number < ALLOC_SPACES; number++)
		is_there[number] = number && alloc->spaces[number].netns == cookie;
	err = note_sockets(netns_fd, held, fault);
	if (err < 0)
		return err;
	note_reserved(alloc, netns_fd, cookie, is_reserved);
	rest_what_waits(alloc, netns_fd, cookie);
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];

		if (!is_there[number])
			continue;
		set_aside(alloc, number, &held[space->protocol == IPPROTO_UDP]);
		set_reserved_aside(alloc, number, is_reserved);
		space->is_listed = 1;
	}
	return 0;
}

static bool has_new_space(const struct alloc *alloc, uint64_t cookie)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].netns && !alloc->spaces[number].is_listed &&
		    (!cookie || alloc->spaces[number].netns == cookie))
			return true;
	return false;
}

static int list_if_new(int netns_fd, uint64_t cookie, void *arg)
{
	struct alloc *alloc = arg;

	/* Where it cannot be listed, bpf_bind() still says what is held. */
	if (has_new_space(alloc, cookie))
		alloc_list_netns(alloc, netns_fd, cookie, NULL);
	return 0;
}

void alloc_list_new(struct alloc *alloc)
{
	bool is_new[ALLOC_SPACES];

	if (!has_new_space(alloc, 0))
		return;
	for (uint32_t number = 0; number < ALLOC_SPACES; number++)
		is_new[number] = number && alloc->spaces[number].netns &&
				 !alloc->spaces[number].is_listed;
	netns_visit(list_if_new, alloc);
	/* A namespace that no process and no file shows cannot be listed later either.
	 */
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (is_new[number])
			alloc->spaces[number].is_listed = 1;
}

/*
 * Has this port had the same users, and no socket, at the last reconciling too? Sharers
 * alone have no name here: theirs is how many they are and when one last closed, so
 * that those who came and went in between are not taken for the same.
 */
static bool is_suspected_again(struct alloc *alloc, uint32_t host, unsigned int port,
			       const struct port_record *record)
{
	uint64_t *ports = alloc->suspects[host];
	uint64_t mark = record->holder | 1;

	if (!PRINT(record->holder))
		mark = (uint64_t)record->closed << 40 | (uint64_t)record->counts << 1 |
		       1;
	if (!ports)
		ports = alloc->suspects[host] = calloc(PORTS, sizeof(*ports));
	if (!ports)
		return false;
	if (ports[port] == mark) {
		ports[port] = 0;
		return true;
	}
	ports[port] = mark;
	return false;
}

static void clear_suspicion(struct alloc *alloc, uint32_t host, unsigned int port)
{
	if (alloc->suspects[host])
		alloc->suspects[host][port] = 0;
}

/*
 * A listener that is not ours. One of ours that closed after it was listed does not
 * look like ours any more; a program's is marked when it begins to listen, or was there
 * before us.
 */
static bool has_listener(const struct port_record *record, unsigned int port,
			 const struct holding *holding)
{
	uint64_t now_ns = boot_ns();
	bool is_ours = (record->mark & RECORD_EXCLUSIVE) &&
		       !(record->mark & RECORD_FOREIGN) && USERS(record->counts);

	if (!holding->is_listening[port] || is_ours)
		return false;
	return (record->mark & RECORD_LISTENED) ||
	       !record_closed_since(record, now_ns,
				    (now_ns - holding->since_ns) / 1000000000 + 1);
}

/* Is the port kept out for its own sake, whoever holds it? */
static bool is_withheld(struct port_record *record, unsigned int port,
			const struct holding *holding, const bool *is_reserved)
{
	if (has_listener(record, port, holding))
		note_listener(record);
	else if ((record->mark & RECORD_LISTENED) &&
		 !record_closed_since(record, boot_ns(), LISTENER_S))
		record_unmark(record, RECORD_LISTENED);
	if ((record->mark & RECORD_RESERVED) && !is_reserved[port])
		record_unmark(record, RECORD_RESERVED);
	return record->mark & RECORD_RESERVED ||
	       (record->mark & RECORD_LISTENED &&
		(record->mark & RECORD_FOREIGN || !USERS(record->counts)));
}

static void forget(struct alloc *alloc, uint32_t host, unsigned int port,
		   const struct port_record *record)
{
	const struct alloc_ask ask = {.op = ALLOC_ASK_FORGET,
				      .host = host,
				      .port = port,
				      .holder = record->holder,
				      .flags = record->closed};

	if (is_suspected_again(alloc, host, port, record) && alloc_serve(alloc, &ask))
		alloc->repairs++;
}

/* One port of a space that is not unused: is it still right to keep it out? */
static void reconcile_port(struct alloc *alloc, uint32_t number, unsigned int port,
			   const struct holding *holding, const bool *is_reserved)
{
	struct alloc_ask give_back = {
		.op = ALLOC_ASK_RETURN, .space = number, .port = port};
	struct alloc_space *space = &alloc->spaces[number];
	struct port_record *record = alloc_record(alloc, space->chunk, port);
	bool is_used, is_aside, rests_alone;

	/* Of two pools that overlap, the one that took the port judges it. */
	if (!record || (record->counts && record_space(record) != number &&
			alloc->spaces[record_space(record)].netns == space->netns))
		return;
	if (is_withheld(record, port, holding, is_reserved))
		return;
	is_used = USERS(record->counts);
	is_aside =
		(record->mark & RECORD_FOREIGN) || (!is_used && !PRINT(record->holder));
	/* With sharing = never, and after bind() to port 0, a rest holds the port. */
	rests_alone = (alloc->pools[space->pool].sharing == ALLOC_SHARING_NEVER ||
		       (record->mark & RECORD_EXCLUSIVE)) &&
		      !is_aside && !PRINT(record->holder) && RESTING(record->counts);
	if (rests_alone || holding->is_open[port]) {
		clear_suspicion(alloc, space->host, port);
		return;
	}
	/* Before Linux 6.8 a TCP socket that is bound and no more is not listed. */
	if (space->protocol == IPPROTO_TCP && !alloc->lists_bound &&
	    ((record->mark & RECORD_PROGRAM) ||
	     (record->mark & (RECORD_EXCLUSIVE | RECORD_FOREIGN)) == RECORD_EXCLUSIVE))
		return;
	if (is_aside) {
		/* What has a holder may be bound since the listing. */
		give_back.holder = record->holder;
		if (!holding->is_held[port] &&
		    (!PRINT(give_back.holder) ||
		     is_suspected_again(alloc, space->host, port, record)))
			alloc_serve(alloc, &give_back);
		return;
	}
	forget(alloc, space->host, port, record);
}

static void reconcile_space(struct alloc *alloc, uint32_t number,
			    const struct holding *holding, const bool *is_reserved)
{
	struct alloc_space *space = &alloc->spaces[number];
	const struct port_map *members = &alloc->pools[space->pool].members;

	for (unsigned int port = 1024; port < PORTS; port++)
		if (port_map_has(members, port) && !port_map_has(&space->unused, port))
			reconcile_port(alloc, number, port, holding, is_reserved);
	alloc->missed += set_aside(alloc, number, holding);
}

static int reconcile_netns(int netns_fd, uint64_t cookie, void *arg)
{
	CLEANUP_FREE struct holding *held = NULL;
	CLEANUP_FREE bool *is_reserved = NULL;
	struct alloc *alloc = arg;

	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];
		const struct port_map *members = &alloc->pools[space->pool].members;

		if (space->netns != cookie)
			continue;
		if (!is_reserved) {
			is_reserved = calloc(PORTS, sizeof(*is_reserved));
			if (!is_reserved)
				return 0;
			note_reserved(alloc, netns_fd, cookie, is_reserved);
		}
		set_reserved_aside(alloc, number, is_reserved);
		if (space->unused.count == members->count)
			continue;
		if (!held) {
			held = calloc(2, sizeof(*held));
			if (!held || note_sockets(netns_fd, held, NULL) < 0)
				return 0;
		}
		reconcile_space(alloc, number, &held[space->protocol == IPPROTO_UDP],
				is_reserved);
	}
	return 0;
}

struct presence {
	struct alloc *alloc;
	bool is_there[ALLOC_SPACES];
};

static int note_presence(int netns_fd, uint64_t cookie, void *arg)
{
	struct presence *presence = arg;

	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (presence->alloc->spaces[number].netns == cookie)
			presence->is_there[number] = true;
	alloc_correct_users(presence->alloc, netns_fd, cookie);
	return reconcile_netns(netns_fd, cookie, presence->alloc);
}

/*
 * Drop the spaces of namespaces that no process lives in and in which we hold nothing.
 * One that is only pinned makes them anew when it is used again.
 */
static void drop_absent(struct alloc *alloc, const struct presence *presence)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];

		if (!space->netns || presence->is_there[number]) {
			alloc->absences[number] = 0;
			continue;
		}
		if (++alloc->absences[number] > 1 && alloc_space_is_idle(alloc, number))
			alloc_drop_space(alloc, number);
	}
}

void alloc_reconcile(struct alloc *alloc)
{
	struct presence presence = {.alloc = alloc};

	if (netns_visit(note_presence, &presence) > 0)
		drop_absent(alloc, &presence);
	alloc_reap_spaces(alloc);
	alloc_reap_users(alloc);
}

struct bound_search {
	uint64_t cookie;
	bool is_found;
};

static int find_cookie(const struct diag_socket *socket, void *arg)
{
	struct bound_search *search = arg;

	search->is_found |= socket->cookie == search->cookie;
	return search->is_found;
}

bool alloc_probe_bound(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct bound_search search = {0};
	socklen_t size = sizeof(search.cookie);

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) ||
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &search.cookie, &size))
		return false;
	sock_diag_visit(-1, IPPROTO_TCP, find_cookie, &search, NULL);
	return search.is_found;
}
