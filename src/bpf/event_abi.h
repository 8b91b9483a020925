/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * event_abi.h - the records that collect.bpf.c writes into the ring buffer and
 * collect.c reads. Times are CLOCK_BOOTTIME in ns. Addresses are 16 bytes in network
 * order, IPv4 as v4-mapped, zero where not known. Ports are host order, 0 where not
 * known.
 */
#ifndef BPF_EVENT_ABI_H
#define BPF_EVENT_ABI_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum event_kind {
	EVENT_OPEN = 1, /* struct event_open: a connect() is under way */
	EVENT_ESTABLISHED =
		2, /* struct event_established: only where EVENT_OPEN had no port */
	EVENT_CLOSE = 3, /* struct event_close */
	EVENT_FORK = 4,	 /* struct event_fork: a new process, before it first runs */
	EVENT_EXEC = 5,	 /* struct event_exec: a new program image */
	EVENT_EXIT = 6,	 /* struct event_exit: the last thread of a process ended */
};

/* Who gave the source port; the values of enum picked_by in model/session.h. */
enum event_picked_by {
	EVENT_PICKED_UNKNOWN = 0,
	EVENT_PICKED_SRCPORT = 1,
	EVENT_PICKED_KERNEL = 2,
	EVENT_PICKED_PROGRAM = 3,
};

/* How a session ended; the values of enum end_reason in model/session.h. */
enum event_end {
	EVENT_END_UNKNOWN = 0,
	EVENT_END_FIN = 1,
	EVENT_END_RESET = 2,
	EVENT_END_REFUSED = 3,
	EVENT_END_UNREACHABLE = 4,
	EVENT_END_TIMEOUT = 5,
};

struct event_head {
	__u64 time_ns;
	__u8 kind; /* enum event_kind */
	__u8 protocol;
	__u8 picked_by;	 /* EVENT_OPEN: enum event_picked_by */
	__u8 end_reason; /* EVENT_CLOSE: enum event_end */
	__u32 pool;	 /* EVENT_OPEN: the pool's number in the kernel; 0: none */
};

struct event_open {
	struct event_head head;
	__u64 netns;
	__u64 cookie;
	__u64 cgroup;
	__u64 pid_start_ns; /* CLOCK_BOOTTIME of the process's start */
	__u32 pid;
	__u32 uid;
	__u8 src[16];
	__u8 dst[16];
	__u16 sport;
	__u16 dport;
	__u32 is_anew; /* UDP: bytes are counted from here on: another session than
			  before, be it to the same peer */
	__u8 comm[16];
};

struct event_established {
	struct event_head head;
	__u64 cookie;
	__u8 src[16];
	__u16 sport;
	__u16 reserved[3];
};

struct event_close {
	struct event_head head;
	__u64 cookie;
	__u64 port_free_ns; /* until when the kernel keeps the port; 0: it is free */
	__u64 tx_bytes;	    /* ~0: not counted */
	__u64 rx_bytes;
	__u8 src[16];
	__u16 sport;
	__u16 is_turned; /* UDP: the socket lives on, with another peer */
	__u16 reserved[2];
};

struct event_fork {
	struct event_head head;
	__u64 parent_start_ns;
	__u64 child_start_ns;
	__u32 parent_pid;
	__u32 child_pid;
};

#define EVENT_EXE_MAX	  1024
#define EVENT_CMDLINE_MAX 1024

struct event_exec {
	struct event_head head;
	__u64 pid_start_ns;
	__u64 cgroup;
	__u64 exe_inode;
	__u64 exe_device;
	__u32 pid;
	__u32 uid;
	__u32 parent_pid;
	__u16 exe_from; /* the path is exe[exe_from .. EVENT_EXE_MAX), no terminator */
	__u16 cmdline_length; /* bytes of cmdline; arguments end with NUL */
	__u8 exe_is_cut;      /* the path was longer; its front is missing */
	__u8 cmdline_is_cut;
	__u16 reserved[3];
	__u8 exe[EVENT_EXE_MAX];
	__u8 cmdline[EVENT_CMDLINE_MAX];
};

struct event_exit {
	struct event_head head;
	__u64 pid_start_ns;
	__u32 pid;
	__u32 reserved;
};

_Static_assert(sizeof(struct event_head) == 16, "event ABI");
_Static_assert(sizeof(struct event_open) == 112, "event ABI");
_Static_assert(sizeof(struct event_established) == 48, "event ABI");
_Static_assert(sizeof(struct event_close) == 72, "event ABI");
_Static_assert(sizeof(struct event_fork) == 40, "event ABI");
_Static_assert(sizeof(struct event_exec) == 72 + EVENT_EXE_MAX + EVENT_CMDLINE_MAX,
	       "event ABI");
_Static_assert(sizeof(struct event_exit) == 32, "event ABI");

/*
 * What alloc's connect hook leaves for collect's programs, which run later in the
 * same connect(): one slot for 14 bits of a thread id, proved by the cookie.
 */
#define VERDICT_SLOTS 16384

struct verdict {
	__u64 cookie;
	__u16 pool;
	__u8 picked_by; /* enum event_picked_by */
	__u8 is_of_run; /* by the hook of a run's own cgroup: outer ones leave it so */
	__u32 fold;	/* of the destination that was asked for */
};

_Static_assert(sizeof(struct verdict) == 16, "event ABI");

#endif /* BPF_EVENT_ABI_H */
