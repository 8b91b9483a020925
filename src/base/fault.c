/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *fault, int err, const char *format, ...)
{
	va_list args;

	if (!fault)
		return err;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return err;
}

int fault_prefix(struct fault *fault, int err, const char *prefix)
{
	struct fault was;

	if (!fault)
		return err;
	was = *fault;
	fault_set(fault, err, "%s: %s", prefix, was.text);
	return err;
}
