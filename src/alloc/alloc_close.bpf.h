/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_close.bpf.h - where the kernel lets go of a port, and what it tells before:
 * where a connection really goes, and that a socket listens.
 */
#ifndef ALLOC_CLOSE_BPF_H
#define ALLOC_CLOSE_BPF_H

#include "alloc/alloc_connect.bpf.h"
#include "alloc/alloc_guard.bpf.h"

/* The pool that the port was taken from. */
static __always_inline struct alloc_pool *pool_at(const struct port_record *record)
{
	struct alloc_space *space =
		record ? by_id(&spaces, record_space(record)) : NULL;

	return space ? by_id(&pools, space->pool) : NULL;
}

/* The port is bound without SO_REUSEADDR: its TIME_WAIT keeps all others off it. */
static __always_inline bool is_alone(const struct port_record *record,
				     const struct alloc_pool *pool)
{
	return pool->sharing == ALLOC_SHARING_NEVER ||
	       (record->mark & RECORD_EXCLUSIVE);
}

/* How long the tuple rests after this close, and under which rules. */
static __always_inline void rest_decide(struct lease *lease, struct sock *sk,
					int old_state)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_pool *pool = pool_at(record);
	bool waits =
		(old_state == TCP_FIN_WAIT2 || old_state == TCP_CLOSING) && !sk->sk_err;
	__u64 rest_ns;

	if (waits)
		lease->rest_flags |= LEASE_WAITS;
	if (!tcp || !pool || (!waits && !pool->quarantine_all))
		return;
	rest_ns = pool->quarantine_ns;
	if (waits && is_alone(record, pool))
		lease->rest_flags |= REST_NOT_EARLY | REST_HOLDS_PORT;
	/* Without timestamps the kernel refuses a tuple in TIME_WAIT (RFC 6191). */
	else if (waits && !BPF_CORE_READ_BITFIELD(tcp, rx_opt.tstamp_ok))
		lease->rest_flags |= REST_NOT_EARLY;
	if ((lease->rest_flags & REST_NOT_EARLY) && rest_ns < TIME_WAIT_NS)
		rest_ns = TIME_WAIT_NS;
	if (!rest_ns)
		return;
	/* The peer has not closed yet: tcp_fin_timeout may pass before TIME_WAIT
	 * begins. */
	if (waits && old_state == TCP_FIN_WAIT2 &&
	    !(sk->__sk_common.skc_flags >> SOCK_DONE & 1)) {
		rest_ns += TIME_WAIT_NS;
		lease->rest_flags |= lease->local ? REST_PEER_OPEN : REST_NOT_EARLY;
	}
	lease->rest_until_ns = lease->now_ns + rest_ns;
}

/* A port that is not shared stays bound until its socket is closed, not only its
 * connection. */
static __always_inline bool waits_for_close(const struct lease *lease, struct sock *sk)
{
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_pool *pool = pool_at(record);

	return pool && is_alone(record, pool) && sk->sk_socket &&
	       (sk->sk_shutdown & SHUTDOWN_MASK) != SHUTDOWN_MASK;
}

/*
 * Is the port the socket's, its own or shared, or barred for it? Asked before anything
 * is hashed: most sockets have let go of their port when they are asked about again.
 */
static __always_inline bool has_any(const struct lease *lease)
{
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_host *host = by_id(&hosts, lease->host);

	if (!record || !host || !USERS(record->counts))
		return false;
	return (__u32)record->holder == (__u32)lease->cookie ||
	       (host->tuple_count && limbo_find(lease->cookie));
}

/* The lease this TCP socket may have; false: its port is none that we give in its host.
 */
static __always_inline bool lease_of(struct lease *lease, struct sock *sk)
{
	const __u32 *v6 = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32;
	const __u32 *local = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32;
	__u32 remote[4] = {0, 0, bpf_htonl(0xffff), sk->__sk_common.skc_daddr};
	__u32 source[4] = {0, 0, 0, sk->__sk_common.skc_rcv_saddr};
	bool is_v4 = sk->__sk_common.skc_family != AF_INET6;

	lease->port = sk->__sk_common.skc_num;
	lease->cookie = sk->__sk_common.skc_cookie.counter;
	/* What has a lease, or had its port barred, got a cookie then; what was
	 * accepted has none as a rule. */
	if (!lease->cookie || !was_guarded(lease->port))
		return false;
	lease->host =
		host_of(sk->__sk_common.skc_net.net->net_cookie, IPPROTO_TCP_NUMBER);
	if (!lease->host || !has_any(lease))
		return false;
	lease->now_ns = bpf_ktime_get_boot_ns();
	lease->uid = sk->sk_uid.val;
	if (!is_v4) {
		for (int i = 0; i < 4; i++) {
			remote[i] = v6[i];
			source[i] = local[i];
		}
		is_v4 = !source[0] && !source[1] && source[2] == bpf_htonl(0xffff);
	}
	if (is_v4)
		lease->local = source[3];
	lease_aim(lease, remote, sk->__sk_common.skc_dport,
		  BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_BINDADDR_LOCK ? source
										: NULL);
	return true;
}

/*
 * Users but root keep ports out after their close only as long as a sixteenth of all
 * (16 at least) is out, so that nobody empties a pool by listening here and there.
 */
