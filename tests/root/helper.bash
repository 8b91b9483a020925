# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# helper.bash - a place for one test: a network namespace, a cgroup and a folder of its
# own. Everything in the place ends with place_remove, whatever the test did.
#
# In the namespace 10.9.0.1 and fd09::1 are ours; 10.9.0.2-10.9.0.9 and fd09::2 are
# neighbours that never answer, so that a connect() to them stays in SYN_SENT. The
# kernel's own range ends below the pool. Commands run there through bin/in_place and,
# under srcport run, bin/managed: programs, so that $! is the pid of the command.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$TOP/$BUILD
export BUILD
TOOLS=$BUILD/tests/tools
CGROUP_ROOT=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
POOL_FROM=49152 POOL_TO=65535

place_make() {
	NET=srcp-$$-$BATS_TEST_NUMBER
	PLACE=$(mktemp -d)
	CGROUP=$CGROUP_ROOT/$NET
	STATE=$PLACE/state
	export NET CGROUP SRCPORT_SOCKET=$PLACE/socket SRCPORT_STATE=$STATE
	PATH=$TOP/tests/root/bin:$PATH
	mkdir "$CGROUP" "$CGROUP/caller"
	printf '[pool default]\nports = %s-%s\n' "$POOL_FROM" "$POOL_TO" >"$PLACE/srcport.conf"
	# Not ip -n, here and below: it remounts /sys, which a plain chroot does not allow.
	ip netns add "$NET"
	in_net ip link set lo up
	in_net ip link add out type veth peer name nowhere
	in_net ip address add 10.9.0.1/24 dev out
	in_net ip address add fd09::1/64 dev out nodad
	in_net ip link set out up
	in_net ip link set nowhere up
	for last in 2 3 4 5 6 7 8 9; do
		in_net ip neighbour add "10.9.0.$last" lladdr 02:00:00:00:00:99 dev out
	done
	in_net ip neighbour add fd09::2 lladdr 02:00:00:00:00:99 dev out
	in_net sh -c 'echo 32768 49151 >/proc/sys/net/ipv4/ip_local_port_range'
}

place_remove() {
	[ -n "$PLACE" ] || return 0
	echo 1 >"$CGROUP/cgroup.kill"
	if [ -n "$DAEMON" ]; then
		kill "$DAEMON" 2>/dev/null || true
		wait "$DAEMON" 2>/dev/null || true
	fi
	# A killed process leaves its cgroup a moment later.
	wait_until 10 cgroup_is_empty "$CGROUP" || true
	find "$CGROUP" -depth -type d -exec rmdir {} + || true
	ip netns delete "$NET"
	! mountpoint -q "$PLACE/disk" || umount "$PLACE/disk"
	rm -rf "$PLACE"
	PLACE=
}

cgroup_is_empty() {
	grep -q 'populated 0' "$1/cgroup.events"
}

# wait_until SECONDS COMMAND...: 0 as soon as the command succeeds.
wait_until() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/./} < end)) || return 1
		sleep 0.05
	done
}

in_net() {
	nsenter --net="/run/netns/$NET" -- "$@"
}

srcport() {
	"$BUILD/srcport" "$@"
}

# Start srcportd with further options and wait until it answers.
daemon_start() {
	"$BUILD/srcportd" --state "$STATE" --socket "$SRCPORT_SOCKET" --cgroup "$CGROUP" \
		--config "$PLACE/srcport.conf" "$@" >"$PLACE/daemon.out" 2>"$PLACE/daemon.err" 3>&- &
	DAEMON=$!
	if ! wait_until 10 daemon_answers; then
		cat "$PLACE/daemon.err" >&2
		return 1
	fi
}

daemon_answers() {
	srcport status >/dev/null 2>&1
}

# daemon_end SIGNAL
daemon_end() {
	kill -"$1" "$DAEMON"
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=
}

sink_start() {
	in_place "$TOOLS/sink" "$@" >"$PLACE/sink.out" 3>&- &
	wait_until 5 grep -q ready "$PLACE/sink.out"
}

# Tuples of a connector in FILE: all source ports in the pool, no tuple twice.
all_in_pool() {
	awk -v from="${2:-$POOL_FROM}" -v to="${3:-$POOL_TO}" '
		$2 < from || $2 > to { print "outside the pool: " $0; bad = 1 }
		END { exit bad }' "$1" >&2
}

no_tuple_twice() {
	[ -z "$(sort "$@" | uniq -d | head -n 3 | tee /dev/stderr)" ]
}

line_count() {
	wc -l <"$1"
}

# sessions FILTER FIELD...: those fields of each session on a line.
sessions() {
	local filter=$1
	shift
	srcport sessions --json --since '1h ago' "$filter" | json_fields "$@"
}

json_fields() {
	python3 -c '
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    if "sport" in item:
        print(*[item[name] for name in sys.argv[1:]])' "$@"
}

# The ids of the BPF programs that the daemon holds.
daemon_programs() {
	cat /proc/"$DAEMON"/fdinfo/* 2>/dev/null | sed -n 's/^prog_id:[[:space:]]*//p' | sort -u
}

program_ids() {
	bpftool prog list | sed -n 's/^\([0-9]*\):.*/\1/p' | sort
}

# None of the programs listed in FILE is loaded any more.
programs_are_gone() {
	[ -z "$(program_ids | comm -12 - "$1")" ]
}

no_run_cgroup() {
	[ -z "$(find "$CGROUP" -name 'srcport-*')" ]
}

# A transient daemon manages the whole host, and there can be one only. Leaves a ledger.
need_the_host() {
	local answer
	answer=$(managed -- true 2>&1) || true
	[[ $answer != *'another srcportd'* ]] || skip 'another srcportd manages this host'
	wait_until 10 daemon_is_silent
}

daemon_is_silent() {
	! daemon_answers
}

# The tree may lie where only root can read.
copy_for_everyone() {
	chmod 755 "$PLACE"
	cp "$BUILD/srcport" "$BUILD/srcportd" "$PLACE"
}
