/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/trend.h"

#include <math.h>

#define SAMPLES_MIN 10
#define NS_PER_S    1e9

struct line {
	double slope; /* each second */
	double span_s;
	double scatter; /* standard deviation of the samples from the line */
};

void trend_add(struct trend *trend, uint64_t time_ns, double value)
{
	trend->samples[trend->next].time_ns = time_ns;
	trend->samples[trend->next].value = value;
	trend->next = (trend->next + 1) % TREND_SAMPLES;
	if (trend->count < TREND_SAMPLES)
		trend->count++;
}

/* Least squares. Times count from the oldest sample, so that doubles are exact enough.
 */
static struct line fit(const struct trend *trend)
{
	size_t oldest = (trend->next + TREND_SAMPLES - trend->count) % TREND_SAMPLES;
	double n = trend->count, t = 0, v = 0, tt = 0, tv = 0, vv = 0;
	struct line line = {0};
	double spread;

	for (size_t i = 0; i < trend->count; i++) {
		size_t at = (oldest + i) % TREND_SAMPLES;
		double time_s =
			(trend->samples[at].time_ns - trend->samples[oldest].time_ns) /
			NS_PER_S;
		double value = trend->samples[at].value;

		t += time_s;
		v += value;
		tt += time_s * time_s;
		tv += time_s * value;
		vv += value * value;
		line.span_s = time_s;
	}
	spread = tt - t * t / n;
	if (spread <= 0)
		return line;
	line.slope = (tv - t * v / n) / spread;
	line.scatter =
		sqrt(fmax(0, vv - v * v / n - line.slope * line.slope * spread) / n);
	return line;
}

bool trend_growth(const struct trend *trend, double *ret_per_s)
{
	struct line line;
	double rise;

	if (trend->count < SAMPLES_MIN)
		return false;
	line = fit(trend);
	rise = line.slope * line.span_s;
	if (fabs(rise) < 1 || fabs(rise) < 2 * line.scatter)
		return false;
	*ret_per_s = line.slope;
	return true;
}

bool trend_seconds_for(const struct trend *trend, double rise, double *ret_s)
{
	double per_s;

	if (rise < 0 || !trend_growth(trend, &per_s) || per_s <= 0)
		return false;
	*ret_s = rise / per_s;
	return true;
}
