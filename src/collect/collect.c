/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "collect/collect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "collect/collect.skel.h"
#include "model/session.h"

#define RING_BYTES_DEFAULT (16U << 20)
#define LIBBPF_SAID_MAX	   256

_Static_assert((int)EVENT_END_FIN == END_FIN && (int)EVENT_END_RESET == END_RESET &&
		       (int)EVENT_END_REFUSED == END_REFUSED &&
		       (int)EVENT_END_UNREACHABLE == END_UNREACHABLE &&
		       (int)EVENT_END_TIMEOUT == END_TIMEOUT,
	       "event ABI");

/* The hooks of one cgroup. */
struct cgroup_hooks {
	struct cgroup_hooks *next;
	uint64_t cgroup_id;
	struct bpf_link *connect4;
	struct bpf_link *connect6;
	struct bpf_link *release;
};

struct collect {
	struct collect_bpf *skel;
	struct ring_buffer *ring;
	struct cgroup_hooks *hooks;
	collect_event_fn *event;
	void *arg;
};

DEFINE_CLEANUP(struct collect, collect_close)

/* libbpf's callback has no argument: what it said last, for the fault of this thread.
 */
static _Thread_local char libbpf_said[LIBBPF_SAID_MAX];

static int libbpf_listen(enum libbpf_print_level level, const char *format,
			 va_list args)
{
	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(libbpf_said, sizeof(libbpf_said), format, args);
	libbpf_said[strcspn(libbpf_said, "\n")] = '\0';
	return 0;
}

static int load_failed(int err, struct fault *fault)
{
	if (err == -EPERM || err == -EACCES)
		return fault_set(
			fault, -EPERM,
			"cannot load the BPF programs that see sessions: %s "
			"(this takes root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN)",
			strerror(-err));
	return fault_set(
		fault, -ENOTSUP,
		"this kernel does not load the BPF programs that see sessions: %s%s%s",
		strerror(-err), libbpf_said[0] ? ": " : "", libbpf_said);
}

/*
 * sock_send_length and sock_recv_length came with Linux 6.3. Without them nobody counts
 * the bytes of UDP, and the programs for it stay out.
 */
