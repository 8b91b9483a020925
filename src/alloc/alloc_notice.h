/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_notice.h - what the allocator has to tell, as both sides number it. */
#ifndef ALLOC_NOTICE_H
#define ALLOC_NOTICE_H

enum alloc_notice_kind {
	ALLOC_NOTICE_FOREIGN_BIND = 1, /* into a pool, by a program without a rule */
	ALLOC_NOTICE_FALLBACK,	       /* the kernel picks: reason says why */
	ALLOC_NOTICE_REFUSED,	       /* connect() or bind() failed by our doing */
	ALLOC_NOTICE_WOULD_PICK,       /* dry run */
	ALLOC_NOTICE_WOULD_REFUSE,     /* dry run */
};

enum alloc_reason {
	ALLOC_REASON_FULL,     /* no port of the pool is open to the destination */
	ALLOC_REASON_CONFLICT, /* others held all ports that were drawn */
	ALLOC_REASON_TABLE,    /* a table of ours is full */
	ALLOC_REASON_QUOTA,    /* the user has its share already */
	ALLOC_REASON_FAULT,    /* bpf_bind() failed otherwise */
	ALLOC_REASON_GUARD,    /* the port belongs to a pool, or is held from one */
	ALLOC_REASON_COUNT,
};

#endif /* ALLOC_NOTICE_H */
