/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* shape_step.c - one step, mostly one system call. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"
#include "shape.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3 */
#endif

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define PATIENCE_MS 5000

static void take_socket(struct shape *shape, int fd)
{
	shape->other = shape->fd;
	shape->fd = fd;
}

static int step_socket(struct shape *shape, char **words)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} kinds[] = {
		{"tcp4", AF_INET, SOCK_STREAM, 0},
		{"tcp6", AF_INET6, SOCK_STREAM, 0},
		{"udp4", AF_INET, SOCK_DGRAM, 0},
		{"udp6", AF_INET6, SOCK_DGRAM, 0},
		{"mptcp4", AF_INET, SOCK_STREAM, IPPROTO_MPTCP},
		{"mptcp6", AF_INET6, SOCK_STREAM, IPPROTO_MPTCP},
	};
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd;

		if (strcmp(kinds[i].name, words[1]))
			continue;
		fd = socket(kinds[i].family,
			    kinds[i].type | SOCK_NONBLOCK | SOCK_CLOEXEC,
			    kinds[i].protocol);
		if (fd < 0)
			return -errno;
		if (kinds[i].type == SOCK_STREAM)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		take_socket(shape, fd);
		return 0;
	}
	return -EINVAL;
}

struct option {
	const char *name;
	int level, number;
};

