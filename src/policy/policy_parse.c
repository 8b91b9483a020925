/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "policy/policy_keys.h"
#include "policy/policy_line.h"

#define FILE_MAX	  (1024 * 1024)
#define UTF8_MARK	  "\xef\xbb\xbf"
#define COUNT_OF(array)	  (sizeof(array) / sizeof((array)[0]))
#define SECTIONS_EXPECTED "[pool NAME], [rule NAME], [guard] or [ledger]"

static const struct policy_section *const sections[] = {
	&policy_section_pool,
	&policy_section_rule,
	&policy_section_guard,
	&policy_section_ledger,
};

static const char *const later_sections[] = {"detect", "respond"};

/* What is wrong with a section as a whole is said of its first line. */
static void end_section(struct policy_parser *parser)
{
	int line = parser->line;

	if (!parser->section || !parser->section->end)
		return;
	parser->line = parser->section_line;
	parser->section->end(parser);
	parser->line = line;
}

static const struct policy_section *find_section(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(sections); i++)
		if (strcmp(sections[i]->name, name) == 0)
			return sections[i];
	return NULL;
}

static void fail_section(struct policy_parser *parser, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(later_sections); i++) {
		if (strcmp(later_sections[i], name) != 0)
			continue;
		policy_fail(parser,
			    "[%s] is not in this version, expected " SECTIONS_EXPECTED,
			    name);
		return;
	}
	policy_fail(parser, "found [%s], expected " SECTIONS_EXPECTED,
		    policy_show(name).text);
}

static void begin_section(struct policy_parser *parser, const struct policy_line *line)
{
	const struct policy_section *section = find_section(line->name);

	end_section(parser);
	parser->has_section = true;
	parser->section_line = parser->line;
	parser->section_error_count = parser->notes->error_count;
	memset(parser->key_lines, 0, sizeof(parser->key_lines));
	parser->section = NULL;
	if (!section)
		fail_section(parser, line->name);
	else if (section->begin(parser, line->value))
		parser->section = section;
}

static void fail_key(struct policy_parser *parser, const char *name)
{
	char names[160] = "";
	size_t length = 0;

	for (const struct policy_key *key = parser->section->keys; key->name; key++)
		length += (size_t)snprintf(names + length, sizeof(names) - length,
					   "%s%s", length ? ", " : "", key->name);
	policy_fail(parser, "found the key \"%s\" in [%s], expected one of %s",
		    policy_show(name).text, parser->section->name, names);
}

static void apply_setting(struct policy_parser *parser, const struct policy_line *line)
{
	const struct policy_key *key;
	int *seen_line;

	if (!parser->has_section)
		policy_fail(
			parser,
			"found \"%s\" before any section, expected " SECTIONS_EXPECTED,
			policy_show(line->name).text);
	if (!parser->section)
		return;
	key = parser->section->keys;
	while (key->name && strcmp(key->name, line->name) != 0)
		key++;
	if (!key->name) {
		fail_key(parser, line->name);
		return;
	}
	seen_line = &parser->key_lines[key - parser->section->keys];
	if (*seen_line && !key->adds_up) {
		policy_fail(parser,
			    "found \"%s\" again, expected it once (it is on line %d)",
			    key->name, *seen_line);
		return;
	}
	if (!*seen_line)
		*seen_line = parser->line;
	key->set(parser, line->value);
}

/* A byte that no text has: \r is one only at the end of a line. */
static const char *find_control(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t' &&
		     !(*text == '\r' && !text[1])) ||
		    *text == '\x7f')
			return text;
	return NULL;
}

static void parse_line(struct policy_parser *parser, const char *text)
{
	const char *control = find_control(text);
	struct policy_line line;

	if (control)
		policy_fail(parser, "found the byte 0x%02x, expected text",
			    (unsigned char)*control);
	else if (policy_line_parse(text, &line) < 0)
		policy_fail(parser, "out of memory");
	else if (line.kind == POLICY_LINE_SECTION)
		begin_section(parser, &line);
	else if (line.kind == POLICY_LINE_SETTING)
		apply_setting(parser, &line);
	else if (line.kind == POLICY_LINE_BAD)
		policy_fail(parser, "found \"%s\", expected key = value or [section]",
			    policy_show(text + strspn(text, " \t")).text);
}

static void parse_lines(struct policy_parser *parser, const char *text)
{
	char copy[POLICY_LINE_MAX + 1];

	while (*text) {
		size_t length = strcspn(text, "\n");

		parser->line++;
		if (length > POLICY_LINE_MAX) {
			policy_fail(parser,
				    "found a line of %zu characters, expected at most "
				    "%d",
				    length, POLICY_LINE_MAX);
		} else {
			memcpy(copy, text, length);
			copy[length] = '\0';
			parse_line(parser, copy);
		}
		text += length + (text[length] == '\n');
	}
	end_section(parser);
	policy_check_rules(parser);
}

int policy_parse(const char *text, struct policy *ret, struct policy_notes *notes)
{
	/* On the heap: a policy is half a megabyte. */
	CLEANUP_FREE struct policy *policy = malloc(sizeof(*policy));
	struct policy_parser parser = {.policy = policy, .notes = notes};

	notes->count = 0;
	notes->error_count = 0;
	if (!policy) {
		policy_fail(&parser, "out of memory");
		return -ENOMEM;
	}
	policy_init(policy);
	if (strncmp(text, UTF8_MARK, strlen(UTF8_MARK)) == 0)
		text += strlen(UTF8_MARK);
	parse_lines(&parser, text);
	if (notes->error_count)
		return -EINVAL;
	*ret = *policy;
	return 0;
}

/* All of the file, terminated, and its length. Says nothing. */
static int read_all(const char *path, char *buf, size_t size, size_t *ret_length)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;

	if (fd < 0)
		return -errno;
	while (length < size - 1) {
		ssize_t count = read(fd, buf + length, size - 1 - length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return -errno;
		if (count == 0)
			break;
		length += (size_t)count;
	}
	buf[length] = '\0';
	*ret_length = length;
	return 0;
}

/* A NUL byte would hide what follows it. */
static int check_text(struct policy_parser *parser, const char *text, size_t length)
{
	size_t text_length = strlen(text);

	if (length > FILE_MAX) {
		policy_fail(parser, "the file is over 1 MiB, expected a policy");
		return -EFBIG;
	}
	if (text_length == length)
		return 0;
	parser->line = 1;
	for (size_t i = 0; i < text_length; i++)
		parser->line += text[i] == '\n';
	policy_fail(parser, "found the byte 0x00, expected text");
	return -EINVAL;
}

int policy_read(const char *path, struct policy *ret, struct policy_notes *notes)
{
	CLEANUP_FREE char *text = malloc(FILE_MAX + 2);
	struct policy_parser parser = {.notes = notes};
	size_t length = 0;
	int err;

	notes->count = 0;
	notes->error_count = 0;
	err = text ? read_all(path, text, FILE_MAX + 2, &length) : -ENOMEM;
	if (err < 0) {
		policy_fail(&parser, "cannot read it: %s", strerror(-err));
		return err;
	}
	err = check_text(&parser, text, length);
	return err < 0 ? err : policy_parse(text, ret, notes);
}
