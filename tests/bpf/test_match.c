/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which rule a process fits, judged in connect() and bind() of processes that were made
 * to fit one or not: each in its own cgroup, of its own executable.
 */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

#include "match_actor.h"
#include "match_seen.h"

#include "alloc/alloc.skel.h"
#include "tests/bpf/match.skel.h"

#define SKIP_STATUS 77
#define NONE	    0 /* as a rule's number + 1 */
#define ANYWHERE    "c 192.0.2.1 80"

struct bed {
	char root[PATH_MAX]; /* of cgroup2 */
	char name[64];	     /* "/srcport-test-match-N" */
	char folder[64];     /* for copies of this program */
	char self[PATH_MAX];
	struct alloc *alloc;
	struct match_bpf *hooks;
	struct bpf_link *links[3];
};

static struct bed bed;

/* ---- the bed ---- */

static int find_cgroup2(char *ret, size_t size)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[PATH_MAX * 2], where[PATH_MAX], type[64];
	int found = -ENOENT;

	while (mounts && found && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %4095s %63s", where, type) == 2 &&
		    strcmp(type, "cgroup2") == 0) {
			snprintf(ret, size, "%s", where);
			found = 0;
		}
	if (mounts)
		fclose(mounts);
	return found;
}

/* The path of a cgroup of ours, "" or "/a/b", below the mount. */
static const char *cgroup_path(const char *cgroup, const char *file)
{
	static char path[2 * PATH_MAX];

	snprintf(path, sizeof(path), "%s%s%s%s", bed.root, bed.name, cgroup, file);
	return path;
}

static void cgroup_make(const char *cgroup)
{
	assert_int_equal(mkdir(cgroup_path(cgroup, ""), 0755), 0);
}

/* Processes that end leave a moment later. */
static void cgroup_remove(const char *cgroup)
{
	for (int i = 0; i < 2000; i++) {
		if (!rmdir(cgroup_path(cgroup, "")))
			return;
		assert_int_equal(errno, EBUSY);
		usleep(1000);
	}
	fail();
}

static int remove_one(const char *path, const struct stat *is, int type,
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

static int attach_hooks(void)
{
	CLEANUP_CLOSE int fd = open(cgroup_path("", ""), O_RDONLY | O_CLOEXEC);
	struct bpf_program *const programs[] = {bed.hooks->progs.match_connect4,
						bed.hooks->progs.match_connect6,
						bed.hooks->progs.match_bind4};

	for (int i = 0; i < 3; i++) {
		bed.links[i] = bpf_program__attach_cgroup(programs[i], fd);
		if (!bed.links[i])
			return -errno;
	}
	return 0;
}

/* The hooks of match.bpf.c use the tables of the allocator. */
static int load_hooks(void)
{
	struct bpf_map *map;
	int err;

	bed.hooks = match_bpf__open();
	if (!bed.hooks)
		return -errno;
	bpf_object__for_each_map(map, bed.hooks->obj)
	{
		struct bpf_map *shared = bpf_object__find_map_by_name(
			bed.alloc->bpf->obj, bpf_map__name(map));

		if (!shared || bpf_map__is_internal(map))
			continue;
		err = bpf_map__reuse_fd(map, bpf_map__fd(shared));
		if (err)
			return err;
	}
	err = match_bpf__load(bed.hooks);
	return err ? err : attach_hooks();
}

static int bed_make(void)
{
	ssize_t length = readlink("/proc/self/exe", bed.self, sizeof(bed.self) - 1);

	if (length < 0 || find_cgroup2(bed.root, sizeof(bed.root)))
		return -ENOENT;
	snprintf(bed.name, sizeof(bed.name), "/srcport-test-match-%d", getpid());
	snprintf(bed.folder, sizeof(bed.folder), "/tmp/srcport-test-match-%d",
		 getpid());
	/* Own mounts: namespaces are named in /run/netns. */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mkdir(bed.folder, 0755) || mkdir(cgroup_path("", ""), 0755))
		return -errno;
	return 0;
}