static bool kernel_tells_lengths(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool is_told;

	is_told = btf &&
		  btf__find_by_name_kind(btf, "btf_trace_sock_send_length",
					 BTF_KIND_TYPEDEF) > 0 &&
		  btf__find_by_name_kind(btf, "btf_trace_sock_recv_length",
					 BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
	return is_told;
}

static int skel_load(struct collect *collect, const struct collect_options *options)
{
	uint32_t ring_bytes =
		options->ring_bytes ? options->ring_bytes : RING_BYTES_DEFAULT;
	struct collect_bpf *skel = collect->skel;
	int err;

	skel->rodata->managed_only = options->managed_only;
	skel->rodata->ring_bytes = ring_bytes;
	skel->rodata->udp_is_counted = kernel_tells_lengths();
	bpf_program__set_autoload(skel->progs.on_send, skel->rodata->udp_is_counted);
	bpf_program__set_autoload(skel->progs.on_receive, skel->rodata->udp_is_counted);
	err = bpf_map__set_max_entries(skel->maps.ring, ring_bytes);
	if (err)
		return err;
	if (options->verdict_map_fd >= 0) {
		err = bpf_map__reuse_fd(skel->maps.verdicts, options->verdict_map_fd);
		if (err)
			return err;
	}
	err = collect_bpf__load(skel);
	return err ? err : collect_bpf__attach(skel);
}

static int ring_event(void *arg, void *event, size_t size)
{
	struct collect *collect = arg;

	(void)size;
	collect->event(event, collect->arg);
	return 0;
}

int collect_open(const struct collect_options *options, collect_event_fn *event,
		 void *arg, struct collect **ret, struct fault *fault)
{
	CLEANUP(collect_close_ptr) struct collect *collect = NULL;
	libbpf_print_fn_t print_before;
	int err;

	collect = calloc(1, sizeof(*collect));
	if (!collect)
		return -ENOMEM;
	collect->event = event;
	collect->arg = arg;

	libbpf_said[0] = '\0';
	print_before = libbpf_set_print(libbpf_listen);
	collect->skel = collect_bpf__open();
	err = collect->skel ? skel_load(collect, options) : -errno;
	libbpf_set_print(print_before);
	if (err)
		return load_failed(err, fault);

	collect->ring = ring_buffer__new(bpf_map__fd(collect->skel->maps.ring),
					 ring_event, collect, NULL);
	if (!collect->ring)
		return fault_set(fault, -errno, "cannot map the event ring: %s",
				 strerror(errno));
	*ret = TAKE(collect);
	return 0;
}

static void hooks_free(struct cgroup_hooks *hooks)
{
	if (!hooks)
		return;
	bpf_link__destroy(hooks->connect4);
	bpf_link__destroy(hooks->connect6);
	bpf_link__destroy(hooks->release);
	free(hooks);
}

DEFINE_CLEANUP(struct cgroup_hooks, hooks_free)

void collect_close(struct collect *collect)
{
	struct cgroup_hooks *next;

	if (!collect)
		return;
	for (struct cgroup_hooks *hooks = collect->hooks; hooks; hooks = next) {
		next = hooks->next;
		hooks_free(hooks);
	}
	ring_buffer__free(collect->ring);
	collect_bpf__destroy(collect->skel);
	free(collect);
}

int collect_attach_cgroup(struct collect *collect, int cgroup_fd, uint64_t cgroup_id,
			  struct fault *fault)
{
	CLEANUP(hooks_free_ptr) struct cgroup_hooks *hooks = NULL;
	libbpf_print_fn_t print_before;
	int err;

	hooks = calloc(1, sizeof(*hooks));
	if (!hooks)
		return -ENOMEM;
	hooks->cgroup_id = cgroup_id;
	print_before = libbpf_set_print(libbpf_listen);
	hooks->connect4 =
		bpf_program__attach_cgroup(collect->skel->progs.on_connect4, cgroup_fd);
	hooks->connect6 =
		bpf_program__attach_cgroup(collect->skel->progs.on_connect6, cgroup_fd);
	hooks->release =
		bpf_program__attach_cgroup(collect->skel->progs.on_release, cgroup_fd);
	err = -errno;
	libbpf_set_print(print_before);
	if (!hooks->connect4 || !hooks->connect6 || !hooks->release)
		return fault_set(fault, err,
				 "cannot attach the UDP hooks to the cgroup: %s",
				 strerror(-err));
	hooks->next = collect->hooks;
	collect->hooks = TAKE(hooks);
	return 0;
}

void collect_detach_cgroup(struct collect *collect, uint64_t cgroup_id)
{
	struct cgroup_hooks **oldest = NULL;
	struct cgroup_hooks *found;

	for (struct cgroup_hooks **at = &collect->hooks; *at; at = &(*at)->next)
		if ((*at)->cgroup_id == cgroup_id)
			oldest = at;
	if (!oldest)
		return;
	found = *oldest;
	*oldest = found->next;
	hooks_free(found);
}

static uint32_t program_id(const struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);

	bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size);
	return info.id;
}

void collect_connect_programs(const struct collect *collect, uint32_t ret[2])
{
	ret[0] = program_id(collect->skel->progs.on_connect4);
	ret[1] = program_id(collect->skel->progs.on_connect6);
}

int collect_fd(const struct collect *collect)
{
	return ring_buffer__epoll_fd(collect->ring);
}

int collect_poll(struct collect *collect)
{
	int count;

	/* Cleared first: what fills the ring while it is emptied wakes again. */
	collect->skel->bss->is_woken = 0;
	count = ring_buffer__consume(collect->ring);
	return count > 0 ? count : 0;
}

/* How often the kernel skipped a program; 0 where it does not count. */
static uint64_t skipped(const struct bpf_program *program)
{
	struct bpf_prog_info about = {};
	uint32_t size = sizeof(about);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &about, &size))
		return 0;
	return about.recursion_misses;
}

/* on_send and on_receive are left out: they count bytes, and tell no event. */
void collect_lost(const struct collect *collect, struct collect_lost *ret)
{
	const struct collect_bpf *skel = collect->skel;

	ret->ring_full = __atomic_load_n(&skel->bss->lost_count, __ATOMIC_RELAXED);
	ret->skipped = skipped(skel->progs.on_set_state) +
		       skipped(skel->progs.on_fork) + skipped(skel->progs.on_exec) +
		       skipped(skel->progs.on_exit);
}

static uint64_t map_bytes(int fd)
{
	unsigned long long bytes = 0;
	char path[64], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	if (file)
		fclose(file);
	return bytes;
}

/* The map of verdicts is the allocator's. */
uint64_t collect_memory(const struct collect *collect)
{
	uint64_t sum = 0;
	struct bpf_map *map;

	bpf_object__for_each_map(map, collect->skel->obj)
	{
		if (map != collect->skel->maps.verdicts)
			sum += map_bytes(bpf_map__fd(map));
	}
	return sum;
}
