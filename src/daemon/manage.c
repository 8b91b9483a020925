/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/manage.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/pools.h"
#include "kernel/socket_units.h"

/* A pool for each rule: each is a use of it. */
struct uses {
	size_t count;
	struct pools_entry *entries[POLICY_RULES_MAX]; /* NULL: the kernel picks */
};

struct manage {
	struct daemon *daemon;
	struct uses uses;
	bool is_attached;
	struct port_set reserved;
};

int manage_new(struct daemon *daemon, struct manage **ret)
{
	struct manage *manage = calloc(1, sizeof(*manage));

	if (!manage)
		return -ENOMEM;
	manage->daemon = daemon;
	*ret = manage;
	return 0;
}

static void drop_uses(struct manage *manage, struct uses *uses)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->entries[i])
			pools_drop(manage->daemon->pools, uses->entries[i], POOLS_RULE);
	uses->count = 0;
}

void manage_free(struct manage *manage)
{
	if (!manage)
		return;
	drop_uses(manage, &manage->uses);
	free(manage);
}

static bool is_prepared(const struct uses *uses, const struct pools_entry *entry)
{
	for (size_t i = 0; i < uses->count; i++)
		if (uses->entries[i] == entry)
			return true;
	return false;
}

static int use_pool(struct manage *manage, const struct policy *policy,
		    const struct rule *rule, struct uses *uses, struct fault *fault)
{
	const struct pool *pool = policy_find_pool(policy, rule->pool);
	struct pools_entry *entry = NULL;
	int err;

	if (!rule->pool[0]) {
		uses->entries[uses->count++] = NULL;
		return 0;
	}
	if (!pool)
		return fault_set(fault, -ENOENT, "rule %s: there is no pool %s",
				 rule->name, rule->pool);
	err = pools_use(manage->daemon->pools, pool, POOLS_RULE, &entry, fault);
	if (err < 0)
		return err;
	if (!is_prepared(uses, entry))
		err = alloc_prepare(manage->daemon->alloc, entry->number, -1, fault);
	uses->entries[uses->count++] = entry;
	return err;
}

static int set_rules(struct manage *manage, const struct policy *policy,
		     const struct uses *uses, struct fault *fault)
{
	uint32_t numbers[POLICY_RULES_MAX];

	for (size_t i = 0; i < uses->count; i++)
		numbers[i] = uses->entries[i] ? uses->entries[i]->number : 0;
	return alloc_set_rules(manage->daemon->alloc, policy->rules, numbers,
			       uses->count, manage->daemon->cgroup_root, fault);
}

/*
 * The recorder's hooks run after ours, so those of before are replaced: for a moment
 * there are both, and the pipeline takes what both tell for one session.
 */
static int attach(struct manage *manage, struct fault *fault)
{
	struct daemon *daemon = manage->daemon;
	const struct cgroup *scope = &daemon->scope;
	int err;

	if (manage->is_attached)
		return 0;
	err = alloc_attach(daemon->alloc, scope->fd, scope->id, 0, fault);
	if (err < 0)
		return err;
	manage->is_attached = true;
	if (!daemon->is_observing)
		return 0;
	err = collect_attach_cgroup(daemon->collect, scope->fd, scope->id, fault);
	if (err >= 0)
		collect_detach_cgroup(daemon->collect, scope->id);
	return err;
}

static void detach(struct manage *manage)
{
	if (manage->is_attached)
		alloc_detach(manage->daemon->alloc, manage->daemon->scope.id);
	manage->is_attached = false;
}

static void keep_port(const char *unit, uint16_t port, void *arg)
{
	(void)unit;
	if (port >= 1024)
		port_set_add(arg, port, port);
}

static void read_units(struct manage *manage, bool is_first)
{
	CLEANUP_FREE struct port_set *ports = calloc(1, sizeof(*ports));
	char text[PORT_SET_TEXT_MAX];

	if (!ports || socket_units_visit("", keep_port, ports) < 0) {
		log_say("the unit files of systemd cannot be read: ports of socket "
			"units may be given");
		return;
	}
	if (!is_first && memcmp(ports, &manage->reserved, sizeof(*ports)) == 0)
		return;
	if (!is_first)
		log_say("ports of socket units, never given: %s",
			port_set_count(ports)
				? port_set_format(ports, text, sizeof(text))
				: "none");
	manage->reserved = *ports;
	alloc_set_reserved(manage->daemon->alloc, &manage->reserved);
}

static int use_all(struct manage *manage, const struct policy *policy,
		   struct uses *uses, struct fault *fault)
{
	int err = 0;

	for (size_t i = 0; i < policy->rule_count && err >= 0; i++)
		err = use_pool(manage, policy, &policy->rules[i], uses, fault);
	return err;
}

int manage_apply(struct manage *manage, const struct policy *policy,
		 struct fault *fault)
{
	struct uses uses = {0}, before = manage->uses;
	int err;

	if (manage->daemon->options.is_transient)
		return 0;
	if (policy->rule_count)
		read_units(manage, !manage->is_attached);
	err = use_all(manage, policy, &uses, fault);
	if (err >= 0)
		err = set_rules(manage, policy, &uses, fault);
	if (err >= 0 && uses.count)
		err = attach(manage, fault);
	if (err < 0) {
		/* Only the first attaching fails, and before it there were no rules. */
		if (!before.count) {
			detach(manage);
			alloc_set_rules(manage->daemon->alloc, NULL, NULL, 0,
					manage->daemon->cgroup_root, NULL);
		}
		drop_uses(manage, &uses);
		return err;
	}
	if (!uses.count)
		detach(manage);
	alloc_set_guard(manage->daemon->alloc, policy->guard.foreign_bind);
	manage->uses = uses;
	drop_uses(manage, &before);
	return 0;
}

bool manage_is_on(const struct manage *manage)
{
	return manage->is_attached;
}

const struct pools_entry *manage_pool(const struct manage *manage, int rule)
{
	return rule >= 0 && (size_t)rule < manage->uses.count
		       ? manage->uses.entries[rule]
		       : NULL;
}

void manage_tick(struct manage *manage)
{
	if (manage->is_attached)
		read_units(manage, false);
}

size_t manage_reserved_count(const struct manage *manage)
{
	return port_set_count(&manage->reserved);
}
