/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * owner.h - the process behind a session: one program image of one process.
 *
 * A process that calls execve(2) becomes a new owner. Owners are shared by the
 * sessions they opened and counted; nothing in one changes after it is shared.
 * A string that is not known is NULL, never "".
 */
#ifndef MODEL_OWNER_H
#define MODEL_OWNER_H

#include <stdint.h>

struct owner {
	unsigned int references;
	uint64_t ledger_id;    /* for the ledger alone; 0: not stored */
	uint64_t pid_start_ns; /* wall clock, ns since 1970 UTC */
	uint32_t pid;	       /* of the host's first pid namespace */
	uint32_t uid;
	uint64_t exe_inode;
	uint64_t exe_device;
	char comm[16]; /* always terminated */
	char *exe;
	char *cmdline; /* as the policy lets it be kept; arguments joined by spaces */
	char *user;
	char *cgroup; /* path below the cgroup2 root: "/system.slice/x" */
	char *unit;
	char *container;
};

/* An owner with one reference and nothing known but pid and uid; NULL: no memory. */
struct owner *owner_new(uint32_t pid, uint64_t pid_start_ns, uint32_t uid);

/* One more reference. Returns owner; NULL stays NULL. */
struct owner *owner_ref(struct owner *owner);

/* One reference less; the last one frees it and its strings. NULL is fine. */
void owner_unref(struct owner *owner);

#endif /* MODEL_OWNER_H */
