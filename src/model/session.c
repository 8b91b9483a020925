/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/session.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define UUID_LENGTH 36

static const char *const picked_by_names[] = {
	[PICKED_BY_SRCPORT] = "srcport",
	[PICKED_BY_KERNEL] = "kernel",
	[PICKED_BY_PROGRAM] = "program",
};

static const char *const end_reason_names[] = {
	[END_FIN] = "fin",	   [END_RESET] = "reset",
	[END_REFUSED] = "refused", [END_UNREACHABLE] = "unreachable",
	[END_TIMEOUT] = "timeout", [END_IDLE] = "idle",
	[END_LOST] = "lost",
};

/* The index of name, or 0, which every table leaves for "unknown". */
static unsigned int find_name(const char *const *names, size_t count, const char *name)
{
	for (unsigned int i = 1; i < count; i++)
		if (name && strcmp(names[i], name) == 0)
			return i;
	return 0;
}

const char *picked_by_name(enum picked_by who)
{
	return (size_t)who < COUNT_OF(picked_by_names) ? picked_by_names[who] : NULL;
}

const char *end_reason_name(enum end_reason reason)
{
	return (size_t)reason < COUNT_OF(end_reason_names) ? end_reason_names[reason]
							   : NULL;
}

const char *direction_name(enum direction direction)
{
	return direction == DIRECTION_IN ? "in" : "out";
}

const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	default:
		return NULL;
	}
}

enum picked_by picked_by_parse(const char *name)
{
	return find_name(picked_by_names, COUNT_OF(picked_by_names), name);
}

enum end_reason end_reason_parse(const char *name)
{
	return find_name(end_reason_names, COUNT_OF(end_reason_names), name);
}

uint8_t protocol_parse(const char *name)
{
	if (name && strcmp(name, "tcp") == 0)
		return IPPROTO_TCP;
	if (name && strcmp(name, "udp") == 0)
		return IPPROTO_UDP;
	return 0;
}

char *session_id_format(const struct session_id *id, char *buf)
{
	int length = snprintf(buf, SESSION_ID_TEXT_MAX, "%.36s-%" PRIu64 "-%" PRIu64,
			      id->boot, id->netns, id->cookie);

	if (id->use)
		snprintf(buf + length, SESSION_ID_TEXT_MAX - (size_t)length,
			 "-%" PRIu32, id->use);
	return buf;
}

/* "-123" at *text: step over it. */
static int take_number(const char **text, uint64_t limit, uint64_t *ret)
{
	const char *digits = *text + 1;
	uint64_t number;
	char *end;

	if (**text != '-' || *digits < '0' || *digits > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(digits, &end, 10);
	if (errno || number > limit)
		return -EINVAL;
	*text = end;
	*ret = number;
	return 0;
}

int session_id_parse(const char *text, struct session_id *ret)
{
	struct session_id id = {.boot = ""};
	uint64_t use = 0;

	if (strnlen(text, UUID_LENGTH) < UUID_LENGTH)
		return -EINVAL;
	memcpy(id.boot, text, UUID_LENGTH);
	text += UUID_LENGTH;
	if (take_number(&text, UINT64_MAX, &id.netns) < 0 ||
	    take_number(&text, UINT64_MAX, &id.cookie) < 0)
		return -EINVAL;
	if (*text && take_number(&text, UINT32_MAX, &use) < 0)
		return -EINVAL;
	if (*text)
		return -EINVAL;
	id.use = (uint32_t)use;
	*ret = id;
	return 0;
}
