/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * lock.h - one daemon per subtree of the cgroup tree, held by flock(2) on the folders.
 *
 * Shared locks on every folder from the root to the subtree's parent and an
 * exclusive one on the subtree: disjoint subtrees can each have a holder, a
 * subtree and its ancestor cannot. The kernel lets go when the holder dies.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <sys/types.h>

#include "base/fault.h"

struct lock;

/*
 * Lock the folder root/path ("" or "/a/b"). -EWOULDBLOCK where another holds it, a part
 * of it or an ancestor: the fault names its pid.
 */
int lock_take(const char *root, const char *path, struct lock **ret,
	      struct fault *fault);
void lock_free(struct lock *lock); /* NULL is fine */

/* Who holds an exclusive lock on the folder; 0: nobody. Does not take it, however
 * briefly. */
pid_t lock_holder(const char *folder);

#endif /* BASE_LOCK_H */
