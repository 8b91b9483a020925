/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_rules_private.h"
#include "base/cleanup.h"

#include "alloc/alloc.skel.h"

/* ---- open and close ---- */

static size_t state_size(void)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (sizeof(struct match_state) + page - 1) / page * page;
}

int alloc_rules_open(struct alloc *alloc, struct fault *fault)
{
	CLEANUP_FREE struct alloc_rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return fault_set(fault, -ENOMEM, "out of memory");
	rules->state = mmap(NULL, state_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
			    bpf_map__fd(alloc->bpf->maps.match_states), 0);
	if (rules->state == MAP_FAILED)
		return fault_set(fault, -errno, "cannot map the table of rules: %s",
				 strerror(errno));
	alloc->rules = TAKE(rules);
	return 0;
}

void alloc_rules_close(struct alloc *alloc)
{
	struct alloc_rules *rules = alloc->rules;

	if (!rules)
		return;
	for (int i = 0; i < 2; i++)
		bpf_link__destroy(rules->cgroup_links[i]);
	for (int i = 0; i < 3; i++)
		bpf_link__destroy(rules->process_links[i]);
	munmap(rules->state, state_size());
	free(rules);
	alloc->rules = NULL;
}

uint64_t alloc_rules_missed(const struct alloc *alloc)
{
	return alloc->rules->state->missed;
}

/* All hooks that run now have ended. */
void rules_wait_for_hooks(void)
{
	/* Waits for the end of all RCU readers. Refused with nohz_full; a hook takes a
	 * few microseconds. */
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(100000);
}

/* ---- tables that have a key for each condition ---- */

union match_key {
	uint32_t uid;
	uint64_t netns;
	struct match_name name;
	struct match_prefix prefix;
};

enum table_kind {
	TABLE_UID,
	TABLE_NETNS,
	TABLE_CGROUP,
	TABLE_UNIT,
	TABLE_PREFIX,
	TABLE_COUNT,
};

static int table_fd(const struct alloc *alloc, enum table_kind kind)
{
	const struct bpf_map *const maps[TABLE_COUNT] = {
		[TABLE_UID] = alloc->bpf->maps.match_uids,
		[TABLE_NETNS] = alloc->bpf->maps.match_netns,
		[TABLE_CGROUP] = alloc->bpf->maps.match_names,
		[TABLE_UNIT] = alloc->bpf->maps.match_names,
		[TABLE_PREFIX] = alloc->bpf->maps.match_prefixes,
	};

	return bpf_map__fd(maps[kind]);
}

/* As the kernel writes it: without a slash at the end. */
static void name_key(struct match_name *ret, const char *text)
{
	size_t length = strnlen(text, sizeof(ret->text) - 1);

	memcpy(ret->text, text, length);
	while (length > 1 && ret->text[length - 1] == '/')
		ret->text[--length] = '\0';
}

/* The bits after the prefix are zero, so that one prefix is one key. */
static void prefix_key(struct match_prefix *ret, const struct rule *rule)
{
	uint8_t bytes[16] = {0};

	for (unsigned int bit = 0; bit < rule->prefix_bits && bit < 128; bit++)
		bytes[bit / 8] |= rule->destination.bytes[bit / 8] & 0x80 >> bit % 8;
	ret->bits = rule->prefix_bits;
	memcpy(ret->address, bytes, sizeof(bytes));
}

/* The key of the rule's condition; false: it has none, or it was not found yet. */
static bool rule_key(const struct rule_set *set, size_t i, enum table_kind kind,
		     union match_key *ret)
{
	static const unsigned int conditions[TABLE_COUNT] = {
		[TABLE_UID] = RULE_UID,
		[TABLE_NETNS] = RULE_NETNS,
		[TABLE_CGROUP] = RULE_CGROUP,
		[TABLE_UNIT] = RULE_UNIT,
		[TABLE_PREFIX] = RULE_DESTINATION};
	const struct rule *rule = &set->rules[i];

