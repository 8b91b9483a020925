/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak_board.c - what each process writes on the board, and how it is judged.
 *
 * A killed process cannot wipe what it wrote. Its generation is counted up first, which
 * makes all of it void at once.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "soak.h"

#define FIRST_PORT  7100
#define CLOSED_PORT 1

const char *const soak_addresses[LOCAL_ADDRESSES] = {
	"127.0.0.1", "10.9.0.1",  "::1",     "fd09::1",
	"127.0.0.2", "127.0.0.3", "0.0.0.0", "::"};

static unsigned int holder_of(unsigned int number, unsigned int generation)
{
	return generation << 8 | (number + 1);
}

static bool is_alive(struct board *board, unsigned int holder)
{
	unsigned int number = (holder & 0xff) - 1;

	return holder && holder == holder_of(number, board->generations[number]);
}

static bool is_client(unsigned int holder)
{
	return (holder & 0xff) <= CLIENTS;
}

void actor_init(struct actor *actor, const struct plan *plan, unsigned int number)
{
	struct board *board = plan->board;

	*actor = (struct actor){
		.plan = plan,
		.board = board,
		.counts = &board->counts[number],
		.number = number,
		.holder = holder_of(number, board->generations[number]),
	};
}

void actor_dies(struct actor *actor)
{
	atomic_fetch_add(&actor->board->generations[actor->number], 1);
}

uint64_t soak_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

bool actor_goes_on(struct actor *actor)
{
	if (soak_now() / 1000000000 >= (uint64_t)actor->plan->end ||
	    atomic_fetch_sub(&actor->board->operations, 1) <= 0)
		return false;
	actor->counts->operations++;
	return true;
}

void actor_count_other(struct actor *actor, const char *call, int err)
{
	actor->counts->others++;
	fprintf(stderr, "soak: %s: %s\n", call, strerror(-err));
}

static int address_index(const struct endpoint *local)
{
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(local, text);
	*strchr(text, ' ') = '\0';
	for (int i = 0; i < LOCAL_ADDRESSES; i++)
		if (!strcmp(text, soak_addresses[i]))
			return i;
	return -1;
}

/* Addresses at which a socket bound there would be in another's way, as bits. */
static const unsigned int reach[FOREIGN_COUNT] = {
	[FOREIGN_ANY_V4] = 0xf3,
	[FOREIGN_LOOPBACK_V4] = 0xc1,
	[FOREIGN_ANY] = 0xff,
	[FOREIGN_LOOPBACK_V6] = 0x84,
};

static void count_udp_double(struct actor *actor, const char *who, uint16_t port)
{
	actor->counts->udp_doubles++;
	fprintf(stderr, "soak: udp port %u is ours and a foreigner's, told by %s\n",
		port, who);
}

static void see_foreign_udp(struct actor *actor, int address, uint16_t port)
{
	unsigned int counts = atomic_load(&actor->board->foreign_udp[port]);

	for (int where = 0; where < FOREIGN_COUNT; where++)
		if ((counts >> (8 * where) & 0xff) && (reach[where] >> address & 1))
			count_udp_double(actor, "us", port);
}

void actor_tell_udp(struct actor *actor, enum foreign where, uint16_t port, int change)
{
	struct board *board = actor->board;

	atomic_fetch_add(&board->foreign_udp[port],
			 (unsigned int)change << (8 * where));
	for (int address = 0; change > 0 && address < LOCAL_ADDRESSES; address++)
		for (int remote = 0; remote < REMOTE_COUNT; remote++) {
			unsigned int holder = board->claims[1][address][remote][port];

			if ((reach[where] >> address & 1) && is_alive(board, holder) &&
			    is_client(holder))
				count_udp_double(actor, "it", port);
		}
}

atomic_uint *actor_claim(struct actor *actor, int fd, int type, enum remote remote)
{
	struct endpoint local;
	unsigned int before;
	atomic_uint *claim;
	uint16_t port;
	int address;

	if (endpoint_local(fd, &local) < 0)
		return NULL;
	port = endpoint_port(&local);
	address = address_index(&local);
	if (!port || address < 0)
		return NULL;
	claim = &actor->board->claims[type == SOCK_DGRAM][address][remote][port];
	before = atomic_exchange(claim, actor->holder);
	/* What foreigners do to each other is the kernel's affair. */
	if (is_alive(actor->board, before) &&
	    (is_client(before) || is_client(actor->holder))) {
		actor->counts->doubles++;
		fprintf(stderr, "soak: %s %s:%u to peer %d twice, of %u and %u\n",
			type == SOCK_STREAM ? "tcp" : "udp", soak_addresses[address],
			port, remote, before & 0xff, actor->holder & 0xff);
	}
	if (type == SOCK_DGRAM && is_client(actor->holder))
		see_foreign_udp(actor, address, port);
	return claim;
}

void actor_release(struct actor *actor, atomic_uint *claim)
{
	unsigned int own = actor->holder;

	/* What was found twice may be another's by now. */
	if (claim)
		atomic_compare_exchange_strong(claim, &own, 0);
}

static void make_endpoint(const char *address, bool is_mapped, uint16_t port,
			  struct endpoint *ret)
{
	char number[8], mapped[ENDPOINT_TEXT_MAX];

	snprintf(number, sizeof(number), "%u", port);
	snprintf(mapped, sizeof(mapped), "%s%s", is_mapped ? "::ffff:" : "", address);
	endpoint_parse(mapped, number, ret); /* ours are all well formed */
}

void soak_remote(enum remote remote, bool is_mapped, struct endpoint *ret)
{
	static const char *const others[] = {"127.0.0.1", "::1",       "10.9.0.2",
					     "fd09::2",	  "192.0.2.1", "2001:db8::1"};
	int which = remote - REMOTE_SERVER;

	if (remote >= REMOTE_CLOSED_V4)
		make_endpoint(others[remote - REMOTE_CLOSED_V4], is_mapped, CLOSED_PORT,
			      ret);
	else
		make_endpoint(soak_addresses[which / SERVERS], is_mapped,
			      FIRST_PORT + which % SERVERS, ret);
}

int soak_connect(int fd, const struct endpoint *remote)
{
	const struct sockaddr *address = (const struct sockaddr *)&remote->address;

	return connect(fd, address, remote->length) < 0 ? -errno : 0;
}

int soak_socket(int family, int type)
{
	const struct timeval wait = {.tv_sec = WAIT_SECONDS};
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		perror("soak: socket");
		_exit(1);
	}
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

uint16_t soak_port(int fd)
{
	struct endpoint local;

	return endpoint_local(fd, &local) < 0 ? 0 : endpoint_port(&local);
}

bool soak_is_in_pool(const struct plan *plan, uint16_t port)
{
	return port >= plan->from && port <= plan->to;
}
