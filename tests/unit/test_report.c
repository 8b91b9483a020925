/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "model/gap.h"
#include "model/moment.h"
#include "report/report_escape.h"
#include "report/report_gap.h"
#include "report/report_service.h"
#include "report/report_session.h"

#define S    1000000000ULL
#define NOON (1795348984 * S) /* 2026-11-22T12:03:04Z */
#define BOOT "01234567-89ab-cdef-0123-456789abcdef"

/* A port that no /etc/services names, so that the tests do not depend on the file. */
#define NAMELESS 40001

static const struct owner curl = {
	.references = 1,
	.pid = 123,
	.pid_start_ns = NOON - S,
	.uid = 1000,
	.comm = "curl",
	.exe = (char *)"/usr/bin/curl",
	.cmdline = (char *)"curl -s http://x/",
	.user = (char *)"bob",
	.cgroup = (char *)"/system.slice/x.service",
	.unit = (char *)"x.service",
};

static struct session make_session(const struct owner *owner)
{
	struct session session = {
		.id = {.boot = BOOT, .netns = 1, .cookie = 77},
		.protocol = IPPROTO_TCP,
		.sport = 51423,
		.dport = NAMELESS,
		.start_ns = NOON,
		.end_ns = NOON + 1300000000,
		.port_free_ns = NOON + 61 * S,
		.end_reason = END_RESET,
		.tx_bytes = 1536,
		.rx_bytes = BYTES_UNKNOWN,
		.pool = "default",
		.picked_by = PICKED_BY_SRCPORT,
		.owner = (struct owner *)owner,
	};

	address_parse("10.0.0.5", &session.src);
	address_parse("10.0.0.9", &session.dst);
	return session;
}

static struct session make_unknown(void)
{
	return (struct session){
		.id = {.boot = BOOT, .netns = 1, .cookie = 78},
		.protocol = IPPROTO_UDP,
		.tx_bytes = BYTES_UNKNOWN,
		.rx_bytes = BYTES_UNKNOWN,
	};
}

static void assert_json(const struct session *session, const char *expected)
{
	json_t *json = report_session_json(session);
	CLEANUP_FREE char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(text);
	assert_string_equal(text, expected);
	json_decref(json);
}

static void a_session_is_the_object_of_the_design_in_its_order(void **state)
{
	struct session session = make_session(&curl);

	(void)state;
	assert_json(
		&session,
		"{\"id\":\"" BOOT "-1-77\",\"netns\":1,\"proto\":\"tcp\","
		"\"direction\":\"out\",\"src\":\"10.0.0.5\",\"sport\":51423,"
		"\"dst\":\"10.0.0.9\",\"dport\":40001,\"service\":null,"
		"\"state\":\"closed\",\"start\":\"2026-11-22T12:03:04.000000000Z\","
		"\"end\":\"2026-11-22T12:03:05.300000000Z\","
		"\"port_free\":\"2026-11-22T12:04:05.000000000Z\","
		"\"end_reason\":\"reset\",\"tx_bytes\":1536,\"rx_bytes\":null,"
		"\"pool\":\"default\",\"picked_by\":\"srcport\",\"nat_src\":null,"
		"\"nat_sport\":null,\"nat_dst\":null,\"nat_dport\":null,\"pid\":123,"
		"\"pid_start\":\"2026-11-22T12:03:03.000000000Z\",\"comm\":\"curl\","
		"\"exe\":\"/usr/bin/curl\",\"cmdline\":\"curl -s http://x/\","
		"\"uid\":1000,\"user\":\"bob\",\"cgroup\":\"/system.slice/x.service\","
		"\"unit\":\"x.service\",\"container\":null,\"user_pid\":null,"
		"\"user_exe\":null}");
}

static void what_is_unknown_is_null(void **state)
{
	struct session session = make_unknown();

	(void)state;
	assert_json(
		&session,
		"{\"id\":\"" BOOT "-1-78\",\"netns\":1,\"proto\":\"udp\","
		"\"direction\":\"out\",\"src\":null,\"sport\":null,\"dst\":null,"
		"\"dport\":null,\"service\":null,\"state\":\"open\",\"start\":null,"
		"\"end\":null,\"port_free\":null,\"end_reason\":null,"
		"\"tx_bytes\":null,\"rx_bytes\":null,\"pool\":null,"
		"\"picked_by\":null,\"nat_src\":null,\"nat_sport\":null,"
		"\"nat_dst\":null,\"nat_dport\":null,\"pid\":null,\"pid_start\":null,"
		"\"comm\":null,\"exe\":null,\"cmdline\":null,\"uid\":null,"
		"\"user\":null,\"cgroup\":null,\"unit\":null,\"container\":null,"
		"\"user_pid\":null,\"user_exe\":null}");
}

