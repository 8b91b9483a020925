/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_status.c - is it running, on which hooks, what was lost.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/paths.h"
#include "daemon/kernel_range.h"
#include "daemon/manage.h"
#include "daemon/method.h"
#include "daemon/notices.h"
#include "daemon/pools.h"
#include "daemon/runs.h"
#include "model/moment.h"

static json_t *moment_json(uint64_t moment_ns)
{
	char text[MOMENT_TEXT_MAX];

	return moment_ns ? json_string(moment_format(moment_ns, text)) : json_null();
}

/* The first that holds; "records" says whether sessions are recorded. */
const char *method_mode_name(const struct daemon *daemon)
{
	if (daemon->mode == ALLOC_OFF)
		return "off";
	if (daemon->mode == ALLOC_DRY_RUN)
		return "dry-run";
	if (daemon->options.is_transient)
		return "transient";
	if (manage_is_on(daemon->manage))
		return "manage";
	return daemon->options.no_record ? "no-record" : "observe";
}

static json_t *hooks_json(const struct daemon *daemon)
{
	json_t *hooks = json_array();

	if (runs_first(daemon->runs) || manage_is_on(daemon->manage)) {
		json_array_append_new(hooks, json_string("cgroup/connect"));
		json_array_append_new(hooks, json_string("cgroup/bind"));
	}
	if (daemon->collect) {
		json_array_append_new(hooks, json_string("sock tracepoints"));
		json_array_append_new(hooks, json_string("process tracepoints"));
	}
	return hooks;
}

/* What decides, whether or not it is at work. */
static json_t *policy_json(const struct daemon *daemon)
{
	const struct policy *policy = daemon->policy;
	const char *path =
		daemon->options.config ? daemon->options.config : PATHS_CONFIG;

	return json_pack("{s:s?, s:i, s:i, s:s, s:i, s:o}", "file",
			 daemon->policy_has_file ? path : NULL, "pools",
			 (int)policy->pool_count, "rules", (int)policy->rule_count,
			 "foreign_bind", foreign_bind_name(policy->guard.foreign_bind),
			 "socket_unit_ports",
			 (int)manage_reserved_count(daemon->manage), "kernel_range",
			 kernel_range_json(daemon->options.state));
}

static json_t *pool_json(const struct daemon *daemon, const struct pool *pool,
			 const struct pools_entry *entry)
{
	struct alloc_pool_count count = {.capacity = port_set_count(&pool->ports)};
	char ports[PORT_SET_TEXT_MAX];

	if (entry)
		alloc_pool_count(daemon->alloc, entry->number, &count);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:f, s:i}", "name", pool->name,
			 "ports", port_set_format(&pool->ports, ports, sizeof(ports)),
			 "capacity", (json_int_t)count.capacity, "held",
			 (json_int_t)count.held, "resting", (json_int_t)count.resting,
			 "sharing", sharing_name(pool->sharing), "quarantine",
			 pool->quarantine_ns / 1e9, "runs",
			 entry ? entry->run_count : 0);
}

/* The policy's pools, whether in use or not, and those of runs alone. */
static json_t *pools_json(const struct daemon *daemon)
{
	const struct policy *policy = daemon->policy;
	json_t *pools = json_array();

	for (size_t i = 0; i < policy->pool_count; i++)
		json_array_append_new(
			pools,
			pool_json(daemon, &policy->pools[i],
				  pools_find(daemon->pools, policy->pools[i].name)));
	for (const struct pools_entry *entry = pools_first(daemon->pools); entry;
	     entry = entry->next)
		if (entry->is_made_for_run || entry->is_outdated)
			json_array_append_new(pools,
					      pool_json(daemon, &entry->pool, entry));
	return pools;
}

static json_t *sessions_json(const struct daemon *daemon)
{
	struct pipeline_count count;

	if (!daemon->pipeline)
		return json_null();
	pipeline_count(daemon->pipeline, &count);
	return json_pack("{s:I, s:I, s:I, s:I}", "opened", (json_int_t)count.opened,
			 "closed", (json_int_t)count.closed, "open",
			 (json_int_t)count.open, "lost", (json_int_t)count.lost);
}

static json_t *alloc_json(const struct daemon *daemon)
{
	struct alloc_count count;
	json_t *object = json_object();

	alloc_count(daemon->alloc, &count);
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{"picks", count.picks},
		{"shared", count.shared},
		{"early_reuses", count.early_reuses},
		{"conflicts", count.conflicts},
		{"fallbacks", count.fallbacks},
		{"refusals", count.refusals},
		{"releases", count.releases},
		{"rests", count.rests},
		{"rests_cut_short", count.rests_cut_short},
		{"table_full", count.table_full},
		{"dense_full", count.dense_full},
		{"foreign_binds", count.foreign_binds},
		{"repairs", count.repairs},
		{"missed", count.missed},
		{"notices", notices_count(daemon->notices)},
		{"notices_dropped", notices_dropped(daemon->notices)},
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		json_object_set_new(object, fields[i].name,
				    json_integer(fields[i].value));
	return object;
}

static json_t *ledger_json(const struct daemon *daemon)
{
	if (!daemon->ledger)
		return json_null();
	return json_pack("{s:s, s:o, s:s?}", "path", daemon->ledger_path, "last_commit",
			 moment_json(daemon->last_commit_ns), "error",
			 daemon->ledger_error[0] ? daemon->ledger_error : NULL);
}

static json_t *runs_json(const struct daemon *daemon)
{
	json_t *runs = json_array();

	for (const struct run *run = runs_first(daemon->runs); run; run = run->next)
		json_array_append_new(
			runs, json_pack("{s:s, s:s, s:i}", "pool", run->pool->pool.name,
					"cgroup", run->cgroup.path, "pid", run->pid));
	return runs;
}

static int begin(struct request *request)
{
	const struct daemon *daemon = request->daemon;
	json_t *done = json_pack(
		"{s:i, s:s, s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"pid", getpid(), "version", SRCPORT_VERSION, "since",
		moment_json(daemon->start_ns), "scope",
		daemon->scope.path[0] ? daemon->scope.path : "/", "mode",
		method_mode_name(daemon), "records", daemon->pipeline != NULL, "hooks",
		hooks_json(daemon), "policy", policy_json(daemon), "pools",
		pools_json(daemon), "sessions", sessions_json(daemon), "alloc",
		alloc_json(daemon), "ledger", ledger_json(daemon), "runs",
		runs_json(daemon));

	if (!done)
		return fault_set(&request->fault, -ENOMEM, "out of memory");
	json_decref(request->done);
	request->done = done;
	return METHOD_DONE;
}

const struct method method_status = {
	.name = "status",
	.begin = begin,
};
