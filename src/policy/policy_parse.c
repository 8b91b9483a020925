/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "policy/policy_parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/moment.h"
#include "policy/policy_line.h"

#define FILE_MAX	(1024 * 1024)
#define SHOWN_MAX	40 /* of a wrong word, in a note */
#define KEYS_MAX	16
#define UTF8_MARK	"\xef\xbb\xbf"
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct parser;

struct key {
	const char *name;
	void (*set)(struct parser *parser, const char *value);
};

struct section {
	const char *name;
	const struct key *keys; /* the last has no name; NULL: not in this version */
	void (*begin)(struct parser *parser, const char *value);
};

struct parser {
	struct policy *policy;
	struct policy_notes *notes;
	int line;
	const struct section
		*section; /* NULL: keys are skipped, the header was wrong */
	struct pool *pool;
	bool has_section;
	struct port_set except;	 /* of pool */
	int key_lines[KEYS_MAX]; /* where each key of the section was set; 0: not yet */
	int pool_lines[POLICY_POOLS_MAX];
	int ledger_line;
};

static void add_note(struct policy_notes *notes, bool is_error, int line,
		     const char *format, va_list args)
{
	size_t at = notes->count++;

	if (is_error)
		notes->error_count++;
	if (at >= POLICY_NOTES_MAX)
		return;
	notes->notes[at].is_error = is_error;
	notes->notes[at].line = line;
	vsnprintf(notes->notes[at].text, sizeof(notes->notes[at].text), format, args);
}

void policy_notes_warn(struct policy_notes *notes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(notes, false, 0, format, args);
	va_end(args);
}

/* An error at the parser's line. */
static void __attribute__((format(printf, 2, 3)))
fail(struct parser *parser, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(parser->notes, true, parser->line, format, args);
	va_end(args);
}

/* A word of the file as a note may show it: short and printable. */
struct shown {
	char text[SHOWN_MAX + 4];
};

static struct shown show(const char *word)
{
	struct shown shown;

	snprintf(shown.text, sizeof(shown.text), "%.*s%s", SHOWN_MAX, word,
		 strnlen(word, SHOWN_MAX + 1) > SHOWN_MAX ? "..." : "");
	for (char *c = shown.text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	return shown;
}

static void fail_value(struct parser *parser, const char *key, const char *value,
		       const char *expected)
{
	fail(parser, "%s: found \"%s\", expected %s", key, show(value).text, expected);
}

static void set_ports(struct parser *parser, const char *value)
{
	struct fault fault;

	if (port_set_parse(value, &parser->pool->ports, &fault) < 0)
		fail(parser, "%.250s", fault.text);
}

static void set_except(struct parser *parser, const char *value)
{
	struct fault fault;

	if (*value && port_set_parse(value, &parser->except, &fault) < 0)
		fail(parser, "except: %.240s", fault.text);
}

static void set_quarantine(struct parser *parser, const char *value)
{
	if (duration_parse(value, &parser->pool->quarantine_ns) < 0)
		fail_value(parser, "quarantine", value, "a time such as 60s, 10m or 0");
}

static void set_algorithm(struct parser *parser, const char *value)
{
	static const char *const later[] = {"random-simple", "random-retry", "hash",
					    "double-hash", "increments"};

	if (strcmp(value, "random") == 0)
		return;
	for (size_t i = 0; i < COUNT_OF(later); i++) {
		if (strcmp(value, later[i]) == 0) {
			fail(parser,
			     "algorithm: \"%s\" is not in this version, expected "
			     "random",
			     value);
			return;
		}
	}
	fail_value(parser, "algorithm", value, "random");
}

static void set_sharing(struct parser *parser, const char *value)
{
	if (sharing_parse(value, &parser->pool->sharing) < 0)
		fail_value(parser, "sharing", value, "never, when-full or always");
}

static void set_udp_sharing(struct parser *parser, const char *value)
{
	(void)value;
	fail(parser, "udp-sharing is not in this version (UDP never shares), "
		     "expected no such line");
}

static void set_early_reuse(struct parser *parser, const char *value)
{
	bool is_yes = strcmp(value, "yes") == 0;

	if (is_yes || strcmp(value, "no") == 0)
		parser->pool->early_reuse = is_yes;
	else
		fail_value(parser, "early-reuse", value, "yes or no");
}

static void set_exhausted(struct parser *parser, const char *value)
{
	if (strcmp(value, "kernel") == 0)
		parser->pool->exhausted = EXHAUSTED_KERNEL;
	else if (strcmp(value, "refuse") == 0)
		parser->pool->exhausted = EXHAUSTED_REFUSE;
	else
		fail_value(parser, "exhausted", value, "kernel or refuse");
}

static void set_path(struct parser *parser, const char *value)
{
	if (*value != '/')
		fail_value(parser, "path", value, "a path that begins with /");
	else if (strlen(value) >= sizeof(parser->policy->ledger_path))
		fail_value(parser, "path", value,
			   "a path shorter than 4096 characters");
	else
		strcpy(parser->policy->ledger_path, value);
}

static void set_keep(struct parser *parser, const char *value)
{
	uint64_t keep_ns;

	if (duration_parse(value, &keep_ns) < 0 || keep_ns == 0)
		fail_value(parser, "keep", value, "a time above 0, such as 30d or 12h");
	else
		parser->policy->ledger_keep_ns = keep_ns;
}

static void set_cmdline(struct parser *parser, const char *value)
{
	static const char *const names[] = {
		[CMDLINE_REDACTED] = "redacted",
		[CMDLINE_FULL] = "full",
		[CMDLINE_ARGV0] = "argv0",
		[CMDLINE_OFF] = "off",
	};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strcmp(value, names[i]) == 0) {
			parser->policy->cmdline = (enum cmdline_kept)i;
			return;
		}
	}
	fail_value(parser, "cmdline", value, "redacted, full, argv0 or off");
}

