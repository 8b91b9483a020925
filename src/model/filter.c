/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The text becomes a tree once; a session is then judged without looking at text
 * again, because the ledger may ask for millions of rows.
 */
#include "model/filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/filter_field.h"

#define FILTER_TEXT_MAX	 4096
#define FILTER_DEPTH_MAX 64 /* of "(" and "not": each costs stack in every walk */
#define FOUND_MAX	 40

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_RELATION,
	TOKEN_AND,
	TOKEN_OR,
	TOKEN_NOT,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_UNKNOWN,
};

struct token {
	enum token_kind kind;
	enum relation relation;
	const char *start; /* without quotes */
	size_t length;
	size_t column; /* from 1 */
};

struct reader {
	const char *text;
	size_t at; /* behind the token */
	struct token token;
	unsigned int depth;
	struct fault *fault;
};

enum node_kind { NODE_TEST, NODE_NOT, NODE_AND, NODE_OR };

struct node {
	enum node_kind kind;
	struct node *left; /* the only one of NODE_NOT */
	struct node *right;
	struct filter_test test;
};

struct filter {
	struct node *root; /* NULL accepts all */
};

static void node_free(struct node *node)
{
	if (!node)
		return;
	node_free(node->left);
	node_free(node->right);
	free(node->test.text);
	free(node);
}
DEFINE_CLEANUP(struct node, node_free)

static struct node *node_new(enum node_kind kind)
{
	struct node *node = calloc(1, sizeof(*node));

	if (node)
		node->kind = kind;
	return node;
}

static const struct {
	const char *text;
	enum token_kind kind;
	enum relation relation;
} signs[] =
	{
		/* a sign stands before every sign that it starts with */
		{"==", TOKEN_RELATION, RELATION_EQUAL},
		{"=", TOKEN_RELATION, RELATION_EQUAL},
		{"!=", TOKEN_RELATION, RELATION_DIFFERENT},
		{"<=", TOKEN_RELATION, RELATION_AT_MOST},
		{">=", TOKEN_RELATION, RELATION_AT_LEAST},
		{"<", TOKEN_RELATION, RELATION_BELOW},
		{">", TOKEN_RELATION, RELATION_ABOVE},
		{"&&", TOKEN_AND, 0},
		{"||", TOKEN_OR, 0},
		{"!", TOKEN_NOT, 0},
		{"(", TOKEN_OPEN, 0},
		{")", TOKEN_CLOSE, 0},
},
  words[] = {
	  {"and", TOKEN_AND, 0},
	  {"or", TOKEN_OR, 0},
	  {"not", TOKEN_NOT, 0},
	  {"eq", TOKEN_RELATION, RELATION_EQUAL},
	  {"ne", TOKEN_RELATION, RELATION_DIFFERENT},
	  {"neq", TOKEN_RELATION, RELATION_DIFFERENT},
	  {"le", TOKEN_RELATION, RELATION_AT_MOST},
	  {"leq", TOKEN_RELATION, RELATION_AT_MOST},
	  {"ge", TOKEN_RELATION, RELATION_AT_LEAST},
	  {"geq", TOKEN_RELATION, RELATION_AT_LEAST},
	  {"lt", TOKEN_RELATION, RELATION_BELOW},
	  {"gt", TOKEN_RELATION, RELATION_ABOVE},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A word in quotes: never a keyword. */
static void read_quoted(struct reader *reader, struct token *token)
{
	const char *end = strchr(token->start + 1, *token->start);

	if (!end) {
		token->length = strlen(token->start);
		reader->at += token->length;
		return;
	}
	token->kind = TOKEN_WORD;
	token->start++;
	token->length = (size_t)(end - token->start);
	reader->at += token->length + 2;
}

static void read_word(struct reader *reader, struct token *token)
{
	token->length = strcspn(token->start, " \t\r\n=!<>()&|\"'");
	token->kind = token->length ? TOKEN_WORD : TOKEN_UNKNOWN;
	if (!token->length)
		token->length = 1;
	reader->at += token->length;
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (strlen(words[i].text) != token->length ||
		    strncmp(words[i].text, token->start, token->length) != 0)
			continue;
		token->kind = words[i].kind;
		token->relation = words[i].relation;
	}
}

