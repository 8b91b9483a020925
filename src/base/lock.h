/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * lock.h - one daemon per subtree of the cgroup tree, held by flock(2) on files.
 *
 * Each cgroup has a file, named by the inode number of its folder: a shared lock on
 * that of every ancestor and an exclusive one on the subtree's own. So disjoint
 * subtrees can each have a holder, a subtree and its ancestor cannot. The kernel lets
 * go when the holder dies.
 *
 * The files lie in a folder that only its owner can enter. The cgroups' own folders
 * would do without files, but anybody can open those, and lock them for good.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <sys/types.h>

#include "base/fault.h"

struct lock;

/*
 * Lock the cgroup root/path ("" or "/a/b") by files in folder, which is made (and its
 * parent) where it is missing. -EWOULDBLOCK where another holds it, a part of it or an
 * ancestor: the fault names its pid. -EPERM where others may enter the folder.
 */
int lock_take(const char *folder, const char *root, const char *path, struct lock **ret,
	      struct fault *fault);
void lock_free(struct lock *lock); /* NULL is fine */

/*
 * Who holds the cgroup root/path itself; 0: nobody, or it cannot be known. Does not
 * take the lock, however briefly.
 */
pid_t lock_holder(const char *folder, const char *root, const char *path);

/* The same for an exclusive lock on any file or folder. */
pid_t lock_file_holder(const char *path);

#endif /* BASE_LOCK_H */
