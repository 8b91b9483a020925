/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

char *paths_ledger(const char *policy_path, const char *state, char *buf, size_t size)
{
	if (policy_path && strcmp(policy_path, PATHS_LEDGER) != 0)
		snprintf(buf, size, "%s", policy_path);
	else
		snprintf(buf, size, "%s/ledger", state);
	return buf;
}

/* "36 35 0:28 ROOT MOUNTPOINT OPTIONS... - cgroup2 ...", as proc(5) has it. */
static int parse_mount(const char *line, char *root, char *point)
{
	const char *dash = strstr(line, " - ");

	if (!dash || strncmp(dash, " - cgroup2 ", 11) != 0)
		return -ENOENT;
	if (sscanf(line, "%*d %*d %*s %4095s %4095s", root, point) != 2)
		return -EINVAL;
	return 0;
}

int paths_cgroup_root(char *buf, size_t size)
{
	char line[3 * PATH_MAX], root[PATH_MAX], point[PATH_MAX];
	FILE *file = fopen("/proc/self/mountinfo", "re");
	int err = -ENOENT;

	if (!file)
		return -errno;
	/* A bind mount of some inner folder would make every path wrong: only "/". */
	while (err < 0 && fgets(line, sizeof(line), file)) {
		err = parse_mount(line, root, point);
		if (err == 0 && (strcmp(root, "/") != 0 || strlen(point) >= size))
			err = -ENOENT;
	}
	fclose(file);
	if (err == 0)
		strcpy(buf, point);
	return err;
}
