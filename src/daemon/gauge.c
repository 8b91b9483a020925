/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/gauge.h"

#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/pools.h"
#include "pipeline/tally.h"

/* To find the busiest of 65,536 destinations takes a walk over all: not each second. */
#define LOOK_SECONDS 5
#define NS_PER_S     1e9

static void read_counts(struct daemon *daemon, struct pools_entry *entry,
			uint64_t now_ns)
{
	struct gauge *gauge = &entry->gauge;
	struct alloc_pool_count count;

	if (alloc_pool_count(daemon->alloc, entry->number, &count) < 0)
		return;
	if (gauge->time_ns && now_ns > gauge->time_ns)
		gauge->picks_per_s = (count.count.picks - gauge->picks) * NS_PER_S /
				     (now_ns - gauge->time_ns);
	gauge->time_ns = now_ns;
	gauge->picks = count.count.picks;
	trend_add(&gauge->busiest, now_ns, count.busiest);
}

static bool is_same(const struct session *destination, const struct tally_entry *entry)
{
	return destination->id.netns == entry->netns &&
	       destination->protocol == entry->protocol &&
	       destination->dport == entry->port &&
	       address_equal(&destination->dst, &entry->address);
}

/* Another destination has another trend. */
static void look(const struct daemon *daemon, struct pools_entry *entry)
{
	const struct tally_entry *most =
		tally_most(&daemon->destinations, entry->pool.name);
	struct gauge *gauge = &entry->gauge;
	struct session *destination = &gauge->destination;

	if (!most || (gauge->has_destination && is_same(destination, most)))
		return;
	gauge->has_destination = true;
	memset(destination, 0, sizeof(*destination));
	snprintf(destination->pool, sizeof(destination->pool), "%s", entry->pool.name);
	destination->id.netns = most->netns;
	destination->protocol = most->protocol;
	destination->dst = most->address;
	destination->dport = most->port;
	memset(&gauge->destination_count, 0, sizeof(gauge->destination_count));
}

static void read_destination(const struct daemon *daemon, struct pools_entry *entry,
			     uint64_t now_ns)
{
	struct gauge *gauge = &entry->gauge;
	const struct tally_entry *found;

	if (!gauge->has_destination)
		return;
	found = tally_find(&daemon->destinations, &gauge->destination);
	trend_add(&gauge->destination_count, now_ns, found ? found->count : 0);
}

void gauge_tick(struct daemon *daemon)
{
	uint64_t now_ns = daemon_boot_ns();
	bool is_time_to_look = daemon->ticks % (LOOK_SECONDS * DAEMON_TICKS_PER_S) == 0;

	for (struct pools_entry *entry = pools_first(daemon->pools); entry;
	     entry = entry->next) {
		read_counts(daemon, entry, now_ns);
		if (!daemon->pipeline)
			continue;
		if (is_time_to_look || !entry->gauge.has_destination)
			look(daemon, entry);
		read_destination(daemon, entry, now_ns);
	}
}