	memset(ret, 0, sizeof(*ret));
	if (!(rule->conditions & conditions[kind]))
		return false;
	switch (kind) {
	case TABLE_UID:
		ret->uid = rule->uid;
		return true;
	case TABLE_NETNS:
		ret->netns = set->netns[i];
		return ret->netns;
	case TABLE_CGROUP:
		name_key(&ret->name, rule->cgroup);
		return true;
	case TABLE_UNIT:
		name_key(&ret->name, rule->unit);
		return true;
	case TABLE_PREFIX:
		prefix_key(&ret->prefix, rule);
		return true;
	case TABLE_COUNT:
		break;
	}
	return false;
}

/* Does what fits the narrow key fit the wide one too? */
static bool key_covers(enum table_kind kind, const union match_key *wide,
		       const union match_key *narrow)
{
	struct address address, prefix;

	if (kind != TABLE_PREFIX)
		return memcmp(wide, narrow, sizeof(*wide)) == 0;
	memcpy(address.bytes, narrow->prefix.address, sizeof(address.bytes));
	memcpy(prefix.bytes, wide->prefix.address, sizeof(prefix.bytes));
	return wide->prefix.bits <= narrow->prefix.bits &&
	       address_in_prefix(&address, &prefix, wide->prefix.bits);
}

static uint64_t rules_of_key(const struct rule_set *set, enum table_kind kind,
			     const union match_key *key)
{
	union match_key own;
	uint64_t mask = 0;

	for (size_t i = 0; i < set->count; i++)
		if (rule_key(set, i, kind, &own) && key_covers(kind, &own, key))
			mask |= 1ULL << i;
	return mask;
}

/* The keys of this set get the masks of both: they are of use to each other's hooks. */
static int table_write(struct alloc *alloc, enum table_kind kind,
		       const struct rule_set *set)
{
	const struct rule_set *sets = alloc->rules->sets;
	struct match_masks masks;
	union match_key key;

	for (size_t i = 0; i < set->count; i++) {
		if (!rule_key(set, i, kind, &key))
			continue;
		masks.of[0] = rules_of_key(&sets[0], kind, &key);
		masks.of[1] = rules_of_key(&sets[1], kind, &key);
		if (bpf_map_update_elem(table_fd(alloc, kind), &key, &masks, BPF_ANY))
			return -errno;
	}
	return 0;
}

static bool has_key(const struct rule_set *set, enum table_kind kind,
		    const union match_key *key)
{
	union match_key own;

	for (size_t i = 0; i < set->count; i++)
		if (rule_key(set, i, kind, &own) && memcmp(&own, key, sizeof(own)) == 0)
			return true;
	return false;
}

/* Delete the keys of this set that the other has not. */
static void table_clear(struct alloc *alloc, enum table_kind kind,
			const struct rule_set *set, const struct rule_set *other)
{
	union match_key key;

	for (size_t i = 0; i < set->count; i++)
		if (rule_key(set, i, kind, &key) && !has_key(other, kind, &key))
			bpf_map_delete_elem(table_fd(alloc, kind), &key);
}

/* ---- a change of rules ---- */

static bool is_port_limited(const struct rule *rule)
{
	return (rule->conditions & RULE_DESTINATION) &&
	       (rule->port_first > 0 || rule->port_last < 65535);
}

static void state_write_rule(struct match_rules *to, const struct rule_set *set,
			     size_t i)
{
	const struct rule *rule = &set->rules[i];
	const uint64_t bit = 1ULL << i;

	to->with_uid |= rule->conditions & RULE_UID ? bit : 0;
	to->with_netns |= rule->conditions & RULE_NETNS ? bit : 0;
	to->with_cgroup |= rule->conditions & RULE_CGROUP ? bit : 0;
	to->with_unit |= rule->conditions & RULE_UNIT ? bit : 0;
	to->with_exe |= rule->conditions & RULE_EXE ? bit : 0;
	to->with_destination |= rule->conditions & RULE_DESTINATION ? bit : 0;
	to->with_port |= is_port_limited(rule) ? bit : 0;
	if (!(rule->conditions & RULE_PROTOCOL) || rule->protocol == IPPROTO_TCP)
		to->tcp |= bit;
	if (!(rule->conditions & RULE_PROTOCOL) || rule->protocol == IPPROTO_UDP)
		to->udp |= bit;
	for (size_t j = 0; j < set->count; j++)
		if (set->pools[j] == set->pools[i])
			to->same_pool[i] |= 1ULL << j;
	to->pool[i] = set->pools[i];
	to->port_first[i] = rule->port_first;
	to->port_last[i] = rule->port_last;
}

