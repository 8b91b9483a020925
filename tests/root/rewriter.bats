#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Another's program on the connect hook of an ancestor cgroup that sends several service
# addresses on to one backend (tests/tools/rewriter), as load balancers on sockets do.
# Its turn is after srcport's. Whatever it does, no connect() may fail that would not
# fail without srcport: 1,000 sessions are held, and 20,000 opened in all.

load helper

SERVICES=$(seq 7001 7020)

place_policy() {
	{
		printf '[pool default]\nports = %s-%s\n' "$POOL_FROM" "$POOL_TO"
		printf '[pool always]\nports = 50000-51999\nsharing = always\n'
		printf '[pool full]\nports = 52000-52499\nsharing = when-full\n'
	} >"$PLACE/srcport.conf"
}

setup() {
	place_make
	place_policy
	daemon_start
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
	# The services are there too: the clients run before the rewriter comes.
	# shellcheck disable=SC2086 # a list of ports
	in_place "$TOOLS/sink" 127.0.0.1 7000 $SERVICES >"$PLACE/four" 3>&- 4>&- &
	# shellcheck disable=SC2086
	in_place "$TOOLS/sink" ::1 7000 $SERVICES >"$PLACE/six" 3>&- 4>&- &
	wait_until 5 grep -q ready "$PLACE/four"
	wait_until 5 grep -q ready "$PLACE/six"
}

teardown() {
	exec 4>&-
	place_remove
}

# rewrite ADDRESS [CGROUP]: from now on, everything below this cgroup, or the test's.
rewrite() {
	: >"$PLACE/rewriter" # of the one before
	"$TOOLS/rewriter" "${2:-$CGROUP}" 7001 7020 "$1" 7000 \
		<"$PLACE/hold" >"$PLACE/rewriter" 3>&- 4>&- &
	REWRITER=$!
	wait_until 5 grep -q ready "$PLACE/rewriter"
}

# End the rewriter, which then tells how many connect()s it sent on.
rewrite_no_more() {
	exec 4>&-
	wait "$REWRITER"
	exec 4<>"$PLACE/hold"
	REWRITTEN=$(sed -n 's/^rewritten //p' "$PLACE/rewriter")
}

# clients WRAPPER...: 20,000 sessions to $ADDRESS, 1,000 at a time.
clients() {
	# shellcheck disable=SC2086
	"$@" "$TOOLS/connector" -n 50 -c 19000 "$ADDRESS" $SERVICES \
		>"$PLACE/tuples" 2>"$PLACE/failed" 4>&- || true
	echo "$*: $(line_count "$PLACE/tuples") of 20000, $(cat "$PLACE/failed")" >&2
}

none_failed() {
	[ "$(line_count "$PLACE/tuples")" = 20000 ]
	[ ! -s "$PLACE/failed" ]
}

# In the pool at all: without it nothing is shown.
in_pool() {
	awk -v from="$1" -v to="$2" '$2 >= from && $2 <= to' "$PLACE/tuples" | wc -l
}

@test "without srcport every connect() works behind the rewriter" {
	for ADDRESS in 127.0.0.1 ::1; do
		rewrite "$ADDRESS"
		clients in_place
		none_failed
		rewrite_no_more
		[ "$REWRITTEN" = 20000 ]
	done
}

@test "with sharing always no connect() fails behind the rewriter" {
	for ADDRESS in 127.0.0.1 ::1; do
		rewrite "$ADDRESS"
		clients managed --pool always --
		none_failed
		[ "$(in_pool 50000 51999)" -gt 0 ]
		rewrite_no_more
		[ "$REWRITTEN" = 20000 ]
	done
}

@test "with a full pool no connect() fails behind the rewriter" {
	for ADDRESS in 127.0.0.1 ::1; do
		rewrite "$ADDRESS"
		clients managed --pool full --
		none_failed
		[ "$(in_pool 52000 52499)" -gt 0 ]
		rewrite_no_more
		[ "$REWRITTEN" = 20000 ]
	done
}

@test "no connect() fails when the rewriter comes while clients run" {
	for pool in always full; do
		ADDRESS=127.0.0.1
		: >"$PLACE/tuples"
		clients managed --pool "$pool" -- 3>&- &
		local running=$!
		wait_until 10 has_lines 3000
		rewrite "$ADDRESS"
		wait "$running"
		none_failed
		rewrite_no_more
		[ "$REWRITTEN" -gt 0 ]
	done
}

has_lines() {
	[ "$(line_count "$PLACE/tuples")" -ge "$1" ]
}

