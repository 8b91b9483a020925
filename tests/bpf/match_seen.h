/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* match_seen.h - what match.bpf.c saw, for test_match.c. */
#ifndef TESTS_BPF_MATCH_SEEN_H
#define TESTS_BPF_MATCH_SEEN_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define SEEN_RULES 65 /* number + 1; 0: none */
#define SEEN_POOLS 16

struct match_seen {
	__u32 rule;
	__u32 pool;
	__u32 may_use; /* bind() alone */
	__u32 reserved;
};

struct match_pairs {
	__u64 count[SEEN_RULES * SEEN_POOLS];
};

#endif /* TESTS_BPF_MATCH_SEEN_H */
