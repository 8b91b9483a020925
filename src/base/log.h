/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * log.h - what a program says on standard error: "program: message", one line.
 *
 * Only the programs (daemon, cli) speak; library code fills a struct fault.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

void log_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif /* BASE_LOG_H */
