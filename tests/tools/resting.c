/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * resting - open and close sessions, one after the other, and record when.
 *
 * TCP sessions are closed in order, by us first, so that the tuple stays in TIME_WAIT;
 * or by reset. One line a session on stdout: source port, then the times in ns before
 * and after connect(), before and after the close, as CLOCK_MONOTONIC has them.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static const char usage[] =
	"usage: resting [-t tcp|udp] [-n COUNT] [-p MS] [-r] ADDRESS PORT\n"
	"  -n  sessions (1)\n"
	"  -p  pause between two (0)\n"
	"  -r  close by reset\n";

struct plan {
	int type;
	long count;
	long pause_ms;
	bool is_reset;
	struct endpoint remote;
};

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* After it the tuple is in TIME_WAIT: the peer's FIN has come. */
static int close_in_order(int fd)
{
	char byte;

	if (shutdown(fd, SHUT_WR) < 0)
		return -errno;
	while (read(fd, &byte, 1) > 0)
		;
	return 0;
}

static int do_one(const struct plan *plan)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	CLEANUP_CLOSE int fd = socket(plan->remote.address.ss_family, plan->type, 0);
	long long began, connected, closing;
	struct endpoint local;
	int err;

	if (fd < 0)
		return -errno;
	began = now();
	if (connect(fd, (const struct sockaddr *)&plan->remote.address,
		    plan->remote.length) < 0)
		return -errno;
	connected = now();
	err = endpoint_local(fd, &local);
	if (err < 0)
		return err;
	if (plan->is_reset)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	closing = now();
	if (plan->type == SOCK_STREAM && !plan->is_reset)
		err = close_in_order(fd);
	close(TAKE_FD(fd));
	printf("%u %lld %lld %lld %lld\n", endpoint_port(&local), began, connected,
	       closing, now());
	return err;
}

static int parse_options(int argc, char **argv, struct plan *plan)
{
	int option;

	while ((option = getopt(argc, argv, "t:n:p:r")) != -1) {
		if (option == 'n')
			plan->count = atol(optarg);
		else if (option == 'p')
			plan->pause_ms = atol(optarg);
		else if (option == 'r')
			plan->is_reset = true;
		else if (option != 't' || endpoint_type_parse(optarg, &plan->type) < 0)
			return -EINVAL;
	}
	if (argc - optind != 2)
		return -EINVAL;
	return endpoint_parse(argv[optind], argv[optind + 1], &plan->remote);
}

int main(int argc, char **argv)
{
	struct plan plan = {.type = SOCK_STREAM, .count = 1};

	if (parse_options(argc, argv, &plan) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	for (long i = 0; i < plan.count; i++) {
		int err = do_one(&plan);

		if (err < 0) {
			fprintf(stderr, "resting: %s\n", strerror(-err));
			return 1;
		}
		usleep(plan.pause_ms * 1000);
	}
	return 0;
}
