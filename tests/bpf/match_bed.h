/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * match_bed.h - what the tests of rules share: a cgroup whose connect() and bind() are
 * judged by match.bpf.c, rules, and actors.
 */
#ifndef TESTS_BPF_MATCH_BED_H
#define TESTS_BPF_MATCH_BED_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "alloc/alloc_match_abi.h"
#include "alloc/alloc_private.h"
#include "base/cleanup.h"
#include "kernel/netns.h"

#include "cgroup2.h"
#include "match_actor.h"
#include "match_seen.h"

#define SKIP_STATUS 77
#define NONE	    0 /* as a rule's number + 1 */
#define ANYWHERE    "c 192.0.2.1 80"

struct bed {
	char root[PATH_MAX]; /* of cgroup2 */
	char name[64];	     /* "/srcport-test-match-N" */
	char folder[64];     /* for copies of this program */
	char self[PATH_MAX];
	bool has_own_mounts; /* what is mounted here is not seen elsewhere */
	struct alloc *alloc;
	struct bpf_object *hooks; /* match.bpf.c */
	struct bpf_link *links[3];
};

static struct bed bed;

/* ---- the bed ---- */

/* The path of a cgroup of ours, "" or "/a/b", below the mount. */
static inline const char *cgroup_path(const char *cgroup, const char *file)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s%s%s%s", bed.root, bed.name, cgroup, file);
	return path;
}

static inline void cgroup_make(const char *cgroup)
{
	assert_int_equal(mkdir(cgroup_path(cgroup, ""), 0755), 0);
}

/* Processes that end leave a moment later. */
static inline void cgroup_remove(const char *cgroup)
{
	for (int i = 0; i < 2000; i++) {
		if (!rmdir(cgroup_path(cgroup, "")))
			return;
		assert_int_equal(errno, EBUSY);
		usleep(1000);
	}
	fail();
}

static inline int remove_one(const char *path, const struct stat *is, int type,
			     struct FTW *where)
{
	(void)is;
	(void)where;
	if (type == FTW_DP)
		rmdir(path);
	else if (strncmp(path, bed.folder, strlen(bed.folder)) == 0)
		unlink(path);
	return 0;
}

static inline int attach_hooks(void)
{
	CLEANUP_CLOSE int fd = open(cgroup_path("", ""), O_RDONLY | O_CLOEXEC);
	struct bpf_program *program;
	int i = 0;

	bpf_object__for_each_program(program, bed.hooks)
	{
		bed.links[i] = bpf_program__attach_cgroup(program, fd);
		if (!bed.links[i++])
			return -errno;
	}
	return 0;
}

/* The hooks, which use the tables of the allocator's object. */
static inline int bed_load(struct bpf_object *alloc_object, const void *elf,
			   size_t size)
{
	struct bpf_map *map;
	int err;

	bed.hooks = bpf_object__open_mem(elf, size, NULL);
	if (!bed.hooks)
		return -errno;
	bpf_object__for_each_map(map, bed.hooks)
	{
		struct bpf_map *shared =
			bpf_object__find_map_by_name(alloc_object, bpf_map__name(map));

		if (!shared || bpf_map__is_internal(map))
			continue;
		err = bpf_map__reuse_fd(map, bpf_map__fd(shared));
		if (err)
			return err;
	}
	err = bpf_object__load(bed.hooks);
	if (!err)
		err = attach_hooks();
	if (err)
		printf("not ok 1 - load match.bpf.c: %s\n", strerror(-err));
	return err;
}

static inline int bed_make(void)
{
	ssize_t length = readlink("/proc/self/exe", bed.self, sizeof(bed.self) - 1);

	if (length < 0 || find_cgroup2(bed.root, sizeof(bed.root)))
		return -ENOENT;
	snprintf(bed.name, sizeof(bed.name), "/srcport-test-match-%d", getpid());
	snprintf(bed.folder, sizeof(bed.folder), "/tmp/srcport-test-match-%d",
		 getpid());
	/* Own mounts: namespaces are named in /run/netns. */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS))
		return -errno;
	bed.has_own_mounts = !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	if (mkdir(bed.folder, 0755) || mkdir(cgroup_path("", ""), 0755))
		return -errno;
	return 0;
}

/* A test that failed may have left actors. */
static inline void cgroups_clear(void)
{
	actor_write(cgroup_path("", "/cgroup.kill"), "1");
	for (int i = 0; i < 2000 && !access(cgroup_path("", ""), F_OK); i++) {
		nftw(cgroup_path("", ""), remove_one, 16, FTW_DEPTH | FTW_PHYS);
		usleep(1000);
	}
}

