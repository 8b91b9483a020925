/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"

static uint64_t cookie_of(int fd)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return cookie;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 at;
	socklen_t size = sizeof(at);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	return ntohs(at.sin6_port); /* where sin_port is, too */
}

struct wanted {
	uint64_t cookie;
	struct diag_socket found;
	int count;
};

static int keep_wanted(const struct diag_socket *socket, void *arg)
{
	struct wanted *wanted = arg;

	if (socket->cookie != wanted->cookie)
		return 0;
	wanted->found = *socket;
	wanted->count++;
	return 0;
}

static int stop_at_first(const struct diag_socket *socket, void *arg)
{
	(void)socket;
	(*(int *)arg)++;
	return 1;
}

static int listen_on(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static int connect_to(uint16_t port, int type)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void a_listener_is_listed_once_with_its_port_and_the_wildcard(void **state)
{
	CLEANUP_CLOSE int fd = listen_on(AF_INET);
	struct wanted wanted = {.cookie = cookie_of(fd)};
	(void)state;

	assert_true(sock_diag_visit(-1, IPPROTO_TCP, keep_wanted, &wanted, NULL) > 0);
	assert_int_equal(wanted.count, 1);
	assert_int_equal(wanted.found.state, TCP_LISTEN);
	assert_int_equal(wanted.found.local_port, port_of(fd));
	assert_false(address_is_known(&wanted.found.local));
	assert_int_equal(wanted.found.uid, geteuid());
	assert_true(wanted.found.inode != 0);
}

static void a_listener_on_ipv6_is_listed_as_ipv6(void **state)
{
	CLEANUP_CLOSE int fd = listen_on(AF_INET6);
	struct wanted wanted = {.cookie = cookie_of(fd)};
	(void)state;

	assert_true(sock_diag_visit(-1, IPPROTO_TCP, keep_wanted, &wanted, NULL) > 0);
	assert_int_equal(wanted.count, 1);
	assert_int_equal(wanted.found.family, AF_INET6);
}

static void a_connection_is_listed_with_both_ends_as_v4_mapped(void **state)
{
	CLEANUP_CLOSE int server = listen_on(AF_INET);
	CLEANUP_CLOSE int client = connect_to(port_of(server), SOCK_STREAM);
	struct wanted wanted = {.cookie = cookie_of(client)};
	struct address loopback;
	(void)state;

	assert_int_equal(address_parse("127.0.0.1", &loopback), 0);
	assert_true(sock_diag_visit(-1, IPPROTO_TCP, keep_wanted, &wanted, NULL) > 0);
	assert_int_equal(wanted.count, 1);
	assert_int_equal(wanted.found.state, TCP_ESTABLISHED);
	assert_true(address_equal(&wanted.found.local, &loopback));
	assert_true(address_equal(&wanted.found.remote, &loopback));
	assert_int_equal(wanted.found.local_port, port_of(client));
	assert_int_equal(wanted.found.remote_port, port_of(server));
}

static void a_connected_udp_socket_is_listed(void **state)
{
	CLEANUP_CLOSE int client = connect_to(9, SOCK_DGRAM);
	struct wanted wanted = {.cookie = cookie_of(client)};
	(void)state;

	assert_true(sock_diag_visit(-1, IPPROTO_UDP, keep_wanted, &wanted, NULL) > 0);
	assert_int_equal(wanted.count, 1);
	assert_int_equal(wanted.found.protocol, IPPROTO_UDP);
	assert_int_equal(wanted.found.local_port, port_of(client));
	assert_int_equal(wanted.found.remote_port, 9);
}

static void a_visitor_that_stops_sees_no_more(void **state)
{
	CLEANUP_CLOSE int first = listen_on(AF_INET);
	CLEANUP_CLOSE int second = listen_on(AF_INET6);
	int calls = 0;
	(void)state;

	assert_int_equal(sock_diag_visit(-1, IPPROTO_TCP, stop_at_first, &calls, NULL),
			 1);
	assert_int_equal(calls, 1);
}

static void a_descriptor_that_is_no_namespace_is_refused_with_a_reason(void **state)
{
	CLEANUP_CLOSE int fd = listen_on(AF_INET);
	struct fault fault = {};
	struct wanted wanted = {};
	(void)state;

	assert_true(sock_diag_visit(fd, IPPROTO_TCP, keep_wanted, &wanted, &fault) < 0);
	assert_non_null(strstr(fault.text, "sock_diag"));
}

static void the_namespace_cookie_is_what_a_socket_says(void **state)
{
	CLEANUP_CLOSE int fd = listen_on(AF_INET);
	uint64_t cookie, of_socket;
	socklen_t size = sizeof(of_socket);
	(void)state;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &of_socket, &size),
			 0);
	assert_int_equal(netns_cookie(-1, &cookie), 0);
	assert_int_equal(cookie, of_socket);
}

static void the_port_range_can_be_read(void **state)
{
	char text[64];
	int low, high, length;
	(void)state;

	length = netns_read_sysctl(-1, "ipv4/ip_local_port_range", text, sizeof(text));
	assert_true(length > 0);
	assert_int_equal(sscanf(text, "%d %d", &low, &high), 2);
	assert_true(low < high);
	assert_int_equal(netns_read_sysctl(-1, "ipv4/no_such", text, sizeof(text)),
			 -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_listener_is_listed_once_with_its_port_and_the_wildcard),
		cmocka_unit_test(a_listener_on_ipv6_is_listed_as_ipv6),
		cmocka_unit_test(a_connection_is_listed_with_both_ends_as_v4_mapped),
		cmocka_unit_test(a_connected_udp_socket_is_listed),
		cmocka_unit_test(a_visitor_that_stops_sees_no_more),
		cmocka_unit_test(
			a_descriptor_that_is_no_namespace_is_refused_with_a_reason),
		cmocka_unit_test(the_namespace_cookie_is_what_a_socket_says),
		cmocka_unit_test(the_port_range_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
