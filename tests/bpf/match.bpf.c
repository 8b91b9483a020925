/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Judges each connect() and bind() of a cgroup by the rules, for test_match.c. */
#include "alloc/alloc_match.bpf.h"

#include "match_seen.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32); /* tgid */
	__type(value, struct match_seen);
} seen SEC(".maps");

/* How often this rule led to this pool. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct match_pairs);
} pairs SEC(".maps");

static __always_inline void judge(struct bpf_sock_addr *ctx, const __u32 *address)
{
	struct match match = match_process(bpf_get_netns_cookie(ctx), ctx->protocol);
	__u32 port = bpf_ntohs(ctx->user_port);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct match_seen now = {};
	struct match_pairs *all = by_id(&pairs, 0);
	__u64 pair;

	now.rule = match_first(match, address, address ? port : 0);
	if (now.rule)
		now.pool = match_pool(match, now.rule - 1);
	if (!address)
		now.may_use = match_may_use(match, port);
	pair = now.rule * SEEN_POOLS + now.pool;
	if (all && pair < SEEN_RULES * SEEN_POOLS)
		__sync_fetch_and_add(&all->count[pair], 1);
	bpf_map_update_elem(&seen, &tgid, &now, BPF_ANY);
}

SEC("cgroup/connect4")
int match_connect4(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {0, 0, bpf_htonl(0xffff), ctx->user_ip4};

	judge(ctx, address);
	return 1;
}

SEC("cgroup/connect6")
int match_connect6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
			    ctx->user_ip6[3]};

	judge(ctx, address);
	return 1;
}

SEC("cgroup/bind4")
int match_bind4(struct bpf_sock_addr *ctx)
{
	judge(ctx, NULL);
	return 1;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
