/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * paired - what srcport adds to connect(2), in one process.
 *
 * Separate runs differ by more than what is to be measured, so managed and unmanaged
 * connects alternate. The hooks of a cgroup go by where the socket was made: the
 * process moves itself out of the cgroup that srcport run gave it and back, making
 * sockets in both, and then connects them in turn. Unmanaged sockets take the kernel's
 * ports.
 *
 * One line a level: level in per mille, pairs, failures, unmanaged p50 and p99, managed
 * p50 and p99, what is added at p50, in ns.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"
#include "sample.h"

static const char usage[] =
	"usage: paired -t tcp|udp -m fill|churn [-b BATCHES] [-n PORTS]\n"
	"              MANAGED_CGROUP UNMANAGED_CGROUP ADDRESS PORT\n"
	"  the cgroups are folders of the cgroup2 mount\n";

static const int levels[] = {0, 500, 600, 900, 990, 999}; /* per mille */

#define LEVEL_COUNT (sizeof(levels) / sizeof(levels[0]))
#define BATCH	    128

enum side {
	UNMANAGED,
	MANAGED,
	SIDES,
};

struct paired {
	struct endpoint remote;
	int type;
	bool is_churn;
	size_t batches;
	size_t port_count;
	int procs[SIDES]; /* the cgroup.procs files */
	int *fds;	  /* the managed sessions that are held */
	size_t held;
	size_t failed;
	struct sample sample[SIDES];
	unsigned int turn;
};

static void fail(const char *what, int err)
{
	fprintf(stderr, "paired: %s: %s\n", what, strerror(-err));
	exit(2);
}

static void enter(const struct paired *paired, enum side side)
{
	/* 0 is the process that writes. */
	if (write(paired->procs[side], "0\n", 2) != 2)
		fail("moving between the cgroups", -errno);
}

static void make_sockets(struct paired *paired, enum side side, int *fds, size_t count)
{
	enter(paired, side);
	for (size_t i = 0; i < count; i++) {
		fds[i] = endpoint_socket(&paired->remote, paired->type);
		if (fds[i] < 0)
			fail("socket", fds[i]);
	}
	enter(paired, MANAGED);
}

static void connect_timed(struct paired *paired, enum side side, int fd)
{
	uint64_t start = now_ns(), took;
	int err = endpoint_connect(fd, &paired->remote);

	took = now_ns() - start;
	if (err < 0)
		paired->failed++;
	else
		sample_add(&paired->sample[side], took);
}

/* Connect count pairs in turn; the managed ones stay in fds. */
static void run_batch(struct paired *paired, int *fds, size_t count)
{
	int unmanaged[BATCH];

	make_sockets(paired, UNMANAGED, unmanaged, count);
	make_sockets(paired, MANAGED, fds, count);
	for (size_t i = 0; i < count; i++) {
		/* Whichever goes first warms the caches for the other: swap. */
		bool managed_first = (i ^ paired->turn) & 1;

		connect_timed(paired, managed_first ? MANAGED : UNMANAGED,
			      managed_first ? fds[i] : unmanaged[i]);
		connect_timed(paired, managed_first ? UNMANAGED : MANAGED,
			      managed_first ? unmanaged[i] : fds[i]);
	}
	paired->turn++;
	for (size_t i = 0; i < count; i++)
		close(unmanaged[i]);
}

static int open_held(struct paired *paired)
{
	int fd = endpoint_open(&paired->remote, paired->type);

	if (fd < 0)
		fail("connect while filling", fd);
	return fd;
}

static void hold_until(struct paired *paired, size_t count)
{
	while (paired->held < count)
		paired->fds[paired->held++] = open_held(paired);
}

