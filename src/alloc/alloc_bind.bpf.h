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

/* A program has a port of a pool by its own bind(), or the kernel's pick was one. */
static __always_inline int bound_hook(struct bpf_sock *ctx)
{
	__u32 port = ctx->src_port, protocol = ctx->protocol;
	struct lease lease = {};

	if (!protocol_is_ours(protocol) || !is_guarded(port))
		return 1;
	lease.host = host_of(bpf_get_netns_cookie(ctx), protocol);
	if (!lease.host)
		return 1;
	lease.port = port;
	lease.cookie = bpf_get_socket_cookie(ctx);
	port_bar(&lease, RECORD_PROGRAM);
	return 1;
}

#endif /* ALLOC_BIND_BPF_H */
