/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* [rule NAME] */
#include <errno.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/policy_keys.h"

#define USER_MAX      (64 * 1024) /* what passwd(5) may say of one */
#define UID_MAX	      4294967294UL
#define HOST_TEXT_MAX (ADDRESS_TEXT_MAX + 8) /* "[ADDRESS/128]" */

static const char destination_expected[] =
	"an address or prefix and, if so, a port, such as 192.0.2.0/24, 192.0.2.1:443, "
	"192.0.2.0/24:8000-8999 or [2001:db8::/32]:443";

/* Has the path a part that is empty, "." or ".."? */
static bool is_crooked(const char *path)
{
	while (*path == '/') {
		size_t length = strcspn(path + 1, "/");

		if (length == 0 || (length == 1 && path[1] == '.') ||
		    (length == 2 && path[1] == '.' && path[2] == '.'))
			return true;
		path += 1 + length;
	}
	return *path != '\0';
}

static void set_text(struct policy_parser *parser, enum rule_condition condition,
		     const char *key, const char *value, char *ret)
{
	if (strlen(value) >= RULE_TEXT_MAX) {
		policy_fail(parser, "%s: found %zu characters, expected at most %d",
			    key, strlen(value), RULE_TEXT_MAX - 1);
		return;
	}
	strcpy(ret, value);
	parser->rule->conditions |= condition;
}

static void set_cgroup(struct policy_parser *parser, const char *value)
{
	char path[POLICY_SHOWN_MAX + RULE_TEXT_MAX];
	size_t length = strlen(value);

	if (length > 1 && value[length - 1] == '/')
		length--;
	snprintf(path, sizeof(path), "%.*s", (int)length, value);
	if (*value != '/' || (strcmp(value, "/") != 0 && is_crooked(path)))
		policy_fail_value(parser, "cgroup", value,
				  "a path from the root of cgroup2, such as "
				  "/system.slice/haproxy.service");
	else
		set_text(parser, RULE_CGROUP, "cgroup", path, parser->rule->cgroup);
}

/* "NAME.service", of a unit that may have processes; not "NAME@.service". */
static bool is_unit(const char *value)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		":-_.\\@";
	static const char *const kinds[] = {"service", "scope", "slice",
					    "socket",  "mount", "swap"};
	const char *dot = strrchr(value, '.');

	if (!dot || dot == value || dot[-1] == '@' ||
	    strspn(value, letters) != strlen(value))
		return false;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(dot + 1, kinds[i]) == 0)
			return true;
	return false;
}

static void set_unit(struct policy_parser *parser, const char *value)
{
	if (is_unit(value))
		set_text(parser, RULE_UNIT, "unit", value, parser->rule->unit);
	else
		policy_fail_value(parser, "unit", value,
				  "a systemd unit such as haproxy.service, "
				  "user-1000.slice or getty@tty1.service");
}

/* 0, -ENOENT where there is no such user, or another negative errno. */
static int find_user(const char *name, uint32_t *ret)
{
	CLEANUP_FREE char *buf = malloc(USER_MAX);
	struct passwd entry, *found = NULL;
	int err = buf ? getpwnam_r(name, &entry, buf, USER_MAX, &found) : ENOMEM;

	if (!found)
		return err ? -err : -ENOENT;
	*ret = entry.pw_uid;
	return 0;
}

static void set_uid(struct policy_parser *parser, const char *value)
{
	size_t length = strlen(value);
	bool is_number = length && strspn(value, "0123456789") == length;

	if (is_number && length <= 10 && strtoul(value, NULL, 10) <= UID_MAX)
		parser->rule->uid = (uint32_t)strtoul(value, NULL, 10);
	else if (is_number || !length || find_user(value, &parser->rule->uid) < 0) {
		policy_fail_value(parser, "uid", value,
				  "a number below 4294967295 or the name of a user of "
				  "this host");
		return;
	}
	parser->rule->conditions |= RULE_UID;
}

static void set_exe(struct policy_parser *parser, const char *value)
{
	if (*value != '/' || is_crooked(value))
		policy_fail_value(parser, "exe", value,
				  "the whole path of a program, such as "
				  "/usr/sbin/haproxy");
	else
		set_text(parser, RULE_EXE, "exe", value, parser->rule->exe);
}

static void set_netns(struct policy_parser *parser, const char *value)
{
	bool is_path = *value == '/';

	if (!*value || strcmp(value, ".") == 0 || strcmp(value, "..") == 0 ||
	    (is_path && is_crooked(value)) || (!is_path && strchr(value, '/')))
		policy_fail_value(parser, "netns", value,
				  "host, a name in /run/netns or a path such as "
				  "/proc/1/ns/net");
	else
		set_text(parser, RULE_NETNS, "netns", value, parser->rule->netns);
}

/* Digits up to stop; from 1 to 65535. Steps *text behind them. */
static bool take_port(const char **text, uint16_t *ret)
{
	size_t length = strspn(*text, "0123456789");
	unsigned long port = strtoul(*text, NULL, 10);

	if (!length || length > 5 || port < 1 || port > 65535)
		return false;
	*text += length;
	*ret = (uint16_t)port;
	return true;
}

