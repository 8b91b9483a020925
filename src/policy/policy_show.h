/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* policy_show.h - a word of the file as a message may show it: short and printable. */
#ifndef POLICY_SHOW_H
#define POLICY_SHOW_H

#define POLICY_SHOWN_MAX 64 /* characters; "..." stands for those past it */

struct policy_shown {
	char text[POLICY_SHOWN_MAX + 4];
};

struct policy_shown policy_show(const char *word);

#endif /* POLICY_SHOW_H */
