/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_user.bpf.h - what each user but root has of the tables.
 *
 * Whose a socket is says its own uid (sk_uid), which stays the same from connect() to
 * close, whoever calls them. Root's are not counted. User space corrects what leaks.
 */
#ifndef ALLOC_USER_BPF_H
#define ALLOC_USER_BPF_H

#include "alloc/alloc_maps.bpf.h"

#define USER_NONE_LEFT -1 /* the table is full */

__noinline int user_insert(__u32 uid, __u32 pool, __u64 netns, __u32 parent)
{
	struct alloc_user_key key = {.uid = uid, .pool = pool, .netns = netns};
	__u32 *known = bpf_map_lookup_elem(&user_ids, &key), number = 0;
	struct alloc_user *user;

	if (known)
		return *known;
	if (bpf_map_pop_elem(&free_users, &number))
		return USER_NONE_LEFT;
	user = by_id(&users, number);
	if (!user)
		return USER_NONE_LEFT;
	user->parent = parent;
	if (!bpf_map_update_elem(&user_ids, &key, &number, BPF_NOEXIST))
		return number;
	bpf_map_push_elem(&free_users, &number, 0);
	known = bpf_map_lookup_elem(&user_ids, &key);
	return known ? *known : USER_NONE_LEFT;
}

/* The number of what uid has of all tables; 0: root. */
static __always_inline int user_of_all(__u32 uid)
{
	return uid ? user_insert(uid, 0, 0, 0) : 0;
}

/* The number of what uid has of this pool in this namespace; 0: root. */
__noinline int user_of(__u32 uid, __u32 pool, __u64 netns)
{
	struct alloc_user_key key = {.uid = uid, .pool = pool, .netns = netns};
	__u32 *known;
	int parent;

	if (!uid)
		return 0;
	known = bpf_map_lookup_elem(&user_ids, &key);
	if (known)
		return *known;
	parent = user_of_all(uid);
	return parent < 0 ? parent : user_insert(uid, pool, netns, parent);
}

static __always_inline int user_of_space(__u32 uid, __u32 space_number)
{
	struct alloc_space *space = uid ? by_id(&spaces, space_number) : NULL;

	return space ? user_of(uid, space->pool, space->netns) : 0;
}

/* NULL: root's, which nobody counts. */
static __always_inline struct alloc_user *user_at(__u32 number)
{
	return number && number < ALLOC_USERS ? by_id(&users, number) : NULL;
}

/* Of all tables, by the number of one pool's share. */
static __always_inline __u32 user_parent(__u32 number)
{
	struct alloc_user *user = user_at(number);

	return user ? user->parent : 0;
}

static __always_inline void user_hold(__u32 number, __u32 change)
{
	struct alloc_user *user = user_at(number);

	if (user)
		__sync_fetch_and_add(&user->held, change);
}

static __always_inline void user_share(__u32 number, __u32 change)
{
	struct alloc_user *user = user_at(user_parent(number));

	if (user)
		__sync_fetch_and_add(&user->shared, change);
}

static __always_inline void user_rest(__u32 parent, __u32 change)
{
	struct alloc_user *user = user_at(parent);

	if (user)
		__sync_fetch_and_add(&user->rests, change);
}

#endif /* ALLOC_USER_BPF_H */
