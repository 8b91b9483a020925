/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <stdio.h>
#include <string.h>

#include "policy/policy_parse.h"
#include "policy/policy_reach.h"

#define NS_PER_S	   1000000000ULL
#define TIME_WAIT_NS	   (60 * NS_PER_S)
#define TRACKED_NS	   (120 * NS_PER_S) /* conntrack's time_wait */
#define COUNT_OF(array)	   (sizeof(array) / sizeof((array)[0]))
#define OVERLAP_PORTS_TEXT 64

/* Ports that others on a host use by habit. */
static const struct {
	uint16_t from;
	uint16_t to;
	const char *warning;
} habits[] = {
	{61000, 65535,
	 "ports from 61000 may be dropped by a firewall written for 32768-60999"},
	{51820, 51820, "51820 is WireGuard's usual port; where it listens, except it"},
	{30000, 32767, "overlaps the NodePorts of Kubernetes, 30000-32767"},
	{32768, 60999, "overlaps 32768-60999, from which Docker publishes ports"},
	{16384, 32767, "overlaps 16384-32767, usual for RTP"},
};

static void warn_of_habits(const struct pool *pool, int line,
			   struct policy_notes *notes)
{
	for (size_t i = 0; i < COUNT_OF(habits); i++)
		if (port_set_overlaps(&pool->ports, habits[i].from, habits[i].to))
			policy_notes_warn(notes, line, "pool %s: %s", pool->name,
					  habits[i].warning);
}

/* What an algorithm of RFC 6056 tells that "random" does not. */
static const char *algorithm_weakness(enum algorithm algorithm)
{
	switch (algorithm) {
	case ALGORITHM_RANDOM_SIMPLE:
		return "a free port behind a run of used ones is likelier than others";
	case ALGORITHM_HASH:
	case ALGORITHM_DOUBLE_HASH:
		return "the ports to one destination follow each other";
	case ALGORITHM_INCREMENTS:
		return "the next port is little above the last one";
	case ALGORITHM_RANDOM:
	case ALGORITHM_RANDOM_RETRY:
		break;
	}
	return NULL;
}

static void warn_of_settings(const struct pool *pool, int line,
			     struct policy_notes *notes)
{
	const char *weakness = algorithm_weakness(pool->algorithm);

	if (weakness)
		policy_notes_warn(notes, line,
				  "pool %s: algorithm %s can be guessed better than "
				  "random: %s",
				  pool->name, algorithm_name(pool->algorithm),
				  weakness);
	if (pool->udp_shares)
		policy_notes_warn(
			notes, line,
			"pool %s: with udp-sharing another program may bind a "
			"UDP port in use and take what is sent to it",
			pool->name);
	if (pool->sharing == SHARING_NEVER && pool->quarantine_ns < TIME_WAIT_NS)
		policy_notes_warn(
			notes, line,
			"pool %s: without sharing a port is held by TIME_WAIT "
			"for 60 s, whatever its quarantine",
			pool->name);
	if (pool->quarantine_all && pool->quarantine_ns < TRACKED_NS)
		policy_notes_warn(
			notes, line,
			"pool %s: firewalls and NATs remember a closed "
			"session for 120 s or more, longer than its quarantine",
			pool->name);
}

static void warn_of_overlap(const struct policy *policy, size_t a, size_t b,
			    struct policy_notes *notes)
{
	const int *lines = policy->pool_lines;
	struct port_set both = policy->pools[a].ports;
	char ports[OVERLAP_PORTS_TEXT];

	port_set_intersect(&both, &policy->pools[b].ports);
	if (port_set_count(&both))
		policy_notes_warn(notes, lines[a] > lines[b] ? lines[a] : lines[b],
				  "pools %s and %s overlap: %s", policy->pools[a].name,
				  policy->pools[b].name,
				  port_set_format(&both, ports, sizeof(ports)));
}

static void warn_of_pool(const struct policy *policy, size_t at,
			 struct policy_notes *notes)
{
	const struct pool *pool = &policy->pools[at];
	int line = policy->pool_lines[at];

	/* The pool "default" as it comes is nobody's choice once rules name others. */
	if (policy->rule_count && !policy_pool_is_named(policy, pool)) {
		if (!line)
			return;
		policy_notes_warn(notes, line,
				  "pool %s: no rule names it, so only srcport run "
				  "--pool %s takes ports from it",
				  pool->name, pool->name);
	}
	warn_of_habits(pool, line, notes);
	warn_of_settings(pool, line, notes);
	for (size_t i = at + 1; i < policy->pool_count; i++)
		warn_of_overlap(policy, at, i, notes);
}

/* The path of a cgroup is often copied with the mount before it. */
static void warn_of_mount(const struct rule *rule, struct policy_notes *notes)
{
	static const char mount[] = "/sys/fs/cgroup";

	if (strncmp(rule->cgroup, mount, strlen(mount)) == 0)
		policy_notes_warn(
			notes, rule->line,
			"rule %s: a cgroup is named from the root of cgroup2, "
			"without %s",
			rule->name, mount);
}

static void warn_of_rule(const struct policy *policy, size_t at,
			 struct policy_notes *notes)
{
	const struct rule *rules = policy->rules;

	warn_of_mount(&rules[at], notes);
	for (size_t i = 0; i < at; i++) {
		if (!policy_rule_covers(&rules[i], &rules[at]))
			continue;
		policy_notes_warn(notes, rules[at].line,
				  "rule %s is never reached: what fits it fits rule %s "
				  "(line %d) before it",
				  rules[at].name, rules[i].name, rules[i].line);
		return;
	}
}

void policy_warn(const struct policy *policy, struct policy_notes *notes)
{
	for (size_t i = 0; i < policy->pool_count; i++)
		warn_of_pool(policy, i, notes);
	for (size_t i = 0; i < policy->rule_count; i++)
		warn_of_rule(policy, i, notes);
}
