/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_run.c - give the asking process a cgroup of its own whose sessions take
 * their ports from a pool. The process then becomes the command.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "daemon/method.h"
#include "daemon/pools.h"
#include "daemon/runs.h"

struct wish {
	const char *pool;
	const char *ports;
	const char *sharing;
};

static int read_wish(struct request *request, struct wish *wish)
{
	int err = request_text(request, "pool", &wish->pool);

	if (err >= 0)
		err = request_text(request, "ports", &wish->ports);
	if (err >= 0)
		err = request_text(request, "sharing", &wish->sharing);
	if (err >= 0 && wish->pool && wish->ports) {
		fault_set(&request->fault, -EINVAL,
			  "a pool has its ports: give one or the other");
		return request_refuse(request, -EINVAL, "bad-param", "ports");
	}
	return err;
}

/* The policy's pool, or a copy with what the run asked for. */
static int make_pool(struct request *request, const struct wish *wish,
		     struct pool *pool)
{
	const char *name = wish->pool ? wish->pool : "default";
	const struct pool *found = policy_find_pool(request->daemon->policy, name);
	int err;

	if (!found && wish->pool) {
		fault_set(&request->fault, -ENOENT, "the policy has no pool %.64s",
			  name);
		return request_refuse(request, -ENOENT, "no-such-pool", "pool");
	}
	if (found)
		*pool = *found;
	else
		pool_init(pool, name);
	if (wish->ports || wish->sharing)
		snprintf(pool->name, sizeof(pool->name), "run-%d", request->peer_pid);
	if (wish->ports) {
		err = port_set_parse(wish->ports, &pool->ports, &request->fault);
		if (err < 0)
			return request_refuse(request, err, "bad-param", "ports");
	}
	if (wish->sharing && sharing_parse(wish->sharing, &pool->sharing) < 0) {
		fault_set(&request->fault, -EINVAL,
			  "sharing is never, when-full or always, not %.64s",
			  wish->sharing);
		return request_refuse(request, -EINVAL, "bad-param", "sharing");
	}
	return 0;
}

static int begin(struct request *request)
{
	CLEANUP_FREE struct pool *pool = calloc(1, sizeof(*pool));
	struct wish wish = {0};
	const struct run *run;
	int err;

	if (!pool)
		return -ENOMEM;
	if (request->peer_pid <= 0)
		return fault_set(&request->fault, -ESRCH,
				 "the caller lives in another pid namespace: start "
				 "srcport run on the host");
	err = read_wish(request, &wish);
	if (err >= 0)
		err = make_pool(request, &wish, pool);
	if (err >= 0)
		err = runs_start(request->daemon->runs, request->peer_pid, pool,
				 wish.ports || wish.sharing, &run, &request->fault);
	if (err < 0)
		return err;
	json_object_set_new(request->done, "pool", json_string(run->pool->pool.name));
	json_object_set_new(request->done, "cgroup", json_string(run->cgroup.path));
	return METHOD_DONE;
}

const struct method method_run = {
	.name = "run",
	.is_change = true,
	.begin = begin,
};
