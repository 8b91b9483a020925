/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * server.h - the socket: one JSON object a line, a request at a time per client.
 *
 *	{"id":1,"method":"sessions","params":{"filter":"dport = 443"}}
 *	{"id":1,"item":{...}}
 *	{"id":1,"done":true,"complete":true,"gaps":[]}
 *	{"id":1,"error":{"code":"...","message":"...","where":"filter"}}
 *
 * Root may all, members of the group srcport may read. A line over 64 KiB ends the
 * connection, as does an answer that nobody reads for a minute.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "daemon/daemon.h"

struct server;

int server_open(struct daemon *daemon, struct server **ret, struct fault *fault);
void server_free(struct server *server); /* removes the socket; NULL is fine */

/* About once a second: drops the clients that do not read. */
void server_tick(struct server *server);

unsigned int server_client_count(const struct server *server);

#endif /* DAEMON_SERVER_H */
