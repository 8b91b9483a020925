/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc_connect.bpf.h - connect(): draw a port, bind the socket to it.
 *
 * A connect() never fails by a fault of ours: wherever we cannot give a port the hook
 * returns without one, and the kernel picks.
 */
#ifndef ALLOC_CONNECT_BPF_H
#define ALLOC_CONNECT_BPF_H

#include "alloc/alloc_draw.bpf.h"
#include "alloc/alloc_hook.bpf.h"
#include "alloc/alloc_sequence.bpf.h"

#define BIND_ATTEMPTS	  4
#define RESTS_PER_CONNECT 2

/* The pool whose space the port returns to. */
static __always_inline __u32 pool_of(const struct port_record *record)
{
	return pool_of_space(record_space(record));
}

#define FOLLOW_REFUSED -1 /* another UDP socket has this very tuple */

/* The kernel would let two UDP sockets have one tuple; the newer would get all. */
static __always_inline bool meets_twin(const struct lease *lease,
				       const struct alloc_space *space,
				       const struct port_record *record)
{
	if (space->protocol != IPPROTO_UDP_NUMBER || !space_shares(space) ||
	    (record->mark & RECORD_EXCLUSIVE))
		return false;
	return lease_is_closed(lease) == TUPLE_IN_USE;
}

/*
 * The socket has a port already. Where it is a lease of ours (bound through a hook,
 * this cgroup's or a child's, or connect() again after a failure), the lease follows to
 * the new destination. Returns its pool, or 0: the program chose the port; or
 * FOLLOW_REFUSED.
 */
__noinline int lease_follow(struct lease *lease)
{
	struct port_record *record;
	struct alloc_space *space;
	struct alloc_host *host;

	if (!lease)
		return 0;
	space = by_id(&spaces, lease->space);
	if (!space)
		return 0;
	lease->host = space->host;
	host = by_id(&hosts, lease->host);
	record = record_of(lease->host, lease->port);
	if (!record || !host)
		return 0;
	if (record->mark & RECORD_FOREIGN)
		return 0;
	if (is_held_by(record, lease->cookie)) {
		if (PRINT(record->holder) != lease->destination &&
		    meets_twin(lease, space, record))
			return FOLLOW_REFUSED;
		lease_move(lease);
		return pool_of(record);
	}
	if (host->tuple_count) {
		__u32 destination = lease->destination, peer = lease->peer;
		__u32 space_number = lease->space, is_shared = lease_is_shared(lease);
		__u32 user = lease->user;

		if (is_shared && lease->destination == destination)
			return pool_of(record);
		/* Put back: a copy of the lease is too much stack. */
		lease->destination = destination;
		lease->peer = peer;
		if (is_shared && meets_twin(lease, space, record))
			return FOLLOW_REFUSED;
		if (is_shared)
			lease_end(lease);
		lease->destination = destination;
		lease->peer = peer;
		lease->space = space_number;
		lease->user = user;
	}
	if ((__u32)record->holder != (__u32)lease->cookie && !USERS(record->counts))
		return 0; /* never was ours: the program's own choice */
	lease->rest_flags = LEASE_INSISTS;
	if (port_claim(lease) || (space_shares(space) && port_share(lease))) {
		dense_mark(lease->space, lease->destination, lease->port, 0);
		return space->pool;
	}
	return 0;
}

/*
 * Bind to the address the program chose (zero: any) and this port; port 0 sets the
 * address alone. A function of its own for the sake of the stack, 512 bytes for all
 * that call each other (Linux 6.1 rounds each one's share up to 32).
 */
static __noinline int bind_to(struct bpf_sock_addr *ctx, const __u32 *source, bool v6,
			      __u32 port)
{
	if (v6) {
		struct sockaddr_in6 {
			__u16 family;
			__be16 port;
			__be32 flowinfo;
			__u32 address[4];
			__u32 scope;
		} to = {.family = AF_INET6, .port = bpf_htons(port)};

		to.address[0] = source[0];
		to.address[1] = source[1];
		to.address[2] = source[2];
		to.address[3] = source[3];
		return bpf_bind(ctx, (struct sockaddr *)&to, sizeof(to));
	} else {
		struct sockaddr_in {
			__u16 family;
			__be16 port;
			__u32 address;
			__u8 zero[8];
		} to = {.family = AF_INET, .port = bpf_htons(port)};

		to.address = source[3];
		return bpf_bind(ctx, (struct sockaddr *)&to, sizeof(to));
	}
}

