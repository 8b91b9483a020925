/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cli/client.h"

#define READY_MS 30000

/* The daemon leaves our folder: what we were given must hold from elsewhere. */
static void make_absolute(const char *path, char *buf, size_t size)
{
	bool is_relative = path[0] != '/' && getcwd(buf, size);
	size_t used = is_relative ? strlen(buf) : 0;

	snprintf(buf + used, size - used, "%s%s", is_relative ? "/" : "", path);
}

/* The srcportd that was built or installed beside us; else that of PATH. */
static void find_program(char *buf, size_t size)
{
	char self[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	snprintf(buf, size, "srcportd");
	if (length < 0)
		return;
	self[length] = '\0';
	slash = strrchr(self, '/');
	if (!slash || slash + sizeof("/srcportd") > self + sizeof(self))
		return;
	strcpy(slash, "/srcportd");
	if (access(self, X_OK) == 0)
		snprintf(buf, size, "%s", self);
}

static void __attribute__((noreturn))
become_daemon(const struct common *common, int stderr_fd)
{
	char program[PATH_MAX], state[PATH_MAX], socket[PATH_MAX], log[PATH_MAX + 16];
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	find_program(program, sizeof(program));
	make_absolute(common->state, state, sizeof(state));
	make_absolute(common->socket, socket, sizeof(socket));
	snprintf(log, sizeof(log), "%s/srcportd.log", state);
	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
	dup2(stderr_fd, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	umask(022);
	/* Ready is for systemd to hear of the service that started us, not of us. */
	unsetenv("NOTIFY_SOCKET");
	if (chdir("/") == 0)
		execlp(program, "srcportd", "--transient", "--state", state, "--socket",
		       socket, "--log", log, NULL);
	dprintf(STDERR_FILENO, "srcportd cannot be started: %s: %s\n", program,
		strerror(errno));
	_exit(EXIT_NOT_FOUND);
}

/* Twice, so that the command, which takes our place, has no child it does not know. */
static int fork_away(const struct common *common, int stderr_fd)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			become_daemon(common, stderr_fd);
		_exit(pid < 0);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/* Until the end of its standard error: it has a log now, or is no more. */
static void read_all(int fd, char *text, size_t size)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	size_t used = 0;
	ssize_t length = 1;

	while (length > 0 && used + 1 < size && poll(&wait, 1, READY_MS) > 0) {
		length = read(fd, text + used, size - used - 1);
		used += length > 0 ? length : 0;
	}
	while (used && text[used - 1] == '\n')
		used--;
	text[used] = '\0';
}

static const char *without_name(const char *text)
{
	static const char name[] = "srcportd: ";

	return strncmp(text, name, strlen(name)) == 0 ? text + strlen(name) : text;
}

int spawn_daemon(const struct common *common, struct fault *fault)
{
	struct client *client = NULL;
	char said[480];
	int fds[2];
	int err;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return fault_set(fault, -errno, "pipe: %s", strerror(errno));
	err = fork_away(common, fds[1]);
	close(fds[1]);
	if (err >= 0)
		read_all(fds[0], said, sizeof(said));
	close(fds[0]);
	if (err < 0)
		return fault_set(fault, err, "fork: %s", strerror(-err));
	err = client_open(common->socket, &client, fault);
	client_close(client);
	if (err < 0 && said[0])
		return fault_set(fault, err, "%s", without_name(said));
	return err;
}
