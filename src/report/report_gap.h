/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* report_gap.h - what an answer about the past misses, as JSON. */
#ifndef REPORT_REPORT_GAP_H
#define REPORT_REPORT_GAP_H

#include <jansson.h>

#include "model/gap.h"

/*
 * {"from","until","lost","cause"}; lost is null where nobody knows how many. A new
 * reference, NULL without memory.
 */
json_t *report_gap_json(const struct gap *gap);

/*
 * The end of an answer: {"complete":true,"gaps":[]}, complete when there are no
 * gaps. The reference to gaps is taken. A new reference, NULL without memory.
 */
json_t *report_end_json(json_t *gaps);

#endif /* REPORT_REPORT_GAP_H */
