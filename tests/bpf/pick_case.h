/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* pick_case.h - one question put to pick.h in the kernel, and its answer. */
#ifndef PICK_CASE_H
#define PICK_CASE_H

#include "alloc/pick.h"

struct pick_case {
	struct pick_key key;
	__u64 m0;
	__u64 m1;
	__u32 count;
	__u32 rank;
	__u64 random;
	__u64 destination;
	__u64 tuple;
	__u32 port;
	__u32 reserved;
};

#endif /* PICK_CASE_H */
