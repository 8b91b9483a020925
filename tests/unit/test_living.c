/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "kernel/living.h"
#include "kernel/netns.h"

DEFINE_CLEANUP(struct living, living_free)

static int open_bound(int type)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return cookie;
}

static void a_socket_lives_until_it_is_closed(void **state)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};

	(void)state;
	for (int i = 0; i < 2; i++) {
		CLEANUP(living_free_ptr)
		struct living *during = NULL, *after = NULL;
		int fd = open_bound(types[i]);
		uint64_t cookie = cookie_of(fd);

		assert_int_equal(living_list(&during), 0);
		assert_true(living_has(during, cookie));
		close(fd);
		assert_int_equal(living_list(&after), 0);
		assert_false(living_has(after, cookie));
	}
}

static void our_namespace_is_known_and_one_that_never_was_is_not(void **state)
{
	CLEANUP(living_free_ptr) struct living *living = NULL;
	uint64_t netns;

	(void)state;
	assert_int_equal(netns_cookie(-1, &netns), 0);
	assert_int_equal(living_list(&living), 0);
	assert_true(living_knows(living, netns));
	assert_false(living_knows(living, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_lives_until_it_is_closed),
		cmocka_unit_test(our_namespace_is_known_and_one_that_never_was_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
