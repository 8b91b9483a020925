/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* sample.h - timings in nanoseconds, their quantiles, and a quiet place to take them.
 */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

struct sample {
	uint64_t *ns;
	size_t count;
	size_t capacity;
};

int sample_init(struct sample *sample, size_t capacity); /* 0 or -ENOMEM */
void sample_release(struct sample *sample);

/* Past the capacity nothing is added. */
void sample_add(struct sample *sample, uint64_t ns);

/* The value that a share of 0..1 of the sample does not pass; 0 when empty. Sorts. */
uint64_t sample_quantile(struct sample *sample, double share);

uint64_t now_ns(void);

/* Stay on the last CPU that we may use. */
void stay_on_one_cpu(void);

#endif /* BENCH_SAMPLE_H */
