/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * method.h - what the socket can be asked: one file and one const entry per method.
 *
 * A method answers with items and then the fields of the last line. A long answer is
 * made a piece at a time: step() is called again only when the client has read what
 * is there.
 */
#ifndef DAEMON_METHOD_H
#define DAEMON_METHOD_H

#include <jansson.h>

#include "daemon/daemon.h"

struct client;

struct request {
	struct daemon *daemon;
	struct client *client;
	const json_t *params; /* an object; valid until end() */
	pid_t peer_pid;
	void *state;  /* the method's own */
	json_t *done; /* the fields of the last line: the method's to fill */

	/* On failure. code is a word for programs, where the field at fault or NULL. */
	struct fault fault;
	const char *code;
	const char *where;
};

enum {
	METHOD_DONE = 0,
	METHOD_MORE = 1,
};

struct method {
	const char *name;
	bool is_change; /* only root may */
	/* METHOD_DONE, METHOD_MORE (then step() follows), or a negative errno. */
	int (*begin)(struct request *request);
	int (*step)(struct request *request);
	void (*end)(struct request
			    *request); /* frees state, whatever happened; may be NULL */
};

extern const struct method method_status;
extern const struct method method_sessions;
extern const struct method method_run;
extern const struct method method_reload;
extern const struct method method_on;
extern const struct method method_off;
extern const struct method method_pools;
extern const struct method method_why;

/* What the daemon does: observe, manage, off, dry-run, no-record or transient. */
const char *method_mode_name(const struct daemon *daemon);

/* Answer one item; the reference is taken. */
int request_item(struct request *request, json_t *item);

/* Room for more items before the client has to read. */
bool request_has_room(const struct request *request);

/* Say which field of the request is wrong. Returns err. */
int request_refuse(struct request *request, int err, const char *code,
		   const char *where);

/*
 * A text parameter: NULL where it is missing or null. Another type is refused with
 * -EINVAL.
 */
int request_text(struct request *request, const char *name, const char **ret);

#endif /* DAEMON_METHOD_H */
