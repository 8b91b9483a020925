#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A tuple rests after its close, and the longest-rested comes first where all rest. What
# is judged is the client's own record of when it had which port.

bats_require_minimum_version 1.5.0
load helper

POOL_FROM=50000 POOL_TO=50099

setup() {
	place_make
}

teardown() {
	place_remove
}

# rest_start SETTING...: srcportd with the pool so set, and a server.
rest_start() {
	printf '%s\n' "$@" >>"$PLACE/srcport.conf"
	daemon_start
	in_place "$TOOLS/sink" 127.0.0.1 7000 >"$PLACE/sink4.out" 3>&- &
	in_place "$TOOLS/sink" ::1 7000 >"$PLACE/sink6.out" 3>&- &
	wait_until 5 grep -q ready "$PLACE/sink4.out"
	wait_until 5 grep -q ready "$PLACE/sink6.out"
}

# rests ADDRESS SCRIPT: in it, "use OPTION..." adds sessions to the record.
rests() {
	managed -- sh -c 'use() { "$RESTING" "$@" "$ADDRESS" 7000 >>"$RECORD"; }
		early() { "$BUILD/srcport" status --json | sed "s/.*\"early_reuses\": *//; s/[^0-9].*//"; }
		'"$2"
}

# judge SECONDS SIZE: of the record, "EARLY UNCLEAR": how many sessions had a tuple in its
# quarantine, and how many may or may not, for lack of a finer clock. Fails where one did
# while a port was free, or while another had rested longer.
judge() {
	python3 - "$RECORD" "$1" "$2" <<'END'
import sys
told = []
quarantine, size = float(sys.argv[2]) * 1e9, int(sys.argv[3])
last, early, unclear = {}, 0, 0
for line in open(sys.argv[1]):
    port, began, connected, closing, closed = map(int, line.split())
    if port in last and connected - last[port][0] < quarantine:
        early += 1
        rested = [other for other in last.values() if began - other[1] > quarantine]
        if len(last) < size or rested:
            told.append(f"port {port} early, with {size - len(last)} unused and {len(rested)} rested")
        longer = [other for other in last.values() if other[1] < last[port][0]]
        if longer:
            told.append(f"port {port} early, {len(longer)} rested longer")
    elif port in last and began - last[port][1] < quarantine:
        unclear += 1
    last[port] = (closing, closed)
print(early, unclear)
print(*told[:10], sep="\n", file=sys.stderr)
sys.exit(len(told) > 0)
END
}

# The client's counts are srcport's, but for the unclear.
same_count() {
	echo "early $1, unclear $2, srcport says $3" >&2
	[ "$3" -ge "$1" ]
	[ "$3" -le $(($1 + $2)) ]
}

# rest_test ADDRESS SECONDS: 85 of 100 ports rest at any time, then all.
rest_test() {
	local early unclear counted
	export ADDRESS=$1 RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start "quarantine = ${2}s"
	rests "$1" "use -n $((85 * 3)) -p $(($2 * 1000 / 85)); early" >"$PLACE/early"
	judge "$2" 100 >"$PLACE/judged"
	read -r early unclear <"$PLACE/judged"
	[ "$early" = 0 ]
	[ "$(cat "$PLACE/early")" -le "$unclear" ]
	[ "$(line_count "$RECORD")" = 255 ]
	awk '{ print 0, $1 }' "$RECORD" >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
	# Each rested port came back after its time: none of the 100 is lost.
	[ "$(awk '{ print $1 }' "$RECORD" | sort -u | wc -l)" -gt 90 ]
}

@test "IPv4: no tuple comes back within a quarantine of 1 s while a port is free" {
	rest_test 127.0.0.1 1
}

@test "IPv6: no tuple comes back within a quarantine of 1 s while a port is free" {
	rest_test ::1 1
}

@test "IPv4: no tuple comes back within a quarantine of 5 s while a port is free" {
	rest_test 127.0.0.1 5
}

# early_test ADDRESS SECONDS: in less than that time 400 sessions over 100 ports.
early_test() {
	local early unclear
	export ADDRESS=$1 RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start "quarantine = ${2}s"
	rests "$1" 'use -n 400; early' >"$PLACE/early"
	judge "$2" 100 >"$PLACE/judged"
	read -r early unclear <"$PLACE/judged"
	[ "$early" = 300 ]
	same_count "$early" "$unclear" "$(cat "$PLACE/early")"
	awk '{ print 0, $1 }' "$RECORD" >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
}

@test "IPv4: where all rest the longest-rested comes first, and each such reuse is counted" {
	early_test 127.0.0.1 5
}