static void bed_remove(void)
{
	for (int i = 0; i < 3; i++)
		bpf_link__destroy(bed.links[i]);
	match_bpf__destroy(bed.hooks);
	alloc_close(bed.alloc);
	nftw(cgroup_path("", ""), remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(bed.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- rules ---- */

static struct rule rule_cgroup(const char *cgroup)
{
	struct rule rule = {.conditions = RULE_CGROUP};

	snprintf(rule.cgroup, sizeof(rule.cgroup), "%s%s", bed.name, cgroup);
	return rule;
}

static struct rule rule_unit(const char *unit)
{
	struct rule rule = {.conditions = RULE_UNIT};

	snprintf(rule.unit, sizeof(rule.unit), "%s", unit);
	return rule;
}

static struct rule rule_uid(uint32_t uid)
{
	return (struct rule){.conditions = RULE_UID, .uid = uid};
}

static struct rule rule_exe(const char *path)
{
	struct rule rule = {.conditions = RULE_EXE};

	snprintf(rule.exe, sizeof(rule.exe), "%s", path);
	return rule;
}

static struct rule rule_netns(const char *name)
{
	struct rule rule = {.conditions = RULE_NETNS};

	snprintf(rule.netns, sizeof(rule.netns), "%s", name);
	return rule;
}

static struct rule rule_to(const char *prefix, uint16_t first, uint16_t last)
{
	struct rule rule = {
		.conditions = RULE_DESTINATION, .port_first = first, .port_last = last};

	assert_int_equal(
		address_parse_prefix(prefix, &rule.destination, &rule.prefix_bits), 0);
	return rule;
}

static void set_to_pools(const struct rule *rules, const uint32_t *pools, size_t count)
{
	struct fault fault = {0};
	int err = alloc_set_rules(bed.alloc, rules, pools, count, bed.root, &fault);

	if (err)
		fail_msg("%s", fault.text);
}

static void set(const struct rule *rules, size_t count)
{
	uint32_t pools[POLICY_RULES_MAX] = {0};

	set_to_pools(rules, pools, count);
}

#define SET(...)                                \
	set((const struct rule[]){__VA_ARGS__}, \
	    sizeof((const struct rule[]){__VA_ARGS__}) / sizeof(struct rule))

static int no_rules(void **state)
{
	(void)state;
	set(NULL, 0);
	return 0;
}

/* ---- actors ---- */

static struct actor start_of(const char *exe, const char *cgroup)
{
	char procs[2 * PATH_MAX];

	snprintf(procs, sizeof(procs), "%s", cgroup_path(cgroup, "/cgroup.procs"));
	return actor_start(exe, procs);
}

static struct actor start(const char *cgroup)
{
	return start_of(bed.self, cgroup);
}

static pid_t tell(struct actor *actor, const char *format, ...)
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

static struct match_seen seen_by(pid_t pid)
{
	struct match_seen seen = {0};
	uint32_t tgid = pid;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(bed.hooks->maps.seen), &tgid, &seen),
		0);
	assert_int_equal(bpf_map_delete_elem(bpf_map__fd(bed.hooks->maps.seen), &tgid),
			 0);
	return seen;
}

/* The rule that the command met; alloc_fit() is to say the same where it is asked. */
static unsigned int met(struct actor *actor, const char *command)
{
	return seen_by(tell(actor, "%s", command)).rule;
}

static unsigned int met_anywhere(struct actor *actor)
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

static unsigned int met_once(const char *cgroup)
{
	struct actor actor = start(cgroup);
	unsigned int rule = met_anywhere(&actor);

	actor_end(&actor);
	return rule;
}

static void copy_self(const char *to)
{
	char command[2 * PATH_MAX];

	snprintf(command, sizeof(command), "cp %s %s", bed.self, to);
	assert_int_equal(system(command), 0);
}

static const char *in_folder(const char *name)
{
	static char paths[4][RULE_TEXT_MAX];
	static int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, RULE_TEXT_MAX, "%s/%s", bed.folder, name);
	return path;
}

/* ---- users, protocols, destinations ---- */

static void without_rules_nothing_fits(void **state)
{
	(void)state;
	assert_int_equal(met_once(""), NONE);
}

static void a_rule_on_a_user_fits_the_effective_one(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_uid(4242), rule_uid(4243));
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "u 4242 0");
	assert_int_equal(met_anywhere(&actor), 1);
	tell(&actor, "u 0 4242");
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "u 4243 4242");
	assert_int_equal(met_anywhere(&actor), 2);
	actor_end(&actor);
}

static void a_rule_on_a_protocol_leaves_the_other_alone(void **state)
{
	struct rule tcp = {.conditions = RULE_PROTOCOL, .protocol = IPPROTO_TCP};
	struct rule udp = {.conditions = RULE_PROTOCOL, .protocol = IPPROTO_UDP};
	struct actor actor = start("");

	(void)state;
	SET(tcp);
	assert_int_equal(met(&actor, ANYWHERE), NONE);
	assert_int_equal(met(&actor, "t 192.0.2.1 80"), 1);
	SET(tcp, udp);
	assert_int_equal(met(&actor, ANYWHERE), 2);
	assert_int_equal(met(&actor, "t 192.0.2.1 80"), 1);
	actor_end(&actor);
}

