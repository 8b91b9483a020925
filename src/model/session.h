/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * session.h - one use of a tuple from open to close, and what is known of it.
 *
 * src is always the side that opened it. Times are wall clock in nanoseconds since
 * 1970 UTC; 0 means not known (for end_ns: still open). Ports are host order.
 */
#ifndef MODEL_SESSION_H
#define MODEL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/boot.h"
#include "model/address.h"
#include "model/owner.h"

#define BYTES_UNKNOWN	 UINT64_MAX
#define SESSION_POOL_MAX 32 /* longest pool name, with the terminator */
#define SESSION_BOOT_MAX BOOT_ID_MAX

enum picked_by {
	PICKED_BY_UNKNOWN,
	PICKED_BY_SRCPORT,
	PICKED_BY_KERNEL,
	PICKED_BY_PROGRAM,
};

enum direction {
	DIRECTION_OUT,
	DIRECTION_IN,
};

enum end_reason {
	END_UNKNOWN,
	END_FIN, /* closed in order; for UDP, the program closed its socket */
	END_RESET,
	END_REFUSED,
	END_UNREACHABLE,
	END_TIMEOUT,
	END_IDLE,
	END_LOST, /* its end was not seen */
};

/* What the kernel calls it: unique on this host as long as the boot lasts. */
struct session_id {
	char boot[SESSION_BOOT_MAX]; /* /proc/sys/kernel/random/boot_id */
	uint64_t netns;		     /* cookie of the network namespace */
	uint64_t cookie;	     /* of the socket */
	uint32_t use; /* 0 for the socket's first session, then 1, 2, ... */
};

struct session {
	struct session_id id;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	enum direction direction;
	struct address src;
	struct address dst;
	uint16_t sport; /* 0: not known yet */
	uint16_t dport;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t port_free_ns; /* when the port was or will be free; 0: not known */
	enum end_reason end_reason;
	uint64_t tx_bytes; /* sent by src; BYTES_UNKNOWN where nobody counted */
	uint64_t rx_bytes;
	char pool[SESSION_POOL_MAX]; /* empty: from no pool */
	enum picked_by picked_by;
	struct owner *owner; /* borrowed or referenced, as the holder says, or NULL */
};

const char *picked_by_name(enum picked_by who);	     /* NULL when unknown */
const char *end_reason_name(enum end_reason reason); /* NULL when unknown */
const char *direction_name(enum direction direction);
const char *protocol_name(uint8_t protocol); /* "tcp", "udp" */

/* The reverse of the names above; the unknown value (or 0) for other text. */
enum picked_by picked_by_parse(const char *name);
enum end_reason end_reason_parse(const char *name);
uint8_t protocol_parse(const char *name);

/* "boot-netns-cookie", and "-use" where that is not 0. Returns buf, of that size. */
#define SESSION_ID_TEXT_MAX 96
char *session_id_format(const struct session_id *id, char *buf);

/* What session_id_format() wrote for a boot id of 36 characters. 0 or -EINVAL. */
int session_id_parse(const char *text, struct session_id *ret);

#endif /* MODEL_SESSION_H */