/* Writing, reading and writing again gives the same text. */
static void assert_round_trip(const struct session *session)
{
	json_t *json = report_session_json(session);
	CLEANUP_FREE char *text = json_dumps(json, JSON_COMPACT);
	struct session back;

	assert_int_equal(report_session_parse(json, &back), 0);
	assert_json(&back, text);
	owner_unref(back.owner);
	json_decref(json);
}

static void a_session_reads_back_from_its_json(void **state)
{
	struct session full = make_session(&curl), unknown = make_unknown();

	(void)state;
	assert_round_trip(&full);
	assert_round_trip(&unknown);
	full.direction = DIRECTION_IN;
	full.id.use = 3;
	full.tx_bytes = 0;
	address_parse("2001:db8::1", &full.src);
	assert_round_trip(&full);
}

static void root_is_known_where_nobody_is_not(void **state)
{
	static const struct owner root = {.references = 1, .pid = 1, .uid = 0};
	struct session session = make_session(&root), back;
	json_t *json = report_session_json(&session);

	(void)state;
	assert_int_equal(json_integer_value(json_object_get(json, "uid")), 0);
	assert_true(json_is_integer(json_object_get(json, "uid")));
	assert_int_equal(report_session_parse(json, &back), 0);
	assert_int_equal(back.owner->uid, 0);
	assert_null(back.owner->exe);
	owner_unref(back.owner);
	json_decref(json);
}

static void a_value_of_the_wrong_type_or_range_is_refused(void **state)
{
	static const char *const texts[] = {
		"[]",
		"null",
		"{\"sport\":65536}",
		"{\"sport\":-1}",
		"{\"sport\":\"1\"}",
		"{\"src\":\"x\"}",
		"{\"start\":\"now\"}",
		"{\"start\":5}",
		"{\"id\":\"x\"}",
		"{\"pid\":4294967296}",
		"{\"pid\":1,\"exe\":5}",
		"{\"pid\":1,\"comm\":5}",
		"{\"pool\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
		"{\"tx_bytes\":-1}",
		"{\"proto\":6}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		json_t *json = json_loads(texts[i], JSON_DECODE_ANY, NULL);
		struct session session = {.sport = 7};

		assert_non_null(json);
		assert_int_equal(report_session_parse(json, &session), -EINVAL);
		assert_int_equal(session.sport, 7);
		json_decref(json);
	}
}

static void bytes_that_are_no_utf8_still_give_json(void **state)
{
	struct owner odd = curl;
	struct session session = make_session(&odd);
	json_t *json;

	(void)state;
	odd.cmdline = (char *)"a\xff"
			      "b\xc3";
	memcpy(odd.comm, "\xff\xff\xff\xff\xff\xff\xff\xff", 9);
	json = report_session_json(&session);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "cmdline")),
			    "a\xef\xbf\xbd"
			    "b\xef\xbf\xbd");
	json_decref(json);
	json = report_session_json(&session);
	assert_int_equal(report_session_parse(json, &session), 0);
	owner_unref(session.owner);
	json_decref(json);
}

static void assert_escapes(const char *text, const char *expected)
{
	CLEANUP_FREE char *escaped = report_escape(text, 100, REPORT_CUT_END);

	assert_string_equal(escaped, expected);
}

