/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak_client.c - opens sockets of all kinds, keeps them for a while and closes them in
 * some way, or is killed. It looks at each port it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "soak.h"

#define SOCKETS	       60 /* open at once */
#define KILL_APART     20000
#define TRIES	       4
#define TRY_SECONDS    1
#define SERVER_REMOTES (SERVERS * SERVER_ADDRESSES)

/* TIME_WAIT fills the pool within seconds and lasts a minute: of each two minutes these
 * few have it, the others do not. */
#define ROUND_SECONDS 120
#define WAITS_FROM    1
#define WAITS_TO      3

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

struct held {
	int fd; /* -1: none */
	int type;
	bool can_talk; /* UDP to a server */
	atomic_uint *claim;
};

struct client {
	struct actor actor;
	uint64_t serial; /* of the last datagram */
	struct held held[SOCKETS];
};

static bool is_v4(enum remote remote)
{
	if (remote >= REMOTE_CLOSED_V4)
		return (remote - REMOTE_CLOSED_V4) % 2 == 0;
	return (remote - REMOTE_SERVER) / SERVERS < 2;
}

static enum remote any_server(void)
{
	return REMOTE_SERVER + random() % SERVER_REMOTES;
}

static enum remote any_v4_server(void)
{
	return REMOTE_SERVER + random() % (2 * SERVERS);
}

static void open_socket(struct held *held, int type, enum remote remote, bool is_mapped)
{
	int family = is_v4(remote) && !is_mapped ? AF_INET : AF_INET6;

	*held = (struct held){.fd = soak_socket(family, type), .type = type};
}

/* Told on stderr, as each is a fault or near to one. */
static void tell_unavailable(const struct held *held, bool had_port, enum remote remote)
{
	char local_text[ENDPOINT_TEXT_MAX] = "";
	struct endpoint local;

	if (endpoint_local(held->fd, &local) == 0)
		endpoint_format(&local, local_text);
	fprintf(stderr, "soak: no address at connect: %s from %s, %s, to peer %d\n",
		held->type == SOCK_STREAM ? "tcp" : "udp", local_text,
		had_port ? "its port" : "a new port", remote);
}

/* A port given since then by connect() or bind(). */
static void look_at_port(struct client *client, const struct held *held, uint64_t since)
{
	char local_text[ENDPOINT_TEXT_MAX] = "";
	uint16_t port = soak_port(held->fd);
	struct endpoint local;
	const struct plan *plan = client->actor.plan;
	struct counts *counts = client->actor.counts;
	uint64_t listening = client->actor.board->listening[port];
	uint64_t listened = client->actor.board->listened[port];

	if (port >= plan->except_from && port <= plan->except_to)
		counts->excepted++;
	if (held->type != SOCK_STREAM)
		return;
	if (listening && listening < since) {
		counts->listening++;
		if (endpoint_local(held->fd, &local) == 0)
			endpoint_format(&local, local_text);
		fprintf(stderr, "soak: listened on: %s\n", local_text);
	}
	if (listened && listened < since)
		counts->listened++;
}

static void note_connected(struct client *client, struct held *held, enum remote remote)
{
	actor_release(&client->actor, held->claim);
	held->claim = actor_claim(&client->actor, held->fd, held->type, remote);
	held->can_talk = held->type == SOCK_DGRAM && remote < REMOTE_CLOSED_V4;
}

static int connect_to(struct client *client, struct held *held, enum remote remote,
		      bool is_mapped)
{
	struct endpoint endpoint;
	int err;

	soak_remote(remote, is_mapped, &endpoint);
	err = soak_connect(held->fd, &endpoint);
	if (!err || err == -EINPROGRESS)
		note_connected(client, held, remote);
	if (!err || err == -EINPROGRESS || err == -ECONNREFUSED)
		client->actor.counts->sessions++;
	return err;
}

/* connect() succeeded, and the port was srcport's to choose. */
static void count_port(struct client *client, const struct held *held)
{
	struct counts *counts = client->actor.counts;

	counts->ordinary++;
	if (!soak_is_in_pool(client->actor.plan, soak_port(held->fd)))
		counts->outside++;
}

/* A port that the kernel gave is gone when connect() fails. */
static void count_failed(struct client *client, const struct held *held)
{
	if (!soak_is_in_pool(client->actor.plan, soak_port(held->fd)))
		client->actor.counts->failed_outside++;
}

/* Of a socket that did not fail before. */
static int first_connect(struct client *client, struct held *held, enum remote remote,
			 bool is_mapped)
{
	struct counts *counts = client->actor.counts;
	bool had_port = soak_port(held->fd) != 0;
	int err = connect_to(client, held, remote, is_mapped);

	counts->connects++;
	if (err < 0 && err != -EINPROGRESS && !had_port)
		count_failed(client, held);
	if (err == -EADDRNOTAVAIL) {
		counts->unavailable++;
		tell_unavailable(held, had_port, remote);
	} else if (err == -ECONNREFUSED) {
		counts->refused++;
	} else if (err == -EINPROGRESS) {
		counts->unanswered++;
	} else if (err == -ENETUNREACH) {
		counts->unreachable++;
	} else if (err < 0) {
		actor_count_other(&client->actor, "connect", err);
	}
	return err;
}

