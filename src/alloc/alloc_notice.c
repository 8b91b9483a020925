/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "alloc/alloc_notice_abi.h"
#include "alloc/alloc_private.h"

#include "alloc/alloc.skel.h"

#define NOTICES_A_SECOND 500

const char *alloc_reason_name(enum alloc_reason reason)
{
	static const char *const names[ALLOC_REASON_COUNT] = {
		[ALLOC_REASON_FULL] = "full",
		[ALLOC_REASON_CONFLICT] = "conflict",
		[ALLOC_REASON_TABLE] = "table-full",
		[ALLOC_REASON_QUOTA] = "quota",
		[ALLOC_REASON_FAULT] = "fault",
		[ALLOC_REASON_GUARD] = "guard",
	};

	return (size_t)reason < ALLOC_REASON_COUNT ? names[reason] : NULL;
}

static int on_notice(void *arg, void *data, size_t size)
{
	const struct alloc_notice_abi *from = data;
	struct alloc *alloc = arg;
	struct alloc_notice notice;

	if (size < sizeof(*from) || !alloc->notice)
		return 0;
	notice = (struct alloc_notice){
		.kind = from->brief.kind,
		.reason = from->brief.reason,
		.is_refused = from->brief.is_refused,
		.time_ns = from->time_ns,
		.netns = from->netns,
		.pool = from->brief.pool,
		.pid = from->pid,
		.uid = from->uid,
		.protocol = from->protocol,
		.port = from->brief.port,
		.picked = from->brief.picked,
	};
	memcpy(notice.address.bytes, from->address, sizeof(notice.address.bytes));
	memcpy(notice.comm, from->comm, sizeof(notice.comm));
	notice.comm[sizeof(notice.comm) - 1] = '\0';
	alloc->notice(&notice, alloc->notice_arg);
	return 0;
}

int alloc_notice_open(struct alloc *alloc, struct fault *fault)
{
	alloc->notices = ring_buffer__new(bpf_map__fd(alloc->bpf->maps.notices),
					  on_notice, alloc, NULL);
	if (!alloc->notices)
		return fault_set(fault, -errno, "cannot map the ring of notices: %s",
				 strerror(errno));
	alloc_notice_tick(alloc);
	return 0;
}

void alloc_notice_close(struct alloc *alloc)
{
	ring_buffer__free(alloc->notices);
}

void alloc_notice_tick(struct alloc *alloc)
{
	alloc->bpf->bss->notices_left = NOTICES_A_SECOND;
}

void alloc_set_notice(struct alloc *alloc, alloc_notice_fn *notice, void *arg)
{
	alloc->notice = notice;
	alloc->notice_arg = arg;
}

int alloc_notice_fd(const struct alloc *alloc)
{
	return ring_buffer__epoll_fd(alloc->notices);
}

void alloc_poll(struct alloc *alloc, uint64_t *ret_dropped)
{
	uint64_t dropped = alloc->bpf->bss->notices_dropped;

	ring_buffer__consume(alloc->notices);
	*ret_dropped = dropped - alloc->notices_dropped;
	alloc->notices_dropped = dropped;
}
