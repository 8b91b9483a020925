/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "identify/identify.h"
#include "identify/identify_cgroup.h"
#include "identify/identify_proc.h"

#define NO_CGROUPS   "/nonexistent"
#define PROCESS_MAX  8
#define START	     UINT64_C(1234567890123)
#define WALL_OFFSET  UINT64_C(1700000000000000000)
#define CONTAINER_ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

DEFINE_CLEANUP(struct owner, owner_unref)

static int setup(void **state)
{
	struct identify *identify;

	if (identify_new(IDENTIFY_CMDLINE_REDACTED, NO_CGROUPS, PROCESS_MAX, &identify))
		return -1;
	identify_set_clock(identify, WALL_OFFSET + START, START);
	*state = identify;
	return 0;
}

static int teardown(void **state)
{
	identify_free(*state);
	return 0;
}

static void exec_with(struct identify *identify, uint32_t pid, uint64_t start,
		      const char *exe, const char *argv, size_t argv_length)
{
	struct event_exec event = {
		.head = {.kind = EVENT_EXEC},
		.pid = pid,
		.pid_start_ns = start,
		.exe_inode = 42,
		.exe_device = 8 << 20 | 1,
		.exe_from = EVENT_EXE_MAX - strlen(exe),
		.cmdline_length = argv_length,
	};

	memcpy(event.exe + event.exe_from, exe, strlen(exe));
	memcpy(event.cmdline, argv, argv_length);
	identify_event(identify, &event.head);
}

static void exec(struct identify *identify, uint32_t pid, uint64_t start,
		 const char *exe)
{
	exec_with(identify, pid, start, exe, exe, strlen(exe) + 1);
}

static void fork_of(struct identify *identify, uint32_t parent, uint64_t parent_start,
		    uint32_t child, uint64_t child_start)
{
	struct event_fork event = {
		.head = {.kind = EVENT_FORK},
		.parent_pid = parent,
		.parent_start_ns = parent_start,
		.child_pid = child,
		.child_start_ns = child_start,
	};

	identify_event(identify, &event.head);
}

static void exit_of(struct identify *identify, uint32_t pid, uint64_t start)
{
	struct event_exit event = {
		.head = {.kind = EVENT_EXIT}, .pid = pid, .pid_start_ns = start};

	identify_event(identify, &event.head);
}

/* Pids past any the kernel gives, so that /proc knows nothing of them. */
#define PID(n) (UINT32_C(0x40000000) + (n))

static struct owner *owner_of(struct identify *identify, uint32_t pid, uint64_t start,
			      uint32_t uid)
{
	struct event_open open = {
		.head = {.kind = EVENT_OPEN},
		.pid = pid,
		.pid_start_ns = start,
		.uid = uid,
		.comm = "worker",
	};

	return identify_owner(identify, &open);
}

static void an_exec_names_the_owner(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = NULL;
	static const char argv[] = "curl\0-s\0http://x";

	exec_with(*state, PID(1), START, "/usr/bin/curl", argv, sizeof(argv));
	owner = owner_of(*state, PID(1), START, 0);
	assert_string_equal(owner->exe, "/usr/bin/curl");
	assert_string_equal(owner->cmdline, "curl -s http://x");
	assert_string_equal(owner->comm, "worker");
	assert_string_equal(owner->user, "root");
	assert_int_equal(owner->exe_inode, 42);
	assert_int_equal(owner->exe_device, makedev(8, 1));
	assert_true(owner->pid_start_ns == WALL_OFFSET + START);
	assert_null(owner->cgroup);
	assert_null(owner->unit);
}

static void a_process_that_exited_is_still_named(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = NULL;

	exec(*state, PID(1), START, "/bin/short");
	exit_of(*state, PID(1), START);
	owner = owner_of(*state, PID(1), START, 0);
	assert_string_equal(owner->exe, "/bin/short");
}

static void a_reused_pid_is_another_process(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *old = NULL, *new = NULL;

	exec(*state, PID(1), START, "/bin/old");
	exec(*state, PID(1), START + 1, "/bin/new");
	old = owner_of(*state, PID(1), START, 0);
	new = owner_of(*state, PID(1), START + 1, 0);
	assert_string_equal(old->exe, "/bin/old");
	assert_string_equal(new->exe, "/bin/new");
}

static void a_child_has_the_image_of_its_parent_until_it_execs(void **state)
{
	CLEANUP(owner_unref_ptr)
	struct owner *before = NULL, *after = NULL, *parent = NULL;

	exec(*state, PID(1), START, "/bin/parent");
	fork_of(*state, PID(1), START, PID(2), START + 5);
	before = owner_of(*state, PID(2), START + 5, 0);
	exec(*state, PID(2), START + 5, "/bin/child");
	after = owner_of(*state, PID(2), START + 5, 0);
	parent = owner_of(*state, PID(1), START, 0);
	assert_string_equal(before->exe, "/bin/parent");
	assert_int_equal(before->pid, PID(2));
	assert_string_equal(after->exe, "/bin/child");
	assert_string_equal(parent->exe, "/bin/parent");
}

