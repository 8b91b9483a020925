/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "ledger/ledger_row.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define V4_OFFSET 12 /* of the four bytes in a v4-mapped address */
#define V4_SIZE	  4

/* The columns of LEDGER_ROW_SELECT. */
enum {
	ROW_ID,
	ROW_START,
	ROW_END,
	ROW_PORT_FREE,
	ROW_NETNS,
	ROW_COOKIE,
	ROW_USE,
	ROW_PROTOCOL,
	ROW_DIRECTION,
	ROW_SRC,
	ROW_SPORT,
	ROW_DST,
	ROW_DPORT,
	ROW_END_REASON,
	ROW_TX,
	ROW_RX,
	ROW_PICKED_BY,
	ROW_OWNER,
	ROW_BOOT,
	ROW_POOL,
};

DEFINE_CLEANUP(struct owner, owner_unref)

void ledger_owners_release(struct ledger_owners *owners)
{
	for (size_t i = 0; i < LEDGER_OWNER_SLOTS; i++)
		owner_unref(owners->slots[i].owner);
	sqlite3_finalize(owners->find);
	*owners = (struct ledger_owners){0};
}

void ledger_bind_or_null(sqlite3_stmt *statement, int column, uint64_t value,
			 uint64_t unknown)
{
	if (value == unknown)
		sqlite3_bind_null(statement, column);
	else
		sqlite3_bind_int64(statement, column, (int64_t)value);
}

void ledger_bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text(statement, column, text, -1, SQLITE_STATIC);
}

void ledger_bind_address(sqlite3_stmt *statement, int column,
			 const struct address *address)
{
	if (!address_is_known(address))
		sqlite3_bind_null(statement, column);
	else if (address_is_v4(address))
		sqlite3_bind_blob(statement, column, address->bytes + V4_OFFSET,
				  V4_SIZE, SQLITE_STATIC);
	else
		sqlite3_bind_blob(statement, column, address->bytes,
				  sizeof(address->bytes), SQLITE_STATIC);
}

void ledger_owner_bind(sqlite3_stmt *statement, const struct owner *owner)
{
	int column = 0;

	sqlite3_bind_int64(statement, ++column, owner->pid);
	ledger_bind_or_null(statement, ++column, owner->pid_start_ns, 0);
	sqlite3_bind_int64(statement, ++column, owner->uid);
	ledger_bind_text(statement, ++column, owner->comm);
	ledger_bind_text(statement, ++column, owner->exe);
	ledger_bind_or_null(statement, ++column, owner->exe_inode, 0);
	ledger_bind_or_null(statement, ++column, owner->exe_device, 0);
	ledger_bind_text(statement, ++column, owner->cmdline);
	ledger_bind_text(statement, ++column, owner->user);
	ledger_bind_text(statement, ++column, owner->cgroup);
	ledger_bind_text(statement, ++column, owner->unit);
	ledger_bind_text(statement, ++column, owner->container);
}

/* A copy of a text column; *ret stays NULL where the column is NULL. */
static int read_text(sqlite3_stmt *row, int column, char **ret)
{
	const char *text = (const char *)sqlite3_column_text(row, column);

	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int read_owner_texts(sqlite3_stmt *row, struct owner *owner)
{
	const struct {
		int column;
		char **text;
	} texts[] = {
		{4, &owner->exe},    {7, &owner->cmdline}, {8, &owner->user},
		{9, &owner->cgroup}, {10, &owner->unit},   {11, &owner->container},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (read_text(row, texts[i].column, texts[i].text) < 0)
			return -ENOMEM;
	return 0;
}

static int read_owner(sqlite3_stmt *row, struct owner **ret)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = NULL;
	const char *comm = (const char *)sqlite3_column_text(row, 3);

	owner = owner_new((uint32_t)sqlite3_column_int64(row, 0),
			  (uint64_t)sqlite3_column_int64(row, 1),
			  (uint32_t)sqlite3_column_int64(row, 2));
	if (!owner)
		return -ENOMEM;
	snprintf(owner->comm, sizeof(owner->comm), "%s", comm ? comm : "");
	owner->exe_inode = (uint64_t)sqlite3_column_int64(row, 5);
	owner->exe_device = (uint64_t)sqlite3_column_int64(row, 6);
	if (read_owner_texts(row, owner) < 0)
		return -ENOMEM;
	*ret = TAKE(owner);
	return 0;
}

/* An id that leads nowhere is a damaged file. */
static int find_owner(struct ledger_owners *owners, int64_t id, struct owner **ret)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = NULL;
	size_t slot = (uint64_t)id % LEDGER_OWNER_SLOTS;
	int err;

	if (owners->slots[slot].id == id && owners->slots[slot].owner) {
		*ret = owners->slots[slot].owner;
		return 0;
	}
	sqlite3_bind_int64(owners->find, 1, id);
	if (sqlite3_step(owners->find) == SQLITE_ROW)
		err = read_owner(owners->find, &owner);
	else
		err = -EBADMSG;
	sqlite3_reset(owners->find);
	if (err < 0)
		return err;
	owner_unref(owners->slots[slot].owner);
	owners->slots[slot].id = id;
	*ret = owners->slots[slot].owner = TAKE(owner);
	return 0;
}