@test "IPv6: where all rest the longest-rested comes first, and each such reuse is counted" {
	early_test ::1 5
}

@test "without early-reuse the kernel picks where all rest" {
	export ADDRESS=127.0.0.1 RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start 'quarantine = 60s' 'early-reuse = no'
	rests 127.0.0.1 'use -n 120; early' >"$PLACE/early"
	[ "$(cat "$PLACE/early")" = 0 ]
	[ "$(awk '$1 >= 50000 && $1 <= 50099 { print $1 }' "$RECORD" | sort -u | wc -l)" = 100 ]
	[ "$(awk '$1 >= 32768 && $1 <= 49151' "$RECORD" | wc -l)" = 20 ]
}

@test "a quarantine of 60 s holds, the last free port goes before it, and it ends" {
	local early unclear
	export ADDRESS=127.0.0.1 RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start 'quarantine = 60s'
	# 100 in 57 s, none twice; one early; at 64 s the first 90 are free again.
	rests 127.0.0.1 'use -n 90; sleep 30; use -n 5; sleep 27; use -n 5; early
		use; early; sleep 7; use -n 85; early' >"$PLACE/early"
	judge 60 100 >"$PLACE/judged"
	read -r early unclear <"$PLACE/judged"
	[ "$early" = 1 ]
	[ "$(head -n 100 "$RECORD" | awk '{ print $1 }' | sort -u | wc -l)" = 100 ]
	[ "$(paste -sd' ' "$PLACE/early")" = '0 1 1' ]
}

@test "a tuple closed by reset does not rest" {
	export ADDRESS=127.0.0.1 RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start 'quarantine = 60s'
	rests 127.0.0.1 'use -r -n 400; early' >"$PLACE/early"
	[ "$(cat "$PLACE/early")" = 0 ]
	awk '{ print 0, $1 }' "$RECORD" >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
}

# all_test ADDRESS SECONDS OPTION...: those sessions leave no TIME_WAIT, and rest all the
# same: 85 of 100 ports at any time, and then all.
all_test() {
	local early unclear address=$1 seconds=$2
	shift 2
	export ADDRESS=$address RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start "quarantine = ${seconds}s" 'quarantine-all = yes'
	rests "$address" "use $* -n 255 -p $((seconds * 1000 / 85)); early; use $* -n 300; early" \
		>"$PLACE/early"
	judge "$seconds" 100 >"$PLACE/judged"
	read -r early unclear <"$PLACE/judged"
	[ "$(head -n 1 "$PLACE/early")" -le "$unclear" ]
	[ "$early" -gt 100 ]
	awk '{ print 0, $1 }' "$RECORD" >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
	same_count "$early" "$unclear" "$(tail -n 1 "$PLACE/early")"
}

@test "IPv4: with quarantine-all a tuple closed by reset rests, 1 s" {
	all_test 127.0.0.1 1 -r
}

@test "IPv6: with quarantine-all a tuple closed by reset rests, 5 s" {
	all_test ::1 5 -r
}

@test "IPv4: with quarantine-all a UDP tuple rests, 5 s" {
	all_test 127.0.0.1 5 -t udp
}

@test "IPv6: with quarantine-all a UDP tuple rests, 1 s" {
	all_test ::1 1 -t udp
}

# all_minute ADDRESS OPTION...: as the 60 s above.
all_minute() {
	local early unclear address=$1
	shift
	export ADDRESS=$address RECORD=$PLACE/record RESTING=$TOOLS/resting
	rest_start 'quarantine = 60s' 'quarantine-all = yes'
	rests "$address" "use $* -n 90; sleep 30; use $* -n 5; sleep 27; use $* -n 5; early
		use $*; early; sleep 7; use $* -n 85; early" >"$PLACE/early"
	judge 60 100 >"$PLACE/judged"
	read -r early unclear <"$PLACE/judged"
	[ "$early" = 1 ]
	[ "$(head -n 100 "$RECORD" | awk '{ print $1 }' | sort -u | wc -l)" = 100 ]
	[ "$(paste -sd' ' "$PLACE/early")" = '0 1 1' ]
}

@test "IPv6: with quarantine-all 60 s hold after a reset, and end" {
	[ -n "$REST_A_MINUTE" ] || skip 'takes 70 seconds; REST_A_MINUTE=1 does it'
	all_minute ::1 -r
}

@test "IPv4: with quarantine-all 60 s hold after UDP, and end" {
	[ -n "$REST_A_MINUTE" ] || skip 'takes 70 seconds; REST_A_MINUTE=1 does it'
	all_minute 127.0.0.1 -t udp
}
