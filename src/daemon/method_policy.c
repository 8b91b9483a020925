/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method_policy.c - read the policy anew; allocate, or do not.
 */
#include <errno.h>

#include "daemon/manage.h"
#include "daemon/method.h"
#include "daemon/reload.h"

/* {"message"}: a fault of the file, or what a reload cannot change. */
static void say(const char *text, void *request)
{
	request_item(request, json_pack("{s:s}", "message", text));
}

static int reload(struct request *request)
{
	const struct policy *policy;
	int err = reload_policy(request->daemon, say, request, &request->fault);

	if (err < 0)
		return request_refuse(request, err, "bad-policy", NULL);
	policy = request->daemon->policy;
	json_object_set_new(request->done, "pools", json_integer(policy->pool_count));
	json_object_set_new(request->done, "rules", json_integer(policy->rule_count));
	json_object_set_new(request->done, "mode",
			    json_string(method_mode_name(request->daemon)));
	return METHOD_DONE;
}

static int set_mode(struct request *request, enum alloc_mode mode)
{
	daemon_set_mode(request->daemon, mode);
	json_object_set_new(request->done, "mode",
			    json_string(method_mode_name(request->daemon)));
	return METHOD_DONE;
}

static int on(struct request *request)
{
	return set_mode(request,
			request->daemon->options.dry_run ? ALLOC_DRY_RUN : ALLOC_ON);
}

static int off(struct request *request)
{
	return set_mode(request, ALLOC_OFF);
}

const struct method method_reload = {
	.name = "reload",
	.is_change = true,
	.begin = reload,
};

const struct method method_on = {
	.name = "on",
	.is_change = true,
	.begin = on,
};

const struct method method_off = {
	.name = "off",
	.is_change = true,
	.begin = off,
};
