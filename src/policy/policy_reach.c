/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_reach.h"

#include <string.h>

/* Is path at the cgroup or below it? */
static bool is_below(const char *path, const char *cgroup)
{
	size_t length = strlen(cgroup);

	return strcmp(cgroup, "/") == 0 ||
	       (strncmp(path, cgroup, length) == 0 &&
		(path[length] == '\0' || path[length] == '/'));
}

/* Is one of the parts of path of that name? */
static bool has_part(const char *path, const char *name)
{
	size_t length = strlen(name);

	while (*path == '/') {
		size_t part = strcspn(++path, "/");

		if (part == length && memcmp(path, name, length) == 0)
			return true;
		path += part;
	}
	return false;
}

static bool unit_is_covered(const char *unit, const struct rule *rule)
{
	return ((rule->conditions & RULE_UNIT) && strcmp(rule->unit, unit) == 0) ||
	       ((rule->conditions & RULE_CGROUP) && has_part(rule->cgroup, unit));
}

static bool destination_is_covered(const struct rule *first, const struct rule *rule)
{
	return rule->prefix_bits >= first->prefix_bits &&
	       address_in_prefix(&rule->destination, &first->destination,
				 first->prefix_bits) &&
	       rule->port_first >= first->port_first &&
	       rule->port_last <= first->port_last;
}

bool policy_rule_covers(const struct rule *first, const struct rule *rule)
{
	unsigned int asked = first->conditions;

	if (strcmp(first->cgroup, "/") == 0)
		asked &= ~(unsigned int)RULE_CGROUP;
	/* A cgroup implies the unit that it is in; all else is implied only by itself.
	 */
	if (asked & ~rule->conditions & ~(unsigned int)RULE_UNIT)
		return false;
	if ((asked & RULE_CGROUP) && !is_below(rule->cgroup, first->cgroup))
		return false;
	if ((asked & RULE_UNIT) && !unit_is_covered(first->unit, rule))
		return false;
	if ((asked & RULE_UID) && rule->uid != first->uid)
		return false;
	if ((asked & RULE_EXE) && strcmp(rule->exe, first->exe) != 0)
		return false;
	if ((asked & RULE_NETNS) && strcmp(rule->netns, first->netns) != 0)
		return false;
	if ((asked & RULE_DESTINATION) && !destination_is_covered(first, rule))
		return false;
	return !(asked & RULE_PROTOCOL) || rule->protocol == first->protocol;
}

static bool owner_fits(const struct rule *rule, const struct owner *owner)
{
	unsigned int asked = rule->conditions;

	if (!(asked & (RULE_CGROUP | RULE_UNIT | RULE_UID | RULE_EXE)))
		return true;
	if (!owner)
		return false;
	if ((asked & RULE_CGROUP) &&
	    !(owner->cgroup && is_below(owner->cgroup, rule->cgroup)))
		return false;
	if ((asked & RULE_UNIT) &&
	    !(owner->cgroup && has_part(owner->cgroup, rule->unit)))
		return false;
	if ((asked & RULE_UID) && owner->uid != rule->uid)
		return false;
	return !(asked & RULE_EXE) ||
	       (owner->exe && strcmp(owner->exe, rule->exe) == 0);
}

static bool session_fits(const struct rule *rule, const struct session *session,
			 uint64_t host_netns)
{
	unsigned int asked = rule->conditions;

	if ((asked & RULE_NETNS) &&
	    !(strcmp(rule->netns, "host") == 0 && session->id.netns == host_netns))
		return false;
	if ((asked & RULE_PROTOCOL) && session->protocol != rule->protocol)
		return false;
	if ((asked & RULE_DESTINATION) &&
	    !(address_in_prefix(&session->dst, &rule->destination, rule->prefix_bits) &&
	      session->dport >= rule->port_first && session->dport <= rule->port_last))
		return false;
	return owner_fits(rule, session->owner);
}

const struct rule *policy_fit(const struct policy *policy,
			      const struct session *session, uint64_t host_netns)
{
	for (size_t i = 0; i < policy->rule_count; i++)
		if (session_fits(&policy->rules[i], session, host_netns))
			return &policy->rules[i];
	return NULL;
}

bool policy_pool_is_named(const struct policy *policy, const struct pool *pool)
{
	for (size_t i = 0; i < policy->rule_count; i++)
		if (strcmp(policy->rules[i].pool, pool->name) == 0)
			return true;
	return false;
}
