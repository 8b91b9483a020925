/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * recorder.h - what the tests of collect share: the newest events, kept, and what the
 * sockets say of themselves.
 */
#ifndef TESTS_BPF_RECORDER_H
#define TESTS_BPF_RECORDER_H

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/collect.h"
#include "model/address.h"

#define SKIP_STATUS    77
#define EVENT_MAX      512
#define EVENT_BYTES    2200
#define TRIES_MAX      2000 /* of a millisecond */
#define CGROUP2_MOUNTS "/proc/self/mounts"

union event {
	struct event_head head;
	struct event_open open;
	struct event_established established;
	struct event_close close;
	struct event_fork fork;
	struct event_exec exec;
	struct event_exit exit;
	uint8_t bytes[EVENT_BYTES];
};

struct recorder {
	struct collect *collect;
	int verdict_fd;
	int count;
	union event events[EVENT_MAX];
};

static inline size_t size_of(uint8_t kind)
{
	static const size_t sizes[] = {
		[EVENT_OPEN] = sizeof(struct event_open),
		[EVENT_ESTABLISHED] = sizeof(struct event_established),
		[EVENT_CLOSE] = sizeof(struct event_close),
		[EVENT_FORK] = sizeof(struct event_fork),
		[EVENT_EXEC] = sizeof(struct event_exec),
		[EVENT_EXIT] = sizeof(struct event_exit),
	};

	return sizes[kind];
}

static inline void record(const struct event_head *event, void *arg)
{
	struct recorder *recorder = arg;

	/* Other programs of this machine are seen too; keep the newest. */
	memcpy(&recorder->events[recorder->count++ % EVENT_MAX], event,
	       size_of(event->kind));
}

typedef bool match_fn(const union event *event, uint64_t key);

/* The newest event that matches, waiting for it a little; NULL: it did not come. */
static const union event *await(struct recorder *recorder, match_fn *match,
				uint64_t key)
{
	for (int try = 0; try < TRIES_MAX; try++) {
		collect_poll(recorder->collect);
		for (int i = recorder->count - 1;
		     i >= 0 && i >= recorder->count - EVENT_MAX; i--)
			if (match(&recorder->events[i % EVENT_MAX], key))
				return &recorder->events[i % EVENT_MAX];
		poll(NULL, 0, 1);
	}
	return NULL;
}

static inline bool is_open(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_OPEN && event->open.cookie == cookie;
}

static inline bool is_close(const union event *event, uint64_t cookie)
{
	return event->head.kind == EVENT_CLOSE && event->close.cookie == cookie;
}

static inline uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
	return cookie;
}

static inline uint64_t netns_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size);
	return cookie;
}

static inline uint16_t port_of(int fd)
{
	struct sockaddr_in6 at = {};
	socklen_t size = sizeof(at);

	getsockname(fd, (struct sockaddr *)&at, &size);
	return ntohs(at.sin6_port); /* where sin_port is, too */
}

static inline bool is_address(const uint8_t *bytes, const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return memcmp(bytes, address.bytes, sizeof(address.bytes)) == 0;
}

static inline struct sockaddr_in loopback_v4(uint16_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return at;
}

/* Where cgroup2 is mounted: some folder there that goes away with the test. */
static inline bool cgroup_make(char *path, size_t size)
{
	CLEANUP_FREE char *line = NULL;
	FILE *mounts = fopen(CGROUP2_MOUNTS, "re");
	bool is_found = false;
	char at[1024];
	size_t room = 0;

	while (!is_found && getline(&line, &room, mounts) > 0)
		is_found = sscanf(line, "%*s %1023s cgroup2 ", at) == 1 &&
			   strstr(line, " cgroup2 ");
	fclose(mounts);
	if (!is_found)
		return false;
	snprintf(path, size, "%s/srcport-test-%d", at, getpid());
	return mkdir(path, 0755) == 0;
}

/* A namespace whose loopback is up. */
static inline int netns_make(void)
{
	CLEANUP_CLOSE int fd = -1;
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	if (unshare(CLONE_NEWNET))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return ioctl(fd, SIOCSIFFLAGS, &lo) ? -errno : 0;
}

/*
 * A namespace of our own, with a collector in it and a map of verdicts. Where that
 * cannot be, this says so and returns false: end with SKIP_STATUS.
 */
static inline bool recorder_open(struct recorder *recorder)
{
	struct collect_options options = {};
	struct fault fault = {};

	recorder->verdict_fd =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "verdicts", sizeof(uint32_t),
			       sizeof(struct verdict), VERDICT_SLOTS, NULL);
	options.verdict_map_fd = recorder->verdict_fd;
	if (recorder->verdict_fd >= 0 && !netns_make() &&
	    !collect_open(&options, record, recorder, &recorder->collect, &fault))
		return true;
	printf("1..0 # SKIP BPF programs cannot be loaded: %s\n", fault.text);
	return false;
}

/* Events that found the ring full. */
static inline uint64_t lost_by(const struct recorder *recorder)
{
	struct collect_lost lost;

	collect_lost(recorder->collect, &lost);
	return lost.ring_full;
}

static inline void recorder_close(struct recorder *recorder)
{
	collect_close(recorder->collect);
	close(recorder->verdict_fd);
}

#endif /* TESTS_BPF_RECORDER_H */
