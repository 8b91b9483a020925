/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * moment.h - times and durations as people write them.
 *
 * A moment is nanoseconds since 1970 UTC in a uint64_t.
 */
#ifndef MODEL_MOMENT_H
#define MODEL_MOMENT_H

#include <stdint.h>

#define MOMENT_TEXT_MAX 32

/* RFC 3339, UTC, nine digits: "2026-11-22T12:03:04.000000000Z". Returns buf. */
char *moment_format(uint64_t moment_ns, char *buf);

/*
 * RFC 3339 with Z or an offset, with or without a fraction; "2026-11-22 12:03[:04]",
 * "2026-11-22", "12:03[:04]" (the last such time before now) in local time;
 * "now", "yesterday" (24 h ago), "90s ago", "5m ago", "2h ago", "3d ago", "-5m";
 * "@1700000000[.5]". 0 or -EINVAL.
 */
int moment_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns);

/* "60s", "10m", "1h", "30d", "250ms", "0". 0, -EINVAL, or -ERANGE past 100 years. */
int duration_parse(const char *text, uint64_t *ret_ns);

#endif /* MODEL_MOMENT_H */
