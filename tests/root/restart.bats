#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# srcportd killed and started again, under load, with 10,000 sessions open that share
# 2,000 ports. The kernel picks meanwhile; nothing is given that is still held.

bats_require_minimum_version 1.5.0
load helper

POOL_FROM=50000 POOL_TO=51999

setup_file() {
	export PLACE DAEMON
	export BATS_TEST_NUMBER=0
	place_make
	set_kernel_range 32768 60999
	cat >"$PLACE/srcport.conf" <<END
[pool default]
ports = $POOL_FROM-$POOL_TO
quarantine = 2s

[rule all]
cgroup = /$NET
pool = default

[guard]
kernel-range = adjust
END
	story
}

teardown_file() {
	BATS_TEST_NUMBER=0
	place_remove
}

# In the test's namespace, whose range is its own to adjust.
daemon_start_inside() {
	nsenter --net="/run/netns/$NET" -- "$BUILD/srcportd" --state "$STATE" \
		--socket "$SRCPORT_SOCKET" --cgroup "$CGROUP" --config "$PLACE/srcport.conf" \
		>>"$PLACE/daemon.out" 2>>"$PLACE/daemon.err" 3>&- 4>&- &
	DAEMON=$!
	wait_until 10 daemon_answers
}

set_kernel_range() {
	in_net sh -c "echo $1 $2 >/proc/sys/net/ipv4/ip_local_port_range"
}

kernel_range() {
	in_net sh -c 'echo $(cat /proc/sys/net/ipv4/ip_local_port_range)'
}

# 100 sessions to each of two more ports of the server, 400 closed and opened again, over
# and over, until the file "stop" is there.
load_start() {
	in_place sh -c 'while [ ! -e "$2/stop" ]; do
			"$1" -n 100 -c 400 127.0.0.1 7006 7007 >>"$2/load" || echo failed >>"$2/failed"
			echo >>"$2/rounds"
		done' sh "$TOOLS/connector" "$PLACE" 2>"$PLACE/load.err" 3>&- 4>&- &
	LOAD=$!
}

# "PROTOCOL SOURCE PEER COOKIE" of the sessions to the server.
tuples() {
	in_net ss -Htane state connected exclude time-wait 'dport >= :7001 and dport <= :7007' |
		awk '{ match($0, /sk:[0-9a-f]+/); print $4, $5, substr($0, RSTART, RLENGTH) }'
}

# Tuples that two sockets had at one time: found twice in two listings.
look_for_doubles() {
	tuples | sort -u >"$PLACE/one"
	tuples | sort -u | comm -12 - "$PLACE/one" | awk '{ print $1, $2 }' | sort | uniq -d \
		>>"$PLACE/doubles"
	line_count "$PLACE/one" >>"$PLACE/samples"
}

# Watch for that many seconds.
watch() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	while ((${EPOCHREALTIME/./} < end)); do
		look_for_doubles
		sleep 0.2
	done
}

rounds() {
	line_count "$PLACE/rounds"
}

# The ports in the pool that the held sessions have.
held_ports() {
	in_net ss -Htan state established 'dport >= :7001 and dport <= :7005' |
		awk '{ sub(/.*:/, "", $3); print $3 }' | sort -u
}