static void the_first_rule_that_fits_decides(void **state)
{
	struct rule all = {.conditions = 0};
	struct actor actor = start("");

	(void)state;
	SET(rule_uid(1), all, rule_uid(0));
	assert_int_equal(met(&actor, ANYWHERE), 2);
	SET(rule_uid(0), all);
	assert_int_equal(met(&actor, ANYWHERE), 1);
	actor_end(&actor);
}

static void a_longer_prefix_does_not_hide_a_shorter_one(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.2.0/24", 443, 443), rule_to("10.1.0.0/16", 80, 90),
	    rule_to("10.0.0.0/8", 0, 65535), rule_to("10.1.2.0/24", 0, 65535));
	assert_int_equal(met(&actor, "c 10.1.2.3 443"), 1);
	assert_int_equal(met(&actor, "c 10.1.2.3 79"), 3);
	assert_int_equal(met(&actor, "c 10.1.2.3 80"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 90"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 91"), 3);
	assert_int_equal(met(&actor, "c 10.1.3.3 443"), 3);
	assert_int_equal(met(&actor, "c 10.9.9.9 85"), 3);
	assert_int_equal(met(&actor, "c 11.1.2.3 443"), NONE);
	assert_int_equal(met(&actor, "b 5000"), NONE);
	actor_end(&actor);
}

static void ipv4_is_the_same_from_a_socket_of_ipv6(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.0.0/16", 0, 65535), rule_to("2001:db8::/32", 0, 65535),
	    rule_to("2001:db8::7", 0, 65535), rule_to("0.0.0.0/0", 0, 65535),
	    rule_to("::/0", 53, 53));
	assert_int_equal(met(&actor, "c ::ffff:10.1.2.3 1"), 1);
	assert_int_equal(met(&actor, "c ::ffff:10.2.2.3 1"), 4);
	assert_int_equal(met(&actor, "c 2001:db8:1::1 1"), 2);
	assert_int_equal(met(&actor, "c 2001:db8::7 1"), 2);
	assert_int_equal(met(&actor, "c 2001:db9::7 1"), NONE);
	assert_int_equal(met(&actor, "c 2001:db9::7 53"), 5);
	SET(rule_to("2001:db8::7", 0, 65535), rule_to("2001:db8::/32", 0, 65535));
	assert_int_equal(met(&actor, "c 2001:db8::7 1"), 1);
	assert_int_equal(met(&actor, "c 2001:db8::8 1"), 2);
	assert_int_equal(met(&actor, "c 10.1.2.3 1"), NONE);
	actor_end(&actor);
}

static void bits_after_the_prefix_do_not_count(void **state)
{
	struct actor actor = start("");

	(void)state;
	SET(rule_to("10.1.2.3/8", 0, 65535));
	assert_int_equal(met(&actor, "c 10.200.0.1 1"), 1);
	SET(rule_to("10.0.0.0/8", 1, 1), rule_to("10.7.7.7/8", 2, 2));
	assert_int_equal(met(&actor, "c 10.200.0.1 1"), 1);
	assert_int_equal(met(&actor, "c 10.200.0.1 2"), 2);
	SET(rule_to("10.0.0.0/8", 0, 65535));
	assert_int_equal(met(&actor, "c 10.200.0.1 2"), 1);
	actor_end(&actor);
}

/* ---- cgroups ---- */

static void a_rule_on_a_cgroup_fits_it_and_all_below(void **state)
{
	(void)state;
	cgroup_make("/a");
	cgroup_make("/a/b");
	cgroup_make("/ab");
	SET(rule_cgroup("/a"));
	assert_int_equal(met_once("/a"), 1);
	assert_int_equal(met_once("/a/b"), 1);
	assert_int_equal(met_once("/ab"), NONE);
	assert_int_equal(met_once(""), NONE);
	cgroup_make("/a/b/c");
	assert_int_equal(met_once("/a/b/c"), 1);
	cgroup_make("/ab/a");
	assert_int_equal(met_once("/ab/a"), NONE);
	SET(rule_cgroup("/a/b/"), rule_cgroup(""));
	assert_int_equal(met_once("/a/b/c"), 1);
	assert_int_equal(met_once("/a"), 2);
	SET({.conditions = RULE_CGROUP, .cgroup = "/"});
	assert_int_equal(met_once("/a"), 1);
	cgroup_remove("/a/b/c");
	cgroup_remove("/a/b");
	cgroup_remove("/a");
	cgroup_remove("/ab/a");
	cgroup_remove("/ab");
}

