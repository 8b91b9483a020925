/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_parse.h"

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

static void warn_of_habits(const struct pool *pool, struct policy_notes *notes)
{
	for (size_t i = 0; i < sizeof(habits) / sizeof(habits[0]); i++)
		if (port_set_overlaps(&pool->ports, habits[i].from, habits[i].to))
			policy_notes_warn(notes, "pool %s: %s", pool->name,
					  habits[i].warning);
}

static void warn_of_overlap(const struct pool *a, const struct pool *b,
			    struct policy_notes *notes)
{
	struct port_set both;
	char ports[64];

	for (size_t i = 0; i < sizeof(both.words) / sizeof(both.words[0]); i++)
		both.words[i] = a->ports.words[i] & b->ports.words[i];
	if (port_set_count(&both))
		policy_notes_warn(notes, "pools %s and %s overlap: %s", a->name,
				  b->name,
				  port_set_format(&both, ports, sizeof(ports)));
}

void policy_warn(const struct policy *policy, struct policy_notes *notes)
{
	for (size_t i = 0; i < policy->pool_count; i++) {
		warn_of_habits(&policy->pools[i], notes);
		for (size_t j = i + 1; j < policy->pool_count; j++)
			warn_of_overlap(&policy->pools[i], &policy->pools[j], notes);
	}
}
