/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy.h - pools and settings, in memory. policy_parse.h reads them from text.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/address.h"
#include "model/session.h"
#include "policy/port_set.h"

#define POLICY_POOLS_MAX   64
#define POLICY_RULES_MAX   64
#define POLICY_POOL_KERNEL "kernel" /* in a rule: no pool, the kernel picks */
#define RULE_TEXT_MAX	   256	    /* a path, a unit, the name of a namespace */

enum sharing {
	SHARING_NEVER,
	SHARING_WHEN_FULL,
	SHARING_ALWAYS,
};

/* How a port is drawn. The five are those of RFC 6056, 3.3.1 to 3.3.5. */
enum algorithm {
	ALGORITHM_RANDOM, /* each port that is free equally likely */
	ALGORITHM_RANDOM_SIMPLE,
	ALGORITHM_RANDOM_RETRY,
	ALGORITHM_HASH,
	ALGORITHM_DOUBLE_HASH,
	ALGORITHM_INCREMENTS,
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
	struct port_set ports; /* "except" and "psid" applied already */
	uint64_t quarantine_ns;
	bool quarantine_all; /* after every close, not only where TIME_WAIT is left */
	enum algorithm algorithm;
	enum sharing sharing; /* TCP */
	bool udp_shares;      /* to different destinations, as TCP does when-full */
	bool early_reuse;
	enum exhausted exhausted;
	/* Sessions that one user but root may have from the pool at once, in each
	 * namespace; 0: no limit. */
	uint32_t quota;
};

/* What a rule asks of a session; a session fits where all that is asked is so. */
enum rule_condition {
	RULE_CGROUP = 1,
	RULE_UNIT = 2,
	RULE_UID = 4,
	RULE_EXE = 8,
	RULE_NETNS = 16,
	RULE_DESTINATION = 32,
	RULE_PROTOCOL = 64,
};

struct rule {
	char name[SESSION_POOL_MAX];
	unsigned int conditions;    /* enum rule_condition */
	char cgroup[RULE_TEXT_MAX]; /* "/a/b": it and all below it */
	char unit[RULE_TEXT_MAX];   /* "haproxy.service": a cgroup of that name */
	uint32_t uid;		    /* effective, of the process */
	char exe[RULE_TEXT_MAX];    /* a path, looked up now and when it changes */
	char netns[RULE_TEXT_MAX];  /* "host", a name in /run/netns, or a path */
	struct address destination; /* of a prefix */
	unsigned int prefix_bits;   /* of its 128 */
	uint16_t port_first;	    /* of the destination; 0 and 65535: any */
	uint16_t port_last;
	uint8_t protocol;	     /* IPPROTO_TCP or IPPROTO_UDP */
	char pool[SESSION_POOL_MAX]; /* empty ("pool = kernel"): the kernel picks */
	int line;		     /* of the file; 0: from the command line */
};

/* An explicit bind() into a pool, by a program with no rule to that pool. */
enum foreign_bind {
	FOREIGN_BIND_REPORT,
	FOREIGN_BIND_REFUSE, /* EADDRINUSE */
	FOREIGN_BIND_ALLOW,
};

struct guard {
	enum foreign_bind foreign_bind;
	bool adjusts_kernel_range; /* ip_local_port_range is moved out of the pools */
};

struct policy {
	size_t pool_count;
	struct pool pools[POLICY_POOLS_MAX];
	int pool_lines[POLICY_POOLS_MAX]; /* of the file; 0: built in */
	size_t rule_count;
	struct rule rules[POLICY_RULES_MAX]; /* the first that fits decides */
	struct guard guard;
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
const char *algorithm_name(enum algorithm algorithm);
int algorithm_parse(const char *name, enum algorithm *ret); /* 0 or -EINVAL */
const char *foreign_bind_name(enum foreign_bind what);

/* Add the rule "everything" (no condition) to the pool "default". -ENOSPC when full. */
int policy_manage_all(struct policy *policy);

#endif /* POLICY_POLICY_H */
