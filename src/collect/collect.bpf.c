/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * collect.bpf.c - what happens to sessions and processes, written into one ring as
 * the records of event_abi.h.
 *
 * The owner of a session is read where it is certain: inside connect(), when the socket
 * goes to SYN_SENT. At its end the current task is often a stranger's, so the end
 * carries the socket's cookie only.
 */
#include "bpf/kernel.h"

#include <linux/errno.h>

#include "bpf/event_abi.h"
#include "collect/udp_count.bpf.h"

#define EXE_STEPS_MAX 48
#define NAME_LENGTH   255 /* NAME_MAX, and a mask that the verifier understands */
#define EXE_MASK      (EVENT_EXE_MAX - 1)
#define TIME_WAIT_NS  (60 * NS_PER_S)
#define MARK_COUNT    (1U << 20)
#define TCP_SLOTS     65536
#define BYTES_UNKNOWN (~0ULL)

char collect_license[] SEC("license") = "Dual BSD/GPL";

const volatile bool managed_only;
const volatile __u64 ring_bytes;
const volatile bool udp_is_counted; /* the kernel has the tracepoints for it */

/* collect.c reads the first, and clears the second before it empties the ring. */
__u64 lost_count;
__u32 is_woken;

/*
 * One bit for each socket that EVENT_OPEN told of, by the low bits of its cookie. Bits
 * are never cleared: a wrong one costs an event that user space ignores.
 */
__u32 marks[MARK_COUNT / 32];

/*
 * The cookies of the TCP sockets whose end is still to be told, one slot for each low
 * 16 bits. The newest takes a slot whatever it holds; the one that had it has no
 * second chance.
 */
__u64 tcp_untold[TCP_SLOTS];

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VERDICT_SLOTS);
	__type(key, __u32);
	__type(value, struct verdict);
} verdicts SEC(".maps");

static __always_inline void mark_add(__u64 cookie)
{
	__u32 *word = &marks[(cookie / 32) & (MARK_COUNT / 32 - 1)];
	__u32 bit = 1U << (cookie & 31);

	if (!(*word & bit))
		__sync_fetch_and_or(word, bit);
}

static __always_inline bool mark_is_set(__u64 cookie)
{
	return marks[(cookie / 32) & (MARK_COUNT / 32 - 1)] >> (cookie & 31) & 1;
}

/* Room in the ring for one record, its head filled in; NULL: the ring is full. */
static __always_inline void *event_try(__u64 size, __u8 kind, __u8 protocol)
{
	struct event_head *head;

	head = bpf_ringbuf_reserve(&ring, size, 0);
	if (!head)
		return NULL;
	head->time_ns = bpf_ktime_get_boot_ns();
	head->kind = kind;
	head->protocol = protocol;
	head->picked_by = EVENT_PICKED_UNKNOWN;
	head->end_reason = EVENT_END_UNKNOWN;
	head->pool = 0;
	return head;
}

/* The same, and what finds no room is counted. */
static __always_inline void *event_reserve(__u64 size, __u8 kind, __u8 protocol)
{
	void *event = event_try(size, kind, protocol);

	if (!event)
		__sync_fetch_and_add(&lost_count, 1);
	return event;
}

/*
 * A wakeup costs several times the event, so the reader is woken once, when a
 * quarter of the ring is full, and otherwise comes by itself.
 */
static __always_inline void event_submit(void *event)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!is_woken && bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > ring_bytes / 4) {
		is_woken = 1;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(event, flags);
}

static __always_inline void address_set_v4(__u8 *address, __be32 v4)
{
	__u32 *word = (__u32 *)address;

	word[0] = 0;
	word[1] = 0;
	word[2] = v4 ? bpf_htonl(0xffff) : 0;
	word[3] = v4;
}

static __always_inline void address_set_v6(__u8 *address, const __u32 *v6)
{
	__u32 *word = (__u32 *)address;

	word[0] = v6[0];
	word[1] = v6[1];
	word[2] = v6[2];
	word[3] = v6[3];
}

