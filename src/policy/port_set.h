/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * port_set.h - a set of ports from 1024 to 65535, as people write it.
 *
 * "49152-65535", "50000,50002,51000-51999", "49152-65535 !50000-50099" (an
 * exception starts with "!").
 */
#ifndef POLICY_PORT_SET_H
#define POLICY_PORT_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define PORT_SET_TEXT_MAX 512

struct port_set {
	uint64_t words[1024]; /* bit p % 64 of word p / 64 */
};

/*
 * 0, or -EINVAL with a fault that says which part is wrong and why: empty,
 * reversed, below 1024, over 65535, not a number.
 */
int port_set_parse(const char *text, struct port_set *ret, struct fault *fault);

/*
 * The ports of a host behind a shared address (MAP-E, lw4o6): "OFFSET,LENGTH,PSID" as
 * in RFC 7597, 5.1. Of the 16 bits of such a port the first OFFSET are any (but not all
 * zero, unless OFFSET is 0), the next LENGTH are PSID, the rest is any. PSID may be
 * in hexadecimal (0x34). Only ports from 1024 are taken. 0, or -EINVAL with a fault.
 */
int port_set_parse_psid(const char *text, struct port_set *ret, struct fault *fault);

bool port_set_has(const struct port_set *set, uint16_t port);
void port_set_add(struct port_set *set, uint16_t from, uint16_t to);
void port_set_join(struct port_set *set, const struct port_set *other);
void port_set_intersect(struct port_set *set, const struct port_set *other);
void port_set_remove(struct port_set *set, const struct port_set *other);
size_t port_set_count(const struct port_set *set);
bool port_set_overlaps(const struct port_set *set, uint16_t from, uint16_t to);

/* As ranges, "49152-49999,50100-65535", cut with "..." to fit size. Returns buf. */
char *port_set_format(const struct port_set *set, char *buf, size_t size);

#endif /* POLICY_PORT_SET_H */