static void state_write(struct match_rules *to, const struct rule_set *set)
{
	memset(to, 0, sizeof(*to));
	for (size_t i = 0; i < set->count; i++)
		state_write_rule(to, set, i);
}

/* Write all that the next generation needs beside the one that holds. */
static int prepare(struct alloc *alloc, unsigned int next, struct fault *fault)
{
	struct alloc_rules *rules = alloc->rules;
	struct rule_set *set = &rules->sets[next];
	int err;

	rules_find_netns(set);
	err = rules_track(alloc, fault);
	if (err)
		return err;
	for (enum table_kind kind = 0; kind < TABLE_COUNT && !err; kind++) {
		/* A new prefix is the longest for the hooks of before, too. */
		err = table_write(alloc, kind, set);
		if (!err)
			err = table_write(alloc, kind, &rules->sets[!next]);
	}
	if (err)
		return fault_set(fault, err, "cannot write the table of rules: %s",
				 strerror(-err));
	err = rules_find_exes(alloc, next);
	if (err)
		return fault_set(fault, err, "cannot find the processes of rules: %s",
				 strerror(-err));
	err = rules_write_cgroups(alloc, fault);
	if (err)
		return err;
	state_write(&rules->state->rules[next], set);
	return 0;
}

/* The generation that does not hold, or that was not finished, leaves nothing. */
static void forget(struct alloc *alloc, unsigned int old)
{
	struct alloc_rules *rules = alloc->rules;
	struct rule_set *set = &rules->sets[old];

	for (enum table_kind kind = 0; kind < TABLE_COUNT; kind++)
		table_clear(alloc, kind, set, &rules->sets[!old]);
	memset(set, 0, sizeof(*set));
	memset(&rules->state->rules[old], 0, sizeof(rules->state->rules[old]));
	for (int exe = 0; exe < MATCH_EXES; exe++)
		rules->state->exes[exe].of[old] = 0;
	rules_unlist_exes(alloc);
	rules_write_cgroups(alloc, NULL);
	rules_untrack(alloc);
}

int alloc_set_rules(struct alloc *alloc, const struct rule *rules,
		    const uint32_t *pools, size_t count, const char *cgroup_root,
		    struct fault *fault)
{
	struct alloc_rules *own = alloc->rules;
	unsigned int next = !own->state->generation;
	struct rule_set *set = &own->sets[next];
	char root_before[PATH_MAX];
	int err;

	if (count > MATCH_RULES)
		return fault_set(fault, -E2BIG, "no more than %d rules", MATCH_RULES);
	memset(set, 0, sizeof(*set));
	set->count = count;
	for (size_t i = 0; i < count; i++) {
		set->rules[i] = rules[i];
		set->pools[i] = pools[i];
	}
	memcpy(root_before, own->cgroup_root, sizeof(root_before));
	snprintf(own->cgroup_root, sizeof(own->cgroup_root), "%s",
		 cgroup_root ? cgroup_root : "");
	err = prepare(alloc, next, fault);
	if (err)
		memcpy(own->cgroup_root, root_before, sizeof(root_before));
	else
		__atomic_store_n(&own->state->generation, next, __ATOMIC_SEQ_CST);
	rules_wait_for_hooks();
	forget(alloc, err ? next : !next);
	return err;
}

/* ---- what comes and changes afterwards ---- */

