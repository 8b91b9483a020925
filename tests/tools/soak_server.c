/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak_server.c - the peers: TCP that is accepted, kept a while and closed by either
 * side first, and UDP that sends back what comes.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "soak.h"

#define KEPT_MOST 150 /* sessions that a server leaves open */

struct kept {
	int fds[KEPT_MOST];
	int count;
};

/* Never blocking: what poll() told of may be gone. */
static int open_server(const struct endpoint *local, int type)
{
	const int on = 1, large = 4 << 20;
	CLEANUP_CLOSE int fd = socket(local->address.ss_family,
				      type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
	if (bind(fd, (const struct sockaddr *)&local->address, local->length) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 4096) < 0))
		return -errno;
	return TAKE_FD(fd);
}

int listeners_open(int server, struct listeners *ret)
{
	for (int i = 0; i < SERVER_ADDRESSES; i++) {
		struct endpoint local;

		soak_remote(REMOTE_SERVER + i * SERVERS + server, false, &local);
		ret->tcp[i] = open_server(&local, SOCK_STREAM);
		ret->udp[i] = open_server(&local, SOCK_DGRAM);
		if (ret->tcp[i] < 0 || ret->udp[i] < 0)
			return ret->tcp[i] < 0 ? ret->tcp[i] : ret->udp[i];
	}
	return 0;
}

/* One of three is closed at once, and some of the others when there are many. */
static void accept_one(int listener, struct kept *kept)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (random() % 3 == 0)
		close(fd);
	else
		kept->fds[kept->count++] = fd;
	while (kept->count == KEPT_MOST ||
	       (kept->count > KEPT_MOST * 2 / 3 && random() % 8)) {
		int which = random() % kept->count;

		close(kept->fds[which]);
		kept->fds[which] = kept->fds[--kept->count];
	}
}

static void echo(int fd)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char datagram[64];
	ssize_t size = recvfrom(fd, datagram, sizeof(datagram), 0,
				(struct sockaddr *)&from, &length);

	if (size > 0)
		sendto(fd, datagram, size, 0, (struct sockaddr *)&from, length);
}

void be_server(const struct plan *plan, const struct listeners *listeners, int server)
{
	struct pollfd fds[2 * SERVER_ADDRESSES];
	struct kept kept = {0};

	srandom(plan->seed + CLIENTS + FOREIGNERS + server);
	for (int i = 0; i < SERVER_ADDRESSES; i++) {
		fds[i] = (struct pollfd){.fd = listeners->tcp[i], .events = POLLIN};
		fds[SERVER_ADDRESSES + i] =
			(struct pollfd){.fd = listeners->udp[i], .events = POLLIN};
	}
	for (;;) {
		poll(fds, 2 * SERVER_ADDRESSES, -1);
		for (int i = 0; i < SERVER_ADDRESSES; i++)
			if (fds[i].revents)
				accept_one(fds[i].fd, &kept);
		for (int i = SERVER_ADDRESSES; i < 2 * SERVER_ADDRESSES; i++)
			if (fds[i].revents)
				echo(fds[i].fd);
	}
}
