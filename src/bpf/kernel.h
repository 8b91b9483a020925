/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * kernel.h - the few kernel types our BPF programs read, trimmed to the fields they
 * read. libbpf moves each access to where the running kernel has the field.
 *
 * Include it first: it brings the helpers too.
 */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	struct net *net;
} possible_net_t;

struct net {
	__u64 net_cookie;
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	atomic64_t skc_cookie; /* 0: none was asked for yet */
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags; /* sk_flags: bits of enum sock_flags */
};

struct socket;

typedef struct {
	__u32 val;
} kuid_t;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type;
	__u16 sk_protocol;
	__u8 sk_userlocks : 4;
	__u8 sk_shutdown;
	int sk_err;
	int sk_err_soft;
	struct socket *sk_socket;
	kuid_t sk_uid;
};

struct inet_sock {
	struct sock sk;
	__be32 inet_saddr;
	__be16 inet_sport;
	unsigned long inet_flags;
};

/* Before 6.6 (commit 3f7e753206bb) the flag was a bit of its own. */
struct inet_sock___before_6_6 {
	__u8 bind_address_no_port : 1;
};

/* inet_sock.inet_flags; the kernel's enum has no name, so libbpf cannot look it up. */
#define INET_FLAGS_BIND_ADDRESS_NO_PORT 18

struct tcp_options_received {
	__u16 tstamp_ok : 1;
};

struct tcp_sock {
	struct tcp_options_received rx_opt;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u64 bytes_sent; /* what was sent again counts again */
	__u64 bytes_retrans;
};

struct inet_timewait_sock {
	volatile unsigned char tw_substate;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct super_block {
	__u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	int pid;
	int tgid;
	__u64 start_boottime;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct signal_struct *signal;
	char comm[16];
};

struct linux_binprm;

#pragma clang attribute pop

/* include/net/tcp_states.h: fixed, they are ABI of the tracepoint. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
	TCP_NEW_SYN_RECV = 12,
};

#define AF_INET		   2
#define AF_INET6	   10
#define SOCK_STREAM	   1
#define SOCK_DGRAM	   2
#define IPPROTO_TCP_NUMBER 6
#define IPPROTO_UDP_NUMBER 17
#define SHUTDOWN_MASK	   3
#define SOCK_BINDPORT_LOCK \
	8 /* sk_userlocks: the port was asked for, not drawn by the kernel */
#define SOCK_BINDADDR_LOCK \
	4 /* sk_userlocks: the address was asked for, not chosen by the route */
#define SOCK_DONE    1 /* bit of skc_flags: the peer's FIN has come */
#define MSG_PEEK     2
#define MSG_ERRQUEUE 0x2000
#define PORT_MAX     65535
#define NS_PER_S     1000000000ULL

#endif /* BPF_KERNEL_H */
