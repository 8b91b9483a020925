/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* client.h - ask the daemon over its socket. server.h has the protocol. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "base/fault.h"

struct client;

/* -ENOENT or -ECONNREFUSED where no daemon listens. */
int client_open(const char *path, struct client **ret, struct fault *fault);
void client_close(struct client *client); /* NULL is fine */

/* Called with each item, borrowed. Non-zero stops, and client_ask() returns it. */
typedef int client_item_fn(json_t *item, void *arg);

/*
 * Ask and read the whole answer. The reference to params is taken. *ret_done is the
 * last line, the caller's to release; item may be NULL. -EREMOTEIO with the daemon's
 * own message where it refused; -ECONNRESET where it ended meanwhile.
 */
int client_ask(struct client *client, const char *method, json_t *params,
	       client_item_fn *item, void *arg, json_t **ret_done, struct fault *fault);

#endif /* CLI_CLIENT_H */
