/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "cli/field.h"

const char *field_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "-";
}

int64_t field_number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}
