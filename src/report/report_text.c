/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Sessions as lines and sentences for people. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "report/report_escape.h"
#include "report/report_service.h"
#include "report/report_session.h"

#define NS_PER_S UINT64_C(1000000000)
#define CELL_MAX 96 /* of any cell but the owner's strings */

/* An endpoint may have an address, a port and a service's name. */
#define COLUMNS "%-14s %-3s %-21s -> %-22s %s%-8s%s %6s %6s %6s %7s %-8s %s\n"

#define COLOR_GOOD  "\033[32m"
#define COLOR_BAD   "\033[31m"
#define COLOR_BOLD  "\033[1m"
#define COLOR_RESET "\033[0m"

#define USER_COLUMNS	8
#define EXE_COLUMNS	40
#define CMDLINE_COLUMNS 1000
#define PATH_COLUMNS	4200

struct cell {
	char text[CELL_MAX];
};

static struct cell format_moment(uint64_t moment_ns, const char *format)
{
	time_t seconds = (time_t)(moment_ns / NS_PER_S);
	struct cell cell = {.text = "-"};
	struct tm tm;

	if (moment_ns && localtime_r(&seconds, &tm))
		strftime(cell.text, sizeof(cell.text), format, &tm);
	return cell;
}

/* "2026-11-22 12:03:04.123" */
static struct cell format_instant(uint64_t moment_ns)
{
	struct cell seconds = format_moment(moment_ns, "%Y-%m-%d %H:%M:%S");
	struct cell cell;

	snprintf(cell.text, sizeof(cell.text), "%.80s.%03u", seconds.text,
		 (unsigned int)(moment_ns % NS_PER_S / 1000000));
	return moment_ns ? cell : seconds;
}

/* Two units at most: "12ms", "1.3s", "5m12s", "3h05m", "2d03h". */
static struct cell format_duration(uint64_t ns)
{
	uint64_t s = ns / NS_PER_S;
	struct cell cell;

	if (ns < 1000000)
		snprintf(cell.text, CELL_MAX, "%" PRIu64 "us", ns / 1000);
	else if (ns < NS_PER_S)
		snprintf(cell.text, CELL_MAX, "%" PRIu64 "ms", ns / 1000000);
	else if (s < 60)
		snprintf(cell.text, CELL_MAX, "%" PRIu64 ".%" PRIu64 "s", s,
			 ns % NS_PER_S / (NS_PER_S / 10));
	else if (s < 3600)
		snprintf(cell.text, CELL_MAX, "%" PRIu64 "m%02" PRIu64 "s", s / 60,
			 s % 60);
	else if (s < 86400)
		snprintf(cell.text, CELL_MAX, "%" PRIu64 "h%02" PRIu64 "m", s / 3600,
			 s / 60 % 60);
	else
		snprintf(cell.text, CELL_MAX, "%" PRIu64 "d%02" PRIu64 "h", s / 86400,
			 s / 3600 % 24);
	return cell;
}

/* "-" while open: how long so far would need a clock. */
static struct cell format_lasted(const struct session *session)
{
	if (!session->start_ns || session->end_ns < session->start_ns)
		return (struct cell){.text = "-"};
	return format_duration(session->end_ns - session->start_ns);
}

/* "512", "1.5K", "12M": powers of 1024 */
static struct cell format_bytes(uint64_t bytes)
{
	static const char units[] = " KMGTPE";
	double number = (double)bytes;
	struct cell cell = {.text = "-"};
	size_t unit = 0;

	if (bytes == BYTES_UNKNOWN)
		return cell;
	for (; number >= 1023.5; unit++)
		number /= 1024;
	if (unit == 0)
		snprintf(cell.text, CELL_MAX, "%" PRIu64, bytes);
	else
		snprintf(cell.text, CELL_MAX, "%.*f%c", number < 9.95, number,
			 units[unit]);
	return cell;
}

/* "10.0.0.1:443", "[2001:db8::1]:443"; "-" for what is unknown */
static struct cell format_endpoint(const struct address *address, uint16_t port)
{
	bool is_bracketed = address_is_known(address) && !address_is_v4(address);
	char text[ADDRESS_TEXT_MAX] = "-", number[8] = "-";
	struct cell cell;

	if (address_is_known(address))
		address_format(address, text);
	if (port)
		snprintf(number, sizeof(number), "%u", port);
	snprintf(cell.text, sizeof(cell.text), "%s%s%s:%s", is_bracketed ? "[" : "",
		 text, is_bracketed ? "]" : "", number);
	return cell;
}

static struct cell format_destination(const struct session *session)
{
	const char *service = report_service_name(session->protocol, session->dport);
	struct cell endpoint = format_endpoint(&session->dst, session->dport), cell;

	snprintf(cell.text, sizeof(cell.text), service ? "%.60s(%.30s)" : "%.60s",
		 endpoint.text, service);
	return cell;
}

static const char *state_text(const struct session *session)
{
	const char *reason = end_reason_name(session->end_reason);

	if (!session->end_ns)
		return "open";
	return reason ? reason : "closed";
}

static const char *state_color(const struct session *session)
{
	switch (session->end_reason) {
	case END_RESET:
	case END_REFUSED:
	case END_UNREACHABLE:
	case END_TIMEOUT:
		return COLOR_BAD;
	default:
		return session->end_ns ? "" : COLOR_GOOD;
	}
}

static const char *protocol_text(const struct session *session)
{
	const char *name = protocol_name(session->protocol);

	return name ? name : "-";
}

