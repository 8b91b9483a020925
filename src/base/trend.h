/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * trend.h - where a number is going: the straight line through its last samples.
 *
 * A zeroed struct trend is empty. Samples come about once a second, in the order of
 * their times; the last two minutes are kept.
 */
#ifndef BASE_TREND_H
#define BASE_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_SAMPLES 120

struct trend {
	size_t count;
	size_t next; /* where the next sample goes */
	struct {
		uint64_t time_ns;
		double value;
	} samples[TREND_SAMPLES];
};

void trend_add(struct trend *trend, uint64_t time_ns, double value);

/*
 * How much it grows each second. False where nothing can be said: fewer than ten
 * samples, or a growth that is no larger than the samples scatter.
 */
bool trend_growth(const struct trend *trend, double *ret_per_s);

/*
 * Seconds from the last sample until the line has risen by that much. False where it
 * does not rise.
 */
bool trend_seconds_for(const struct trend *trend, double rise, double *ret_s);

#endif /* BASE_TREND_H */