static __always_inline void set_reuse(struct bpf_sock_addr *ctx, int reuse)
{
	bpf_setsockopt(ctx, SOL_SOCKET_NUMBER, SO_REUSEADDR_NUMBER, &reuse,
		       sizeof(reuse));
}

/*
 * Is the connection that this tuple rests from still half open? Its peer would answer
 * a new SYN with an ACK of the old one (RFC 9293, 3.10.7.4), and connect() would
 * take a second.
 */
static __noinline bool peer_is_open(struct bpf_sock_addr *ctx,
				    const struct lease *lease, const __u32 *remote)
{
	struct tcp_timewait_sock *waiting;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;
	bool is_open = false;

	/* IPv6 is never asked about: there such a tuple is not given early. */
	tuple.ipv4.saddr = remote[3];
	tuple.ipv4.daddr = lease->local;
	tuple.ipv4.sport = ctx->user_port;
	tuple.ipv4.dport = bpf_htons(lease->port);
	sk = bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS,
				0);
	if (!sk)
		return false;
	waiting = bpf_skc_to_tcp_timewait_sock(sk);
	if (waiting)
		is_open = waiting->tw_sk.tw_substate == TCP_FIN_WAIT2;
	bpf_sk_release(sk);
	return is_open;
}

/* SO_REUSEADDR of the socket while it is bound, and afterwards. */
struct reuse {
	__u8 was;    /* as the program set it */
	__u8 before; /* 0: what holds the port, and be it one like ours, is met */
	__u8 after;  /* 1: others may share the port */
	__u8 is;     /* now */
};

static __always_inline void reuse_change(struct bpf_sock_addr *ctx, struct reuse *reuse,
					 __u8 to)
{
	if (reuse->is != to)
		set_reuse(ctx, to);
	reuse->is = to;
}

#define BOUND 1000 /* else enum alloc_reason */

/*
 * Draw, and bind; a port that something else holds is set aside and another drawn. A
 * bpf_bind() that fails clears the address the program bound to, so that
 * is kept here and set again.
 */
static __always_inline int lease_bind(struct bpf_sock_addr *ctx, const __u32 *source,
				      bool v6, struct reuse *reuse, struct lease *lease,
				      const __u32 *remote,
				      const struct alloc_pool *from)
{
	__u32 space_number = lease->space, pool = pool_of_space(space_number);
	__u32 flags = lease->rest_flags;
	int result = ALLOC_REASON_FULL;

	for (int i = 0; i < BIND_ATTEMPTS; i++) {
		int drew = 0, err;

		/* Letting go of a port leaves the space it returned to. */
		lease->space = space_number;
		lease->rest_flags = flags;
		if (from->algorithm)
			drew = sequence_draw(lease,
					     lease_sharing(lease, from, ctx->protocol));
		if (!drew)
			drew = lease_draw(lease);
		if (!drew) {
			/* A full table is a fault of ours, an empty pool is not. */
			result = lease->rest_flags & LEASE_NO_ROOM ? ALLOC_REASON_TABLE
								   : ALLOC_REASON_FULL;
			/* Where nothing may be shared now the pool is not exhausted. */
			if (flags & LEASE_UNSHARED)
				result = ALLOC_REASON_CONFLICT;
			break;
		}
		if (drew == DREW_RESTED && (lease->rest_flags & REST_PEER_OPEN) &&
		    peer_is_open(ctx, lease, remote)) {
			lease->rest_until_ns = lease->now_ns + 2 * TIME_WAIT_NS;
			lease_end(lease);
			lease->rest_until_ns = 0;
			result = ALLOC_REASON_FULL;
			continue;
		}
		/* Not sooner: a socket that gets no port of ours keeps its own setting.
		 */
		reuse_change(ctx, reuse, reuse->before);
		err = bind_to(ctx, source, v6, lease->port);
		if (!err) {
			reuse_change(ctx, reuse, reuse->after);
			STAT_ADD(pool, picks, 1);
			if (drew == DREW_SHARED)
				STAT_ADD(pool, shared, 1);
			return BOUND;
		}
		if (err != -EADDRINUSE_NUMBER) {
			lease_end(lease);
			result = ALLOC_REASON_FAULT;
			break;
		}
		result = ALLOC_REASON_CONFLICT;
		STAT_ADD(pool, conflicts, 1);
		lease_set_aside(lease, 0);
	}
	/* UDP goes without: the kernel's own pick might be another's tuple. */
	reuse_change(ctx, reuse, ctx->protocol == IPPROTO_UDP_NUMBER ? 0 : reuse->was);
	if (source[0] | source[1] | source[2] | source[3])
		bind_to(ctx, source, v6, 0);
	return result;
}

