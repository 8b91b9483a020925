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

#define STATE_FIN_WAIT2 5
#define STATE_TIME_WAIT 6
#define TIME_WAIT_NS	64000000000ULL

/* Which ports the sockets of one namespace and protocol hold. */
struct holding {
	uint32_t since_ms; /* CLOCK_BOOTTIME when the listing began */
	bool is_held[PORTS];
	bool is_open[PORTS]; /* by more than TIME_WAIT, which our own closes leave too
			      */
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
	return 0;
}

/* Both protocols, TCP first. */
static int note_sockets(int netns_fd, struct holding *holding, struct fault *fault)
{
	int err;

	holding[0].since_ms = holding[1].since_ms = boot_ns() / 1000000;
	err = sock_diag_visit(netns_fd, IPPROTO_TCP, note_socket, &holding[0], fault);
	if (err >= 0)
		err = sock_diag_visit(netns_fd, IPPROTO_UDP, note_socket, &holding[1],
				      fault);
	return err;
}

/* "8080,9000-9100" as in ip_local_reserved_ports. */
static void note_reserved(int netns_fd, struct holding *reserved)
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
			reserved->is_open[from] = true;
		at = strchr(at, ',');
		if (at)
			at++;
	}
}

static struct port_record *record_of(struct alloc *alloc, const uint32_t *chunk,
				     unsigned int port)
{
	uint32_t number = chunk[port / ALLOC_CHUNK_SIZE];

	return number && number < ALLOC_CHUNKS
		       ? &alloc->chunks[number].records[port % ALLOC_CHUNK_SIZE]
		       : NULL;
}

/* One of ours let go of the port since the listing began, which may have met it. */
static bool is_just_closed(struct alloc *alloc, const struct alloc_space *space,
			   unsigned int port, const struct holding *holding)
{
	const struct port_record *record = record_of(alloc, space->chunk, port);

	return record && record->closed_ms &&
	       (int32_t)(record->closed_ms - holding->since_ms) >= -1;
}

/* Set aside the ports of the space that nobody of ours uses and that are held. */
static void set_aside(struct alloc *alloc, uint32_t number,
		      const struct holding *holding, uint32_t flags)
{
	const struct alloc_space *space = &alloc->spaces[number];
	struct alloc_ask ask = {
		.op = ALLOC_ASK_SET_ASIDE, .space = number, .flags = flags};

	for (unsigned int port = 1024; port < PORTS; port++) {
		if (!holding->is_open[port] || !port_map_has(&space->unused, port) ||
		    is_just_closed(alloc, space, port, holding))
			continue;
		ask.port = port;
		alloc_serve(alloc, &ask);
	}
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

static uint64_t destination_of(const struct alloc *alloc,
			       const struct diag_socket *socket)
{
	struct pick_key key;
	__u32 address[4];

	memcpy(&key, (const void *)&alloc->bpf->rodata->hash_key, sizeof(key));
	memcpy(address, socket->remote.bytes, sizeof(address));
	return pick_destination(key, address, htons(socket->remote_port)) | 1;
}

static int rest_socket(const struct diag_socket *socket, void *arg)
{
	const struct resting *resting = arg;
	struct alloc_ask ask = {.op = ALLOC_ASK_REST,
				.port = socket->local_port,
				.until_ns = resting->until_ns};

	if (!is_waiting(socket))
		return 0;
	ask.destination = destination_of(resting->alloc, socket);
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
	CLEANUP_FREE struct holding *reserved = calloc(1, sizeof(*reserved));
	int err;

	if (!held || !reserved)
		return fault_set(fault, -ENOMEM, "out of memory");
	err = note_sockets(netns_fd, held, fault);
	if (err < 0)
		return err;
	note_reserved(netns_fd, reserved);
	rest_what_waits(alloc, netns_fd, cookie);
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];

		if (space->netns != cookie)
			continue;
		set_aside(alloc, number, &held[space->protocol == IPPROTO_UDP], 0);
		set_aside(alloc, number, reserved, RECORD_RESERVED);
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
	if (!has_new_space(alloc, 0))
		return;
	netns_visit(list_if_new, alloc);
	/* A namespace without a process cannot be listed, now or later. */
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
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

	if (!record->holder)
		mark = (uint64_t)record->closed_ms << 32 |
		       (uint32_t)record->counts << 1 | 1;
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

/* One port of a space that is not unused: is it still right to keep it out? */
static void reconcile_port(struct alloc *alloc, uint32_t number, unsigned int port,
			   const struct holding *holding)
{
	struct alloc_space *space = &alloc->spaces[number];
	struct port_record *record = record_of(alloc, space->chunk, port);
	struct alloc_ask ask = {.space = number, .host = space->host, .port = port};
	bool is_used, is_aside, rests_alone;

	/* Of two pools that overlap, the one that took the port judges it. */
	if (!record || (record->flags & RECORD_RESERVED) ||
	    (record->counts && record->space != number &&
	     alloc->spaces[record->space].netns == space->netns))
		return;
	is_used = (uint32_t)record->counts;
	is_aside = (record->flags & RECORD_FOREIGN) || (!is_used && !record->holder);
	/* With sharing = never a rest holds the port. */
	rests_alone = alloc->pools[space->pool].sharing == ALLOC_SHARING_NEVER &&
		      !is_aside && !record->holder && record->counts >> 32;
	if (rests_alone || holding->is_open[port]) {
		clear_suspicion(alloc, space->host, port);
		return;
	}
	if (is_aside) {
		if (holding->is_held[port])
			return;
		ask.op = ALLOC_ASK_RETURN;
		alloc_serve(alloc, &ask);
		return;
	}
	/* Before Linux 6.8 a TCP socket that is bound and no more is not listed. */
	if ((record->flags & RECORD_EXCLUSIVE) && space->protocol == IPPROTO_TCP &&
	    !alloc->lists_bound)
		return;
	ask.op = ALLOC_ASK_FORGET;
	ask.holder = record->holder;
	ask.flags = record->closed_ms;
	if (is_suspected_again(alloc, space->host, port, record))
		alloc_serve(alloc, &ask);
}

static int reconcile_netns(int netns_fd, uint64_t cookie, void *arg)
{
	CLEANUP_FREE struct holding *held = NULL;
	struct alloc *alloc = arg;

	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];
		const struct port_map *members = &alloc->pools[space->pool].members;
		const struct holding *holding;

		if (space->netns != cookie || space->unused.count == members->count)
			continue;
		if (!held) {
			held = calloc(2, sizeof(*held));
			if (!held || note_sockets(netns_fd, held, NULL) < 0)
				return 0;
		}
		holding = &held[space->protocol == IPPROTO_UDP];
		for (unsigned int port = 1024; port < PORTS; port++)
			if (port_map_has(members, port) &&
			    !port_map_has(&space->unused, port))
				reconcile_port(alloc, number, port, holding);
		set_aside(alloc, number, holding, 0);
	}
	return 0;
}