/* The tuple's own address. The IPv6 fields hold IPv4 as v4-mapped. */
static __always_inline void src_set(__u8 *src, const struct sock_common *sk)
{
	if (sk->skc_family == AF_INET)
		address_set_v4(src, sk->skc_rcv_saddr);
	else
		address_set_v6(src, sk->skc_v6_rcv_saddr.in6_u.u6_addr32);
}

static __always_inline void dst_set(__u8 *dst, const struct sock_common *sk)
{
	if (sk->skc_family == AF_INET)
		address_set_v4(dst, sk->skc_daddr);
	else
		address_set_v6(dst, sk->skc_v6_daddr.in6_u.u6_addr32);
}

static __always_inline void owner_set(struct event_open *open)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct task_struct *leader = task->group_leader;

	open->cgroup = bpf_get_current_cgroup_id();
	open->pid_start_ns = leader->start_boottime;
	open->pid = task->tgid;
	open->uid = bpf_get_current_uid_gid();
	open->is_anew = 0;
	bpf_probe_read_kernel(open->comm, sizeof(open->comm), leader->comm);
}

/* What alloc's hook said of this socket in this very connect(); NULL: nothing. */
static __always_inline const struct verdict *verdict_find(__u64 cookie)
{
	__u32 slot = (__u32)bpf_get_current_pid_tgid() & (VERDICT_SLOTS - 1);
	const struct verdict *verdict;

	verdict = bpf_map_lookup_elem(&verdicts, &slot);
	return verdict && verdict->cookie == cookie ? verdict : NULL;
}

/* Is a session with this verdict, or with NULL, to be told? */
static __always_inline bool is_told(const struct verdict *verdict)
{
	return verdict || !managed_only;
}

/* Begin an EVENT_OPEN: all but the addresses and ports. NULL: the ring is full. */
static __always_inline struct event_open *
open_begin(__u64 cookie, __u8 protocol, const struct verdict *verdict, __u8 otherwise)
{
	struct event_open *open;

	mark_add(cookie);
	open = event_reserve(sizeof(*open), EVENT_OPEN, protocol);
	if (!open)
		return NULL;
	open->cookie = cookie;
	open->head.picked_by = verdict ? verdict->picked_by : otherwise;
	open->head.pool = verdict ? verdict->pool : 0;
	owner_set(open);
	return open;
}

static __always_inline bool port_was_asked_for(const struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD(sk, sk_userlocks) & SOCK_BINDPORT_LOCK;
}

static __always_inline void tcp_open(struct sock *sk)
{
	__u16 sport = sk->__sk_common.skc_num;
	__u64 cookie = bpf_get_socket_cookie(sk);
	const struct verdict *verdict = verdict_find(cookie);
	struct event_open *open;

	if (!is_told(verdict))
		return;
	open = open_begin(cookie, IPPROTO_TCP_NUMBER, verdict,
			  sport && port_was_asked_for(sk) ? EVENT_PICKED_PROGRAM
							  : EVENT_PICKED_KERNEL);
	if (!open)
		return;
	tcp_untold[cookie & (TCP_SLOTS - 1)] = cookie;
	open->netns = sk->__sk_common.skc_net.net->net_cookie;
	src_set(open->src, &sk->__sk_common);
	dst_set(open->dst, &sk->__sk_common);
	open->sport = sport;
	open->dport = bpf_ntohs(sk->__sk_common.skc_dport);
	event_submit(open);
}

static __always_inline void tcp_established(struct sock *sk)
{
	struct event_established *event;
	__u64 cookie;

	if (port_was_asked_for(sk))
		return; /* EVENT_OPEN had it */
	cookie = bpf_get_socket_cookie(sk);
	if (managed_only && !mark_is_set(cookie))
		return;
	event = event_reserve(sizeof(*event), EVENT_ESTABLISHED, IPPROTO_TCP_NUMBER);
	if (!event)
		return;
	event->cookie = cookie;
	src_set(event->src, &sk->__sk_common);
	event->sport = sk->__sk_common.skc_num;
	event->reserved[0] = event->reserved[1] = event->reserved[2] = 0;
	event_submit(event);
}

