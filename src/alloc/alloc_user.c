/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the tables count for users but root, compared with the sockets they have. */
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>

#include "alloc/alloc_private.h"
#include "base/cleanup.h"
#include "kernel/sock_diag.h"

#include "alloc/alloc.skel.h"

/* All keys of the table; their number. */
static size_t user_keys(const struct alloc *alloc, struct alloc_user_key *keys)
{
	int map = bpf_map__fd(alloc->bpf->maps.user_ids);
	size_t count = 0;

	while (count < ALLOC_USERS &&
	       !bpf_map_get_next_key(map, count ? &keys[count - 1] : NULL,
				     &keys[count]))
		count++;
	return count;
}

/* 0: none. */
static uint32_t user_number(const struct alloc *alloc, const struct alloc_user_key *key)
{
	uint32_t number;

	if (bpf_map_lookup_elem(bpf_map__fd(alloc->bpf->maps.user_ids), key, &number) ||
	    number >= ALLOC_USERS)
		return 0;
	return number;
}

static bool has_nothing(const struct alloc_user *user)
{
	return (int32_t)user->held <= 0 && (int32_t)user->shared <= 0 &&
	       (int32_t)user->rests <= 0 && !user->spaces && !user->chunks;
}

static bool is_parent(const struct alloc *alloc, uint32_t number)
{
	for (uint32_t i = 1; i < ALLOC_USERS; i++)
		if (alloc->users[i].parent == number)
			return true;
	return false;
}

static void user_free(struct alloc *alloc, const struct alloc_user_key *key,
		      uint32_t number)
{
	if (bpf_map_delete_elem(bpf_map__fd(alloc->bpf->maps.user_ids), key))
		return;
	memset(&alloc->users[number], 0, sizeof(alloc->users[number]));
	alloc->user_idles[number] = 0;
	bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.free_users), NULL, &number,
			    BPF_ANY);
}

/* Who holds nothing shares nothing: what the count still says leaked. */
static void settle_shared(struct alloc *alloc, const struct alloc_user_key *key,
			  uint32_t number)
{
	struct alloc_user *user = &alloc->users[number];

	if (key->pool || !user->shared)
		return;
	for (uint32_t i = 1; i < ALLOC_USERS; i++)
		if (alloc->users[i].parent == number && alloc->users[i].held)
			return;
	__atomic_store_n(&user->shared, 0, __ATOMIC_SEQ_CST);
}

/* Twice in a row idle: a hook that has just asked for the number is done with it. */
static void user_judge(struct alloc *alloc, const struct alloc_user_key *key)
{
	uint32_t number = user_number(alloc, key);

	if (!number)
		return;
	settle_shared(alloc, key, number);
	if (!has_nothing(&alloc->users[number]) || is_parent(alloc, number))
		alloc->user_idles[number] = 0;
	else if (++alloc->user_idles[number] > 2)
		user_free(alloc, key, number);
}

void alloc_reap_users(struct alloc *alloc)
{
	CLEANUP_FREE struct alloc_user_key *keys = calloc(ALLOC_USERS, sizeof(*keys));
	size_t count = keys ? user_keys(alloc, keys) : 0;

	for (size_t i = 0; i < count; i++)
		user_judge(alloc, &keys[i]);
}

/* ---- leases that leaked from the counts ---- */

#define STATE_TIME_WAIT 6

struct census {
	const struct alloc *alloc;
	uint64_t netns;
	const struct alloc_host *hosts[2]; /* TCP, UDP */
	bool is_unsure;			   /* not all sockets are listed */
	uint32_t unknown;		   /* sockets of unknown users */
	uint32_t held[ALLOC_USERS];
};

static int census_add(const struct diag_socket *socket, void *arg)
{
	struct census *census = arg;
	const struct alloc *alloc = census->alloc;
	const struct alloc_host *host = census->hosts[socket->protocol == IPPROTO_UDP];
	const struct port_record *record =
		host ? alloc_record(alloc, host->chunk, socket->local_port) : NULL;
	struct alloc_user_key key = {.uid = socket->uid, .netns = census->netns};

	if (socket->state == STATE_TIME_WAIT || !record || !USERS(record->counts) ||
	    (record->mark & RECORD_FOREIGN))
		return 0;
	/* A connection that outlived its descriptor has lost its user. */
	if (!socket->inode)
		census->unknown++;
	if (!socket->uid || !socket->inode)
		return 0;
	key.pool = alloc->spaces[record_space(record)].pool;
	census->held[user_number(alloc, &key)]++;
	return 0;
}

static bool has_exclusive(const struct alloc *alloc, const struct alloc_host *host)
{
	for (unsigned int port = 1024; host && port <= 65535; port++) {
		const struct port_record *record =
			alloc_record(alloc, host->chunk, port);

		if (record && USERS(record->counts) &&
		    (record->mark & (RECORD_EXCLUSIVE | RECORD_FOREIGN)) ==
			    RECORD_EXCLUSIVE)
			return true;
	}
	return false;
}

static int census_take(struct census *census, int netns_fd)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	for (int i = 0; i < 2; i++) {
		for (int host = 1; host < ALLOC_HOSTS; host++)
			if (census->alloc->hosts[host].netns == census->netns &&
			    census->alloc->hosts[host].protocol == protocols[i])
				census->hosts[i] = &census->alloc->hosts[host];
		if (sock_diag_visit(netns_fd, protocols[i], census_add, census, NULL) <
		    0)
			return -1;
	}
	/* Before Linux 6.8 a TCP socket that is bound and no more is not listed. */
	if (!census->alloc->lists_bound &&
	    has_exclusive(census->alloc, census->hosts[0]))
		census->is_unsure = true;
	return 0;
}

/*
 * Sessions come and go while we count. So only who has more than there are, and had
 * just as many and as many too many the last time, is corrected.
 */
static void user_correct(struct alloc *alloc, uint32_t number, uint32_t there)
{
	struct alloc_user *user = &alloc->users[number];
	struct user_surplus *last = &alloc->surpluses[number];
	int32_t held = user->held, surplus = held - (int32_t)there;

	/* Too few is no doubt: a lease ended under another account (fchown(2)). */
	if (held < 0) {
		__atomic_fetch_sub(&user->held, held, __ATOMIC_SEQ_CST);
		surplus = 0;
	}
	if (surplus > 0 && last->held == held && last->surplus == surplus) {
		__atomic_fetch_sub(&user->held, surplus, __ATOMIC_SEQ_CST);
		surplus = 0;
	}
	last->held = held;
	last->surplus = surplus;
}

void alloc_correct_users(struct alloc *alloc, int netns_fd, uint64_t cookie)
{
	CLEANUP_FREE struct alloc_user_key *keys = calloc(ALLOC_USERS, sizeof(*keys));
	CLEANUP_FREE struct census *census = calloc(1, sizeof(*census));
	size_t count = keys && census ? user_keys(alloc, keys) : 0;

	if (!count)
		return;
	census->alloc = alloc;
	census->netns = cookie;
	if (census_take(census, netns_fd) < 0 || census->is_unsure)
		return;
	for (size_t i = 0; i < count; i++) {
		uint32_t number = user_number(alloc, &keys[i]);

		if (number && keys[i].netns == cookie)
			user_correct(alloc, number,
				     census->held[number] + census->unknown);
	}
}
