/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "base/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cleanup.h"

#define EVENTS_MAX 64

/* At index fd. The age tells an event of a closed descriptor from its successor's. */
struct watch {
	loop_fn *fn; /* NULL: not watched */
	void *arg;
	uint32_t age;
	bool is_owned;	 /* a timer or signalfd of ours */
	bool is_drained; /* read before the call */
};

struct loop {
	int epoll_fd;
	struct watch *watches;
	size_t watch_count;
	bool is_stopped;
};

int loop_new(struct loop **ret)
{
	CLEANUP_FREE struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	*ret = TAKE(loop);
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	for (size_t fd = 0; fd < loop->watch_count; fd++)
		if (loop->watches[fd].fn && loop->watches[fd].is_owned)
			close(fd);
	close(loop->epoll_fd);
	free(loop->watches);
	free(loop);
}

static int make_room(struct loop *loop, size_t count)
{
	struct watch *watches;

	if (count <= loop->watch_count)
		return 0;
	watches = realloc(loop->watches, count * sizeof(*watches));
	if (!watches)
		return -ENOMEM;
	for (size_t i = loop->watch_count; i < count; i++)
		watches[i] = (struct watch){0};
	loop->watches = watches;
	loop->watch_count = count;
	return 0;
}

static int control(struct loop *loop, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {
		.events = events,
		.data.u64 = (uint64_t)loop->watches[fd].age << 32 | (uint32_t)fd,
	};

	return epoll_ctl(loop->epoll_fd, operation, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, int fd, uint32_t events, loop_fn *fn, void *arg)
{
	struct watch *watch;
	int err = make_room(loop, fd + 1);

	if (err < 0)
		return err;
	watch = &loop->watches[fd];
	*watch = (struct watch){.age = watch->age + 1};
	err = control(loop, EPOLL_CTL_ADD, fd, events);
	if (err < 0)
		return err;
	watch->fn = fn;
	watch->arg = arg;
	return 0;
}

int loop_change(struct loop *loop, int fd, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, fd, events);
}

void loop_remove(struct loop *loop, int fd)
{
	if (fd < 0 || (size_t)fd >= loop->watch_count || !loop->watches[fd].fn)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	loop->watches[fd].fn = NULL;
}

/* Watch a descriptor that the loop owns from here on, also when it cannot. */
static int add_owned(struct loop *loop, int owned_fd, loop_fn *fn, void *arg)
{
	CLEANUP_CLOSE int fd = owned_fd;
	int err = loop_add(loop, fd, EPOLLIN, fn, arg);

	if (err < 0)
		return err;
	loop->watches[fd].is_owned = true;
	loop->watches[fd].is_drained = true;
	(void)TAKE_FD(fd);
	return 0;
}

int loop_add_timer(struct loop *loop, uint64_t period_ns, loop_fn *fn, void *arg)
{
	struct timespec period = {
		.tv_sec = period_ns / 1000000000,
		.tv_nsec = period_ns % 1000000000,
	};
	struct itimerspec spec = {.it_interval = period, .it_value = period};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0)
		return -errno;
	timerfd_settime(fd, 0, &spec, NULL);
	return add_owned(loop, fd, fn, arg);
}

int loop_add_signals(struct loop *loop, const sigset_t *signals, loop_fn *fn, void *arg)
{
	int fd;

	if (sigprocmask(SIG_BLOCK, signals, NULL) < 0)
		return -errno;
	fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	return add_owned(loop, fd, fn, arg);
}

static void drain(int fd)
{
	char bytes[1024];

	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	uint32_t fd = (uint32_t)event->data.u64;
	struct watch *watch = &loop->watches[fd];

	if (!watch->fn || watch->age != event->data.u64 >> 32)
		return;
	if (watch->is_drained)
		drain(fd);
	watch->fn(event->events, watch->arg);
}

int loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	int count;

	loop->is_stopped = false;
	while (!loop->is_stopped) {
		count = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, -1);
		if (count < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < count && !loop->is_stopped; i++)
			dispatch(loop, &events[i]);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
}
