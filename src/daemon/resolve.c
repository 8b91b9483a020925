/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "daemon/resolve.h"

#include <netinet/in.h>

#include "kernel/netns.h"
#include "kernel/sock_diag.h"

static int resolve_socket(const struct diag_socket *socket, void *arg)
{
	if (socket->local_port && address_is_known(&socket->local))
		pipeline_resolve(arg, socket->cookie, &socket->local,
				 socket->local_port);
	return 0;
}

static int resolve_namespace(int netns_fd, uint64_t cookie, void *arg)
{
	(void)cookie;
	/* A namespace that ends meanwhile takes its sockets along: no fault. */
	sock_diag_visit(netns_fd, IPPROTO_UDP, resolve_socket, arg, NULL);
	return 0;
}

void resolve_udp(struct pipeline *pipeline)
{
	netns_visit(resolve_namespace, pipeline);
}