/* No port for this one: the kernel picks, or, where the pool says so, connect() fails.
 */
static __noinline int exhausted(struct bpf_sock_addr *ctx, __u32 pool_number,
				__u32 reason, const __u32 *address)
{
	struct notice_brief what = {
		.kind = ALLOC_NOTICE_FALLBACK,
		.reason = reason,
		.pool = pool_number,
		.port = bpf_ntohs(ctx->user_port),
	};
	struct alloc_pool *pool = by_id(&pools, pool_number);

	if (pool && pool->refuses &&
	    (reason == ALLOC_REASON_FULL || reason == ALLOC_REASON_QUOTA)) {
		STAT_ADD(pool_number, refusals[reason & 7], 1);
		what.kind = ALLOC_NOTICE_REFUSED;
		what.is_refused = 1;
		bpf_set_retval(-EADDRNOTAVAIL);
	} else {
		STAT_ADD(pool_number, fallbacks[reason & 7], 1);
	}
	if (reason == ALLOC_REASON_TABLE)
		STAT_ADD(pool_number, table_full, 1);
	notice_send(ctx, &what, address);
	return !what.is_refused;
}

/* What a pick would have given, as far as nothing is taken for it. */
static __noinline int dry_run(struct bpf_sock_addr *ctx, __u32 space_number,
			      __u32 pool_number, const __u32 *address)
{
	struct notice_brief what = {
		.kind = ALLOC_NOTICE_WOULD_PICK,
		.reason = ALLOC_REASON_FULL,
		.pool = pool_number,
		.port = bpf_ntohs(ctx->user_port),
	};
	struct alloc_space *space = by_id(&spaces, space_number);
	struct alloc_pool *pool = by_id(&pools, pool_number);
	__u32 rank;

	if (!space || !pool)
		return 1;
	rank = draw_below(space_number, 1, space->unused.count);
	if (rank != PICK_AGAIN)
		what.picked = port_map_select(&space->unused, rank);
	else
		what.kind = pool->refuses ? ALLOC_NOTICE_WOULD_REFUSE
					  : ALLOC_NOTICE_FALLBACK;
	notice_send(ctx, &what, address);
	return 1;
}

/* How SO_REUSEADDR is to be while the port is bound, and after. */
static __always_inline struct reuse reuse_of(struct inet_sock *inet, __u32 sharing,
					     __u32 flags, bool is_rewritten)
{
	struct reuse reuse = {.was = is_reused(inet)};

	reuse.is = reuse.was;
	if (sharing == ALLOC_SHARING_NEVER)
		return reuse;
	reuse.before = !(flags & LEASE_UNSHARED);
	/* Where only the first listing is missing, later sockets may share. */
	reuse.after = !is_rewritten;
	return reuse;
}

static __always_inline bool is_loopback(const __u32 *address)
{
	if (!address[0] && !address[1])
		return address[2] ? (__u8)address[3] == 127
				  : address[3] == bpf_htonl(1);
	return false;
}

/* May nothing be shared now, because it is not known where it would come out? */
static __always_inline bool is_unshared(const struct alloc_attachment *attachment,
					__u32 space_number)
{
	struct alloc_space *space = by_id(&spaces, space_number);

	return attachment->is_rewritten || settings.is_rewritten || !space ||
	       !space_is_listed(space);
}

/* The quota is the policy's, and the pool says what then; the rest is room of ours. */
static __always_inline __u32 over_reason(const struct lease *lease,
					 const struct alloc_pool *pool)
{
	struct alloc_user *user = user_at(lease->user);

	return user && pool->quota && (__s32)user->held >= (__s32)pool->quota
		       ? ALLOC_REASON_QUOTA
		       : ALLOC_REASON_TABLE;
}

