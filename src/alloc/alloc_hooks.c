/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What user space tells the hooks: mode, guard, and whether others rewrite after them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_hook_abi.h"
#include "alloc/alloc_private.h"

#include "alloc/alloc.skel.h"

#define PROGRAMS_MAX 64 /* of one hook of one cgroup, its ancestors' included */

_Static_assert((int)ALLOC_OFF == MODE_OFF && (int)ALLOC_DRY_RUN == MODE_DRY_RUN,
	       "hook ABI");
_Static_assert((int)FOREIGN_BIND_REFUSE == FOREIGN_BIND_REFUSES &&
		       (int)FOREIGN_BIND_ALLOW == FOREIGN_BIND_ALLOWS,
	       "hook ABI");

void alloc_set_mode(struct alloc *alloc, enum alloc_mode mode)
{
	alloc->bpf->bss->settings.mode = mode;
}

void alloc_set_guard(struct alloc *alloc, enum foreign_bind what)
{
	alloc->bpf->bss->settings.foreign_bind = what;
}

void alloc_set_reserved(struct alloc *alloc, const struct port_set *ports)
{
	alloc->reserved = *ports;
	alloc->is_due = true;
}

/* The ports of all pools. */
void alloc_hooks_guard(struct alloc *alloc)
{
	uint32_t count = 0;

	for (int word = 0; word < 1024; word++) {
		uint64_t bits = 0;

		for (uint32_t pool = 1; pool < ALLOC_POOLS; pool++)
			if (alloc->pool_is_used[pool])
				bits |= alloc->pools[pool].members.words[word];
		alloc->bpf->bss->guarded[word] = bits;
		alloc->bpf->bss->ever_guarded[word] |= bits;
		count += __builtin_popcountll(bits);
	}
	alloc->bpf->bss->guarded_count = count;
}

static int attach_hooks(struct alloc *alloc, struct attachment *attachment,
			struct fault *fault)
{
	struct bpf_program *const hooks[HOOK_COUNT] = {
		alloc->bpf->progs.alloc_sock_release, alloc->bpf->progs.alloc_bind4,
		alloc->bpf->progs.alloc_bind6,	      alloc->bpf->progs.alloc_connect4,
		alloc->bpf->progs.alloc_connect6,
	};

	for (int i = 0; i < HOOK_COUNT; i++) {
		attachment->links[i] =
			bpf_program__attach_cgroup(hooks[i], attachment->cgroup_fd);
		if (!attachment->links[i])
			return fault_set(fault, -errno,
					 "cannot attach %s to the cgroup: %s",
					 bpf_program__name(hooks[i]), strerror(errno));
	}
	return 0;
}

static void attachment_end(struct attachment *attachment)
{
	for (int i = 0; i < HOOK_COUNT; i++)
		bpf_link__destroy(attachment->links[i]);
	close(attachment->cgroup_fd);
}

int alloc_attach(struct alloc *alloc, int cgroup_fd, uint64_t cgroup_id, uint32_t pool,
		 struct fault *fault)
{
	struct alloc_attachment remembers = {.pool = pool};
	struct attachment attachment = {.cgroup_id = cgroup_id};
	int err;

	if (alloc->attachment_count == ATTACHMENTS_MAX)
		return fault_set(fault, -ENOSPC,
				 "no more than %d managed cgroups at once",
				 ATTACHMENTS_MAX);
	attachment.cgroup_fd = fcntl(cgroup_fd, F_DUPFD_CLOEXEC, 0);
	if (attachment.cgroup_fd < 0)
		return fault_set(fault, -errno, "cannot keep the cgroup open: %s",
				 strerror(errno));
	err = attach_hooks(alloc, &attachment, fault);
	if (!err && bpf_map_update_elem(bpf_map__fd(alloc->bpf->maps.attachments),
					&cgroup_id, &remembers, BPF_ANY))
		err = fault_set(fault, -errno, "cannot give the cgroup its pool: %s",
				strerror(errno));
	if (err) {
		attachment_end(&attachment);
		return err;
	}
	alloc->attachments[alloc->attachment_count++] = attachment;
	alloc_hooks_tick(alloc);
	return 0;
}

