/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/reload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/paths.h"
#include "daemon/kernel_range.h"
#include "daemon/manage.h"
#include "daemon/pools.h"
#include "policy/policy_parse.h"

/* Where a reload says something: to whoever asked, and to the log. */
struct ear {
	reload_say_fn *say;
	void *arg;
};

static void __attribute__((format(printf, 2, 3)))
tell(const struct ear *ear, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_say("%s", text);
	if (ear->say)
		ear->say(text, ear->arg);
}

static const char *path_of(const struct daemon *daemon)
{
	return daemon->options.config ? daemon->options.config : PATHS_CONFIG;
}

static void note_format(const char *path, const struct policy_note *note, char *buf,
			size_t size)
{
	if (note->line)
		snprintf(buf, size, "%s:%d: %s", path, note->line, note->text);
	else
		snprintf(buf, size, "%s: %s", path, note->text);
}

static int refuse_first(const struct policy_notes *notes, const char *path,
			struct fault *fault)
{
	size_t kept = notes->count < POLICY_NOTES_MAX ? notes->count : POLICY_NOTES_MAX;
	char text[400];

	for (size_t i = 0; i < kept; i++) {
		if (!notes->notes[i].is_error)
			continue;
		note_format(path, &notes->notes[i], text, sizeof(text));
		return fault_set(fault, -EINVAL, "%s%s", text,
				 notes->error_count > 1 ? " (srcport check lists more)"
							: "");
	}
	return fault_set(fault, -EINVAL, "%s: cannot be read", path);
}

/* The rule comes last: what the file says of a session comes first. */
static int add_manage_all(const struct daemon *daemon, struct policy *policy,
			  struct fault *fault)
{
	int err = daemon->options.manage_all ? policy_manage_all(policy) : 0;

	return err < 0 ? fault_set(fault, err,
				   "--manage-all: the policy has %d rules already",
				   POLICY_RULES_MAX)
		       : 0;
}

int reload_first(struct daemon *daemon, struct fault *fault)
{
	CLEANUP_FREE struct policy_notes *notes = calloc(1, sizeof(*notes));
	const char *path = path_of(daemon);

	daemon->policy = calloc(1, sizeof(*daemon->policy));
	if (!notes || !daemon->policy)
		return fault_set(fault, -ENOMEM, "out of memory");
	daemon->policy_has_file = daemon->options.config || access(path, F_OK) == 0;
	if (!daemon->policy_has_file)
		policy_init(daemon->policy);
	else if (policy_read(path, daemon->policy, notes) < 0)
		return refuse_first(notes, path, fault);
	paths_ledger(daemon->policy->ledger_path, daemon->options.state,
		     daemon->ledger_path, sizeof(daemon->ledger_path));
	return add_manage_all(daemon, daemon->policy, fault);
}

static int refuse(const struct ear *ear, const struct policy_notes *notes,
		  const char *path, struct fault *fault)
{
	size_t kept = notes->count < POLICY_NOTES_MAX ? notes->count : POLICY_NOTES_MAX;
	size_t said = 0;
	char text[400];

	for (size_t i = 0; i < kept; i++) {
		if (!notes->notes[i].is_error)
			continue;
		note_format(path, &notes->notes[i], text, sizeof(text));
		tell(ear, "%s", text);
		said++;
	}
	if (notes->error_count > said)
		tell(ear, "%s: %zu faults more", path, notes->error_count - said);
	return fault_set(fault, -EINVAL, "%s has a fault: the running policy stays",
			 path);
}

/* A file that was there and is gone is no wish for the built-in policy. */
static int read_again(const struct daemon *daemon, const struct ear *ear,
		      struct policy *policy, struct fault *fault)
{
	CLEANUP_FREE struct policy_notes *notes = calloc(1, sizeof(*notes));
	const char *path = path_of(daemon);

	if (!notes)
		return fault_set(fault, -ENOMEM, "out of memory");
	if (!daemon->policy_has_file && access(path, F_OK) < 0)
		policy_init(policy);
	else if (policy_read(path, policy, notes) < 0)
		return refuse(ear, notes, path, fault);
	return add_manage_all(daemon, policy, fault);
}

/* What the running daemon cannot do otherwise stays as it is, and is said. */
static void keep_fixed(struct daemon *daemon, const struct ear *ear,
		       struct policy *policy)
{
	if (strcmp(policy->ledger_path, daemon->policy->ledger_path) != 0)
		tell(ear, "[ledger] path: stays %s until srcportd is started again",
		     daemon->ledger_path);
	memcpy(policy->ledger_path, daemon->policy->ledger_path,
	       sizeof(policy->ledger_path));
	if (policy->rule_count && daemon->options.is_transient)
		tell(ear, "rules: not for an srcportd that srcport run started");
}

int reload_policy(struct daemon *daemon, reload_say_fn *say, void *arg,
		  struct fault *fault)
{
	CLEANUP_FREE struct policy *policy = calloc(1, sizeof(*policy));
	const struct ear ear = {.say = say, .arg = arg};
	struct fault range_fault = {0};
	int err;

	if (!policy)
		return fault_set(fault, -ENOMEM, "out of memory");
	err = read_again(daemon, &ear, policy, fault);
	/* Events of sessions name pools by number, and one may go. */
	if (err >= 0)
		daemon_catch_up(daemon);
	if (err >= 0)
		err = manage_apply(daemon->manage, policy, fault);
	if (err < 0) {
		log_say("reload: %s", fault->text);
		return err;
	}
	keep_fixed(daemon, &ear, policy);
	pools_outdate(daemon->pools, policy);
	free(daemon->policy);
	daemon->policy = TAKE(policy);
	daemon->policy_has_file |= access(path_of(daemon), F_OK) == 0;
	if (daemon->identify)
		identify_set_cmdline(daemon->identify, daemon_cmdline_rule(daemon));
	if (!daemon->options.is_transient &&
	    kernel_range_adjust(daemon->options.state, daemon->policy, &range_fault) <
		    0)
		tell(&ear, "kernel-range: %s", range_fault.text);
	log_say("the policy was read anew: %zu pools, %zu rules",
		daemon->policy->pool_count, daemon->policy->rule_count);
	return 0;
}
