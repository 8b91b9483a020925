/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The kernel and user space must pick the same ports from the same key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cmocka.h>

#include "pick_case.h"

#include "tests/bpf/pick.skel.h"

#define SKIP_STATUS 77

static struct pick_case answer(struct port_map *map, struct pick_case asked)
{
	__u32 address[4] = {1, 2, 3, asked.m1};

	asked.random = pick_prf(asked.key, asked.m0, asked.m1);
	asked.rank = pick_below(asked.random, map->count);
	asked.port = port_map_select(map, asked.rank);
	asked.destination = pick_destination(asked.key, address, asked.m0);
	asked.tuple = pick_tuple(asked.destination, 7, asked.port);
	port_map_take(map, asked.port);
	asked.count = map->count;
	return asked;
}

static void kernel_and_user_space_pick_the_same_ports_until_none_is_left(void **state)
{
	struct pick_bpf *kernel = *state;
	static struct port_map map;
	char packet[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = packet,
		    .data_size_in = sizeof(packet));
	__u32 zero = 0;

	for (unsigned int port = 50000; port < 60000; port++)
		port_map_give(&map, port);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(kernel->maps.free_ports),
					     &zero, &map, BPF_ANY),
			 0);
	while (map.count) {
		struct pick_case asked = {.key = {map.count, ~map.count},
					  .m0 = map.count * 2654435761U,
					  .m1 = map.count};
		struct pick_case ours = answer(&map, asked);

		kernel->bss->asked = asked;
		assert_int_equal(
			bpf_prog_test_run_opts(bpf_program__fd(kernel->progs.pick_once),
					       &options),
			0);
		assert_memory_equal(&kernel->bss->asked, &ours, sizeof(ours));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			kernel_and_user_space_pick_the_same_ports_until_none_is_left),
	};
	struct pick_bpf *kernel = pick_bpf__open_and_load();
	int failed;

	if (!kernel) {
		printf("1..0 # SKIP BPF programs cannot be loaded here\n");
		return SKIP_STATUS;
	}
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		((struct CMUnitTest *)tests)[i].initial_state = kernel;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pick_bpf__destroy(kernel);
	return failed;
}