static int read_address(sqlite3_stmt *row, int column, struct address *ret)
{
	const void *blob = sqlite3_column_blob(row, column);
	int size = sqlite3_column_bytes(row, column);

	if (size == V4_SIZE) {
		ret->bytes[V4_OFFSET - 2] = 0xff;
		ret->bytes[V4_OFFSET - 1] = 0xff;
		memcpy(ret->bytes + V4_OFFSET, blob, V4_SIZE);
	} else if (size == (int)sizeof(ret->bytes)) {
		memcpy(ret->bytes, blob, sizeof(ret->bytes));
	} else if (size != 0) {
		return -EBADMSG;
	}
	return 0;
}

static bool is_within(sqlite3_stmt *row, int column, int64_t max)
{
	int64_t value = sqlite3_column_int64(row, column);

	return value >= 0 && value <= max;
}

static bool is_sane(sqlite3_stmt *row)
{
	return is_within(row, ROW_PROTOCOL, UINT8_MAX) &&
	       is_within(row, ROW_DIRECTION, DIRECTION_IN) &&
	       is_within(row, ROW_SPORT, UINT16_MAX) &&
	       is_within(row, ROW_DPORT, UINT16_MAX) &&
	       is_within(row, ROW_END_REASON, END_LOST) &&
	       is_within(row, ROW_PICKED_BY, PICKED_BY_PROGRAM);
}

static uint64_t read_bytes(sqlite3_stmt *row, int column)
{
	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		return BYTES_UNKNOWN;
	return (uint64_t)sqlite3_column_int64(row, column);
}

static void read_names(sqlite3_stmt *row, struct session *session)
{
	const char *boot = (const char *)sqlite3_column_text(row, ROW_BOOT);
	const char *pool = (const char *)sqlite3_column_text(row, ROW_POOL);

	snprintf(session->id.boot, sizeof(session->id.boot), "%s", boot ? boot : "");
	snprintf(session->pool, sizeof(session->pool), "%s", pool ? pool : "");
}

int ledger_row_read(sqlite3_stmt *row, struct ledger_owners *owners,
		    struct session *ret)
{
	struct session session = {
		.id.netns = (uint64_t)sqlite3_column_int64(row, ROW_NETNS),
		.id.cookie = (uint64_t)sqlite3_column_int64(row, ROW_COOKIE),
		.id.use = (uint32_t)sqlite3_column_int64(row, ROW_USE),
		.protocol = (uint8_t)sqlite3_column_int(row, ROW_PROTOCOL),
		.direction = (enum direction)sqlite3_column_int(row, ROW_DIRECTION),
		.sport = (uint16_t)sqlite3_column_int(row, ROW_SPORT),
		.dport = (uint16_t)sqlite3_column_int(row, ROW_DPORT),
		.start_ns = (uint64_t)sqlite3_column_int64(row, ROW_START),
		.end_ns = (uint64_t)sqlite3_column_int64(row, ROW_END),
		.port_free_ns = (uint64_t)sqlite3_column_int64(row, ROW_PORT_FREE),
		.end_reason = (enum end_reason)sqlite3_column_int(row, ROW_END_REASON),
		.tx_bytes = read_bytes(row, ROW_TX),
		.rx_bytes = read_bytes(row, ROW_RX),
		.picked_by = (enum picked_by)sqlite3_column_int(row, ROW_PICKED_BY),
	};
	int err;

	if (!is_sane(row) || read_address(row, ROW_SRC, &session.src) < 0 ||
	    read_address(row, ROW_DST, &session.dst) < 0)
		return -EBADMSG;
	read_names(row, &session);
	if (sqlite3_column_type(row, ROW_OWNER) != SQLITE_NULL) {
		err = find_owner(owners, sqlite3_column_int64(row, ROW_OWNER),
				 &session.owner);
		if (err < 0)
			return err;
	}
	*ret = session;
	return 0;
}
