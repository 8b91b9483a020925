/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sends connect()s to any of several service ports on to one backend, in the way of a
 * load balancer on sockets: the program asked for a service, the kernel connects
 * to the backend. tests/tools/rewriter.c loads it.
 */
#include "bpf/kernel.h"

const volatile __u16 first_port, last_port; /* of the services */
const volatile __u16 backend_port;
const volatile __u32 backend[4]; /* IPv4 in the last */

__u64 rewritten;

static __always_inline bool is_service(struct bpf_sock_addr *ctx)
{
	__u16 port = bpf_ntohs(ctx->user_port);

	return port >= first_port && port <= last_port;
}

SEC("cgroup/connect4")
int rewrite4(struct bpf_sock_addr *ctx)
{
	if (!is_service(ctx))
		return 1;
	ctx->user_ip4 = backend[3];
	ctx->user_port = bpf_htons(backend_port);
	__sync_fetch_and_add(&rewritten, 1);
	return 1;
}

SEC("cgroup/connect6")
int rewrite6(struct bpf_sock_addr *ctx)
{
	if (!is_service(ctx))
		return 1;
	ctx->user_ip6[0] = backend[0];
	ctx->user_ip6[1] = backend[1];
	ctx->user_ip6[2] = backend[2];
	ctx->user_ip6[3] = backend[3];
	ctx->user_port = bpf_htons(backend_port);
	__sync_fetch_and_add(&rewritten, 1);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
