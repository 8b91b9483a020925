/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * connect - time connect(2) to one destination at several levels of occupancy.
 *
 * Filling: the first hundredth of the range after each level (near the end, what is
 * left). Churn: the level is held while random sessions are closed and opened again,
 * and the opening is timed. Opening the socket and closing it are not timed.
 *
 * Full: all is held, and what is timed is how connect() fails with EADDRNOTAVAIL.
 *
 * One line a level on stdout: level in per mille, connects, failures, p50, p99 in ns.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"
#include "sample.h"

#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51 /* Linux 6.3; younger than Debian 12's headers */
#endif

static const char usage[] =
	"usage: connect -t tcp|udp -m fill|churn|full [-l] [-c CHURN] [-p FROM-TO] "
	"ADDRESS "
	"PORT\n"
	"  -c  sessions closed and opened again at each level, or refused (2000)\n"
	"  -l  set IP_LOCAL_PORT_RANGE to the range on each socket\n"
	"  -p  the range that can be held (49152-65535)\n";

static const int levels[] = {0, 500, 600, 900, 990, 999}; /* per mille */

#define LEVEL_COUNT (sizeof(levels) / sizeof(levels[0]))

struct bench {
	struct endpoint remote;
	int type;
	bool is_churn;
	bool is_full;
	bool narrow;
	uint16_t from;
	uint16_t to;
	size_t churn;
	int *fds;
	size_t held;
	size_t failed; /* since the level began */
};

/* The kernel says EAGAIN where UDP has no port left. */
static bool is_none_left(int err)
{
	return err == -EADDRNOTAVAIL || err == -EAGAIN;
}

/* Open a session and time its connect(). The descriptor, or -1 and counted. */
static int open_timed(struct bench *bench, struct sample *sample)
{
	const uint32_t range = bench->from | (uint32_t)bench->to << 16;
	int fd = endpoint_socket(&bench->remote, bench->type), err;
	uint64_t start, took;

	if (fd < 0) {
		fprintf(stderr, "connect: socket: %s\n", strerror(-fd));
		exit(2);
	}
	if (bench->narrow && setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range,
					sizeof(range)) < 0) {
		fprintf(stderr, "connect: IP_LOCAL_PORT_RANGE: %s\n", strerror(errno));
		exit(2);
	}
	start = now_ns();
	err = endpoint_connect(fd, &bench->remote);
	took = now_ns() - start;
	if (err < 0) {
		bench->failed++;
		if (bench->is_full && is_none_left(err) && sample)
			sample_add(sample, took);
		close(fd);
		return -1;
	}
	if (sample && !bench->is_full)
		sample_add(sample, took);
	return fd;
}

static void hold_one_more(struct bench *bench, struct sample *sample)
{
	int fd = open_timed(bench, sample);

	if (fd >= 0)
		bench->fds[bench->held++] = fd;
}

static void churn_one(struct bench *bench, struct sample *sample)
{
	size_t victim = (size_t)random() % bench->held;
	int fd;

	close(bench->fds[victim]);
	bench->fds[victim] = bench->fds[--bench->held];
	fd = open_timed(bench, sample);
	if (fd >= 0)
		bench->fds[bench->held++] = fd;
}

/* Up to next, where the level above begins. */
static int run_level(struct bench *bench, size_t port_count, int level, int next)
{
	size_t start = port_count * (size_t)level / 1000;
	size_t end = port_count * (size_t)next / 1000;
	size_t window = port_count / 100;
	CLEANUP(sample_release) struct sample sample = {0};
	int err;

	if (window > end - start)
		window = end - start;
	err = sample_init(&sample, bench->is_churn ? bench->churn : window);
	if (err < 0)
		return err;
	bench->failed = 0;
	while (bench->held + bench->failed < start)
		hold_one_more(bench, NULL);
	if (bench->is_churn) {
		if (!bench->held)
			hold_one_more(bench, NULL);
		for (size_t i = 0; i < bench->churn && bench->held; i++)
			churn_one(bench, &sample);
	} else {
		for (size_t i = 0; i < window; i++)
			hold_one_more(bench, &sample);
	}
	printf("%d %zu %zu %llu %llu\n", level, sample.count, bench->failed,
	       (unsigned long long)sample_quantile(&sample, 0.50),
	       (unsigned long long)sample_quantile(&sample, 0.99));
	return 0;
}

/* Until all is held or refused, then some more. */
static int run_full(struct bench *bench, size_t port_count)
{
	CLEANUP(sample_release) struct sample sample = {0};
	int err = sample_init(&sample, bench->churn);

	if (err < 0)
		return err;
	while (bench->failed < 3 && bench->held < port_count)
		hold_one_more(bench, NULL);

	bench->failed = 0;
	for (size_t i = 0; i < bench->churn; i++) {
		int fd = open_timed(bench, &sample);

		if (fd >= 0)
			close(fd);
	}
	printf("1000 %zu %zu %llu %llu\n", sample.count, bench->failed,
	       (unsigned long long)sample_quantile(&sample, 0.50),
	       (unsigned long long)sample_quantile(&sample, 0.99));
	return 0;
}

static int parse_options(int argc, char **argv, struct bench *bench)
{
	int option;

	while ((option = getopt(argc, argv, "t:m:c:p:l")) != -1) {
		switch (option) {
		case 't':
			if (endpoint_type_parse(optarg, &bench->type) < 0)
				return -EINVAL;
			break;
		case 'm':
			bench->is_churn = !strcmp(optarg, "churn");
			bench->is_full = !strcmp(optarg, "full");
			break;
		case 'c':
			bench->churn = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			if (sscanf(optarg, "%hu-%hu", &bench->from, &bench->to) != 2 ||
			    bench->from > bench->to)
				return -EINVAL;
			break;
		case 'l':
			bench->narrow = true;
			break;
		default:
			return -EINVAL;
		}
	}
	if (argc - optind != 2)
		return -EINVAL;
	return endpoint_parse(argv[optind], argv[optind + 1], &bench->remote);
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.type = SOCK_STREAM, .from = 49152, .to = 65535, .churn = 2000};
	CLEANUP_FREE int *fds = NULL;
	size_t port_count;

	if (parse_options(argc, argv, &bench) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	port_count = (size_t)(bench.to - bench.from) + 1;
	fds = calloc(port_count + 1, sizeof(*fds));
	if (!fds)
		return 2;
	bench.fds = fds;
	endpoint_raise_limit();
	stay_on_one_cpu();
	if (bench.is_full)
		return run_full(&bench, port_count) < 0 ? 2 : 0;
	for (size_t i = 0; i < LEVEL_COUNT; i++)
		if (run_level(&bench, port_count, levels[i],
			      i + 1 < LEVEL_COUNT ? levels[i + 1] : 1000) < 0)
			return 2;
	return 0;
}