static const struct option options[] = {
	{"reuseaddr", SOL_SOCKET, SO_REUSEADDR},
	{"reuseport", SOL_SOCKET, SO_REUSEPORT},
	{"noport", IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
	{"v6only", IPPROTO_IPV6, IPV6_V6ONLY},
	{"fastopen", IPPROTO_TCP, TCP_FASTOPEN},
	{"fastopen-connect", IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
	{"range", IPPROTO_IP, IP_LOCAL_PORT_RANGE},
};

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

/* "51000-51999" as IP_LOCAL_PORT_RANGE has it: the last port in the upper half. */
static unsigned int option_value(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *end == '-' ? value | strtoul(end + 1, NULL, 10) << 16 : value;
}

static int step_set(struct shape *shape, char **words)
{
	const struct option *option = find_option(words[1]);
	unsigned int value = option_value(words[2]);

	if (!option)
		return -EINVAL;
	return setsockopt(shape->fd, option->level, option->number, &value,
			  sizeof(value)) < 0
		       ? -errno
		       : 0;
}

static int step_get(struct shape *shape, char **words)
{
	const struct option *option = find_option(words[1]);
	int value;
	socklen_t size = sizeof(value);

	if (!option)
		return -EINVAL;
	if (getsockopt(shape->fd, option->level, option->number, &value, &size) < 0)
		return -errno;
	printf("get %s %d\n", words[1], value);
	return 0;
}

static int step_cookie(struct shape *shape, char **words)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	(void)words;
	if (getsockopt(shape->fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return -errno;
	printf("cookie %llu\n", (unsigned long long)cookie);
	return 0;
}

static int step_device(struct shape *shape, char **words)
{
	return setsockopt(shape->fd, SOL_SOCKET, SO_BINDTODEVICE, words[1],
			  strlen(words[1])) < 0
		       ? -errno
		       : 0;
}

static int step_bind(struct shape *shape, char **words)
{
	struct endpoint local;
	int err = endpoint_parse(words[1], words[2], &local);

	if (err < 0)
		return err;
	return bind(shape->fd, (const struct sockaddr *)&local.address, local.length) <
			       0
		       ? -errno
		       : 0;
}

static int step_block(struct shape *shape, char **words)
{
	(void)words;
	return fcntl(shape->fd, F_SETFL, 0) < 0 ? -errno : 0;
}

static int step_connect(struct shape *shape, char **words)
{
	struct endpoint remote;
	int err = endpoint_parse(words[1], words[2], &remote);

	return err < 0 ? err : endpoint_connect(shape->fd, &remote);
}

static int step_fastopen(struct shape *shape, char **words)
{
	struct endpoint remote;
	int err = endpoint_parse(words[1], words[2], &remote);

	if (err < 0)
		return err;
	return sendto(shape->fd, "hello\n", 6, MSG_FASTOPEN | MSG_NOSIGNAL,
		      (const struct sockaddr *)&remote.address, remote.length) < 0 &&
			       errno != EINPROGRESS
		       ? -errno
		       : 0;
}

static int step_disconnect(struct shape *shape, char **words)
{
	const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	(void)words;
	return connect(shape->fd, &nobody, sizeof(nobody)) < 0 ? -errno : 0;
}

static int step_established(struct shape *shape, char **words)
{
	struct pollfd ready = {.fd = shape->fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof(error);

	(void)words;
	if (poll(&ready, 1, PATIENCE_MS) != 1)
		return -ETIMEDOUT;
	getsockopt(shape->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return -error;
}

/* Data too: with fast open it is what makes a connection. */
static int step_send(struct shape *shape, char **words)
{
	(void)words;
	return send(shape->fd, "hello\n", 6, MSG_NOSIGNAL) < 0 && errno != EINPROGRESS
		       ? -errno
		       : 0;
}

static int step_listen(struct shape *shape, char **words)
{
	(void)words;
	return listen(shape->fd, 100) < 0 ? -errno : 0;
}

static int step_accept(struct shape *shape, char **words)
{
	struct pollfd ready = {.fd = shape->fd, .events = POLLIN};
	int fd;

	(void)words;
	if (poll(&ready, 1, PATIENCE_MS) != 1)
		return -ETIMEDOUT;
	fd = accept4(shape->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	take_socket(shape, fd);
	return 0;
}

static int step_name(struct shape *shape, char **words)
{
	struct endpoint local;
	char text[ENDPOINT_TEXT_MAX];
	int err = endpoint_local(shape->fd, &local);

	(void)words;
	if (err < 0)
		return err;
	printf("name %s\n", endpoint_format(&local, text));
	return 0;
}

static int step_swap(struct shape *shape, char **words)
{
	(void)words;
	take_socket(shape, shape->other);
	return 0;
}

static int step_close(struct shape *shape, char **words)
{
	int fd = shape->fd;

	(void)words;
	shape->fd = shape->other;
	shape->other = -1;
	return close(fd) < 0 ? -errno : 0;
}

static int step_dup(struct shape *shape, char **words)
{
	int fd = fcntl(shape->fd, F_DUPFD_CLOEXEC, 0);

	(void)words;
	if (fd < 0)
		return -errno;
	take_socket(shape, fd);
	return 0;
}

void shape_wait(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* The child keeps all sockets open and takes no further step. */
static int step_fork(struct shape *shape, char **words)
{
	pid_t pid = fork();

	(void)shape;
	(void)words;
	if (pid < 0)
		return -errno;
	if (pid)
		return 0;
	shape_wait();
	_exit(0);
}

static int step_netns(struct shape *shape, char **words)
{
	char path[128];
	CLEANUP_CLOSE int fd = -1;

	(void)shape;
	snprintf(path, sizeof(path), "/run/netns/%s", words[1]);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

const struct step shape_steps[] = {
	{"socket", 1, "KIND: tcp4, udp6, mptcp4 and so on; from now on \"the\" socket",
	 step_socket},
	{"set", 2, "OPTION VALUE, of which \"range\" takes 50000-50999", step_set},
	{"get", 1, "OPTION: print its value", step_get},
	{"cookie", 0, "print the kernel's number of the network namespace",
	 step_cookie},
	{"device", 1, "NAME: SO_BINDTODEVICE", step_device},
	{"block", 0, "connect then waits for its end", step_block},
	{"bind", 2, "ADDRESS PORT", step_bind},
	{"connect", 2, "ADDRESS PORT: begin to", step_connect},
	{"uring", 2, "ADDRESS PORT: connect through io_uring, and wait", shape_uring},
	{"fastopen", 2, "ADDRESS PORT: send with MSG_FASTOPEN", step_fastopen},
	{"send", 0, "some data", step_send},
	{"disconnect", 0, "connect to AF_UNSPEC", step_disconnect},
	{"established", 0, "wait for how connect ends", step_established},
	{"listen", 0, "", step_listen},
	{"accept", 0, "what comes is the socket from now on", step_accept},
	{"name", 0, "print the local address and port", step_name},
	{"swap", 0, "the socket before the latest", step_swap},
	{"close", 0, "the socket before is the socket again", step_close},
	{"dup", 0, "the copy is the socket from now on", step_dup},
	{"fork", 0, "a child that keeps the sockets until standard input ends",
	 step_fork},
	{"netns", 1, "NAME: enter this network namespace", step_netns},
	{0},
};
