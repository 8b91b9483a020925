/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"

static void a_line_is_taken_only_when_it_is_whole(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	assert_null(buffer_take_line(&buffer));
	assert_int_equal(buffer_add(&buffer, "one\ntw", 6), 0);
	assert_string_equal(buffer_take_line(&buffer), "one");
	assert_null(buffer_take_line(&buffer));
	assert_int_equal(buffer_add(&buffer, "o\n", 2), 0);
	assert_string_equal(buffer_take_line(&buffer), "two");
	assert_int_equal(buffer_length(&buffer), 0);
	buffer_release(&buffer);
}

static void what_was_taken_makes_room_again(void **state)
{
	struct buffer buffer = {0};
	char line[4096];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(buffer_add(&buffer, line, sizeof(line)), 0);
		assert_int_equal(buffer_add(&buffer, line, sizeof(line)), 0);
		assert_int_equal(strlen(buffer_take_line(&buffer)), sizeof(line) - 1);
		assert_int_equal(strlen(buffer_take_line(&buffer)), sizeof(line) - 1);
	}
	assert_true(buffer.capacity <= 4 * sizeof(line));
	buffer_release(&buffer);
}

static void bytes_come_in_as_they_went_out(void **state)
{
	struct buffer buffer = {0};
	char sent[20000];
	int fds[2];

	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (char)(i * 7);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], sent, sizeof(sent)), sizeof(sent));
	close(fds[1]);
	while (buffer_read(&buffer, fds[0]) > 0)
		;
	close(fds[0]);
	assert_int_equal(buffer_length(&buffer), sizeof(sent));
	assert_memory_equal(buffer.bytes + buffer.from, sent, sizeof(sent));
	buffer_release(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_taken_only_when_it_is_whole),
		cmocka_unit_test(what_was_taken_makes_room_again),
		cmocka_unit_test(bytes_come_in_as_they_went_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
