/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fuzz_policy.c - any bytes at the policy's parser (libFuzzer): it may not crash, and
 * what it accepts must be whole.
 */
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Not assert(): that may be compiled away. */
#define HOLDS(condition)                                                        \
	do {                                                                    \
		if (!(condition)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			abort();                                                \
		}                                                               \
	} while (0)

static void judge_text(const char *text, size_t size)
{
	HOLDS(memchr(text, '\0', size));
	for (; *text; text++)
		HOLDS((unsigned char)*text >= ' ' && *text != '\x7f');
}

static void judge_notes(const struct policy_notes *notes, const char *text)
{
	size_t error_count = 0;
	int line_count = 1;

	for (; *text; text++)
		line_count += *text == '\n';
	HOLDS(notes->error_count <= notes->count);
	for (size_t i = 0; i < notes->count && i < POLICY_NOTES_MAX; i++) {
		const struct policy_note *note = &notes->notes[i];

		HOLDS(note->line >= 0 && note->line <= line_count);
		HOLDS(!note->is_error || note->line > 0);
		/* A message was not cut short, and carries nothing to a terminal. */
		HOLDS(*note->text &&
		      strnlen(note->text, sizeof(note->text)) < sizeof(note->text) - 1);
		judge_text(note->text, sizeof(note->text));
		HOLDS(!note->is_error || strstr(note->text, "expected"));
		error_count += note->is_error;
	}
	HOLDS(notes->count > POLICY_NOTES_MAX || error_count == notes->error_count);
}

static void judge_pool(const struct policy *policy, size_t at)
{
	const struct pool *pool = &policy->pools[at];

	judge_text(pool->name, sizeof(pool->name));
	HOLDS(*pool->name && strcmp(pool->name, "kernel") != 0);
	HOLDS(policy_find_pool(policy, pool->name) == pool);
	HOLDS(port_set_count(&pool->ports) > 0);
	HOLDS(!port_set_overlaps(&pool->ports, 0, 1023));
	HOLDS(algorithm_name(pool->algorithm) && sharing_name(pool->sharing));
	HOLDS(pool->exhausted == EXHAUSTED_KERNEL ||
	      pool->exhausted == EXHAUSTED_REFUSE);
	HOLDS(pool->quota <= 999999999);
}

static void judge_destination(const struct rule *rule)
{
	HOLDS(rule->prefix_bits <= 128 && rule->port_first <= rule->port_last);
	for (unsigned int i = rule->prefix_bits; i < 128; i++)
		HOLDS(!(rule->destination.bytes[i / 8] & 0x80 >> i % 8));
}

static void judge_rule(const struct policy *policy, size_t at)
{
	const struct rule *rule = &policy->rules[at];

	judge_text(rule->name, sizeof(rule->name));
	HOLDS(*rule->name && rule->line > 0);
	HOLDS(!*rule->pool || policy_find_pool(policy, rule->pool));
	HOLDS(!(rule->conditions & RULE_CGROUP) == !*rule->cgroup);
	HOLDS(!(rule->conditions & RULE_UNIT) == !*rule->unit);
	HOLDS(!(rule->conditions & RULE_EXE) == !*rule->exe);
	HOLDS(!(rule->conditions & RULE_NETNS) == !*rule->netns);
	HOLDS(!(rule->conditions & RULE_PROTOCOL) == !rule->protocol);
	HOLDS(!*rule->cgroup || *rule->cgroup == '/');
	HOLDS(!*rule->exe || *rule->exe == '/');
	if (rule->conditions & RULE_DESTINATION)
		judge_destination(rule);
	for (size_t i = 0; i < at; i++)
		HOLDS(strcmp(policy->rules[i].name, rule->name) != 0);
}

static void judge_policy(const struct policy *policy)
{
	HOLDS(policy->pool_count >= 1 && policy->pool_count <= POLICY_POOLS_MAX);
	HOLDS(policy->rule_count <= POLICY_RULES_MAX);
	HOLDS(policy_find_pool(policy, "default"));
	HOLDS(foreign_bind_name(policy->guard.foreign_bind));
	HOLDS(policy->ledger_path[0] == '/' && policy->ledger_keep_ns > 0);
	for (size_t i = 0; i < policy->pool_count; i++)
		judge_pool(policy, i);
	for (size_t i = 0; i < policy->rule_count; i++)
		judge_rule(policy, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct policy *policy = malloc(sizeof(*policy));
	struct policy_notes *notes = malloc(sizeof(*notes));
	char *text = malloc(size + 1);
	int err;

	HOLDS(policy && notes && text);
	memcpy(text, bytes, size);
	text[size] = '\0';
	err = policy_parse(text, policy, notes);
	HOLDS((err < 0) == (notes->error_count > 0));
	judge_notes(notes, text);
	if (err == 0) {
		judge_policy(policy);
		policy_warn(policy, notes);
		HOLDS(notes->error_count == 0);
		judge_notes(notes, text);
	}
	free(text);
	free(notes);
	free(policy);
	return 0;
}
