/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

struct own {
	const char *ports;
	bool is_loud;
};

struct shared {
	bool is_json;
};

static const struct option_entry own_entries[] = {
	{"ports", 'p', OPTION_TEXT, offsetof(struct own, ports), "SET", "these ports"},
	{"loud", 0, OPTION_FLAG, offsetof(struct own, is_loud), NULL, "say more"},
	{0},
};

static const struct option_entry shared_entries[] = {
	{"json", 'j', OPTION_FLAG, offsetof(struct shared, is_json), NULL, "as JSON"},
	{0},
};

/* Parse a NULL-terminated command line; what is left starts at argv[the result]. */
static int parse(char **argv, enum options_order order, struct own *own,
		 struct shared *shared, struct fault *fault)
{
	const struct option_group groups[] = {
		{own_entries, own},
		{shared_entries, shared},
		{0},
	};
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(groups, order, argc, argv, fault);
}

static void options_of_both_groups_reach_their_structs(void **state)
{
	char *argv[] = {"who", "--ports", "1-2", "--json", "443", NULL};
	struct own own = {0};
	struct shared shared = {0};

	(void)state;
	assert_int_equal(parse(argv, OPTIONS_ANYWHERE, &own, &shared, NULL), 4);
	assert_string_equal(own.ports, "1-2");
	assert_true(shared.is_json);
	assert_false(own.is_loud);
	assert_string_equal(argv[4], "443");
}

static void an_option_may_follow_the_arguments(void **state)
{
	char *argv[] = {"who", "443", "-j", "-p", "5", NULL};
	struct own own = {0};
	struct shared shared = {0};

	(void)state;
	assert_int_equal(parse(argv, OPTIONS_ANYWHERE, &own, &shared, NULL), 4);
	assert_true(shared.is_json);
	assert_string_equal(own.ports, "5");
	assert_string_equal(argv[4], "443");
}

static void options_after_a_command_stay_the_commands(void **state)
{
	char *argv[] = {"run", "--loud", "ls", "--json", NULL};
	struct own own = {0};
	struct shared shared = {0};

	(void)state;
	assert_int_equal(parse(argv, OPTIONS_FIRST, &own, &shared, NULL), 2);
	assert_true(own.is_loud);
	assert_false(shared.is_json);
	assert_string_equal(argv[3], "--json");
}

static void a_fault_names_the_option(void **state)
{
	static const struct {
		char *argument;
		const char *said;
	} cases[] = {
		{"--bogus", "--bogus"},	  {"-x", "-x"},
		{"--ports", "--ports"},	  {"-p", "--ports"},
		{"--json=yes", "--json"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *argv[] = {"who", cases[i].argument, NULL};
		struct own own = {0};
		struct shared shared = {0};
		struct fault fault = {0};

		assert_int_equal(parse(argv, OPTIONS_ANYWHERE, &own, &shared, &fault),
				 -EINVAL);
		assert_non_null(strstr(fault.text, cases[i].said));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_of_both_groups_reach_their_structs),
		cmocka_unit_test(an_option_may_follow_the_arguments),
		cmocka_unit_test(options_after_a_command_stay_the_commands),
		cmocka_unit_test(a_fault_names_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
