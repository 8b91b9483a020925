/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_bind.bpf.h - bind(): to port 0, where the port is drawn at once and for this
 * socket alone; and to a port that the program chose, which is guarded and barred.
 *
 * bpf_bind() is not offered here, so the hook cannot try another port: it asks
 * beforehand whether a socket answers on the one drawn.
 */
#ifndef ALLOC_BIND_BPF_H
#define ALLOC_BIND_BPF_H

#include "alloc/alloc_connect.bpf.h"
#include "alloc/alloc_guard.bpf.h"

/* Does a socket stand ready on this port: a listener, or unconnected UDP? */
static __noinline bool port_answers(struct bpf_sock_addr *ctx, __u32 port)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	tuple.ipv4.dport = bpf_htons(port);
	if (ctx->protocol == IPPROTO_UDP_NUMBER)
		sk = bpf_sk_lookup_udp(ctx, &tuple, sizeof(tuple.ipv4),
				       BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4),
				       BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/*
 * Ports drawn for a bind() that is not through yet. It may still fail, by the
 * kernel's doing or another program's, and nothing tells us but what the socket does
 * next: it binds, or asks again, or is closed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);   /* cookie */
	__type(value, __u64); /* uid, host, port */
} pending SEC(".maps");

__u32 pending_binds;

/* The bind() of this socket is over: with the port it was given, or without. */
__noinline int bind_settle(__u64 cookie, __u32 port)
{
	__u64 *drawn = bpf_map_lookup_elem(&pending, &cookie);
	struct lease lease = {.cookie = cookie};

	if (!drawn)
		return 0;
	lease.port = *drawn & 0xffff;
	lease.host = *drawn >> 16 & 0xffff;
	lease.uid = *drawn >> 32;
	if (bpf_map_delete_elem(&pending, &cookie))
		return 0;
	__sync_fetch_and_add(&pending_binds, -1);
	if (lease.port == port)
		return 1;
	lease.now_ns = bpf_ktime_get_boot_ns();
	return lease_end(&lease);
}

/* False: there is no room, and the port is let go again. */
static __always_inline bool bind_note(struct lease *lease)
{
	__u64 cookie = lease->cookie;
	__u64 drawn = (__u64)lease->uid << 32 | lease->host << 16 | lease->port;

	if (bpf_map_update_elem(&pending, &cookie, &drawn, BPF_NOEXIST)) {
		lease_end(lease);
		return false;
	}
	__sync_fetch_and_add(&pending_binds, 1);
	return true;
}

static __always_inline int bind_draw(struct bpf_sock_addr *ctx)
{
	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	struct inet_sock *inet = inet_of(ctx);
	__u32 pool_number = hook_pool(ctx, NULL);
	struct alloc_pool *pool = by_id(&pools, pool_number);
	struct lease lease = {};

	if (!pool_number || !pool || !inet || binds_late(inet) || has_own_range(inet) ||
	    settings.mode == MODE_DRY_RUN)
		return 1;
	lease.uid = uid_of_sock(inet);
	lease.space = space_of(attachment, pool_number, bpf_get_netns_cookie(ctx),
			       ctx->protocol, lease.uid);
	if (!lease.space) {
		STAT_ADD(pool_number, table_full, 1);
		STAT_ADD(pool_number, fallbacks[ALLOC_REASON_TABLE], 1);
		return 1;
	}
	lease.cookie = bpf_get_socket_cookie(ctx);
	if (pending_binds)
		bind_settle(lease.cookie, 0);
	lease.now_ns = bpf_ktime_get_boot_ns();
	lease.user = user_of_space(lease.uid, lease.space);
	STAT_ADD(pool_number, binds, 1);
	for (int i = 0; i < BIND_ATTEMPTS && !user_is_over(&lease, pool); i++) {
		if (!lease_draw(&lease))
			break;
		if (port_answers(ctx, lease.port)) {
			STAT_ADD(pool_number, conflicts, 1);
			lease_set_aside(&lease, 0);
			continue;
		}
		if (!bind_note(&lease))
			break;
		ctx->user_port = bpf_htons(lease.port);
		STAT_ADD(pool_number, picks, 1);
		return 1;
	}
	STAT_ADD(pool_number, fallbacks[ALLOC_REASON_FULL], 1);
	return 1;
}

/* address: the one to bind to. */
static __always_inline int bind_hook(struct bpf_sock_addr *ctx, const __u32 *address)
{
	struct bpf_sock *sk = ctx->sk;

	if (settings.mode == MODE_OFF || !sk || sk->src_port ||
	    !protocol_is_ours(ctx->protocol))
		return 1;
	if (!ctx->user_port)
		return bind_draw(ctx);
	return is_guarded(bpf_ntohs(ctx->user_port)) ? guard_bind(ctx, address) : 1;
}

/*
 * A program has a port of a pool by its own bind(), or the kernel's pick was one: the
 * kernel may pick even one that is given out where both have SO_REUSEADDR.
 */
static __always_inline int bound_hook(struct bpf_sock *ctx)
{
	__u32 port = ctx->src_port, protocol = ctx->protocol;
	struct inet_sock *inet = (void *)ctx; /* which it is */
	struct lease lease = {};

	if (!protocol_is_ours(protocol))
		return 1;
	lease.cookie = bpf_get_socket_cookie(ctx);
	if (pending_binds)
		bind_settle(lease.cookie, port);
	if (!is_guarded(port) || settings.mode == MODE_OFF)
		return 1;
	lease.host = host_of(bpf_get_netns_cookie(ctx), protocol);
	if (!lease.host)
		return 1;
	lease.port = port;
	lease.uid = uid_of_sock(inet);
	if (is_reused(inet) && settings.mode != MODE_DRY_RUN &&
	    is_open_to_theft(record_of(lease.host, port), protocol, lease.uid,
			     lease.cookie)) {
		STAT_ADD(0, refusals[ALLOC_REASON_GUARD], 1);
		bpf_set_retval(-EADDRINUSE_NUMBER);
		return 0;
	}
	port_bar(&lease, RECORD_PROGRAM);
	return 1;
}

#endif /* ALLOC_BIND_BPF_H */
