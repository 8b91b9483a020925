/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * identify_cgroup.h - from a cgroup's number to its path, and what the path tells.
 *
 * The number is the inode of the cgroup's folder. A path is kept after the
 * cgroup is gone, so ask early.
 */
#ifndef IDENTIFY_CGROUP_H
#define IDENTIFY_CGROUP_H

#include <stdint.h>

struct cgroup_table;

/* root is where cgroup2 is mounted. */
int cgroup_table_new(const char *root, struct cgroup_table **ret);
void cgroup_table_free(struct cgroup_table *table); /* NULL is fine */

/*
 * The path below root: "/" or "/system.slice/x.service". NULL: not known. Valid until
 * the next call. now_ns is any clock: where paths can only be found by reading the
 * whole tree, that is done at most once a second.
 */
const char *cgroup_table_path(struct cgroup_table *table, uint64_t cgroup,
			      uint64_t now_ns);

/* The last part that ends in .service or .scope. Malloc'd; NULL: none. */
char *cgroup_unit(const char *path);

/* The 64 hexadecimal digits by which container managers name a cgroup. Malloc'd; NULL:
 * none. */
char *cgroup_container(const char *path);

#endif /* IDENTIFY_CGROUP_H */
