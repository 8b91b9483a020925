/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "model/moment.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S	  1000000000ULL
#define DAY_S		  86400
#define YEAR_LAST	  2500 /* 2^64 ns end in 2554; an offset must not carry past it */
#define DURATION_MAX_NS	  (100 * 365ULL * DAY_S * NS_PER_S)
#define DURATION_TEXT_MAX 32

char *moment_format(uint64_t moment_ns, char *buf)
{
	time_t seconds = (time_t)(moment_ns / NS_PER_S);
	char date[MOMENT_TEXT_MAX];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, MOMENT_TEXT_MAX, "%.19s.%09uZ", date,
		 (unsigned int)(moment_ns % NS_PER_S));
	return buf;
}

/* Exactly count digits at *text: step over them. */
static bool take_digits(const char **text, int count, int *ret)
{
	int number = 0;

	for (int i = 0; i < count; i++) {
		char c = (*text)[i];

		if (c < '0' || c > '9')
			return false;
		number = number * 10 + (c - '0');
	}
	*text += count;
	*ret = number;
	return true;
}

static bool take_char(const char **text, const char *choices)
{
	if (!**text || !strchr(choices, **text))
		return false;
	(*text)++;
	return true;
}

/* ".5" at *text, or nothing, which is 0. Digits past the ninth are dropped. */
static bool take_fraction(const char **text, uint64_t *ret_ns)
{
	uint64_t scale = NS_PER_S / 10, fraction_ns = 0;
	int digit;

	if (take_char(text, ".")) {
		if (!take_digits(text, 1, &digit))
			return false;
		do {
			fraction_ns += (uint64_t)digit * scale;
			scale /= 10;
		} while (take_digits(text, 1, &digit));
	}
	*ret_ns = fraction_ns;
	return true;
}

/* A number of any length without a sign. */
static bool take_number(const char **text, uint64_t *ret)
{
	uint64_t number = 0;
	int digit;

	if (!take_digits(text, 1, &digit))
		return false;
	do {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)digit, &number))
			return false;
	} while (take_digits(text, 1, &digit));
	*ret = number;
	return true;
}

/* "2026-11-22" */
static bool take_date(const char **text, struct tm *tm)
{
	if (!take_digits(text, 4, &tm->tm_year) || !take_char(text, "-") ||
	    !take_digits(text, 2, &tm->tm_mon) || !take_char(text, "-") ||
	    !take_digits(text, 2, &tm->tm_mday))
		return false;
	if (tm->tm_year < 1970 || tm->tm_year > YEAR_LAST)
		return false;
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	return true;
}