static bool is_pool_name(const char *name)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_-.";

	return *name && *name != '-' && *name != '.' &&
	       strspn(name, letters) == strlen(name) && strlen(name) < SESSION_POOL_MAX;
}

/* The pool of that name, made where there was none. NULL: a note says why. */
static struct pool *claim_pool(struct parser *parser, const char *name)
{
	struct policy *policy = parser->policy;
	size_t at = 0;

	while (at < policy->pool_count && strcmp(policy->pools[at].name, name) != 0)
		at++;
	if (at == POLICY_POOLS_MAX) {
		fail(parser, "found one pool too many, expected at most %d",
		     POLICY_POOLS_MAX);
		return NULL;
	}
	if (parser->pool_lines[at]) {
		fail(parser,
		     "found [pool %s] again, expected it once (it is on line %d)", name,
		     parser->pool_lines[at]);
		return NULL;
	}
	if (at == policy->pool_count) {
		pool_init(&policy->pools[at], name);
		policy->pool_count++;
	}
	parser->pool_lines[at] = parser->line;
	return &policy->pools[at];
}

static void begin_pool(struct parser *parser, const char *value)
{
	parser->except = (struct port_set){0};
	if (is_pool_name(value))
		parser->pool = claim_pool(parser, value);
	else
		fail(parser,
		     "found the pool name \"%s\", expected 1 to %d letters, digits, _ "
		     "- or ., "
		     "the first a letter, a digit or _",
		     show(value).text, SESSION_POOL_MAX - 1);
	if (!parser->pool)
		parser->section = NULL;
}

static void begin_ledger(struct parser *parser, const char *value)
{
	if (*value)
		fail(parser, "found [ledger %s], expected [ledger]", show(value).text);
	else if (parser->ledger_line)
		fail(parser,
		     "found [ledger] again, expected it once (it is on line %d)",
		     parser->ledger_line);
	else
		parser->ledger_line = parser->line;
	if (parser->ledger_line != parser->line)
		parser->section = NULL;
}

static const struct key pool_keys[] = {
	{"ports", set_ports},
	{"except", set_except},
	{"quarantine", set_quarantine},
	{"algorithm", set_algorithm},
	{"sharing", set_sharing},
	{"early-reuse", set_early_reuse},
	{"exhausted", set_exhausted},
	{"udp-sharing", set_udp_sharing},
	{0},
};

static const struct key ledger_keys[] = {
	{"path", set_path},
	{"keep", set_keep},
	{"cmdline", set_cmdline},
	{0},
};

_Static_assert(COUNT_OF(pool_keys) <= KEYS_MAX, "key_lines is too short");
_Static_assert(COUNT_OF(ledger_keys) <= KEYS_MAX, "key_lines is too short");

static const struct section sections[] = {
	{"pool", pool_keys, begin_pool},
	{"ledger", ledger_keys, begin_ledger},
	{"rule", NULL, NULL},
	{"guard", NULL, NULL},
	{"detect", NULL, NULL},
	{"respond", NULL, NULL},
};

/* What can be judged only when all keys of a section were seen. */
static void end_section(struct parser *parser)
{
	struct pool *pool = parser->pool;
	int line = parser->line;

	if (!pool)
		return;
	port_set_remove(&pool->ports, &parser->except);
	parser->line = parser->pool_lines[pool - parser->policy->pools];
	if (port_set_count(&pool->ports) == 0)
		fail(parser, "pool %s: \"except\" leaves no port, expected one",
		     pool->name);
	parser->line = line;
	parser->pool = NULL;
}

