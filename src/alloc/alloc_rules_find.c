/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The cgroups, executables, processes and namespaces that rules name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "alloc/alloc_rules_private.h"
#include "base/cleanup.h"
#include "kernel/netns.h"

#include "alloc/alloc.skel.h"

bool rules_ask(const struct alloc_rules *rules, unsigned int conditions)
{
	for (int generation = 0; generation < 2; generation++)
		for (size_t i = 0; i < rules->sets[generation].count; i++)
			if (rules->sets[generation].rules[i].conditions & conditions)
				return true;
	return false;
}

/* ---- network namespaces ---- */

static uint64_t find_netns(const char *name)
{
	char path[RULE_TEXT_MAX + sizeof("/run/netns/")];
	CLEANUP_CLOSE int fd = -1;
	bool is_host = strcmp(name, "host") == 0;
	uint64_t cookie;

	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" : "/run/netns/",
		 name);
	if (!is_host)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if ((!is_host && fd < 0) || netns_cookie(fd, &cookie))
		return 0;
	return cookie;
}

void rules_find_netns(struct rule_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->rules[i].conditions & RULE_NETNS)
			set->netns[i] = find_netns(set->rules[i].netns);
}

/* ---- tracking ---- */

/* A table that has 4 or 8 bytes as its key. */
static void empty(const struct bpf_map *map)
{
	uint64_t key;

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, &key))
		bpf_map_delete_elem(bpf_map__fd(map), &key);
}

static void detach_all(struct bpf_link **links, int count)
{
	for (int i = 0; i < count; i++) {
		bpf_link__destroy(links[i]);
		links[i] = NULL;
	}
}

/* Attach all that are not yet. */
static int attach_all(struct bpf_program *const *programs, struct bpf_link **links,
		      int count, struct fault *fault)
{
	for (int i = 0; i < count; i++) {
		if (links[i])
			continue;
		links[i] = bpf_program__attach(programs[i]);
		if (!links[i])
			return fault_set(fault, -errno, "cannot attach %s: %s",
					 bpf_program__name(programs[i]),
					 strerror(errno));
	}
	return 0;
}

int rules_track(struct alloc *alloc, struct fault *fault)
{
	struct bpf_program *const cgroups[] = {alloc->bpf->progs.match_cgroup_mkdir,
					       alloc->bpf->progs.match_cgroup_rmdir};
	/* Exits first: no process may enter the table and stay. */
	struct bpf_program *const processes[] = {alloc->bpf->progs.match_exit,
						 alloc->bpf->progs.match_fork,
						 alloc->bpf->progs.match_exec};
	struct alloc_rules *rules = alloc->rules;
	int err = 0;

	/* What ran when it was detached may have written once more. */
	if (!rules->cgroup_links[0])
		empty(alloc->bpf->maps.match_cgroups);
	if (!rules->process_links[0])
		empty(alloc->bpf->maps.match_processes);
	if (rules_ask(rules, RULE_CGROUP | RULE_UNIT))
		err = attach_all(cgroups, rules->cgroup_links, 2, fault);
	if (!err && rules_ask(rules, RULE_EXE))
		err = attach_all(processes, rules->process_links, 3, fault);
	return err;
}

void rules_untrack(struct alloc *alloc)
{
	struct alloc_rules *rules = alloc->rules;

	if (!rules_ask(rules, RULE_CGROUP | RULE_UNIT)) {
		detach_all(rules->cgroup_links, 2);
		empty(alloc->bpf->maps.match_cgroups);
	}
	if (!rules_ask(rules, RULE_EXE)) {
		detach_all(rules->process_links, 3);
		empty(alloc->bpf->maps.match_processes);
		memset(rules->executables, 0, sizeof(rules->executables));
	}
}

/* ---- cgroups ---- */

