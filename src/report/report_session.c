/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "report/report_session.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/moment.h"
#include "report/report_escape.h"
#include "report/report_service.h"

#define UID_UNKNOWN UINT32_MAX /* (uid_t)-1, which no process has */

DEFINE_CLEANUP(struct owner, owner_unref)

static json_t *text_json(const char *text)
{
	CLEANUP_FREE char *mended = NULL;
	json_t *json;

	if (!text || !*text)
		return json_null();
	json = json_string(text);
	if (json)
		return json;
	mended = report_mend_utf8(text);
	return mended ? json_string(mended) : NULL;
}

static json_t *number_json(uint64_t number, uint64_t unknown)
{
	return number == unknown ? json_null() : json_integer((json_int_t)number);
}

static json_t *moment_json(uint64_t moment_ns)
{
	char text[MOMENT_TEXT_MAX];

	return moment_ns ? json_string(moment_format(moment_ns, text)) : json_null();
}

static json_t *address_json(const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	return address_is_known(address) ? json_string(address_format(address, text))
					 : json_null();
}

static json_t *id_json(const struct session_id *id)
{
	char text[SESSION_ID_TEXT_MAX];

	return text_json(session_id_format(id, text));
}

/* Takes the value. False without memory, which may show as a value of NULL. */
static bool put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

static bool put_tuple(json_t *object, const struct session *session)
{
	const char *service = report_service_name(session->protocol, session->dport);

	return put(object, "id", id_json(&session->id)) &&
	       put(object, "netns", number_json(session->id.netns, 0)) &&
	       put(object, "proto", text_json(protocol_name(session->protocol))) &&
	       put(object, "direction",
		   text_json(direction_name(session->direction))) &&
	       put(object, "src", address_json(&session->src)) &&
	       put(object, "sport", number_json(session->sport, 0)) &&
	       put(object, "dst", address_json(&session->dst)) &&
	       put(object, "dport", number_json(session->dport, 0)) &&
	       put(object, "service", text_json(service));
}

static bool put_course(json_t *object, const struct session *session)
{
	return put(object, "state", json_string(session->end_ns ? "closed" : "open")) &&
	       put(object, "start", moment_json(session->start_ns)) &&
	       put(object, "end", moment_json(session->end_ns)) &&
	       put(object, "port_free", moment_json(session->port_free_ns)) &&
	       put(object, "end_reason",
		   text_json(end_reason_name(session->end_reason))) &&
	       put(object, "tx_bytes", number_json(session->tx_bytes, BYTES_UNKNOWN)) &&
	       put(object, "rx_bytes", number_json(session->rx_bytes, BYTES_UNKNOWN)) &&
	       put(object, "pool", text_json(session->pool)) &&
	       put(object, "picked_by",
		   text_json(picked_by_name(session->picked_by))) &&
	       put(object, "nat_src", json_null()) &&
	       put(object, "nat_sport", json_null()) &&
	       put(object, "nat_dst", json_null()) &&
	       put(object, "nat_dport", json_null());
}

static bool put_owner(json_t *object, const struct owner *known)
{
	static const struct owner unknown = {.uid = UID_UNKNOWN};
	const struct owner *owner = known ? known : &unknown;

	return put(object, "pid", number_json(owner->pid, 0)) &&
	       put(object, "pid_start", moment_json(owner->pid_start_ns)) &&
	       put(object, "comm", text_json(owner->comm)) &&
	       put(object, "exe", text_json(owner->exe)) &&
	       put(object, "cmdline", text_json(owner->cmdline)) &&
	       put(object, "uid", number_json(owner->uid, UID_UNKNOWN)) &&
	       put(object, "user", text_json(owner->user)) &&
	       put(object, "cgroup", text_json(owner->cgroup)) &&
	       put(object, "unit", text_json(owner->unit)) &&
	       put(object, "container", text_json(owner->container)) &&
	       put(object, "user_pid", json_null()) &&
	       put(object, "user_exe", json_null());
}