static __always_inline __u8 end_reason(int from, int error)
{
	switch (error) {
	case ECONNREFUSED:
		return EVENT_END_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
		return EVENT_END_UNREACHABLE;
	case ETIMEDOUT:
		return EVENT_END_TIMEOUT;
	case ECONNRESET:
	case EPIPE:
		return EVENT_END_RESET;
	}
	/* Until the FINs are exchanged, an end without an error is an abort. */
	if (from == TCP_FIN_WAIT2 || from == TCP_CLOSING || from == TCP_LAST_ACK)
		return EVENT_END_FIN;
	return EVENT_END_RESET;
}

static __always_inline bool peer_has_finished(const struct sock *sk)
{
	return sk->__sk_common.skc_flags >> SOCK_DONE & 1;
}

/*
 * How long the kernel keeps the tuple. FIN_WAIT2 without the peer's FIN becomes a
 * minisocket that waits for it, and then 60 s more: 120 s at worst.
 * (sk_shutdown does not tell: close(2) sets both its bits.)
 */
static __always_inline __u64 port_free(const struct sock *sk, int from, __u8 reason,
				       __u64 now)
{
	if (reason != EVENT_END_FIN || from == TCP_LAST_ACK)
		return 0;
	if (from == TCP_FIN_WAIT2 && !peer_has_finished(sk))
		return now + 2 * TIME_WAIT_NS;
	return now + TIME_WAIT_NS;
}

/* The kernel's counters take a SYN and a FIN for one byte each; a session's do not. */
static __always_inline void bytes_set(struct event_close *event,
				      const struct tcp_sock *tcp, const struct sock *sk,
				      int from)
{
	bool fin_acked =
		from == TCP_FIN_WAIT2 || event->head.end_reason == EVENT_END_FIN;
	__u64 acked = tcp->bytes_acked;
	__u64 received = tcp->bytes_received;

	if (acked)
		acked--;
	if (acked && fin_acked)
		acked--;
	if (received && peer_has_finished(sk))
		received--;
	event->tx_bytes = from == TCP_CLOSE ? BYTES_UNKNOWN : acked;
	event->rx_bytes = from == TCP_CLOSE ? BYTES_UNKNOWN : received;
}

/* from: the state it left. */
static __always_inline void tcp_close_submit(struct event_close *event, struct sock *sk,
					     const struct tcp_sock *tcp, int from)
{
	int error = sk->sk_err;

	event->cookie = sk->__sk_common.skc_cookie.counter;
	/* skc_num is 0 by now where the kernel had picked. */
	event->sport = bpf_ntohs(((struct inet_sock *)tcp)->inet_sport);
	/* No error and no port: the kernel had none to give, and there was no session.
	 */
	event->head.end_reason =
		event->sport ? end_reason(from, error) : EVENT_END_UNKNOWN;
	event->port_free_ns =
		port_free(sk, from, event->head.end_reason, event->head.time_ns);
	bytes_set(event, tcp, sk, from);
	src_set(event->src, &sk->__sk_common);
	event->is_turned = 0;
	event->reserved[0] = event->reserved[1] = 0;
	event_submit(event);
}

static __always_inline void tcp_close(struct sock *sk, int from)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct event_close *event;
	__u64 cookie, *untold;

	/* A socket without a cookie was accepted: none that opened a session, under
	 * this collector or one before, is without. */
	cookie = sk->__sk_common.skc_cookie.counter;
	if (!tcp || !cookie || (managed_only && !mark_is_set(cookie)))
		return;
	event = event_reserve(sizeof(*event), EVENT_CLOSE, IPPROTO_TCP_NUMBER);
	if (!event)
		return;
	untold = &tcp_untold[cookie & (TCP_SLOTS - 1)];
	if (*untold == cookie)
		*untold = 0;
	tcp_close_submit(event, sk, tcp, from);
}

/*
 * Which state a closed socket left, as far as matters: our FIN was acknowledged if more
 * was than a SYN and all data. Who was first to close is not known any more; the port
 * is taken to be held. TCP_CLOSE: an abort of ours, which clears the counts, or there
 * never was an answer.
 */
static __always_inline int state_left(const struct sock *sk, const struct tcp_sock *tcp)
{
	__u64 data = tcp->bytes_sent - tcp->bytes_retrans;

	if (!tcp->bytes_acked)
		return TCP_CLOSE;
	if (tcp->bytes_acked <= data + 1)
		return TCP_ESTABLISHED;
	return peer_has_finished(sk) ? TCP_CLOSING : TCP_FIN_WAIT2;
}

