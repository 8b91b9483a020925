/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_peak.h - how many sessions at once the pools of a policy would have had to
 * carry, by sessions that were seen. Each network namespace and protocol has all
 * ports of a pool to itself, and is counted alone.
 */
#ifndef POLICY_PEAK_H
#define POLICY_PEAK_H

#include "base/cleanup.h"
#include "policy/policy.h"
#include "policy/policy_parse.h"

struct policy_peak;

/* policy is borrowed; host_netns as in policy_reach.h. NULL: no memory. */
struct policy_peak *policy_peak_new(const struct policy *policy, uint64_t host_netns);
void policy_peak_free(struct policy_peak *peak); /* NULL is fine */
DEFINE_CLEANUP(struct policy_peak, policy_peak_free)

/*
 * Count a session if a rule gives it to a pool or, where none does, if it came from
 * one. Those that came in, or whose program chose the port, do not count. 0 or
 * -ENOMEM.
 */
int policy_peak_add(struct policy_peak *peak, const struct session *session);

/* Warn of pools with fewer ports than sessions at once. when: "now". */
void policy_peak_warn(struct policy_peak *peak, const char *when,
		      struct policy_notes *notes);

#endif /* POLICY_PEAK_H */
