/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* alloc_private.h - what alloc.c and alloc_host.c share. */
#ifndef ALLOC_PRIVATE_H
#define ALLOC_PRIVATE_H

#include "alloc/alloc.h"
#include "alloc/alloc_abi.h"

#define HOOK_COUNT	5
#define ATTACHMENTS_MAX 256

struct alloc_bpf;
struct bpf_link;
struct alloc_rules;

struct attachment {
	uint64_t cgroup_id;
	struct bpf_link *links[HOOK_COUNT];
};

struct alloc {
	struct alloc_bpf *bpf;
	/* The kernel's arrays, mapped. */
	struct alloc_pool *pools;
	struct alloc_space *templates;
	struct alloc_space *spaces;
	struct alloc_host *hosts;
	struct record_chunk *chunks;
	bool pool_is_used[ALLOC_POOLS];
	struct attachment attachments[ATTACHMENTS_MAX];
	size_t attachment_count;
	uint64_t ticks;
	uint64_t reasons; /* to reconcile, counted, at the last tick */
	unsigned int absences[ALLOC_SPACES]; /* reconcilings in a row that did not meet
						the namespace */
	bool lists_bound; /* sock_diag lists TCP sockets that are bound and no more */
	/* By host, by port: the holder that had no socket at the last reconciling.
	 * NULL: none had. */
	uint64_t *suspects[ALLOC_HOSTS];
	struct alloc_rules *rules;
};

/* The rules: none yet. Closing is to come before the BPF object goes. */
int alloc_rules_open(struct alloc *alloc, struct fault *fault);
void alloc_rules_close(struct alloc *alloc);

/* Find what rules name and is new or changed: executables and namespaces. */
void alloc_rules_tick(struct alloc *alloc);

/* Cgroups, processes and executables that fit a rule and found the table full. */
uint64_t alloc_rules_missed(const struct alloc *alloc);

/* Put one question to the program `serve`: its result, or 0. */
uint32_t alloc_serve(struct alloc *alloc, const struct alloc_ask *ask);

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

/* Free the records of hosts that have no space and no lease any more. */
void alloc_reap_hosts(struct alloc *alloc);

#endif /* ALLOC_PRIVATE_H */
