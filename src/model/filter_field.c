/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/filter_field.h"

#include <errno.h>
#include <fnmatch.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define PORT_MAX     65535
#define STATE_OPEN   0
#define STATE_CLOSED 1

static int parse_digits(const char *text, uint64_t limit, uint64_t *ret)
{
	uint64_t number;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || number > limit)
		return -EINVAL;
	*ret = number;
	return 0;
}

/* Turn "relation number" into the range of numbers that pass. */
static void set_range(struct filter_test *test, uint64_t number)
{
	test->from = 0;
	test->to = UINT64_MAX;
	switch (test->relation) {
	case RELATION_BELOW:
		test->from = number == 0; /* nothing is below 0: an empty range */
		test->to = number == 0 ? 0 : number - 1;
		break;
	case RELATION_AT_MOST:
		test->to = number;
		break;
	case RELATION_ABOVE:
		test->from = number == UINT64_MAX ? number : number + 1;
		test->to = number == UINT64_MAX ? 0 : UINT64_MAX;
		break;
	case RELATION_AT_LEAST:
		test->from = number;
		break;
	default:
		test->from = number;
		test->to = number;
	}
}

static bool in_range(const struct filter_test *test, uint64_t number)
{
	return test->from <= number && number <= test->to;
}

static int parse_number(const char *value, struct filter_test *test)
{
	uint64_t number;
	int err = parse_digits(value, UINT64_MAX, &number);

	if (err == 0)
		set_range(test, number);
	return err;
}

/* "443" or a name of services(5), such as https */
static int parse_port_number(const char *text, uint64_t *ret)
{
	const struct servent *service;

	if (parse_digits(text, PORT_MAX, ret) == 0)
		return 0;
	if (*text >= '0' && *text <= '9')
		return -EINVAL;
	service = getservbyname(text, NULL);
	if (!service)
		return -EINVAL;
	*ret = ntohs((uint16_t)service->s_port);
	return 0;
}

/* "443", ":443", "https", "50000-50999" (only for = and !=) */
static int parse_port(const char *value, struct filter_test *test)
{
	CLEANUP_FREE char *copy = strdup(*value == ':' ? value + 1 : value);
	char *dash = copy ? strchr(copy, '-') : NULL;
	uint64_t from, to;

	if (!copy)
		return -ENOMEM;
	if (parse_port_number(copy, &from) == 0) { /* a service name may have a dash */
		set_range(test, from);
		return 0;
	}
	if (!dash || test->relation > RELATION_DIFFERENT)
		return -EINVAL;
	*dash = '\0';
	if (parse_port_number(copy, &from) < 0 ||
	    parse_port_number(dash + 1, &to) < 0 || from > to)
		return -EINVAL;
	test->from = from;
	test->to = to;
	return 0;
}

/* The colon before the port of "10.0.0.1:80", "[::1]:80", ":80"; NULL in "::1". */
static char *find_port_colon(char *text)
{
	char *bracket = strchr(text, ']');
	char *colon = strchr(bracket ? bracket : text, ':');

	return colon && !strchr(colon + 1, ':') ? colon : NULL;
}

/* An address, a prefix, either with ports behind, or ports alone (":443"). */
static int parse_endpoint(const char *value, struct filter_test *test)
{
	CLEANUP_FREE char *copy = strdup(value);
	char *colon = copy ? find_port_colon(copy) : NULL;

	if (!copy)
		return -ENOMEM;
	test->from = 0;
	test->to = PORT_MAX;
	if (colon) {
		*colon = '\0';
		if (parse_port(colon + 1, test) < 0)
			return -EINVAL;
		if (colon == copy || strcmp(copy, "*") == 0)
			return 0; /* a prefix of no bits: every address */
	}
	return address_parse_prefix(copy, &test->prefix, &test->prefix_bits);
}

static int parse_text(const char *value, struct filter_test *test)
{
	test->text = strdup(value);
	return test->text ? 0 : -ENOMEM;
}

static int parse_uid(const char *value, struct filter_test *test)
{
	const struct passwd *user;

	if (parse_number(value, test) == 0)
		return 0;
	user = getpwnam(value);
	if (!user)
		return -EINVAL;
	set_range(test, user->pw_uid);
	return 0;
}

static int parse_proto(const char *value, struct filter_test *test)
{
	uint8_t protocol = protocol_parse(value);

	set_range(test, protocol);
	return protocol ? 0 : -EINVAL;
}

static int parse_state(const char *value, struct filter_test *test)
{
	bool is_open = strcmp(value, "open") == 0;

	set_range(test, is_open ? STATE_OPEN : STATE_CLOSED);
	return is_open || strcmp(value, "closed") == 0 ? 0 : -EINVAL;
}

static int parse_reason(const char *value, struct filter_test *test)
{
	enum end_reason reason = end_reason_parse(value);

	set_range(test, reason);
	return reason == END_UNKNOWN ? -EINVAL : 0;
}

static int parse_picked_by(const char *value, struct filter_test *test)
{
	enum picked_by who = picked_by_parse(value);

	set_range(test, who);
	return who == PICKED_BY_UNKNOWN ? -EINVAL : 0;
}

static bool sport_equals(const struct filter_test *test, const struct session *session)
{
	return session->sport && in_range(test, session->sport);
}

static bool dport_equals(const struct filter_test *test, const struct session *session)
{
	return session->dport && in_range(test, session->dport);
}

