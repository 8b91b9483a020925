/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ledger_row.h - sessions, owners and gaps as rows, there and back. Private to ledger/.
 *
 * An address is a blob of 4 bytes (IPv4) or 16. What is not known is NULL. Unsigned
 * 64-bit numbers are stored as SQLite's signed ones, bit for bit.
 */
#ifndef LEDGER_ROW_H
#define LEDGER_ROW_H

#include <sqlite3.h>
#include <stdint.h>

#include "model/gap.h"
#include "model/session.h"

/*
 * Sessions looked up by source port go through slots of 2^14 rows. An index
 * over (slot, sport) is written to only at its end, where one over sport alone
 * would touch a page for nearly every session; a look-up costs one seek a slot.
 */
#define LEDGER_SLOT_BITS "14"
#define LEDGER_SLOT_SQL	 "id >> " LEDGER_SLOT_BITS

/* The columns ledger_row_read() expects, and where they come from. */
#define LEDGER_ROW_SELECT                                                        \
	"SELECT s.id, s.start_ns, s.end_ns, s.port_free_ns, s.netns, s.cookie, " \
	"s.use, s.protocol, s.direction, s.src, s.sport, s.dst, s.dport, "       \
	"s.end_reason, s.tx_bytes, s.rx_bytes, s.picked_by, s.owner, b.text, "   \
	"p.text FROM session AS s "
#define LEDGER_ROW_NAMES                        \
	"LEFT JOIN name AS b ON b.id = s.boot " \
	"LEFT JOIN name AS p ON p.id = s.pool "

/* The columns of ledger_owner_read(), which are also the parameters of an owner. */
#define LEDGER_OWNER_COLUMNS                                                        \
	"pid, pid_start_ns, uid, comm, exe, exe_inode, exe_device, cmdline, user, " \
	"cgroup, unit, container"
#define LEDGER_OWNER_COUNT 12

#define LEDGER_OWNER_SLOTS 256

/* The owners of one file that were read lately. */
struct ledger_owners {
	sqlite3_stmt *find; /* LEDGER_OWNER_COLUMNS by id; the cache finalizes it */
	struct {
		int64_t id;
		struct owner *owner;
	} slots[LEDGER_OWNER_SLOTS];
};

void ledger_owners_release(struct ledger_owners *owners);

/* Set parameter column to a value; 0, BYTES_UNKNOWN and NULL as the name says. */
void ledger_bind_or_null(sqlite3_stmt *statement, int column, uint64_t value,
			 uint64_t unknown);
void ledger_bind_text(sqlite3_stmt *statement, int column, const char *text);
void ledger_bind_address(sqlite3_stmt *statement, int column,
			 const struct address *address);

/* Set parameters 1 to LEDGER_OWNER_COUNT. The owner's strings are borrowed. */
void ledger_owner_bind(sqlite3_stmt *statement, const struct owner *owner);

/*
 * Read the session of the current row. Its owner has no reference of its own: it is
 * the cache's, good until the next read. -EBADMSG: a value that cannot be.
 */
int ledger_row_read(sqlite3_stmt *row, struct ledger_owners *owners,
		    struct session *ret);

#endif /* LEDGER_ROW_H */
