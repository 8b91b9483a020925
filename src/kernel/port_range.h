/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * port_range.h - net.ipv4.ip_local_port_range: the ports from which the kernel picks
 * by itself, and where it can go to keep out of others' way.
 */
#ifndef KERNEL_PORT_RANGE_H
#define KERNEL_PORT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#define PORT_RANGE_LEAST 1000 /* ports that the kernel is left with, at the least */

struct port_range {
	uint16_t from;
	uint16_t to;
};

/* Ports by number: true where the range is not to lie. */
struct port_range_avoid {
	bool pools[65536];
	bool reserved[65536]; /* ip_local_reserved_ports: avoided in a new place only */
};

bool port_range_equal(const struct port_range *a, const struct port_range *b);

/* That of the namespace behind netns_fd (-1: the caller's). 0 or a negative errno. */
int port_range_read(int netns_fd, struct port_range *ret);
int port_range_write(int netns_fd, const struct port_range *range);

/* Note what the namespace reserves. 0 or a negative errno. */
int port_range_read_reserved(int netns_fd, struct port_range_avoid *avoid);

/*
 * Where the range can go: the longest part of it without a port of a pool; where that
 * is short of PORT_RANGE_LEAST, the longest part of 1024-65535 that has neither those
 * nor reserved ports. -ENOSPC where that is short of it too.
 */
int port_range_choose(const struct port_range *range,
		      const struct port_range_avoid *avoid, struct port_range *ret);

#endif /* KERNEL_PORT_RANGE_H */
