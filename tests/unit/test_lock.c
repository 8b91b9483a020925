/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/lock.h"

static char root[] = "/tmp/srcport-lock-XXXXXX";
static char locks[sizeof(root) + 8];

static int make_tree(void **state)
{
	static const char *const folders[] = {"/a", "/a/b", "/c"};
	char path[64];

	(void)state;
	if (!mkdtemp(root))
		return -1;
	snprintf(locks, sizeof(locks), "%s/lock", root);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		if (mkdir(path, 0755) < 0)
			return -1;
	}
	return 0;
}

static int remove_entry(const char *path, const struct stat *stat, int type,
			struct FTW *place)
{
	(void)stat;
	(void)type;
	(void)place;
	return remove(path);
}

static int remove_tree(void **state)
{
	(void)state;
	return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void a_subtree_and_its_ancestor_exclude_each_other(void **state)
{
	static const char *const pairs[][2] = {
		{"", "/a"}, {"/a", ""}, {"/a/b", "/a"}, {"/a", "/a/b"}, {"/a", "/a"},
	};
	struct lock *first, *second = NULL;
	struct fault fault;
	char own_pid[16];

	(void)state;
	snprintf(own_pid, sizeof(own_pid), "pid %d", getpid());
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(lock_take(locks, root, pairs[i][0], &first, NULL), 0);
		assert_int_equal(lock_take(locks, root, pairs[i][1], &second, &fault),
				 -EWOULDBLOCK);
		assert_null(second);
		assert_non_null(strstr(fault.text, own_pid));
		lock_free(first);
	}
}

static void disjoint_subtrees_have_a_holder_each(void **state)
{
	struct lock *first, *second;

	(void)state;
	assert_int_equal(lock_take(locks, root, "/a/b", &first, NULL), 0);
	assert_int_equal(lock_take(locks, root, "/c", &second, NULL), 0);
	lock_free(first);
	lock_free(second);
}

static void a_lock_set_free_has_no_holder(void **state)
{
	struct lock *lock;

	(void)state;
	assert_int_equal(lock_take(locks, root, "/c", &lock, NULL), 0);
	assert_int_equal(lock_holder(locks, root, "/c"), getpid());
	/* The lock on an ancestor is shared: it has no holder of its own. */
	assert_int_equal(lock_holder(locks, root, ""), 0);
	lock_free(lock);
	assert_int_equal(lock_holder(locks, root, "/c"), 0);
}

static void a_holder_leaves_no_file_but_those_of_ancestors(void **state)
{
	struct lock *lock;
	int before;

	(void)state;
	assert_int_equal(lock_take(locks, root, "/c", &lock, NULL), 0);
	before = count_files(locks);
	lock_free(lock);
	assert_int_equal(count_files(locks), before - 1);
}

static void a_lock_on_the_folder_of_the_cgroup_keeps_nobody_out(void **state)
{
	CLEANUP_CLOSE int fd = open(root, O_RDONLY | O_CLOEXEC);
	struct lock *lock;

	(void)state;
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(lock_take(locks, root, "", &lock, NULL), 0);
	lock_free(lock);
}

static void a_folder_that_others_may_enter_is_refused(void **state)
{
	struct lock *lock = NULL;
	struct stat stat_of;
	struct fault fault;

	(void)state;
	assert_int_equal(stat(locks, &stat_of), 0);
	assert_int_equal(stat_of.st_mode & 0777, 0700);
	assert_int_equal(chmod(locks, 0711), 0);
	assert_int_equal(lock_take(locks, root, "/c", &lock, &fault), -EPERM);
	assert_non_null(strstr(fault.text, locks));
	assert_int_equal(chmod(locks, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subtree_and_its_ancestor_exclude_each_other),
		cmocka_unit_test(disjoint_subtrees_have_a_holder_each),
		cmocka_unit_test(a_lock_set_free_has_no_holder),
		cmocka_unit_test(a_holder_leaves_no_file_but_those_of_ancestors),
		cmocka_unit_test(a_lock_on_the_folder_of_the_cgroup_keeps_nobody_out),
		cmocka_unit_test(a_folder_that_others_may_enter_is_refused),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
