/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak_foreign.c - a program that binds ports of the pool by their number, as one that
 * knows nothing of srcport would, and listens on some or connects from them.
 *
 * It listens on one port in LISTENED_APART only, as such a port is not given again.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "soak.h"

#define SOCKETS	       16 /* open at once */
#define LISTENED_APART 25
#define PAUSE_US       500

struct socket {
	int fd; /* -1: none */
	int type;
	enum foreign where;
	uint16_t port;
	bool is_listening;
	atomic_uint *claim;
};

static void leave_cgroup(const char *path)
{
	char file[4096];
	FILE *procs = NULL;

	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	procs = fopen(file, "w");
	if (!procs || fprintf(procs, "%d\n", getpid()) < 0 || fflush(procs) != 0) {
		perror("soak: the foreigner's cgroup");
		_exit(1);
	}
}

static uint16_t any_port(const struct plan *plan, bool is_listener)
{
	uint16_t port = plan->from + random() % (plan->to - plan->from + 1);

	return is_listener ? port - port % LISTENED_APART : port;
}

static void make_local(enum foreign where, uint16_t port, struct endpoint *ret)
{
	static const char *const addresses[] = {"0.0.0.0", "127.0.0.1", "::", "::1"};
	char number[8];

	snprintf(number, sizeof(number), "%u", port);
	endpoint_parse(addresses[where], number, ret);
}

static void begin_to_listen(struct actor *actor, struct socket *socket)
{
	uint64_t now;

	if (listen(socket->fd, 4) < 0) {
		if (errno == EADDRINUSE)
			actor->counts->foreign_refused++;
		else
			actor_count_other(actor, "foreign listen", -errno);
		return;
	}
	now = soak_now();
	actor->counts->foreign_listens++;
	/* Another may listen at another address: the port is listened on since then. */
	socket->is_listening = !atomic_load(&actor->board->listening[socket->port]);
	if (socket->is_listening)
		actor->board->listening[socket->port] = now;
	if (!actor->board->listened[socket->port])
		actor->board->listened[socket->port] = now;
}

/* A connected UDP socket has one address. */
static void narrow(struct actor *actor, struct socket *socket, int family)
{
	if (socket->type != SOCK_DGRAM)
		return;
	actor_tell_udp(actor, socket->where, socket->port, -1);
	socket->where = family == AF_INET6 ? FOREIGN_LOOPBACK_V6 : FOREIGN_LOOPBACK_V4;
	actor_tell_udp(actor, socket->where, socket->port, 1);
}

/* From the port to a server, whoever else may have the tuple: the kernel decides. */
static void connect_from(struct actor *actor, struct socket *socket, int family)
{
	enum remote to = REMOTE_SERVER + random() % SERVERS +
			 (family == AF_INET6 ? 2 * SERVERS : 0);
	struct endpoint remote;
	int err;

	soak_remote(to, false, &remote);
	err = soak_connect(socket->fd, &remote);
	if (err == -EADDRNOTAVAIL || err == -EADDRINUSE)
		actor->counts->foreign_refused++;
	else if (err < 0)
		actor_count_other(actor, "foreign connect", err);
	else {
		actor->counts->foreign_connects++;
		actor_release(actor, socket->claim);
		socket->claim = actor_claim(actor, socket->fd, socket->type, to);
		narrow(actor, socket, family);
	}
}

static int open_any(struct actor *actor, struct socket *socket)
{
	bool is_listener = random() % 4 == 0;
	struct endpoint local;
	const int reuse = random() % 2;
	CLEANUP_CLOSE int fd = -1;

	socket->type = is_listener || random() % 2 ? SOCK_STREAM : SOCK_DGRAM;
	socket->port = any_port(actor->plan, is_listener);
	socket->where = random() % FOREIGN_COUNT;
	make_local(socket->where, socket->port, &local);
	fd = soak_socket(local.address.ss_family, socket->type);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
	if (bind(fd, (const struct sockaddr *)&local.address, local.length) < 0) {
		if (errno != EADDRINUSE)
			actor_count_other(actor, "foreign bind", -errno);
		actor->counts->foreign_refused++;
		return -1;
	}
	actor->counts->foreign_binds++;
	socket->fd = TAKE_FD(fd);
	if (socket->type == SOCK_DGRAM)
		actor_tell_udp(actor, socket->where, socket->port, 1);
	if (is_listener)
		begin_to_listen(actor, socket);
	else if (random() % 2)
		connect_from(actor, socket, local.address.ss_family);
	return 0;
}

static void close_one(struct actor *actor, struct socket *socket)
{
	if (socket->is_listening)
		actor->board->listening[socket->port] = 0;
	if (socket->type == SOCK_DGRAM)
		actor_tell_udp(actor, socket->where, socket->port, -1);
	actor_release(actor, socket->claim);
	close(socket->fd);
	*socket = (struct socket){.fd = -1};
}

void be_foreigner(const struct plan *plan, unsigned int number)
{
	struct socket sockets[SOCKETS];
	struct actor actor;

	if (number > CLIENTS)
		leave_cgroup(plan->foreign_cgroup);
	actor_init(&actor, plan, number);
	srandom(plan->seed + number);
	for (int i = 0; i < SOCKETS; i++)
		sockets[i] = (struct socket){.fd = -1};
	while (actor_goes_on(&actor)) {
		struct socket *socket = &sockets[random() % SOCKETS];

		if (socket->fd >= 0)
			close_one(&actor, socket);
		else
			open_any(&actor, socket);
		usleep(PAUSE_US);
	}
	for (int i = 0; i < SOCKETS; i++)
		if (sockets[i].fd >= 0)
			close_one(&actor, &sockets[i]);
	_exit(0);
}
