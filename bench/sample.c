/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "sample.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

int sample_init(struct sample *sample, size_t capacity)
{
	uint64_t *ns = calloc(capacity ? capacity : 1, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	*sample = (struct sample){.ns = ns, .capacity = capacity};
	return 0;
}

void sample_release(struct sample *sample)
{
	free(sample->ns);
	*sample = (struct sample){0};
}

void sample_add(struct sample *sample, uint64_t ns)
{
	if (sample->count < sample->capacity)
		sample->ns[sample->count++] = ns;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

uint64_t sample_quantile(struct sample *sample, double share)
{
	size_t at = (size_t)((double)sample->count * share);

	if (!sample->count)
		return 0;
	qsort(sample->ns, sample->count, sizeof(*sample->ns), compare);
	return sample->ns[at < sample->count ? at : sample->count - 1];
}

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void stay_on_one_cpu(void)
{
	cpu_set_t allowed, one;

	CPU_ZERO(&one);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--)
		if (CPU_ISSET(cpu, &allowed)) {
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof(one), &one);
			return;
		}
}
