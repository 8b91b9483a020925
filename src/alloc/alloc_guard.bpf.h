/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_guard.bpf.h - ports of pools that programs bind by themselves, and listeners.
 *
 * A port that a program bound is barred at once: it is given to nobody until its socket
 * has closed. One that listens stays barred until user space ends it, an hour after it
 * closed.
 */
#ifndef ALLOC_GUARD_BPF_H
#define ALLOC_GUARD_BPF_H

#include "alloc/alloc_dense.bpf.h"
#include "alloc/alloc_hook.bpf.h"

/*
 * A port that is held already. One set aside gets another holder, so that neither the
 * first one's close returns it, nor user space by an old listing.
 */
static __always_inline void bar_again(struct port_record *record,
				      const struct lease *lease, __u32 flags)
{
	if (record->mark & RECORD_FOREIGN) {
		record->holder = holder_of(lease);
		record_unmark(record, RECORD_PROGRAM);
		flags &= RECORD_LISTENED;
	}
	record_mark(record, flags);
}

/*
 * Bar the port. With leases on it (another program may bind there with
 * SO_REUSEADDR), no more are given, and the port returns only when user space finds no
 * socket on it. So it does where a second program binds what a first one has.
 */
__noinline int port_bar(struct lease *lease, __u32 flags)
{
	struct port_record *record;
	__u64 was;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	if (!record)
		return 0;
	/* Or user space would find the hour over. */
	if (flags & RECORD_LISTENED)
		record_close(record, bpf_ktime_get_boot_ns(), true);
	was = record->holder;
	if (USERS(record->counts) && (__u32)was == (__u32)lease->cookie) {
		record_mark(record, flags & RECORD_LISTENED);
		return 1;
	}
	if (USERS(record->counts) || PRINT(was) ||
	    __sync_val_compare_and_swap(&record->holder, was, holder_of(lease)) !=
		    was) {
		bar_again(record, lease, flags);
		return 1;
	}
	record_mark(record, flags | RECORD_FOREIGN);
	__sync_fetch_and_add(&record->counts, 1);
	return 1;
}

/* The program's socket let go of a port it had bound itself. */
__noinline int port_unbar(struct lease *lease)
{
	struct port_record *record;

	if (!lease)
		return 0;
	record = record_of(lease->host, lease->port);
	/* Not foreign: a lease whose port a program bound too. */
	if (!record || !(record->mark & RECORD_PROGRAM) ||
	    !(record->mark & RECORD_FOREIGN) ||
	    (__u32)record->holder != (__u32)lease->cookie)
		return 0;
	record_close(record, lease->now_ns, true);
	if ((record->mark & RECORD_LISTENED))
		return 1;
	record->holder = 0;
	record_unmark(record, RECORD_FOREIGN | RECORD_PROGRAM);
	dense_reopen(lease->host, lease->port);
	return port_unuse(lease->host, lease->port, 0);
}

static __noinline int guard_tell(struct bpf_sock_addr *ctx, const __u32 *address,
				 __u32 pool, bool is_refused)
{
	struct notice_brief what = {
		.kind = ALLOC_NOTICE_FOREIGN_BIND,
		.reason = ALLOC_REASON_GUARD,
		.is_refused = is_refused,
		.pool = pool,
		.port = bpf_ntohs(ctx->user_port),
	};

	notice_send(ctx, &what, address);
	STAT_ADD(pool, foreign_binds, !is_refused);
	STAT_ADD(pool, refusals[ALLOC_REASON_GUARD], is_refused);
	if (!is_refused || settings.mode == MODE_DRY_RUN)
		return 1;
	bpf_set_retval(-EADDRINUSE_NUMBER);
	return 0;
}

/* The first pool that has the port. */
struct pool_search {
	__u32 port;
	__u32 found;
};

static long pool_with_port(__u32 i, void *arg)
{
	struct pool_search *search = arg;
	struct alloc_pool *pool = by_id(&pools, i);

	if (!pool || !pool->members.count ||
	    !port_map_has(&pool->members, search->port))
		return 0;
	search->found = i;
	return 1;
}

/*
 * Is the port held by a lease that the kernel would let this socket join by our doing?
 * One bound to port 0 has SO_REUSEADDR only where its program set it: TCP is left to
 * the kernel, and UDP of the same user.
 */
static __always_inline bool is_open_to_theft(const struct port_record *record,
					     __u32 protocol, __u32 uid, __u64 cookie)
{
	__u64 holder;

	if (!record || !USERS(record->counts) || (record->mark & RECORD_FOREIGN))
		return false;
	holder = record->holder;
	if ((__u32)holder == (__u32)cookie)
		return false;
	if (record->mark & RECORD_EXCLUSIVE)
		return protocol == IPPROTO_UDP_NUMBER &&
		       PRINT(holder) != HOLDER_EXCLUSIVE(uid);
	return true;
}

/*
 * bind() to a port of a pool. A program that a rule (or its run) leads to that pool may
 * have it; another is reported, refused or allowed as the policy says. Nobody may
 * join a port that is given out: SO_REUSEADDR on both sides, which we set on ours,
 * would let a stranger listen there.
 */
static __noinline int guard_bind(struct bpf_sock_addr *ctx, const __u32 *address)
{
	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	__u64 netns = bpf_get_netns_cookie(ctx), cookie = bpf_get_socket_cookie(ctx);
	struct pool_search search = {.port = bpf_ntohs(ctx->user_port)};
	struct alloc_pool *pool = by_id(&pools, attachment->pool);
	__u32 host = host_of(netns, ctx->protocol);
	struct verdict *verdict = verdict_slot();
	struct inet_sock *inet = inet_of(ctx);
	struct port_record *record;

	if (!host)
		return 1;
	bpf_loop(ALLOC_POOLS, pool_with_port, &search, 0);
	record = record_of(host, search.port);
	/* Drawn by the hook of an inner cgroup just now. */
	if (record && is_held_by(record, cookie))
		return 1;
	if (inet && is_reused(inet) &&
	    is_open_to_theft(record, ctx->protocol, uid_of_sock(inet), cookie))
		return guard_tell(ctx, address, search.found, true);
	if (settings.foreign_bind == FOREIGN_BIND_ALLOWS)
		return 1;
	if (attachment->pool) {
		if (pool && port_map_has(&pool->members, search.port)) {
			if (verdict) {
				verdict->pool = attachment->pool;
				verdict->picked_by = EVENT_PICKED_PROGRAM;
				verdict->is_of_run = true;
				verdict->cookie = cookie;
			}
			return 1;
		}
	} else if (is_decided(verdict, cookie) ||
		   match_may_use(match_process(netns, ctx->protocol), search.port)) {
		return 1;
	}
	return guard_tell(ctx, address, search.found,
			  settings.foreign_bind == FOREIGN_BIND_REFUSES);
}

#endif /* ALLOC_GUARD_BPF_H */