static void a_cgroup_made_later_fits_at_once(void **state)
{
	(void)state;
	SET(rule_unit("x.service"), rule_cgroup("/s/deep"));
	cgroup_make("/s");
	cgroup_make("/s/x.service");
	assert_int_equal(met_once("/s/x.service"), 1);
	cgroup_make("/s/x.service/inner");
	assert_int_equal(met_once("/s/x.service/inner"), 1);
	cgroup_make("/s/xx.service");
	assert_int_equal(met_once("/s/xx.service"), NONE);
	assert_int_equal(met_once("/s"), NONE);
	cgroup_make("/s/deep");
	assert_int_equal(met_once("/s/deep"), 2);
	cgroup_make("/s/deep/x.service");
	assert_int_equal(met_once("/s/deep/x.service"), 1);
	cgroup_remove("/s/deep/x.service");
	cgroup_remove("/s/deep");
	cgroup_remove("/s/xx.service");
	cgroup_remove("/s/x.service/inner");
	cgroup_remove("/s/x.service");
	cgroup_remove("/s");
}

static void a_process_that_moves_is_judged_by_where_it_is(void **state)
{
	struct actor actor = start("");

	(void)state;
	cgroup_make("/a");
	SET(rule_cgroup("/a"));
	assert_int_equal(met(&actor, ANYWHERE), NONE);
	tell(&actor, "g %s", cgroup_path("/a", "/cgroup.procs"));
	assert_int_equal(met(&actor, ANYWHERE), 1);
	tell(&actor, "g %s", cgroup_path("", "/cgroup.procs"));
	assert_int_equal(met(&actor, ANYWHERE), NONE);
	actor_end(&actor);
	cgroup_remove("/a");
}

static void a_cgroup_in_place_of_a_removed_one_is_judged_anew(void **state)
{
	(void)state;
	SET(rule_unit("x.service"));
	for (int i = 0; i < 20; i++) {
		cgroup_make("/x.service");
		assert_int_equal(met_once("/x.service"), 1);
		cgroup_remove("/x.service");
		cgroup_make("/y.service");
		assert_int_equal(met_once("/y.service"), NONE);
		cgroup_remove("/y.service");
	}
}

static void all_conditions_of_a_rule_must_fit(void **state)
{
	struct rule both = rule_cgroup("/a"), user = rule_unit("x.service");

	(void)state;
	both.conditions |= RULE_UNIT;
	snprintf(both.unit, sizeof(both.unit), "x.service");
	user.conditions |= RULE_UID;
	user.uid = 77;
	cgroup_make("/a");
	cgroup_make("/x.service");
	SET(both, user);
	cgroup_make("/a/x.service");
	assert_int_equal(met_once("/a"), NONE);
	assert_int_equal(met_once("/x.service"), NONE);
	assert_int_equal(met_once("/a/x.service"), 1);
	cgroup_remove("/a/x.service");
	cgroup_remove("/x.service");
	cgroup_remove("/a");
}

/* A process that makes cgroups a/N/x.service until it is told to end by a closed pipe.
 */
static pid_t start_maker(int *ret_fd)
{
	int ends[2];
	pid_t maker;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	maker = fork();
	if (!maker) {
		char name[64], stop;

		close(ends[1]);
		for (int i = 0; i < 400 && read(ends[0], &stop, 1) < 0; i++) {
			snprintf(name, sizeof(name), "/made/%d", i);
			mkdir(cgroup_path(name, ""), 0755);
			snprintf(name, sizeof(name), "/made/%d/x.service", i);
			mkdir(cgroup_path(name, ""), 0755);
			if (i % 2)
				rmdir(cgroup_path(name, ""));
			usleep(500);
		}
		_exit(0);
	}
	close(ends[0]);
	*ret_fd = ends[1];
	return maker;
}

