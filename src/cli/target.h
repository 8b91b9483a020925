/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* target.h - what a person asks about: a port, maybe of an address, maybe of TCP. */
#ifndef CLI_TARGET_H
#define CLI_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "model/address.h"

struct target {
	bool has_address;
	struct address address;
	uint16_t port;
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP; 0: not said */
};

/* "PORT", "ADDR:PORT", "[ADDR]:PORT", each with "/tcp" or "/udp". 0 or -EINVAL. */
int target_parse(const char *text, struct target *ret, struct fault *fault);

#endif /* CLI_TARGET_H */
