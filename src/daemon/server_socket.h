/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* server_socket.h - the listening socket of the daemon, and who is at its other end. */
#ifndef DAEMON_SERVER_SOCKET_H
#define DAEMON_SERVER_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/fault.h"

struct server_peer {
	pid_t pid; /* 0: of another pid namespace */
	uid_t uid;
	bool may_read;
	bool may_change;
};

/* The descriptor, or a negative errno. A socket that nobody answers at is replaced. */
int server_socket_open(const char *path, struct fault *fault);

int server_socket_peer(int fd, struct server_peer *ret);

#endif /* DAEMON_SERVER_SOCKET_H */
