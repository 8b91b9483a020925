/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Runs pick.h inside the kernel, for test_pick.c. */
#include "bpf/kernel.h"

#include "pick_case.h"

struct pick_case asked;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct port_map);
} free_ports SEC(".maps");

SEC("tc")
int pick_once(struct __sk_buff *ctx)
{
	__u32 zero = 0, address[4] = {1, 2, 3, asked.m1};
	struct port_map *map = bpf_map_lookup_elem(&free_ports, &zero);

	if (!map)
		return 0;
	asked.random = pick_prf(asked.key, asked.m0, asked.m1);
	asked.rank = pick_below(asked.random, map->count);
	asked.port = port_map_select(map, asked.rank);
	asked.destination = pick_destination(asked.key, address, asked.m0);
	asked.tuple = pick_tuple(asked.destination, 7, asked.port);
	port_map_take(map, asked.port);
	asked.count = map->count;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
