/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "alloc/alloc.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "alloc/alloc_private.h"
#include "base/cleanup.h"
#include "kernel/netns.h"

#include "alloc/alloc.skel.h"

/* Reconciling lists all sockets of the namespaces in use: seldom, or when a pick had
 * trouble. */
#define RECONCILE_TICKS 10

#define QUARANTINE_MAX_NS (20ULL * 86400 * 1000000000)

DEFINE_CLEANUP(struct alloc, alloc_close)

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static void *map_memory(struct bpf_map *map)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
	void *memory;

	size = (size + page - 1) / page * page;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map),
		      0);
	return memory == MAP_FAILED ? NULL : memory;
}

static void unmap_memory(struct bpf_map *map, void *memory)
{
	if (memory)
		munmap(memory,
		       (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map));
}

/* Numbers from..count-1 into a stack of the kernel's, the lowest on top. */
static int fill_free(struct bpf_map *map, uint32_t from)
{
	for (uint32_t number = bpf_map__max_entries(map); number-- > from;)
		if (bpf_map_update_elem(bpf_map__fd(map), NULL, &number, BPF_ANY))
			return -errno;
	return 0;
}

static int new_key(struct pick_key *ret)
{
	struct pick_key key;

	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	*ret = key;
	return 0;
}

static int load(struct alloc *alloc, struct fault *fault)
{
	struct pick_key key;
	int err;

	err = new_key(&key);
	if (err)
		return fault_set(fault, err, "no random numbers from getrandom(2)");
	memcpy((void *)&alloc->bpf->rodata->hash_key, &key, sizeof(key));
	err = alloc_bpf__load(alloc->bpf);
	if (err == -EPERM || err == -EACCES)
		return fault_set(fault, -EPERM,
				 "cannot load BPF programs: not permitted (needs root, "
				 "or CAP_BPF, "
				 "CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN)");
	if (err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return fault_set(fault, err, "cannot load BPF programs: %s",
				 strerror(-err));
	if (err)
		return fault_set(fault, -ENOTSUP,
				 "cannot load the allocator's BPF programs: %s (needs "
				 "Linux 6.1 or newer "
				 "with BTF, and CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON "
				 "and CAP_SYS_ADMIN)",
				 strerror(-err));
	return 0;
}

static int map_all(struct alloc *alloc, struct fault *fault)
{
	alloc->pools = map_memory(alloc->bpf->maps.pools);
	alloc->spaces = map_memory(alloc->bpf->maps.spaces);
	alloc->hosts = map_memory(alloc->bpf->maps.hosts);
	alloc->users = map_memory(alloc->bpf->maps.users);
	if (!alloc->pools || !alloc->spaces || !alloc->hosts || !alloc->users)
		return fault_set(fault, -ENOMEM, "cannot map the allocator's tables");
	return 0;
}

static int fill_all(struct alloc *alloc, struct fault *fault)
{
	int err;

	err = fill_free(alloc->bpf->maps.free_spaces, 1);
	if (!err)
		err = fill_free(alloc->bpf->maps.free_hosts, 1);
	if (!err)
		err = fill_free(alloc->bpf->maps.free_users, 1);
	if (!err)
		err = fill_free(alloc->bpf->maps.free_denses, 0);
	if (!err)
		err = alloc_stock_chunks(alloc);
	if (err)
		return fault_set(fault, err, "cannot fill the allocator's tables: %s",
				 strerror(-err));
	return 0;
}

int alloc_open(struct alloc **ret, struct fault *fault)
{
	CLEANUP(alloc_close_ptr) struct alloc *alloc = calloc(1, sizeof(*alloc));
	int err;

	if (!alloc)
		return fault_set(fault, -ENOMEM, "out of memory");
	libbpf_set_print(silent);
	alloc->bpf = alloc_bpf__open();
	if (!alloc->bpf)
		return fault_set(fault, -errno,
				 "cannot open the allocator's BPF object");
	err = load(alloc, fault);
	if (!err)
		err = map_all(alloc, fault);
	if (!err)
		err = fill_all(alloc, fault);
	if (!err)
		err = alloc_rules_open(alloc, fault);
	if (err)
		return err;
	err = new_key(&alloc->bpf->bss->draw_key);
	if (err)
		return fault_set(fault, err, "no random numbers from getrandom(2)");
	alloc->lists_bound = alloc_probe_bound();
	netns_cookie(-1, &alloc->own_netns);
	alloc->bpf->links.alloc_set_state =
		bpf_program__attach(alloc->bpf->progs.alloc_set_state);
	alloc->bpf->links.alloc_destroy_sock =
		bpf_program__attach(alloc->bpf->progs.alloc_destroy_sock);
	if (!alloc->bpf->links.alloc_set_state || !alloc->bpf->links.alloc_destroy_sock)
		return fault_set(fault, -errno,
				 "cannot attach to the kernel's TCP tracepoints: %s",
				 strerror(errno));
	err = alloc_notice_open(alloc, fault);
	if (err)
		return err;
	*ret = TAKE(alloc);
	return 0;
}

void alloc_close(struct alloc *alloc)
{
	if (!alloc)
		return;
	alloc_detach_all(alloc);
	alloc_notice_close(alloc);
	alloc_rules_close(alloc);
	if (alloc->bpf) {
		unmap_memory(alloc->bpf->maps.pools, alloc->pools);
		unmap_memory(alloc->bpf->maps.spaces, alloc->spaces);
		unmap_memory(alloc->bpf->maps.hosts, alloc->hosts);
		unmap_memory(alloc->bpf->maps.users, alloc->users);
		alloc_unmap_chunks(alloc);
	}
	alloc_bpf__destroy(alloc->bpf);
	for (int host = 0; host < ALLOC_HOSTS; host++)
		free(alloc->suspects[host]);
	free(alloc);
}

static void map_from_set(struct port_map *map, const struct port_set *set)
{
	memset(map, 0, sizeof(*map));
	for (unsigned int port = 1024; port <= 65535; port++)
		if (port_set_has(set, port))
			port_map_give(map, port);
}

static void write_pool(struct alloc_pool *to, const struct pool *pool)
{
	/* Milliseconds are compared modulo 2^32: half of that is the most. */
	to->quarantine_ns = pool->quarantine_ns < QUARANTINE_MAX_NS
				    ? pool->quarantine_ns
				    : QUARANTINE_MAX_NS;
	to->quarantine_all = pool->quarantine_all;
	to->algorithm = pool->algorithm;
	to->udp_shares = pool->udp_shares;
	to->quota = pool->quota;
	to->sharing = pool->sharing == SHARING_NEVER	? ALLOC_SHARING_NEVER
		      : pool->sharing == SHARING_ALWAYS ? ALLOC_SHARING_ALWAYS
							: ALLOC_SHARING_WHEN_FULL;
	to->refuses = pool->exhausted == EXHAUSTED_REFUSE;
	to->early_reuse = pool->early_reuse;
	map_from_set(&to->members, &pool->ports);
	to->first = port_map_select(&to->members, 0);
	to->last = port_map_select(&to->members, to->members.count - 1);
}

int alloc_add_pool(struct alloc *alloc, const struct pool *pool, uint32_t *ret_pool,
		   struct fault *fault)
{
	uint32_t number = 1;

	if (!port_set_count(&pool->ports))
		return fault_set(fault, -EINVAL, "pool %s has no ports", pool->name);
	while (number < ALLOC_POOLS &&
	       (alloc->pool_is_used[number] || alloc_pool_is_named(alloc, number)))
		number++;
	if (number == ALLOC_POOLS)
		return fault_set(fault, -ENOSPC, "no more than %d pools at once",
				 ALLOC_POOLS - 1);
	write_pool(&alloc->pools[number], pool);
	alloc_count_number(alloc, number, &alloc->before[number]);
	alloc->pool_is_used[number] = true;
	alloc_hooks_guard(alloc);
	*ret_pool = number;
	return 0;
}

void alloc_remove_pool(struct alloc *alloc, uint32_t pool)
{
	for (uint32_t number = 1; number < ALLOC_SPACES; number++)
		if (alloc->spaces[number].netns && alloc->spaces[number].pool == pool)
			alloc_drop_space(alloc, number);
	alloc->pool_is_used[pool] = false;
	alloc_hooks_guard(alloc);
	alloc_reap_hosts(alloc);
}

uint32_t alloc_serve(struct alloc *alloc, const struct alloc_ask *ask)
{
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet,
		    .data_size_in = sizeof(packet));

	alloc->bpf->bss->ask = *ask;
	if (bpf_prog_test_run_opts(bpf_program__fd(alloc->bpf->progs.alloc_serve),
				   &options))
		return 0;
	return alloc->bpf->bss->ask.result;
}

