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

struct dense_key {
	__u64 destination;
	__u32 space;
	__u32 reserved;
};

/* A destination to which most ports are taken or resting: which are open to it. */
struct dense {
	struct bpf_spin_lock lock;
	__u32 state; /* enum dense_state */
	struct dense_key key;
	__u64 used_ns;
	__u32 cursor; /* ports handed to builders so far */
	__u32 built;
	__u32 fifo_head;
	__u32 fifo_tail;
	struct port_map open;
	__u32 fifo[ALLOC_FIFO]; /* places in the ring of rests, longest-rested first */
};

/*
 * A tuple that shares its port, by its socket: for a close that no longer knows the
 * destination it asked for (it was unreachable, or another program rewrote it).
 */
struct limbo_key {
	__u64 cookie;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key, __u64); /* cgroup id */
	__type(value, struct alloc_attachment);
} attachments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct limbo_key);
	__type(value, __u64); /* destination */
} limbo SEC(".maps");

SHARED_ARRAY(pools, struct alloc_pool, ALLOC_POOLS);
SHARED_ARRAY(templates, struct alloc_space, ALLOC_POOLS); /* a new space of the pool */
SHARED_ARRAY(spaces, struct alloc_space, ALLOC_SPACES);
SHARED_ARRAY(hosts, struct alloc_host, ALLOC_HOSTS);
SHARED_ARRAY(chunks, struct record_chunk, ALLOC_CHUNKS);
ARRAY(buckets, struct tuple_bucket, ALLOC_BUCKETS);
ARRAY(ring, struct rest_ring, 1);
ARRAY(denses, struct dense, ALLOC_DENSE);
ARRAY(verdicts, struct verdict, VERDICT_SLOTS);
IDS_BY(space_ids, struct alloc_space_key, ALLOC_SPACES);
IDS_BY(host_ids, struct alloc_host_key, ALLOC_HOSTS);
IDS_BY(dense_ids, struct dense_key, ALLOC_DENSE);
STACK_OF_IDS(free_spaces, ALLOC_SPACES);
STACK_OF_IDS(free_hosts, ALLOC_HOSTS);
STACK_OF_IDS(free_chunks, ALLOC_CHUNKS);
STACK_OF_IDS(free_denses, ALLOC_DENSE);

struct pick_key draw_key; /* of the draws; user space writes a new one each second */
const volatile struct pick_key
	hash_key; /* of destinations, for the life of the programs */
struct alloc_stats stats[ALLOC_STAT_SLOTS];
struct alloc_ask ask;

/* Count without touching another CPU's cache line. */
#define STAT_ADD(field, n)                                                         \
	__sync_fetch_and_add(                                                      \
		&stats[bpf_get_smp_processor_id() & (ALLOC_STAT_SLOTS - 1)].field, \
		(n))

static __always_inline void *by_id(void *map, __u32 number)
{
	return bpf_map_lookup_elem(map, &number);
}

/* Read as volatile: clang takes a const without an initialiser for zero. */
static __always_inline struct pick_key hash_secret(void)
{
	return (struct pick_key){.k0 = hash_key.k0, .k1 = hash_key.k1};
}

static __always_inline __u32 now_ms(__u64 now_ns)
{
	return now_ns / 1000000;
}

#endif /* ALLOC_MAPS_BPF_H */