/* "/a/b" is, or lies below, "/a". */
static bool path_is_below(const char *path, const char *top)
{
	size_t length = strlen(top);

	while (length && top[length - 1] == '/')
		length--;
	return strncmp(path, top, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

static bool path_has_part(const char *path, const char *part)
{
	size_t length = strlen(part);

	while ((path = strchr(path, '/'))) {
		path++;
		if (strncmp(path, part, length) == 0 &&
		    (path[length] == '/' || path[length] == '\0'))
			return true;
	}
	return false;
}

void rules_of_path(const struct rule_set *set, const char *path, uint64_t *ret_path,
		   uint64_t *ret_unit)
{
	uint64_t by_path = 0, by_unit = 0;

	for (size_t i = 0; i < set->count; i++) {
		const struct rule *rule = &set->rules[i];

		if ((rule->conditions & RULE_CGROUP) &&
		    path_is_below(path, rule->cgroup))
			by_path |= 1ULL << i;
		if ((rule->conditions & RULE_UNIT) && path_has_part(path, rule->unit))
			by_unit |= 1ULL << i;
	}
	*ret_path = by_path;
	*ret_unit = by_unit;
}

static int cgroup_write(struct alloc *alloc, uint64_t number, const char *path)
{
	int fd = bpf_map__fd(alloc->bpf->maps.match_cgroups);
	struct match_cgroup cgroup;

	for (int i = 0; i < 2; i++) {
		uint64_t by_path, by_unit;

		rules_of_path(&alloc->rules->sets[i], path, &by_path, &by_unit);
		cgroup.path.of[i] = by_path;
		cgroup.unit.of[i] = by_unit;
	}
	if (!(cgroup.path.of[0] | cgroup.path.of[1] | cgroup.unit.of[0] |
	      cgroup.unit.of[1])) {
		bpf_map_delete_elem(fd, &number);
		return 0;
	}
	if (!bpf_map_update_elem(fd, &number, &cgroup, BPF_ANY))
		return 0;
	if (errno != E2BIG)
		return -errno;
	__atomic_fetch_add(&alloc->rules->state->missed, 1, __ATOMIC_RELAXED);
	return 0;
}

static void dir_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/*
 * From the root down, each cgroup before its children: one made meanwhile is either
 * met here, or was made below one that had been written.
 */
static int cgroups_write(struct alloc *alloc, int fd, char *path, size_t length)
{
	CLEANUP(dir_close) DIR *dir = fdopendir(fd);
	struct dirent *entry;
	struct stat is, still;
	int err;

	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	if (fstat(dirfd(dir), &is))
		return -errno;
	err = cgroup_write(alloc, is.st_ino, length ? path : "/");
	/* One that was removed before it was written would stay in the table. */
	if (length && (fstatat(alloc->rules->root_fd, path + 1, &still, 0) ||
		       still.st_ino != is.st_ino)) {
		bpf_map_delete_elem(bpf_map__fd(alloc->bpf->maps.match_cgroups),
				    &is.st_ino);
		return 0;
	}
	while (!err && (entry = readdir(dir))) {
		int below, added;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		added = snprintf(path + length, PATH_MAX - length, "/%s",
				 entry->d_name);
		if (length + added >= PATH_MAX)
			return -ENAMETOOLONG;
		below = openat(dirfd(dir), entry->d_name,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (below >= 0)
			err = cgroups_write(alloc, below, path, length + added);
		else if (errno != ENOENT)
			err = -errno;
		path[length] = '\0';
	}
	return err;
}

int rules_write_cgroups(struct alloc *alloc, struct fault *fault)
{
	struct alloc_rules *rules = alloc->rules;
	char path[PATH_MAX] = "";
	int err, fd;

	if (!rules_ask(rules, RULE_CGROUP | RULE_UNIT))
		return 0;
	fd = open(rules->cgroup_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = fd < 0 ? -errno : 0;
	if (!err) {
		rules->root_fd = fd;
		err = cgroups_write(alloc, fd, path, 0);
	}
	if (err)
		return fault_set(fault, err, "cannot read the cgroups below %s: %s",
				 rules->cgroup_root, strerror(-err));
	return 0;
}

/* ---- executables ---- */

/* Which file the path leads to, as the kernel will see it at exec. */
static int file_find(struct alloc *alloc, const char *path, struct match_file *ret)
{
	CLEANUP_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct match_state *state = alloc->rules->state;
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet,
		    .data_size_in = sizeof(packet));
	struct stat is;

	/* Asked of the kernel: stat(2) has other numbers on btrfs and overlayfs. */
	if (fd < 0 || fstat(fd, &is))
		return -errno;
	if (!S_ISREG(is.st_mode))
		return -ENOEXEC;
	state->asked_fd = fd;
	if (bpf_prog_test_run_opts(bpf_program__fd(alloc->bpf->progs.match_file_ask),
				   &options))
		return -errno;
	if (!state->file.inode)
		return -ENOENT;
	*ret = state->file;
	return 0;
}

/* Forget the executables that neither a path leads to nor a process runs. */
static void reap(struct alloc *alloc)
{
	int fd = bpf_map__fd(alloc->bpf->maps.match_processes);
	struct alloc_rules *rules = alloc->rules;
	uint32_t tgid, exe, *last = NULL;
	bool runs[MATCH_EXES] = {false};

	while (!bpf_map_get_next_key(fd, last, &tgid)) {
		if (!bpf_map_lookup_elem(fd, &tgid, &exe) && exe < MATCH_EXES)
			runs[exe] = true;
		last = &tgid;
	}
	for (int i = 1; i < MATCH_EXES; i++) {
		struct executable *executable = &rules->executables[i];

		if (!executable->is_used || executable->is_listed || runs[i])
			continue;
		executable->is_used = false;
		memset(&rules->state->exes[i], 0, sizeof(rules->state->exes[i]));
	}
}

static uint32_t executable_new(struct alloc_rules *rules, const struct match_file *file)
{
	for (uint32_t i = 1; i < MATCH_EXES; i++) {
		if (rules->executables[i].is_used)
			continue;
		rules->executables[i] =
			(struct executable){.file = *file, .is_used = true};
		return i;
	}
	return 0;
}

/* The number of the file; 0: there is no room for it. */
static uint32_t executable_of(struct alloc *alloc, const struct match_file *file)
{
	struct alloc_rules *rules = alloc->rules;
	uint32_t number;

	for (uint32_t i = 1; i < MATCH_EXES; i++)
		if (rules->executables[i].is_used &&
		    memcmp(&rules->executables[i].file, file, sizeof(*file)) == 0)
			return i;
	number = executable_new(rules, file);
	if (!number) {
		reap(alloc);
		number = executable_new(rules, file);
	}
	if (!number)
		__atomic_fetch_add(&rules->state->missed, 1, __ATOMIC_RELAXED);
	return number;
}

/* Processes that were started from a file that has gone from its path keep its rules.
 */
static void exes_inherit(struct alloc_rules *rules, unsigned int generation)
{
	const struct rule_set *before = &rules->sets[!generation];
	const struct rule_set *set = &rules->sets[generation];

	for (size_t i = 0; i < set->count; i++)
		for (size_t j = 0; j < before->count; j++) {
			if (!(set->rules[i].conditions & RULE_EXE) ||
			    !(before->rules[j].conditions & RULE_EXE) ||
			    strcmp(set->rules[i].exe, before->rules[j].exe))
				continue;
			for (int exe = 1; exe < MATCH_EXES; exe++)
				rules->state->exes[exe].of[generation] |=
					(rules->state->exes[exe].of[!generation] >> j &
					 1)
					<< i;
		}
}

/* Look through the processes there are for those of listed executables. */
static int exes_learn(struct alloc *alloc)
{
	struct match_state *state = alloc->rules->state;
	struct bpf_link *link;
	CLEANUP_CLOSE int fd = -1;
	char nothing[64];
	ssize_t length;

	link = bpf_program__attach_iter(alloc->bpf->progs.match_running, NULL);
	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	bpf_link__destroy(link);
	if (fd < 0)
		return fd;
	__atomic_store_n(&state->is_learning, 1, __ATOMIC_SEQ_CST);
	rules_wait_for_hooks();
	do
		length = read(fd, nothing, sizeof(nothing));
	while (length > 0 || (length < 0 && (errno == EAGAIN || errno == EINTR)));
	length = length < 0 ? -errno : 0;
	__atomic_store_n(&state->is_learning, 0, __ATOMIC_SEQ_CST);
	return length;
}

int rules_find_exes(struct alloc *alloc, unsigned int generation)
{
	int fd = bpf_map__fd(alloc->bpf->maps.match_files);
	struct alloc_rules *rules = alloc->rules;
	struct rule_set *set = &rules->sets[generation];
	bool is_new = false;

	exes_inherit(rules, generation);
	for (size_t i = 0; i < set->count; i++) {
		struct match_file file;
		uint32_t exe;

		if (!(set->rules[i].conditions & RULE_EXE))
			continue;
		set->exes[i] = 0;
		if (file_find(alloc, set->rules[i].exe, &file))
			continue;
		set->exes[i] = exe = executable_of(alloc, &file);
		if (!exe)
			continue;
		rules->state->exes[exe].of[generation] |= 1ULL << i;
		if (rules->executables[exe].is_listed)
			continue;
		if (bpf_map_update_elem(fd, &file, &exe, BPF_ANY))
			return -errno;
		rules->executables[exe].is_listed = true;
		is_new = true;
	}
	return is_new ? exes_learn(alloc) : 0;
}

static bool is_named(const struct alloc_rules *rules, uint32_t exe)
{
	for (int generation = 0; generation < 2; generation++)
		for (size_t i = 0; i < rules->sets[generation].count; i++)
			if (rules->sets[generation].exes[i] == exe)
				return true;
	return false;
}

void rules_unlist_exes(struct alloc *alloc)
{
	int fd = bpf_map__fd(alloc->bpf->maps.match_files);
	struct alloc_rules *rules = alloc->rules;

	for (uint32_t i = 1; i < MATCH_EXES; i++) {
		struct executable *executable = &rules->executables[i];

		if (!executable->is_listed || is_named(rules, i))
			continue;
		bpf_map_delete_elem(fd, &executable->file);
		executable->is_listed = false;
	}
}