/* "", ":443" or ":8000-8999" */
static bool parse_ports(const char *text, struct rule *rule)
{
	uint16_t first = 0, last = 65535;

	if (*text == ':') {
		text++;
		if (!take_port(&text, &first))
			return false;
		last = first;
		if (*text == '-' && (text++, !take_port(&text, &last)))
			return false;
	}
	if (*text || first > last)
		return false;
	rule->port_first = first;
	rule->port_last = last;
	return true;
}

/*
 * Where the ports begin. The prefix goes to host without its brackets: only one
 * in brackets may have colons and ports. NULL: it is too long.
 */
static const char *split_destination(const char *value, char *host)
{
	const char *colon = strchr(value, ':');
	const char *end;

	if (*value == '[')
		end = strchr(++value, ']');
	else
		end = colon && !strchr(colon + 1, ':') ? colon : value + strlen(value);
	if (!end || end - value >= HOST_TEXT_MAX)
		return NULL;
	memcpy(host, value, (size_t)(end - value));
	host[end - value] = '\0';
	return *end == ']' ? end + 1 : end;
}

/* Clear what is behind the prefix. True: there was something. */
static bool clear_behind(struct address *address, unsigned int bits)
{
	bool had = false;

	for (unsigned int i = bits; i < 128; i++) {
		uint8_t bit = (uint8_t)(0x80 >> (i % 8));

		had |= address->bytes[i / 8] & bit;
		address->bytes[i / 8] &= (uint8_t)~bit;
	}
	return had;
}

static void set_destination(struct policy_parser *parser, const char *value)
{
	struct rule *rule = parser->rule;
	char host[HOST_TEXT_MAX], text[ADDRESS_TEXT_MAX];
	const char *ports = split_destination(value, host);
	bool is_bracketed = *value == '[';

	if (!ports || *host == '[' || (is_bracketed && !strchr(host, ':')) ||
	    address_parse_prefix(host, &rule->destination, &rule->prefix_bits) < 0 ||
	    !parse_ports(ports, rule)) {
		policy_fail_value(parser, "destination", value, destination_expected);
		return;
	}
	if (clear_behind(&rule->destination, rule->prefix_bits))
		policy_notes_warn(parser->notes, parser->line,
				  "destination: %s has bits behind its prefix, taken "
				  "as from %s",
				  policy_show(value).text,
				  address_format(&rule->destination, text));
	rule->conditions |= RULE_DESTINATION;
}

static void set_protocol(struct policy_parser *parser, const char *value)
{
	static const char *const names[] = {"tcp", "udp", NULL};
	int chosen = policy_choose(parser, "protocol", value, names);

	if (chosen < 0)
		return;
	parser->rule->protocol = chosen ? IPPROTO_UDP : IPPROTO_TCP;
	parser->rule->conditions |= RULE_PROTOCOL;
}

static void set_pool(struct policy_parser *parser, const char *value)
{
	struct rule *rule = parser->rule;

	if (strcmp(value, POLICY_POOL_KERNEL) == 0 ||
	    !policy_check_name(parser, "pool", value))
		return;
	strcpy(rule->pool, value);
	parser->rule_pool_lines[rule - parser->policy->rules] = parser->line;
}

static bool begin(struct policy_parser *parser, const char *value)
{
	struct policy *policy = parser->policy;

	if (!policy_check_name(parser, "rule", value))
		return false;
	for (size_t i = 0; i < policy->rule_count; i++) {
		if (strcmp(policy->rules[i].name, value) != 0)
			continue;
		policy_fail(parser,
			    "found [rule %s] again, expected it once (it is on line "
			    "%d)",
			    value, policy->rules[i].line);
		return false;
	}
	if (policy->rule_count == POLICY_RULES_MAX) {
		policy_fail(parser, "found one rule too many, expected at most %d",
			    POLICY_RULES_MAX);
		return false;
	}
	parser->rule = &policy->rules[policy->rule_count++];
	*parser->rule = (struct rule){.line = parser->line};
	strcpy(parser->rule->name, value);
	return true;
}

static void end(struct policy_parser *parser)
{
	if (!policy_has_key(parser, "pool"))
		policy_fail(parser,
			    "rule %s: found no pool, expected pool = NAME, or pool = "
			    "kernel where the kernel is to pick",
			    parser->rule->name);
}

void policy_check_rules(struct policy_parser *parser)
{
	const struct policy *policy = parser->policy;

	for (size_t i = 0; i < policy->rule_count; i++) {
		const char *pool = policy->rules[i].pool;

		if (!*pool || policy_find_pool(policy, pool))
			continue;
		parser->line = parser->rule_pool_lines[i];
		policy_fail(parser,
			    "pool: found \"%s\", expected a pool of this file, default "
			    "or kernel",
			    pool);
	}
}

static const struct policy_key keys[] = {
	{.name = "cgroup", .set = set_cgroup},
	{.name = "unit", .set = set_unit},
	{.name = "uid", .set = set_uid},
	{.name = "exe", .set = set_exe},
	{.name = "netns", .set = set_netns},
	{.name = "destination", .set = set_destination},
	{.name = "protocol", .set = set_protocol},
	{.name = "pool", .set = set_pool},
	{.name = NULL},
};

const struct policy_section policy_section_rule = {
	.name = "rule",
	.keys = keys,
	.begin = begin,
	.end = end,
};