static __always_inline __u32 listener_flags(__u32 host_number, __u32 uid)
{
	struct alloc_host *host = by_id(&hosts, host_number);
	__u32 most = guarded_count / 16;

	if (!host)
		return 0;
	if (most < 16)
		most = 16;
	if (uid && host->listened >= most)
		return 0;
	__sync_fetch_and_add(&host->listened, 1);
	return RECORD_LISTENED;
}

/*
 * A listener: nobody is given its port while it lives, nor for an hour after where the
 * program named the port. One of ours, bound to port 0, has a lease already.
 */
static __always_inline void listener_bar(struct lease *lease, struct sock *sk)
{
	struct port_record *record;
	bool is_program;
	__u32 flags = 0;

	if (!is_guarded(sk->__sk_common.skc_num))
		return;
	lease->host =
		host_of(sk->__sk_common.skc_net.net->net_cookie, IPPROTO_TCP_NUMBER);
	if (!lease->host)
		return;
	lease->port = sk->__sk_common.skc_num;
	lease->cookie = bpf_get_socket_cookie(sk);
	record = record_of(lease->host, lease->port);
	if (!record)
		return;
	is_program = record->mark & RECORD_FOREIGN;
	/* bpf_bind() locks the port as bind() does: it was not the program that named
	 * it. */
	if (!is_program && (__u32)record->holder == (__u32)lease->cookie) {
		if (!is_held_by(record, lease->cookie))
			port_bar(lease, RECORD_PROGRAM);
		return;
	}
	if (BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_BINDPORT_LOCK)
		flags = listener_flags(lease->host, sk->sk_uid.val);
	port_bar(lease, flags);
}

/*
 * Another program's hook, after ours, sent the connection elsewhere: the lease follows.
 * No port is shared until user space has looked who does this: two that asked
 * for different destinations may come out at the same.
 */
static __always_inline void lease_redirect(struct lease *lease)
{
	struct port_record *record = record_of(lease->host, lease->port);

	settings.is_rewritten = 1;
	if (!record)
		return;
	lease->space = record_space(record);
	lease_follow(lease);
}

/* The connection is about to send its SYN: does it go where the hook was told? */
static __always_inline void syn_check(struct lease *lease, struct sock *sk)
{
	const __u32 *v6 = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32;
	__u32 address[4] = {0, 0, bpf_htonl(0xffff), sk->__sk_common.skc_daddr};
	struct verdict *verdict = verdict_slot();

	if (!verdict || verdict->picked_by != EVENT_PICKED_SRCPORT ||
	    verdict->cookie != (__u64)sk->__sk_common.skc_cookie.counter)
		return;
	if (sk->__sk_common.skc_family == AF_INET6) {
		address[0] = v6[0];
		address[1] = v6[1];
		address[2] = v6[2];
		address[3] = v6[3];
	}
	if (verdict->fold == destination_fold(address, sk->__sk_common.skc_dport) ||
	    !lease_of(lease, sk))
		return;
	lease_redirect(lease);
}

static __always_inline void lease_close(struct lease *lease, struct sock *sk,
					int old_state)
{
	rest_decide(lease, sk, old_state);
	/* Refused or reset, the program's socket is bound yet, until it is closed: for
	 * a minute nobody is given the port to bind it alone. */
	if (sk->sk_socket && (sk->sk_shutdown & SHUTDOWN_MASK) != SHUTDOWN_MASK)
		lease->rest_flags |= LEASE_WAITS;
	if (!lease_end(lease))
		port_unbar(lease);
}

/* Read a field of the kernel's socket, which is what this context points at. */
#define READ_SOCK(ctx, field, to)                                     \
	bpf_probe_read_kernel(                                        \
		(to), bpf_core_field_size(struct sock_common, field), \
		(void *)(ctx) + bpf_core_field_offset(struct sock_common, field))

/* Where this socket goes, or went, read from behind the context. */
static __always_inline void aim_of(struct lease *lease, struct bpf_sock *ctx)
{
	__u32 remote[4] = {0, 0, bpf_htonl(0xffff), 0}, source[4] = {};
	bool is_v6 = ctx->family == AF_INET6;
	__be16 port = 0;

	if (is_v6) {
		READ_SOCK(ctx, skc_v6_daddr, remote);
		READ_SOCK(ctx, skc_v6_rcv_saddr, source);
	} else {
		READ_SOCK(ctx, skc_daddr, &remote[3]);
		READ_SOCK(ctx, skc_rcv_saddr, &source[3]);
	}
	READ_SOCK(ctx, skc_dport, &port);
	lease_aim(lease, remote, port,
		  BPF_CORE_READ_BITFIELD_PROBED((struct sock *)ctx, sk_userlocks) &
				  SOCK_BINDADDR_LOCK
			  ? source
			  : NULL);
}

/* A close that no state told of (UDP; TCP that goes back to CLOSE first), in a pool
 * where tuples rest after every one. */
static __always_inline void rest_unseen(struct lease *lease)
{
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_pool *pool = pool_at(record);

	if (!pool || !pool->quarantine_all || !pool->quarantine_ns)
		return;
	lease->rest_until_ns = lease->now_ns + pool->quarantine_ns;
}

#endif /* ALLOC_CLOSE_BPF_H */
