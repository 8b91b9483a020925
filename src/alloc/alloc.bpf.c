/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The allocator's programs in the kernel: connect and bind hooks that give a socket its
 * port, and the places where the kernel lets go of one.
 *
 * A connect() never fails by a fault of ours: wherever we cannot give a port the hook
 * returns without one, and the kernel picks.
 */
#include "alloc/alloc_draw.bpf.h"
#include "alloc/alloc_serve.bpf.h"
#include "alloc/alloc_space.bpf.h"

#define SOL_SOCKET_NUMBER   1
#define SO_REUSEADDR_NUMBER 2
#define EADDRINUSE_NUMBER   98
#define EADDRNOTAVAIL	    99
#define BIND_ATTEMPTS	    4
#define RESTS_PER_CONNECT   2

/* ---- connect ---- */

static __always_inline void verdict_leave(__u64 cookie, __u32 pool, __u32 picked_by)
{
	__u32 thread = bpf_get_current_pid_tgid() & (VERDICT_SLOTS - 1);
	struct verdict *verdict = by_id(&verdicts, thread);

	if (!verdict)
		return;
	verdict->pool = pool;
	verdict->picked_by = picked_by;
	verdict->cookie = cookie;
}

/* The pool whose space the port returns to. */
static __always_inline __u32 pool_of(const struct port_record *record)
{
	struct alloc_space *space = by_id(&spaces, record_space(record));

	return space ? space->pool : 0;
}

/*
 * The socket has a port already. Where it is a lease of ours (bound through a hook,
 * this cgroup's or a child's, or connect() again after a failure), the lease follows to
 * the new destination. Returns its pool, or 0: the program chose the port.
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
	if (is_held_by(record, lease->cookie)) {
		lease_move(lease);
		lease->rest_flags |= record->mark & RECORD_EXCLUSIVE;
		return pool_of(record);
	}
	if (host->tuple_count) {
		__u32 destination = lease->destination, peer = lease->peer;
		__u32 space_number = lease->space, is_shared = lease_is_shared(lease);

		if (is_shared && lease->destination == destination)
			return pool_of(record);
		if (is_shared)
			lease_end(lease);
		/* Put back afterwards: a copy of the lease is too much stack. */
		lease->destination = destination;
		lease->peer = peer;
		lease->space = space_number;
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

#define BOUND	  1
#define NOT_BOUND 0
#define NONE_LEFT -1 /* the draw itself said so: no fault of ours */
#define NO_ROOM	  -2 /* a table is full */

/*
 * Draw, and bind; a port that something else holds is set aside and another drawn. A
 * bpf_bind() that fails clears the address the program bound to, so that
 * is kept here and set again.
 */
static __always_inline int lease_bind(struct bpf_sock_addr *ctx, const __u32 *source,
				      bool v6, bool shares, struct lease *lease,
				      const __u32 *remote)
{
	__u32 space_number = lease->space, pool = pool_of_space(space_number);
	int result = NOT_BOUND;

	for (int i = 0; i < BIND_ATTEMPTS; i++) {
		int drew, err;

		/* Letting go of a port leaves the space it returned to. */
		lease->space = space_number;
		drew = lease_draw(lease);
		if (!drew) {
			/* A full table is a fault of ours, an empty pool is not. */
			result =
				lease->rest_flags & LEASE_NO_ROOM ? NO_ROOM : NONE_LEFT;
			break;
		}
		if (drew == DREW_RESTED && (lease->rest_flags & REST_PEER_OPEN) &&
		    peer_is_open(ctx, lease, remote)) {
			lease->rest_until_ns = lease->now_ns + 2 * TIME_WAIT_NS;
			lease_end(lease);
			lease->rest_until_ns = 0;
			result = NONE_LEFT;
			continue;
		}
		/* Not sooner: a socket that gets no port of ours keeps its own setting.
		 */
		if (shares)
			set_reuse(ctx, 1);
		shares = false;
		err = bind_to(ctx, source, v6, lease->port);
		if (!err) {
			STAT_ADD(pool, picks, 1);
			if (drew == DREW_SHARED)
				STAT_ADD(pool, shared, 1);
			return BOUND;
		}
		result = NOT_BOUND;
		if (err != -EADDRINUSE_NUMBER) {
			lease_end(lease);
			break;
		}
		STAT_ADD(pool, conflicts, 1);
		lease_set_aside(lease, 0);
	}
	if (source[0] | source[1] | source[2] | source[3])
		bind_to(ctx, source, v6, 0);
	return result;
}