/* A socket that has a port connects: is it from us? */
static __always_inline int connect_bound(struct bpf_sock_addr *ctx, struct lease *lease,
					 struct verdict *verdict)
{
	struct bpf_sock *sk = ctx->sk;
	int pool;

	if (!sk)
		return 1;
	lease->port = sk->src_port;
	pool = lease_follow(lease);
	if (pool == FOLLOW_REFUSED) {
		bpf_set_retval(-EADDRNOTAVAIL);
		return 0;
	}
	if (pool)
		verdict->pool = pool;
	verdict->picked_by = pool ? EVENT_PICKED_SRCPORT : EVENT_PICKED_PROGRAM;
	return 1;
}

static __always_inline int connect_hook(struct bpf_sock_addr *ctx, bool v6,
					const __u32 *address)
{
	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	__u32 protocol = ctx->protocol, pool_number, sharing;
	struct verdict *verdict = verdict_slot();
	struct bpf_sock *sk = ctx->sk;
	struct lease lease = {};
	struct inet_sock *inet;
	struct alloc_pool *pool;
	__u32 source[4] = {};
	struct reuse reuse;
	int result;

	if (settings.mode == MODE_OFF || !sk || !verdict || !protocol_is_ours(protocol))
		return 1;
	pool_number = hook_pool(ctx, address);
	pool = by_id(&pools, pool_number);
	inet = inet_of(ctx);
	if (!pool_number || !pool || !inet)
		return 1;
	lease.cookie = bpf_get_socket_cookie(ctx);
	verdict->pool = pool_number;
	verdict->picked_by = sk->src_port ? EVENT_PICKED_PROGRAM : EVENT_PICKED_KERNEL;
	verdict->is_of_run = attachment->pool != 0;
	verdict->fold = destination_fold(address, ctx->user_port);
	verdict->cookie = lease.cookie;
	lease.uid = uid_of_sock(inet);
	lease.space = space_of(attachment, pool_number, bpf_get_netns_cookie(ctx),
			       protocol, lease.uid);
	if (!lease.space)
		return sk->src_port ? 1
				    : exhausted(ctx, pool_number, ALLOC_REASON_TABLE,
						address);
	lease.user = user_of_space(lease.uid, lease.space);
	if (v6) {
		source[0] = sk->src_ip6[0];
		source[1] = sk->src_ip6[1];
		source[2] = sk->src_ip6[2];
		source[3] = sk->src_ip6[3];
	} else {
		source[3] = sk->src_ip4;
	}
	lease_aim(&lease, address, ctx->user_port,
		  knows_sources(pool, protocol) &&
				  (source[0] | source[1] | source[2] | source[3]) &&
				  has_address(inet)
			  ? source
			  : NULL);
	sharing = sharing_of(pool, protocol);
	if (knows_tuples(pool, protocol))
		lease.now_ns = bpf_ktime_get_boot_ns();
	if (is_unshared(attachment, lease.space))
		lease.rest_flags |= LEASE_UNSHARED;
	if (sk->src_port)
		return connect_bound(ctx, &lease, verdict);
	if (has_own_range(inet)) {
		verdict->picked_by = EVENT_PICKED_PROGRAM;
		return 1;
	}
	if (settings.mode == MODE_DRY_RUN)
		return dry_run(ctx, lease.space, pool_number, address);
	if (user_is_over(&lease, pool))
		return exhausted(ctx, pool_number, over_reason(&lease, pool), address);
	if (lease.now_ns) {
		for (int i = 0; i < RESTS_PER_CONNECT; i++)
			if (!rests_pop(lease.now_ns))
				break;
	}
	if (is_loopback(address))
		lease.rest_flags |= LEASE_LOOPBACK;
	reuse = reuse_of(inet, sharing, lease.rest_flags, attachment->is_rewritten);
	result = lease_bind(ctx, source, v6, &reuse, &lease, address, pool);
	if (result != BOUND)
		return exhausted(ctx, pool_number, result, address);
	verdict->picked_by = EVENT_PICKED_SRCPORT;
	return 1;
}

#endif /* ALLOC_CONNECT_BPF_H */