/* A socket that has its port already, and keeps it, unless the kernel gave it: that one
 * a refused TCP socket has no more, though it tells of it. */
static void connect_again(struct client *client, struct held *held, enum remote remote)
{
	struct counts *counts = client->actor.counts;
	uint16_t port = soak_port(held->fd);
	bool had_port = held->type == SOCK_STREAM
				? soak_is_in_pool(client->actor.plan, port)
				: port;
	int err = connect_to(client, held, remote, false);

	counts->again++;
	if (!had_port && err < 0)
		count_failed(client, held);
	else if (!had_port)
		count_port(client, held);
	if (err == -EADDRNOTAVAIL) {
		counts->again_unavailable++;
		tell_unavailable(held, had_port, remote);
	} else if (err < 0) {
		actor_count_other(&client->actor, "connect again", err);
	}
}

/* A connect() for which srcport chooses the port. */
static int ordinary_connect(struct client *client, struct held *held,
			    enum remote remote, bool is_mapped)
{
	uint64_t since = soak_now();
	int err = first_connect(client, held, remote, is_mapped);

	if (err < 0 && err != -EINPROGRESS)
		return err;
	count_port(client, held);
	look_at_port(client, held, since);
	return err;
}

static void open_ordinary(struct client *client, struct held *held, int type)
{
	enum remote remote = any_server();

	open_socket(held, type, remote, false);
	ordinary_connect(client, held, remote, false);
}

static void open_mapped(struct client *client, struct held *held)
{
	enum remote remote = any_v4_server();

	open_socket(held, random() % 2 ? SOCK_STREAM : SOCK_DGRAM, remote, true);
	ordinary_connect(client, held, remote, true);
}

static void open_unreachable(struct client *client, struct held *held)
{
	enum remote remote = random() % 2 ? REMOTE_NOWHERE_V4 : REMOTE_NOWHERE_V6;

	open_socket(held, SOCK_STREAM, remote, false);
	first_connect(client, held, remote, false);
}

/* Stays in SYN_SENT until it is closed. */
static void open_unanswered(struct client *client, struct held *held)
{
	enum remote remote = random() % 2 ? REMOTE_SILENT_V4 : REMOTE_SILENT_V6;

	open_socket(held, SOCK_STREAM, remote, false);
	fcntl(held->fd, F_SETFL, O_NONBLOCK);
	ordinary_connect(client, held, remote, false);
}

static void open_refused(struct client *client, struct held *held)
{
	bool is_v6 = random() % 2;
	enum remote closed = is_v6 ? REMOTE_CLOSED_V6 : REMOTE_CLOSED_V4;

	open_socket(held, SOCK_STREAM, closed, false);
	if (first_connect(client, held, closed, false) == -ECONNREFUSED && random() % 2)
		connect_again(client, held, REMOTE_SERVER + (is_v6 ? 2 * SERVERS : 0));
}

/* A connected socket turns to another peer: a second session. */
static void open_turning(struct client *client, struct held *held)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
	long which = random();
	enum remote one = REMOTE_SERVER + which % SERVERS;
	enum remote other = REMOTE_SERVER + (which + 1) % SERVERS;

	open_socket(held, SOCK_DGRAM, one, false);
	if (ordinary_connect(client, held, one, false) < 0)
		return;
	if (random() % 2) {
		actor_release(&client->actor, TAKE(held->claim));
		connect(held->fd, &nobody, sizeof(nobody));
	}
	connect_again(client, held, other);
}

static int bind_to(struct client *client, struct held *held, const char *address)
{
	struct counts *counts = client->actor.counts;
	uint64_t since = soak_now();
	struct endpoint local;
	uint16_t port;

	endpoint_parse(address, "0", &local);
	if (bind(held->fd, (struct sockaddr *)&local.address, local.length) < 0) {
		client->actor.counts->binds_failed++;
		fprintf(stderr, "soak: bind %s to %s: %s\n",
			held->type == SOCK_STREAM ? "tcp" : "udp", address,
			strerror(errno));
		return -1;
	}
	port = soak_port(held->fd);
	if (!port) /* at connect() */
		return 0;
	if (!soak_is_in_pool(client->actor.plan, port))
		counts->binds_outside++;
	look_at_port(client, held, since);
	held->claim = actor_claim(&client->actor, held->fd, held->type, REMOTE_NONE);
	return 0;
}

/* bind() to port 0, of any address or one of several; then a connection or a listener.
 */
