/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_rules_private.h - what alloc_rules.c and alloc_rules_find.c share. */
#ifndef ALLOC_RULES_PRIVATE_H
#define ALLOC_RULES_PRIVATE_H

#include <limits.h>

#include "alloc/alloc_match_abi.h"
#include "alloc/alloc_private.h"

struct rule_set {
	size_t count;
	struct rule rules[MATCH_RULES];
	uint32_t pools[MATCH_RULES];
	/* Where what the rule names was last found; 0: nowhere. */
	uint64_t netns[MATCH_RULES]; /* cookies */
	uint32_t exes[MATCH_RULES];  /* numbers of executables */
};

/*
 * A file that a path of some rule leads to, or led to when a process that still runs
 * was started from it. Which rules those are is in match_state.exes.
 */
struct executable {
	struct match_file file;
	bool is_used;
	bool is_listed; /* a process that execs it is known by its number */
};

struct alloc_rules {
	struct match_state *state; /* the kernel's, mapped */
	struct rule_set sets[2];   /* one of each generation */
	struct executable executables[MATCH_EXES];
	char cgroup_root[PATH_MAX];
	int root_fd;			  /* of it, while cgroups are written */
	struct bpf_link *cgroup_links[2]; /* NULL: not tracked */
	struct bpf_link *process_links[3];
};

/* The rules that hold. */
static inline struct rule_set *rules_now(struct alloc_rules *rules)
{
	return &rules->sets[rules->state->generation];
}

/* Does a rule of either generation have one of these conditions? */
bool rules_ask(const struct alloc_rules *rules, unsigned int conditions);

/* All hooks and tracepoints that run now have ended when it returns. */
void rules_wait_for_hooks(void);

/* Find the network namespaces the rules name. */
void rules_find_netns(struct rule_set *set);

/* Follow cgroups and processes from now on, where a rule asks for them, or no more. */
int rules_track(struct alloc *alloc, struct fault *fault);
void rules_untrack(struct alloc *alloc);

/* Write into the kernel's table which cgroups fit the rules of both generations. */
int rules_write_cgroups(struct alloc *alloc, struct fault *fault);

/* The rules of the set that a cgroup of this path fits. */
void rules_of_path(const struct rule_set *set, const char *path, uint64_t *ret_path,
		   uint64_t *ret_unit);

/*
 * Find the executables that the rules of this generation name, and the processes that
 * run those not met before.
 */
int rules_find_exes(struct alloc *alloc, unsigned int generation);

/* Know no longer by exec what no rule's path leads to. */
void rules_unlist_exes(struct alloc *alloc);

#endif /* ALLOC_RULES_PRIVATE_H */
