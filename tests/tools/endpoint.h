/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * endpoint.h - addresses and sockets for the small clients of the tests and benches.
 *
 * They stand outside src/ so that what judges srcport shares no code with it. Functions
 * return 0 or a descriptor, or a negative errno.
 */
#ifndef TOOLS_ENDPOINT_H
#define TOOLS_ENDPOINT_H

#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
	struct sockaddr_storage address;
	socklen_t length;
};

#define ENDPOINT_TEXT_MAX 64

/* A numeric address and port. "::ffff:10.9.0.2" gives an IPv6 socket to an IPv4 host.
 */
int endpoint_parse(const char *address, const char *port, struct endpoint *ret);

/* "tcp" or "udp". */
int endpoint_type_parse(const char *name, int *ret_type);

/* A socket of the endpoint's family that does not block; TCP ones close by reset. */
int endpoint_socket(const struct endpoint *remote, int type);

/* 0 also where the handshake has only begun. */
int endpoint_connect(int fd, const struct endpoint *remote);

/* endpoint_socket() and endpoint_connect() in one; the descriptor. */
int endpoint_open(const struct endpoint *remote, int type);

int endpoint_local(int fd, struct endpoint *ret);
uint16_t endpoint_port(const struct endpoint *endpoint);

/* "address port", a v4-mapped address without its prefix. Returns buf. */
char *endpoint_format(const struct endpoint *endpoint, char *buf);

/* Raise the limit on open files to the highest allowed and return it. */
int endpoint_raise_limit(void);

#endif /* TOOLS_ENDPOINT_H */