static void cgroups_made_while_rules_change_are_all_known(void **state)
{
	char name[64];
	pid_t maker;
	int fd, met_count = 0;

	(void)state;
	cgroup_make("/made");
	maker = start_maker(&fd);
	for (int i = 0; i < 10; i++) {
		SET(rule_uid(i + 1), rule_unit("x.service"));
		SET(rule_unit("x.service"), rule_uid(i + 1));
		SET(rule_uid(i + 1));
	}
	SET(rule_uid(1), rule_unit("x.service"));
	close(fd);
	waitpid(maker, NULL, 0);
	for (int i = 0; i < 400; i += 2) {
		struct actor actor;

		snprintf(name, sizeof(name), "/made/%d/x.service", i);
		if (access(cgroup_path(name, ""), F_OK))
			break;
		if (i % 20 == 0) {
			actor = start(name);
			assert_int_equal(met(&actor, ANYWHERE), 2);
			actor_end(&actor);
			met_count++;
		}
	}
	assert_true(met_count > 0);
	snprintf(name, sizeof(name), "%s", "/made");
	nftw(cgroup_path(name, ""), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- executables ---- */

static void a_rule_on_an_executable_follows_fork_and_ends_with_exec(void **state)
{
	const char *wanted = in_folder("wanted"), *other = in_folder("other");
	struct actor actor;

	(void)state;
	copy_self(wanted);
	copy_self(other);
	SET(rule_exe(wanted));
	actor = start_of(wanted, "");
	assert_int_equal(met_anywhere(&actor), 1);
	tell(&actor, "f 0");
	assert_int_equal(met_anywhere(&actor), 1);
	tell(&actor, "e %s", other);
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "f 0");
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "E %s", wanted);
	assert_int_equal(met_anywhere(&actor), 1);
	tell(&actor, "E %s", other);
	assert_int_equal(met_anywhere(&actor), NONE);
	actor_end(&actor);
}

static void an_executable_is_its_inode_not_its_path(void **state)
{
	const char *wanted = in_folder("wanted"), *copy = in_folder("copy");
	const char *hard = in_folder("hard"), *soft = in_folder("soft");
	struct actor actor;

	(void)state;
	copy_self(wanted);
	copy_self(copy);
	assert_int_equal(link(wanted, hard), 0);
	assert_int_equal(symlink(wanted, soft), 0);
	SET(rule_exe(wanted));
	actor = start_of(copy, "");
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "e %s", hard);
	assert_int_equal(met_anywhere(&actor), 1);
	SET(rule_exe(copy), rule_exe(soft));
	assert_int_equal(met_anywhere(&actor), 2);
	actor_end(&actor);
	assert_int_equal(unlink(hard) | unlink(soft), 0);
}

static void processes_that_ran_before_the_rule_are_found(void **state)
{
	const char *wanted = in_folder("wanted"), *other = in_folder("other");
	struct actor first, second;

	(void)state;
	copy_self(wanted);
	copy_self(other);
	first = start_of(wanted, "");
	second = start_of(other, "");
	SET(rule_exe(wanted));
	assert_int_equal(met_anywhere(&first), 1);
	assert_int_equal(met_anywhere(&second), NONE);
	SET(rule_uid(1), rule_exe(other), rule_exe(wanted));
	assert_int_equal(met_anywhere(&first), 3);
	assert_int_equal(met_anywhere(&second), 2);
	actor_end(&first);
	actor_end(&second);
}

static void an_executable_replaced_on_disk_is_learnt_and_the_old_one_kept(void **state)
{
	const char *wanted = in_folder("wanted"), *newer = in_folder("newer");
	struct actor old, new;

	(void)state;
	copy_self(wanted);
	SET(rule_exe(wanted));
	old = start_of(wanted, "");
	copy_self(newer);
	assert_int_equal(rename(newer, wanted), 0);
	new = start_of(wanted, ""); /* before anybody looks */
	alloc_rules_tick(bed.alloc);
	assert_int_equal(met_anywhere(&old), 1);
	assert_int_equal(met_anywhere(&new), 1);
	tell(&old, "f 0");
	assert_int_equal(met_anywhere(&old), 1);
	SET(rule_uid(1),
	    rule_exe(wanted)); /* the same path: the old one still counts */
	assert_int_equal(met_anywhere(&old), 2);
	assert_int_equal(met_anywhere(&new), 2);
	actor_end(&old);
	assert_int_equal(unlink(wanted), 0);
	alloc_rules_tick(bed.alloc);
	copy_self(wanted); /* may get the number of the inode again */
	alloc_rules_tick(bed.alloc);
	old = start_of(wanted, "");
	assert_int_equal(met_anywhere(&old), 2);
	assert_int_equal(met_anywhere(&new), 2);
	actor_end(&old);
	actor_end(&new);
}

