/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_match.bpf.h - which rule a session of the current process fits.
 *
 *	struct match match = match_process(netns_cookie, protocol);
 *	__u32 rule = match.rules ? match_first(match, address, port) : 0;
 *	__u32 pool = rule ? match_pool(match, rule - 1) : 0;
 *
 * A struct match is good until the hook returns, no longer.
 */
#ifndef ALLOC_MATCH_BPF_H
#define ALLOC_MATCH_BPF_H

#include "alloc/alloc_maps.bpf.h"

#include "alloc/alloc_match_abi.h"

#define MATCH_HASH(map_name, key_type, value_type, size) \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_HASH);         \
		__uint(max_entries, size);               \
		__uint(map_flags, BPF_F_NO_PREALLOC);    \
		__type(key, key_type);                   \
		__type(value, value_type);               \
	} map_name SEC(".maps")

SHARED_ARRAY(match_states, struct match_state, 1);
MATCH_HASH(match_uids, __u32, struct match_masks, MATCH_KEYS);
MATCH_HASH(match_netns, __u64, struct match_masks, MATCH_KEYS);	      /* by cookie */
MATCH_HASH(match_cgroups, __u64, struct match_cgroup, MATCH_CGROUPS); /* by number */
MATCH_HASH(match_processes, __u32, __u32, MATCH_PROCESSES); /* tgid to executable */

/* A prefix has the rules of all prefixes that cover it: the longest says all. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, MATCH_KEYS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct match_prefix);
	__type(value, struct match_masks);
} match_prefixes SEC(".maps");

struct match {
	__u64 rules; /* that fit, as far as was asked */
	__u32 generation;
};

/* 16 bytes, that a global function may be given. */
struct match_address {
	__u32 words[4];
};

static __always_inline __u64 masks_of(void *map, const void *key, __u32 generation)
{
	struct match_masks *masks = bpf_map_lookup_elem(map, key);

	return masks ? masks->of[generation & 1] : 0;
}

static __always_inline __u64 rules_of_uid(__u32 generation)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 uid = task->cred->euid.val;

	return masks_of(&match_uids, &uid, generation);
}

static __always_inline __u64 rules_of_exe(const struct match_state *state,
					  __u32 generation)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *exe = bpf_map_lookup_elem(&match_processes, &tgid);
	__u64 number;

	if (!exe)
		return 0;
	number = *exe;
	PICK_BOUND(number, 255);
	return state->exes[number].of[generation & 1];
}

/* Of these rules, those that the current process's cgroup does not exclude. */
static __always_inline __u64 rules_of_cgroup(const struct match_rules *rules,
					     __u64 mask, __u32 generation)
{
	__u64 number = bpf_get_current_cgroup_id();
	struct match_cgroup *cgroup = bpf_map_lookup_elem(&match_cgroups, &number);

	if (!cgroup)
		return mask & ~(rules->with_cgroup | rules->with_unit);
	mask &= ~rules->with_cgroup | cgroup->path.of[generation & 1];
	return mask & (~rules->with_unit | cgroup->unit.of[generation & 1]);
}

/*
 * The rules that fit but for their destination. A kind is asked only where it could
 * still exclude a rule, the cheap ones first.
 */
__noinline __u64 match_rules_of(__u32 generation, __u64 netns, __u32 protocol)
{
	struct match_state *state = by_id(&match_states, 0);
	const struct match_rules *rules;
	__u64 mask;

	if (!state)
		return 0;
	rules = &state->rules[generation & 1];
	mask = protocol == IPPROTO_TCP_NUMBER ? rules->tcp : rules->udp;
	if (mask & rules->with_netns)
		mask &= ~rules->with_netns | masks_of(&match_netns, &netns, generation);
	if (mask & rules->with_uid)
		mask &= ~rules->with_uid | rules_of_uid(generation);
	if (mask & rules->with_exe)
		mask &= ~rules->with_exe | rules_of_exe(state, generation);
	if (mask & (rules->with_cgroup | rules->with_unit))
		mask = rules_of_cgroup(rules, mask, generation);
	return mask;
}