static void a_child_keeps_the_image_when_its_parent_execs(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *child = NULL;

	exec(*state, PID(1), START, "/bin/shell");
	fork_of(*state, PID(1), START, PID(2), START + 5);
	exec(*state, PID(1), START, "/bin/other");
	exit_of(*state, PID(1), START);
	child = owner_of(*state, PID(2), START + 5, 0);
	assert_string_equal(child->exe, "/bin/shell");
}

static void the_same_image_of_the_same_process_is_one_owner(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *first = NULL, *second = NULL;

	exec(*state, PID(1), START, "/bin/a");
	first = owner_of(*state, PID(1), START, 0);
	second = owner_of(*state, PID(1), START, 0);
	assert_ptr_equal(first, second);
	assert_int_equal(first->references, 3); /* ours, and the table's */
}

static void another_uid_is_another_owner(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *root = NULL, *other = NULL;

	exec(*state, PID(1), START, "/bin/a");
	root = owner_of(*state, PID(1), START, 0);
	other = owner_of(*state, PID(1), START, 4294967000);
	assert_ptr_not_equal(root, other);
	assert_int_equal(other->uid, 4294967000);
	assert_null(other->user);
}

static void a_process_that_nobody_told_of_is_an_owner_without_a_path(void **state)
{
	CLEANUP(owner_unref_ptr)
	struct owner *owner = owner_of(*state, PID(1), START, 0);

	assert_non_null(owner);
	assert_int_equal(owner->pid, PID(1));
	assert_null(owner->exe);
	assert_null(owner->cmdline);
	assert_string_equal(owner->comm, "worker");
}

static void past_the_ceiling_the_one_that_exited_longest_ago_is_forgotten(void **state)
{
	CLEANUP(owner_unref_ptr)
	struct owner *first = NULL, *second = NULL, *running = NULL;

	for (int i = 0; i < PROCESS_MAX; i++)
		exec(*state, PID(i), START, "/bin/a");
	exit_of(*state, PID(3), START);
	exit_of(*state, PID(1), START);
	exec(*state, PID(100), START, "/bin/new"); /* forgets 3 */
	second = owner_of(*state, PID(1), START, 0);
	running = owner_of(*state, PID(0), START, 0);
	assert_non_null(second->exe);
	assert_non_null(running->exe);
	first = owner_of(*state, PID(3), START, 0);
	assert_null(first->exe);
}

static void past_the_ceiling_without_exits_the_table_still_does_not_grow(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *newest = NULL;

	for (int i = 0; i < 100 * PROCESS_MAX; i++)
		exec(*state, PID(i), START, "/bin/a");
	newest = owner_of(*state, PID(100 * PROCESS_MAX - 1), START, 0);
	assert_string_equal(newest->exe, "/bin/a");
}

static void
what_is_not_known_is_asked_of_proc_and_believed_when_the_start_agrees(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *self = NULL, *other = NULL;
	CLEANUP(proc_release) struct proc_process told = {};

	assert_int_equal(proc_read(getpid(), &told), 0);
	other = owner_of(*state, getpid(), told.pid_start_ns + 3 * PROC_TICK_NS, 0);
	assert_null(other->exe);
	self = owner_of(*state, getpid(), told.pid_start_ns + PROC_TICK_NS - 1, 0);
	assert_string_equal(self->exe, told.exe);
	assert_int_equal(self->exe_inode, told.exe_inode);
}

static void a_process_listed_from_proc_is_found_by_its_exact_start(void **state)
{
	CLEANUP(owner_unref_ptr) struct owner *self = NULL;
	CLEANUP(proc_release) struct proc_process told = {};
	struct identify *identify;

	(void)state;
	assert_int_equal(
		identify_new(IDENTIFY_CMDLINE_ARGV0, NO_CGROUPS, 100000, &identify), 0);
	assert_true(identify_list(identify) > 0);
	identify_set_clock(identify, 0, 0);
	assert_int_equal(proc_read(getpid(), &told), 0);
	self = owner_of(identify, getpid(), told.pid_start_ns + 12345, 0);
	assert_string_equal(self->exe, told.exe);
	assert_string_equal(self->cmdline, told.cmdline);
	assert_true(self->pid_start_ns == told.pid_start_ns + 12345);
	identify_free(identify);
}

static void check_cmdline(enum identify_cmdline rule, const char *argv, size_t length,
			  const char *expected)
{
	CLEANUP_FREE char *line = identify_cmdline_format(rule, argv, length);

	assert_non_null(line);
	assert_string_equal(line, expected);
}

#define CHECK_CMDLINE(rule, argv, expected) \
	check_cmdline(rule, argv, sizeof(argv), expected)

