/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* gap.h - a period in which events were lost, and why. */
#ifndef MODEL_GAP_H
#define MODEL_GAP_H

#include <stdint.h>

#define GAP_CAUSE_MAX 64

struct gap {
	uint64_t from_ns; /* wall clock */
	uint64_t until_ns;
	uint64_t lost_count;	   /* events lost; 0: not known how many */
	char cause[GAP_CAUSE_MAX]; /* "ring full", "srcportd not running" */
};

#endif /* MODEL_GAP_H */