static __always_inline struct match match_process(__u64 netns, __u32 protocol)
{
	const volatile struct match_state *state = by_id(&match_states, 0);
	struct match match = {};

	if (!state)
		return match;
	match.generation = state->generation;
	match.rules = match_rules_of(match.generation, netns, protocol);
	return match;
}

/* The place of the lowest bit of a mask that has one. */
static __always_inline __u64 lowest_rule(__u64 mask)
{
	__u64 place = pick_popcount((mask & -mask) - 1);

	PICK_BOUND(place, 63);
	return place;
}

__noinline __u64 match_rules_to(__u32 generation, const struct match_address *address)
{
	struct match_prefix key = {.bits = 128};

	if (!address)
		return 0;
	key.address[0] = address->words[0];
	key.address[1] = address->words[1];
	key.address[2] = address->words[2];
	key.address[3] = address->words[3];
	return masks_of(&match_prefixes, &key, generation);
}

/* The first of these rules that takes the destination's port: its number + 1, or 0. */
__noinline __u32 match_port(__u32 generation, __u64 mask, __u32 port)
{
	struct match_state *state = by_id(&match_states, 0);
	const struct match_rules *rules;
	__u64 limited, rest;

	if (!state)
		return 0;
	rules = &state->rules[generation & 1];
	rest = mask & ~rules->with_port;
	limited = mask & rules->with_port;
	if (rest)
		limited &= (rest & -rest) - 1; /* those before the first that fits */
	for (int i = 0; i < MATCH_RULES && limited; i++) {
		__u64 rule = lowest_rule(limited);

		if (port >= rules->port_first[rule] && port <= rules->port_last[rule])
			return rule + 1;
		limited &= limited - 1;
	}
	return rest ? lowest_rule(rest) + 1 : 0;
}

/*
 * The first rule that fits: its number + 1, or 0. The address (IPv4 as v4-mapped) is
 * NULL where there is no destination: then no rule fits that has one.
 */
static __always_inline __u32 match_first(struct match match, const __u32 *address,
					 __u32 port)
{
	struct match_state *state = by_id(&match_states, 0);
	__u64 with;

	if (!state)
		return 0;
	with = state->rules[match.generation & 1].with_destination;
	if (match.rules & with)
		match.rules &=
			~with | match_rules_to(match.generation,
					       (const struct match_address *)address);
	return match.rules ? match_port(match.generation, match.rules, port) : 0;
}

/* The pool that the rule leads to; 0: the kernel picks. */
static __always_inline __u32 match_pool(struct match match, __u64 rule)
{
	struct match_state *state = by_id(&match_states, 0);

	PICK_BOUND(rule, 63);
	return state ? state->rules[match.generation & 1].pool[rule] : 0;
}

/*
 * Does a pool with this port belong to one of these rules? A bind() has no destination
 * yet, so a rule that asks for one leads nowhere.
 */
__noinline __u32 match_rules_may_use(__u32 generation, __u64 mask, __u32 port)
{
	struct match_state *state = by_id(&match_states, 0);
	const struct match_rules *rules;

	if (!state)
		return 0;
	rules = &state->rules[generation & 1];
	mask &= ~rules->with_destination;
	for (int i = 0; i < MATCH_RULES && mask; i++) {
		__u64 rule = lowest_rule(mask);
		__u32 number = rules->pool[rule];
		struct alloc_pool *pool = by_id(&pools, number);

		if (number && pool && port_map_has(&pool->members, port))
			return 1;
		mask &= ~(rules->same_pool[rule] | 1ULL << rule);
	}
	return 0;
}

static __always_inline bool match_may_use(struct match match, __u32 port)
{
	return match.rules && match_rules_may_use(match.generation, match.rules, port);
}

#endif /* ALLOC_MATCH_BPF_H */