static void an_executable_may_come_after_the_rule(void **state)
{
	const char *later = in_folder("later");
	struct actor actor;

	(void)state;
	SET(rule_exe(later));
	copy_self(later);
	alloc_rules_tick(bed.alloc);
	actor = start_of(later, "");
	assert_int_equal(met_anywhere(&actor), 1);
	actor_end(&actor);
}

static void a_process_that_forks_while_it_is_looked_for_is_found(void **state)
{
	const char *wanted = in_folder("wanted");
	struct actor actor;
	int32_t answer = 0;

	(void)state;
	copy_self(wanted);
	for (int i = 0; i < 5; i++) {
		no_rules(NULL);
		actor = start_of(wanted, "");
		assert_int_equal(send(actor.fd, "F 100", 5, 0), 5);
		SET(rule_exe(wanted));
		assert_int_equal(recv(actor.fd, &answer, sizeof(answer), 0),
				 sizeof(answer));
		assert_true(answer > 0 && answer != actor.pid);
		assert_int_equal(met(&actor, ANYWHERE), 1);
		actor_end(&actor);
	}
}

static void nothing_is_remembered_of_processes_that_ended(void **state)
{
	int fd = bpf_map__fd(bed.alloc->bpf->maps.match_processes);
	const char *wanted = in_folder("wanted");
	uint32_t pid;

	(void)state;
	copy_self(wanted);
	SET(rule_exe(wanted));
	for (int i = 0; i < 5; i++) {
		struct actor actor = start_of(wanted, "");

		tell(&actor, "f 0");
		assert_int_equal(bpf_map_get_next_key(fd, NULL, &pid), 0);
		actor_end(&actor);
	}
	assert_int_not_equal(bpf_map_get_next_key(fd, NULL, &pid), 0);
}

/* ---- network namespaces ---- */

/* A namespace of its own behind this file. */
static void netns_make(const char *path)
{
	int fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0644);
	int status = -1;
	pid_t child;

	assert_true(fd >= 0);
	close(fd);
	child = fork();
	if (!child)
		_exit(unshare(CLONE_NEWNET) || syscall(SYS_mount, "/proc/self/ns/net",
						       path, NULL, MS_BIND, NULL));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_rule_on_a_namespace_fits_what_its_name_leads_to(void **state)
{
	const char *path = in_folder("netns");
	struct actor first = start(""), second = start("");

	(void)state;
	SET(rule_netns(path), rule_netns("host"));
	assert_int_equal(met_anywhere(&first), 2);
	netns_make(path);
	tell(&first, "n %s", path);
	assert_int_equal(met_anywhere(&first), NONE); /* until the next tick */
	alloc_rules_tick(bed.alloc);
	assert_int_equal(met_anywhere(&first), 1);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	netns_make(path); /* another, of the same name */
	tell(&second, "n %s", path);
	alloc_rules_tick(bed.alloc);
	assert_int_equal(met_anywhere(&first), NONE);
	assert_int_equal(met_anywhere(&second), 1);
	actor_end(&first);
	actor_end(&second);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void a_name_without_a_slash_is_one_of_run_netns(void **state)
{
	struct actor actor = start("");

	(void)state;
	assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
	assert_int_equal(mkdir("/run/netns", 0755), 0);
	netns_make("/run/netns/blue");
	SET(rule_netns("blue"));
	assert_int_equal(met_anywhere(&actor), NONE);
	tell(&actor, "n /run/netns/blue");
	assert_int_equal(met_anywhere(&actor), 1);
	actor_end(&actor);
	assert_int_equal(umount2("/run", MNT_DETACH), 0);
}

/* ---- all rules together ---- */

static void sixty_four_rules_are_told_apart(void **state)
{
	struct rule rules[POLICY_RULES_MAX] = {0};
	struct actor actor = start("");
	char text[64];

	(void)state;
	for (int i = 0; i < POLICY_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "10.0.0.0/%d", 8 + i % 16);
		rules[i] = rule_to(text, 1000 + i, 1000 + i);
	}
	set(rules, POLICY_RULES_MAX);
	for (int i = 0; i < POLICY_RULES_MAX; i++) {
		snprintf(text, sizeof(text), "c 10.0.0.1 %d", 1000 + i);
		assert_int_equal(met(&actor, text), i + 1);
	}
	assert_int_equal(met(&actor, "c 10.0.0.1 999"), NONE);
	assert_int_equal(met(&actor, "c 10.0.0.1 1064"), NONE);
	for (int i = 0; i < POLICY_RULES_MAX; i++)
		rules[i] = rule_uid(9000 + i);
	set(rules, POLICY_RULES_MAX);
	tell(&actor, "u 9063 0");
	assert_int_equal(met(&actor, ANYWHERE), 64);
	actor_end(&actor);
}

