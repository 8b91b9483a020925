/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/owner.h"

#include <stdlib.h>

struct owner *owner_new(uint32_t pid, uint64_t pid_start_ns, uint32_t uid)
{
	struct owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return NULL;
	owner->references = 1;
	owner->pid = pid;
	owner->pid_start_ns = pid_start_ns;
	owner->uid = uid;
	return owner;
}

struct owner *owner_ref(struct owner *owner)
{
	if (owner)
		owner->references++;
	return owner;
}

void owner_unref(struct owner *owner)
{
	if (!owner || --owner->references > 0)
		return;
	free(owner->exe);
	free(owner->cmdline);
	free(owner->user);
	free(owner->cgroup);
	free(owner->unit);
	free(owner->container);
	free(owner);
}