static inline void bed_remove(void)
{
	for (int i = 0; i < 3; i++)
		bpf_link__destroy(bed.links[i]);
	bpf_object__close(bed.hooks);
	alloc_close(bed.alloc);
	cgroups_clear();
	nftw(bed.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- rules ---- */

static inline struct rule rule_cgroup(const char *cgroup)
{
	struct rule rule = {.conditions = RULE_CGROUP};

	snprintf(rule.cgroup, sizeof(rule.cgroup), "%s%s", bed.name, cgroup);
	return rule;
}

static inline struct rule rule_unit(const char *unit)
{
	struct rule rule = {.conditions = RULE_UNIT};

	snprintf(rule.unit, sizeof(rule.unit), "%s", unit);
	return rule;
}

static inline struct rule rule_uid(uint32_t uid)
{
	return (struct rule){.conditions = RULE_UID, .uid = uid};
}

static inline struct rule rule_exe(const char *path)
{
	struct rule rule = {.conditions = RULE_EXE};

	snprintf(rule.exe, sizeof(rule.exe), "%s", path);
	return rule;
}

static inline struct rule rule_netns(const char *name)
{
	struct rule rule = {.conditions = RULE_NETNS};

	snprintf(rule.netns, sizeof(rule.netns), "%s", name);
	return rule;
}

static inline struct rule rule_to(const char *prefix, uint16_t first, uint16_t last)
{
	struct rule rule = {
		.conditions = RULE_DESTINATION, .port_first = first, .port_last = last};

	assert_int_equal(
		address_parse_prefix(prefix, &rule.destination, &rule.prefix_bits), 0);
	return rule;
}

static inline void set_to_pools(const struct rule *rules, const uint32_t *pools,
				size_t count)
{
	struct fault fault = {0};
	int err = alloc_set_rules(bed.alloc, rules, pools, count, bed.root, &fault);

	if (err)
		fail_msg("%s", fault.text);
}

static inline void set(const struct rule *rules, size_t count)
{
	uint32_t pools[POLICY_RULES_MAX] = {0};

	set_to_pools(rules, pools, count);
}

#define SET(...)                                \
	set((const struct rule[]){__VA_ARGS__}, \
	    sizeof((const struct rule[]){__VA_ARGS__}) / sizeof(struct rule))

static inline int no_rules(void **state)
{
	(void)state;
	set(NULL, 0);
	return 0;
}

/* ---- actors ---- */

static inline struct actor start_of(const char *exe, const char *cgroup)
{
	char procs[2 * PATH_MAX];

	snprintf(procs, sizeof(procs), "%s", cgroup_path(cgroup, "/cgroup.procs"));
	return actor_start(exe, procs);
}

static inline struct actor start(const char *cgroup)
{
	return start_of(bed.self, cgroup);
}

static inline pid_t tell(struct actor *actor, const char *format, ...)
{
	char command[2 * PATH_MAX];
	va_list args;
	int answer;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	answer = actor_tell(actor, command);
	if (answer <= 0)
		fail_msg("%s: %s", command, strerror(-answer));
	return answer;
}

static inline struct match_seen seen_by(pid_t pid)
{
	struct match_seen seen = {0};
	uint32_t tgid = pid;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(bed.hooks, "seen"),
				    &tgid, &seen),
		0);
	assert_int_equal(
		bpf_map_delete_elem(bpf_object__find_map_fd_by_name(bed.hooks, "seen"),
				    &tgid),
		0);
	return seen;
}

/* The rule that the command met; alloc_fit() is to say the same where it is asked. */
static inline unsigned int met(struct actor *actor, const char *command)
{
	return seen_by(tell(actor, "%s", command)).rule;
}

static inline unsigned int met_anywhere(struct actor *actor)
{
	struct alloc_subject subject = {.protocol = IPPROTO_UDP, .port = 80};
	unsigned int rule;
	pid_t pid = tell(actor, ANYWHERE);
	char path[64];
	CLEANUP_CLOSE int netns = -1;

	rule = seen_by(pid).rule;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(netns_cookie(netns, &subject.netns), 0);
	assert_int_equal(address_parse("192.0.2.1", &subject.destination), 0);
	subject.pid = pid;
	assert_int_equal(alloc_fit(bed.alloc, &subject), (int)rule - 1);
	return rule;
}

static inline unsigned int met_once(const char *cgroup)
{
	struct actor actor = start(cgroup);
	unsigned int rule = met_anywhere(&actor);

	actor_end(&actor);
	return rule;
}

static inline void copy_self(const char *to)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command), "cp %s %s", bed.self, to);
	assert_int_equal(system(command), 0);
}

static inline const char *in_folder(const char *name)
{
	static char paths[4][RULE_TEXT_MAX];
	static int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, RULE_TEXT_MAX, "%s/%s", bed.folder, name);
	return path;
}

#define TEST(name) cmocka_unit_test_teardown(name, no_rules)

/* Started again as an actor, be one. */
static inline int bed_begin(int argc, char **argv)
{
	struct fault fault = {0};
	int err;

	if (argc > 1 && strcmp(argv[1], "actor") == 0)
		_exit(actor_main());
	err = bed_make();
	if (!err)
		err = alloc_open(&bed.alloc, &fault);
	if (err)
		printf("1..0 # SKIP needs root, a cgroup2 mount and network "
		       "namespaces: %s %s\n",
		       strerror(-err), fault.text);
	return err;
}

#endif /* TESTS_BPF_MATCH_BED_H */