/* The end of a session that on_set_state() did not tell. */
static __always_inline void tcp_close_late(struct sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct event_close *event;

	if (!tcp)
		return;
	/* What finds no room was counted when it was missed. */
	event = event_try(sizeof(*event), EVENT_CLOSE, IPPROTO_TCP_NUMBER);
	if (event)
		tcp_close_submit(event, sk, tcp, state_left(sk, tcp));
}

/* States that only a session has; the rest are listeners, and servers' half-open ones.
 */
static __always_inline bool is_session_state(int state)
{
	return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_SYN_RECV &&
	       state != TCP_NEW_SYN_RECV;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_set_state, struct sock *sk, int from, int to)
{
	bool is_open = to == TCP_SYN_SENT;
	bool is_established = to == TCP_ESTABLISHED && from == TCP_SYN_SENT;
	bool is_close = to == TCP_CLOSE && is_session_state(from);

	/* Most changes of state are neither, and leave before memory is touched. */
	if (!is_open && !is_established && !is_close)
		return 0;
	if (sk->sk_protocol != IPPROTO_TCP_NUMBER)
		return 0;
	if (is_open)
		tcp_open(sk);
	else if (is_established)
		tcp_established(sk);
	else
		tcp_close(sk, from);
	return 0;
}

/*
 * The last of a TCP socket. The kernel skips a program that already runs on that CPU,
 * so on_set_state() misses what a softirq does that interrupts it; this one is another
 * program. A socket that was not told of leaves after one comparison.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(on_destroy, struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;
	__u64 *untold = &tcp_untold[cookie & (TCP_SLOTS - 1)];

	if (!cookie || *untold != cookie)
		return 0;
	*untold = 0;
	tcp_close_late(sk);
	return 0;
}

/*
 * Begin the EVENT_CLOSE of a UDP session: all but the address. Its count is taken;
 * NULL: it has none. Returns NULL where the ring is full.
 */
static __always_inline struct event_close *udp_close_begin(__u64 cookie, __u16 sport,
							   struct udp_count *count)
{
	struct event_close *event;

	event = event_reserve(sizeof(*event), EVENT_CLOSE, IPPROTO_UDP_NUMBER);
	if (!event)
		return NULL;
	event->head.end_reason = EVENT_END_FIN;
	event->cookie = cookie;
	event->port_free_ns = 0;
	event->tx_bytes = count ? count->tx_bytes : BYTES_UNKNOWN;
	event->rx_bytes = count ? count->rx_bytes : BYTES_UNKNOWN;
	event->sport = sport;
	event->is_turned = 0;
	event->reserved[0] = event->reserved[1] = 0;
	if (count)
		udp_count_clear(count);
	return event;
}

/* The socket turns to another peer: the session that was counted ends here. */
static __always_inline void udp_turn(__u64 cookie, __u16 sport, const __u32 *src,
				     struct udp_count *count)
{
	struct event_close *event = udp_close_begin(cookie, sport, count);

	if (!event)
		return;
	address_set_v6(event->src, src);
	event->is_turned = 1;
	event_submit(event);
}

/*
 * connect() on a UDP socket. The kernel picks after this hook, so sport may be 0. The
 * hooks of two cgroups may both run for one connect(): the second finds the session
 * counted to the same peer and lets it be.
 */
