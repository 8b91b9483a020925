/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy.h - pools and settings, in memory. policy_parse.h reads them from text.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/session.h"
#include "policy/port_set.h"

#define POLICY_POOLS_MAX 64

enum sharing {
	SHARING_NEVER,
	SHARING_WHEN_FULL,
	SHARING_ALWAYS,
};

enum exhausted {
	EXHAUSTED_KERNEL, /* the kernel picks */
	EXHAUSTED_REFUSE, /* connect() fails with EADDRNOTAVAIL */
};

enum cmdline_kept {
	CMDLINE_REDACTED,
	CMDLINE_FULL,
	CMDLINE_ARGV0,
	CMDLINE_OFF,
};

struct pool {
	char name[SESSION_POOL_MAX];
	struct port_set ports; /* "except" taken away already */
	uint64_t quarantine_ns;
	enum sharing sharing; /* TCP; UDP never shares */
	bool early_reuse;
	enum exhausted exhausted;
};

struct policy {
	size_t pool_count;
	struct pool pools[POLICY_POOLS_MAX];
	char ledger_path[4096];
	uint64_t ledger_keep_ns;
	enum cmdline_kept cmdline;
};

/* What holds with no file: one pool, "default", 49152-65535, as in srcport.conf(5). */
void policy_init(struct policy *policy);
void pool_init(struct pool *pool, const char *name); /* the defaults, named name */

/* NULL when there is none of that name. */
const struct pool *policy_find_pool(const struct policy *policy, const char *name);

const char *sharing_name(enum sharing sharing);
int sharing_parse(const char *name, enum sharing *ret); /* 0 or -EINVAL */

#endif /* POLICY_POLICY_H */
