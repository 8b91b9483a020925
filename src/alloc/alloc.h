/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc.h - the allocator: BPF programs in the connect and bind hooks that give
 * each session its source port from a pool. pick.h has the algorithm.
 *
 * The programs end with the process that opened them, however it ends: nothing
 * is pinned. Until alloc_attach() nobody's ports are touched.
 */
#ifndef ALLOC_ALLOC_H
#define ALLOC_ALLOC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "alloc/alloc_notice.h"
#include "base/fault.h"
#include "policy/policy.h"

struct alloc;

/* Load the programs. -EPERM without privilege, -ENOTSUP where the kernel cannot. */
int alloc_open(struct alloc **ret, struct fault *fault);
void alloc_close(struct alloc *alloc); /* detaches all; NULL is fine */

/*
 * Make a pool known; its number (from 1) is in *ret_pool. Removing one frees its
 * memory in the kernel; sessions that hold its ports keep them.
 */
int alloc_add_pool(struct alloc *alloc, const struct pool *pool, uint32_t *ret_pool,
		   struct fault *fault);
void alloc_remove_pool(struct alloc *alloc, uint32_t pool);

/*
 * Sessions opened in this cgroup and below take their ports from the pool. Pool 0: from
 * the pool of the first rule that fits (alloc_set_rules()); and there, in all network
 * namespaces in which a pool is used, explicit binds into pools are guarded.
 */
int alloc_attach(struct alloc *alloc, int cgroup_fd, uint64_t cgroup_id, uint32_t pool,
		 struct fault *fault);
void alloc_detach(struct alloc *alloc, uint64_t cgroup_id);

/*
 * See the ports of pools that programs in this cgroup and below bind by themselves, so
 * that they are given to nobody from then on. Once; it ends with alloc_close().
 */
int alloc_watch(struct alloc *alloc, int cgroup_fd, struct fault *fault);

/*
 * Which sessions take their port from which pool, from now on: all rules or, on a
 * fault, none of them and the ones before stay. pools[i] is the pool's number for
 * rules[i]; 0: the kernel picks. cgroup_root is where cgroup2 is mounted. What a rule
 * names need not be there yet (a unit, an executable, a namespace): it is found at the
 * latest a tick after it comes; a cgroup, and a process of a known executable, at once.
 */
int alloc_set_rules(struct alloc *alloc, const struct rule *rules,
		    const uint32_t *pools, size_t count, const char *cgroup_root,
		    struct fault *fault);

/* What a process has that rules ask for; alloc_fit() judges it as the hooks would. */
struct alloc_subject {
	pid_t pid;
	uint64_t netns; /* cookie */
	uint8_t protocol;
	struct address destination;
	uint16_t port;
};

/* The index of the first rule that fits, or -1; -ESRCH: no such process. */
int alloc_fit(struct alloc *alloc, const struct alloc_subject *subject);

/*
 * Another program on a connect hook after ours may send connections elsewhere, so that
 * two which asked for different destinations come out at the same: where there is one,
 * no port is shared. These (at most 8, as the kernel numbers them) do no such thing.
 */
void alloc_know_programs(struct alloc *alloc, const uint32_t *ids, size_t count);

enum alloc_mode {
	ALLOC_ON,
	ALLOC_OFF,     /* the kernel picks; leases end as they do */
	ALLOC_DRY_RUN, /* the kernel picks; notices say what a pick would have given */
};

void alloc_set_mode(struct alloc *alloc, enum alloc_mode mode);
void alloc_set_guard(struct alloc *alloc, enum foreign_bind what);

/*
 * Ports (of systemd's socket units) that are never given in this process's network
 * namespace, as those of ip_local_reserved_ports are not in any.
 */
void alloc_set_reserved(struct alloc *alloc, const struct port_set *ports);

const char *alloc_reason_name(enum alloc_reason reason);

/* Something that a person may ask about. */
struct alloc_notice {
	enum alloc_notice_kind kind;
	enum alloc_reason reason;
	bool is_refused;  /* the call failed by our doing */
	uint64_t time_ns; /* CLOCK_BOOTTIME */
	uint64_t netns;
	uint32_t pool; /* 0: none */
	uint32_t pid;
	uint32_t uid;
	uint8_t protocol;
	struct address address; /* FOREIGN_BIND: local; else the destination */
	uint16_t port;		/* its port */
	uint16_t picked;	/* WOULD_PICK: what it would have been */
	char comm[16];
};

