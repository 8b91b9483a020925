/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_show.h"

#include <stdio.h>
#include <string.h>

struct policy_shown policy_show(const char *word)
{
	struct policy_shown shown;

	snprintf(shown.text, sizeof(shown.text), "%.*s%s", POLICY_SHOWN_MAX, word,
		 strnlen(word, POLICY_SHOWN_MAX + 1) > POLICY_SHOWN_MAX ? "..." : "");
	for (char *c = shown.text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	return shown;
}