static void reader_next(struct reader *reader)
{
	struct token token = {.kind = TOKEN_UNKNOWN};

	reader->at += strspn(reader->text + reader->at, " \t\r\n");
	token.start = reader->text + reader->at;
	token.column = reader->at + 1;
	for (size_t i = 0; i < COUNT_OF(signs) && !token.length; i++) {
		size_t length = strlen(signs[i].text);

		if (strncmp(token.start, signs[i].text, length) != 0)
			continue;
		token.kind = signs[i].kind;
		token.relation = signs[i].relation;
		token.length = length;
		reader->at += length;
	}
	if (*token.start == '\0')
		token.kind = TOKEN_END;
	else if (*token.start == '"' || *token.start == '\'')
		read_quoted(reader, &token);
	else if (!token.length)
		read_word(reader, &token);
	reader->token = token;
}

/* The token as a message may show it: short, and without control characters. */
static const char *format_found(const struct token *token, char *buf)
{
	size_t length = token->length < FOUND_MAX ? token->length : FOUND_MAX;

	if (token->kind == TOKEN_END)
		return strcpy(buf, "the end");
	snprintf(buf, FOUND_MAX + 3, "\"%.*s\"", (int)length, token->start);
	for (char *c = buf; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
	return buf;
}

static int expected(const struct reader *reader, const char *what)
{
	char found[FOUND_MAX + 3];

	return fault_set(
		reader->fault, -EINVAL, "filter, column %zu: found %s, expected %s",
		reader->token.column, format_found(&reader->token, found), what);
}

static int expected_field(const struct reader *reader)
{
	char names[256] = "a field (";
	size_t length = strlen(names);

	for (const struct filter_field *field = filter_fields; field->name; field++)
		length += (size_t)snprintf(names + length, sizeof(names) - length,
					   "%s%s", field == filter_fields ? "" : " ",
					   field->name);
	snprintf(names + length, sizeof(names) - length, "), \"not\" or \"(\"");
	return expected(reader, names);
}

static const struct filter_field *find_field(const struct token *token)
{
	for (const struct filter_field *field = filter_fields; field->name; field++)
		if (token->kind == TOKEN_WORD && strlen(field->name) == token->length &&
		    strncmp(field->name, token->start, token->length) == 0)
			return field;
	return NULL;
}

/* field relation value */
static int parse_test(struct reader *reader, struct node **ret)
{
	const struct filter_field *field = find_field(&reader->token);
	CLEANUP(node_free_ptr) struct node *node = node_new(NODE_TEST);
	CLEANUP_FREE char *value = NULL;
	int err;

	if (!field)
		return expected_field(reader);
	if (!node)
		return -ENOMEM;
	reader_next(reader);
	node->test.relation = reader->token.relation;
	if (reader->token.kind != TOKEN_RELATION)
		return expected(reader, "=, !=, <, <=, > or >=");
	if (!field->is_ordered && node->test.relation > RELATION_DIFFERENT)
		return expected(reader, "= or != (this field has no order)");
	reader_next(reader);
	if (reader->token.kind != TOKEN_WORD)
		return expected(reader, field->expected);
	value = strndup(reader->token.start, reader->token.length);
	if (!value)
		return -ENOMEM;
	err = filter_field_parse(field, value, &node->test);
	if (err == -EINVAL)
		return expected(reader, field->expected);
	if (err < 0)
		return err;
	reader_next(reader);
	*ret = TAKE(node);
	return 0;
}

static int parse_expression(struct reader *reader, struct node **ret);

static int parse_group(struct reader *reader, struct node **ret)
{
	CLEANUP(node_free_ptr) struct node *node = NULL;
	int err;

	reader_next(reader);
	err = parse_expression(reader, &node);
	if (err < 0)
		return err;
	if (reader->token.kind != TOKEN_CLOSE)
		return expected(reader, "\"and\", \"or\" or \")\"");
	reader_next(reader);
	*ret = TAKE(node);
	return 0;
}

static int parse_factor(struct reader *reader, struct node **ret);

static int parse_not(struct reader *reader, struct node **ret)
{
	CLEANUP(node_free_ptr) struct node *node = node_new(NODE_NOT);
	int err;

	if (!node)
		return -ENOMEM;
	reader_next(reader);
	err = parse_factor(reader, &node->left);
	if (err < 0)
		return err;
	*ret = TAKE(node);
	return 0;
}

static int parse_factor(struct reader *reader, struct node **ret)
{
	enum token_kind kind = reader->token.kind;
	int err;

	if (kind != TOKEN_NOT && kind != TOKEN_OPEN)
		return parse_test(reader, ret);
	if (++reader->depth > FILTER_DEPTH_MAX)
		return expected(reader, "at most 64 levels of \"(\" and \"not\"");
	err = kind == TOKEN_NOT ? parse_not(reader, ret) : parse_group(reader, ret);
	reader->depth--;
	return err;
}

/* "and" may be left out, so whatever can start a factor goes on with the term. */
static bool is_term_going_on(struct reader *reader)
{
	switch (reader->token.kind) {
	case TOKEN_AND:
		reader_next(reader);
		return true;
	case TOKEN_WORD:
	case TOKEN_NOT:
	case TOKEN_OPEN:
		return true;
	default:
		return false;
	}
}

static int parse_term(struct reader *reader, struct node **ret)
{
	CLEANUP(node_free_ptr) struct node *node = NULL;
	int err = parse_factor(reader, &node);

	while (err == 0 && is_term_going_on(reader)) {
		struct node *both = node_new(NODE_AND);

		if (!both)
			return -ENOMEM;
		both->left = node;
		node = both;
		err = parse_factor(reader, &both->right);
	}
	if (err < 0)
		return err;
	*ret = TAKE(node);
	return 0;
}

static int parse_expression(struct reader *reader, struct node **ret)
{
	CLEANUP(node_free_ptr) struct node *node = NULL;
	int err = parse_term(reader, &node);

	while (err == 0 && reader->token.kind == TOKEN_OR) {
		struct node *either = node_new(NODE_OR);

		if (!either)
			return -ENOMEM;
		either->left = node;
		node = either;
		reader_next(reader);
		err = parse_term(reader, &either->right);
	}
	if (err < 0)
		return err;
	*ret = TAKE(node);
	return 0;
}

static int parse_all(const char *text, struct node **ret, struct fault *fault)
{
	struct reader reader = {.text = text, .fault = fault};
	CLEANUP(node_free_ptr) struct node *root = NULL;
	int err;

	reader_next(&reader);
	if (reader.token.kind != TOKEN_END) {
		err = parse_expression(&reader, &root);
		if (err == -ENOMEM)
			return fault_set(fault, err, "filter: out of memory");
		if (err < 0)
			return err;
	}
	if (reader.token.kind != TOKEN_END)
		return expected(&reader, "\"and\", \"or\" or the end");
	*ret = TAKE(root);
	return 0;
}

int filter_parse(const char *text, struct filter **ret, struct fault *fault)
{
	CLEANUP(filter_free_ptr) struct filter *filter = calloc(1, sizeof(*filter));
	int err = 0;

	if (!filter)
		return fault_set(fault, -ENOMEM, "filter: out of memory");
	if (text && strnlen(text, FILTER_TEXT_MAX + 1) > FILTER_TEXT_MAX)
		return fault_set(
			fault, -EINVAL,
			"filter: found more than %d characters, expected fewer",
			FILTER_TEXT_MAX);
	if (text)
		err = parse_all(text, &filter->root, fault);
	if (err < 0)
		return err;
	*ret = TAKE(filter);
	return 0;
}

void filter_free(struct filter *filter)
{
	if (filter)
		node_free(filter->root);
	free(filter);
}

static bool node_accepts(const struct node *node, const struct session *session)
{
	switch (node->kind) {
	case NODE_NOT:
		return !node_accepts(node->left, session);
	case NODE_AND:
		return node_accepts(node->left, session) &&
		       node_accepts(node->right, session);
	case NODE_OR:
		return node_accepts(node->left, session) ||
		       node_accepts(node->right, session);
	default:
		return filter_test_holds(&node->test, session);
	}
}

bool filter_accepts(const struct filter *filter, const struct session *session)
{
	return !filter->root || node_accepts(filter->root, session);
}

static uint16_t node_fixed_sport(const struct node *node)
{
	uint16_t left, right;

	if (node->kind == NODE_TEST)
		return filter_test_fixed_sport(&node->test);
	if (node->kind == NODE_NOT)
		return 0;
	left = node_fixed_sport(node->left);
	right = node_fixed_sport(node->right);
	if (node->kind == NODE_OR)
		return left == right ? left : 0;
	/* Where both sides of "and" fix a port and differ, nothing is accepted: either
	 * will do. */
	return left ? left : right;
}

uint16_t filter_fixed_sport(const struct filter *filter)
{
	return filter->root ? node_fixed_sport(filter->root) : 0;
}
