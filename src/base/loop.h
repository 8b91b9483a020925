/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * loop.h - an epoll event loop: descriptors, timers, signals.
 *
 * A callback may add and remove anything, itself included; what was removed is
 * not called again, though its event was already taken from the kernel.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <signal.h>
#include <stdint.h>

struct loop;

/* events as in epoll_ctl(2): EPOLLIN, EPOLLOUT, EPOLLPRI. */
typedef void loop_fn(uint32_t events, void *arg);

int loop_new(struct loop **ret);
void loop_free(struct loop *loop); /* closes the timers; NULL is fine */

/* Watch a descriptor, which stays the caller's. Remove it before closing it. */
int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn *fn, void *arg);
int loop_change(struct loop *loop, int fd, uint32_t events);
void loop_remove(struct loop *loop, int fd);

/* Call fn every period_ns; missed periods are one call. Lives as long as the loop. */
int loop_add_timer(struct loop *loop, uint64_t period_ns, loop_fn *fn, void *arg);

/* Block these signals and call fn, from the loop, when one comes. */
int loop_add_signals(struct loop *loop, const sigset_t *signals, loop_fn *fn,
		     void *arg);

/* Until loop_stop(). 0 or a negative errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif /* BASE_LOOP_H */
