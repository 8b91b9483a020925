/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int endpoint_parse(const char *address, const char *port, struct endpoint *ret)
{
	struct endpoint parsed = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&parsed.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&parsed.address;
	char *end;
	unsigned long number = strtoul(port, &end, 10);

	if (!*port || *end || number > 65535)
		return -EINVAL;
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(number);
		parsed.length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(number);
		parsed.length = sizeof(*v6);
	} else {
		return -EINVAL;
	}
	*ret = parsed;
	return 0;
}

int endpoint_type_parse(const char *name, int *ret_type)
{
	if (!strcmp(name, "tcp"))
		*ret_type = SOCK_STREAM;
	else if (!strcmp(name, "udp"))
		*ret_type = SOCK_DGRAM;
	else
		return -EINVAL;
	return 0;
}

int endpoint_socket(const struct endpoint *remote, int type)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(remote->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

int endpoint_connect(int fd, const struct endpoint *remote)
{
	if (connect(fd, (const struct sockaddr *)&remote->address, remote->length) ==
		    0 ||
	    errno == EINPROGRESS)
		return 0;
	return -errno;
}

int endpoint_open(const struct endpoint *remote, int type)
{
	int fd = endpoint_socket(remote, type), err;

	if (fd < 0)
		return fd;
	err = endpoint_connect(fd, remote);
	if (err < 0) {
		close(fd);
		return err;
	}
	return fd;
}

int endpoint_local(int fd, struct endpoint *ret)
{
	struct endpoint local = {.length = sizeof(local.address)};

	if (getsockname(fd, (struct sockaddr *)&local.address, &local.length) < 0)
		return -errno;
	*ret = local;
	return 0;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
	/* sin_port and sin6_port stand at the same place. */
	return ntohs(((const struct sockaddr_in *)&endpoint->address)->sin_port);
}

char *endpoint_format(const struct endpoint *endpoint, char *buf)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&endpoint->address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&endpoint->address;
	char text[INET6_ADDRSTRLEN] = "?";

	if (v4->sin_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
	snprintf(buf, ENDPOINT_TEXT_MAX, "%s %u", text, endpoint_port(endpoint));
	return buf;
}

int endpoint_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	return limit.rlim_cur > INT_MAX ? INT_MAX : (int)limit.rlim_cur;
}
