/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * recover.h - the sessions that an earlier srcportd left open in the ledger.
 *
 * Those of another boot, and those whose socket the kernel has no more, end as lost
 * when that daemon was last alive. The others are followed here until they close.
 */
#ifndef DAEMON_RECOVER_H
#define DAEMON_RECOVER_H

#include "daemon/daemon.h"
#include "kernel/living.h"

struct recover;

/* Also records that nobody watched between the last beat and now. */
int recover_open(struct daemon *daemon, struct recover **ret, struct fault *fault);
void recover_free(struct recover *recover); /* NULL is fine */

/*
 * EVENT_CLOSE of a session that is followed ends it, and so does EVENT_OPEN of another
 * session on its socket; others are ignored. Call it before pipeline_event(), which
 * learns from here how often the socket was used.
 */
void recover_event(struct recover *recover, const struct event_head *event);

/* How many are followed. */
size_t recover_count(const struct recover *recover);

/* End as lost those whose socket vanished without an event. Call every few seconds. */
void recover_check(struct recover *recover, const struct living *living);

/* Visit what is still open. Non-zero from visit stops and is returned. */
int recover_visit_open(const struct recover *recover, ledger_visit_fn *visit,
		       void *arg);

#endif /* DAEMON_RECOVER_H */
