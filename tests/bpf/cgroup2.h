/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cgroup2.h - where the tests of BPF programs make their cgroups. */
#ifndef TESTS_BPF_CGROUP2_H
#define TESTS_BPF_CGROUP2_H

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Where cgroup2 is mounted: 0, or -ENOENT. */
static inline int find_cgroup2(char *ret, size_t size)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[PATH_MAX * 2], where[PATH_MAX], type[64];
	int found = -ENOENT;

	while (mounts && found && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %4095s %63s", where, type) == 2 &&
		    strcmp(type, "cgroup2") == 0) {
			snprintf(ret, size, "%s", where);
			found = 0;
		}
	if (mounts)
		fclose(mounts);
	return found;
}

#endif /* TESTS_BPF_CGROUP2_H */