json_t *report_session_json(const struct session *session)
{
	json_t *object = json_object();

	if (!put_tuple(object, session) || !put_course(object, session) ||
	    !put_owner(object, session->owner)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* The value of key, NULL where it is null or missing. */
static const json_t *get(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

static int get_number(const json_t *object, const char *key, uint64_t limit,
		      uint64_t unknown, uint64_t *ret)
{
	const json_t *value = get(object, key);

	if (value && (!json_is_integer(value) || json_integer_value(value) < 0 ||
		      (uint64_t)json_integer_value(value) > limit))
		return -EINVAL;
	*ret = value ? (uint64_t)json_integer_value(value) : unknown;
	return 0;
}

static int get_text(const json_t *object, const char *key, const char **ret)
{
	const json_t *value = get(object, key);

	if (value && !json_is_string(value))
		return -EINVAL;
	*ret = value ? json_string_value(value) : NULL;
	return 0;
}

static int get_copy(const json_t *object, const char *key, char **ret)
{
	const char *text;
	int err = get_text(object, key, &text);

	if (err < 0 || !text)
		return err;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* Into an array of size bytes, terminated. */
static int get_array(const json_t *object, const char *key, char *ret, size_t size)
{
	const char *text;
	int err = get_text(object, key, &text);

	if (err < 0 || !text)
		return err;
	if (strlen(text) >= size)
		return -EINVAL;
	strcpy(ret, text);
	return 0;
}

static int get_moment(const json_t *object, const char *key, uint64_t *ret_ns)
{
	const char *text;
	int err = get_text(object, key, &text);

	if (err < 0 || !text)
		return err;
	/* "now" and the like have no meaning here. */
	return strchr(text, 'T') ? moment_parse(text, 0, ret_ns) : -EINVAL;
}

static int get_address(const json_t *object, const char *key, struct address *ret)
{
	const char *text;
	int err = get_text(object, key, &text);

	return err < 0 || !text ? err : address_parse(text, ret);
}

static int get_port(const json_t *object, const char *key, uint16_t *ret)
{
	uint64_t port = 0;
	int err = get_number(object, key, UINT16_MAX, 0, &port);

	*ret = (uint16_t)port;
	return err;
}

static int get_id(const json_t *object, struct session_id *ret)
{
	const char *text;
	int err = get_text(object, "id", &text);

	return err < 0 || !text ? err : session_id_parse(text, ret);
}

static int get_names(const json_t *object, struct session *ret)
{
	const char *proto, *direction, *reason, *who;

	if (get_text(object, "proto", &proto) < 0 ||
	    get_text(object, "direction", &direction) < 0 ||
	    get_text(object, "end_reason", &reason) < 0 ||
	    get_text(object, "picked_by", &who) < 0)
		return -EINVAL;
	ret->protocol = protocol_parse(proto);
	ret->direction = direction && strcmp(direction, "in") == 0 ? DIRECTION_IN
								   : DIRECTION_OUT;
	ret->end_reason = end_reason_parse(reason);
	ret->picked_by = picked_by_parse(who);
	return 0;
}

static int fill_owner(const json_t *object, struct owner *owner)
{
	struct {
		const char *key;
		char **to;
	} texts[] = {
		{"exe", &owner->exe},	{"cmdline", &owner->cmdline},
		{"user", &owner->user}, {"cgroup", &owner->cgroup},
		{"unit", &owner->unit}, {"container", &owner->container},
	};
	const char *comm;
	int err = get_text(object, "comm", &comm);

	/* Bytes that became U+FFFD may have made it longer than it was. */
	if (err == 0 && comm)
		snprintf(owner->comm, sizeof(owner->comm), "%s", comm);
	for (size_t i = 0; err == 0 && i < sizeof(texts) / sizeof(texts[0]); i++)
		err = get_copy(object, texts[i].key, texts[i].to);
	return err;
}

static int get_owner(const json_t *object, struct owner **ret)
{
	CLEANUP(owner_unref_ptr) struct owner *owner = NULL;
	uint64_t pid, uid, start_ns = 0;
	int err;

	if (get_number(object, "pid", UINT32_MAX, 0, &pid) < 0 ||
	    get_number(object, "uid", UINT32_MAX, UID_UNKNOWN, &uid) < 0 ||
	    get_moment(object, "pid_start", &start_ns) < 0)
		return -EINVAL;
	if (!pid && uid == UID_UNKNOWN)
		return 0;
	owner = owner_new((uint32_t)pid, start_ns, (uint32_t)uid);
	err = owner ? fill_owner(object, owner) : -ENOMEM;
	if (err < 0)
		return err;
	*ret = TAKE(owner);
	return 0;
}

int report_session_parse(const json_t *object, struct session *ret)
{
	struct session session = {0};
	int err;

	if (!json_is_object(object) || get_id(object, &session.id) < 0 ||
	    get_number(object, "netns", UINT64_MAX, session.id.netns,
		       &session.id.netns) < 0 ||
	    get_names(object, &session) < 0 ||
	    get_address(object, "src", &session.src) < 0 ||
	    get_address(object, "dst", &session.dst) < 0 ||
	    get_port(object, "sport", &session.sport) < 0 ||
	    get_port(object, "dport", &session.dport) < 0 ||
	    get_moment(object, "start", &session.start_ns) < 0 ||
	    get_moment(object, "end", &session.end_ns) < 0 ||
	    get_moment(object, "port_free", &session.port_free_ns) < 0 ||
	    get_number(object, "tx_bytes", UINT64_MAX, BYTES_UNKNOWN,
		       &session.tx_bytes) < 0 ||
	    get_number(object, "rx_bytes", UINT64_MAX, BYTES_UNKNOWN,
		       &session.rx_bytes) < 0 ||
	    get_array(object, "pool", session.pool, sizeof(session.pool)) < 0)
		return -EINVAL;
	err = get_owner(object, &session.owner);
	if (err < 0)
		return err;
	*ret = session;
	return 0;
}
