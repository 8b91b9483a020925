/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * policy_parse.h - read a policy from INI text or a file; say every fault at once.
 */
#ifndef POLICY_PARSE_H
#define POLICY_PARSE_H

#include "policy/policy.h"

struct policy_note {
	bool is_error; /* else a warning */
	int line;      /* 0: of the file as a whole */
	char text[256];
};

#define POLICY_NOTES_MAX 1000

struct policy_notes {
	size_t count; /* may pass POLICY_NOTES_MAX; the rest was not kept */
	size_t error_count;
	struct policy_note notes[POLICY_NOTES_MAX];
};

/* Add a warning at line; 0: of the file as a whole. */
void policy_notes_warn(struct policy_notes *notes, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Parse text (NUL-terminated). *ret starts from policy_init() and is valid only when
 * error_count is 0. notes starts empty. Returns 0, -EINVAL or -ENOMEM.
 */
int policy_parse(const char *text, struct policy *ret, struct policy_notes *notes);

/*
 * The same from a file. -ENOENT and other read errors come with a note. A file over
 * 1 MiB is an error.
 */
int policy_read(const char *path, struct policy *ret, struct policy_notes *notes);

/*
 * Warnings of what can be judged by the policy alone, added to notes: what breaks
 * hosts, pools that overlap, rules that nothing reaches.
 */
void policy_warn(const struct policy *policy, struct policy_notes *notes);

#endif /* POLICY_PARSE_H */