story() {
	: >"$PLACE/failed" >"$PLACE/rounds" >"$PLACE/doubles" >"$PLACE/samples"
	in_place "$TOOLS/sink" 127.0.0.1 7001 7002 7003 7004 7005 7006 7007 >"$PLACE/sink.out" 3>&- &
	wait_until 5 grep -q ready "$PLACE/sink.out"
	daemon_start_inside
	kernel_range >"$PLACE/range.adjusted"
	mkfifo "$PLACE/hold"
	in_place "$TOOLS/connector" -n 2000 -w 127.0.0.1 7001 7002 7003 7004 7005 \
		<"$PLACE/hold" >"$PLACE/tuples" 2>"$PLACE/hold.err" 3>&- &
	local holder=$!
	exec 4>"$PLACE/hold"
	wait_until 60 grep -q ready "$PLACE/tuples"
	sed -i '/ready/d' "$PLACE/tuples"
	held_ports >"$PLACE/ports.before"
	load_start
	watch 2
	rounds >"$PLACE/rounds.before"
	daemon_end KILL
	watch 2
	rounds >"$PLACE/rounds.killed"
	: >"$PLACE/load.restart"
	daemon_start_inside
	line_count "$PLACE/load" >"$PLACE/load.restart"
	watch 4
	rounds >"$PLACE/rounds.restarted"
	# Each port of the pool has a session to 7001: these are the kernel's to pick.
	in_place "$TOOLS/connector" -n 200 127.0.0.1 7001 >"$PLACE/more" 2>"$PLACE/more.err" 4>&- || true
	srcport status --json >"$PLACE/status"
	touch "$PLACE/stop"
	wait "$LOAD"
	in_net ss -Htn state established 'dport >= :7001 and dport <= :7005' | wc -l >"$PLACE/open.after"
	daemon_end TERM
	kernel_range >"$PLACE/range.after"
	exec 4>&-
	wait "$holder" || true
}

@test "10,000 sessions share 2,000 ports" {
	skip 'waits for rules'
	cat "$PLACE/hold.err" >&2
	[ "$(line_count "$PLACE/tuples")" = 10000 ]
	no_tuple_twice "$PLACE/tuples"
	[ "$(line_count "$PLACE/ports.before")" = 2000 ]
}

@test "no connect() fails before the kill, while no srcportd runs, and after the restart" {
	head "$PLACE/load.err" "$PLACE/more.err" >&2
	[ "$(cat "$PLACE/rounds.before")" -gt 2 ]
	[ "$(cat "$PLACE/rounds.killed")" -gt $(($(cat "$PLACE/rounds.before") + 2)) ]
	[ "$(cat "$PLACE/rounds.restarted")" -gt $(($(cat "$PLACE/rounds.killed") + 2)) ]
	[ ! -s "$PLACE/failed" ]
	[ "$(line_count "$PLACE/more")" = 200 ]
}

@test "no tuple belongs to two sockets at once, and all that were held stay open" {
	[ "$(sort -n "$PLACE/samples" | tail -n 1)" -gt 10000 ]
	head "$PLACE/doubles" >&2
	[ ! -s "$PLACE/doubles" ]
	[ "$(cat "$PLACE/open.after")" = 10000 ]
	# None of the 200 has a tuple of the 10,000.
	no_tuple_twice "$PLACE/tuples" "$PLACE/more"
}

@test "after the restart the pool is given from again" {
	skip 'waits for rules'
	tail -n +"$(($(cat "$PLACE/load.restart") + 1))" "$PLACE/load" >"$PLACE/load.after"
	[ "$(line_count "$PLACE/load.after")" -gt 1000 ]
	awk -v from="$POOL_FROM" -v to="$POOL_TO" '$2 >= from && $2 <= to { inside++ }
		END { print inside + 0, "of", NR, "from the pool"; exit inside < NR / 2 }' \
		"$PLACE/load.after" >&2
}

@test "after the restart each held port is known to be held" {
	skip 'waits for rules'
	python3 - "$PLACE/status" <<'END'
import json, sys
pool, = [pool for pool in json.load(open(sys.argv[1]))["pools"] if pool["name"] == "default"]
print(pool, file=sys.stderr)
assert pool["held"] == 2000, pool
END
}

@test "ip_local_port_range is moved out of the pool, and in the end as it was" {
	[ "$(cat "$PLACE/range.adjusted")" != '32768 60999' ]
	read -r from to <"$PLACE/range.adjusted"
	[ "$to" -lt "$POOL_FROM" ] || [ "$from" -gt "$POOL_TO" ]
	[ "$(cat "$PLACE/range.after")" = '32768 60999' ]
}
