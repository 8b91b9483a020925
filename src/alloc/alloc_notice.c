/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "alloc/alloc_private.h"

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

	return names[reason];
}

void alloc_set_mode(struct alloc *alloc, enum alloc_mode mode)
{
	(void)alloc;
	(void)mode;
}

void alloc_set_guard(struct alloc *alloc, enum foreign_bind what)
{
	(void)alloc;
	(void)what;
}

void alloc_set_reserved(struct alloc *alloc, const struct port_set *ports)
{
	alloc->reserved = *ports;
}

void alloc_set_notice(struct alloc *alloc, alloc_notice_fn *notice, void *arg)
{
	(void)alloc;
	(void)notice;
	(void)arg;
}

int alloc_notice_fd(const struct alloc *alloc)
{
	(void)alloc;
	return -1;
}

void alloc_poll(struct alloc *alloc, uint64_t *ret_dropped)
{
	(void)alloc;
	*ret_dropped = 0;
}
