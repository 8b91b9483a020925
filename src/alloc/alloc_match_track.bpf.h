/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_match_track.bpf.h - which cgroups and which processes the rules speak of, from
 * their birth on. Attached only while a rule asks for such.
 */
#ifndef ALLOC_MATCH_TRACK_BPF_H
#define ALLOC_MATCH_TRACK_BPF_H

#include "alloc/alloc_match.bpf.h"

#define MATCH_READS 4 /* of what may change while it is read */

MATCH_HASH(match_names, struct match_name, struct match_masks, 2 * MATCH_KEYS);
MATCH_HASH(match_files, struct match_file, __u32, MATCH_EXES); /* to executable */

static __always_inline void match_write(void *map, const void *key, const void *value)
{
	struct match_state *state;

	if (!bpf_map_update_elem(map, key, value, BPF_ANY))
		return;
	state = by_id(&match_states, 0);
	if (state)
		__sync_fetch_and_add(&state->missed, 1);
}

/* ---- cgroups ---- */

/* One for all: cgroup tracepoints run under the lock of the buffer with their path. */
static struct match_name match_read __attribute__((aligned(8)));
static char match_last; /* of a name, to know one that is too long */

static __always_inline void masks_add(struct match_masks *to, const char *text)
{
	struct match_masks *masks;
	long length;

	__builtin_memset(&match_read, 0, sizeof(match_read));
	length = bpf_probe_read_kernel_str(&match_read, sizeof(match_read), text);
	if (length <= 0)
		return;
	if (length == sizeof(match_read)) {
		bpf_probe_read_kernel(&match_last, 1, text + sizeof(match_read) - 1);
		if (match_last)
			return;
	}
	masks = bpf_map_lookup_elem(&match_names, &match_read);
	if (!masks)
		return;
	to->of[0] |= masks->of[0];
	to->of[1] |= masks->of[1];
}

static __always_inline void cgroup_judge(struct match_cgroup *ret,
					 struct cgroup *cgroup, const char *path)
{
	__u64 above = cgroup->self.parent->cgroup->kn->id;
	struct match_cgroup *parent = bpf_map_lookup_elem(&match_cgroups, &above);

	if (parent)
		*ret = *parent;
	else
		__builtin_memset(ret, 0, sizeof(*ret));
	masks_add(&ret->path, path);
	masks_add(&ret->unit, cgroup->kn->name);
}

static __always_inline bool cgroup_same(const struct match_cgroup *a,
					const struct match_cgroup *b)
{
	return a->path.of[0] == b->path.of[0] && a->path.of[1] == b->path.of[1] &&
	       a->unit.of[0] == b->unit.of[0] && a->unit.of[1] == b->unit.of[1];
}

/*
 * User space writes names first, then cgroups from the root down. What was read before
 * it came by and written after is read again, until both agree.
 */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(match_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct match_cgroup written = {}, now;
	__u64 number = cgroup->kn->id;

	if (cgroup->root->hierarchy_id)
		return 0; /* of cgroup v1 */
		/* Unrolled: Linux 6.1 takes no loop that is entered in its middle. */
#pragma unroll
	for (int i = 0; i < MATCH_READS; i++) {
		cgroup_judge(&now, cgroup, path);
		if (cgroup_same(&now, &written))
			return 0;
		match_write(&match_cgroups, &number, &now);
		written = now;
	}
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(match_cgroup_rmdir, struct cgroup *cgroup)
{
	__u64 number = cgroup->kn->id;

	bpf_map_delete_elem(&match_cgroups, &number);
	return 0;
}

/* ---- processes ---- */

static __always_inline void file_read(struct match_file *ret, struct file *file)
{
	ret->inode = BPF_CORE_READ(file, f_inode, i_ino);
	ret->device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	ret->generation = BPF_CORE_READ(file, f_inode, i_generation);
}

/* The number of the executable that the process runs; 0: none that a rule asks for. */
static __always_inline __u32 exe_of(struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct match_file file;
	__u32 *exe;

	if (!mm)
		return 0;
	file_read(&file, mm->exe_file);
	exe = bpf_map_lookup_elem(&match_files, &file);
	return exe ? *exe : 0;
}

static __always_inline void process_write(__u32 tgid, __u32 exe)
{
	if (exe)
		match_write(&match_processes, &tgid, &exe);
	else
		bpf_map_delete_elem(&match_processes, &tgid);
}

/* What /proc/PID/exe shows may be changed afterwards, by prctl(PR_SET_MM_EXE_FILE). */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(match_exec, struct task_struct *task)
{
	process_write(task->tgid, exe_of(task));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(match_fork, struct task_struct *parent, struct task_struct *child)
{
	struct match_state *state = by_id(&match_states, 0);
	__u32 tgid = parent->tgid;
	__u32 *exe;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	exe = bpf_map_lookup_elem(&match_processes, &tgid);
	if (exe)
		process_write(child->tgid, *exe);
	else /* the parent may not have been met yet, and the child's turn be past */
		process_write(child->tgid,
			      state && state->is_learning ? exe_of(child) : 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(match_exit, struct task_struct *task)
{
	__u32 tgid = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&match_processes, &tgid);
	return 0;
}

/*
 * Processes that run already. One that is known stays as it is known: its file may have
 * been replaced on disk since. It may exec or exit meanwhile: read again what was
 * written.
 */
SEC("iter/task")
int match_running(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u32 tgid, exe, written;

	if (!task)
		return 0;
	tgid = task->tgid;
	written = exe_of(task);
	if (!written || bpf_map_lookup_elem(&match_processes, &tgid))
		return 0;
	for (int i = 0; i < MATCH_READS; i++) {
		process_write(tgid, written);
		exe = task->signal->live.counter ? exe_of(task) : 0;
		if (exe == written)
			return 0;
		written = exe;
	}
	return 0;
}

/* Which file is open as the descriptor that user space asks about? */
SEC("tc")
int match_file_ask(struct __sk_buff *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct match_state *state = by_id(&match_states, 0);
	struct file **files = BPF_CORE_READ(task, files, fdt, fd), *file = NULL;

	if (!state)
		return 0;
	__builtin_memset(&state->file, 0, sizeof(state->file));
	if (!bpf_probe_read_kernel(&file, sizeof(file), files + state->asked_fd) &&
	    file)
		file_read(&state->file, file);
	return 0;
}

#endif /* ALLOC_MATCH_TRACK_BPF_H */
