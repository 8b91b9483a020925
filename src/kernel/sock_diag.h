/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * sock_diag.h - the sockets the kernel has, as sock_diag(7) lists them.
 */
#ifndef KERNEL_SOCK_DIAG_H
#define KERNEL_SOCK_DIAG_H

#include <stdint.h>

#include "base/fault.h"
#include "model/address.h"

struct diag_socket {
	uint64_t cookie;
	uint8_t protocol;     /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t family;	      /* AF_INET, AF_INET6 */
	uint8_t state;	      /* the kernel's TCP_ESTABLISHED, TCP_LISTEN, ... (UDP: 1
				 connected, 7 not) */
	struct address local; /* IPv4 as v4-mapped; zero: the wildcard */
	struct address remote;
	uint16_t local_port; /* host order */
	uint16_t remote_port;
	uint32_t uid;
	uint32_t inode; /* of the socket's descriptor; 0: closed by its process */
};

typedef int sock_diag_visit_fn(const struct diag_socket *socket, void *arg);

/*
 * Visit every socket of protocol, both families, in the network namespace behind
 * netns_fd (-1: the caller's own; a descriptor of /proc/PID/ns/net otherwise, which
 * takes CAP_SYS_ADMIN). Non-zero from visit stops. Returns the number visited or
 * a negative errno.
 */
int sock_diag_visit(int netns_fd, uint8_t protocol, sock_diag_visit_fn *visit,
		    void *arg, struct fault *fault);

#endif /* KERNEL_SOCK_DIAG_H */