static __always_inline int exhausted(const struct alloc_pool *pool, __u32 pool_number,
				     int result)
{
	if (result == NO_ROOM) {
		STAT_ADD(pool_number, table_full, 1);
		STAT_ADD(pool_number, fallbacks[ALLOC_REASON_TABLE], 1);
		return 1;
	}
	if (result != NONE_LEFT) {
		STAT_ADD(pool_number, fallbacks[ALLOC_REASON_CONFLICT], 1);
		return 1;
	}
	if (!pool->refuses) {
		STAT_ADD(pool_number, fallbacks[ALLOC_REASON_FULL], 1);
		return 1;
	}
	STAT_ADD(pool_number, refusals[ALLOC_REASON_FULL], 1);
	bpf_set_retval(-EADDRNOTAVAIL);
	return 0;
}

/*
 * A socket bound to port 0 connects: from here on it is like one whose port we picked
 * at connect(). Without SO_REUSEADDR its TIME_WAIT would keep all others off the port.
 */
static __always_inline void port_open_up(struct bpf_sock_addr *ctx, struct lease *lease)
{
	struct port_record *record = record_of(lease->host, lease->port);

	set_reuse(ctx, 1);
	if (record)
		record_unmark(record, RECORD_EXCLUSIVE);
}

/* Did the program bind the socket to an address? */
static __always_inline bool has_bound(void *ctx)
{
	struct sock *sk = NULL;

	if (bpf_probe_read_kernel(&sk, sizeof(sk), ctx) || !sk)
		return false;
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & SOCK_BINDADDR_LOCK;
}

static __always_inline int connect_hook(struct bpf_sock_addr *ctx, bool v6,
					const __u32 *address)
{
	__u32 source[4] = {};
	int result;

	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	__u32 protocol = ctx->protocol, pool_number = attachment->pool;
	struct bpf_sock *sk = ctx->sk;
	struct lease lease = {};
	struct alloc_pool *pool;
	bool is_tcp;

	if (!pool_number || !sk ||
	    (protocol != IPPROTO_TCP_NUMBER && protocol != IPPROTO_UDP_NUMBER))
		return 1;
	is_tcp = protocol == IPPROTO_TCP_NUMBER;
	lease.cookie = bpf_get_socket_cookie(ctx);
	pool = by_id(&pools, pool_number);
	lease.uid = uid_of(ctx);
	lease.space =
		space_of(attachment, bpf_get_netns_cookie(ctx), protocol, lease.uid);
	if (!pool || !lease.space) {
		verdict_leave(lease.cookie, pool_number,
			      sk->src_port ? EVENT_PICKED_PROGRAM
					   : EVENT_PICKED_KERNEL);
		return 1;
	}
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
				  has_bound(ctx)
			  ? source
			  : NULL);
	if (knows_tuples(pool, protocol))
		lease.now_ns = bpf_ktime_get_boot_ns();
	if (sk->src_port) {
		lease.port = sk->src_port;
		result = lease_follow(&lease);
		if ((lease.rest_flags & RECORD_EXCLUSIVE) && is_tcp &&
		    pool->sharing != ALLOC_SHARING_NEVER)
			port_open_up(ctx, &lease);
		verdict_leave(lease.cookie, result ? result : pool_number,
			      result ? EVENT_PICKED_SRCPORT : EVENT_PICKED_PROGRAM);
		return 1;
	}
	if (lease.now_ns) {
		for (int i = 0; i < RESTS_PER_CONNECT; i++)
			if (!rests_pop(lease.now_ns))
				break;
	}
	result = lease_bind(ctx, source, v6,
			    sharing_of(pool, protocol) != ALLOC_SHARING_NEVER, &lease,
			    address);
	verdict_leave(lease.cookie, pool_number,
		      result == BOUND ? EVENT_PICKED_SRCPORT : EVENT_PICKED_KERNEL);
	return result == BOUND ? 1 : exhausted(pool, pool_number, result);
}

