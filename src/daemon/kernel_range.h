/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * kernel_range.h - keep the kernel's own range of ports out of the pools, and put it
 * back.
 *
 * What was moved stands in STATE/kernel-range, which is written before the change: a
 * line "BOOT-ID NETNS-COOKIE FROM-TO FROM-TO", before and after, for each namespace. A
 * range that a person changed meanwhile is theirs, and stays. What is done and what
 * cannot be is logged.
 */
#ifndef DAEMON_KERNEL_RANGE_H
#define DAEMON_KERNEL_RANGE_H

#include <jansson.h>

#include "base/fault.h"
#include "policy/policy.h"

/*
 * Move the range out of the pools that rules name, in this process's network namespace
 * and in those that rules name; put back what an earlier call moved and this one does
 * not. 0, or a negative errno when nothing could be remembered, and then nothing was
 * changed.
 */
int kernel_range_adjust(const char *state, const struct policy *policy,
			struct fault *fault);

/* Something may have to be put back. */
bool kernel_range_is_moved(const char *state);

/* Put back everything. */
int kernel_range_restore(const char *state, struct fault *fault);

/*
 * What is moved now: [{"netns","before":[from,to],"now":[from,to]}], for status. A new
 * reference.
 */
json_t *kernel_range_json(const char *state);

#endif /* DAEMON_KERNEL_RANGE_H */
