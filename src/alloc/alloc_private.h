/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_private.h - what the files of the allocator share. */
#ifndef ALLOC_PRIVATE_H
#define ALLOC_PRIVATE_H

#include "alloc/alloc.h"
#include "alloc/alloc_abi.h"
#include "alloc/alloc_hook_abi.h"

#define HOOK_COUNT	5
#define ATTACHMENTS_MAX 256

struct alloc_bpf;
struct bpf_link;
struct ring_buffer;
struct alloc_rules;

struct attachment {
	uint64_t cgroup_id;
	int cgroup_fd;
	struct bpf_link *links[HOOK_COUNT];
};

/* Leases a user has by the count, and of them those that no socket is known of. */
struct user_surplus {
	int32_t held;
	int32_t surplus;
};

enum chunk_state {
	CHUNK_NONE,  /* of a block that is not there */
	CHUNK_KEPT,  /* free, here */
	CHUNK_GIVEN, /* to the kernel: in stock, or a host's */
};

struct alloc {
	struct alloc_bpf *bpf;
	/* The kernel's arrays, mapped. */
	struct alloc_pool *pools;
	struct alloc_space *spaces;
	struct alloc_host *hosts;
	struct alloc_user *users;
	struct record_chunk *blocks[ALLOC_CHUNKS / ALLOC_BLOCK];
	uint8_t chunk_states[ALLOC_CHUNKS]; /* enum chunk_state */
	bool pool_is_used[ALLOC_POOLS];
	struct attachment attachments[ATTACHMENTS_MAX];
	size_t attachment_count;
	struct bpf_link *watches[2];
	uint8_t host_idles[ALLOC_HOSTS]; /* reapings in a row that found it unused */
	uint32_t known[8]; /* programs of the same hooks that change nothing; 0: none */
	struct ring_buffer *notices;
	alloc_notice_fn *notice; /* NULL: nobody asks */
	void *notice_arg;
	uint64_t notices_dropped; /* at the last poll */
	uint64_t ticks;
	uint64_t reasons; /* to reconcile, counted, at the last tick */
	unsigned int absences[ALLOC_SPACES];  /* reconcilings in a row that did not meet
						 the namespace */
	unsigned int user_idles[ALLOC_USERS]; /* reconcilings in a row that found
						 nothing of this user's */
	struct user_surplus surpluses[ALLOC_USERS]; /* at the last reconciling */
	uint64_t repairs;
	uint64_t missed;
	uint64_t own_netns;
	struct port_set reserved;		/* in our own namespace */
	bool is_due;				/* reconcile with the next tick */
	struct alloc_count before[ALLOC_POOLS]; /* of earlier pools of this number */
	bool lists_bound; /* sock_diag lists TCP sockets that are bound and no more */
	/* By host, by port: the holder that had no socket at the last reconciling.
	 * NULL: none had. */
	uint64_t *suspects[ALLOC_HOSTS];
	struct alloc_rules *rules;
};

int alloc_notice_open(struct alloc *alloc, struct fault *fault);
void alloc_notice_close(struct alloc *alloc);
void alloc_notice_tick(struct alloc *alloc); /* a new second: notices are sent again */

/* Tell the hooks which ports are in a pool. */
void alloc_hooks_guard(struct alloc *alloc);

void alloc_detach_all(struct alloc *alloc);

/* Look for programs of others that run after our connect hooks. */
void alloc_hooks_tick(struct alloc *alloc);

/* The rules: none yet. Closing is to come before the BPF object goes. */
int alloc_rules_open(struct alloc *alloc, struct fault *fault);
void alloc_rules_close(struct alloc *alloc);

/* Find what rules name and is new or changed: executables and namespaces. */
void alloc_rules_tick(struct alloc *alloc);

/* Cgroups, processes and executables that fit a rule and found the table full. */
uint64_t alloc_rules_missed(const struct alloc *alloc);

/* Put one question to the program `serve`: its result, or 0. */
uint32_t alloc_serve(struct alloc *alloc, const struct alloc_ask *ask);

/* The record of a port in the chunks of a host or a space, or NULL. */
struct port_record *alloc_record(const struct alloc *alloc, const uint32_t *chunk,
				 unsigned int port);

/* The destination as the tables have it, for a socket that is not bound. */
uint32_t alloc_destination(const struct alloc *alloc, const struct address *address,
			   uint16_t port);

/* See to it that the kernel has chunks in stock, and free those beyond. -ENOSPC. */
int alloc_stock_chunks(struct alloc *alloc);

/* Take back a chunk that a host had. */
void alloc_keep_chunk(struct alloc *alloc, uint32_t number);

unsigned int alloc_count_blocks(const struct alloc *alloc);
void alloc_unmap_chunks(struct alloc *alloc);

/* What the pools of this number counted, all together. */
void alloc_count_number(const struct alloc *alloc, uint32_t pool,
			struct alloc_count *ret);

/* Set aside in the namespace's spaces what other sockets hold and what is reserved
 * there. */
int alloc_list_netns(struct alloc *alloc, int netns_fd, uint64_t cookie,
		     struct fault *fault);

/* Compare the tables with the sockets there are: return what is free again, forget what
 * leaked. */
void alloc_reconcile(struct alloc *alloc);

/* Find the namespaces that made spaces of their own since the last call, and list them.
 */
void alloc_list_new(struct alloc *alloc);

/* Take the space from its pool. Its number is free when nothing names it any more. */
void alloc_drop_space(struct alloc *alloc, uint32_t number);

/* Is there a space, dropped ones included, that came from this pool? */
bool alloc_pool_is_named(const struct alloc *alloc, uint32_t pool);

/* Does sock_diag list TCP sockets that are bound and no more (Linux 6.8)? */
bool alloc_probe_bound(void);

/* Does no socket and no rest have a port of this space? */
bool alloc_space_is_idle(const struct alloc *alloc, uint32_t number);

/* Free the numbers of dropped spaces that no port and no rest names any more. */
void alloc_reap_spaces(struct alloc *alloc);

/* Correct what users have by the counts, from the sockets of one namespace. */
void alloc_correct_users(struct alloc *alloc, int netns_fd, uint64_t cookie);

/* Free the numbers of users that have nothing any more. */
void alloc_reap_users(struct alloc *alloc);

/* Free the records of hosts that have no space and no lease any more. */
void alloc_reap_hosts(struct alloc *alloc);

#endif /* ALLOC_PRIVATE_H */
