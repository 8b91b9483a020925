/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_pools.c - how full the pools are, who fills them, and when they will be.
 *
 * An item a pool; the last line has the kernel memory. What is not known is null.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/collect.h"
#include "daemon/census.h"
#include "daemon/manage.h"
#include "daemon/method.h"
#include "daemon/pools.h"
#include "report/report_escape.h"

#define NS_PER_S 1e9

DEFINE_CLEANUP(json_t, json_decref)

static json_t *text_json(const char *text)
{
	CLEANUP_FREE char *mended = text ? report_mend_utf8(text) : NULL;

	return mended ? json_string(mended) : json_null();
}

static json_t *reasons_json(const struct alloc_count *count)
{
	json_t *reasons = json_object();

	for (int i = 0; i < ALLOC_REASON_COUNT; i++)
		json_object_set_new(reasons, alloc_reason_name(i),
				    json_integer(count->by_reason[i]));
	return reasons;
}

static json_t *forecast_json(const struct trend *trend, double rise)
{
	double seconds;

	return trend_seconds_for(trend, rise, &seconds) ? json_real(seconds)
							: json_null();
}

/* Ports of the pool that are open to the destination; -1: not known. */
static int64_t count_open(const struct daemon *daemon, const struct pools_entry *entry,
			  const struct tally_entry *destination)
{
	struct alloc_outlook outlook;
	bool shares = destination->protocol == IPPROTO_TCP
			      ? entry->pool.sharing != SHARING_NEVER
			      : entry->pool.udp_shares;

	if (alloc_outlook(daemon->alloc, entry->number, destination->netns,
			  destination->protocol, &destination->address,
			  destination->port, &outlook) < 0)
		return -1;
	return outlook.unused + (shares ? outlook.shared : 0);
}

static bool has_trend(const struct gauge *gauge, const struct tally_entry *most)
{
	return gauge->has_destination && gauge->destination.id.netns == most->netns &&
	       gauge->destination.protocol == most->protocol &&
	       gauge->destination.dport == most->port &&
	       address_equal(&gauge->destination.dst, &most->address);
}

static json_t *destination_json(const struct daemon *daemon,
				const struct pools_entry *entry,
				const struct census *census)
{
	const struct tally_entry *most =
		tally_most(&census->destinations, entry->pool.name);
	char address[ADDRESS_TEXT_MAX];
	int64_t open;

	if (!most)
		return json_null();
	open = count_open(daemon, entry, most);
	return json_pack("{s:I, s:s, s:s, s:i, s:i, s:o, s:o}", "netns",
			 (json_int_t)most->netns, "proto",
			 protocol_name(most->protocol), "dst",
			 address_format(&most->address, address), "dport", most->port,
			 "sessions", most->count, "open",
			 open < 0 ? json_null() : json_integer(open), "forecast",
			 open >= 0 && has_trend(&entry->gauge, most)
				 ? forecast_json(&entry->gauge.destination_count, open)
				 : json_null());
}

static json_t *owner_json(const struct pools_entry *entry, const struct census *census)
{
	const struct tally_entry *most = tally_most(&census->owners, entry->pool.name);
	const struct owner *owner = most ? most->owner : NULL;

	if (!most)
		return json_null();
	return json_pack(
		"{s:o, s:o, s:o, s:I, s:o, s:i}", "pid",
		owner ? json_integer(owner->pid) : json_null(), "comm",
		text_json(owner ? owner->comm : NULL), "exe",
		text_json(owner ? owner->exe : NULL), "uid", (json_int_t)most->uid,
		"user", text_json(owner ? owner->user : NULL), "sessions", most->count);
}

static json_t *figures_json(const struct reuse_figures *figures, double unit)
{
	if (!figures->count)
		return json_null();
	return json_pack("{s:I, s:f, s:f}", "count", (json_int_t)figures->count, "min",
			 figures->minimum / unit, "median", figures->median / unit);
}

static void set_reuse(const struct daemon *daemon, json_t *item, const char *name)
{
	struct reuse_pool reuse = {0};

	if (daemon->reuse)
		reuse_find(daemon->reuse, name, &reuse);
	json_object_set_new(item, "reuse_distance", figures_json(&reuse.distance, 1));
	json_object_set_new(item, "rest", figures_json(&reuse.rest_ns, NS_PER_S));
}

static void set_policy(json_t *item, const struct pool *pool)
{
	char ports[PORT_SET_TEXT_MAX];

	json_object_set_new(
		item, "ports",
		json_string(port_set_format(&pool->ports, ports, sizeof(ports))));
	json_object_set_new(item, "algorithm",
			    json_string(algorithm_name(pool->algorithm)));
	json_object_set_new(item, "sharing", json_string(sharing_name(pool->sharing)));
	json_object_set_new(item, "udp_shares", json_boolean(pool->udp_shares));
	json_object_set_new(item, "quarantine",
			    json_real(pool->quarantine_ns / NS_PER_S));
	json_object_set_new(item, "quarantine_all", json_boolean(pool->quarantine_all));
	json_object_set_new(item, "early_reuse", json_boolean(pool->early_reuse));
	json_object_set_new(
		item, "exhausted",
		json_string(pool->exhausted == EXHAUSTED_REFUSE ? "refuse" : "kernel"));
	json_object_set_new(item, "quota",
			    pool->quota ? json_integer(pool->quota) : json_null());
}