int alloc_prepare(struct alloc *alloc, uint32_t pool, int netns_fd, struct fault *fault)
{
	struct alloc_ask ask = {.op = ALLOC_ASK_MAKE_SPACE, .pool = pool};
	static const uint32_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	uint64_t cookie;
	int err;

	err = netns_cookie(netns_fd, &cookie);
	if (err)
		return fault_set(fault, err,
				 "cannot read the network namespace's cookie: %s",
				 strerror(-err));
	ask.netns = cookie;
	alloc_stock_chunks(alloc);
	for (int i = 0; i < 2; i++) {
		ask.protocol = protocols[i];
		if (!alloc_serve(alloc, &ask))
			return fault_set(fault, -ENOSPC,
					 "the allocator's tables are full (%d "
					 "namespaces and pools, "
					 "%d blocks of 1,024 ports)",
					 ALLOC_SPACES - 1, ALLOC_CHUNKS - 1);
		alloc_stock_chunks(alloc);
	}
	return alloc_list_netns(alloc, netns_fd, cookie, fault);
}

static uint64_t binds(const struct alloc *alloc)
{
	uint64_t sum = 0;

	for (int i = 0; i < ALLOC_POOLS * ALLOC_STAT_SLOTS; i++)
		sum += alloc->bpf->bss->stats[i].binds;
	return sum;
}

/*
 * Since the last tick a pick met a port something else held, a full table, or no port,
 * or was for a bind(2), which cannot try another port.
 */
static bool needs_reconciling(struct alloc *alloc)
{
	struct alloc_count count;
	uint64_t reasons;
	bool needs;

	alloc_count(alloc, &count);
	reasons = count.conflicts + count.fallbacks + count.refusals +
		  count.table_full + binds(alloc);
	needs = reasons != alloc->reasons || alloc->is_due;
	alloc->is_due = false;
	alloc->reasons = reasons;
	return needs;
}

void alloc_tick(struct alloc *alloc)
{
	const struct alloc_ask sweep = {.op = ALLOC_ASK_SWEEP};

	/* Without new numbers the old key stays: it is secret as well. */
	new_key(&alloc->bpf->bss->draw_key);
	alloc_notice_tick(alloc);
	alloc_hooks_tick(alloc);
	alloc_serve(alloc, &sweep);
	alloc_list_new(alloc);
	alloc_rules_tick(alloc);
	if (needs_reconciling(alloc) || ++alloc->ticks % RECONCILE_TICKS == 0) {
		alloc_reconcile(alloc);
		alloc_reap_hosts(alloc);
	}
	alloc_stock_chunks(alloc);
}

int alloc_verdict_map_fd(const struct alloc *alloc)
{
	return bpf_map__fd(alloc->bpf->maps.verdicts);
}
