/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * stdio.h - standard input, output and error of a program, whatever they are.
 *
 * stdio_hold - open those of the descriptors 0, 1 and 2 that the caller closed. Else
 *	the next file or socket would get the number, and what is printed would go
 *	there. Reading and writing them fails, and a program that takes our place finds
 *	them closed again. To be called first in main().
 *
 * stdio_flush - write what standard output still holds. Returns 0, or a negative errno
 *	when something that was printed could not be written, now or before.
 */
#ifndef BASE_STDIO_H
#define BASE_STDIO_H

int stdio_hold(void);
int stdio_flush(void);

#endif /* BASE_STDIO_H */
