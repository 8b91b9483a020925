/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * census.h - who has the sessions of the pools now, and where they go.
 *
 * Told by the recorder. With --no-record by sock_diag: then a session is taken for one
 * of a pool where its port is of the pool, whoever picked it, and of its owner only the
 * uid is known.
 */
#ifndef DAEMON_CENSUS_H
#define DAEMON_CENSUS_H

#include "daemon/daemon.h"

struct census {
	bool is_guess; /* by sock_diag */
	struct tally destinations;
	struct tally owners;
};

int census_take(struct daemon *daemon, struct census *ret);
void census_release(struct census *census);

/* How many sessions of the pool the user has there, as the quota counts them. */
uint32_t census_count_user(struct daemon *daemon, const char *pool, uint64_t netns,
			   uint8_t protocol, uint32_t uid);

#endif /* DAEMON_CENSUS_H */
