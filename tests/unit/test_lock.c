/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/lock.h"

static char root[] = "/tmp/srcport-lock-XXXXXX";

static int make_tree(void **state)
{
	static const char *const folders[] = {"/a", "/a/b", "/c"};
	char path[64];

	(void)state;
	if (!mkdtemp(root))
		return -1;
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		if (mkdir(path, 0755) < 0)
			return -1;
	}
	return 0;
}

static int remove_tree(void **state)
{
	static const char *const folders[] = {"/a/b", "/a", "/c", ""};
	char path[64];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", root, folders[i]);
		rmdir(path);
	}
	return 0;
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
		assert_int_equal(lock_take(root, pairs[i][0], &first, NULL), 0);
		assert_int_equal(lock_take(root, pairs[i][1], &second, &fault),
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
	assert_int_equal(lock_take(root, "/a/b", &first, NULL), 0);
	assert_int_equal(lock_take(root, "/c", &second, NULL), 0);
	lock_free(first);
	lock_free(second);
}

static void a_lock_set_free_has_no_holder(void **state)
{
	struct lock *lock;
	char folder[64];

	(void)state;
	snprintf(folder, sizeof(folder), "%s/c", root);
	assert_int_equal(lock_take(root, "/c", &lock, NULL), 0);
	assert_int_equal(lock_holder(folder), getpid());
	/* The lock on an ancestor is shared: it has no holder of its own. */
	assert_int_equal(lock_holder(root), 0);
	lock_free(lock);
	assert_int_equal(lock_holder(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_subtree_and_its_ancestor_exclude_each_other),
		cmocka_unit_test(disjoint_subtrees_have_a_holder_each),
		cmocka_unit_test(a_lock_set_free_has_no_holder),
	};

	return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
