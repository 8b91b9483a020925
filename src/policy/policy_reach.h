/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_reach.h - which rule reaches which sessions, by what is written in rules and
 * recorded of sessions. The allocator decides on what the kernel has.
 */
#ifndef POLICY_REACH_H
#define POLICY_REACH_H

#include <stdbool.h>

#include "policy/policy.h"

/*
 * Does every session that fits rule fit first too? Judged by each condition alone:
 * false where two rules before it cover it only together.
 */
bool policy_rule_covers(const struct rule *first, const struct rule *rule);

/*
 * The first rule that fits a recorded session, or NULL. What the record does not know
 * does not fit; of a network namespace it knows no name, so only "host" may fit, where
 * host_netns is its cookie.
 */
const struct rule *policy_fit(const struct policy *policy,
			      const struct session *session, uint64_t host_netns);

/* Does a rule give ports of the pool? */
bool policy_pool_is_named(const struct policy *policy, const struct pool *pool);

#endif /* POLICY_REACH_H */
