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

#include "alloc/alloc_notice.h"
#include "alloc/pick.h"

/* Ceilings. Index 0 of pools, spaces, hosts, chunks and users means none. */
#define ALLOC_POOLS	  128
#define ALLOC_SPACES	  512
#define ALLOC_HOSTS	  512
#define ALLOC_CHUNKS	  4096
#define ALLOC_BUCKETS	  65536
#define ALLOC_RESTS	  131072
#define ALLOC_DENSE	  16
#define ALLOC_FIFO	  32768
#define ALLOC_LIMBO	  32768 /* buckets */
#define ALLOC_LIMBO_SLOTS 8
#define ALLOC_USERS	  4096
#define ALLOC_CHUNK_SIZE  1024 /* ports */
#define ALLOC_GROUPS	  64   /* chunks that cover all ports */
#define ALLOC_BLOCK	  16   /* chunks that user space makes at once */

/* Of a ceiling, what the spaces and chunks made for one user but root may take. */
#define ALLOC_USER_PART 4

enum alloc_sharing {
	ALLOC_SHARING_NEVER,
	ALLOC_SHARING_WHEN_FULL,
	ALLOC_SHARING_ALWAYS,
};

struct alloc_pool {
	__u64 quarantine_ns;
	__u32 quarantine_all; /* after every close */
	__u32 sharing;	      /* enum alloc_sharing, of TCP */
	__u32 udp_shares;
	__u32 algorithm; /* enum algorithm of policy.h */
	__u32 refuses;	 /* when exhausted: EADDRNOTAVAIL, not the kernel's choice */
	__u32 early_reuse;
	__u32 quota; /* leases a user but root may have in a namespace; 0: any number */
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
	__u32 maker;	  /* the user (uid alone) whose session made it; 0: root */
	__u64 counter;	  /* of the PRF */
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
	__u32 tuple_count; /* leases and rests of this host in the tuple set */
	__u32 had_bound;   /* a socket bound to an address had a port here */
	__u32 maker;	   /* as of alloc_space */
	__u32 chunk_count; /* on the maker's account */
	__u32 listened;	   /* ports kept out for listeners, at the last count */
	__u32 chunk[ALLOC_GROUPS];
};

/* port_record.mark: the space whose `unused` the port returns to, and flags. */
#define RECORD_SPACE	 0x03ff
#define RECORD_FOREIGN	 0x0400 /* set aside: something else holds the port */
#define RECORD_RESERVED	 0x0800 /* set aside as long as the host reserves it */
#define RECORD_EXCLUSIVE 0x1000 /* bound for one socket alone: cannot be shared */
#define RECORD_LISTENED	 0x2000 /* a listener has or had it: not to be given */
#define RECORD_PROGRAM	 0x4000 /* set aside: a program bound it by itself */
#define RECORD_BOUND	 0x8000 /* its first user is bound to an address */

/* port_record.closed: that close, or one shortly before, may have left TIME_WAIT. */
#define CLOSED_WARM   1
#define CLOSED_WARM_S 64

#define RECORD_COUNT_MAX 65000 /* users of a port, and rests on it */

/* port_record.holder, high half, of a port bound for one socket alone: 30 bits of the
 * uid, and what no destination has. */
#define HOLDER_EXCLUSIVE(uid) ((__u32)(uid) << 2 | 2)

struct port_record {
	/* First user: high half its destination, low half that of its cookie. High half
	 * 0: it let go; who had the port last. */
	__u64 holder;
	__u32 counts; /* low half: users; high half: resting tuples */
	union {
		struct {
			__u16 closed; /* record_clock() when a user last let go; 0:
					 never */
			__u16 mark;
		};
		__u32 closed_and_mark; /* for atomic changes of mark */
	};
};

#define USERS(counts)	((counts)&0xffff)
#define ONE_REST	(1U << 16)
#define RESTING(counts) ((counts) >> 16)
#define PRINT(holder)	((holder) >> 32)

PICK_INLINE __u32 record_space(const struct port_record *record)
{
	return record->mark & RECORD_SPACE;
}

/* Nobody else's change of a flag is lost. */
PICK_INLINE void record_mark(struct port_record *record, __u32 flags)
{
	__sync_fetch_and_or(&record->closed_and_mark, flags << 16);
}

PICK_INLINE void record_unmark(struct port_record *record, __u32 flags)
{
	__sync_fetch_and_and(&record->closed_and_mark, ~(flags << 16));
}

/* Seconds in the upper 15 bits, never 0. The lowest bit is for CLOSED_WARM. */
PICK_INLINE __u16 record_clock(__u64 boot_ns)
{
	__u16 clock = boot_ns / 1000000000ULL << 1;

	return clock ? clock : 2;
}

