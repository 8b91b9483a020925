/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_keys.h - what the sections of a policy may hold: for policy_parse.c, and
 * for the files that have the keys, one for each kind of section.
 *
 * A key's set() and a section's begin() and end() say what is wrong with
 * policy_fail(), which notes the line, and go on.
 */
#ifndef POLICY_KEYS_H
#define POLICY_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/policy.h"
#include "policy/policy_parse.h"
#include "policy/policy_show.h"

#define POLICY_KEYS_MAX 16 /* in a section */

struct policy_parser;

struct policy_key {
	const char *name;
	void (*set)(struct policy_parser *parser, const char *value);
	bool adds_up; /* may stand several times */
};

struct policy_section {
	const char *name;
	const struct policy_key *keys; /* the last has no name */
	/* value: "NAME" of "[pool NAME]". False: a note says why not, and the keys of
	 * the section are passed over. */
	bool (*begin)(struct policy_parser *parser, const char *value);
	void (*end)(struct policy_parser *parser); /* all its keys were seen; or NULL */
};

extern const struct policy_section policy_section_pool;
extern const struct policy_section policy_section_rule;
extern const struct policy_section policy_section_guard;
extern const struct policy_section policy_section_ledger;

struct policy_parser {
	struct policy *policy;
	struct policy_notes *notes;
	int line;
	bool has_section;
	const struct policy_section *section; /* NULL: its keys are passed over */
	int section_line;
	size_t section_error_count; /* of the notes, when the section began */
	/* Where each key of the section was first set; 0: not yet. */
	int key_lines[POLICY_KEYS_MAX];

	struct pool *pool; /* of the section */
	struct port_set ports;
	struct port_set except;
	struct port_set psid;

	struct rule *rule; /* of the section */
	int rule_pool_lines[POLICY_RULES_MAX];

	int guard_line;
	int ledger_line;
};

/* An error at the parser's line. */
void policy_fail(struct policy_parser *parser, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* KEY: found "VALUE", expected EXPECTED */
void policy_fail_value(struct policy_parser *parser, const char *key, const char *value,
		       const char *expected);

/* Was the key of this name set in the section? */
bool policy_has_key(const struct policy_parser *parser, const char *name);

/* The index of value in names, which ends with NULL; -1: a note says so. */
int policy_choose(struct policy_parser *parser, const char *key, const char *value,
		  const char *const *names);

/* "yes" or "no". */
void policy_set_flag(struct policy_parser *parser, const char *key, const char *value,
		     bool *ret);

/* May a pool or a rule be called so? If not, a note says what may. */
bool policy_check_name(struct policy_parser *parser, const char *what,
		       const char *name);

/* A section that may stand once, without a name. *line is where it stood, or 0. */
bool policy_begin_only(struct policy_parser *parser, const char *name,
		       const char *value, int *line);

/* The pools that rules name must be there: to be called at the end of the file. */
void policy_check_rules(struct policy_parser *parser);

#endif /* POLICY_KEYS_H */
