/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * resolve.h - ask sock_diag for the source address and port of UDP sessions.
 *
 * The kernel gives a connected UDP socket its address after the last hook we
 * have, so the event that opened the session could not say it.
 */
#ifndef DAEMON_RESOLVE_H
#define DAEMON_RESOLVE_H

#include "pipeline/pipeline.h"

void resolve_udp(struct pipeline *pipeline);

#endif /* DAEMON_RESOLVE_H */
