/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fault.h - what went wrong, in words for the person who must mend it.
 *
 * Library code neither prints nor exits. A function that can fail for a reason
 * a person should read takes a struct fault * (NULL is fine) and fills it when it
 * returns a negative errno. The message names the thing (file, line, socket,
 * cgroup) and, where there is one, the remedy.
 */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

struct fault {
	char text[512]; /* empty when nothing was said */
};

/*
 * Write the message and return err, so that a caller can
 * `return fault_set(fault, -EINVAL, "%s:%d: ...", ...)`.
 */
int fault_set(struct fault *fault, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "prefix: " before what the fault already says. Returns err. */
int fault_prefix(struct fault *fault, int err, const char *prefix);

#endif /* BASE_FAULT_H */
