/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * uniformity - are source ports drawn evenly, and is the next one hard to guess?
 *
 * Run under srcport run, with quarantine = 0. Opens sessions to one destination, each
 * closed by reset before the next, and tests with chi-square (a) how often each port
 * that can be had came up, (b) the steps from one port to the next, both counted in
 * ranks among those ports: if the last port says nothing about the next, the steps are
 * even as well. Also counts how often the best fixed guess at a step was right.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "endpoint.h"

static const char usage[] =
	"usage: uniformity [-t tcp|udp] [-n PICKS] [-p FROM-TO] [-x FROM-TO] [-h "
	"HELD]\n"
	"                  ADDRESS PORT\n"
	"  -n  picks (1000000)    -p  the pool (49152-65535)\n"
	"  -x  ports excepted from the pool    -h  sessions held meanwhile (0)\n";

struct trial {
	struct endpoint remote;
	int type;
	unsigned long picks;
	unsigned int from, to;
	unsigned int except_from, except_to; /* 0: none */
	unsigned long held;
};

struct ports {
	int rank[65536]; /* among those that can be had; -1: cannot */
	int count;
};

/*
 * The share of chi-square distributions with df degrees of freedom above x, by
 * the cube root of Wilson and Hilferty (1931): good to four digits at df >= 100.
 */
static double chi_square_p(double x, double df)
{
	double z = (cbrt(x / df) - (1 - 2 / (9 * df))) / sqrt(2 / (9 * df));

	return erfc(z / sqrt(2)) / 2;
}

static double chi_square(const unsigned long *seen, int cells, double total)
{
	double expected = total / cells, sum = 0;

	for (int i = 0; i < cells; i++)
		sum += (seen[i] - expected) * (seen[i] - expected) / expected;
	return sum;
}

static void die(const char *what, int err)
{
	fprintf(stderr, "uniformity: %s: %s\n", what, strerror(-err));
	exit(2);
}

/* Open one session; its source port. The descriptor goes to *ret_fd, or is closed. */
static unsigned int pick(const struct trial *trial, int *ret_fd)
{
	struct endpoint local;
	int fd = endpoint_open(&trial->remote, trial->type), err;

	if (fd < 0)
		die("connect", fd);
	err = endpoint_local(fd, &local);
	if (err < 0)
		die("getsockname", err);
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return endpoint_port(&local);
}

static void hold_some(const struct trial *trial, struct ports *ports)
{
	for (unsigned long i = 0; i < trial->held; i++) {
		int fd; /* held until we exit */

		ports->rank[pick(trial, &fd)] = -1;
	}
}

static void rank_ports(const struct trial *trial, struct ports *ports)
{
	for (unsigned int port = 0; port < 65536; port++)
		ports->rank[port] = port >= trial->from && port <= trial->to &&
						    (port < trial->except_from ||
						     port > trial->except_to)
					    ? 0
					    : -1;
	hold_some(trial, ports);
	for (unsigned int port = 0; port < 65536; port++)
		if (ports->rank[port] == 0)
			ports->rank[port] = ports->count++;
}

static void report(const char *what, const unsigned long *seen, int cells,
		   unsigned long total)
{
	double x = chi_square(seen, cells, (double)total);
	unsigned long most = 0;

	for (int i = 0; i < cells; i++)
		most = seen[i] > most ? seen[i] : most;
	printf("%s: chi-square %.1f, per degree %.4f, p %.4f; most frequent %lu of %lu "
	       "(even: %.1f)\n",
	       what, x, x / (cells - 1), chi_square_p(x, cells - 1), most, total,
	       (double)total / cells);
}

static int parse_range(const char *text, unsigned int *from, unsigned int *to)
{
	return sscanf(text, "%u-%u", from, to) == 2 && *from <= *to && *to < 65536
		       ? 0
		       : -EINVAL;
}

static int parse_options(int argc, char **argv, struct trial *trial)
{
	int option, err = 0;

	while (err == 0 && (option = getopt(argc, argv, "t:n:p:x:h:")) != -1) {
		switch (option) {
		case 't':
			err = endpoint_type_parse(optarg, &trial->type);
			break;
		case 'n':
			trial->picks = strtoul(optarg, NULL, 10);
			break;
		case 'p':
			err = parse_range(optarg, &trial->from, &trial->to);
			break;
		case 'x':
			err = parse_range(optarg, &trial->except_from,
					  &trial->except_to);
			break;
		case 'h':
			trial->held = strtoul(optarg, NULL, 10);
			break;
		default:
			err = -EINVAL;
		}
	}
	if (err < 0 || argc - optind != 2)
		return -EINVAL;
	return endpoint_parse(argv[optind], argv[optind + 1], &trial->remote);
}

int main(int argc, char **argv)
{
	struct trial trial = {
		.type = SOCK_STREAM, .picks = 1000000, .from = 49152, .to = 65535};
	CLEANUP_FREE struct ports *ports = calloc(1, sizeof(*ports));
	CLEANUP_FREE unsigned long *seen = calloc(65536, sizeof(*seen));
	CLEANUP_FREE unsigned long *steps = calloc(65536, sizeof(*steps));
	unsigned long outside = 0, step_count = 0;
	unsigned int last_outside = 0;
	int last = -1;

	if (parse_options(argc, argv, &trial) < 0 || !ports || !seen || !steps) {
		fputs(usage, stderr);
		return 2;
	}
	endpoint_raise_limit();
	rank_ports(&trial, ports);
	for (unsigned long i = 0; i < trial.picks; i++) {
		unsigned int port = pick(&trial, NULL);
		int rank = ports->rank[port];

		if (rank < 0) {
			outside++;
			last_outside = port;
		} else {
			seen[rank]++;
			if (last >= 0) {
				steps[(rank - last + ports->count) % ports->count]++;
				step_count++;
			}
		}
		last = rank;
	}
	printf("%lu picks over %d ports, %lu outside\n", trial.picks, ports->count,
	       outside);
	if (outside)
		printf("the last one outside was %u\n", last_outside);
	if (ports->count < 2)
		return 1;
	report("ports", seen, ports->count, trial.picks - outside);
	report("steps", steps, ports->count, step_count);
	return outside ? 1 : 0;
}
