/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* identify_proc.h - what /proc says of a process. */
#ifndef IDENTIFY_PROC_H
#define IDENTIFY_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/event_abi.h"

#define PROC_TICK_NS \
	10000000ULL /* start times come in ticks of USER_HZ, 100 everywhere */

struct proc_process {
	uint64_t pid_start_ns; /* CLOCK_BOOTTIME, rounded down to a tick */
	uint64_t exe_inode;
	uint64_t exe_device;
	char *exe; /* NULL: a kernel thread, or not for us to see */
	char cmdline[EVENT_CMDLINE_MAX]; /* arguments end with NUL */
	size_t cmdline_length;
};

/* Read /proc/PID. -ENOENT: no such process (any more). The caller releases *ret. */
int proc_read(uint32_t pid, struct proc_process *ret);
void proc_release(struct proc_process *process);

/* Called with each process. */
typedef void proc_visit_fn(uint32_t pid, const struct proc_process *process, void *arg);

/* Visit all processes. Returns how many, or a negative errno. */
int proc_visit(proc_visit_fn *visit, void *arg);

/* Is this exact start the one that /proc rounds to ticks_ns? */
bool proc_start_agrees(uint64_t start_ns, uint64_t ticks_ns);

#endif /* IDENTIFY_PROC_H */
