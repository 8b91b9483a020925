/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_peak.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_reach.h"

#define FIRST_CAPACITY 1024

/* A session opened or ended. */
struct change {
	uint64_t netns;
	uint64_t moment_ns;
	uint16_t pool; /* index */
	uint8_t protocol;
	bool is_opening;
};

struct policy_peak {
	const struct policy *policy;
	uint64_t host_netns;
	struct change *changes;
	size_t count;
	size_t capacity;
};

struct policy_peak *policy_peak_new(const struct policy *policy, uint64_t host_netns)
{
	struct policy_peak *peak = calloc(1, sizeof(*peak));

	if (!peak)
		return NULL;
	peak->policy = policy;
	peak->host_netns = host_netns;
	return peak;
}

void policy_peak_free(struct policy_peak *peak)
{
	if (!peak)
		return;
	free(peak->changes);
	free(peak);
}

/* The pool that the session would take its port from, or NULL. */
static const struct pool *find_pool(const struct policy_peak *peak,
				    const struct session *session)
{
	const struct rule *rule = policy_fit(peak->policy, session, peak->host_netns);

	return policy_find_pool(peak->policy, rule ? rule->pool : session->pool);
}

/* Room for the two changes of a session. */
static int make_room(struct policy_peak *peak)
{
	size_t capacity = peak->capacity ? 2 * peak->capacity : FIRST_CAPACITY;
	struct change *changes;

	if (peak->count + 2 <= peak->capacity)
		return 0;
	changes = reallocarray(peak->changes, capacity, sizeof(*changes));
	if (!changes)
		return -ENOMEM;
	peak->changes = changes;
	peak->capacity = capacity;
	return 0;
}

int policy_peak_add(struct policy_peak *peak, const struct session *session)
{
	const struct pool *pool;
	struct change change = {
		.netns = session->id.netns,
		.moment_ns = session->start_ns,
		.protocol = session->protocol,
		.is_opening = true,
	};

	if (session->direction != DIRECTION_OUT ||
	    session->picked_by == PICKED_BY_PROGRAM)
		return 0;
	pool = find_pool(peak, session);
	if (!pool)
		return 0;
	if (make_room(peak) < 0)
		return -ENOMEM;
	change.pool = (uint16_t)(pool - peak->policy->pools);
	peak->changes[peak->count++] = change;
	if (!session->end_ns)
		return 0;
	change.moment_ns = session->end_ns;
	change.is_opening = false;
	peak->changes[peak->count++] = change;
	return 0;
}

static bool is_same_space(const struct change *a, const struct change *b)
{
	return a->pool == b->pool && a->netns == b->netns && a->protocol == b->protocol;
}

/* By space, then by time; of one moment, what ended comes first. */
static int compare(const void *left, const void *right)
{
	const struct change *a = left, *b = right;

	if (a->pool != b->pool)
		return a->pool < b->pool ? -1 : 1;
	if (a->netns != b->netns)
		return a->netns < b->netns ? -1 : 1;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->moment_ns != b->moment_ns)
		return a->moment_ns < b->moment_ns ? -1 : 1;
	return (int)a->is_opening - (int)b->is_opening;
}

/* The most at once of the space that begins at first; *ret_behind is the next space. */
static size_t sweep(const struct policy_peak *peak, size_t first, size_t *ret_behind)
{
	size_t open = 0, most = 0, at = first;

	for (; at < peak->count &&
	       is_same_space(&peak->changes[first], &peak->changes[at]);
	     at++) {
		if (peak->changes[at].is_opening)
			open++;
		else if (open)
			open--;
		most = open > most ? open : most;
	}
	*ret_behind = at;
	return most;
}

void policy_peak_warn(struct policy_peak *peak, const char *when,
		      struct policy_notes *notes)
{
	const struct policy *policy = peak->policy;
	size_t most[POLICY_POOLS_MAX] = {0};
	uint8_t protocols[POLICY_POOLS_MAX] = {0};
	size_t behind;

	if (peak->count)
		qsort(peak->changes, peak->count, sizeof(*peak->changes), compare);
	for (size_t at = 0; at < peak->count; at = behind) {
		const struct change *change = &peak->changes[at];
		size_t found = sweep(peak, at, &behind);

		if (found > most[change->pool]) {
			most[change->pool] = found;
			protocols[change->pool] = change->protocol;
		}
	}
	for (size_t i = 0; i < policy->pool_count; i++) {
		size_t ports = port_set_count(&policy->pools[i].ports);

		if (most[i] > ports)
			policy_notes_warn(notes, policy->pool_lines[i],
					  "pool %s has %zu ports, but %zu %s sessions "
					  "that it is for were open at once %s",
					  policy->pools[i].name, ports, most[i],
					  protocol_name(protocols[i]), when);
	}
}
