/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * shape - take the socket calls of a program one by one, in any order, and say what
 * came of them. shape_step.c has the steps.
 *
 * Steps work on the latest socket. What a step finds out is a line on stdout that
 * begins with its name. A step that fails ends the round with a line on stderr, and
 * shape with status 1; after "try" it prints its name and the error's ("ok" where there
 * is none) and the round goes on.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "shape.h"

static int usage(void)
{
	fputs("usage: shape [-n ROUNDS] [-w] STEP...\n"
	      "  -n  all steps so often; the sockets of earlier rounds stay open\n"
	      "  -w  then print \"ready\" and wait until standard input ends\n"
	      "  a STEP is one argument; \"try STEP\" goes on where it fails:\n",
	      stderr);
	for (const struct step *step = shape_steps; step->name; step++)
		fprintf(stderr, "  %-12s %s\n", step->name, step->help);
	return 2;
}

/* The words of the text, which is cut up. How many, or -E2BIG. */
static int split(char *text, char **words)
{
	int count = 0;

	for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
		if (count == STEP_WORDS_MAX)
			return -E2BIG;
		words[count++] = word;
	}
	return count;
}

static const struct step *find_step(char **words, int count)
{
	const struct step *step = shape_steps;

	while (step->name && (count < 1 || strcmp(step->name, words[0]) ||
			      step->arguments != count - 1))
		step++;
	return step->name ? step : NULL;
}

/* 0, a negative errno, or 1: there is no such step. */
static int take_step(struct shape *shape, const char *text)
{
	char copy[256], *words[STEP_WORDS_MAX];
	const struct step *step;
	int is_tried = !strncmp(text, "try ", 4), err;

	snprintf(copy, sizeof(copy), "%s", text + (is_tried ? 4 : 0));
	step = find_step(words, split(copy, words));
	if (!step) {
		fprintf(stderr, "shape: no such step: %s\n", text);
		return 1;
	}
	err = step->run(shape, words);
	if (is_tried)
		printf("%s %s\n", step->name, err < 0 ? strerrorname_np(-err) : "ok");
	else if (err < 0)
		fprintf(stderr, "shape: %s: %s\n", text, strerrorname_np(-err));
	return is_tried ? 0 : err;
}

int main(int argc, char **argv)
{
	struct shape shape = {.fd = -1, .other = -1};
	int option, waits = 0, status = 0;
	long rounds = 1;

	while ((option = getopt(argc, argv, "+n:w")) != -1) {
		if (option == 'n')
			rounds = atol(optarg);
		else if (option == 'w')
			waits = 1;
		else
			return usage();
	}
	if (optind >= argc || rounds < 1)
		return usage();
	setlinebuf(stdout);
	endpoint_raise_limit();
	for (long round = 0; round < rounds; round++) {
		int err = 0;

		for (int i = optind; i < argc && !err; i++)
			err = take_step(&shape, argv[i]);
		if (err > 0)
			return usage();
		if (err < 0)
			status = 1;
	}
	if (waits) {
		puts("ready");
		shape_wait();
	}
	return status;
}