@test "UDP sessions behind the rewriter work, and no two have one tuple" {
	for ADDRESS in 127.0.0.1 ::1; do
		rewrite "$ADDRESS"
		: >"$PLACE/tuples"
		# shellcheck disable=SC2086
		managed --pool full -- "$TOOLS/connector" -t udp -n 50 -w "$ADDRESS" $SERVICES \
			<"$PLACE/hold" >"$PLACE/tuples" 3>&- 4>&- &
		local running=$!
		wait_until 10 grep -q ready "$PLACE/tuples"
		in_net ss -Huna | awk '$1 == "ESTAB" { print $4, $5 }' >"$PLACE/kernel"
		[ "$(line_count "$PLACE/kernel")" = 1000 ]
		no_tuple_twice "$PLACE/kernel"
		[ "$(in_pool 52000 52499)" = 500 ]
		rewrite_no_more
		[ "$REWRITTEN" = 1000 ]
		wait "$running"
	done
}

# ---- srcportd at a scope, with a rule: no run, no cgroup of its own.

# scope_start POOL: the scope, below an ancestor that is the test's as well. Nothing is
# shared in a namespace before a daemon has looked through it, at most a second after the
# first session.
scope_start() {
	SCOPE=$CGROUP/scope
	mkdir -p "$SCOPE"
	printf '[rule all]\ncgroup = %s\npool = %s\n' "/${SCOPE#"$CGROUP_ROOT"/}" "$1" \
		>>"$PLACE/srcport.conf"
	daemon_start --cgroup "$SCOPE" 4>&-
	# To a port that no rewriter rewrites.
	scoped "$TOOLS/connector" "$ADDRESS" 7000 >/dev/null
	scoped "$TOOLS/connector" -t udp "$ADDRESS" 7000 >/dev/null
	sleep 1.5
}

# scoped COMMAND...: become it in the scope, or in $INNER below it.
scoped() {
	bash -c 'echo $$ >"$0/cgroup.procs" && exec nsenter --net="/run/netns/$NET" -- "$@"' \
		"${INNER:-$SCOPE}" "$@"
}

shared() {
	srcport status --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["alloc"]["shared"])'
}

# shared_grows yes|no|any: 20,000 sessions in the scope, of which none fails.
shared_grows() {
	local before
	before=$(shared)
	clients scoped
	none_failed
	[ "$(in_pool 50000 52499)" -gt 0 ]
	echo "shared: $before, then $(shared)" >&2
	case $1 in
	yes) [ "$(shared)" -gt "$before" ] ;;
	no) [ "$(shared)" = "$before" ] ;;
	esac
}

# behind WHEN CGROUP yes|no|any POOL...: for both families and pools; is anything shared
# there?
behind() {
	local when=$1 where=$2
	for pool in "${@:4}"; do
		for ADDRESS in 127.0.0.1 ::1; do
			daemon_end TERM
			place_policy
			mkdir -p "$where"
			[ "$when" != before ] || rewrite "$ADDRESS" "$where"
			scope_start "$pool"
			if [ "$when" = after ]; then
				rewrite "$ADDRESS" "$where"
				sleep 1.5 # the daemon looks once a second
			fi
			shared_grows "$3"
			rewrite_no_more
			[ "$REWRITTEN" = 20000 ]
		done
	done
}

@test "a rule's sessions behind a rewriter above the scope, there first, share nothing and do not fail" {
	behind before "$CGROUP" no always full
}

@test "a rule's sessions behind a rewriter above the scope, there later, share nothing and do not fail" {
	behind after "$CGROUP" no always full
}

@test "a rule's sessions behind a rewriter on the scope itself share nothing and do not fail" {
	behind after "$CGROUP/scope" no always full
}

# Its turn is before srcport's, which sees where they really go: all to one destination,
# with which a full pool has nothing to share.
@test "a rule's sessions behind a rewriter below the scope go on sharing and do not fail" {
	INNER=$CGROUP/scope/inner
	behind after "$INNER" yes always
	behind after "$INNER" any full
}

@test "no connect() of a rule fails when the rewriter comes while clients run" {
	for pool in always full; do
		ADDRESS=127.0.0.1
		daemon_end TERM
		place_policy
		scope_start "$pool"
		: >"$PLACE/tuples"
		clients scoped 3>&- &
		local running=$!
		wait_until 10 has_lines 5000
		rewrite "$ADDRESS"
		wait "$running"
		none_failed
		[ "$(shared)" -gt 0 ]
		rewrite_no_more
		[ "$REWRITTEN" -gt 0 ]
	done
}

@test "a rewriter on one run's cgroup leaves the sharing of another's alone" {
	managed --pool full -- sh -c 'sed -n s/^0:://p /proc/self/cgroup; exec cat' \
		<"$PLACE/hold" >"$PLACE/run" 3>&- 4>&- &
	wait_until 10 has_cgroup
	rewrite 127.0.0.1 "$CGROUP_ROOT$(cat "$PLACE/run")"
	sleep 1.5
	local before
	before=$(shared)
	ADDRESS=127.0.0.1 clients managed --pool full --
	none_failed
	[ "$(shared)" -gt "$before" ]
	rewrite_no_more
	[ "$REWRITTEN" = 0 ]
}

has_cgroup() {
	grep -q srcport- "$PLACE/run"
}
