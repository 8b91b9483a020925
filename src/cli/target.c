/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/session.h"

static int parse_port(const char *text, uint16_t *ret)
{
	char *end;
	unsigned long port;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	port = strtoul(text, &end, 10);
	if (*end || port < 1 || port > 65535)
		return -EINVAL;
	*ret = port;
	return 0;
}

int target_parse(const char *argument, struct target *ret, struct fault *fault)
{
	struct target target = {0};
	char text[128];
	char *slash, *colon;

	if (strlen(argument) >= sizeof(text))
		return fault_set(fault, -EINVAL, "%.40s...: not a port", argument);
	strcpy(text, argument);
	slash = strrchr(text, '/');
	if (slash) {
		*slash++ = '\0';
		target.protocol = protocol_parse(slash);
		if (!target.protocol)
			return fault_set(fault, -EINVAL, "%s: after / comes tcp or udp",
					 argument);
	}
	colon = strrchr(text, ':');
	if (colon) {
		*colon = '\0';
		target.has_address = true;
		if (address_parse(text, &target.address) < 0)
			return fault_set(fault, -EINVAL, "%s: %s is not an address",
					 argument, text);
	}
	if (parse_port(colon ? colon + 1 : text, &target.port) < 0)
		return fault_set(fault, -EINVAL, "%s: not a port from 1 to 65535",
				 argument);
	*ret = target;
	return 0;
}
