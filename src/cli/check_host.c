/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/check_host.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "kernel/netns.h"
#include "policy/policy_reach.h"
#include "policy/policy_show.h"

#define NETNS_FOLDER "/run/netns"

static void check_user(const struct rule *rule, struct policy_notes *notes)
{
	errno = 0;
	if (!getpwuid(rule->uid) && !errno)
		policy_notes_warn(notes, rule->line,
				  "rule %s: no user of this host has the uid %u",
				  rule->name, rule->uid);
}

/* What runs is then the program that its first line names. */
static bool is_script(const char *path)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	char start[2];

	return fd >= 0 && read(fd, start, sizeof(start)) == sizeof(start) &&
	       memcmp(start, "#!", sizeof(start)) == 0;
}

static void check_exe(const struct rule *rule, struct policy_notes *notes)
{
	struct stat found;

	if (stat(rule->exe, &found) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			policy_notes_warn(notes, rule->line,
					  "rule %s: there is no %s now", rule->name,
					  policy_show(rule->exe).text);
	} else if (!S_ISREG(found.st_mode) || !(found.st_mode & 0111)) {
		policy_notes_warn(notes, rule->line, "rule %s: %s is not a program",
				  rule->name, policy_show(rule->exe).text);
	} else if (is_script(rule->exe)) {
		policy_notes_warn(notes, rule->line,
				  "rule %s: %s is a script, and its sessions are "
				  "its interpreter's",
				  rule->name, policy_show(rule->exe).text);
	}
}

static void check_netns(const struct rule *rule, struct policy_notes *notes)
{
	char path[sizeof(NETNS_FOLDER) + RULE_TEXT_MAX];
	struct stat found;

	if (strcmp(rule->netns, "host") == 0)
		return;
	if (*rule->netns == '/')
		snprintf(path, sizeof(path), "%s", rule->netns);
	else
		snprintf(path, sizeof(path), NETNS_FOLDER "/%s", rule->netns);
	if (stat(path, &found) < 0 && (errno == ENOENT || errno == ENOTDIR))
		policy_notes_warn(notes, rule->line,
				  "rule %s: there is no network namespace %s now",
				  rule->name, policy_show(path).text);
}

/* The default pool as it comes does not count once rules name others. */
static bool is_in_use(const struct policy *policy, size_t at)
{
	return !policy->rule_count || policy->pool_lines[at] ||
	       policy_pool_is_named(policy, &policy->pools[at]);
}

static void check_kernel_range(const struct policy *policy, struct policy_notes *notes)
{
	unsigned int from, to;
	char text[64];

	if (policy->guard.adjusts_kernel_range ||
	    netns_read_sysctl(-1, "ipv4/ip_local_port_range", text, sizeof(text)) < 0 ||
	    sscanf(text, "%u %u", &from, &to) != 2 || from > to || to > UINT16_MAX)
		return;
	for (size_t i = 0; i < policy->pool_count; i++)
		if (is_in_use(policy, i) &&
		    port_set_overlaps(&policy->pools[i].ports, (uint16_t)from,
				      (uint16_t)to))
			policy_notes_warn(
				notes, policy->pool_lines[i],
				"pool %s: the kernel gives %u-%u "
				"(ip_local_port_range) to others; kernel-range "
				"= adjust moves it away",
				policy->pools[i].name, from, to);
}

void check_host(const struct policy *policy, struct policy_notes *notes)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule->conditions & RULE_UID)
			check_user(rule, notes);
		if (rule->conditions & RULE_EXE)
			check_exe(rule, notes);
		if (rule->conditions & RULE_NETNS)
			check_netns(rule, notes);
	}
	check_kernel_range(policy, notes);
}
