/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * soak.h - what the processes of soak share: the plan, the servers' addresses, and a
 * board in shared memory on which each writes what it holds, so that all can judge all.
 *
 * What stands on the board is held for certain: it is written after the call that took
 * it and wiped before the call that gives it back. What is found twice was there twice.
 */
#ifndef TOOLS_SOAK_H
#define TOOLS_SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "endpoint.h"

#define CLIENTS	     4
#define FOREIGNERS   2 /* in the managed cgroup, and outside it */
#define SERVERS	     3
#define WAIT_SECONDS 5 /* for one connect(), and for clients after the end */

/* Those that tests/root/helper.bash gives a namespace; first the servers' own. */
#define SERVER_ADDRESSES 4
#define LOCAL_ADDRESSES	 8
extern const char *const soak_addresses[LOCAL_ADDRESSES];

/* Where foreigners bind. IPV6_V6ONLY is off. */
enum foreign {
	FOREIGN_ANY_V4,
	FOREIGN_LOOPBACK_V4,
	FOREIGN_ANY,
	FOREIGN_LOOPBACK_V6,
	FOREIGN_COUNT
};

/* Which peer a session has. SERVERS of them at each of the servers' addresses. */
enum remote {
	REMOTE_NONE, /* bound, not connected */
	REMOTE_SERVER,
	REMOTE_CLOSED_V4 = REMOTE_SERVER + SERVERS * SERVER_ADDRESSES,
	REMOTE_CLOSED_V6,
	REMOTE_SILENT_V4, /* never answers */
	REMOTE_SILENT_V6,
	REMOTE_NOWHERE_V4, /* no route */
	REMOTE_NOWHERE_V6,
	REMOTE_COUNT
};

/* Sums over all processes are printed, in this order, under these names. */
#define SOAK_COUNTS(X)                                                       \
	X(operations)                                                        \
	X(sessions)	     /* that the ledger must have */                 \
	X(connects)	     /* of descriptors that had not failed before */ \
	X(unavailable)	     /* of these, failed with EADDRNOTAVAIL */       \
	X(again)	     /* connects of descriptors that have a port */  \
	X(again_unavailable) /* of these, the same */                        \
	X(unreachable)                                                       \
	X(refused)                                                           \
	X(unanswered)                                                        \
	X(kills)                                                             \
	X(binds) /* to port 0 */                                             \
	X(binds_failed)                                                      \
	X(binds_outside)  /* given a port that is not from the pool */       \
	X(ordinary)	  /* connected, the port srcport's to choose */      \
	X(outside)	  /* of these, not from the pool */                  \
	X(failed_outside) /* not from the pool, and the connect() failed */  \
	X(echoes)	  /* datagrams that came back to their socket */     \
	X(others)	  /* calls that failed otherwise */                  \
	X(foreign_binds)                                                     \
	X(foreign_refused)                                                   \
	X(foreign_listens)                                                   \
	X(foreign_connects)                                                  \
	/* What must not be. */                                              \
	X(doubles)	/* tuples of two sockets */                          \
	X(excepted)	/* ports given that the pool excepts */              \
	X(listening)	/* ports given that somebody listened on */          \
	X(listened)	/* or had listened on before */                      \
	X(udp_doubles)	/* UDP ports of ours and of a foreigner */           \
	X(echoes_wrong) /* another socket's datagram */                      \
	X(echoes_lost)	/* none, after several tries */

struct counts {
#define SOAK_FIELD(name) long name;
	SOAK_COUNTS(SOAK_FIELD)
#undef SOAK_FIELD
};

struct board {
	atomic_long operations; /* left to do */
	atomic_int resting;	/* clients that do no more, and hold what they have */
	atomic_uint generations[CLIENTS + FOREIGNERS]; /* how often each was started */
	_Atomic uint64_t listening[65536]; /* TCP: since when, in ns; 0: nobody */
	_Atomic uint64_t listened[65536];  /* since when somebody has or had */
	atomic_uint foreign_udp[65536];	   /* a count of 8 bits for each enum foreign */
	struct counts counts[CLIENTS + FOREIGNERS];
	/* Who holds a tuple: 0 or a holder. Large, but hardly any page is touched. */
	atomic_uint claims[2][LOCAL_ADDRESSES][REMOTE_COUNT][65536];
};

struct plan {
	time_t start, end;
	unsigned int seed;
	uint16_t from, to;		 /* the pool */
	uint16_t except_from, except_to; /* in the pool, never given; 0: none */
	const char *foreign_cgroup;	 /* of the foreigner outside; NULL: none */
	struct board *board;
};

/* One of the processes, as it sees itself. */
struct actor {
	const struct plan *plan;
	struct board *board;
	struct counts *counts;
	unsigned int number;
	unsigned int holder; /* what it writes on the board */
};

void actor_init(struct actor *actor, const struct plan *plan, unsigned int number);

/* Take an operation; false where there is none left, or no time. */
bool actor_goes_on(struct actor *actor);
void actor_count_other(struct actor *actor, const char *call, int err);

/* From now on what the actor had written is not its own: it will be killed. */
void actor_dies(struct actor *actor);

/* Write down what the socket holds; NULL: nothing. To be given to actor_release(). */
atomic_uint *actor_claim(struct actor *actor, int fd, int type, enum remote remote);
void actor_release(struct actor *actor, atomic_uint *claim);

/* A foreigner's UDP socket is there (1) or no more (-1). */
void actor_tell_udp(struct actor *actor, enum foreign where, uint16_t port, int change);

void soak_remote(enum remote remote, bool is_mapped, struct endpoint *ret);
int soak_connect(int fd, const struct endpoint *remote); /* 0 or -errno */

/* Blocking, but not for ever. */
int soak_socket(int family, int type);
uint16_t soak_port(int fd); /* local; 0: none */
uint64_t soak_now(void);    /* ns */
bool soak_is_in_pool(const struct plan *plan, uint16_t port);

/* The processes. Each serves one port; none returns but the clients, at the end. */
void be_client(const struct plan *plan, unsigned int number);
void be_foreigner(const struct plan *plan, unsigned int number);
struct listeners {
	int tcp[SERVER_ADDRESSES];
	int udp[SERVER_ADDRESSES];
};
int listeners_open(int server, struct listeners *ret); /* 0 or -errno */
void be_server(const struct plan *plan, const struct listeners *listeners, int server);

#endif /* TOOLS_SOAK_H */
