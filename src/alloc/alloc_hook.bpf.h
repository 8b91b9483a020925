/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_hook.bpf.h - what the connect and the bind hooks share: settings, verdicts, the
 * kernel's socket behind their context, and which pool a session takes its port from.
 */
#ifndef ALLOC_HOOK_BPF_H
#define ALLOC_HOOK_BPF_H

#include "alloc/alloc_match.bpf.h"
#include "alloc/alloc_notice.bpf.h"
#include "alloc/alloc_space.bpf.h"

#include "alloc/alloc_hook_abi.h"

#define LOOPBACK_V4	    0x7f000001
#define SOL_SOCKET_NUMBER   1
#define SO_REUSEADDR_NUMBER 2
#define EADDRINUSE_NUMBER   98
#define EADDRNOTAVAIL	    99

struct alloc_settings settings;
__u64 guarded[1024];	  /* a bit for each port that is in a pool */
__u64 ever_guarded[1024]; /* or was: leases outlive their pool */
__u32 guarded_count;

static __always_inline bool port_bit(const __u64 *words, __u32 port)
{
	__u64 word = port >> 6;

	PICK_BOUND(word, 1023);
	return words[word] >> (port & 63) & 1;
}

static __always_inline bool is_guarded(__u32 port)
{
	return port_bit(guarded, port);
}

static __always_inline bool was_guarded(__u32 port)
{
	return port_bit(ever_guarded, port);
}

static __always_inline bool protocol_is_ours(__u32 protocol)
{
	return protocol == IPPROTO_TCP_NUMBER || protocol == IPPROTO_UDP_NUMBER;
}

/* ---- verdicts ---- */

static __always_inline struct verdict *verdict_slot(void)
{
	__u32 thread = bpf_get_current_pid_tgid() & (VERDICT_SLOTS - 1);

	return by_id(&verdicts, thread);
}

/* Unkeyed, to see whether what connects is what was asked for. */
static __always_inline __u32 destination_fold(const __u32 *address, __be16 port)
{
	return address[0] ^ address[1] ^ address[2] ^ address[3] ^
	       (__u32)port * 0x9e3779b9;
}

/* The hook of an inner cgroup, that of a run, has decided about this socket already. */
static __always_inline bool is_decided(const struct verdict *verdict, __u64 cookie)
{
	return verdict && verdict->cookie == cookie && verdict->is_of_run;
}

/* ---- the kernel's socket ---- */

/* The context begins with it (struct bpf_sock_addr_kern). */
static __always_inline struct inet_sock *inet_of(struct bpf_sock_addr *ctx)
{
	struct inet_sock *inet = NULL;

	return bpf_probe_read_kernel(&inet, sizeof(inet), ctx) ? NULL : inet;
}

/* IP_BIND_ADDRESS_NO_PORT is set: the port will be drawn at connect(), by us. */
static __always_inline bool binds_late(struct inet_sock *inet)
{
	struct inet_sock___before_6_6 *old = (void *)inet;

	if (bpf_core_field_exists(inet->inet_flags))
		return BPF_CORE_READ(inet, inet_flags) >>
			       INET_FLAGS_BIND_ADDRESS_NO_PORT &
		       1;
	return BPF_CORE_READ_BITFIELD_PROBED(old, bind_address_no_port);
}

/* IP_LOCAL_PORT_RANGE is set: the program has a range of its own (Linux 6.3). */
static __always_inline bool has_own_range(struct inet_sock *inet)
{
	struct inet_sock___range_of_two *old = (void *)inet;
	__u32 range = 0;

	if (bpf_core_field_exists(inet->local_port_range))
		return BPF_CORE_READ(inet, local_port_range);
	if (!bpf_core_field_exists(old->local_port_range))
		return false;
	bpf_probe_read_kernel(&range, sizeof(range),
			      (void *)inet +
				      bpf_core_field_offset(old->local_port_range));
	return range;
}

/* The program bound the socket to an address. */
static __always_inline bool has_address(struct inet_sock *inet)
{
	return BPF_CORE_READ_BITFIELD_PROBED(&inet->sk, sk_userlocks) &
	       SOCK_BINDADDR_LOCK;
}

static __always_inline __u32 uid_of_sock(struct inet_sock *inet)
{
	return BPF_CORE_READ(inet, sk.sk_uid.val);
}

/* SO_REUSEADDR as the program set it. */
static __always_inline bool is_reused(struct inet_sock *inet)
{
	return BPF_CORE_READ_BITFIELD_PROBED(&inet->sk.__sk_common, skc_reuse);
}

/* ---- pools ---- */

/*
 * Which pool: of the run's cgroup, else of the first rule that fits. 0: none. A bind()
 * has no destination yet (NULL): rules that ask for one do not fit.
 */
static __noinline int hook_pool(struct bpf_sock_addr *ctx, const __u32 *address)
{
	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	struct match match;
	__u32 rule;

	if (attachment->pool)
		return attachment->pool;
	match = match_process(bpf_get_netns_cookie(ctx), ctx->protocol);
	if (!match.rules)
		return 0;
	rule = match_first(match, address, bpf_ntohs(ctx->user_port));
	if (!rule || is_decided(verdict_slot(), bpf_get_socket_cookie(ctx)))
		return 0;
	return match_pool(match, rule - 1);
}

static __always_inline __u32 host_of(__u64 netns, __u32 protocol)
{
	struct alloc_host_key key = {.netns = netns, .protocol = protocol};
	__u32 *number = bpf_map_lookup_elem(&host_ids, &key);

	return number ? *number : 0;
}

#endif /* ALLOC_HOOK_BPF_H */
