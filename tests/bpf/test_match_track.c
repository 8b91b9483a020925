/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Rules on cgroups, units and executables: each process in a cgroup of its own, of its
 * own executable, and both come, change and go while the rules hold.
 */
#include "match_bed.h"

#include "alloc/alloc.skel.h"
#include "tests/bpf/match.skel.h"

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

static void a_file_that_got_the_inode_of_another_is_not_it(void **state)
{
	const char *wanted = in_folder("gone"), *other = in_folder("reused");
	struct stat was, is = {0};
	struct actor actor;

	(void)state;
	copy_self(wanted);
	assert_int_equal(stat(wanted, &was), 0);
	SET(rule_exe(wanted));
	assert_int_equal(unlink(wanted), 0); /* and no tick */
	for (int i = 0; i < 50 && is.st_ino != was.st_ino; i++) {
		unlink(other);
		copy_self(other);
		assert_int_equal(stat(other, &is), 0);
	}
	if (is.st_ino != was.st_ino)
		skip(); /* this file system does not use a number soon again */
	actor = start_of(other, "");
	assert_int_equal(met_anywhere(&actor), NONE);
	actor_end(&actor);
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

/* Fill a table with keys that nothing has. Returns its size. */
static uint32_t fill(const struct bpf_map *map)
{
	const char nothing[sizeof(struct match_cgroup)] = {0};
	uint32_t size = bpf_map__max_entries(map);
	uint64_t key = 0xff000000;

	while (!bpf_map_update_elem(bpf_map__fd(map), &key, nothing, BPF_ANY))
		key++;
	assert_int_equal(errno, E2BIG);
	return size;
}

static void full_tables_leave_newcomers_out_and_count_them(void **state)
{
	const char *wanted = in_folder("wanted");
	uint64_t missed = alloc_rules_missed(bed.alloc);
	struct actor actor;

	(void)state;
	copy_self(wanted);
	SET(rule_exe(wanted), rule_unit("x.service"));
	assert_int_equal(fill(bed.alloc->bpf->maps.match_processes), MATCH_PROCESSES);
	assert_int_equal(fill(bed.alloc->bpf->maps.match_cgroups), MATCH_CGROUPS);
	assert_int_equal(alloc_rules_missed(bed.alloc), missed);
	cgroup_make("/x.service");
	assert_true(alloc_rules_missed(bed.alloc) > missed);
	missed = alloc_rules_missed(bed.alloc);
	actor = start_of(wanted, "/x.service");
	assert_true(alloc_rules_missed(bed.alloc) > missed);
	assert_int_equal(met(&actor, ANYWHERE), NONE);
	no_rules(NULL); /* empties them */
	SET(rule_exe(wanted), rule_unit("x.service"));
	assert_int_equal(met_anywhere(&actor), 1);
	actor_end(&actor);
	assert_int_equal(met_once("/x.service"), 2);
	cgroup_remove("/x.service");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(a_rule_on_a_cgroup_fits_it_and_all_below),
		TEST(a_cgroup_made_later_fits_at_once),
		TEST(a_process_that_moves_is_judged_by_where_it_is),
		TEST(a_cgroup_in_place_of_a_removed_one_is_judged_anew),
		TEST(all_conditions_of_a_rule_must_fit),
		TEST(cgroups_made_while_rules_change_are_all_known),
		TEST(a_rule_on_an_executable_follows_fork_and_ends_with_exec),
		TEST(an_executable_is_its_inode_not_its_path),
		TEST(a_file_that_got_the_inode_of_another_is_not_it),
		TEST(processes_that_ran_before_the_rule_are_found),
		TEST(an_executable_replaced_on_disk_is_learnt_and_the_old_one_kept),
		TEST(an_executable_may_come_after_the_rule),
		TEST(a_process_that_forks_while_it_is_looked_for_is_found),
		TEST(nothing_is_remembered_of_processes_that_ended),
		TEST(full_tables_leave_newcomers_out_and_count_them),
	};

	const void *elf;
	size_t size;
	int failed;

	if (bed_begin(argc, argv)) {
		bed_remove();
		return SKIP_STATUS;
	}
	elf = match_bpf__elf_bytes(&size);
	failed = bed_load(bed.alloc->bpf->obj, elf, size) ||
		 cmocka_run_group_tests(tests, NULL, NULL);
	bed_remove();
	return failed;
}
