/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "kernel/port_range.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kernel/netns.h"

#define RANGE	       "ipv4/ip_local_port_range"
#define RESERVED       "ipv4/ip_local_reserved_ports"
#define RESERVED_BYTES (512 << 10) /* every second port, written out */
#define PORT_LOWEST    1024

bool port_range_equal(const struct port_range *a, const struct port_range *b)
{
	return a->from == b->from && a->to == b->to;
}

int port_range_read(int netns_fd, struct port_range *ret)
{
	unsigned int from, to;
	char text[64];
	int err = netns_read_sysctl(netns_fd, RANGE, text, sizeof(text));

	if (err < 0)
		return err;
	if (sscanf(text, "%u %u", &from, &to) != 2 || from > to || to > 65535)
		return -EPROTO;
	*ret = (struct port_range){.from = from, .to = to};
	return 0;
}

int port_range_write(int netns_fd, const struct port_range *range)
{
	char text[32];

	snprintf(text, sizeof(text), "%u %u\n", range->from, range->to);
	return netns_write_sysctl(netns_fd, RANGE, text);
}

int port_range_read_reserved(int netns_fd, struct port_range_avoid *avoid)
{
	CLEANUP_FREE char *text = malloc(RESERVED_BYTES);
	char *at = text, *end;
	int err;

	if (!text)
		return -ENOMEM;
	err = netns_read_sysctl(netns_fd, RESERVED, text, RESERVED_BYTES);
	if (err < 0)
		return err;
	/* "8080,9000-9100" */
	for (;; at = end + 1) {
		unsigned long from = strtoul(at, &end, 10), to = from;

		if (end == at)
			return 0;
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		for (; from <= to && from <= 65535; from++)
			avoid->reserved[from] = true;
		if (*end != ',')
			return 0;
	}
}

static unsigned int length_of(const struct port_range *range)
{
	return range->from ? range->to - range->from + 1 : 0;
}

/* The longest run of ports that are not avoided; its from is 0 where there is none. */
static struct port_range longest(unsigned int from, unsigned int to, const bool *avoid,
				 const bool *avoid_too)
{
	struct port_range best = {0}, run = {0};

	for (unsigned int port = from; port <= to; port++) {
		if (avoid[port] || (avoid_too && avoid_too[port])) {
			run.from = 0;
			continue;
		}
		if (!run.from)
			run.from = port;
		run.to = port;
		if (length_of(&run) > length_of(&best))
			best = run;
	}
	return best;
}

int port_range_choose(const struct port_range *range,
		      const struct port_range_avoid *avoid, struct port_range *ret)
{
	struct port_range best =
		longest(range->from ? range->from : 1, range->to, avoid->pools, NULL);

	/* A short range that no pool touches is left as it is. */
	if (length_of(&best) < PORT_RANGE_LEAST && !port_range_equal(&best, range))
		best = longest(PORT_LOWEST, 65535, avoid->pools, avoid->reserved);
	if (!length_of(&best) ||
	    (length_of(&best) < PORT_RANGE_LEAST && !port_range_equal(&best, range)))
		return -ENOSPC;
	*ret = best;
	return 0;
}
