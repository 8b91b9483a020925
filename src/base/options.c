/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <string.h>

#define OPTIONS_MAX  32
#define OPTION_FIRST 256 /* getopt's number of an option, past every letter */

/* The tables of all groups as getopt_long() wants them. */
struct getopt_table {
	struct option longs[OPTIONS_MAX + 1];
	char shorts[3 * OPTIONS_MAX + 3];
	const struct option_entry *entries[OPTIONS_MAX];
	void *targets[OPTIONS_MAX];
	int count;
};

static void add_entry(struct getopt_table *table, const struct option_entry *entry,
		      void *target)
{
	bool has_value = entry->kind == OPTION_TEXT;
	size_t used = strlen(table->shorts);

	if (table->count == OPTIONS_MAX)
		return;
	table->entries[table->count] = entry;
	table->targets[table->count] = target;
	table->longs[table->count] = (struct option){
		.name = entry->name,
		.has_arg = has_value ? required_argument : no_argument,
		.val = OPTION_FIRST + table->count,
	};
	if (entry->letter) {
		table->shorts[used++] = entry->letter;
		if (has_value)
			table->shorts[used++] = ':';
		table->shorts[used] = '\0';
	}
	table->count++;
}

static int find_entry(const struct getopt_table *table, int option)
{
	if (option >= OPTION_FIRST)
		return option - OPTION_FIRST;
	for (int i = 0; i < table->count; i++)
		if (table->entries[i]->letter == option)
			return i;
	return -1;
}

static void store(const struct option_entry *entry, void *target, const char *value)
{
	char *field = (char *)target + entry->offset;

	if (entry->kind == OPTION_FLAG)
		*(bool *)field = true;
	else
		*(const char **)field = value;
}

static int refuse(struct fault *fault, const struct getopt_table *table, int option,
		  char **argv)
{
	int index = option == ':' ? find_entry(table, optopt) : -1;

	if (index >= 0)
		return fault_set(fault, -EINVAL, "option --%s needs a value: %s",
				 table->entries[index]->name,
				 table->entries[index]->value);
	if (optopt > 0 && optopt < OPTION_FIRST)
		return fault_set(fault, -EINVAL, "unknown option -%c", optopt);
	if (optopt >= OPTION_FIRST)
		return fault_set(fault, -EINVAL, "option --%s takes no value",
				 table->entries[optopt - OPTION_FIRST]->name);
	return fault_set(fault, -EINVAL, "unknown option %s", argv[optind - 1]);
}

int options_parse(const struct option_group *groups, enum options_order order, int argc,
		  char **argv, struct fault *fault)
{
	struct getopt_table table = {0};
	int option, index;

	strcpy(table.shorts, order == OPTIONS_FIRST ? "+:" : ":");
	for (; groups->entries; groups++)
		for (const struct option_entry *e = groups->entries; e->name; e++)
			add_entry(&table, e, groups->target);

	/* 0, not 1, makes glibc start afresh: a program parses twice. */
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, table.shorts, table.longs, NULL)) !=
	       -1) {
		index = option == '?' || option == ':' ? -1
						       : find_entry(&table, option);
		if (index < 0)
			return refuse(fault, &table, option, argv);
		store(table.entries[index], table.targets[index], optarg);
	}
	return optind;
}

void options_print(FILE *file, const struct option_entry *entries)
{
	char name[64];

	for (const struct option_entry *e = entries; e->name; e++) {
		snprintf(name, sizeof(name), "%c%c%s--%s%s%s", e->letter ? '-' : ' ',
			 e->letter ? e->letter : ' ', e->letter ? ", " : "  ", e->name,
			 e->value ? " " : "", e->value ? e->value : "");
		fprintf(file, "  %-24s  %s\n", name, e->help);
	}
}