int alloc_watch(struct alloc *alloc, int cgroup_fd, struct fault *fault)
{
	struct bpf_program *const hooks[] = {alloc->bpf->progs.alloc_bound4,
					     alloc->bpf->progs.alloc_bound6};

	for (int i = 0; i < 2; i++) {
		alloc->watches[i] = bpf_program__attach_cgroup(hooks[i], cgroup_fd);
		if (!alloc->watches[i])
			return fault_set(fault, -errno,
					 "cannot attach %s to the cgroup: %s",
					 bpf_program__name(hooks[i]), strerror(errno));
	}
	return 0;
}

void alloc_detach(struct alloc *alloc, uint64_t cgroup_id)
{
	for (size_t i = 0; i < alloc->attachment_count; i++) {
		if (alloc->attachments[i].cgroup_id != cgroup_id)
			continue;
		attachment_end(&alloc->attachments[i]);
		alloc->attachments[i] = alloc->attachments[--alloc->attachment_count];
		return;
	}
}

void alloc_detach_all(struct alloc *alloc)
{
	while (alloc->attachment_count)
		attachment_end(&alloc->attachments[--alloc->attachment_count]);
	for (int i = 0; i < 2; i++)
		bpf_link__destroy(alloc->watches[i]);
}

static uint32_t program_id(const struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) ? 0
									      : info.id;
}

void alloc_know_programs(struct alloc *alloc, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < sizeof(alloc->known) / sizeof(alloc->known[0]); i++)
		alloc->known[i] = i < count ? ids[i] : 0;
	alloc_hooks_tick(alloc);
}

static bool is_known(const struct alloc *alloc, uint32_t id)
{
	for (size_t i = 0; i < sizeof(alloc->known) / sizeof(alloc->known[0]); i++)
		if (alloc->known[i] == id)
			return true;
	return false;
}

/* In the order they run: does a program of others come after this one? */
static bool is_followed(const struct alloc *alloc, int cgroup_fd,
			enum bpf_attach_type hook, uint32_t ours)
{
	uint32_t ids[PROGRAMS_MAX], count = PROGRAMS_MAX;
	bool is_behind = false;

	/* More than we have room for: believe the worst. */
	if (bpf_prog_query(cgroup_fd, hook, BPF_F_QUERY_EFFECTIVE, NULL, ids, &count))
		return errno == ENOSPC;
	for (uint32_t i = 0; i < count; i++) {
		if (is_behind && ids[i] != ours && !is_known(alloc, ids[i]))
			return true;
		is_behind |= ids[i] == ours;
	}
	return false;
}

void alloc_hooks_tick(struct alloc *alloc)
{
	uint32_t connect4 = program_id(alloc->bpf->progs.alloc_connect4);
	uint32_t connect6 = program_id(alloc->bpf->progs.alloc_connect6);

	for (size_t i = 0; i < alloc->attachment_count; i++) {
		const struct attachment *attachment = &alloc->attachments[i];
		uint32_t is_rewritten =
			is_followed(alloc, attachment->cgroup_fd,
				    BPF_CGROUP_INET4_CONNECT, connect4) ||
			is_followed(alloc, attachment->cgroup_fd,
				    BPF_CGROUP_INET6_CONNECT, connect6);
		struct alloc_attachment remembers;
		int map = bpf_map__fd(alloc->bpf->maps.attachments);

		if (bpf_map_lookup_elem(map, &attachment->cgroup_id, &remembers) ||
		    remembers.is_rewritten == is_rewritten)
			continue;
		remembers.is_rewritten = is_rewritten;
		bpf_map_update_elem(map, &attachment->cgroup_id, &remembers, BPF_ANY);
	}
	alloc->bpf->bss->settings.is_rewritten = 0;
}
