/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_notice_abi.h - a notice on its way from alloc.bpf.c to alloc_notice.c. */
#ifndef ALLOC_NOTICE_ABI_H
#define ALLOC_NOTICE_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "alloc/alloc_notice.h"

struct notice_brief {
	__u8 kind; /* enum alloc_notice_kind */
	__u8 reason;
	__u8 is_refused;
	__u8 reserved;
	__u32 pool;
	__u16 port;   /* host order */
	__u16 picked; /* dry run */
	__u32 reserved_too;
};

struct alloc_notice_abi {
	struct notice_brief brief;
	__u64 time_ns; /* CLOCK_BOOTTIME */
	__u64 netns;
	__u32 pid;
	__u32 uid;
	__u32 protocol;
	__u32 address[4]; /* network order, IPv4 as v4-mapped */
	__u8 comm[16];
	__u32 reserved;
};

_Static_assert(sizeof(struct notice_brief) == 16, "notice ABI");
_Static_assert(sizeof(struct alloc_notice_abi) == 80, "notice ABI");

#endif /* ALLOC_NOTICE_ABI_H */
