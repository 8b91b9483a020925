/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak - four processes that open and close sockets of all kinds, as fast as they can,
 * to three servers on 127.0.0.1: TCP and UDP, after bind() to port 0, refused and again
 * on the same descriptor, without a route, from IPv6 sockets; closed in order or by
 * reset, by either side. Prints the seed, then what happened as "NAME NUMBER" lines.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static const char usage[] =
	"usage: soak [-n COUNT] [-s SEED] SECONDS FROM TO\n"
	"  -n  no more than COUNT operations by each process\n"
	"  -s  the same operations as the run that printed this seed\n"
	"FROM and TO are the first and last port of the pool.\n";

#define SERVERS	     3
#define CLIENTS	     4
#define FIRST_PORT   7100
#define CLOSED_PORT  1
#define SOCKETS	     60	 /* open at once in a client */
#define KEPT_MOST    150 /* sessions that a server leaves open */
#define WAIT_SECONDS 5	 /* for one connect(), and for clients after the end */

struct counts {
	long operations;
	long sessions;	  /* that the ledger must have */
	long connects;	  /* of descriptors that were not refused before */
	long unavailable; /* of these, failed with EADDRNOTAVAIL */
	long again;	  /* connects of descriptors that were refused before */
	long again_unavailable;
	long unreachable;
	long binds;
	long binds_failed;
	long binds_outside; /* given a port that is not from the pool */
	long ordinary;	    /* connected without a bind() */
	long outside;	    /* of these, not from the pool */
	long others;	    /* failed otherwise */
};

struct plan {
	time_t end;
	long operations;
	unsigned int seed;
	uint16_t from, to; /* the pool */
	struct counts *counts;
};

struct client {
	const struct plan *plan;
	struct counts *counts;
	int sockets[SOCKETS]; /* -1: none */
};

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

static struct endpoint host(const char *address, uint16_t port)
{
	struct endpoint endpoint = {0};
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	endpoint_parse(address, text, &endpoint); /* ours are all well formed */
	return endpoint;
}

static struct endpoint server(long which)
{
	return host("127.0.0.1", FIRST_PORT + which % SERVERS);
}