SEC("cgroup/connect4")
int alloc_connect4(struct bpf_sock_addr *ctx)
{
	/* As v4-mapped, and 0.0.0.0 as the kernel will have it. */
	__u32 address[4] = {0, 0, bpf_htonl(0xffff), ctx->user_ip4};

	if (!address[3])
		address[3] = bpf_htonl(0x7f000001);
	return connect_hook(ctx, false, address);
}

SEC("cgroup/connect6")
int alloc_connect6(struct bpf_sock_addr *ctx)
{
	__u32 address[4] = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2],
			    ctx->user_ip6[3]};

	if (!(address[0] | address[1] | address[2] | address[3]))
		address[3] = bpf_htonl(1);
	return connect_hook(ctx, true, address);
}

/* ---- bind ---- */

/* IP_BIND_ADDRESS_NO_PORT is set: the port will be drawn at connect(), by us. */
static __always_inline bool bind_is_late(struct bpf_sock_addr *ctx)
{
	struct inet_sock___before_6_6 *old;
	struct inet_sock *inet = NULL;

	/* The context begins with the kernel's socket (struct bpf_sock_addr_kern). */
	if (bpf_probe_read_kernel(&inet, sizeof(inet), ctx) || !inet)
		return false;
	if (bpf_core_field_exists(inet->inet_flags))
		return BPF_CORE_READ(inet, inet_flags) >>
			       INET_FLAGS_BIND_ADDRESS_NO_PORT &
		       1;
	old = (void *)inet;
	return BPF_CORE_READ_BITFIELD_PROBED(old, bind_address_no_port);
}

/* Does a socket stand ready on this port: a listener, or unconnected UDP? */
static __noinline bool port_answers(struct bpf_sock_addr *ctx, __u32 port)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	tuple.ipv4.dport = bpf_htons(port);
	if (ctx->protocol == IPPROTO_UDP_NUMBER)
		sk = bpf_sk_lookup_udp(ctx, &tuple, sizeof(tuple.ipv4),
				       BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4),
				       BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

static __always_inline int bind_hook(struct bpf_sock_addr *ctx)
{
	struct alloc_attachment *attachment = bpf_get_local_storage(&attachments, 0);
	__u32 protocol = ctx->protocol;
	struct bpf_sock *sk = ctx->sk;
	struct lease lease = {};

	if (ctx->user_port || !attachment->pool || !sk || sk->src_port ||
	    (protocol != IPPROTO_TCP_NUMBER && protocol != IPPROTO_UDP_NUMBER) ||
	    bind_is_late(ctx))
		return 1;
	lease.uid = uid_of(ctx);
	lease.space =
		space_of(attachment, bpf_get_netns_cookie(ctx), protocol, lease.uid);
	if (!lease.space)
		return 1;
	lease.user = user_of_space(lease.uid, lease.space);
	lease.cookie = bpf_get_socket_cookie(ctx);
	lease.now_ns = bpf_ktime_get_boot_ns();
	STAT_ADD(attachment->pool, binds, 1);
	for (int i = 0; i < BIND_ATTEMPTS; i++) {
		if (!lease_draw(&lease))
			break;
		if (port_answers(ctx, lease.port)) {
			STAT_ADD(attachment->pool, conflicts, 1);
			lease_set_aside(&lease, 0);
			continue;
		}
		ctx->user_port = bpf_htons(lease.port);
		STAT_ADD(attachment->pool, picks, 1);
		return 1;
	}
	STAT_ADD(attachment->pool, fallbacks[ALLOC_REASON_CONFLICT], 1);
	return 1;
}

SEC("cgroup/bind4")
int alloc_bind4(struct bpf_sock_addr *ctx)
{
	return bind_hook(ctx);
}

SEC("cgroup/bind6")
int alloc_bind6(struct bpf_sock_addr *ctx)
{
	return bind_hook(ctx);
}

/* ---- letting go ---- */

static __always_inline __u32 host_of(__u64 netns, __u32 protocol)
{
	struct alloc_host_key key = {.netns = netns, .protocol = protocol};
	__u32 *number = bpf_map_lookup_elem(&host_ids, &key);

	return number ? *number : 0;
}

