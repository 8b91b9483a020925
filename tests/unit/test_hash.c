/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

#define NODES 65536

static size_t longest_chain(const struct hash *hash)
{
	size_t longest = 0;

	for (size_t i = 0; i < hash->bucket_count; i++) {
		size_t length = 0;

		for (const struct hash_node *node = hash->buckets[i]; node;
		     node = node->next)
			length++;
		if (length > longest)
			longest = length;
	}
	return longest;
}

/* As the cookies of sockets are, of which every second or tenth may be kept. */
static void keys_that_count_up_meet_no_long_chain(void **state)
{
	static const uint64_t steps[] = {1, 2, 3, 10, 21, 4096};
	struct hash_node *nodes = calloc(NODES, sizeof(*nodes));

	(void)state;
	assert_non_null(nodes);
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		struct hash hash;

		assert_int_equal(hash_init(&hash), 0);
		for (uint64_t i = 0; i < NODES; i++)
			hash_add(&hash, &nodes[i], 1000000 + i * steps[s]);
		assert_in_range(longest_chain(&hash), 1, 4);
		hash_release(&hash);
	}
	free(nodes);
}

static void a_removed_node_is_not_found_and_its_twin_is(void **state)
{
	struct hash_node one, twin;
	struct hash hash;

	(void)state;
	assert_int_equal(hash_init(&hash), 0);
	hash_add(&hash, &one, 7);
	hash_add(&hash, &twin, 7);
	hash_remove(&hash, &one);
	assert_ptr_equal(hash_find(&hash, 7), &twin);
	assert_null(hash_next(&twin));
	hash_remove(&hash, &twin);
	assert_null(hash_find(&hash, 7));
	hash_release(&hash);
}

static void each_byte_counts_in_a_mixed_key(void **state)
{
	char bytes[20] = {0};
	uint64_t plain = hash_mix(0, bytes, sizeof(bytes));

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = 1;
		assert_true(hash_mix(0, bytes, sizeof(bytes)) != plain);
		bytes[i] = 0;
	}
	assert_true(hash_mix(1, bytes, sizeof(bytes)) != plain);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_count_up_meet_no_long_chain),
		cmocka_unit_test(a_removed_node_is_not_found_and_its_twin_is),
		cmocka_unit_test(each_byte_counts_in_a_mixed_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
