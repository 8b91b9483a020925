/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_maps.bpf.h - the allocator's tables in the kernel. */
#ifndef ALLOC_MAPS_BPF_H
#define ALLOC_MAPS_BPF_H

#include "bpf/kernel.h"

#include "alloc/alloc_abi.h"
#include "bpf/event_abi.h"

#define ARRAY(map_name, item, size)               \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, size);        \
		__type(key, __u32);               \
		__type(value, item);              \
	} map_name SEC(".maps")

/* An array that user space maps into its memory. Not for a value with a lock in it. */
#define SHARED_ARRAY(map_name, item, size)         \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, size);         \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__type(key, __u32);                \
		__type(value, item);               \
	} map_name SEC(".maps")

#define STACK_OF_IDS(map_name, size)              \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_STACK); \
		__uint(max_entries, size);        \
		__type(value, __u32);             \
	} map_name SEC(".maps")

#define IDS_BY(map_name, key_type, size)         \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, size);       \
		__type(key, key_type);           \
		__type(value, __u32);            \
	} map_name SEC(".maps")

/* TIME_WAIT lasts 60 s; the kernel's timer may run some seconds late, and never early.
 */
#define TIME_WAIT_NS (64 * NS_PER_S)

struct tuple_bucket {
	struct bpf_spin_lock lock;
	__u32 is_spilled; /* look into the neighbour as well */
	__u64 slots[7];
};

struct rest_ring {
	struct bpf_spin_lock lock;
	__u32 reserved;
	__u64 head;
	__u64 tail;
	struct alloc_rest rests[ALLOC_RESTS];
};

enum dense_state {
	DENSE_BUILDING = 1,
	DENSE_READY = 2,
};

/* Of rests that found no place in a dense destination's queue. */
enum fifo_missed {
	FIFO_COMPLETE,
	FIFO_MISSED,	 /* when the queue is empty, more are in the ring */
	FIFO_REBUILDING, /* from the ring, by one CPU */
};

struct dense_key {
	__u32 destination;
	__u32 space;
};

/* A destination to which most ports are taken or resting: which are open to it. */
struct dense {
	struct bpf_spin_lock lock;
	__u32 state; /* enum dense_state */
	struct dense_key key;
	__u64 used_ns;
	__u64 made_ns;
	__u32 cursor; /* ports handed to builders so far */
	__u32 built;
	__u32 fifo_head;
	__u32 fifo_tail;
	__u32 fifo_missed; /* enum fifo_missed */
	__u32 reserved;
	struct port_map open;
	__u32 fifo[ALLOC_FIFO]; /* places in the ring of rests, longest-rested first */
};

/* alloc_limbo.bpf.h */
struct limbo_bucket {
	__u64 words[ALLOC_LIMBO_SLOTS];
};

struct limbo_peers {
	__u32 peers[ALLOC_LIMBO_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id */
	__type(value, struct alloc_attachment);
} attachments SEC(".maps");

/* Blocks of chunks, made and mapped by user space as they are needed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, ALLOC_CHUNKS / ALLOC_BLOCK);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, ALLOC_BLOCK);
			__uint(map_flags, BPF_F_MMAPABLE);
			__uint(key_size, sizeof(__u32));
			__uint(value_size, sizeof(struct record_chunk));
		});
} chunks SEC(".maps");

SHARED_ARRAY(pools, struct alloc_pool, ALLOC_POOLS);
SHARED_ARRAY(spaces, struct alloc_space, ALLOC_SPACES);
SHARED_ARRAY(hosts, struct alloc_host, ALLOC_HOSTS);
SHARED_ARRAY(users, struct alloc_user, ALLOC_USERS);
ARRAY(buckets, struct tuple_bucket, ALLOC_BUCKETS);
ARRAY(limbo, struct limbo_bucket, ALLOC_LIMBO);
ARRAY(limbo_peers, struct limbo_peers, ALLOC_LIMBO);
ARRAY(ring, struct rest_ring, 1);
ARRAY(denses, struct dense, ALLOC_DENSE);
ARRAY(verdicts, struct verdict, VERDICT_SLOTS);
IDS_BY(space_ids, struct alloc_space_key, ALLOC_SPACES);
IDS_BY(host_ids, struct alloc_host_key, ALLOC_HOSTS);
IDS_BY(user_ids, struct alloc_user_key, ALLOC_USERS);
IDS_BY(dense_ids, struct dense_key, ALLOC_DENSE);
STACK_OF_IDS(free_spaces, ALLOC_SPACES);
STACK_OF_IDS(free_hosts, ALLOC_HOSTS);
STACK_OF_IDS(free_chunks, ALLOC_CHUNKS);
STACK_OF_IDS(free_users, ALLOC_USERS);
STACK_OF_IDS(free_denses, ALLOC_DENSE);

struct pick_key draw_key; /* of the draws; user space writes a new one each second */
const volatile struct pick_key
	hash_key; /* of destinations, for the life of the programs */
struct alloc_stats stats[ALLOC_POOLS * ALLOC_STAT_SLOTS];
struct alloc_ask ask;
__u32 sharer_count; /* leases in limbo */

static __always_inline struct alloc_stats *stats_of(__u64 pool)
{
	__u64 slot = bpf_get_smp_processor_id() & (ALLOC_STAT_SLOTS - 1);

	slot += pool << 3;
	PICK_BOUND(slot, 1023);
	return &stats[slot];
}

/* Count, of a pool (0: none is known), without touching another CPU's cache line. */
#define STAT_ADD(pool, field, n) __sync_fetch_and_add(&stats_of(pool)->field, (n))

static __always_inline void *by_id(void *map, __u32 number)
{
	return bpf_map_lookup_elem(map, &number);
}

/* Read as volatile: clang takes a const without an initialiser for zero. */
static __always_inline struct pick_key hash_secret(void)
{
	return (struct pick_key){.k0 = hash_key.k0, .k1 = hash_key.k1};
}

/* The pool of a space; 0: there is no such space. */
static __always_inline __u32 pool_of_space(__u32 number)
{
	struct alloc_space *space = by_id(&spaces, number);

	return space ? space->pool : 0;
}

static __always_inline __u32 now_ms(__u64 now_ns)
{
	return now_ns / 1000000;
}

#endif /* ALLOC_MAPS_BPF_H */
