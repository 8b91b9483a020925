/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* check_host.h - warnings of how a policy meets this host as it is now. */
#ifndef CLI_CHECK_HOST_H
#define CLI_CHECK_HOST_H

#include "policy/policy_parse.h"

/* Users, programs and namespaces that are not there; the kernel's own range of ports.
 */
void check_host(const struct policy *policy, struct policy_notes *notes);

/*
 * Pools with fewer ports than the sessions that were open at once: in the ledger over
 * the last day or, where it cannot be read, now. state: as of --state, or NULL.
 */
void check_seen(const struct policy *policy, const char *state,
		struct policy_notes *notes);

#endif /* CLI_CHECK_HOST_H */
