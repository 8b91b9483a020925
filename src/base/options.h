/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * options.h - one table of options that getopt_long(3) reads and --help prints.
 *
 * A program has groups of options (its own, the common ones), each bound to
 * the fields of a struct. Texts are borrowed from argv.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "base/fault.h"

enum option_kind {
	OPTION_FLAG, /* the field is a bool, set to true */
	OPTION_TEXT, /* the field is a const char * */
};

struct option_entry {
	const char *name; /* without the dashes; NULL ends a table */
	char letter;	  /* 0: none */
	enum option_kind kind;
	size_t offset;	   /* of the field */
	const char *value; /* OPTION_TEXT: what help calls it, "FILE" */
	const char *help;
};

struct option_group {
	const struct option_entry *entries; /* NULL ends the groups */
	void *target;			    /* the struct the entries are bound to */
};

enum options_order {
	OPTIONS_ANYWHERE, /* options may follow arguments */
	OPTIONS_FIRST,	  /* the first argument ends them: the rest is another's command
			     line */
};

/*
 * argv[0] is the program or subcommand. Returns the index in argv of the first
 * argument that is no option (argv is reordered for it), or -EINVAL with a fault.
 */
int options_parse(const struct option_group *groups, enum options_order order, int argc,
		  char **argv, struct fault *fault);

/* One line an option, aligned. */
void options_print(FILE *file, const struct option_entry *entries);

#endif /* BASE_OPTIONS_H */
