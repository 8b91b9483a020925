/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The allocator's programs in the kernel: connect and bind hooks that give a socket its
 * port, and the places where the kernel lets go of one.
 */
#include "alloc/alloc_bind.bpf.h"
#include "alloc/alloc_close.bpf.h"
#include "alloc/alloc_connect.bpf.h"
#include "alloc/alloc_match_track.bpf.h"
#include "alloc/alloc_serve.bpf.h"

SEC("cgroup/connect4")
int alloc_connect4(struct bpf_sock_addr *ctx)
{
	/* As v4-mapped, and 0.0.0.0 as the kernel will have it. */
	__u32 address[4] = {0, 0, bpf_htonl(0xffff), ctx->user_ip4};

	if (!address[3])
		address[3] = ctx->sk && ctx->sk->src_ip4 ? ctx->sk->src_ip4
							 : bpf_htonl(LOOPBACK_V4);
	return connect_hook(ctx, false, address);
}

/* "Any" as the kernel will have it (tcp_v6_connect(), __ip6_datagram_connect()). */
static __always_inline void address_settle(struct bpf_sock *sk, __u32 *address)
{
	__u32 source[4] = {};

	if (address[0] | address[1] | address[3] ||
	    (address[2] && address[2] != bpf_htonl(0xffff)))
		return;
	if (sk) {
		source[0] = sk->src_ip6[0];
		source[1] = sk->src_ip6[1];
		source[2] = sk->src_ip6[2];
		source[3] = sk->src_ip6[3];
	}
	if (!address[2] && (source[0] | source[1] || source[2] != bpf_htonl(0xffff))) {
		address[3] = bpf_htonl(1);
		return;
	}
	/* [::] from a v4-mapped socket goes to loopback, [::ffff:0.0.0.0] to itself. */
	address[3] = address[2] && source[3] && source[2] == bpf_htonl(0xffff)
			     ? source[3]
			     : bpf_htonl(LOOPBACK_V4);
	address[2] = bpf_htonl(0xffff);
}

SEC("cgroup/connect6")
int alloc_connect6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
			    ctx->user_ip6[3]};

	address_settle(ctx->sk, address);
	return connect_hook(ctx, true, address);
}

SEC("cgroup/bind4")
int alloc_bind4(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {0, 0, bpf_htonl(0xffff), ctx->user_ip4};

	return bind_hook(ctx, address);
}

SEC("cgroup/bind6")
int alloc_bind6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
			    ctx->user_ip6[3]};

	return bind_hook(ctx, address);
}

SEC("cgroup/post_bind4")
int alloc_bound4(struct bpf_sock *ctx)
{
	return bound_hook(ctx);
}

SEC("cgroup/post_bind6")
int alloc_bound6(struct bpf_sock *ctx)
{
	return bound_hook(ctx);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(alloc_set_state, struct sock *sk, int old_state, int new_state)
{
	struct lease lease = {};

	if (new_state == TCP_SYN_SENT)
		syn_check(&lease, sk);
	else if (new_state == TCP_LISTEN)
		listener_bar(&lease, sk);
	if (new_state != TCP_CLOSE || old_state == TCP_SYN_RECV ||
	    old_state == TCP_NEW_SYN_RECV || !lease_of(&lease, sk) ||
	    waits_for_close(&lease, sk))
		return 0;
	if (old_state == TCP_LISTEN)
		lease.rest_flags = LEASE_LISTENED;
	lease_close(&lease, sk, old_state);
	return 0;
}

/*
 * The kernel skips a tracing program that it has just interrupted, so a CLOSE may go
 * unseen. Here a lease that is still held ends, and rests as if TIME_WAIT had been
 * left.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(alloc_destroy_sock, struct sock *sk)
{
	struct lease lease = {};

	if (lease_of(&lease, sk))
		lease_close(&lease, sk, TCP_FIN_WAIT2);
	return 0;
}

SEC("cgroup/sock_release")
int alloc_sock_release(struct bpf_sock *ctx)
{
	__u32 protocol = ctx->protocol;
	struct lease lease = {};
	__u16 port = 0;

	if (protocol != IPPROTO_UDP_NUMBER &&
	    (protocol != IPPROTO_TCP_NUMBER || ctx->state != TCP_CLOSE))
		return 1;
	READ_SOCK(ctx, skc_num, &port);
	if (pending_binds)
		bind_settle(bpf_get_socket_cookie(ctx), port);
	if (!was_guarded(port))
		return 1;
	lease.host = host_of(bpf_get_netns_cookie(ctx), protocol);
	if (!lease.host)
		return 1;
	lease.port = port;
	lease.cookie = bpf_get_socket_cookie(ctx);
	lease.now_ns = bpf_ktime_get_boot_ns();
	bpf_probe_read_kernel(&lease.uid, sizeof(lease.uid),
			      (void *)ctx + bpf_core_field_offset(struct sock, sk_uid));
	aim_of(&lease, ctx);
	rest_unseen(&lease);
	if (!lease_end(&lease))
		port_unbar(&lease);
	return 1;
}

SEC("tc")
int alloc_serve(struct __sk_buff *ctx)
{
	(void)ctx;
	ask.result = 0;
	switch (ask.op) {
	case ALLOC_ASK_MAKE_SPACE:
		ask.result = space_make(ask.netns, ask.pool, ask.protocol, 0);
		break;
	case ALLOC_ASK_SET_ASIDE:
		serve_set_aside();
		break;
	case ALLOC_ASK_REST:
		serve_rest();
		break;
	case ALLOC_ASK_RETURN:
		serve_return();
		break;
	case ALLOC_ASK_FORGET:
		serve_forget();
		break;
	case ALLOC_ASK_DROP_SPACE:
		serve_drop_space();
		break;
	case ALLOC_ASK_SWEEP:
		serve_sweep();
		break;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