/* How long the tuple rests after this close, and under which rules. */
static __always_inline void rest_decide(struct lease *lease, struct sock *sk,
					int old_state)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_space *space =
		record ? by_id(&spaces, record_space(record)) : NULL;
	struct alloc_pool *pool = space ? by_id(&pools, space->pool) : NULL;
	__u64 rest_ns;

	if ((old_state != TCP_FIN_WAIT2 && old_state != TCP_CLOSING) || sk->sk_err ||
	    !tcp || !pool)
		return;
	rest_ns = pool->quarantine_ns;
	/* Without timestamps the kernel refuses a tuple in TIME_WAIT (RFC 6191). */
	if (!BPF_CORE_READ_BITFIELD(tcp, rx_opt.tstamp_ok)) {
		if (rest_ns < TIME_WAIT_NS)
			rest_ns = TIME_WAIT_NS;
		lease->rest_flags |= REST_NOT_EARLY;
	}
	if (!rest_ns)
		return;
	/* The peer has not closed yet: tcp_fin_timeout may pass before TIME_WAIT
	 * begins. */
	if (old_state == TCP_FIN_WAIT2 &&
	    !(sk->__sk_common.skc_flags >> SOCK_DONE & 1)) {
		rest_ns += TIME_WAIT_NS;
		lease->rest_flags |= lease->local ? REST_PEER_OPEN : REST_NOT_EARLY;
	}
	if (pool->sharing == ALLOC_SHARING_NEVER)
		lease->rest_flags |= REST_NOT_EARLY | REST_HOLDS_PORT;
	lease->rest_until_ns = lease->now_ns + rest_ns;
}

/* A port that is not shared stays bound until its socket is closed, not only its
 * connection. */
static __always_inline bool waits_for_close(const struct lease *lease, struct sock *sk)
{
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_space *space =
		record ? by_id(&spaces, record_space(record)) : NULL;
	struct alloc_pool *pool = space ? by_id(&pools, space->pool) : NULL;

	return pool && pool->sharing == ALLOC_SHARING_NEVER && sk->sk_socket &&
	       (sk->sk_shutdown & SHUTDOWN_MASK) != SHUTDOWN_MASK;
}

/* The lease this TCP socket may have; false: its port is none that we give in its host.
 */
static __always_inline bool lease_of(struct lease *lease, struct sock *sk)
{
	const __u32 *v6 = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32;
	const __u32 *local = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32;
	__u32 remote[4] = {0, 0, bpf_htonl(0xffff), sk->__sk_common.skc_daddr};
	__u32 source[4] = {0, 0, 0, sk->__sk_common.skc_rcv_saddr};
	bool is_v4 = sk->__sk_common.skc_family != AF_INET6;

	if (sk->__sk_common.skc_num < 1024)
		return false;
	lease->host =
		host_of(sk->__sk_common.skc_net.net->net_cookie, IPPROTO_TCP_NUMBER);
	if (!lease->host)
		return false;
	lease->port = sk->__sk_common.skc_num;
	lease->cookie = bpf_get_socket_cookie(sk);
	lease->now_ns = bpf_ktime_get_boot_ns();
	lease->uid = sk->sk_uid.val;
	if (!is_v4) {
		for (int i = 0; i < 4; i++) {
			remote[i] = v6[i];
			source[i] = local[i];
		}
		is_v4 = !source[0] && !source[1] && source[2] == bpf_htonl(0xffff);
	}
	if (is_v4)
		lease->local = source[3];
	lease_aim(lease, remote, sk->__sk_common.skc_dport,
		  BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_BINDADDR_LOCK ? source
										: NULL);
	return true;
}