/* Blocking, but not for ever. */
static int open_socket(int family, int type)
{
	const struct timeval wait = {.tv_sec = WAIT_SECONDS};
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("soak: socket");
		_exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

static int try_connect(int fd, const struct endpoint *remote)
{
	const struct sockaddr *address = (const struct sockaddr *)&remote->address;

	return connect(fd, address, remote->length) < 0 ? -errno : 0;
}

static void count_other(struct client *client, const char *call, int err)
{
	client->counts->others++;
	fprintf(stderr, "soak: %s: %s\n", call, strerror(-err));
}

/* 0: none. */
static uint16_t local_port(int fd)
{
	struct endpoint local;

	return endpoint_local(fd, &local) < 0 ? 0 : endpoint_port(&local);
}

static bool is_in_pool(const struct plan *plan, uint16_t port)
{
	return port >= plan->from && port <= plan->to;
}

/* Told on stderr, as each is a fault or near to one. */
static void count_unavailable(struct client *client, int fd)
{
	uint16_t port = local_port(fd);
	int type = 0;
	socklen_t length = sizeof(type);

	client->counts->unavailable++;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	fprintf(stderr, "soak: no address: %s with %s port\n",
		type == SOCK_STREAM ? "tcp" : "udp",
		!port				 ? "no"
		: is_in_pool(client->plan, port) ? "a pool's"
						 : "another");
}

static int first_connect(struct client *client, int fd, const struct endpoint *remote)
{
	int err = try_connect(fd, remote);

	client->counts->connects++;
	if (!err || err == -ECONNREFUSED)
		client->counts->sessions++;
	else if (err == -EADDRNOTAVAIL)
		count_unavailable(client, fd);
	else if (err == -ENETUNREACH)
		client->counts->unreachable++;
	else
		count_other(client, "connect", err);
	return err;
}

/* A connect() for which srcport chooses the port. */
static void ordinary_connect(struct client *client, int fd,
			     const struct endpoint *remote)
{
	if (first_connect(client, fd, remote) < 0)
		return;
	client->counts->ordinary++;
	if (!is_in_pool(client->plan, local_port(fd)))
		client->counts->outside++;
}

static int open_ordinary(struct client *client, int type)
{
	struct endpoint remote = server(random());
	int fd = open_socket(AF_INET, type);

	ordinary_connect(client, fd, &remote);
	return fd;
}

static int open_mapped(struct client *client)
{
	struct endpoint remote =
		host("::ffff:127.0.0.1", FIRST_PORT + random() % SERVERS);
	int fd = open_socket(AF_INET6, SOCK_STREAM);

	ordinary_connect(client, fd, &remote);
	return fd;
}

static int open_unreachable(struct client *client)
{
	struct endpoint remote = host("192.0.2.1", FIRST_PORT);
	int fd = open_socket(AF_INET, SOCK_STREAM);

	first_connect(client, fd, &remote);
	return fd;
}

static int open_refused(struct client *client)
{
	struct endpoint closed = host("127.0.0.1", CLOSED_PORT), open = server(0);
	int fd = open_socket(AF_INET, SOCK_STREAM), err;

	if (first_connect(client, fd, &closed) != -ECONNREFUSED)
		return fd;
	err = try_connect(fd, &open);
	client->counts->again++;
	if (!err)
		client->counts->sessions++;
	else if (err == -EADDRNOTAVAIL)
		client->counts->again_unavailable++;
	else
		count_other(client, "connect again", err);
	return fd;
}

/* A connected UDP socket turns to another peer: a second session. */
static int open_turning(struct client *client)
{
	long which = random();
	struct endpoint one = server(which), other = server(which % SERVERS + 1);
	int fd = open_socket(AF_INET, SOCK_DGRAM);

	ordinary_connect(client, fd, &one);
	first_connect(client, fd, &other);
	return fd;
}

static int open_bound(struct client *client, int type)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	struct endpoint remote = server(random());
	int fd = open_socket(AF_INET, type);

	client->counts->binds++;
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0) {
		client->counts->binds_failed++;
		return fd;
	}
	if (!is_in_pool(client->plan, local_port(fd)))
		client->counts->binds_outside++;
	if (random() % 2)
		first_connect(client, fd, &remote);
	else if (type == SOCK_STREAM && listen(fd, 4) < 0)
		count_other(client, "listen", -errno);
	return fd;
}

static int open_any(struct client *client)
{
	long kind = random() % 20;

	if (kind < 10)
		return open_ordinary(client, SOCK_STREAM);
	if (kind < 12)
		return open_refused(client);
	if (kind < 13)
		return open_unreachable(client);
	if (kind < 16)
		return open_ordinary(client, SOCK_DGRAM);
	if (kind < 18)
		return open_bound(client, kind == 16 ? SOCK_DGRAM : SOCK_STREAM);
	return kind == 18 ? open_mapped(client) : open_turning(client);
}

static void close_somehow(int fd)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (random() % 3 == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void be_client(const struct plan *plan, int number)
{
	struct client client = {.plan = plan, .counts = &plan->counts[number]};

	srandom(plan->seed + number);
	for (int i = 0; i < SOCKETS; i++)
		client.sockets[i] = -1;
	while (client.counts->operations < plan->operations && now() < plan->end) {
		int *fd = &client.sockets[random() % SOCKETS];

		client.counts->operations++;
		if (*fd >= 0)
			close_somehow(TAKE_FD(*fd));
		else
			*fd = open_any(&client);
	}
}

static int listen_on(const struct endpoint *local)
{
	const int on = 1;
	CLEANUP_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&local->address, local->length) < 0 ||
	    listen(fd, 4096) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Closes one of three at once, and some of the others when it has many. */
static void be_server(const struct plan *plan, int listener)
{
	int kept[KEPT_MOST], count = 0;

	srandom(plan->seed + CLIENTS + listener);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (random() % 3 == 0)
			close(fd);
		else
			kept[count++] = fd;
		while (count == KEPT_MOST ||
		       (count > KEPT_MOST * 2 / 3 && random() % 8)) {
			int which = random() % count;

			close(kept[which]);
			kept[which] = kept[--count];
		}
	}
}

