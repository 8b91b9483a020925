/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * shape.h - the steps of which shape.c takes a series.
 */
#ifndef TOOLS_SHAPE_H
#define TOOLS_SHAPE_H

#define STEP_WORDS_MAX 4

struct shape {
	int fd;	   /* the socket that steps work on; -1: none */
	int other; /* the one before it */
};

struct step {
	const char *name;
	int arguments;
	const char *help; /* its arguments, and what it does */
	/* words[0] is the name. 0 or a negative errno. */
	int (*run)(struct shape *shape, char **words);
};

extern const struct step shape_steps[]; /* the last has no name */

/* "uring ADDRESS PORT": connect() through io_uring. shape_uring.c */
int shape_uring(struct shape *shape, char **words);

/* Until standard input ends. shape_step.c */
void shape_wait(void);

#endif /* TOOLS_SHAPE_H */