static void bind_asks_for_the_pools_of_all_rules_that_may_fit(void **state)
{
	struct rule rules[] = {rule_to("10.0.0.0/8", 80, 80), rule_uid(0), rule_uid(1)};
	struct pool pool;
	uint32_t pools[3];
	struct actor actor = start("");

	(void)state;
	for (int i = 0; i < 3; i++) {
		pool_init(&pool, "some");
		memset(&pool.ports, 0, sizeof(pool.ports));
		port_set_add(&pool.ports, 20000 + 100 * i, 20009 + 100 * i);
		assert_int_equal(alloc_add_pool(bed.alloc, &pool, &pools[i], NULL), 0);
	}
	set_to_pools(rules, pools, 3);
	assert_int_equal(seen_by(tell(&actor, "b 20005")).may_use, 1);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).may_use, 1);
	assert_int_equal(seen_by(tell(&actor, "b 20205")).may_use, 0);
	assert_int_equal(seen_by(tell(&actor, "b 20010")).may_use, 0);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).pool, pools[1]);
	assert_int_equal(seen_by(tell(&actor, "c 10.1.1.1 80")).pool, pools[0]);
	no_rules(NULL);
	assert_int_equal(seen_by(tell(&actor, "b 20105")).may_use, 0);
	for (int i = 0; i < 3; i++)
		alloc_remove_pool(bed.alloc, pools[i]);
	actor_end(&actor);
}

static void a_set_that_cannot_be_had_leaves_the_one_before(void **state)
{
	const struct rule rules[] = {rule_unit("x.service"), rule_uid(0),
				     rule_exe(in_folder("wanted"))};
	const uint32_t pools[65] = {0};
	struct rule *many = calloc(65, sizeof(*many));
	struct fault fault = {0};

	(void)state;
	SET(rule_uid(1), rule_unit("y.service"));
	cgroup_make("/y.service");
	assert_int_equal(
		alloc_set_rules(bed.alloc, rules, pools, 3, "/nowhere", &fault),
		-ENOENT);
	assert_non_null(strstr(fault.text, "/nowhere"));
	assert_int_equal(met_once(""), NONE);
	assert_int_equal(met_once("/y.service"), 2);
	assert_int_equal(alloc_set_rules(bed.alloc, many, pools, 65, bed.root, &fault),
			 -E2BIG);
	assert_int_equal(met_once("/y.service"), 2);
	cgroup_make("/y.service/z");
	assert_int_equal(met_once("/y.service/z"), 2);
	cgroup_remove("/y.service/z");
	cgroup_remove("/y.service");
	free(many);
}

/* Connects, as fast as it can, until it is killed. */
static pid_t start_looper(void)
{
	pid_t looper = fork();

	if (!looper) {
		actor_write(cgroup_path("/loop", "/cgroup.procs"), "0");
		for (;;)
			actor_connect("10.1.1.1", 80, SOCK_DGRAM);
	}
	return looper;
}

static void connects_during_a_change_see_one_set_or_the_other(void **state)
{
	const struct rule one[] = {rule_uid(1), rule_cgroup("/loop"), rule_uid(0)};
	const uint32_t pools_of_one[] = {1, 2, 3};
	const struct rule two[] = {rule_to("10.1.0.0/16", 81, 90),
				   rule_to("10.0.0.0/8", 80, 80), rule_uid(2),
				   rule_cgroup("")};
	const uint32_t pools_of_two[] = {4, 5, 6, 7};
	const __u64 *pairs = bed.hooks->bss->pairs;
	uint64_t sum = 0;
	pid_t loopers[2];

	(void)state;
	cgroup_make("/loop");
	set_to_pools(one, pools_of_one, 3);
	loopers[0] = start_looper();
	loopers[1] = start_looper();
	usleep(50000);
	memset(bed.hooks->bss->pairs, 0, sizeof(bed.hooks->bss->pairs));
	for (int i = 0; i < 25; i++) {
		set_to_pools(two, pools_of_two, 4);
		set_to_pools(one, pools_of_one, 3);
	}
	for (int i = 0; i < 2; i++) {
		kill(loopers[i], SIGKILL);
		waitpid(loopers[i], NULL, 0);
	}
	for (int i = 0; i < SEEN_RULES * SEEN_POOLS; i++)
		sum += pairs[i];
	assert_true(pairs[2 * SEEN_POOLS + 2] > 0);
	assert_true(pairs[2 * SEEN_POOLS + 5] > 0);
	assert_int_equal(pairs[2 * SEEN_POOLS + 2] + pairs[2 * SEEN_POOLS + 5], sum);
	cgroup_remove("/loop");
}