static __always_inline void udp_connect(struct bpf_sock_addr *ctx, struct bpf_sock *sk,
					const __u32 *src, const __u32 *dst)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	const struct verdict *verdict = verdict_find(cookie);
	__u32 dport = ctx->user_port;
	__u64 peer = udp_peer(dst, dport);
	struct udp_count *count = NULL;
	struct event_open *open;
	bool is_anew = false;

	if (!is_told(verdict))
		return;
	if (udp_is_counted)
		count = udp_count_slot(cookie);
	if (count) {
		bool is_own = count->cookie == cookie;

		is_anew = !is_own || count->peer != peer;
		if (is_own && is_anew)
			udp_turn(cookie, sk->src_port, src, count);
		if (is_anew)
			udp_count_begin(count, cookie, peer);
	}
	open = open_begin(cookie, IPPROTO_UDP_NUMBER, verdict,
			  sk->src_port ? EVENT_PICKED_PROGRAM : EVENT_PICKED_KERNEL);
	if (!open) {
		/* Or these bytes would be told of the session before. */
		if (count)
			udp_count_clear(count);
		return;
	}
	open->netns = bpf_get_netns_cookie(ctx);
	open->sport = sk->src_port;
	open->dport = bpf_ntohs(dport);
	open->is_anew = is_anew;
	address_set_v6(open->src, src);
	address_set_v6(open->dst, dst);
	event_submit(open);
}

/* A ping socket is a datagram socket too. */
static __always_inline bool is_udp(const struct bpf_sock_addr *ctx)
{
	return ctx->protocol == IPPROTO_UDP_NUMBER && ctx->type == SOCK_DGRAM;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 src[4], dst[4];

	if (!is_udp(ctx) || !sk)
		return 1;
	address_set_v4((__u8 *)src, sk->src_ip4);
	address_set_v4((__u8 *)dst, ctx->user_ip4);
	udp_connect(ctx, sk, src, dst);
	return 1;
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 src[4], dst[4];

	if (!is_udp(ctx) || !sk)
		return 1;
	src[0] = sk->src_ip6[0];
	src[1] = sk->src_ip6[1];
	src[2] = sk->src_ip6[2];
	src[3] = sk->src_ip6[3];
	dst[0] = ctx->user_ip6[0];
	dst[1] = ctx->user_ip6[1];
	dst[2] = ctx->user_ip6[2];
	dst[3] = ctx->user_ip6[3];
	udp_connect(ctx, sk, src, dst);
	return 1;
}

/* What send calls returned; corked data counts before it leaves. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(on_send, struct sock *sk, int length)
{
	struct udp_count *count = udp_count_of_sock(sk);

	if (count && length > 0)
		__sync_fetch_and_add(&count->tx_bytes, length);
	return 0;
}

/* What the program got. Looking is not receiving, and the error queue gives back what
 * was sent. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_receive, struct sock *sk, int length, int flags)
{
	struct udp_count *count = udp_count_of_sock(sk);

	if (count && length > 0 && !(flags & (MSG_PEEK | MSG_ERRQUEUE)))
		__sync_fetch_and_add(&count->rx_bytes, length);
	return 0;
}

/*
 * The context is the kernel's own socket; the fields the hook may not read are
 * read behind it. The mark serves a connect() that failed, which leaves no address.
 */
SEC("cgroup/sock_release")
int on_release(struct bpf_sock *ctx)
{
	const struct sock_common *sk = (const void *)ctx;
	struct event_close *event;
	__u64 cookie;

	if (ctx->protocol != IPPROTO_UDP_NUMBER)
		return 1;
	cookie = bpf_get_socket_cookie(ctx);
	if (!mark_is_set(cookie) && (managed_only || !BPF_CORE_READ(sk, skc_dport)))
		return 1;
	event = udp_close_begin(cookie, BPF_CORE_READ(sk, skc_num),
				udp_count_find(cookie));
	if (!event)
		return 1;
	if (BPF_CORE_READ(sk, skc_family) == AF_INET)
		address_set_v4(event->src, BPF_CORE_READ(sk, skc_rcv_saddr));
	else
		BPF_CORE_READ_INTO((struct in6_addr *)event->src, sk, skc_v6_rcv_saddr);
	event_submit(event);
	return 1;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct event_fork *event;

	if (child->pid != child->tgid)
		return 0; /* a thread */
	event = event_reserve(sizeof(*event), EVENT_FORK, 0);
	if (!event)
		return 0;
	event->parent_start_ns = parent->group_leader->start_boottime;
	event->child_start_ns = child->start_boottime;
	event->parent_pid = parent->tgid;
	event->child_pid = child->tgid;
	event_submit(event);
	return 0;
}

/* Write "/name" in front of what exe holds from at on. Returns where it begins now; at:
 * no room. */
