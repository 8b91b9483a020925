/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_hook_abi.h - what user space tells the hooks, in their .bss. */
#ifndef ALLOC_HOOK_ABI_H
#define ALLOC_HOOK_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

struct alloc_settings {
	__u32 mode;	    /* enum alloc_mode */
	__u32 foreign_bind; /* enum foreign_bind */
	/* A connect() went elsewhere than its hook was told: share nothing until user
	 * space has looked for the program that does it. */
	__u32 is_rewritten;
	__u32 reserved;
};

/* The values of enum alloc_mode and enum foreign_bind, which BPF cannot include. */
#define MODE_OFF	     1
#define MODE_DRY_RUN	     2
#define FOREIGN_BIND_REFUSES 1
#define FOREIGN_BIND_ALLOWS  2

#endif /* ALLOC_HOOK_ABI_H */