static void nothing_is_tracked_when_no_rule_asks(void **state)
{
	uint32_t id = 0, tracking = 0;

	(void)state;
	SET(rule_unit("x.service"), rule_exe("/proc/self/exe"), rule_netns("host"),
	    rule_to("10.0.0.0/8", 0, 65535), rule_uid(5));
	no_rules(NULL);
	const struct bpf_map *maps[] = {
		bed.alloc->bpf->maps.match_uids,     bed.alloc->bpf->maps.match_netns,
		bed.alloc->bpf->maps.match_cgroups,  bed.alloc->bpf->maps.match_names,
		bed.alloc->bpf->maps.match_prefixes, bed.alloc->bpf->maps.match_files,
		bed.alloc->bpf->maps.match_processes};
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		char next[MATCH_NAME];

		assert_int_not_equal(
			bpf_map_get_next_key(bpf_map__fd(maps[i]), NULL, next), 0);
	}
	while (!bpf_link_get_next_id(id, &id)) {
		CLEANUP_CLOSE int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info link = {0};
		struct bpf_prog_info program = {0};
		uint32_t size = sizeof(link);
		const int mkdir_fd =
			bpf_program__fd(bed.alloc->bpf->progs.match_cgroup_mkdir);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &link, &size))
			continue;
		size = sizeof(program);
		assert_int_equal(bpf_obj_get_info_by_fd(mkdir_fd, &program, &size), 0);
		tracking += link.prog_id == program.id;
	}
	assert_int_equal(tracking, 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, no_rules)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(without_rules_nothing_fits),
		TEST(a_rule_on_a_user_fits_the_effective_one),
		TEST(a_rule_on_a_protocol_leaves_the_other_alone),
		TEST(the_first_rule_that_fits_decides),
		TEST(a_longer_prefix_does_not_hide_a_shorter_one),
		TEST(ipv4_is_the_same_from_a_socket_of_ipv6),
		TEST(bits_after_the_prefix_do_not_count),
		TEST(a_rule_on_a_cgroup_fits_it_and_all_below),
		TEST(a_cgroup_made_later_fits_at_once),
		TEST(a_process_that_moves_is_judged_by_where_it_is),
		TEST(a_cgroup_in_place_of_a_removed_one_is_judged_anew),
		TEST(all_conditions_of_a_rule_must_fit),
		TEST(cgroups_made_while_rules_change_are_all_known),
		TEST(a_rule_on_an_executable_follows_fork_and_ends_with_exec),
		TEST(an_executable_is_its_inode_not_its_path),
		TEST(processes_that_ran_before_the_rule_are_found),
		TEST(an_executable_replaced_on_disk_is_learnt_and_the_old_one_kept),
		TEST(an_executable_may_come_after_the_rule),
		TEST(a_process_that_forks_while_it_is_looked_for_is_found),
		TEST(nothing_is_remembered_of_processes_that_ended),
		TEST(a_rule_on_a_namespace_fits_what_its_name_leads_to),
		TEST(a_name_without_a_slash_is_one_of_run_netns),
		TEST(sixty_four_rules_are_told_apart),
		TEST(bind_asks_for_the_pools_of_all_rules_that_may_fit),
		TEST(a_set_that_cannot_be_had_leaves_the_one_before),
		TEST(connects_during_a_change_see_one_set_or_the_other),
		TEST(nothing_is_tracked_when_no_rule_asks),
	};
	struct fault fault = {0};
	int err, failed;

	if (argc > 1 && strcmp(argv[1], "actor") == 0)
		_exit(actor_main());
	err = bed_make();
	if (!err)
		err = alloc_open(&bed.alloc, &fault);
	if (!err)
		err = load_hooks();
	if (err) {
		bed_remove();
		printf("1..0 # SKIP needs root, a cgroup2 mount and network "
		       "namespaces: %s %s\n",
		       strerror(-err), fault.text);
		return SKIP_STATUS;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	bed_remove();
	return failed;
}
