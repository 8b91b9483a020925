/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_abi.h - the tables of alloc.bpf.c, as alloc.c sees them.
 *
 * A *host* is one network namespace and protocol: a space of 65,536 ports in which
 * the kernel allows each tuple once. A *space* is what one pool has of one host: which
 * of the pool's ports nobody uses there. The record of a port belongs to the host, so
 * that two pools that overlap never give the same port.
 */
#ifndef ALLOC_ABI_H
#define ALLOC_ABI_H

#include "alloc/pick.h"

/* Ceilings. Index 0 of pools, spaces, hosts and chunks means none. */
#define ALLOC_POOLS	 128
#define ALLOC_SPACES	 512
#define ALLOC_HOSTS	 512
#define ALLOC_CHUNKS	 1024
#define ALLOC_BUCKETS	 65536
#define ALLOC_RESTS	 131072
#define ALLOC_DENSE	 32
#define ALLOC_CHUNK_SIZE 1024 /* ports */
#define ALLOC_GROUPS	 64   /* chunks that cover all ports */
#define ALLOC_FIFO	 65536

enum alloc_sharing {
	ALLOC_SHARING_NEVER,
	ALLOC_SHARING_WHEN_FULL,
	ALLOC_SHARING_ALWAYS,
};

struct alloc_pool {
	__u64 quarantine_ns;
	__u32 sharing; /* enum alloc_sharing */
	__u32 refuses; /* when exhausted: EADDRNOTAVAIL, not the kernel's choice */
	__u32 early_reuse;
	__u32 first; /* lowest and highest port */
	__u32 last;
	__u32 reserved;
	struct port_map members;
};

struct alloc_space_key {
	__u64 netns;
	__u32 pool;
	__u32 protocol;
};

struct alloc_space {
	__u64 netns; /* written last: a reader that finds its own namespace may use the
			rest */
	__u32 pool;
	__u32 protocol;
	__u32 host;
	__u32 is_listed; /* user space has set aside what others hold */
	__u32 dense_count;
	__u32 resting_count; /* tuples */
	__u32 is_dropped; /* its pool is gone; the number is free when nothing rests or
			     is held */
	__u32 reserved;
	__u64 counter; /* of the PRF */
	__u32 chunk[ALLOC_GROUPS];
	struct port_map unused;
};

struct alloc_host_key {
	__u64 netns;
	__u32 protocol;
	__u32 reserved;
};

struct alloc_host {
	__u64 netns;
	__u32 protocol;
	__u32 tuple_count; /* entries of this host in the tuple table */
	__u32 chunk[ALLOC_GROUPS];
};

/* port_record.flags */
#define RECORD_FOREIGN	 0x1 /* set aside: something else holds the port */
#define RECORD_RESERVED	 0x2 /* set aside for as long as the space lasts */
#define RECORD_EXCLUSIVE 0x4 /* bound for one socket alone: cannot be shared */

struct port_record {
	__u64 holder; /* first user: low half of its destination's hash, low half of its
			 cookie */
	__u64 counts; /* low half: users; high half: resting tuples */
	__u32 last_cookie;
	__u16 space; /* whose `unused` the port returns to */
	__u16 flags;
	__u32 closed_ms; /* when a user last let go, CLOCK_BOOTTIME; 0: never */
	__u32 reserved;
};

struct record_chunk {
	struct port_record records[ALLOC_CHUNK_SIZE];
};

/* One tuple that rests, in the order of their closes. */
#define REST_IS_OVER	0x1 /* ended, or given again: its place is to be freed */
#define REST_NOT_EARLY	0x2 /* the kernel would refuse it before its time */
#define REST_HOLDS_PORT 0x4 /* nobody may use the port until then */
#define REST_PEER_OPEN                                                 \
	0x8 /* the peer had not closed yet: ask before giving it early \
	     */
struct alloc_rest {
	__u64 destination;
	__u64 until_ns; /* CLOCK_BOOTTIME */
	__u16 space;
	__u16 host;
	__u16 port;
	__u16 flags;
	__u32 local[4]; /* address of our side, IPv4 as v4-mapped */
};

/* What the attachment of a cgroup remembers: its pool, and where its spaces were last
 * found. */
struct alloc_attachment {
	__u32 pool;
	__u32 space_tcp;
	__u32 space_udp;
	__u32 reserved;
};

struct alloc_stats {
	__u64 picks;
	__u64 shared;
	__u64 early_reuses;
	__u64 conflicts;
	__u64 fallbacks;
	__u64 refusals;
	__u64 releases;
	__u64 rests;
	__u64 rests_cut_short;
	__u64 table_full;
	__u64 binds; /* to port 0: they cannot try twice, so what others hold is listed
			often */
	__u64 reserved[5];
};

#define ALLOC_STAT_SLOTS 64

/* What user space asks of the program `serve`, one at a time. */
enum alloc_ask_op {
	ALLOC_ASK_MAKE_SPACE = 1, /* netns, pool, protocol -> result: the space, or 0 */
	ALLOC_ASK_SET_ASIDE,	  /* space, port, flags */
	ALLOC_ASK_REST, /* space, port, destination: found in TIME_WAIT at the start */
	ALLOC_ASK_RETURN,     /* space, port: what was set aside is free again */
	ALLOC_ASK_FORGET,     /* host, port, holder: the lease has no socket any more */
	ALLOC_ASK_DROP_SPACE, /* space: its pool is gone */
	ALLOC_ASK_SWEEP,      /* end the rests that are over */
};

struct alloc_ask {
	__u32 op;
	__u32 pool;
	__u32 protocol;
	__u32 space;
	__u32 host;
	__u32 port;
	__u32 flags;
	__u32 result;
	__u64 netns;
	__u64 holder;
	__u64 destination;
	__u64 until_ns;
};

_Static_assert(sizeof(struct port_map) == 8 + 64 + 1024 + 8192, "alloc ABI");
_Static_assert(sizeof(struct port_record) == 32, "alloc ABI");
_Static_assert(sizeof(struct alloc_rest) == 40, "alloc ABI");
_Static_assert(sizeof(struct alloc_stats) == 128, "alloc ABI");
_Static_assert(sizeof(struct alloc_space) == 48 + 256 + sizeof(struct port_map),
	       "alloc ABI");

#endif /* ALLOC_ABI_H */
