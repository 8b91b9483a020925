/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * gauge.h - what the counts of a pool do over time: picks a second, growth, and the
 * destination that most of its sessions go to. Read once a second.
 */
#ifndef DAEMON_GAUGE_H
#define DAEMON_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/trend.h"
#include "model/session.h"

struct daemon;

struct gauge {
	uint64_t time_ns; /* CLOCK_BOOTTIME of the last reading; 0: none yet */
	uint64_t picks;
	double picks_per_s;   /* in the last second */
	struct trend busiest; /* ports in use in the namespace where most are */
	/* The destination that had most sessions when last looked. */
	bool has_destination;
	struct session destination; /* pool, netns, protocol, dst, dport alone */
	struct trend destination_count;
};

/* Read the counts of all pools. */
void gauge_tick(struct daemon *daemon);

#endif /* DAEMON_GAUGE_H */
