/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * identify.h - the process table: who is, or was, process P that started at S.
 *
 * Fed by exec, fork and exit events, and at start by /proc, so that a process that
 * lived for less than a millisecond is named as surely as an old one. Keyed by pid and
 * start time; a reused pid is another process.
 */
#ifndef IDENTIFY_IDENTIFY_H
#define IDENTIFY_IDENTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "bpf/event_abi.h"
#include "model/owner.h"

struct identify;

enum identify_cmdline {
	IDENTIFY_CMDLINE_REDACTED, /* values of options named like pass, token, secret,
				      key are starred */
	IDENTIFY_CMDLINE_FULL,
	IDENTIFY_CMDLINE_ARGV0,
	IDENTIFY_CMDLINE_OFF,
};

/*
 * cgroup_root is where cgroup2 is mounted. The table has a ceiling of process_max; past
 * it the process that exited longest ago is forgotten first.
 */
int identify_new(enum identify_cmdline cmdline, const char *cgroup_root,
		 uint32_t process_max, struct identify **ret);
void identify_free(struct identify *identify); /* NULL is fine */

/*
 * Read /proc for the processes that were there before the events. Call after
 * the events are attached and before the first is delivered; what an event said
 * later wins. Returns the number of processes.
 */
int identify_list(struct identify *identify);

/* EVENT_FORK, EVENT_EXEC, EVENT_EXIT; others are ignored. */
void identify_event(struct identify *identify, const struct event_head *event);

/*
 * The owner of a session that this event opens: a new reference, or NULL without
 * memory. What the table does not know is asked of /proc, and believed only when
 * the start time agrees.
 */
struct owner *identify_owner(struct identify *identify, const struct event_open *open);

/*
 * The executable of the process that has this pid or had it last; NULL: not known.
 * Borrowed, until the next event.
 */
const char *identify_exe(const struct identify *identify, uint32_t pid);

/* From now on; what was read before stays as it is. */
void identify_set_cmdline(struct identify *identify, enum identify_cmdline cmdline);

/* Wall clock of a CLOCK_BOOTTIME moment, by the offset taken at the last
 * identify_set_clock(). */
uint64_t identify_wall_ns(const struct identify *identify, uint64_t boottime_ns);

/* Take the offset between the two clocks anew (the clock was stepped). */
void identify_set_clock(struct identify *identify, uint64_t wall_ns,
			uint64_t boottime_ns);

/* argv (NUL-separated, length bytes) as one line under the rule. Malloc'd; NULL: no
 * memory or off. */
char *identify_cmdline_format(enum identify_cmdline rule, const char *argv,
			      size_t length);

#endif /* IDENTIFY_IDENTIFY_H */
