/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_serve.bpf.h - what user space asks of the tables, in `ask`, one question at a
 * time (enum alloc_ask_op).
 */
#ifndef ALLOC_SERVE_BPF_H
#define ALLOC_SERVE_BPF_H

#include "alloc/alloc_dense.bpf.h"

static __always_inline void serve_set_aside(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct lease lease = {.space = ask.space, .port = ask.port, .cookie = 1};

	if (!space)
		return;
	lease.host = space->host;
	if (port_claim(&lease))
		ask.result = lease_set_aside(&lease, ask.flags);
}

static __always_inline void serve_rest(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct lease lease = {
		.space = ask.space,
		.port = ask.port,
		.destination = ask.destination,
		.rest_until_ns = ask.until_ns,
		.rest_flags = REST_NOT_EARLY,
		.now_ns = bpf_ktime_get_boot_ns(),
	};

	if (!space)
		return;
	lease.host = space->host;
	ask.result = lease_rest(&lease);
}

static long open_again(__u32 i, void *arg)
{
	struct dense *dense = by_id(&denses, i);

	(void)arg;
	if (dense && dense->state && dense->key.space == ask.space)
		port_map_give(&dense->open, ask.port);
	return 0;
}

/*
 * Two kinds of ports were set aside: those something foreign held, which carry a
 * count of their own, and those another pool of ours held, which are just missing.
 */
static __always_inline void serve_return(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct port_record *record = space ? record_in(space->chunk, ask.port) : NULL;
	__u32 none = 0;

	if (!record || port_map_has(&space->unused, ask.port))
		return;
	if (record->flags & RECORD_FOREIGN) {
		record->flags = 0;
		ask.result = port_unuse(space->host, ask.port, 0);
	} else if (!USERS(record->counts) && !record->holder &&
		   is_member(space, ask.port)) {
		ask.result = port_map_give(&space->unused, ask.port);
	}
	if (!ask.result)
		return;
	__sync_fetch_and_add(&space->aside_count, -1);
	if (space->dense_count)
		bpf_loop(ALLOC_DENSE, open_again, &none, 0);
}

static __always_inline void serve_forget(void)
{
	struct port_record *record = record_of(ask.host, ask.port);
	struct lease lease = {.host = ask.host, .port = ask.port, .cookie = ask.holder};

	if (record && record->holder == ask.holder)
		ask.result = lease_end(&lease);
}

static long dense_of_space_forget(__u32 i, void *arg)
{
	struct dense *dense = by_id(&denses, i);

	(void)arg;
	if (dense && dense->state && dense->key.space == ask.space)
		dense_forget(i);
	return 0;
}

static __always_inline void serve_drop_space(void)
{
	struct alloc_space *space = by_id(&spaces, ask.space);
	struct alloc_space_key key = {};
	__u32 number = ask.space;

	if (!space || !space->netns)
		return;
	key.netns = space->netns;
	key.pool = space->pool;
	key.protocol = space->protocol;
	if (bpf_map_delete_elem(&space_ids, &key))
		return;
	bpf_loop(ALLOC_DENSE, dense_of_space_forget, &key, 0);
	space->netns = 0;
	bpf_map_push_elem(&free_spaces, &number, 0);
	ask.result = 1;
}

static long sweep_one(__u32 i, void *arg)
{
	(void)i;
	return !rests_pop(*(__u64 *)arg, 0);
}

#endif /* ALLOC_SERVE_BPF_H */
