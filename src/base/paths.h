/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* paths.h - where srcport keeps its things unless told otherwise. */
#ifndef BASE_PATHS_H
#define BASE_PATHS_H

#include <stddef.h>

#define PATHS_CONFIG "/etc/srcport/srcport.conf"
#define PATHS_STATE  "/var/lib/srcport"
#define PATHS_SOCKET "/run/srcport/srcport.sock"
#define PATHS_LOCK   "/run/srcport/lock"       /* whatever --state and --socket say */
#define PATHS_LEDGER "/var/lib/srcport/ledger" /* what the built-in policy says */
#define PATHS_GROUP  "srcport"		       /* its members may read */

/*
 * The ledger's place: what the policy says, or, where it says only the default,
 * the folder "ledger" below state. Returns buf.
 */
char *paths_ledger(const char *policy_path, const char *state, char *buf, size_t size);

/* Where cgroup2 is mounted. 0, -ENOENT where it is not, or another negative errno. */
int paths_cgroup_root(char *buf, size_t size);

#endif /* BASE_PATHS_H */
