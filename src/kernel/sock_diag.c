/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "kernel/sock_diag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

#include "base/cleanup.h"
#include "kernel/netns.h"

#define EVERY_STATE 0xffffffff
#define DUMP_BYTES  32768 /* the kernel fills what it is given */

struct dump {
	sock_diag_visit_fn *visit;
	void *arg;
	uint8_t protocol;
	int visited;
	bool is_stopped;
};

static void netlink_close(struct mnl_socket **netlink)
{
	if (*netlink)
		mnl_socket_close(*netlink);
}

static void address_fill(struct address *address, uint8_t family, const __be32 *words)
{
	if (family == AF_INET6) {
		memcpy(address->bytes, words, sizeof(address->bytes));
	} else if (words[0]) {
		address->bytes[10] = address->bytes[11] = 0xff;
		memcpy(address->bytes + 12, words, sizeof(words[0]));
	}
}

static int message_visit(const struct nlmsghdr *header, void *arg)
{
	const struct inet_diag_msg *message = mnl_nlmsg_get_payload(header);
	struct diag_socket found = {};
	struct dump *dump = arg;

	if (mnl_nlmsg_get_payload_len(header) < sizeof(*message))
		return MNL_CB_OK;
	found.cookie = (uint64_t)message->id.idiag_cookie[1] << 32 |
		       message->id.idiag_cookie[0];
	found.protocol = dump->protocol;
	found.family = message->idiag_family;
	found.state = message->idiag_state;
	found.local_port = ntohs(message->id.idiag_sport);
	found.remote_port = ntohs(message->id.idiag_dport);
	found.uid = message->idiag_uid;
	found.inode = message->idiag_inode;
	address_fill(&found.local, found.family, message->id.idiag_src);
	address_fill(&found.remote, found.family, message->id.idiag_dst);
	dump->visited++;
	dump->is_stopped = dump->visit(&found, dump->arg) != 0;
	return dump->is_stopped ? MNL_CB_STOP : MNL_CB_OK;
}

static int dump_request(struct mnl_socket *netlink, uint8_t family, uint8_t protocol)
{
	char buf[NLMSG_SPACE(sizeof(struct inet_diag_req_v2))] = {};
	struct nlmsghdr *header = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *request;

	header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request = mnl_nlmsg_put_extra_header(header, sizeof(*request));
	request->sdiag_family = family;
	request->sdiag_protocol = protocol;
	request->idiag_states = EVERY_STATE;
	return mnl_socket_sendto(netlink, header, header->nlmsg_len) < 0 ? -errno : 0;
}

static int dump_read(struct mnl_socket *netlink, struct dump *dump)
{
	CLEANUP_FREE char *buf = malloc(DUMP_BYTES);
	ssize_t length;
	int more;

	if (!buf)
		return -ENOMEM;
	do {
		length = mnl_socket_recvfrom(netlink, buf, DUMP_BYTES);
		if (length < 0)
			return -errno;
		more = mnl_cb_run(buf, length, 0, 0, message_visit, dump);
	} while (more > 0);
	return more < 0 ? -errno : 0;
}

/* One socket for one dump, so that one that is stopped leaves nothing unread. */
static int family_visit(int netns_fd, uint8_t family, struct dump *dump)
{
	CLEANUP(netlink_close) struct mnl_socket *netlink = NULL;
	CLEANUP_CLOSE int fd = -1;
	int err;

	fd = netns_socket(netns_fd, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return fd;
	netlink = mnl_socket_fdopen(fd);
	if (!netlink)
		return -errno;
	fd = -1; /* netlink closes it */
	err = dump_request(netlink, family, dump->protocol);
	return err ? err : dump_read(netlink, dump);
}

int sock_diag_visit(int netns_fd, uint8_t protocol, sock_diag_visit_fn *visit,
		    void *arg, struct fault *fault)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct dump dump = {.visit = visit, .arg = arg, .protocol = protocol};
	int err;

	for (size_t i = 0; i < 2 && !dump.is_stopped; i++) {
		err = family_visit(netns_fd, families[i], &dump);
		if (err)
			return fault_set(fault, err,
					 "cannot list sockets by sock_diag(7): %s",
					 strerror(-err));
	}
	return dump.visited;
}
