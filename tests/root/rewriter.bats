#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Another's program on the connect hook of an ancestor cgroup that sends several service
# addresses on to one backend (tests/tools/rewriter), as load balancers on sockets do.
# Its turn is after srcport's. Whatever it does, no connect() may fail that would not
# fail without srcport: 1,000 sessions are held, and 20,000 opened in all.

load helper

SERVICES=$(seq 7001 7020)

setup() {
	place_make
	{
		printf '[pool always]\nports = 50000-51999\nsharing = always\n'
		printf '[pool full]\nports = 52000-52499\nsharing = when-full\n'
	} >>"$PLACE/srcport.conf"
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

# rewrite ADDRESS: from now on, everything below the test's cgroup.
rewrite() {
	: >"$PLACE/rewriter" # of the one before
	"$TOOLS/rewriter" "$CGROUP" 7001 7020 "$1" 7000 \
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