static __always_inline void lease_close(struct lease *lease, struct sock *sk,
					int old_state)
{
	rest_decide(lease, sk, old_state);
	lease_end(lease);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(alloc_set_state, struct sock *sk, int old_state, int new_state)
{
	struct lease lease = {};

	if (new_state != TCP_CLOSE || old_state == TCP_SYN_RECV ||
	    old_state == TCP_NEW_SYN_RECV || !lease_of(&lease, sk) ||
	    waits_for_close(&lease, sk))
		return 0;
	if (old_state == TCP_LISTEN)
		lease.rest_flags = LEASE_LISTENED;
	lease_close(&lease, sk, old_state);
	return 0;
}

/*
 * The kernel skips a tracing program that it has just interrupted, so a CLOSE may go
 * unseen. Here a lease that is still held ends, and rests as if TIME_WAIT had been
 * left.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(alloc_destroy_sock, struct sock *sk)
{
	struct lease lease = {};

	if (lease_of(&lease, sk))
		lease_close(&lease, sk, TCP_FIN_WAIT2);
	return 0;
}

/* Read a field of the kernel's socket, which is what this context points at. */
#define READ_SOCK(ctx, field, to)                                     \
	bpf_probe_read_kernel(                                        \
		(to), bpf_core_field_size(struct sock_common, field), \
		(void *)(ctx) + bpf_core_field_offset(struct sock_common, field))

/* Where this socket goes, or went, read from behind the context. */
static __always_inline void aim_of(struct lease *lease, struct bpf_sock *ctx)
{
	__u32 remote[4] = {0, 0, bpf_htonl(0xffff), 0}, source[4] = {};
	bool is_v6 = ctx->family == AF_INET6;
	__be16 port = 0;

	if (is_v6) {
		READ_SOCK(ctx, skc_v6_daddr, remote);
		READ_SOCK(ctx, skc_v6_rcv_saddr, source);
	} else {
		READ_SOCK(ctx, skc_daddr, &remote[3]);
		READ_SOCK(ctx, skc_rcv_saddr, &source[3]);
	}
	READ_SOCK(ctx, skc_dport, &port);
	lease_aim(lease, remote, port,
		  BPF_CORE_READ_BITFIELD_PROBED((struct sock *)ctx, sk_userlocks) &
				  SOCK_BINDADDR_LOCK
			  ? source
			  : NULL);
}

/* Is it one of UDP, in a pool where tuples rest after every close? */
static __always_inline void rest_datagrams(struct lease *lease)
{
	struct port_record *record = record_of(lease->host, lease->port);
	struct alloc_space *space =
		record ? by_id(&spaces, record_space(record)) : NULL;
	struct alloc_pool *pool = space ? by_id(&pools, space->pool) : NULL;

	if (!pool || !pool->quarantine_all || !pool->quarantine_ns)
		return;
	lease->rest_until_ns = lease->now_ns + pool->quarantine_ns;
}

SEC("cgroup/sock_release")
int alloc_sock_release(struct bpf_sock *ctx)
{
	__u32 protocol = ctx->protocol;
	struct lease lease = {};
	__u16 port = 0;

	if (protocol != IPPROTO_UDP_NUMBER &&
	    (protocol != IPPROTO_TCP_NUMBER || ctx->state != TCP_CLOSE))
		return 1;
	READ_SOCK(ctx, skc_num, &port);
	if (port < 1024)
		return 1;
	lease.host = host_of(bpf_get_netns_cookie(ctx), protocol);
	if (!lease.host)
		return 1;
	lease.port = port;
	lease.cookie = bpf_get_socket_cookie(ctx);
	lease.now_ns = bpf_ktime_get_boot_ns();
	bpf_probe_read_kernel(&lease.uid, sizeof(lease.uid),
			      (void *)ctx + bpf_core_field_offset(struct sock, sk_uid));
	aim_of(&lease, ctx);
	if (protocol == IPPROTO_UDP_NUMBER)
		rest_datagrams(&lease);
	lease_end(&lease);
	return 1;
}

SEC("tc")
int alloc_serve(struct __sk_buff *ctx)
{
	(void)ctx;
	ask.result = 0;
	switch (ask.op) {
	case ALLOC_ASK_MAKE_SPACE:
		ask.result = space_make(ask.netns, ask.pool, ask.protocol, 0);
		break;
	case ALLOC_ASK_SET_ASIDE:
		serve_set_aside();
		break;
	case ALLOC_ASK_REST:
		serve_rest();
		break;
	case ALLOC_ASK_RETURN:
		serve_return();
		break;
	case ALLOC_ASK_FORGET:
		serve_forget();
		break;
	case ALLOC_ASK_DROP_SPACE:
		serve_drop_space();
		break;
	case ALLOC_ASK_SWEEP:
		serve_sweep();
		break;
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
