/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NS_PER_S	1000000000ULL
#define DEFAULT_NAME	"default"
#define DEFAULT_FROM	49152
#define DEFAULT_TO	65535
#define DEFAULT_REST_NS (60 * NS_PER_S) /* Linux keeps TIME_WAIT as long */
#define DEFAULT_LEDGER	"/var/lib/srcport/ledger"
#define DEFAULT_KEEP_NS (30 * 86400 * NS_PER_S)

static const char *const sharing_names[] = {
	[SHARING_NEVER] = "never",
	[SHARING_WHEN_FULL] = "when-full",
	[SHARING_ALWAYS] = "always",
};

#define SHARING_COUNT (sizeof(sharing_names) / sizeof(sharing_names[0]))

void pool_init(struct pool *pool, const char *name)
{
	*pool = (struct pool){
		.quarantine_ns = DEFAULT_REST_NS,
		.sharing = SHARING_WHEN_FULL,
		.early_reuse = true,
		.exhausted = EXHAUSTED_KERNEL,
	};
	snprintf(pool->name, sizeof(pool->name), "%s", name);
	port_set_add(&pool->ports, DEFAULT_FROM, DEFAULT_TO);
}

void policy_init(struct policy *policy)
{
	memset(policy, 0, sizeof(*policy));
	policy->pool_count = 1;
	pool_init(&policy->pools[0], DEFAULT_NAME);
	strcpy(policy->ledger_path, DEFAULT_LEDGER);
	policy->ledger_keep_ns = DEFAULT_KEEP_NS;
	policy->cmdline = CMDLINE_REDACTED;
}

const struct pool *policy_find_pool(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->pool_count; i++)
		if (strcmp(policy->pools[i].name, name) == 0)
			return &policy->pools[i];
	return NULL;
}

const char *sharing_name(enum sharing sharing)
{
	return (size_t)sharing < SHARING_COUNT ? sharing_names[sharing] : NULL;
}

int sharing_parse(const char *name, enum sharing *ret)
{
	for (size_t i = 0; i < SHARING_COUNT; i++) {
		if (strcmp(sharing_names[i], name) == 0) {
			*ret = (enum sharing)i;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *const algorithm_names[] = {
	[ALGORITHM_RANDOM] = "random",
	[ALGORITHM_RANDOM_SIMPLE] = "random-simple",
	[ALGORITHM_RANDOM_RETRY] = "random-retry",
	[ALGORITHM_HASH] = "hash",
	[ALGORITHM_DOUBLE_HASH] = "double-hash",
	[ALGORITHM_INCREMENTS] = "increments",
};

#define ALGORITHM_COUNT (sizeof(algorithm_names) / sizeof(algorithm_names[0]))

const char *algorithm_name(enum algorithm algorithm)
{
	return (size_t)algorithm < ALGORITHM_COUNT ? algorithm_names[algorithm] : NULL;
}

int algorithm_parse(const char *name, enum algorithm *ret)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++) {
		if (strcmp(algorithm_names[i], name) == 0) {
			*ret = (enum algorithm)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *foreign_bind_name(enum foreign_bind what)
{
	static const char *const names[] = {
		[FOREIGN_BIND_REPORT] = "report",
		[FOREIGN_BIND_REFUSE] = "refuse",
		[FOREIGN_BIND_ALLOW] = "allow",
	};

	return names[what];
}

int policy_manage_all(struct policy *policy)
{
	struct rule *rule;

	if (policy->rule_count == POLICY_RULES_MAX)
		return -ENOSPC;
	rule = &policy->rules[policy->rule_count++];
	*rule = (struct rule){.name = "everything", .pool = DEFAULT_NAME};
	return 0;
}
