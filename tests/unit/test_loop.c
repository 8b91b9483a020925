/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"

/* Two pipes that are both readable; the callback of either removes the other. */
struct pair {
	struct loop *loop;
	int fds[2][2];
	int call_count;
};

static void on_either(uint32_t events, void *arg)
{
	struct pair *pair = arg;

	(void)events;
	/* Which of the two is called first is the kernel's choice: remove both. */
	loop_remove(pair->loop, pair->fds[0][0]);
	loop_remove(pair->loop, pair->fds[1][0]);
	pair->call_count++;
}

static void on_timer(uint32_t events, void *arg)
{
	(void)events;
	loop_stop(arg);
}

static void what_was_removed_is_not_called(void **state)
{
	struct pair pair = {0};

	(void)state;
	assert_int_equal(loop_new(&pair.loop), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(pair.fds[i]), 0);
		assert_int_equal(write(pair.fds[i][1], "x", 1), 1);
		assert_int_equal(
			loop_add(pair.loop, pair.fds[i][0], EPOLLIN, on_either, &pair),
			0);
	}
	assert_int_equal(loop_add_timer(pair.loop, 1000000, on_timer, pair.loop), 0);
	assert_int_equal(loop_run(pair.loop), 0);
	assert_int_equal(pair.call_count, 1);
	loop_free(pair.loop);
	for (int i = 0; i < 2; i++) {
		close(pair.fds[i][0]);
		close(pair.fds[i][1]);
	}
}

static void a_signal_ends_the_loop(void **state)
{
	struct loop *loop;
	sigset_t signals;

	(void)state;
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(loop_add_signals(loop, &signals, on_timer, loop), 0);
	raise(SIGUSR1);
	assert_int_equal(loop_run(loop), 0);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_removed_is_not_called),
		cmocka_unit_test(a_signal_ends_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