static void set_counts(json_t *item, const struct alloc_pool_count *count)
{
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{"capacity", count->capacity},
		{"held", count->held},
		{"busiest", count->busiest},
		{"resting", count->resting},
		{"bytes", count->bytes},
		{"picks", count->count.picks},
		{"shared", count->count.shared},
		{"early_reuses", count->count.early_reuses},
		{"conflicts", count->count.conflicts},
		{"fallbacks", count->count.fallbacks},
		{"refusals", count->count.refusals},
		{"releases", count->count.releases},
		{"rests", count->count.rests},
		{"rests_cut_short", count->count.rests_cut_short},
		{"foreign_binds", count->count.foreign_binds},
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		json_object_set_new(item, fields[i].name,
				    json_integer(fields[i].value));
	json_object_set_new(item, "by_reason", reasons_json(&count->count));
}

/* entry: NULL where the allocator does not know the pool yet. */
static json_t *pool_json(const struct daemon *daemon, const struct pool *pool,
			 const struct pools_entry *entry, const struct census *census)
{
	struct alloc_pool_count count = {.capacity = port_set_count(&pool->ports)};
	json_t *item = json_pack("{s:s, s:b, s:i, s:i}", "name", pool->name, "is_used",
				 entry != NULL, "rules", entry ? entry->rule_count : 0,
				 "runs", entry ? entry->run_count : 0);

	if (entry)
		alloc_pool_count(daemon->alloc, entry->number, &count);
	set_policy(item, pool);
	set_counts(item, &count);
	json_object_set_new(
		item, "leases",
		json_integer(entry ? alloc_pool_leases(daemon->alloc, entry->number)
				   : 0));
	json_object_set_new(item, "is_outdated",
			    json_boolean(entry && entry->is_outdated));
	json_object_set_new(item, "picks_per_second",
			    json_real(entry ? entry->gauge.picks_per_s : 0));
	json_object_set_new(
		item, "forecast",
		entry ? forecast_json(&entry->gauge.busiest,
				      (double)count.capacity - count.busiest)
		      : json_null());
	json_object_set_new(item, "busiest_destination",
			    entry ? destination_json(daemon, entry, census)
				  : json_null());
	json_object_set_new(item, "holds_most",
			    entry ? owner_json(entry, census) : json_null());
	json_object_set_new(item, "told_by",
			    json_string(census->is_guess ? "sock_diag" : "record"));
	set_reuse(daemon, item, pool->name);
	return item;
}

static int answer_all(struct request *request, const char *name,
		      const struct census *census)
{
	const struct daemon *daemon = request->daemon;
	const struct policy *policy = daemon->policy;
	int count = 0;

	for (size_t i = 0; i < policy->pool_count; i++) {
		const struct pool *pool = &policy->pools[i];

		if (name && strcmp(pool->name, name) != 0)
			continue;
		request_item(request,
			     pool_json(daemon, pool,
				       pools_find(daemon->pools, pool->name), census));
		count++;
	}
	/* Those made for a run, and those of before a reload that runs still use. */
	for (const struct pools_entry *entry = pools_first(daemon->pools); entry;
	     entry = entry->next) {
		if ((!entry->is_made_for_run && !entry->is_outdated) ||
		    (name && strcmp(entry->pool.name, name) != 0))
			continue;
		request_item(request, pool_json(daemon, &entry->pool, entry, census));
		count++;
	}
	return count;
}

static json_t *memory_json(const struct daemon *daemon)
{
	struct alloc_memory memory;

	alloc_memory(daemon->alloc, &memory);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "total",
			 (json_int_t)memory.total, "records",
			 (json_int_t)memory.records, "tuples",
			 (json_int_t)memory.tuples, "per_port",
			 (json_int_t)memory.per_port, "per_shared",
			 (json_int_t)memory.per_shared, "per_resting",
			 (json_int_t)memory.per_resting, "recorder",
			 daemon->collect ? json_integer(collect_memory(daemon->collect))
					 : json_null());
}

static int begin(struct request *request)
{
	CLEANUP(census_release) struct census census = {0};
	const char *name = NULL;
	int err = request_text(request, "name", &name);

	if (err < 0)
		return err;
	err = census_take(request->daemon, &census);
	if (err < 0)
		return err;
	if (!answer_all(request, name, &census) && name) {
		fault_set(&request->fault, -ENOENT, "there is no pool %.64s", name);
		return request_refuse(request, -ENOENT, "no-such-pool", "name");
	}
	json_object_set_new(request->done, "mode",
			    json_string(method_mode_name(request->daemon)));
	json_object_set_new(request->done, "memory", memory_json(request->daemon));
	return METHOD_DONE;
}

const struct method method_pools = {
	.name = "pools",
	.begin = begin,
};
