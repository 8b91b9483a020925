/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * connector - open sessions and say what getsockname(2) says of them.
 *
 * One line a session on stdout: source address, source port, destination address,
 * destination port. The exit status is 1 when any connect() failed.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static const char usage[] = "usage: connector [-t tcp|udp] [-n COUNT] [-c CHURN] [-k] "
			    "[-e] [-w] ADDRESS PORT...\n"
			    "  -n  sessions to each PORT, held until the end (1)\n"
			    "  -c  then close a random one and open another, so often\n"
			    "  -k  close each session at once instead of holding it\n"
			    "  -e  send a line on each session and wait for the echo\n"
			    "  -f  close in order (FIN), not by reset\n"
			    "  -w  when all is printed, print \"ready\" and wait until "
			    "standard input ends\n";

struct plan {
	int type;
	long count;
	long churn;
	bool close_at_once;
	bool echo;
	bool close_in_order;
	bool wait;
};

struct held_session {
	int fd;
	const struct endpoint *remote;
};

struct held {
	struct held_session *sessions;
	size_t count;
	long failed;
	int error; /* the first that failed */
};

/* Send a line and read it back: 0, or a negative errno. */
static int exchange(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};
	char line[] = "hello\n", reply[sizeof(line)];
	int error = 0;
	socklen_t size = sizeof(error);

	if (poll(&ready, 1, 5000) != 1)
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error)
		return -error;
	if (send(fd, line, sizeof(line) - 1, MSG_NOSIGNAL) < 0)
		return -errno;
	ready.events = POLLIN;
	if (poll(&ready, 1, 5000) != 1)
		return -ETIMEDOUT;
	return recv(fd, reply, sizeof(reply), 0) > 0 ? 0 : -EPIPE;
}

static int print_session(int fd, const struct endpoint *remote)
{
	struct endpoint local;
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	int err = endpoint_local(fd, &local);

	if (err < 0)
		return err;
	printf("%s %s\n", endpoint_format(&local, from), endpoint_format(remote, to));
	return 0;
}

/* Open, print and, where asked, talk. The descriptor or a negative errno. */
static int open_one(const struct plan *plan, const struct endpoint *remote)
{
	const struct linger in_order = {0};
	int fd = endpoint_open(remote, plan->type), err;

	if (fd < 0)
		return fd;
	if (plan->close_in_order)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &in_order, sizeof(in_order));
	err = print_session(fd, remote);
	if (err == 0 && plan->echo)
		err = exchange(fd);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

static void note_failure(struct held *held, int err)
{
	if (held->failed++ == 0)
		held->error = -err;
}

static void fill(const struct plan *plan, const struct endpoint *remote,
		 struct held *held)
{
	for (long i = 0; i < plan->count; i++) {
		int fd = open_one(plan, remote);

		if (fd < 0)
			note_failure(held, fd);
		if (fd >= 0 && plan->close_at_once)
			close(fd);
		else
			held->sessions[held->count++] =
				(struct held_session){.fd = fd, .remote = remote};
	}
}

/* The destination of a churned session is that of the one it replaces; one that failed
 * is tried again when its turn comes. */
static void churn(const struct plan *plan, struct held *held)
{
	for (long i = 0; i < plan->churn && held->count; i++) {
		struct held_session *victim =
			&held->sessions[(size_t)random() % held->count];

		if (victim->fd >= 0)
			close(victim->fd);
		victim->fd = open_one(plan, victim->remote);
		if (victim->fd < 0)
			note_failure(held, victim->fd);
	}
}

static void wait_for_end_of_input(void)
{
	char byte;

	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static int parse_options(int argc, char **argv, struct plan *plan)
{
	int option;

	while ((option = getopt(argc, argv, "t:n:c:kefw")) != -1) {
		switch (option) {
		case 't':
			if (endpoint_type_parse(optarg, &plan->type) < 0)
				return -EINVAL;
			break;
		case 'n':
			plan->count = atol(optarg);
			break;
		case 'c':
			plan->churn = atol(optarg);
			break;
		case 'k':
			plan->close_at_once = true;
			break;
		case 'e':
			plan->echo = true;
			break;
		case 'f':
			plan->close_in_order = true;
			break;
		case 'w':
			plan->wait = true;
			break;
		default:
			return -EINVAL;
		}
	}
	return argc - optind >= 2 && plan->count > 0 ? 0 : -EINVAL;
}

static int parse_remotes(char **argv, int count, struct endpoint *remotes)
{
	for (int i = 0; i < count; i++) {
		int err = endpoint_parse(argv[0], argv[i + 1], &remotes[i]);

		if (err < 0) {
			fprintf(stderr, "connector: %s %s: not an address and port\n",
				argv[0], argv[i + 1]);
			return err;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct plan plan = {.type = SOCK_STREAM, .count = 1};
	struct held held = {0};
	CLEANUP_FREE struct held_session *sessions = NULL;
	CLEANUP_FREE struct endpoint *remotes = NULL;
	int remote_count;

	if (parse_options(argc, argv, &plan) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	endpoint_raise_limit();
	remote_count = argc - optind - 1;
	remotes = calloc(remote_count, sizeof(*remotes));
	sessions = calloc((size_t)plan.count * remote_count, sizeof(*sessions));
	if (!remotes || !sessions ||
	    parse_remotes(argv + optind, remote_count, remotes) < 0)
		return 2;
	held.sessions = sessions;
	for (int i = 0; i < remote_count; i++)
		fill(&plan, &remotes[i], &held);
	churn(&plan, &held);
	if (plan.wait)
		wait_for_end_of_input();
	if (!held.failed)
		return 0;
	fprintf(stderr, "connector: %ld failed: %s\n", held.failed,
		strerror(held.error));
	return 1;
}