/* Escaped, with "-" for what is unknown; the caller frees it. */
static char *show(const char *text, size_t columns, enum report_cut cut)
{
	return report_escape(text && *text ? text : "-", columns, cut);
}

static const char *or_dash(const char *text)
{
	return text ? text : "-"; /* no memory for the copy */
}

/* The executable, or what there is in its place. */
static const char *program_of(const struct owner *owner)
{
	return owner && owner->exe ? owner->exe : owner ? owner->comm : NULL;
}

/* A user without a name is shown by number. */
static char *show_user(const struct owner *owner)
{
	struct cell number = {.text = "-"};

	if (owner && owner->user)
		return show(owner->user, USER_COLUMNS, REPORT_CUT_END);
	if (owner && owner->uid != UINT32_MAX)
		snprintf(number.text, CELL_MAX, "%" PRIu32, owner->uid);
	return strdup(number.text);
}

void report_session_header(FILE *file)
{
	fprintf(file, COLUMNS, "START", "", "SOURCE", "DESTINATION", "", "STATE", "",
		"LASTED", "SENT", "RECVD", "PID", "USER", "PROGRAM");
}

void report_session_text(FILE *file, const struct session *session, bool color)
{
	const struct owner *owner = session->owner;
	CLEANUP_FREE char *user = show_user(owner);
	CLEANUP_FREE char *program =
		show(program_of(owner), EXE_COLUMNS, REPORT_CUT_START);
	struct cell pid = {.text = "-"};

	if (owner && owner->pid)
		snprintf(pid.text, CELL_MAX, "%" PRIu32, owner->pid);
	fprintf(file, COLUMNS, format_moment(session->start_ns, "%m-%d %H:%M:%S").text,
		protocol_text(session),
		format_endpoint(&session->src, session->sport).text,
		format_destination(session).text, color ? state_color(session) : "",
		state_text(session), color ? COLOR_RESET : "",
		format_lasted(session).text, format_bytes(session->tx_bytes).text,
		format_bytes(session->rx_bytes).text, pid.text, or_dash(user),
		or_dash(program));
}

/* "curl (pid 123, /usr/bin/curl, uid 1000 bob)" */
static void print_owner(FILE *file, const struct owner *owner)
{
	CLEANUP_FREE char *comm = NULL, *exe = NULL, *user = NULL;

	if (!owner) {
		fprintf(file, "a process that is not known");
		return;
	}
	comm = show(owner->comm, PATH_COLUMNS, REPORT_CUT_END);
	exe = show(owner->exe, PATH_COLUMNS, REPORT_CUT_START);
	user = show(owner->user, PATH_COLUMNS, REPORT_CUT_END);
	fprintf(file, "%s (pid %" PRIu32, or_dash(comm), owner->pid);
	if (owner->exe)
		fprintf(file, ", %s", or_dash(exe));
	if (owner->uid != UINT32_MAX)
		fprintf(file, ", uid %" PRIu32, owner->uid);
	if (owner->user)
		fprintf(file, " %s", or_dash(user));
	fputc(')', file);
}

/* "  cgroup   /system.slice/x", where it is known */
static void print_known(FILE *file, const char *name, const char *text)
{
	CLEANUP_FREE char *shown = NULL;

	if (!text || !*text)
		return;
	shown = show(text, CMDLINE_COLUMNS, REPORT_CUT_END);
	fprintf(file, "  %-9s %s\n", name, or_dash(shown));
}

static void print_times(FILE *file, const struct session *session)
{
	fprintf(file, "  from      %s", format_instant(session->start_ns).text);
	if (session->end_ns)
		fprintf(file, " until %s (%s, %s)",
			format_instant(session->end_ns).text,
			format_lasted(session).text, state_text(session));
	fprintf(file, "\n  to        %s\n", format_destination(session).text);
}

static void print_port(FILE *file, const struct session *session)
{
	CLEANUP_FREE char *pool = show(session->pool, CELL_MAX, REPORT_CUT_END);
	const char *picker = picked_by_name(session->picked_by);

	if (session->tx_bytes != BYTES_UNKNOWN || session->rx_bytes != BYTES_UNKNOWN)
		fprintf(file, "  bytes     %s sent, %s received\n",
			format_bytes(session->tx_bytes).text,
			format_bytes(session->rx_bytes).text);
	if (!picker)
		return;
	fprintf(file, "  port      picked by %s", picker);
	if (*session->pool)
		fprintf(file, " from pool %s", or_dash(pool));
	if (session->port_free_ns)
		fprintf(file, ", free from %s",
			format_instant(session->port_free_ns).text);
	fputc('\n', file);
}

void report_session_who(FILE *file, const struct session *session, bool color)
{
	const struct owner *owner = session->owner;
	bool is_in = session->direction == DIRECTION_IN;

	/* The source port of a session coming in is the remote host's. */
	fprintf(file, "%s%s/%s%s %s %s by ", color ? COLOR_BOLD : "",
		format_endpoint(&session->src, session->sport).text,
		protocol_text(session), color ? COLOR_RESET : "",
		session->end_ns ? "was" : "is",
		is_in ? "remote and served here" : "held");
	print_owner(file, owner);
	fputc('\n', file);
	print_times(file, session);
	print_port(file, session);
	print_known(file, "command", owner ? owner->cmdline : NULL);
	print_known(file, "unit", owner ? owner->unit : NULL);
	print_known(file, "container", owner ? owner->container : NULL);
	print_known(file, "cgroup", owner ? owner->cgroup : NULL);
}
