/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * manage.h - the policy's rules at work: their pools, the hooks of the scope, the
 * guard, the ports that are kept for systemd's socket units.
 *
 * A transient daemon never manages by rules.
 */
#ifndef DAEMON_MANAGE_H
#define DAEMON_MANAGE_H

#include "daemon/daemon.h"

struct manage;

int manage_new(struct daemon *daemon, struct manage **ret);
void manage_free(struct manage *manage); /* lets go of the pools; NULL is fine */

/*
 * From now on this policy decides: on a fault nothing changes. Nothing is given before
 * the pools are known, listed in srcportd's own namespace, and named by rules. The
 * policy's pools that are the same keep their numbers.
 */
int manage_apply(struct manage *manage, const struct policy *policy,
		 struct fault *fault);

/* Sessions are managed by rules: there is one, and the hooks are attached. */
bool manage_is_on(const struct manage *manage);

/* The pool of the policy's rule, by its index; NULL: the kernel picks. */
const struct pools_entry *manage_pool(const struct manage *manage, int rule);

/* Call about once a minute: socket units that came or went. */
void manage_tick(struct manage *manage);

/* How many ports are kept for socket units. */
size_t manage_reserved_count(const struct manage *manage);

#endif /* DAEMON_MANAGE_H */
