/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define PREFIX_TEXT_MAX (ADDRESS_TEXT_MAX + 8) /* brackets, "/128", terminator */

static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

bool address_is_known(const struct address *address)
{
	static const struct address unknown;

	return !address_equal(address, &unknown);
}

bool address_is_v4(const struct address *address)
{
	return memcmp(address->bytes, v4_mapped, sizeof(v4_mapped)) == 0;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

char *address_format(const struct address *address, char *buf)
{
	if (address_is_v4(address))
		inet_ntop(AF_INET, address->bytes + 12, buf, ADDRESS_TEXT_MAX);
	else
		inet_ntop(AF_INET6, address->bytes, buf, ADDRESS_TEXT_MAX);
	return buf;
}

/* Parse the first length bytes of text, without brackets. */
static int parse_bare(const char *text, size_t length, struct address *ret)
{
	struct address parsed = {0};
	char bare[ADDRESS_TEXT_MAX];

	if (length >= sizeof(bare))
		return -EINVAL;
	memcpy(bare, text, length);
	bare[length] = '\0';
	if (strchr(bare, ':')) {
		if (inet_pton(AF_INET6, bare, parsed.bytes) != 1)
			return -EINVAL;
	} else {
		memcpy(parsed.bytes, v4_mapped, sizeof(v4_mapped));
		if (inet_pton(AF_INET, bare, parsed.bytes + 12) != 1)
			return -EINVAL;
	}
	*ret = parsed;
	return 0;
}

int address_parse(const char *text, struct address *ret)
{
	size_t length = strlen(text);

	if (text[0] != '[')
		return parse_bare(text, length, ret);
	if (length < 2 || text[length - 1] != ']' || !strchr(text, ':'))
		return -EINVAL;
	return parse_bare(text + 1, length - 2, ret);
}

/* Digits only, at most limit, no sign, nothing after. */
static int parse_bits(const char *text, unsigned int limit, unsigned int *ret)
{
	unsigned int bits = 0;

	if (!*text || strlen(text) > 3)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		bits = bits * 10 + (unsigned int)(*text - '0');
	}
	if (bits > limit)
		return -EINVAL;
	*ret = bits;
	return 0;
}

int address_parse_prefix(const char *text, struct address *ret, unsigned int *ret_bits)
{
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	struct address parsed;
	char head[PREFIX_TEXT_MAX];
	unsigned int bits;
	bool is_dotted;

	if (length >= sizeof(head))
		return -EINVAL;
	memcpy(head, text, length);
	head[length] = '\0';
	if (address_parse(head, &parsed) < 0)
		return -EINVAL;
	is_dotted = !strchr(head, ':');
	bits = is_dotted ? 32 : 128;
	if (slash && parse_bits(slash + 1, bits, &bits) < 0)
		return -EINVAL;
	*ret = parsed;
	*ret_bits = is_dotted ? bits + 96 : bits;
	return 0;
}

bool address_in_prefix(const struct address *address, const struct address *prefix,
		       unsigned int bits)
{
	size_t whole = bits / 8;
	unsigned int rest = bits % 8;

	if (memcmp(address->bytes, prefix->bytes, whole) != 0)
		return false;
	if (!rest)
		return true;
	return (address->bytes[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0;
}
