/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "report/report_gap.h"

#include "model/moment.h"

json_t *report_gap_json(const struct gap *gap)
{
	char from[MOMENT_TEXT_MAX], until[MOMENT_TEXT_MAX];

	return json_pack("{s:s, s:s, s:o, s:s}", "from",
			 moment_format(gap->from_ns, from), "until",
			 moment_format(gap->until_ns, until), "lost",
			 gap->lost_count ? json_integer(gap->lost_count) : json_null(),
			 "cause", gap->cause);
}

json_t *report_end_json(json_t *gaps)
{
	return json_pack("{s:b, s:o}", "complete", json_array_size(gaps) == 0, "gaps",
			 gaps);
}