static bool port_equals(const struct filter_test *test, const struct session *session)
{
	return sport_equals(test, session) || dport_equals(test, session);
}

static bool endpoint_equals(const struct filter_test *test,
			    const struct address *address, uint16_t port)
{
	if (!in_range(test, port))
		return false;
	if (test->prefix_bits == 0) /* asked for a port alone */
		return true;
	return address_is_known(address) &&
	       address_in_prefix(address, &test->prefix, test->prefix_bits);
}

static bool src_equals(const struct filter_test *test, const struct session *session)
{
	return endpoint_equals(test, &session->src, session->sport);
}

static bool dst_equals(const struct filter_test *test, const struct session *session)
{
	return endpoint_equals(test, &session->dst, session->dport);
}

static bool pid_equals(const struct filter_test *test, const struct session *session)
{
	return session->owner && session->owner->pid &&
	       in_range(test, session->owner->pid);
}

static bool uid_equals(const struct filter_test *test, const struct session *session)
{
	return session->owner && in_range(test, session->owner->uid);
}

static bool netns_equals(const struct filter_test *test, const struct session *session)
{
	return session->id.netns && in_range(test, session->id.netns);
}

static bool proto_equals(const struct filter_test *test, const struct session *session)
{
	return in_range(test, session->protocol);
}

static bool state_equals(const struct filter_test *test, const struct session *session)
{
	return in_range(test, session->end_ns ? STATE_CLOSED : STATE_OPEN);
}

static bool reason_equals(const struct filter_test *test, const struct session *session)
{
	return in_range(test, session->end_reason);
}

static bool picked_by_equals(const struct filter_test *test,
			     const struct session *session)
{
	return in_range(test, session->picked_by);
}

/* A star crosses slashes, so that one star stands for a whole subtree. */
static bool text_equals(const struct filter_test *test, const char *text)
{
	return text && *text && fnmatch(test->text, text, 0) == 0;
}

static bool exe_equals(const struct filter_test *test, const struct session *session)
{
	const char *exe = session->owner ? session->owner->exe : NULL;
	const char *slash = exe ? strrchr(exe, '/') : NULL;

	if (slash && !strchr(test->text, '/'))
		exe = slash + 1;
	return text_equals(test, exe);
}

static bool comm_equals(const struct filter_test *test, const struct session *session)
{
	return session->owner && text_equals(test, session->owner->comm);
}

static bool user_equals(const struct filter_test *test, const struct session *session)
{
	return session->owner && text_equals(test, session->owner->user);
}

static bool cgroup_equals(const struct filter_test *test, const struct session *session)
{
	return session->owner && text_equals(test, session->owner->cgroup);
}

static bool pool_equals(const struct filter_test *test, const struct session *session)
{
	return text_equals(test, session->pool);
}

#define PORT_EXPECTED \
	"a port (443), a service (https), or with = and != a range (50000-50999)"
#define ENDPOINT_EXPECTED                                                 \
	"an address (10.0.0.1), a prefix (10.0.0.0/8), a port behind it " \
	"(10.0.0.1:443)"
#define TEXT_EXPECTED "a text, in which * stands for anything"

const struct filter_field filter_fields[] = {
	{"sport", PORT_EXPECTED, true, parse_port, sport_equals},
	{"dport", PORT_EXPECTED, true, parse_port, dport_equals},
	{"port", PORT_EXPECTED, true, parse_port, port_equals},
	{"src", ENDPOINT_EXPECTED, false, parse_endpoint, src_equals},
	{"dst", ENDPOINT_EXPECTED, false, parse_endpoint, dst_equals},
	{"pid", "a process number", true, parse_number, pid_equals},
	{"exe", TEXT_EXPECTED, false, parse_text, exe_equals},
	{"comm", TEXT_EXPECTED, false, parse_text, comm_equals},
	{"uid", "a user's number or name", true, parse_uid, uid_equals},
	{"user", TEXT_EXPECTED, false, parse_text, user_equals},
	{"pool", TEXT_EXPECTED, false, parse_text, pool_equals},
	{"cgroup", TEXT_EXPECTED, false, parse_text, cgroup_equals},
	{"proto", "tcp or udp", false, parse_proto, proto_equals},
	{"state", "open or closed", false, parse_state, state_equals},
	{"reason", "fin, reset, refused, unreachable, timeout, idle or lost", false,
	 parse_reason, reason_equals},
	{"picked-by", "srcport, kernel or program", false, parse_picked_by,
	 picked_by_equals},
	{"netns", "the number of a network namespace", true, parse_number,
	 netns_equals},
	{0},
};

int filter_field_parse(const struct filter_field *field, const char *value,
		       struct filter_test *test)
{
	test->field = field;
	return field->parse(value, test);
}

bool filter_test_holds(const struct filter_test *test, const struct session *session)
{
	bool is_equal = test->field->equals(test, session);

	return test->relation == RELATION_DIFFERENT ? !is_equal : is_equal;
}

uint16_t filter_test_fixed_sport(const struct filter_test *test)
{
	bool names_sport = test->field->equals == sport_equals ||
			   test->field->equals == src_equals;

	if (!names_sport || test->relation == RELATION_DIFFERENT ||
	    test->from != test->to || test->from > PORT_MAX)
		return 0;
	return (uint16_t)test->from;
}
