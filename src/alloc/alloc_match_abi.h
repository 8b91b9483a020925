/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_match_abi.h - the rules as alloc_match.bpf.h judges them and alloc_rules.c
 * writes them.
 *
 * A set of rules is a mask of 64 bits, bit 0 the first rule. Each kind of condition
 * gives the mask of the rules that ask for what is there; the lowest bit that all kinds
 * leave is the rule that decides. There are two generations of all that depends on the
 * rules: hooks read one while user space writes the other.
 */
#ifndef ALLOC_MATCH_ABI_H
#define ALLOC_MATCH_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define MATCH_RULES	64
#define MATCH_KEYS	128 /* of one kind of condition, in both generations */
#define MATCH_EXES	256 /* index 0 means none */
#define MATCH_PROCESSES 16384
#define MATCH_CGROUPS	16384
#define MATCH_NAME	256

struct match_rules {
	/* The rules that have a condition of this kind. */
	__u64 with_uid;
	__u64 with_netns;
	__u64 with_cgroup;
	__u64 with_unit;
	__u64 with_exe;
	__u64 with_destination;
	__u64 with_port; /* some ports of the destination, not all */
	/* The rules that take this protocol. */
	__u64 tcp;
	__u64 udp;
	__u64 same_pool[MATCH_RULES]; /* the rules that lead where this one does */
	__u32 pool[MATCH_RULES];      /* 0: the kernel picks */
	__u16 port_first[MATCH_RULES];
	__u16 port_last[MATCH_RULES];
};

/* The rules of each generation that ask for what the entry's key stands for. */
struct match_masks {
	__u64 of[2];
};

/* A file as the kernel knows it. An inode's number is used again, its generation not.
 */
struct match_file {
	__u64 inode;
	__u32 device;
	__u32 generation;
};

struct match_state {
	__u32 generation;  /* the one that holds */
	__u32 is_learning; /* processes that run are being looked through */
	__u64 missed;	   /* cgroups and processes that fit a rule and found no room */
	struct match_file file; /* what `match_file_ask` answers */
	__u32 asked_fd;
	__u32 reserved;
	struct match_rules rules[2];
	struct match_masks exes[MATCH_EXES];
};

/* A cgroup that fits some rule, or is below one. */
struct match_cgroup {
	struct match_masks path;
	struct match_masks unit;
};

/* "/a/b" as a rule's cgroup, "x.service" as its unit; the rest is zero. */
struct match_name {
	char text[MATCH_NAME];
};

struct match_prefix {
	__u32 bits;
	__u32 address[4];
};

_Static_assert(sizeof(struct match_rules) == 72 + 512 + 256 + 256, "match ABI");
_Static_assert(sizeof(struct match_file) == 16, "match ABI");

#endif /* ALLOC_MATCH_ABI_H */