/* Give back what the space set aside; its records serve other pools. */
static void return_aside(struct alloc *alloc, uint32_t number)
{
	struct alloc_space *space = &alloc->spaces[number];
	struct alloc_ask ask = {.op = ALLOC_ASK_RETURN, .space = number};

	for (ask.port = 1024; ask.port < PORTS; ask.port++) {
		struct port_record *record = record_of(alloc, space->chunk, ask.port);

		if (record && record->space == number &&
		    (record->flags & RECORD_FOREIGN))
			alloc_serve(alloc, &ask);
	}
}

void alloc_drop_space(struct alloc *alloc, uint32_t number)
{
	struct alloc_ask ask = {.op = ALLOC_ASK_DROP_SPACE, .space = number};

	return_aside(alloc, number);
	alloc_serve(alloc, &ask);
}

static bool is_idle(const struct alloc *alloc, const struct alloc_space *space)
{
	const struct port_map *members = &alloc->pools[space->pool].members;

	for (unsigned int port = 1024; port < PORTS; port++) {
		const struct port_record *record;

		if (!port_map_has(members, port) || port_map_has(&space->unused, port))
			continue;
		record = record_of((struct alloc *)alloc, space->chunk, port);
		if (record && record->counts && !(record->flags & RECORD_FOREIGN) &&
		    record->space == space - alloc->spaces)
			return false;
	}
	return true;
}

/* Free the numbers of dropped spaces that no port and no rest names any more. */
static void reap_dropped(struct alloc *alloc)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];

		if (!space->is_dropped || space->resting_count ||
		    !is_idle(alloc, space))
			continue;
		memset(space, 0, sizeof(*space));
		bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_spaces), NULL,
				    &number, BPF_ANY);
	}
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
		if (++alloc->absences[number] > 1 && is_idle(alloc, space))
			alloc_drop_space(alloc, number);
	}
}

void alloc_reconcile(struct alloc *alloc)
{
	struct presence presence = {.alloc = alloc};

	if (netns_visit(note_presence, &presence) > 0)
		drop_absent(alloc, &presence);
	reap_dropped(alloc);
}

bool alloc_pool_is_named(const struct alloc *alloc, uint32_t pool)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].pool == pool)
			return true;
	return false;
}

static bool has_space(const struct alloc *alloc, uint32_t host)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].host == host)
			return true;
	return false;
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

static bool has_lease(const struct alloc *alloc, const struct alloc_host *host)
{
	if (host->tuple_count)
		return true;
	for (int group = 0; group < ALLOC_GROUPS; group++) {
		const struct record_chunk *chunk = &alloc->chunks[host->chunk[group]];

		for (int i = 0; host->chunk[group] && i < ALLOC_CHUNK_SIZE; i++)
			if (chunk->records[i].counts &&
			    !(chunk->records[i].flags & RECORD_FOREIGN))
				return true;
	}
	return false;
}

static void free_host(struct alloc *alloc, uint32_t number)
{
	struct alloc_host *host = &alloc->hosts[number];
	struct alloc_host_key key = {.netns = host->netns, .protocol = host->protocol};

	bpf_map_delete_elem(bpf_map__fd(alloc->bpf->maps.host_ids), &key);
	for (int group = 0; group < ALLOC_GROUPS; group++) {
		uint32_t chunk = host->chunk[group];

		if (!chunk)
			continue;
		memset(&alloc->chunks[chunk], 0, sizeof(alloc->chunks[chunk]));
		bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_chunks), NULL,
				    &chunk, BPF_ANY);
	}
	free(alloc->suspects[number]);
	alloc->suspects[number] = NULL;
	memset(host, 0, sizeof(*host));
	bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_hosts), NULL, &number,
			    BPF_ANY);
}

void alloc_reap_hosts(struct alloc *alloc)
{
	for (uint32_t number = 1; number < ALLOC_HOSTS; number++)
		if (alloc->hosts[number].netns && !has_space(alloc, number) &&
		    !has_lease(alloc, &alloc->hosts[number]))
			free_host(alloc, number);
}