typedef void alloc_notice_fn(const struct alloc_notice *notice, void *arg);

/*
 * Deliver the notices since the last call; at most some hundred a second are kept,
 * *ret_dropped is how many were not since the last call. fd: readable when there is
 * one.
 */
void alloc_set_notice(struct alloc *alloc, alloc_notice_fn *notice, void *arg);
int alloc_notice_fd(const struct alloc *alloc);
void alloc_poll(struct alloc *alloc, uint64_t *ret_dropped);

/*
 * Make the pool ready in the network namespace behind netns_fd (-1: the caller's),
 * before the first session there asks: what others hold in it is set aside. A namespace
 * that nobody prepared is made ready at its first connect(), and listed at the next
 * tick.
 */
int alloc_prepare(struct alloc *alloc, uint32_t pool, int netns_fd,
		  struct fault *fault);

/*
 * Call about once a second: new keys, ports set aside that may be tried again,
 * quarantine that ended, ports that others hold in the namespaces in use.
 */
void alloc_tick(struct alloc *alloc);

/* For collect: the map of struct verdict. Borrowed. */
int alloc_verdict_map_fd(const struct alloc *alloc);

struct alloc_count {
	uint64_t picks;
	uint64_t shared;       /* picks that shared a port with another destination */
	uint64_t early_reuses; /* picks of a tuple that had not rested its time */
	uint64_t conflicts;    /* picks that something else held */
	uint64_t fallbacks;    /* left to the kernel; by_reason says why */
	uint64_t refusals;     /* of connect() and bind(), by our doing */
	uint64_t releases;
	uint64_t rests;
	uint64_t rests_cut_short; /* quarantine forgotten early: its table was full */
	uint64_t table_full;	  /* a ceiling was met and the kernel picked */
	uint64_t dense_full;	/* no map of a full destination: the pool was scanned */
	uint64_t foreign_binds; /* explicit, into a pool, without a rule to it */
	uint64_t repairs;	/* leases that reconciling found without a socket */
	uint64_t missed; /* ports that reconciling found held by somebody unknown */
	uint64_t by_reason[ALLOC_REASON_COUNT]; /* fallbacks and refusals */
};

struct alloc_pool_count {
	uint32_t pool;
	uint64_t capacity;
	uint64_t held; /* ports in use or set aside, over all namespaces, TCP and UDP */
	uint64_t busiest; /* ports in use or set aside where most are */
	uint64_t resting; /* tuples */
	uint64_t bytes;	  /* of the kernel's memory that the pool takes for itself */
	struct alloc_count count;
};

/* Of all pools, or of one. */
void alloc_count(const struct alloc *alloc, struct alloc_count *ret);
int alloc_pool_count(const struct alloc *alloc, uint32_t pool,
		     struct alloc_pool_count *ret);

/* Leases of the pool in use now, counted one by one: a port may have several. */
uint64_t alloc_pool_leases(const struct alloc *alloc, uint32_t pool);

/* What the tables take of the kernel's memory, in bytes. */
struct alloc_memory {
	uint64_t total;	   /* all maps, hash headers included */
	uint64_t records;  /* of it, a record for each port of a namespace in use */
	uint64_t tuples;   /* of it, tuples that share a port or rest */
	uint64_t per_port; /* a record */
	uint64_t per_shared;
	uint64_t per_resting;
};

void alloc_memory(const struct alloc *alloc, struct alloc_memory *ret);

/*
 * How the pool stands to one destination in the namespace: ports open to it, and those
 * closed by a session or a rest. -ENOENT: the pool is not in use there.
 */
struct alloc_outlook {
	uint32_t unused;  /* ports that nobody uses and that are open to it */
	uint32_t shared;  /* ports in use that are open to it */
	uint32_t taken;	  /* in use to it, or exclusive */
	uint32_t resting; /* from it */
	uint32_t aside;	  /* held by others, or reserved */
};

int alloc_outlook(struct alloc *alloc, uint32_t pool, uint64_t netns, uint8_t protocol,
		  const struct address *destination, uint16_t port,
		  struct alloc_outlook *ret);

#endif /* ALLOC_ALLOC_H */
