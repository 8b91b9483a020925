/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* [guard] and [ledger]: the sections that stand once. */
#include <string.h>

#include "model/moment.h"
#include "policy/policy_keys.h"

static void set_foreign_bind(struct policy_parser *parser, const char *value)
{
	static const char *const names[] = {
		[FOREIGN_BIND_REPORT] = "report",
		[FOREIGN_BIND_REFUSE] = "refuse",
		[FOREIGN_BIND_ALLOW] = "allow",
		NULL,
	};
	int chosen = policy_choose(parser, "foreign-bind", value, names);

	if (chosen >= 0)
		parser->policy->guard.foreign_bind = (enum foreign_bind)chosen;
}

static void set_kernel_range(struct policy_parser *parser, const char *value)
{
	static const char *const names[] = {"leave", "adjust", NULL};
	int chosen = policy_choose(parser, "kernel-range", value, names);

	if (chosen >= 0)
		parser->policy->guard.adjusts_kernel_range = chosen == 1;
}

static bool begin_guard(struct policy_parser *parser, const char *value)
{
	return policy_begin_only(parser, "guard", value, &parser->guard_line);
}

static const struct policy_key guard_keys[] = {
	{.name = "foreign-bind", .set = set_foreign_bind},
	{.name = "kernel-range", .set = set_kernel_range},
	{.name = NULL},
};

const struct policy_section policy_section_guard = {
	.name = "guard",
	.keys = guard_keys,
	.begin = begin_guard,
};

static void set_path(struct policy_parser *parser, const char *value)
{
	if (*value != '/')
		policy_fail_value(parser, "path", value, "a path that begins with /");
	else if (strlen(value) >= sizeof(parser->policy->ledger_path))
		policy_fail_value(parser, "path", value,
				  "a path shorter than 4096 characters");
	else
		strcpy(parser->policy->ledger_path, value);
}

static void set_keep(struct policy_parser *parser, const char *value)
{
	uint64_t keep_ns;

	if (duration_parse(value, &keep_ns) < 0 || keep_ns == 0)
		policy_fail_value(parser, "keep", value,
				  "a time above 0, such as 30d or 12h");
	else
		parser->policy->ledger_keep_ns = keep_ns;
}

static void set_cmdline(struct policy_parser *parser, const char *value)
{
	static const char *const names[] = {
		[CMDLINE_REDACTED] = "redacted",
		[CMDLINE_FULL] = "full",
		[CMDLINE_ARGV0] = "argv0",
		[CMDLINE_OFF] = "off",
		NULL,
	};
	int chosen = policy_choose(parser, "cmdline", value, names);

	if (chosen >= 0)
		parser->policy->cmdline = (enum cmdline_kept)chosen;
}

static bool begin_ledger(struct policy_parser *parser, const char *value)
{
	return policy_begin_only(parser, "ledger", value, &parser->ledger_line);
}

static const struct policy_key ledger_keys[] = {
	{.name = "path", .set = set_path},
	{.name = "keep", .set = set_keep},
	{.name = "cmdline", .set = set_cmdline},
	{.name = NULL},
};

const struct policy_section policy_section_ledger = {
	.name = "ledger",
	.keys = ledger_keys,
	.begin = begin_ledger,
};