static void begin_section(struct parser *parser, const struct policy_line *line)
{
	end_section(parser);
	parser->section = NULL;
	parser->has_section = true;
	memset(parser->key_lines, 0, sizeof(parser->key_lines));
	for (size_t i = 0; i < COUNT_OF(sections); i++) {
		if (strcmp(sections[i].name, line->name) != 0)
			continue;
		if (!sections[i].keys) {
			fail(parser,
			     "[%s] is not in this version, expected [pool NAME] or "
			     "[ledger]",
			     line->name);
			return;
		}
		parser->section = &sections[i];
		sections[i].begin(parser, line->value);
		return;
	}
	fail(parser, "found [%s], expected [pool NAME] or [ledger]",
	     show(line->name).text);
}

static void fail_key(struct parser *parser, const char *name)
{
	char names[128] = "";
	size_t length = 0;

	for (const struct key *key = parser->section->keys; key->name; key++)
		if (key->set != set_udp_sharing)
			length +=
				(size_t)snprintf(names + length, sizeof(names) - length,
						 "%s%s", length ? ", " : "", key->name);
	fail(parser, "found the key \"%s\" in [%s], expected one of %s",
	     show(name).text, parser->section->name, names);
}

static void apply_setting(struct parser *parser, const struct policy_line *line)
{
	const struct key *key;
	int *seen_line;

	if (!parser->has_section)
		fail(parser,
		     "found \"%s\" before any section, expected [pool NAME] or "
		     "[ledger]",
		     show(line->name).text);
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
	if (*seen_line) {
		fail(parser, "found \"%s\" again, expected it once (it is on line %d)",
		     key->name, *seen_line);
		return;
	}
	*seen_line = parser->line;
	key->set(parser, line->value);
}

static const char *find_control(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t' && *text != '\r') ||
		    *text == '\x7f')
			return text;
	return NULL;
}

static void parse_line(struct parser *parser, char *text)
{
	const char *control = find_control(text);
	struct policy_line line;

	if (control) {
		fail(parser, "found the byte 0x%02x, expected text",
		     (unsigned char)*control);
		return;
	}
	policy_line_parse(text, &line);
	if (line.kind == POLICY_LINE_SECTION)
		begin_section(parser, &line);
	else if (line.kind == POLICY_LINE_SETTING)
		apply_setting(parser, &line);
	else if (line.kind == POLICY_LINE_BAD)
		fail(parser, "found \"%s\", expected key = value or [section]",
		     show(line.name).text);
}

static void parse_lines(struct parser *parser, const char *text)
{
	char copy[POLICY_LINE_MAX + 1];

	while (*text) {
		size_t length = strcspn(text, "\n");

		parser->line++;
		if (length > POLICY_LINE_MAX) {
			fail(parser,
			     "found a line of %zu characters, expected at most %d",
			     length, POLICY_LINE_MAX);
		} else {
			memcpy(copy, text, length);
			copy[length] = '\0';
			parse_line(parser, copy);
		}
		text += length + (text[length] == '\n');
	}
	end_section(parser);
}

int policy_parse(const char *text, struct policy *ret, struct policy_notes *notes)
{
	/* On the heap: a policy is half a megabyte. */
	CLEANUP_FREE struct policy *policy = malloc(sizeof(*policy));
	struct parser parser = {.policy = policy, .notes = notes};

	notes->count = 0;
	notes->error_count = 0;
	if (!policy) {
		fail(&parser, "out of memory");
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
static int check_text(struct parser *parser, const char *text, size_t length)
{
	size_t text_length = strlen(text);

	if (length > FILE_MAX) {
		fail(parser, "the file is over 1 MiB, expected a policy");
		return -EFBIG;
	}
	if (text_length == length)
		return 0;
	parser->line = 1;
	for (size_t i = 0; i < text_length; i++)
		parser->line += text[i] == '\n';
	fail(parser, "found the byte 0x00, expected text");
	return -EINVAL;
}

int policy_read(const char *path, struct policy *ret, struct policy_notes *notes)
{
	CLEANUP_FREE char *text = malloc(FILE_MAX + 2);
	struct parser parser = {.notes = notes};
	size_t length = 0;
	int err;

	notes->count = 0;
	notes->error_count = 0;
	err = text ? read_all(path, text, FILE_MAX + 2, &length) : -ENOMEM;
	if (err < 0) {
		fail(&parser, "cannot read it: %s", strerror(-err));
		return err;
	}
	err = check_text(&parser, text, length);
	return err < 0 ? err : policy_parse(text, ret, notes);
}
