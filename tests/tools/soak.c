/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak - four processes that open and close sockets of all kinds, as fast as they can,
 * to three servers at four addresses, while two more bind ports of the pool by number.
 * TCP and UDP, IPv4, IPv6 and mapped; refused, unreachable, unanswered; bound before;
 * closed in order, by reset, by either side, by a kill. Each looks at what it is given.
 *
 * Prints the seed, then what happened as "NAME NUMBER" lines, "holds PROTOCOL PORT" for
 * each socket still open, "listened_on PORT" for each port that somebody bound by its
 * number and listened on, "ready"; and waits until standard input ends before it closes
 * them. Needs the addresses that tests/root/helper.bash gives a namespace.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"usage: soak [-n COUNT] [-s SEED] [-x FROM-TO] [-f CGROUP] SECONDS FROM TO\n"
	"  -n  no more than COUNT operations in all\n"
	"  -s  the same operations as the run that printed this seed\n"
	"  -x  ports in the pool that must not be given\n"
	"  -f  bind ports by number too, from here and from this cgroup\n"
	"FROM and TO are the first and last port of the pool.\n";

/* 0 in the child, which does not outlive us. */
static pid_t start(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0) {
		perror("soak: fork");
		exit(1);
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

static void start_servers(const struct plan *plan, pid_t *ret_pids)
{
	for (int i = 0; i < SERVERS; i++) {
		struct listeners listeners;
		int err = listeners_open(i, &listeners);

		if (err < 0) {
			fprintf(stderr, "soak: listen: %s\n", strerror(-err));
			exit(1);
		}
		ret_pids[i] = start();
		if (!ret_pids[i])
			be_server(plan, &listeners, i);
		for (int j = 0; j < SERVER_ADDRESSES; j++) {
			close(listeners.tcp[j]);
			close(listeners.udp[j]);
		}
	}
}

static pid_t start_actor(const struct plan *plan, unsigned int number)
{
	pid_t pid = start();

	if (!pid && number < CLIENTS)
		be_client(plan, number);
	if (!pid)
		be_foreigner(plan, number);
	return pid;
}

static int number_of(const pid_t *pids, pid_t pid)
{
	for (int i = 0; i < CLIENTS + FOREIGNERS; i++)
		if (pids[i] == pid)
			return i;
	return -1;
}

/* One that was killed is started anew. -ECHILD: one ended that should not have. */
static int replace_killed(const struct plan *plan, pid_t *pids)
{
	int status, number;
	pid_t pid = waitpid(-1, &status, WNOHANG);

	if (pid <= 0)
		return 0;
	number = number_of(pids, pid);
	if (number < 0 || (number < CLIENTS && !WIFSIGNALED(status)) ||
	    (number < CLIENTS && WTERMSIG(status) != SIGKILL) ||
	    (number >= CLIENTS && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)))
		return -ECHILD;
	pids[number] = number < CLIENTS ? start_actor(plan, number) : 0;
	return 1;
}

/* Ports that srcport keeps out, for the judge: "listened_on PORT". */
static void print_listened(const struct plan *plan)
{
	for (unsigned int port = plan->from; port <= plan->to; port++)
		if (plan->board->listened[port])
			printf("listened_on %u\n", port);
}

/* Until the clients rest and the foreigners are gone. 0 or a negative errno. */
static int supervise(const struct plan *plan, pid_t *pids)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	const uint64_t end = (uint64_t)(plan->end + 2 * WAIT_SECONDS) * 1000000000;

	for (;;) {
		int replaced = replace_killed(plan, pids);

		if (replaced < 0)
			return replaced;
		if (replaced)
			continue;
		if (plan->board->resting == CLIENTS && !pids[CLIENTS] &&
		    !pids[CLIENTS + 1])
			return 0;
		if (soak_now() > end)
			return -ETIME;
		nanosleep(&moment, NULL);
	}
}

static void print_sum(const struct counts *counts, const char *name, size_t offset)
{
	long sum = 0;

	for (int i = 0; i < CLIENTS + FOREIGNERS; i++)
		sum += *(const long *)((const char *)&counts[i] + offset);
	printf("%s %ld\n", name, sum);
}

static void print_counts(const struct counts *counts)
{
#define PRINT_SUM(name) print_sum(counts, #name, offsetof(struct counts, name));
	SOAK_COUNTS(PRINT_SUM)
#undef PRINT_SUM
}

static void end_all(pid_t *pids, int count)
{
	for (int i = 0; i < count; i++)
		if (pids[i] > 0) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
}

static int run(const struct plan *plan)
{
	pid_t servers[SERVERS], actors[CLIENTS + FOREIGNERS] = {0};
	char byte;
	int err;

	start_servers(plan, servers);
	for (int i = 0; i < CLIENTS + (plan->foreign_cgroup ? FOREIGNERS : 0); i++)
		actors[i] = start_actor(plan, i);
	err = supervise(plan, actors);
	print_counts(plan->board->counts);
	print_listened(plan);
	if (err < 0) {
		fprintf(stderr, "soak: a process did not end well: %s\n",
			strerror(-err));
	} else {
		puts("ready");
		fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	}
	end_all(actors, CLIENTS + FOREIGNERS);
	end_all(servers, SERVERS);
	return err < 0 ? 1 : 0;
}

static int parse_options(int argc, char **argv, struct plan *plan)
{
	int option;

	while ((option = getopt(argc, argv, "n:s:x:f:")) != -1) {
		if (option == 'n')
			plan->board->operations = atol(optarg);
		else if (option == 's')
			plan->seed = strtoul(optarg, NULL, 10);
		else if (option == 'f')
			plan->foreign_cgroup = optarg;
		else if (option != 'x' || sscanf(optarg, "%hu-%hu", &plan->except_from,
						 &plan->except_to) != 2)
			return -EINVAL;
	}
	if (argc - optind != 3)
		return -EINVAL;
	plan->start = soak_now() / 1000000000;
	plan->end = plan->start + atol(argv[optind]);
	plan->from = atoi(argv[optind + 1]);
	plan->to = atoi(argv[optind + 2]);
	return 0;
}

int main(int argc, char **argv)
{
	struct plan plan = {.seed = time(NULL) ^ getpid(), .except_from = 1};

	plan.board = mmap(NULL, sizeof(*plan.board), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (plan.board == MAP_FAILED) {
		perror("soak: mmap");
		return 1;
	}
	plan.board->operations = 1000000000;
	if (parse_options(argc, argv, &plan) < 0) {
		fputs(usage, stderr);
		return 2;
	}
	printf("seed %u\n", plan.seed);
	fflush(stdout);
	return run(&plan);
}