/* "12:03", "12:03:04", "12:03:04.5". A leap second (60) is the next second. */
static bool take_clock(const char **text, struct tm *tm, uint64_t *ret_ns)
{
	*ret_ns = 0;
	tm->tm_sec = 0;
	if (!take_digits(text, 2, &tm->tm_hour) || !take_char(text, ":") ||
	    !take_digits(text, 2, &tm->tm_min))
		return false;
	if (take_char(text, ":") &&
	    (!take_digits(text, 2, &tm->tm_sec) || !take_fraction(text, ret_ns)))
		return false;
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* "Z", "+01:00", "-05:30" */
static bool take_offset(const char **text, int *ret_seconds)
{
	int sign = **text == '-' ? -1 : 1;
	int hours, minutes;

	if (take_char(text, "Zz")) {
		*ret_seconds = 0;
		return true;
	}
	if (!take_char(text, "+-") || !take_digits(text, 2, &hours) ||
	    !take_char(text, ":") || !take_digits(text, 2, &minutes))
		return false;
	*ret_seconds = sign * (hours * 3600 + minutes * 60);
	return hours < 24 && minutes < 60;
}

/* timegm(3) would turn 31 February into a day of March. */
static bool is_date(const struct tm *tm)
{
	struct tm noon = {.tm_year = tm->tm_year,
			  .tm_mon = tm->tm_mon,
			  .tm_mday = tm->tm_mday,
			  .tm_hour = 12};

	timegm(&noon);
	return noon.tm_mon == tm->tm_mon && noon.tm_mday == tm->tm_mday;
}

static int from_seconds(time_t seconds, uint64_t fraction_ns, uint64_t *ret_ns)
{
	uint64_t moment_ns;

	if (seconds < 0 ||
	    __builtin_mul_overflow((uint64_t)seconds, NS_PER_S, &moment_ns) ||
	    __builtin_add_overflow(moment_ns, fraction_ns, &moment_ns))
		return -EINVAL;
	*ret_ns = moment_ns;
	return 0;
}

static int parse_date(const char *text, uint64_t *ret_ns)
{
	struct tm tm = {.tm_isdst = -1};
	uint64_t fraction_ns = 0;
	int offset;

	if (!take_date(&text, &tm) || !is_date(&tm))
		return -EINVAL;
	if (!*text)
		return from_seconds(mktime(&tm), 0, ret_ns);
	if (!take_char(&text, "Tt ") || !take_clock(&text, &tm, &fraction_ns))
		return -EINVAL;
	if (!*text)
		return from_seconds(mktime(&tm), fraction_ns, ret_ns);
	if (!take_offset(&text, &offset) || *text)
		return -EINVAL;
	return from_seconds(timegm(&tm) - offset, fraction_ns, ret_ns);
}

/* A clock time alone is today's, or yesterday's where today's is still to come. */
static int parse_clock(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	time_t now = (time_t)(now_ns / NS_PER_S);
	uint64_t fraction_ns, moment_ns;
	struct tm today, clock;

	if (!take_clock(&text, &clock, &fraction_ns) || *text)
		return -EINVAL;
	localtime_r(&now, &today);
	for (int days_back = 0; days_back < 2; days_back++) {
		struct tm tm = {.tm_year = today.tm_year,
				.tm_mon = today.tm_mon,
				.tm_mday = today.tm_mday - days_back,
				.tm_hour = clock.tm_hour,
				.tm_min = clock.tm_min,
				.tm_sec = clock.tm_sec,
				.tm_isdst = -1};

		if (from_seconds(mktime(&tm), fraction_ns, &moment_ns) == 0 &&
		    moment_ns <= now_ns) {
			*ret_ns = moment_ns;
			return 0;
		}
	}
	return -EINVAL;
}

/* "@1700000000.5", as date(1) has it */
static int parse_epoch(const char *text, uint64_t *ret_ns)
{
	uint64_t seconds, fraction_ns;

	if (!take_number(&text, &seconds) || !take_fraction(&text, &fraction_ns) ||
	    *text)
		return -EINVAL;
	if (seconds > UINT64_MAX / NS_PER_S)
		return -EINVAL;
	return from_seconds((time_t)seconds, fraction_ns, ret_ns);
}

/* "5m", "5m ago": so long before now */
static int parse_ago(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	size_t length = strcspn(text, " \t");
	const char *rest = text + length + strspn(text + length, " \t");
	char duration[DURATION_TEXT_MAX];
	uint64_t ago_ns;

	if ((*rest && strcmp(rest, "ago") != 0) || length >= sizeof(duration))
		return -EINVAL;
	memcpy(duration, text, length);
	duration[length] = '\0';
	if (duration_parse(duration, &ago_ns) < 0 || ago_ns > now_ns)
		return -EINVAL;
	*ret_ns = now_ns - ago_ns;
	return 0;
}

int moment_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	if (strcmp(text, "now") == 0) {
		*ret_ns = now_ns;
		return 0;
	}
	if (strcmp(text, "yesterday") == 0)
		return parse_ago("24h", now_ns, ret_ns);
	if (text[0] == '@')
		return parse_epoch(text + 1, ret_ns);
	if (text[0] == '-')
		return parse_ago(text + 1, now_ns, ret_ns);
	if (strstr(text, "ago"))
		return parse_ago(text, now_ns, ret_ns);
	if (strnlen(text, 5) == 5 && text[4] == '-')
		return parse_date(text, ret_ns);
	return parse_clock(text, now_ns, ret_ns);
}

static uint64_t unit_ns(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ns", 1},
		{"us", 1000},
		{"ms", 1000000},
		{"s", NS_PER_S},
		{"m", 60 * NS_PER_S},
		{"h", 3600 * NS_PER_S},
		{"d", DAY_S * NS_PER_S},
		{"w", 7 * DAY_S * NS_PER_S},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(units[i].name, unit) == 0)
			return units[i].ns;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
	size_t digit_count = strspn(text, "0123456789");
	const char *unit = text + digit_count;
	uint64_t number, duration_ns;
	bool fits;

	if (!digit_count || (*unit && !unit_ns(unit)))
		return -EINVAL;
	fits = take_number(&text, &number);
	if (!*unit) {
		if (!fits || number) /* 0 needs no unit; anything else is a guess */
			return -EINVAL;
		*ret_ns = 0;
		return 0;
	}
	if (!fits || __builtin_mul_overflow(number, unit_ns(unit), &duration_ns) ||
	    duration_ns > DURATION_MAX_NS)
		return -ERANGE;
	*ret_ns = duration_ns;
	return 0;
}
