/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Freeing the tables' numbers: of spaces and hosts that nothing names any more. */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_private.h"
#include "alloc/alloc_rules_private.h"

#include "alloc/alloc.skel.h"

#define PORTS 65536

/* Give back what the space set aside; its records serve other pools. */
static void return_aside(struct alloc *alloc, uint32_t number)
{
	struct alloc_space *space = &alloc->spaces[number];
	struct alloc_ask ask = {.op = ALLOC_ASK_RETURN, .space = number};

	for (ask.port = 1024; ask.port < PORTS; ask.port++) {
		struct port_record *record =
			alloc_record(alloc, space->chunk, ask.port);

		if (!record || record_space(record) != number ||
		    !(record->mark & RECORD_FOREIGN))
			continue;
		/* What a program bound, or listened on, stays out for others too. */
		if (record->mark & (RECORD_PROGRAM | RECORD_LISTENED)) {
			record_unmark(record, RECORD_SPACE);
		} else {
			ask.holder = record->holder;
			alloc_serve(alloc, &ask);
		}
	}
}

void alloc_drop_space(struct alloc *alloc, uint32_t number)
{
	struct alloc_ask ask = {.op = ALLOC_ASK_DROP_SPACE, .space = number};

	return_aside(alloc, number);
	alloc_serve(alloc, &ask);
}

bool alloc_space_is_idle(const struct alloc *alloc, uint32_t number)
{
	const struct alloc_space *space = &alloc->spaces[number];
	const struct port_map *members = &alloc->pools[space->pool].members;

	for (unsigned int port = 1024; port < PORTS; port++) {
		const struct port_record *record;

		if (!port_map_has(members, port) || port_map_has(&space->unused, port))
			continue;
		record = alloc_record(alloc, space->chunk, port);
		if (record && record->counts && !(record->mark & RECORD_FOREIGN) &&
		    record_space(record) == number)
			return false;
	}
	return true;
}

/* Free the numbers of dropped spaces that no port and no rest names any more. */
void alloc_reap_spaces(struct alloc *alloc)
{
	bool has_waited = false;

	for (uint32_t number = 1; number < ALLOC_SPACES; number++) {
		struct alloc_space *space = &alloc->spaces[number];

		if (!space->is_dropped || space->resting_count ||
		    !alloc_space_is_idle(alloc, number))
			continue;
		/* A hook may have found it just before it was dropped. */
		if (!has_waited)
			rules_wait_for_hooks();
		has_waited = true;
		if (!alloc_space_is_idle(alloc, number))
			continue;
		if (space->maker)
			__atomic_fetch_sub(&alloc->users[space->maker].spaces, 1,
					   __ATOMIC_SEQ_CST);
		memset(space, 0, sizeof(*space));
		bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_spaces), NULL,
				    &number, BPF_ANY);
	}
}

bool alloc_pool_is_named(const struct alloc *alloc, uint32_t pool)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].pool == pool)
			return true;
	return false;
}

static bool has_space(const struct alloc *alloc, uint32_t host)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].host == host)
			return true;
	return false;
}

static bool has_lease(const struct alloc *alloc, const struct alloc_host *host)
{
	if (host->tuple_count)
		return true;
	for (unsigned int port = 1024; port < PORTS; port++) {
		const struct port_record *record =
			alloc_record(alloc, host->chunk, port);

		if (record && record->counts && !(record->mark & RECORD_FOREIGN))
			return true;
	}
	return false;
}

static void free_host(struct alloc *alloc, uint32_t number)
{
	struct alloc_host *host = &alloc->hosts[number];
	struct alloc_host_key key = {.netns = host->netns, .protocol = host->protocol};
	uint32_t chunk[ALLOC_GROUPS];

	bpf_map_delete_elem(bpf_map__fd(alloc->bpf->maps.host_ids), &key);
	if (host->maker)
		__atomic_fetch_sub(&alloc->users[host->maker].chunks, host->chunk_count,
				   __ATOMIC_SEQ_CST);
	memcpy(chunk, host->chunk, sizeof(chunk));
	memset(host, 0, sizeof(*host));
	for (int group = 0; group < ALLOC_GROUPS; group++)
		if (chunk[group])
			alloc_keep_chunk(alloc, chunk[group]);
	alloc->host_idles[number] = 0;
	free(alloc->suspects[number]);
	alloc->suspects[number] = NULL;
	bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_hosts), NULL, &number,
			    BPF_ANY);
}

static uint32_t count_listened(const struct alloc *alloc, const struct alloc_host *host)
{
	uint32_t count = 0;

	for (unsigned int port = 1024; port < PORTS; port++) {
		const struct port_record *record =
			alloc_record(alloc, host->chunk, port);

		count += record && (record->mark & RECORD_LISTENED);
	}
	return count;
}

/* Twice in a row idle: a hook that makes a space of a host just now is done with it. */
void alloc_reap_hosts(struct alloc *alloc)
{
	for (uint32_t number = 1; number < ALLOC_HOSTS; number++) {
		struct alloc_host *host = &alloc->hosts[number];

		if (!host->netns)
			continue;
		host->listened = count_listened(alloc, host);
		if (has_space(alloc, number) || has_lease(alloc, host))
			alloc->host_idles[number] = 0;
		else if (++alloc->host_idles[number] > 1)
			free_host(alloc, number);
	}
}
