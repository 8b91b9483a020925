/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
	char was[sizeof(fault->text)];

	if (!fault)
		return err;
	memcpy(was, fault->text, sizeof(was));
	snprintf(fault->text, sizeof(fault->text), "%s: %s", prefix, was);
	return err;
}
