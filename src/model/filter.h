/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * filter.h - which sessions a person wants to see, in the manner of ss(8).
 *
 *	expression = term { "or" term }
 *	term       = factor { "and" factor }          ("and" may be left out)
 *	factor     = "not" factor | "(" expression ")" | field relation value
 *	field      = sport dport port src dst pid exe comm uid user pool cgroup proto
 *	             state reason picked-by netns
 *	relation   = "=" "==" "!=" "<" "<=" ">" ">="  (order only for numbers)
 *
 * Ports take ranges (sport = 50000-50999), addresses take prefixes and ports
 * (dst = 10.0.0.0/8, src = 10.0.0.1:51423), texts match whole or, with *, as in
 * fnmatch(3); exe without a slash matches the last part of the path. uid takes a
 * number or a name. "&&", "||", "!" serve for and, or, not.
 */
#ifndef MODEL_FILTER_H
#define MODEL_FILTER_H

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "model/session.h"

struct filter;

/*
 * Parse text; NULL or blank accepts every session. The caller owns *ret. -EINVAL
 * with a fault that names the column and what was expected.
 */
int filter_parse(const char *text, struct filter **ret, struct fault *fault);
void filter_free(struct filter *filter); /* NULL is fine */
DEFINE_CLEANUP(struct filter, filter_free)

bool filter_accepts(const struct filter *filter, const struct session *session);

/*
 * The source port every accepted session must have, or 0 where the filter does not
 * fix one: lets the ledger use its index.
 */
uint16_t filter_fixed_sport(const struct filter *filter);

#endif /* MODEL_FILTER_H */
