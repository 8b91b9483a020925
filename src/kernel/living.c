/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#include "kernel/living.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "kernel/netns.h"
#include "kernel/sock_diag.h"

#define STATE_TIME_WAIT 6

/* Cookies, in order once all are there. */
struct cookies {
	uint64_t *cookies;
	size_t count;
	size_t capacity;
};

struct living {
	struct cookies sockets;
	struct cookies namespaces;
	int err;
};

DEFINE_CLEANUP(struct living, living_free)

void living_free(struct living *living)
{
	if (!living)
		return;
	free(living->sockets.cookies);
	free(living->namespaces.cookies);
	free(living);
}

static int cookies_add(struct cookies *set, uint64_t cookie)
{
	size_t capacity = set->capacity ? 2 * set->capacity : 64;
	uint64_t *cookies;

	if (set->count == set->capacity) {
		cookies = reallocarray(set->cookies, capacity, sizeof(*cookies));
		if (!cookies)
			return -ENOMEM;
		set->cookies = cookies;
		set->capacity = capacity;
	}
	set->cookies[set->count++] = cookie;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static void cookies_sort(struct cookies *set)
{
	if (set->count)
		qsort(set->cookies, set->count, sizeof(*set->cookies), compare);
}

static bool cookies_have(const struct cookies *set, uint64_t cookie)
{
	return set->count && bsearch(&cookie, set->cookies, set->count,
				     sizeof(*set->cookies), compare);
}

static int add_socket(const struct diag_socket *socket, void *arg)
{
	struct living *living = arg;

	if (socket->state == STATE_TIME_WAIT && socket->protocol == IPPROTO_TCP)
		return 0;
	return living->err = cookies_add(&living->sockets, socket->cookie);
}

static int add_namespace(int netns_fd, uint64_t cookie, void *arg)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};
	struct living *living = arg;
	int err = cookies_add(&living->namespaces, cookie);

	for (size_t i = 0; err >= 0 && i < sizeof(protocols); i++)
		err = sock_diag_visit(netns_fd, protocols[i], add_socket, living, NULL);
	if (err < 0)
		living->err = err;
	return living->err;
}

int living_list(struct living **ret)
{
	CLEANUP(living_free_ptr) struct living *living = calloc(1, sizeof(*living));
	int err;

	if (!living)
		return -ENOMEM;
	err = netns_visit(add_namespace, living);
	if (err < 0 || living->err < 0)
		return err < 0 ? err : living->err;
	cookies_sort(&living->sockets);
	cookies_sort(&living->namespaces);
	*ret = TAKE(living);
	return 0;
}

bool living_has(const struct living *living, uint64_t cookie)
{
	return cookies_have(&living->sockets, cookie);
}

bool living_knows(const struct living *living, uint64_t netns)
{
	return cookies_have(&living->namespaces, netns);
}
