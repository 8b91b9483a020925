/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* [pool NAME] */
#include <stdlib.h>
#include <string.h>

#include "model/moment.h"
#include "policy/policy_keys.h"

static void add_ports(struct policy_parser *parser, const char *value,
		      struct port_set *ret, const char *prefix)
{
	struct port_set set;
	struct fault fault;

	if (port_set_parse(value, &set, &fault) < 0)
		policy_fail(parser, "%s%.240s", prefix, fault.text);
	else
		port_set_join(ret, &set);
}

static void set_ports(struct policy_parser *parser, const char *value)
{
	add_ports(parser, value, &parser->ports, "");
}

static void set_except(struct policy_parser *parser, const char *value)
{
	if (*value)
		add_ports(parser, value, &parser->except, "except: ");
}

static void set_psid(struct policy_parser *parser, const char *value)
{
	struct fault fault;

	if (port_set_parse_psid(value, &parser->psid, &fault) < 0)
		policy_fail(parser, "%.250s", fault.text);
}

static void set_quarantine(struct policy_parser *parser, const char *value)
{
	if (duration_parse(value, &parser->pool->quarantine_ns) < 0)
		policy_fail_value(parser, "quarantine", value,
				  "a time such as 60s, 10m or 0");
}

static void set_quarantine_all(struct policy_parser *parser, const char *value)
{
	policy_set_flag(parser, "quarantine-all", value, &parser->pool->quarantine_all);
}

static void set_algorithm(struct policy_parser *parser, const char *value)
{
	if (algorithm_parse(value, &parser->pool->algorithm) < 0)
		policy_fail_value(parser, "algorithm", value,
				  "random, random-simple, random-retry, hash, "
				  "double-hash or increments");
}

static void set_sharing(struct policy_parser *parser, const char *value)
{
	if (sharing_parse(value, &parser->pool->sharing) < 0)
		policy_fail_value(parser, "sharing", value,
				  "never, when-full or always");
}

static void set_udp_sharing(struct policy_parser *parser, const char *value)
{
	policy_set_flag(parser, "udp-sharing", value, &parser->pool->udp_shares);
}

static void set_early_reuse(struct policy_parser *parser, const char *value)
{
	policy_set_flag(parser, "early-reuse", value, &parser->pool->early_reuse);
}

static void set_exhausted(struct policy_parser *parser, const char *value)
{
	static const char *const names[] = {
		[EXHAUSTED_KERNEL] = "kernel", [EXHAUSTED_REFUSE] = "refuse", NULL};
	int chosen = policy_choose(parser, "exhausted", value, names);

	if (chosen >= 0)
		parser->pool->exhausted = (enum exhausted)chosen;
}

static void set_quota(struct policy_parser *parser, const char *value)
{
	size_t length = strlen(value);

	if (strcmp(value, "none") == 0)
		parser->pool->quota = 0;
	else if (length && length <= 9 && strspn(value, "0123456789") == length &&
		 strtoul(value, NULL, 10) > 0)
		parser->pool->quota = (uint32_t)strtoul(value, NULL, 10);
	else
		policy_fail_value(parser, "quota", value,
				  "none or a number from 1 to 999999999");
}

/* The pool of that name, made where there was none. NULL: a note says why. */
static struct pool *claim_pool(struct policy_parser *parser, const char *name)
{
	struct policy *policy = parser->policy;
	size_t at = 0;

	while (at < policy->pool_count && strcmp(policy->pools[at].name, name) != 0)
		at++;
	if (at == POLICY_POOLS_MAX) {
		policy_fail(parser, "found one pool too many, expected at most %d",
			    POLICY_POOLS_MAX);
		return NULL;
	}
	if (policy->pool_lines[at]) {
		policy_fail(parser,
			    "found [pool %s] again, expected it once (it is on line "
			    "%d)",
			    name, policy->pool_lines[at]);
		return NULL;
	}
	if (at == policy->pool_count) {
		pool_init(&policy->pools[at], name);
		policy->pool_count++;
	}
	policy->pool_lines[at] = parser->line;
	return &policy->pools[at];
}

static bool begin(struct policy_parser *parser, const char *value)
{
	parser->ports = parser->except = parser->psid = (struct port_set){0};
	if (!policy_check_name(parser, "pool", value))
		return false;
	if (strcmp(value, POLICY_POOL_KERNEL) == 0) {
		policy_fail(parser, "found [pool kernel], expected another name: in a "
				    "rule, kernel means that the kernel picks");
		return false;
	}
	parser->pool = claim_pool(parser, value);
	return parser->pool != NULL;
}

/* The ports, once all keys that speak of them were seen. */
static void end(struct policy_parser *parser)
{
	struct port_set *ports = &parser->pool->ports;

	if (parser->notes->error_count != parser->section_error_count)
		return;
	if (policy_has_key(parser, "ports"))
		*ports = parser->ports;
	else if (policy_has_key(parser, "psid"))
		*ports = parser->psid;
	if (policy_has_key(parser, "psid"))
		port_set_intersect(ports, &parser->psid);
	if (port_set_count(ports) == 0)
		policy_fail(parser,
			    "pool %s: \"ports\" has no port of \"psid\", expected one",
			    parser->pool->name);
	else if (port_set_remove(ports, &parser->except), port_set_count(ports) == 0)
		policy_fail(parser, "pool %s: \"except\" leaves no port, expected one",
			    parser->pool->name);
}

static const struct policy_key keys[] = {
	{.name = "ports", .set = set_ports, .adds_up = true},
	{.name = "except", .set = set_except, .adds_up = true},
	{.name = "psid", .set = set_psid},
	{.name = "quarantine", .set = set_quarantine},
	{.name = "quarantine-all", .set = set_quarantine_all},
	{.name = "algorithm", .set = set_algorithm},
	{.name = "sharing", .set = set_sharing},
	{.name = "udp-sharing", .set = set_udp_sharing},
	{.name = "early-reuse", .set = set_early_reuse},
	{.name = "exhausted", .set = set_exhausted},
	{.name = "quota", .set = set_quota},
	{.name = NULL},
};

const struct policy_section policy_section_pool = {
	.name = "pool",
	.keys = keys,
	.begin = begin,
	.end = end,
};
