/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Port sets of RFC 7597, section 5.1 and appendix B. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_show.h"
#include "policy/port_set.h"

#define PORT_BITS 16
#define PORT_MIN  1024
#define PORT_MAX  65535
#define BLANKS	  " \t"

enum { OFFSET, LENGTH, PSID, NUMBER_COUNT };

/* Decimal, or hexadecimal behind 0x; at most 65535. Steps *text behind it. */
static int take_number(const char **text, unsigned int *ret)
{
	const char *start = *text + strspn(*text, BLANKS);
	bool is_hex = start[0] == '0' && (start[1] == 'x' || start[1] == 'X');
	const char *digits = start + (is_hex ? 2 : 0);
	size_t length =
		strspn(digits, is_hex ? "0123456789abcdefABCDEF" : "0123456789");
	unsigned long number = strtoul(digits, NULL, is_hex ? 16 : 10);

	if (!length || length > 5 || number > PORT_MAX)
		return -EINVAL;
	*text = digits + length;
	*text += strspn(*text, BLANKS);
	*ret = (unsigned int)number;
	return 0;
}

static int parse_numbers(const char *text, unsigned int *ret)
{
	for (size_t i = 0; i < NUMBER_COUNT; i++) {
		if (take_number(&text, &ret[i]) < 0)
			return -EINVAL;
		if (*text++ != (i + 1 < NUMBER_COUNT ? ',' : '\0'))
			return -EINVAL;
	}
	return 0;
}

/* Ports are A, PSID and M, one behind the other; each A gives a run of ports. */
static void add_all(unsigned int offset, unsigned int length, unsigned int psid,
		    struct port_set *set)
{
	unsigned int rest = PORT_BITS - offset - length;

	for (uint32_t a = offset ? 1 : 0; a < 1U << offset; a++) {
		uint32_t from = ((a << length) + psid) << rest;
		uint32_t to = from + (1U << rest) - 1;

		if (from < PORT_MIN)
			from = PORT_MIN;
		if (from <= to)
			port_set_add(set, (uint16_t)from, (uint16_t)to);
	}
}

int port_set_parse_psid(const char *text, struct port_set *ret, struct fault *fault)
{
	unsigned int numbers[NUMBER_COUNT];
	struct port_set set = {0};

	if (parse_numbers(text, numbers) < 0)
		return fault_set(fault, -EINVAL,
				 "psid: found \"%s\", expected OFFSET,LENGTH,PSID "
				 "such as 6,8,52",
				 policy_show(text).text);
	if (numbers[OFFSET] + numbers[LENGTH] > PORT_BITS)
		return fault_set(
			fault, -EINVAL,
			"psid: found offset %u and length %u, expected at most "
			"16 bits together",
			numbers[OFFSET], numbers[LENGTH]);
	if (numbers[PSID] >= 1U << numbers[LENGTH])
		return fault_set(
			fault, -EINVAL,
			"psid: found the PSID %u, expected one below %u, which "
			"%u bits can hold",
			numbers[PSID], 1U << numbers[LENGTH], numbers[LENGTH]);
	add_all(numbers[OFFSET], numbers[LENGTH], numbers[PSID], &set);
	if (port_set_count(&set) == 0)
		return fault_set(fault, -EINVAL,
				 "psid: found a set with no port from 1024, expected "
				 "one");
	*ret = set;
	return 0;
}
