/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * living.h - the TCP and UDP sockets that live at one moment, in all namespaces that a
 * process is in, to be asked for by cookie. TIME_WAIT is not living.
 */
#ifndef KERNEL_LIVING_H
#define KERNEL_LIVING_H

#include <stdbool.h>
#include <stdint.h>

struct living;

/* On failure nothing can be said of any socket. */
int living_list(struct living **ret);
void living_free(struct living *living); /* NULL is fine */

/*
 * Is a socket with this cookie there? One that is neither bound nor connected is not
 * listed by the kernel, nor one of a namespace that no process is in.
 */
bool living_has(const struct living *living, uint64_t cookie);

/* Was this namespace listed? */
bool living_knows(const struct living *living, uint64_t netns);

#endif /* KERNEL_LIVING_H */