static void netns_refresh(struct alloc *alloc)
{
	struct rule_set *set = rules_now(alloc->rules);
	CLEANUP_FREE struct rule_set *before = malloc(sizeof(*before));

	if (!before)
		return;
	*before = *set;
	rules_find_netns(set);
	if (memcmp(before->netns, set->netns, sizeof(set->netns)) == 0)
		return;
	table_write(alloc, TABLE_NETNS, set);
	table_clear(alloc, TABLE_NETNS, before, set);
}

void alloc_rules_tick(struct alloc *alloc)
{
	struct alloc_rules *rules = alloc->rules;

	if (rules_ask(rules, RULE_NETNS))
		netns_refresh(alloc);
	if (!rules_ask(rules, RULE_EXE))
		return;
	rules_find_exes(alloc, rules->state->generation);
	rules_unlist_exes(alloc);
}

/* ---- one process, asked for by hand ---- */

/* The value of the line of this file that begins so. */
static int proc_line(pid_t pid, const char *file, const char *begin, char *ret,
		     size_t size)
{
	char path[64], *line = NULL;
	size_t capacity = 0;
	int err = -ENOENT;
	FILE *stream;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	stream = fopen(path, "re");
	if (!stream)
		return -ESRCH;
	while (err && getline(&line, &capacity, stream) > 0) {
		if (strncmp(line, begin, strlen(begin)))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(ret, size, "%s", line + strlen(begin));
		err = 0;
	}
	free(line);
	fclose(stream);
	return err;
}

struct facts {
	uint32_t uid;
	uint64_t by_exe; /* rules */
	uint64_t by_path;
	uint64_t by_unit;
};

static int facts_read(struct alloc *alloc, pid_t pid, struct facts *ret)
{
	int fd = bpf_map__fd(alloc->bpf->maps.match_processes);
	struct alloc_rules *rules = alloc->rules;
	uint32_t tgid = pid, exe;
	struct facts facts = {0};
	char text[PATH_MAX];

	/* Uid: real, effective, saved, of file systems. */
	if (proc_line(pid, "status", "Uid:", text, sizeof(text)) ||
	    sscanf(text, "%*u %" SCNu32, &facts.uid) != 1)
		return -ESRCH;
	if (!proc_line(pid, "cgroup", "0::", text, sizeof(text)))
		rules_of_path(rules_now(rules), text, &facts.by_path, &facts.by_unit);
	if (!bpf_map_lookup_elem(fd, &tgid, &exe) && exe < MATCH_EXES)
		facts.by_exe = rules->state->exes[exe].of[rules->state->generation];
	*ret = facts;
	return 0;
}

static bool destination_fits(const struct rule *rule,
			     const struct alloc_subject *subject)
{
	return address_is_known(&subject->destination) &&
	       address_in_prefix(&subject->destination, &rule->destination,
				 rule->prefix_bits) &&
	       subject->port >= rule->port_first && subject->port <= rule->port_last;
}

static bool rule_fits(const struct rule_set *set, size_t i, const struct facts *facts,
		      const struct alloc_subject *subject)
{
	const struct rule *rule = &set->rules[i];
	const unsigned int asks = rule->conditions;

	return (!(asks & RULE_UID) || rule->uid == facts->uid) &&
	       (!(asks & RULE_EXE) || facts->by_exe >> i & 1) &&
	       (!(asks & RULE_CGROUP) || facts->by_path >> i & 1) &&
	       (!(asks & RULE_UNIT) || facts->by_unit >> i & 1) &&
	       (!(asks & RULE_NETNS) ||
		(set->netns[i] && set->netns[i] == subject->netns)) &&
	       (!(asks & RULE_PROTOCOL) || rule->protocol == subject->protocol) &&
	       (!(asks & RULE_DESTINATION) || destination_fits(rule, subject));
}

int alloc_fit(struct alloc *alloc, const struct alloc_subject *subject)
{
	const struct rule_set *set = rules_now(alloc->rules);
	struct facts facts;
	int err;

	err = facts_read(alloc, subject->pid, &facts);
	if (err)
		return err;
	for (size_t i = 0; i < set->count; i++)
		if (rule_fits(set, i, &facts, subject))
			return i;
	return -1;
}
