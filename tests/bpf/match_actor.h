/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * match_actor.h - a process that does what test_match.c tells it: connect, bind, fork,
 * exec, change its user, cgroup and network namespace.
 *
 * It is this program again, so that it can exec copies of itself. A command is a packet
 * on its descriptor 3, "c 10.1.2.3 443"; the answer is its pid, or a negative errno.
 */
#ifndef TESTS_BPF_MATCH_ACTOR_H
#define TESTS_BPF_MATCH_ACTOR_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACTOR_FD 3

/* No route is needed: the hooks come before it is looked for. */
static int actor_connect(const char *address, int port, int type)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	bool is_v6 = strchr(address, ':');
	int fd = socket(is_v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (is_v6 && inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
		connect(fd, (struct sockaddr *)&v6, sizeof(v6));
	else if (!is_v6 && inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	close(fd);
	return getpid();
}

static int actor_bind(int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int err = bind(fd, (struct sockaddr *)&to, sizeof(to)) ? -errno : getpid();

	close(fd);
	return err;
}

static int actor_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = fd >= 0 && write(fd, text, strlen(text)) > 0 ? getpid() : -errno;

	if (fd >= 0)
		close(fd);
	return err;
}

static int actor_enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int err = fd >= 0 && !setns(fd, CLONE_NEWNET) ? getpid() : -errno;

	if (fd >= 0)
		close(fd);
	return err;
}

/* The child goes on with the commands. */
static int actor_fork(void)
{
	pid_t child = fork();

	if (child > 0) {
		waitpid(child, NULL, 0);
		_exit(0);
	}
	return child < 0 ? -errno : getpid();
}

static int actor_exec(const char *path)
{
	char *const arguments[] = {(char *)"actor", (char *)"actor", NULL};

	execv(path, arguments);
	return -errno;
}

static void *actor_exec_thread(void *path)
{
	return (void *)(intptr_t)actor_exec(path);
}

/* A thread that is not the first of its process execs. */
static int actor_exec_from_thread(char *path)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, actor_exec_thread, path))
		return -EAGAIN;
	pthread_join(thread, NULL);
	return -ENOEXEC;
}

/* Fork a line of processes, each of which ends once it has made the next. */
static int actor_fork_many(int count)
{
	while (count--) {
		pid_t child = fork();

		if (child < 0)
			return -errno;
		if (child > 0)
			_exit(0);
	}
	return getpid();
}

static int actor_obey(char *command)
{
	char *first = strtok(command + 2, " "), *second = strtok(NULL, " ");

	switch (command[0]) {
	case 'c':
		return actor_connect(first, atoi(second), SOCK_DGRAM);
	case 't':
		return actor_connect(first, atoi(second), SOCK_STREAM);
	case 'b':
		return actor_bind(atoi(first));
	case 'g':
		return actor_write(first, "0");
	case 'n':
		return actor_enter_netns(first);
	case 'u':
		return syscall(SYS_setresuid, atoi(second), atoi(first), -1) ? -errno
									     : getpid();
	case 'f':
		return actor_fork();
	case 'F':
		return actor_fork_many(atoi(first));
	case 'e':
		return actor_exec(first);
	case 'E':
		return actor_exec_from_thread(first);
	}
	return -EINVAL;
}

static int actor_main(void)
{
	char command[PATH_MAX];
	int32_t answer = getpid();
	ssize_t length;

	/* To the command that started or exec'd it. */
	if (send(ACTOR_FD, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
		return 1;
	while ((length = recv(ACTOR_FD, command, sizeof(command) - 1, 0)) > 0) {
		command[length] = '\0';
		answer = actor_obey(command);
		if (send(ACTOR_FD, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			return 1;
	}
	return 0;
}

struct actor {
	int fd;
	pid_t pid; /* of our child; commands may have left it behind */
};

/* In the cgroup whose cgroup.procs this is. */
static struct actor actor_start(const char *exe, const char *procs)
{
	struct actor actor;
	int32_t answer = 0;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		abort();
	actor.pid = fork();
	if (!actor.pid) {
		if (actor_write(procs, "0") < 0 || dup2(ends[1], ACTOR_FD) < 0)
			_exit(2);
		fcntl(ACTOR_FD, F_SETFD, 0);
		actor_exec(exe);
		_exit(3);
	}
	close(ends[1]);
	actor.fd = ends[0];
	if (recv(actor.fd, &answer, sizeof(answer), 0) != sizeof(answer))
		abort();
	return actor;
}

/* The pid that answered, or a negative errno. */
static int actor_tell(struct actor *actor, const char *command)
{
	int32_t answer = -EPIPE;

	if (send(actor->fd, command, strlen(command), MSG_NOSIGNAL) < 0 ||
	    recv(actor->fd, &answer, sizeof(answer), 0) != sizeof(answer))
		return -EPIPE;
	return answer;
}

static void actor_end(struct actor *actor)
{
	close(actor->fd);
	waitpid(actor->pid, NULL, 0);
}

#endif /* TESTS_BPF_MATCH_ACTOR_H */
