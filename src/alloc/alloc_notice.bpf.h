/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_notice.bpf.h - what a person may ask about, sent to user space: binds into
 * pools, picks left to the kernel, refusals. At most some hundred a second: user space
 * gives the allowance anew each second; what goes beyond is counted.
 */
#ifndef ALLOC_NOTICE_BPF_H
#define ALLOC_NOTICE_BPF_H

#include "alloc/alloc_maps.bpf.h"

#include "alloc/alloc_notice_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} notices SEC(".maps");

__u32 notices_left;
__u64 notices_dropped;

/* A rough count will do: two CPUs may both take the last one. */
static __always_inline bool notice_is_allowed(void)
{
	if (notices_left && notices_left < 0x80000000) {
		__sync_fetch_and_add(&notices_left, -1);
		return true;
	}
	__sync_fetch_and_add(&notices_dropped, 1);
	return false;
}

/*
 * The caller fills kind, reason, is_refused, pool, port and picked of what; the rest is
 * of the current task and socket. The destination comes as the four words of an IPv6
 * address.
 */
static __noinline int notice_send(struct bpf_sock_addr *ctx,
				  const struct notice_brief *what, const __u32 *address)
{
	struct alloc_notice_abi *notice;
	__u64 id = bpf_get_current_pid_tgid();

	if (!notice_is_allowed())
		return 0;
	notice = bpf_ringbuf_reserve(&notices, sizeof(*notice), 0);
	if (!notice) {
		__sync_fetch_and_add(&notices_dropped, 1);
		return 0;
	}
	notice->brief = *what;
	notice->time_ns = bpf_ktime_get_boot_ns();
	notice->netns = bpf_get_netns_cookie(ctx);
	notice->pid = id >> 32;
	notice->uid = bpf_get_current_uid_gid();
	notice->protocol = ctx->protocol;
	for (int i = 0; i < 4; i++)
		notice->address[i] = address[i];
	bpf_get_current_comm(notice->comm, sizeof(notice->comm));
	bpf_ringbuf_submit(notice, 0);
	return 0;
}

#endif /* ALLOC_NOTICE_BPF_H */