static void open_bound(struct client *client, struct held *held, int type)
{
	static const char *const locals[] = {"0.0.0.0", "127.0.0.1", "127.0.0.2",
					     "127.0.0.3"};
	bool is_v6 = random() % 4 == 0;
	enum remote remote =
		REMOTE_SERVER + random() % SERVERS + (is_v6 ? 2 * SERVERS : 0);
	struct counts *counts = client->actor.counts;

	open_socket(held, type, remote, false);
	counts->binds++;
	if (bind_to(client, held, is_v6 ? "::1" : locals[random() % 4]) < 0)
		return;
	if (random() % 2)
		first_connect(client, held, remote, false);
	else if (type == SOCK_STREAM && listen(held->fd, 4) < 0)
		actor_count_other(&client->actor, "listen", -errno);
}

/* From one of several addresses, the port left to connect(). */
static void open_from(struct client *client, struct held *held, int type)
{
	static const char *const locals[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
	enum remote remote = REMOTE_SERVER + random() % SERVERS;
	const int on = 1;

	open_socket(held, type, remote, false);
	setsockopt(held->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind_to(client, held, locals[random() % 3]) == 0)
		ordinary_connect(client, held, remote, false);
}

static void open_any(struct client *client, struct held *held)
{
	int type = random() % 2 ? SOCK_STREAM : SOCK_DGRAM;
	long kind = random() % 24;

	if (kind < 10)
		open_ordinary(client, held, SOCK_STREAM);
	else if (kind < 12)
		open_refused(client, held);
	else if (kind < 13)
		open_unreachable(client, held);
	else if (kind < 14)
		open_unanswered(client, held);
	else if (kind < 18)
		open_ordinary(client, held, SOCK_DGRAM);
	else if (kind < 20)
		open_bound(client, held, type);
	else if (kind < 22)
		open_from(client, held, type);
	else if (kind == 22)
		open_mapped(client, held);
	else
		open_turning(client, held);
}

/* Each is counted; one whose answer another socket took is not answered. */
static void talk(struct client *client, const struct held *held)
{
	const struct timeval wait = {.tv_sec = TRY_SECONDS};
	uint64_t first = client->serial + 1, said, heard;

	setsockopt(held->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (int i = 0; i < TRIES; i++) {
		client->serial++;
		said = (uint64_t)client->actor.holder << 32 | client->serial;
		if (send(held->fd, &said, sizeof(said), 0) < 0 ||
		    recv(held->fd, &heard, sizeof(heard), 0) != sizeof(heard))
			continue;
		if (heard >> 32 == said >> 32 && (uint32_t)heard >= first &&
		    heard <= said)
			client->actor.counts->echoes++;
		else
			client->actor.counts->echoes_wrong++;
		return;
	}
	client->actor.counts->echoes_lost++;
}

static bool may_wait(const struct client *client)
{
	time_t passed = soak_now() / 1000000000 - client->actor.plan->start;

	passed %= ROUND_SECONDS;
	return passed >= WAITS_FROM && passed < WAITS_TO;
}

static void close_somehow(struct client *client, struct held *held)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (held->can_talk && random() % 2)
		talk(client, held);
	if (!may_wait(client) || random() % 3 == 0)
		setsockopt(held->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	actor_release(&client->actor, held->claim);
	close(held->fd);
	held->fd = -1;
}

/* With all that it has. */
static void die(struct client *client)
{
	client->actor.counts->kills++;
	actor_dies(&client->actor);
	kill(getpid(), SIGKILL);
}

/* Each socket that has a port in the pool, for the judge: "holds PROTOCOL PORT". */
static void print_held(const struct client *client)
{
	for (int i = 0; i < SOCKETS; i++) {
		const struct held *held = &client->held[i];
		uint16_t port = held->fd < 0 ? 0 : soak_port(held->fd);
		char line[32];
		int length = snprintf(line, sizeof(line), "holds %s %u\n",
				      held->type == SOCK_STREAM ? "tcp" : "udp", port);

		if (soak_is_in_pool(client->actor.plan, port) &&
		    write(STDOUT_FILENO, line, length) != length)
			_exit(1);
	}
}

void be_client(const struct plan *plan, unsigned int number)
{
	struct client client = {0};

	actor_init(&client.actor, plan, number);
	srandom(plan->seed + number + client.actor.holder);
	for (int i = 0; i < SOCKETS; i++)
		client.held[i].fd = -1;
	while (actor_goes_on(&client.actor)) {
		struct held *held = &client.held[random() % SOCKETS];

		if (random() % KILL_APART == 0)
			die(&client);
		else if (held->fd >= 0)
			close_somehow(&client, held);
		else
			open_any(&client, held);
	}
	print_held(&client);
	atomic_fetch_add(&plan->board->resting, 1);
	for (;;)
		pause();
}
