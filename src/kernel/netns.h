/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* netns.h - network namespaces: which are there, and what is set in them. */
#ifndef KERNEL_NETNS_H
#define KERNEL_NETNS_H

#include <stdint.h>

/*
 * A socket made inside the namespace behind fd; -1: the caller's own. It stays there,
 * wherever it is used. Close-on-exec. Returns the descriptor.
 */
int netns_socket(int netns_fd, int domain, int type, int protocol);

/* The cookie (SO_NETNS_COOKIE) of the namespace behind fd; -1: the caller's own. */
int netns_cookie(int netns_fd, uint64_t *ret_cookie);

/* Called with a descriptor that is closed after the call. Non-zero stops. */
typedef int netns_visit_fn(int netns_fd, uint64_t cookie, void *arg);

/* Visit the namespaces of all processes, and those with a name in /run/netns, each
 * once. Returns how many. */
int netns_visit(netns_visit_fn *visit, void *arg);

/*
 * Read a file below /proc/sys/net as seen inside the namespace, at most size - 1
 * bytes, terminated. Returns the length or a negative errno.
 */
int netns_read_sysctl(int netns_fd, const char *name, char *buf, int size);

/* Write such a file. 0 or a negative errno. */
int netns_write_sysctl(int netns_fd, const char *name, const char *text);

#endif /* KERNEL_NETNS_H */