/* 0 in the child, which does not outlive us. */
static pid_t start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		perror("soak: fork");
		exit(1);
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static void start_servers(const struct plan *plan, pid_t *ret_pids)
{
	for (int i = 0; i < SERVERS; i++) {
		struct endpoint local = server(i);
		CLEANUP_CLOSE int listener = listen_on(&local);

		if (listener < 0) {
			fprintf(stderr, "soak: listen: %s\n", strerror(-listener));
			exit(1);
		}
		ret_pids[i] = start();
		if (!ret_pids[i])
			be_server(plan, listener);
	}
}

static void start_clients(const struct plan *plan, pid_t *ret_pids)
{
	for (int i = 0; i < CLIENTS; i++) {
		ret_pids[i] = start();
		if (!ret_pids[i]) {
			be_client(plan, i);
			_exit(0);
		}
	}
}

/* False where the client did not end by itself, in time and well. */
static bool wait_for(pid_t pid, time_t until)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() >= until) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return false;
		}
		nanosleep(&moment, NULL);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void print_sum(const struct counts *counts, const char *name, size_t offset)
{
	long sum = 0;

	for (int i = 0; i < CLIENTS; i++)
		sum += *(const long *)((const char *)&counts[i] + offset);
	printf("%s %ld\n", name, sum);
}

#define PRINT_SUM(counts, name) print_sum(counts, #name, offsetof(struct counts, name))

static void print_counts(const struct counts *counts)
{
	PRINT_SUM(counts, operations);
	PRINT_SUM(counts, sessions);
	PRINT_SUM(counts, connects);
	PRINT_SUM(counts, unavailable);
	PRINT_SUM(counts, again);
	PRINT_SUM(counts, again_unavailable);
	PRINT_SUM(counts, unreachable);
	PRINT_SUM(counts, binds);
	PRINT_SUM(counts, binds_failed);
	PRINT_SUM(counts, binds_outside);
	PRINT_SUM(counts, ordinary);
	PRINT_SUM(counts, outside);
	PRINT_SUM(counts, others);
}

static int run(const struct plan *plan)
{
	pid_t servers[SERVERS], clients[CLIENTS];
	bool is_well = true;

	start_servers(plan, servers);
	start_clients(plan, clients);
	for (int i = 0; i < CLIENTS; i++)
		is_well &= wait_for(clients[i], plan->end + 2 * WAIT_SECONDS);
	for (int i = 0; i < SERVERS; i++) {
		kill(servers[i], SIGKILL);
		waitpid(servers[i], NULL, 0);
	}
	print_counts(plan->counts);
	if (!is_well)
		fputs("soak: a client did not end well\n", stderr);
	return is_well ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct plan plan = {.operations = 1000000, .seed = time(NULL) ^ getpid()};
	int option;

	while ((option = getopt(argc, argv, "n:s:")) != -1) {
		if (option == 'n')
			plan.operations = atol(optarg);
		else if (option == 's')
			plan.seed = strtoul(optarg, NULL, 10);
		else
			optind = argc;
	}
	if (argc - optind != 3) {
		fputs(usage, stderr);
		return 2;
	}
	plan.end = now() + atol(argv[optind]);
	plan.from = atoi(argv[optind + 1]);
	plan.to = atoi(argv[optind + 2]);
	plan.counts = mmap(NULL, CLIENTS * sizeof(*plan.counts), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan.counts == MAP_FAILED) {
		perror("soak: mmap");
		return 1;
	}
	printf("seed %u\n", plan.seed);
	fflush(stdout);
	return run(&plan);
}
