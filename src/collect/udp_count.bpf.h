/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * udp_count.bpf.h - the bytes of connected UDP sessions, as send and receive calls
 * return them.
 *
 * One slot for each low 16 bits of a socket cookie; cookies are nearly sequential. The
 * newest session takes a slot whatever it holds, so no slot is lost when the end of a
 * session is not seen. The session that had it finds another cookie there, and its
 * bytes are unknown. Only a datagram that passes on another CPU in the nanoseconds of
 * such a change may be counted to the newer session.
 *
 * A session lasts until its socket is closed or turned to another peer. What the
 * program sends to other addresses with sendto() meanwhile counts too.
 */
#ifndef COLLECT_UDP_COUNT_BPF_H
#define COLLECT_UDP_COUNT_BPF_H

#include "bpf/kernel.h"

#define UDP_COUNT_SLOTS 65536
#define UDP_PEER_MIX	0x9e3779b97f4a7c15ULL

/* 32 bytes: a slot that is in no cache is most of what counting adds to connect(). */
struct udp_count {
	__u64 cookie; /* of the socket; 0: nobody's */
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 peer; /* udp_peer() of the address and port */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UDP_COUNT_SLOTS);
	__type(key, __u32);
	__type(value, struct udp_count);
} udp_counts SEC(".maps");

/* The slot of a socket, whosever it is now. */
static __always_inline struct udp_count *udp_count_slot(__u64 cookie)
{
	__u32 slot = (__u32)cookie & (UDP_COUNT_SLOTS - 1);

	return bpf_map_lookup_elem(&udp_counts, &slot);
}

/* The slot of a socket that has it; NULL: another has, or there is nothing to count. */
static __always_inline struct udp_count *udp_count_find(__u64 cookie)
{
	struct udp_count *count = udp_count_slot(cookie);

	return count && cookie && count->cookie == cookie ? count : NULL;
}

/*
 * A peer in 64 bits: exact for IPv4, mixed for IPv6, where two peers of one socket are
 * taken for one by an accident of 1 in 2^64.
 */
static __always_inline __u64 udp_peer(const __u32 *dst, __u32 dport)
{
	__u64 high = (__u64)dst[0] << 32 | dst[1];

	return (high * UDP_PEER_MIX ^ dst[2]) * UDP_PEER_MIX ^
	       ((__u64)dport << 32 | dst[3]);
}

static __always_inline void udp_count_clear(struct udp_count *count)
{
	*(volatile __u64 *)&count->cookie = 0;
}

/* Begin to count a session. The cookie comes last: who finds it finds zeros. */
static __always_inline void udp_count_begin(struct udp_count *count, __u64 cookie,
					    __u64 peer)
{
	udp_count_clear(count);
	count->tx_bytes = 0;
	count->rx_bytes = 0;
	count->peer = peer;
	barrier();
	*(volatile __u64 *)&count->cookie = cookie;
}

/*
 * For the tracepoints, which run for every send and receive of the host: what is not
 * UDP leaves after one comparison. A socket that has no cookie yet has no session.
 */
static __always_inline struct udp_count *udp_count_of_sock(const struct sock *sk)
{
	if (sk->sk_protocol != IPPROTO_UDP_NUMBER)
		return NULL;
	return udp_count_find(sk->__sk_common.skc_cookie.counter);
}

#endif /* COLLECT_UDP_COUNT_BPF_H */
