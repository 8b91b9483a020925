/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * sink - a TCP server on several ports that keeps what it accepts until the client
 * closes (or closes first, or echoes). Prints "ready" once it listens.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static const char usage[] = "usage: sink [-c | -e] ADDRESS PORT...\n"
			    "  -c  close each session as soon as it is accepted\n"
			    "  -e  send back what comes\n";

enum manner {
	KEEP,
	CLOSE,
	ECHO,
};

/* Listening sockets are marked in the event by this bit above the descriptor. */
#define IS_LISTENER (1ULL << 32)

static int watch(int epoll, int fd, uint64_t mark)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint32_t)fd | mark};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int listen_on(int epoll, const char *address, const char *port)
{
	const int on = 1;
	struct endpoint local;
	CLEANUP_CLOSE int fd = -1;
	int err = endpoint_parse(address, port, &local);

	if (err < 0)
		return err;
	fd = socket(local.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&local.address, local.length) < 0 ||
	    listen(fd, 4096) < 0)
		return -errno;
	err = watch(epoll, fd, IS_LISTENER);
	if (err < 0)
		return err;
	TAKE_FD(fd); /* lives as long as the program */
	return 0;
}

static void accept_all(int epoll, int listener, enum manner manner)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		if (manner == CLOSE || watch(epoll, fd, 0) < 0)
			close(fd);
	}
}

static void serve(int fd, enum manner manner)
{
	char buffer[4096];
	ssize_t length = recv(fd, buffer, sizeof(buffer), 0);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length > 0 && manner == ECHO)
		length = send(fd, buffer, length, MSG_NOSIGNAL);
	if (length <= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	enum manner manner = KEEP;
	int option, epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[256];

	while ((option = getopt(argc, argv, "ce")) != -1)
		manner = option == 'c' ? CLOSE : option == 'e' ? ECHO : manner;
	if (argc - optind < 2 || epoll < 0) {
		fputs(usage, stderr);
		return 2;
	}
	endpoint_raise_limit();
	for (int i = optind + 1; i < argc; i++) {
		int err = listen_on(epoll, argv[optind], argv[i]);

		if (err < 0) {
			fprintf(stderr, "sink: %s %s: %s\n", argv[optind], argv[i],
				strerror(-err));
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			int fd = (int)(uint32_t)events[i].data.u64;

			if (events[i].data.u64 & IS_LISTENER)
				accept_all(epoll, fd, manner);
			else
				serve(fd, manner);
		}
	}
}