static void churn_level(struct paired *paired, size_t start)
{
	size_t left = paired->port_count - start;
	size_t count = left / 2 < BATCH ? left / 2 : BATCH;
	int fds[BATCH];

	if (!count)
		count = 1;
	/* Small batches near the end: more of them, for as many pairs. */
	for (size_t pairs = 0; pairs < paired->batches * BATCH; pairs += count) {
		for (size_t i = 0; paired->held && i < 2 * count; i++) {
			size_t victim = (size_t)random() % paired->held;

			close(paired->fds[victim]);
			paired->fds[victim] = open_held(paired);
		}
		run_batch(paired, fds, count);
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
	}
}

static void fill_level(struct paired *paired, size_t room)
{
	size_t window = paired->port_count / 100;

	if (window > room)
		window = room;
	while (window) {
		size_t count = window < BATCH ? window : BATCH;

		run_batch(paired, paired->fds + paired->held, count);
		paired->held += count;
		window -= count;
	}
}

/* Up to next, where the level above begins. */
static void run_level(struct paired *paired, int level, int next)
{
	size_t start = paired->port_count * (size_t)level / 1000;
	size_t end = paired->port_count * (size_t)next / 1000;
	uint64_t p50[SIDES], p99[SIDES];

	paired->failed = 0;
	for (int side = 0; side < SIDES; side++)
		paired->sample[side].count = 0;
	hold_until(paired, start);
	if (paired->is_churn)
		churn_level(paired, start);
	else
		fill_level(paired, end - start);
	for (int side = 0; side < SIDES; side++) {
		p50[side] = sample_quantile(&paired->sample[side], 0.50);
		p99[side] = sample_quantile(&paired->sample[side], 0.99);
	}
	printf("%d %zu %zu %llu %llu %llu %llu %lld\n", level,
	       paired->sample[MANAGED].count, paired->failed,
	       (unsigned long long)p50[UNMANAGED], (unsigned long long)p99[UNMANAGED],
	       (unsigned long long)p50[MANAGED], (unsigned long long)p99[MANAGED],
	       (long long)p50[MANAGED] - (long long)p50[UNMANAGED]);
}

/* A run ends when its cgroup is empty: a child stays there while we are out of it. */
static void leave_someone_there(void)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		fail("fork", -errno);
	if (child > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		pause();
	_exit(0);
}

static int open_procs(const char *cgroup)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fail(path, -errno);
	return fd;
}

static int parse_options(int argc, char **argv, struct paired *paired)
{
	int option;

	while ((option = getopt(argc, argv, "t:m:b:n:")) != -1) {
		switch (option) {
		case 't':
			if (endpoint_type_parse(optarg, &paired->type) < 0)
				return -EINVAL;
			break;
		case 'm':
			paired->is_churn = !strcmp(optarg, "churn");
			break;
		case 'b':
			paired->batches = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			paired->port_count = strtoul(optarg, NULL, 10);
			break;
		default:
			return -EINVAL;
		}
	}
	if (argc - optind != 4 || paired->port_count < 100)
		return -EINVAL;
	return endpoint_parse(argv[optind + 2], argv[optind + 3], &paired->remote);
}

int main(int argc, char **argv)
{
	struct paired paired = {
		.type = SOCK_STREAM, .batches = 40, .port_count = 16384};
	CLEANUP_FREE int *fds = NULL;

	if (parse_options(argc, argv, &paired) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	leave_someone_there();
	paired.procs[MANAGED] = open_procs(argv[optind]);
	paired.procs[UNMANAGED] = open_procs(argv[optind + 1]);
	fds = calloc(paired.port_count + BATCH, sizeof(*fds));
	for (int side = 0; side < SIDES; side++)
		if (!fds ||
		    sample_init(&paired.sample[side],
				(paired.batches + 1) * BATCH + paired.port_count) < 0)
			fail("memory", -ENOMEM);
	paired.fds = fds;
	endpoint_raise_limit();
	stay_on_one_cpu();
	for (size_t i = 0; i < LEVEL_COUNT; i++)
		run_level(&paired, levels[i],
			  i + 1 < LEVEL_COUNT ? levels[i + 1] : 1000);
	for (int side = 0; side < SIDES; side++)
		sample_release(&paired.sample[side]);
	return 0;
}