static void no_control_character_reaches_a_terminal(void **state)
{
	(void)state;
	assert_escapes("plain", "plain");
	assert_escapes("\x1b[31m", "\\x1b[31m");
	assert_escapes("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f");
	assert_escapes("\xc2\x9b"
		       "31m",
		       "\\xc2\\x9b31m");
	assert_escapes("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
	assert_escapes("\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80");
	assert_escapes("caf\xc3\xa9 \xf0\x9f\x90\xa7", "caf\xc3\xa9 \xf0\x9f\x90\xa7");
	assert_escapes("\xf0\x9f", "\\xf0\\x9f");
}

static void a_long_text_is_cut_at_the_end_that_says_less(void **state)
{
	CLEANUP_FREE char *end = report_escape("abcdefghij", 8, REPORT_CUT_END);
	CLEANUP_FREE char *start = report_escape("abcdefghij", 8, REPORT_CUT_START);
	CLEANUP_FREE char *whole = report_escape("abcdefgh", 8, REPORT_CUT_END);
	CLEANUP_FREE char *wide = report_escape(
		"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4, REPORT_CUT_END);

	(void)state;
	assert_string_equal(end, "abcde...");
	assert_string_equal(start, "...fghij");
	assert_string_equal(whole, "abcdefgh");
	assert_string_equal(wide, "\xc3\xa9...");
}

typedef void print_fn(FILE *file, const struct session *session, bool color);

/* What print writes; the caller frees it. */
static char *printed(print_fn *print, const struct session *session, bool color)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	print(file, session, color);
	fclose(file);
	return text;
}

static void a_session_is_one_line_of_the_table(void **state)
{
	struct session session = make_session(&curl);
	CLEANUP_FREE char *text = printed(report_session_text, &session, false);

	(void)state;
	assert_string_equal(text,
			    "11-22 12:03:04 tcp 10.0.0.5:51423        -> "
			    "10.0.0.9:40001         reset      1.3s   1.5K      - "
			    "    123 bob      /usr/bin/curl\n");
}

static void an_unknown_session_is_a_line_of_dashes(void **state)
{
	struct session session = make_unknown();
	CLEANUP_FREE char *text = printed(report_session_text, &session, false);

	(void)state;
	assert_string_equal(text,
			    "-              udp -:-                   -> "
			    "-:-                    open          -      -      - "
			    "      - -        -\n");
}

static void only_colour_may_write_an_escape(void **state)
{
	struct owner hostile = curl;
	struct session session = make_session(&hostile);
	CLEANUP_FREE char *colored = printed(report_session_text, &session, true);
	CLEANUP_FREE char *line = NULL, *who = NULL;

	(void)state;
	assert_non_null(strstr(colored, "\033[31mreset"));
	hostile.exe = hostile.cmdline = hostile.user = hostile.cgroup = hostile.unit =
		hostile.container = (char *)"\033]0;x\007\n";
	strcpy(hostile.comm, "\033[2J");
	strcpy(session.pool, "\033[2J");
	line = printed(report_session_text, &session, false);
	who = printed(report_session_who, &session, false);
	assert_null(strchr(line, '\033'));
	assert_null(strchr(who, '\033'));
	assert_null(strchr(who, '\007'));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void who_says_holder_time_and_destination(void **state)
{
	struct session session = make_session(&curl);
	CLEANUP_FREE char *text = printed(report_session_who, &session, false);

	(void)state;
	assert_string_equal(
		text,
		"10.0.0.5:51423/tcp was held by curl (pid 123, /usr/bin/curl, uid 1000 "
		"bob)\n"
		"  from      2026-11-22 12:03:04.000 until 2026-11-22 12:03:05.300 "
		"(1.3s, reset)\n"
		"  to        10.0.0.9:40001\n"
		"  bytes     1.5K sent, - received\n"
		"  port      picked by srcport from pool default, "
		"free from 2026-11-22 12:04:05.000\n"
		"  command   curl -s http://x/\n"
		"  unit      x.service\n"
		"  cgroup    /system.slice/x.service\n");
}

static void who_of_an_open_session_without_owner_says_so(void **state)
{
	struct session session = make_session(NULL);
	CLEANUP_FREE char *text = NULL;

	(void)state;
	session.end_ns = 0;
	text = printed(report_session_who, &session, false);
	assert_non_null(strstr(text, "/tcp is held by a process that is not known\n"));
	assert_null(strstr(text, "until"));
}

static const char *column_of_duration(uint64_t ns, char *buf)
{
	struct session session = make_session(&curl);
	CLEANUP_FREE char *text = NULL;

	session.end_ns = session.start_ns + ns;
	session.end_reason = END_FIN;
	text = printed(report_session_text, &session, false);
	sscanf(strstr(text, "fin") + 3, "%15s", buf);
	return buf;
}

static void a_duration_has_two_units_at_most(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(column_of_duration(850000, buf), "850us");
	assert_string_equal(column_of_duration(12000000, buf), "12ms");
	assert_string_equal(column_of_duration(59 * S + 990000000, buf), "59.9s");
	assert_string_equal(column_of_duration(312 * S, buf), "5m12s");
	assert_string_equal(column_of_duration(11100 * S, buf), "3h05m");
	assert_string_equal(column_of_duration(183600 * S, buf), "2d03h");
}

static const char *column_of_bytes(uint64_t bytes, char *buf)
{
	struct session session = make_session(&curl);
	CLEANUP_FREE char *text = NULL;

	session.tx_bytes = bytes;
	text = printed(report_session_text, &session, false);
	sscanf(strstr(text, "1.3s") + 4, "%15s", buf);
	return buf;
}

static void a_count_of_bytes_never_passes_its_column(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(column_of_bytes(0, buf), "0");
	assert_string_equal(column_of_bytes(1023, buf), "1023");
	assert_string_equal(column_of_bytes(1024, buf), "1.0K");
	assert_string_equal(column_of_bytes(1048575, buf), "1.0M");
	assert_string_equal(column_of_bytes(10 << 20, buf), "10M");
	assert_string_equal(column_of_bytes(UINT64_MAX - 1, buf), "16E");
	assert_string_equal(column_of_bytes(BYTES_UNKNOWN, buf), "-");
}

static void the_longest_addresses_fit_the_line(void **state)
{
	struct session session = make_session(&curl);
	CLEANUP_FREE char *text = NULL;

	(void)state;
	address_parse("1111:2222:3333:4444:5555:6666:7777:8888", &session.src);
	session.dst = session.src;
	text = printed(report_session_text, &session, false);
	assert_non_null(strstr(text,
			       "[1111:2222:3333:4444:5555:6666:7777:8888]:51423 -> "
			       "[1111:2222:3333:4444:5555:6666:7777:8888]:40001"));
}

static void a_service_is_named_by_protocol_and_port(void **state)
{
	(void)state;
	if (!report_service_name(IPPROTO_TCP, 22)) {
		print_message("skipped: no /etc/services (netbase)\n");
		skip();
	}
	assert_string_equal(report_service_name(IPPROTO_TCP, 443), "https");
	assert_null(report_service_name(IPPROTO_TCP, 0));
	assert_null(report_service_name(IPPROTO_UDP, 22));
	assert_null(report_service_name(0, 443));
}

static void an_answer_is_complete_only_without_gaps(void **state)
{
	struct gap gap = {.from_ns = NOON, .until_ns = NOON + S, .cause = "ring full"};
	json_t *none = report_end_json(json_array());
	json_t *some = report_end_json(json_pack("[o]", report_gap_json(&gap)));
	CLEANUP_FREE char *none_text = json_dumps(none, JSON_COMPACT);
	CLEANUP_FREE char *some_text = json_dumps(some, JSON_COMPACT);

	(void)state;
	assert_string_equal(none_text, "{\"complete\":true,\"gaps\":[]}");
	assert_string_equal(
		some_text, "{\"complete\":false,\"gaps\":[{\"from\":\"2026-11-22T12:03:"
			   "04.000000000Z\","
			   "\"until\":\"2026-11-22T12:03:05.000000000Z\",\"lost\":null,"
			   "\"cause\":\"ring full\"}]}");
	json_decref(none);
	json_decref(some);
}

static int use_utc(void **state)
{
	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_the_object_of_the_design_in_its_order),
		cmocka_unit_test(what_is_unknown_is_null),
		cmocka_unit_test(a_session_reads_back_from_its_json),
		cmocka_unit_test(root_is_known_where_nobody_is_not),
		cmocka_unit_test(a_value_of_the_wrong_type_or_range_is_refused),
		cmocka_unit_test(bytes_that_are_no_utf8_still_give_json),
		cmocka_unit_test(no_control_character_reaches_a_terminal),
		cmocka_unit_test(a_long_text_is_cut_at_the_end_that_says_less),
		cmocka_unit_test(a_session_is_one_line_of_the_table),
		cmocka_unit_test(an_unknown_session_is_a_line_of_dashes),
		cmocka_unit_test(only_colour_may_write_an_escape),
		cmocka_unit_test(who_says_holder_time_and_destination),
		cmocka_unit_test(who_of_an_open_session_without_owner_says_so),
		cmocka_unit_test(a_duration_has_two_units_at_most),
		cmocka_unit_test(a_count_of_bytes_never_passes_its_column),
		cmocka_unit_test(the_longest_addresses_fit_the_line),
		cmocka_unit_test(a_service_is_named_by_protocol_and_port),
		cmocka_unit_test(an_answer_is_complete_only_without_gaps),
	};

	return cmocka_run_group_tests(tests, use_utc, NULL);
}