static void values_of_options_named_like_secrets_are_starred(void **state)
{
	(void)state;
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "a\0--password\0hunter2\0-v",
		      "a --password *** -v");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "a\0--API-Token=abc\0b",
		      "a --API-Token=*** b");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "env\0MY_SECRET=x\0b",
		      "env MY_SECRET=*** b");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "a\0--key\0--pass\0x\0y",
		      "a --key *** *** y");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "a\0--key=\0", "a --key=*** ");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "passwd\0bob", "passwd bob");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_REDACTED, "ssh-keygen\0key", "ssh-keygen key");
}

static void a_secret_cut_off_by_the_limit_stays_starred(void **state)
{
	(void)state;
	check_cmdline(IDENTIFY_CMDLINE_REDACTED, "a\0--token=abc", 11, "a --token=***");
	check_cmdline(IDENTIFY_CMDLINE_REDACTED, "a\0--token\0x", 11, "a --token ***");
}

static void the_other_rules_keep_all_the_first_or_nothing(void **state)
{
	(void)state;
	CHECK_CMDLINE(IDENTIFY_CMDLINE_FULL, "a\0--pass\0x", "a --pass x");
	CHECK_CMDLINE(IDENTIFY_CMDLINE_ARGV0, "a\0--pass\0x", "a");
	assert_null(identify_cmdline_format(IDENTIFY_CMDLINE_OFF, "a", 2));
	assert_null(identify_cmdline_format(IDENTIFY_CMDLINE_FULL, "", 0));
}

static void a_command_line_is_one_line(void **state)
{
	(void)state;
	CHECK_CMDLINE(IDENTIFY_CMDLINE_FULL, "sh\0-c\0a\n\033[31mb", "sh -c a  [31mb");
}

static void unit_and_container_are_read_from_the_path(void **state)
{
	CLEANUP_FREE char *unit = cgroup_unit("/system.slice/a.service/b.scope/c");
	CLEANUP_FREE char *container =
		cgroup_container("/system.slice/docker-" CONTAINER_ID ".scope");
	CLEANUP_FREE char *last = cgroup_container("/docker/" CONTAINER_ID);

	(void)state;
	assert_string_equal(unit, "b.scope");
	assert_string_equal(container, CONTAINER_ID);
	assert_string_equal(last, CONTAINER_ID);
	assert_null(cgroup_unit("/user.slice/x.slice"));
	assert_null(cgroup_unit("/.service"));
	assert_null(cgroup_container("/docker/" CONTAINER_ID "0"));
	assert_null(cgroup_container("/docker/0123456789abcdef"));
}

/* A tree of folders stands for cgroup2: their inodes are the numbers. */
static void a_path_is_found_by_its_number_and_kept_when_the_cgroup_is_gone(void **state)
{
	char root[] = "/tmp/srcport-test-XXXXXX", path[64], other[64];
	struct cgroup_table *table;
	struct stat is, later;

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(path, sizeof(path), "%s/x.service", root);
	snprintf(other, sizeof(other), "%s/later", root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(stat(path, &is), 0);
	assert_int_equal(cgroup_table_new(root, &table), 0);
	assert_string_equal(cgroup_table_path(table, is.st_ino, 1), "/x.service");
	/* Now, or it gets the inode of the one that goes. */
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(stat(other, &later), 0);
	assert_int_equal(rmdir(path), 0);
	assert_string_equal(cgroup_table_path(table, is.st_ino, 2), "/x.service");

	assert_null(cgroup_table_path(table, later.st_ino,
				      1000000000)); /* too soon to scan */
	assert_string_equal(cgroup_table_path(table, later.st_ino, 1000000001),
			    "/later");
	assert_int_equal(rmdir(other), 0);
	assert_int_equal(rmdir(root), 0);
	cgroup_table_free(table);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_exec_names_the_owner),
		TEST(a_process_that_exited_is_still_named),
		TEST(a_reused_pid_is_another_process),
		TEST(a_child_has_the_image_of_its_parent_until_it_execs),
		TEST(a_child_keeps_the_image_when_its_parent_execs),
		TEST(the_same_image_of_the_same_process_is_one_owner),
		TEST(another_uid_is_another_owner),
		TEST(a_process_that_nobody_told_of_is_an_owner_without_a_path),
		TEST(past_the_ceiling_the_one_that_exited_longest_ago_is_forgotten),
		TEST(past_the_ceiling_without_exits_the_table_still_does_not_grow),
		TEST(what_is_not_known_is_asked_of_proc_and_believed_when_the_start_agrees),
		TEST(a_process_listed_from_proc_is_found_by_its_exact_start),
		cmocka_unit_test(values_of_options_named_like_secrets_are_starred),
		cmocka_unit_test(a_secret_cut_off_by_the_limit_stays_starred),
		cmocka_unit_test(the_other_rules_keep_all_the_first_or_nothing),
		cmocka_unit_test(a_command_line_is_one_line),
		cmocka_unit_test(unit_and_container_are_read_from_the_path),
		cmocka_unit_test(
			a_path_is_found_by_its_number_and_kept_when_the_cgroup_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
