/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/port_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_show.h"

#define PORT_MIN    1024
#define PORT_MAX    65535
#define WORD_COUNT  1024
#define SEPARATORS  ", \t"
#define RANGE_CHARS 13 /* ",65534-65535" and the terminator */

static int part_fault(struct fault *fault, const char *part, const char *what)
{
	return fault_set(fault, -EINVAL, "ports: \"%s\" %s", policy_show(part).text,
			 what);
}

/* The number at text, which ends at stop. part is what a message quotes. */
static int parse_port(const char *text, char stop, const char *part, uint16_t *ret,
		      struct fault *fault)
{
	size_t digit_count = strspn(text, "0123456789");
	unsigned long port;

	if (digit_count == 0 || text[digit_count] != stop)
		return part_fault(fault, part,
				  "is not a port or a range, expected such as 50000 or "
				  "50000-50999");
	errno = 0;
	port = strtoul(text, NULL, 10);
	if (errno || port > PORT_MAX)
		return part_fault(fault, part, "is over 65535, expected 1024 to 65535");
	if (port < PORT_MIN)
		return part_fault(fault, part, "is below 1024, expected 1024 to 65535");
	*ret = (uint16_t)port;
	return 0;
}

/* "50000" or "50000-50999" */
static int parse_range(const char *part, struct port_set *set, struct fault *fault)
{
	const char *dash = strchr(part, '-');
	uint16_t from, to;
	int err = parse_port(part, dash ? '-' : '\0', part, &from, fault);

	if (err < 0)
		return err;
	to = from;
	if (dash)
		err = parse_port(dash + 1, '\0', part, &to, fault);
	if (err < 0)
		return err;
	if (from > to)
		return part_fault(fault, part,
				  "is reversed, expected the lower port first");
	port_set_add(set, from, to);
	return 0;
}

int port_set_parse(const char *text, struct port_set *ret, struct fault *fault)
{
	struct port_set wanted = {0}, excepted = {0};
	char copy[PORT_SET_TEXT_MAX + 1];
	char *rest = NULL;

	if (strnlen(text, sizeof(copy)) == sizeof(copy))
		return fault_set(fault, -EINVAL,
				 "ports: longer than %d characters, expected fewer",
				 PORT_SET_TEXT_MAX);
	strcpy(copy, text);
	for (char *part = strtok_r(copy, SEPARATORS, &rest); part;
	     part = strtok_r(NULL, SEPARATORS, &rest)) {
		bool is_exception = *part == '!';
		int err = parse_range(part + is_exception,
				      is_exception ? &excepted : &wanted, fault);

		if (err < 0)
			return err;
	}
	if (port_set_count(&wanted) == 0)
		return fault_set(fault, -EINVAL,
				 "ports: empty, expected such as 49152-65535");
	port_set_remove(&wanted, &excepted);
	if (port_set_count(&wanted) == 0)
		return fault_set(fault, -EINVAL,
				 "ports: the exceptions leave no port, expected one");
	*ret = wanted;
	return 0;
}

bool port_set_has(const struct port_set *set, uint16_t port)
{
	return set->words[port / 64] >> (port % 64) & 1;
}

void port_set_add(struct port_set *set, uint16_t from, uint16_t to)
{
	for (uint32_t port = from; port <= to; port++)
		set->words[port / 64] |= 1ULL << (port % 64);
}

void port_set_join(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < WORD_COUNT; i++)
		set->words[i] |= other->words[i];
}

void port_set_intersect(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < WORD_COUNT; i++)
		set->words[i] &= other->words[i];
}

void port_set_remove(struct port_set *set, const struct port_set *other)
{
	for (size_t i = 0; i < WORD_COUNT; i++)
		set->words[i] &= ~other->words[i];
}

size_t port_set_count(const struct port_set *set)
{
	size_t count = 0;

	for (size_t i = 0; i < WORD_COUNT; i++)
		count += (size_t)__builtin_popcountll(set->words[i]);
	return count;
}

bool port_set_overlaps(const struct port_set *set, uint16_t from, uint16_t to)
{
	for (uint32_t port = from; port <= to; port++)
		if (port_set_has(set, (uint16_t)port))
			return true;
	return false;
}

/* The next run of ports at or after *port; steps *port behind it. */
static bool next_range(const struct port_set *set, uint32_t *port, uint32_t *ret_from,
		       uint32_t *ret_to)
{
	uint32_t from = *port, to;

	while (from <= PORT_MAX && !port_set_has(set, (uint16_t)from))
		from++;
	if (from > PORT_MAX)
		return false;
	for (to = from; to < PORT_MAX && port_set_has(set, (uint16_t)(to + 1));)
		to++;
	*port = to + 1;
	*ret_from = from;
	*ret_to = to;
	return true;
}

/* Put "..." over the end of what is in buf. */
static void mark_cut(char *buf, size_t size, size_t length)
{
	size_t at = size < 4 ? 0 : length > size - 4 ? size - 4 : length;

	snprintf(buf + at, size - at, "...");
}

char *port_set_format(const struct port_set *set, char *buf, size_t size)
{
	uint32_t port = 0, from, to;
	size_t length = 0;

	if (size)
		buf[0] = '\0';
	while (size && next_range(set, &port, &from, &to)) {
		const char *comma = length ? "," : "";
		char range[RANGE_CHARS + 10];
		int count =
			from == to ? snprintf(range, sizeof(range), "%s%u", comma, from)
				   : snprintf(range, sizeof(range), "%s%u-%u", comma,
					      from, to);

		if (length + (size_t)count >= size) {
			mark_cut(buf, size, length);
			break;
		}
		memcpy(buf + length, range, (size_t)count + 1);
		length += (size_t)count;
	}
	return buf;
}
