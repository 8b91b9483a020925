/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * reload.h - read the policy, at the start and anew.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include "daemon/daemon.h"

/*
 * Read the policy that the options name into daemon->policy, for the start. The fault
 * has the first line that is wrong.
 */
int reload_first(struct daemon *daemon, struct fault *fault);

/* Called with each thing that a person should know: "FILE:LINE: ...". */
typedef void reload_say_fn(const char *text, void *arg);

/*
 * Read it anew and let it decide. All or nothing: where anything is wrong the running
 * policy stays, and say() gets every fault. Else say() gets what cannot change while
 * srcportd runs. All that say() gets is logged too.
 */
int reload_policy(struct daemon *daemon, reload_say_fn *say, void *arg,
		  struct fault *fault);

#endif /* DAEMON_RELOAD_H */