static __always_inline __u32 exe_prepend(struct event_exec *event, __u32 at,
					 const struct dentry *dentry)
{
	__u32 length = BPF_CORE_READ(dentry, d_name.len) & NAME_LENGTH;
	__u32 to;

	if (at < length + 1)
		return at;
	to = at - length;
	/* At the mask's edge a name may reach into cmdline, which is written later. */
	bpf_probe_read_kernel(&event->exe[to & EXE_MASK], length,
			      BPF_CORE_READ(dentry, d_name.name));
	to--;
	event->exe[to & EXE_MASK] = '/';
	return to;
}

struct exe_walk {
	struct event_exec *event;
	struct dentry *dentry;
	struct mount *mount;
	__u32 at;
};

/* One step towards the root: over a mount, or past one name. Returns 1 to stop. */
static long exe_step(__u32 step, struct exe_walk *walk)
{
	/* Locals, or BPF_CORE_READ() would relocate exe_walk too. */
	struct dentry *dentry = walk->dentry;
	struct mount *mount = walk->mount, *parent;
	struct dentry *up = BPF_CORE_READ(dentry, d_parent);
	__u32 at;

	if (dentry == up || dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
		parent = BPF_CORE_READ(mount, mnt_parent);
		if (parent == mount) {
			walk->event->exe_is_cut = 0;
			return 1;
		}
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = parent;
		return 0;
	}
	at = exe_prepend(walk->event, walk->at, dentry);
	if (at == walk->at)
		return 1;
	walk->at = at;
	walk->dentry = up;
	return 0;
}

/*
 * The path of a file, from its last part to the root of the mount tree, written
 * backwards from the end of exe. (bpf_d_path() is not for tracepoints, and a plain
 * loop costs the verifier too many states.)
 */
static __always_inline void exe_set(struct event_exec *event, struct file *file)
{
	struct exe_walk walk = {
		.event = event,
		.dentry = BPF_CORE_READ(file, f_path.dentry),
		.mount = (void *)BPF_CORE_READ(file, f_path.mnt) -
			 bpf_core_field_offset(struct mount, mnt),
		.at = EVENT_EXE_MAX,
	};

	event->exe_is_cut = 1;
	bpf_loop(EXE_STEPS_MAX, exe_step, &walk, 0);
	if (walk.at == EVENT_EXE_MAX) /* memfd_create(2): a name without a folder */
		walk.at =
			exe_prepend(event, walk.at, BPF_CORE_READ(file, f_path.dentry));
	event->exe_from = walk.at;
}

static __always_inline void cmdline_set(struct event_exec *event,
					const struct mm_struct *mm)
{
	unsigned long start = mm->arg_start;
	unsigned long length = mm->arg_end - start;

	event->cmdline_is_cut = length > EVENT_CMDLINE_MAX;
	if (length > EVENT_CMDLINE_MAX)
		length = EVENT_CMDLINE_MAX;
	if (bpf_probe_read_user(event->cmdline, length, (const void *)start))
		length = 0;
	event->cmdline_length = length;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct mm_struct *mm = task->mm;
	struct event_exec *event;
	struct file *file;

	if (!mm)
		return 0;
	event = event_reserve(sizeof(*event), EVENT_EXEC, 0);
	if (!event)
		return 0;
	file = mm->exe_file;
	event->pid_start_ns = task->group_leader->start_boottime;
	event->cgroup = bpf_get_current_cgroup_id();
	event->exe_inode = BPF_CORE_READ(file, f_inode, i_ino);
	event->exe_device = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	event->pid = task->tgid;
	event->uid = bpf_get_current_uid_gid();
	event->parent_pid = task->real_parent->tgid;
	event->reserved[0] = event->reserved[1] = event->reserved[2] = 0;
	exe_set(event, file);
	cmdline_set(event, mm);
	event_submit(event);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct event_exit *event;

	if (task->signal->live.counter)
		return 0; /* other threads go on */
	event = event_reserve(sizeof(*event), EVENT_EXIT, 0);
	if (!event)
		return 0;
	event->pid_start_ns = task->group_leader->start_boottime;
	event->pid = task->tgid;
	event->reserved = 0;
	event_submit(event);
	return 0;
}