/* Did a user let go at most so many (below 16,384) seconds ago? */
PICK_INLINE bool record_closed_since(const struct port_record *record, __u64 boot_ns,
				     __u16 seconds)
{
	__u16 ago = record_clock(boot_ns) - (record->closed & ~CLOSED_WARM);

	return record->closed && ago >> 1 <= seconds;
}

/* May TIME_WAIT be left on the port, be it of a user before the last? */
PICK_INLINE bool record_is_warm(const struct port_record *record, __u64 boot_ns)
{
	return (record->closed & CLOSED_WARM) &&
	       record_closed_since(record, boot_ns, CLOSED_WARM_S);
}

PICK_INLINE void record_close(struct port_record *record, __u64 boot_ns, bool waits)
{
	waits |= record_is_warm(record, boot_ns);
	record->closed = record_clock(boot_ns) | (waits ? CLOSED_WARM : 0);
}

struct record_chunk {
	struct port_record records[ALLOC_CHUNK_SIZE];
};

/* A bucket of the tuple set (alloc_tuple.bpf.h), as user space reads it. */
struct tuple_slots {
	__u32 lock;
	__u32 is_spilled; /* look into the neighbour as well */
	__u64 slots[7];
};

/* One tuple that rests, in the order of their closes. */
#define REST_IS_OVER	0x1 /* ended, or given again: its place is to be freed */
#define REST_NOT_EARLY	0x2 /* the kernel would refuse it before its time */
#define REST_HOLDS_PORT 0x4 /* nobody may use the port until then */
#define REST_PEER_OPEN	0x8 /* the peer was open yet: ask before giving it early */
#define REST_FLAGS	0xf

struct alloc_rest {
	__u32 destination;
	__u32 until_ms; /* CLOCK_BOOTTIME, modulo */
	__u32 local;	/* IPv4 address of our side */
	__u16 space;
	__u16 host;
	__u16 port;
	__u16 flags;
	__u16 user; /* uid alone */
	__u16 reserved;
};

/* A user but root: its share of all (pool and netns 0), or of one pool in a namespace.
 */
struct alloc_user_key {
	__u32 uid;
	__u32 pool;
	__u64 netns;
};

struct alloc_user {
	__u32 parent; /* number of the same uid's share of all; 0: this is it */
	__u32 held;   /* leases, of the pool in the namespace */
	__u32 shared; /* of all: leases in limbo */
	__u32 rests;  /* of all */
	__u32 spaces; /* of all: made for it */
	__u32 chunks;
	__u32 reserved[2];
};

/* What the attachment of a cgroup remembers: its pool, and where its spaces were last
 * found. */
struct alloc_attachment {
	__u32 pool;
	__u32 space_tcp;
	__u32 space_udp;
	__u32 is_rewritten; /* a program of others runs after our connect hooks */
};

struct alloc_stats {
	__u64 picks;
	__u64 shared;
	__u64 early_reuses;
	__u64 conflicts;
	__u64 releases;
	__u64 rests;
	__u64 rests_cut_short;
	__u64 table_full;
	__u64 dense_full; /* a destination found no map: the pool is scanned */
	__u64 foreign_binds;
	__u64 binds; /* to port 0: they cannot try twice, so what others hold is listed
			often */
	__u64 fallbacks[8]; /* by enum alloc_reason */
	__u64 refusals[8];
	__u64 reserved[5];
};

/* Of each pool (0: none is known) a few, so that CPUs do not meet in one cache line. */
#define ALLOC_STAT_SLOTS 8

/* What user space asks of the program `serve`, one at a time. */
enum alloc_ask_op {
	ALLOC_ASK_MAKE_SPACE = 1, /* netns, pool, protocol -> result: the space, or 0 */
	ALLOC_ASK_SET_ASIDE,	  /* space, port, flags */
	ALLOC_ASK_REST, /* space, port, destination: found in TIME_WAIT at the start */
	ALLOC_ASK_RETURN,     /* space, port: what was set aside is free again */
	ALLOC_ASK_FORGET,     /* host, port, holder, flags (closed): no socket has it */
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
	__u64 until_ns;
	__u32 destination;
	__u32 reserved;
};

_Static_assert(sizeof(struct port_map) == 8 + 64 + 1024 + 8192, "alloc ABI");
_Static_assert(sizeof(struct port_record) == 16, "alloc ABI");
_Static_assert(sizeof(struct alloc_rest) == 24, "alloc ABI");
_Static_assert(sizeof(struct alloc_user) == 32, "alloc ABI");
_Static_assert(sizeof(struct alloc_stats) == 256, "alloc ABI");
_Static_assert(sizeof(struct alloc_host) == 32 + 256, "alloc ABI");
_Static_assert(sizeof(struct alloc_space) == 48 + 256 + sizeof(struct port_map),
	       "alloc ABI");
_Static_assert(ALLOC_SPACES <= RECORD_SPACE + 1, "a record names its space");
_Static_assert(ALLOC_REASON_COUNT <= 8, "reasons are counted each");

#endif /* ALLOC_ABI_H */
