/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * address.h - one IPv4 or IPv6 address: 16 bytes in network order, IPv4 as
 * v4-mapped (RFC 4291, 2.5.5.2). All zero means not known.
 */
#ifndef MODEL_ADDRESS_H
#define MODEL_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX 46 /* with the terminator */

struct address {
	uint8_t bytes[16];
};

bool address_is_known(const struct address *address);
bool address_is_v4(const struct address *address);
bool address_equal(const struct address *a, const struct address *b);

/* v4-mapped prints as dotted IPv4. buf holds ADDRESS_TEXT_MAX bytes. Returns buf. */
char *address_format(const struct address *address, char *buf);

/* "10.0.0.1", "2001:db8::1", "[2001:db8::1]". 0 or -EINVAL. */
int address_parse(const char *text, struct address *ret);

/*
 * "10.0.0.0/8", "2001:db8::/32", or an address alone. *ret_bits counts from the
 * front of the 16 bytes (10.0.0.0/8 gives 104). 0 or -EINVAL.
 */
int address_parse_prefix(const char *text, struct address *ret, unsigned int *ret_bits);

bool address_in_prefix(const struct address *address, const struct address *prefix,
		       unsigned int bits);

#endif /* MODEL_ADDRESS_H */
