#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Two network namespaces under one srcportd, with the same addresses in both: each has
# all ports of a pool, and nothing of one shows in the other.

load helper

POOL_FROM=50000 POOL_TO=50199

setup() {
	place_make
	{
		printf '[pool ten]\nports = 50300-50309\n'
		printf '[pool resting]\nports = 50400-50409\nearly-reuse = no\nquarantine = 60s\n'
	} >>"$PLACE/srcport.conf"
	ONE=$NET TWO=$NET-two
	second_make
	daemon_start
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
}

teardown() {
	exec 4>&-
	place_remove
	ip netns delete "$TWO"
}

# As the helper makes the first.
second_make() {
	ip netns add "$TWO"
	local NET=$TWO
	in_net ip link set lo up
	in_net ip link add out type veth peer name nowhere
	in_net ip address add 10.9.0.1/24 dev out
	in_net ip address add fd09::1/64 dev out nodad
	in_net ip link set out up
	in_net ip link set nowhere up
	in_net ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:99 dev out
	in_net ip neighbour add fd09::2 lladdr 02:00:00:00:00:99 dev out
	in_net sh -c 'echo 32768 49151 >/proc/sys/net/ipv4/ip_local_port_range'
}

# keep NAMESPACE FILE POOL STEP...: under srcport run, until let_go.
keep() {
	: >"$PLACE/$2" # it may have been another's before
	NET=$1 managed --pool "$3" -- "$TOOLS/shape" -w "${@:4}" \
		<"$PLACE/hold" >"$PLACE/$2" 3>&- 4>&- &
	KEPT=$!
	wait_until 20 grep -q ready "$PLACE/$2"
}

names() {
	sed -n 's/^name //p' "${@/#/$PLACE/}"
}

# in_ports FROM TO FILE...: how many different names have such a port.
in_ports() {
	names "${@:3}" | sort -u |
		awk -v from="$1" -v to="$2" '$2 >= from && $2 <= to' | wc -l
}

held() {
	srcport status --json | python3 -c '
import json, sys
print(sum(pool["held"] for pool in json.load(sys.stdin)["pools"]))'
}

held_is() {
	[ "$(held)" = "$1" ]
}

@test "two namespaces have all ports of one pool each, to one destination" {
	for kind in tcp4 tcp6 udp4 udp6; do
		local there=10.9.0.2
		[[ $kind != *6 ]] || there=fd09::2
		keep "$ONE" one default -n 200 "socket $kind" "connect $there 80" name
		keep "$TWO" two default -n 200 "socket $kind" "connect $there 80" name
		[ "$(in_ports "$POOL_FROM" "$POOL_TO" one)" = 200 ]
		[ "$(in_ports "$POOL_FROM" "$POOL_TO" two)" = 200 ]
		exec 4>&-
		wait "$KEPT"
		wait_until 5 held_is 0
		exec 4<>"$PLACE/hold"
	done
}

@test "two namespaces have all ports of one pool each where bind() takes them" {
	keep "$ONE" one ten -n 10 'socket tcp4' 'bind 0.0.0.0 0' listen name
	keep "$TWO" two ten -n 10 'socket tcp4' 'bind 0.0.0.0 0' listen name
	[ "$(in_ports 50300 50309 one)" = 10 ]
	[ "$(in_ports 50300 50309 two)" = 10 ]
}

@test "what is held is told of both namespaces, and goes with each" {
	keep "$ONE" one default -n 30 'socket tcp4' 'connect 10.9.0.2 80' name
	local one=$KEPT
	keep "$TWO" two default -n 50 'socket tcp4' 'connect 10.9.0.2 80' name
	wait_until 3 held_is 80
	kill "$one"
	wait_until 5 held_is 50
}

@test "a listener in one namespace keeps its port from that namespace alone" {
	in_place "$TOOLS/sink" 0.0.0.0 50300 >"$PLACE/sink.out" 3>&- 4>&- &
	wait_until 5 grep -q ready "$PLACE/sink.out"
	keep "$ONE" one ten -n 10 'socket tcp4' 'connect 10.9.0.2 80' name
	keep "$TWO" two ten -n 10 'socket tcp4' 'connect 10.9.0.2 80' name
	[ "$(in_ports 50300 50309 one)" = 9 ]
	[ "$(in_ports 50300 50300 one)" = 0 ]
	[ "$(in_ports 50300 50309 two)" = 10 ]
}

# closes NAMESPACE FILE: ten sessions there, which leave TIME_WAIT.
closes() {
	NET=$1 managed --pool resting -- "$TOOLS/connector" -n 10 -e -f -k 127.0.0.1 7000 \
		>"$PLACE/$2"
	awk '$2 >= 50400 && $2 <= 50409' "$PLACE/$2" | wc -l
}

@test "what rests in one namespace does not rest in the other" {
	sink_start -e 127.0.0.1 7000 4>&-
	NET=$TWO sink_start -e 127.0.0.1 7000 4>&-
	[ "$(closes "$ONE" one)" = 10 ]
	[ "$(closes "$ONE" again)" = 0 ]
	[ "$(closes "$TWO" two)" = 10 ]
}

# The kernel's number of the namespace.
cookie_of() {
	NET=$1 in_place "$TOOLS/shape" 'socket tcp4' cookie </dev/null | cut -d ' ' -f 2
}

# recorded PORT NAMESPACE: srcportd, which records the whole host, has a session of this
# port there.
recorded() {
	[ -n "$(sessions "sport = $1 and netns = $(cookie_of "$2")" sport)" ]
}

@test "sessions of one tuple in two namespaces are told apart" {
	keep "$ONE" one default 'socket tcp4' 'bind 10.9.0.1 50007' 'connect 10.9.0.2 80'
	keep "$TWO" two default 'socket tcp4' 'bind 10.9.0.1 50007' 'connect 10.9.0.2 80'
	[ "$(cookie_of "$ONE")" != "$(cookie_of "$TWO")" ]
	wait_until 5 recorded 50007 "$ONE"
	wait_until 5 recorded 50007 "$TWO"
}

@test "a socket that is used in another namespace counts where it was made" {
	# There the destination has taken all ten ports, here none.
	keep "$TWO" two ten -n 10 'socket tcp4' 'connect 10.9.0.2 80' name
	keep "$ONE" one ten -n 10 'socket tcp4' "netns $TWO" 'connect 10.9.0.2 80' name \
		"netns $ONE"
	[ "$(in_ports 50300 50309 two)" = 10 ]
	[ "$(in_ports 50300 50309 one)" = 10 ]
	in_net ss -Htan state syn-sent >"$PLACE/kernel"
	[ "$(line_count "$PLACE/kernel")" = 10 ]
	# Now here too, so that an eleventh gets none, wherever it is used.
	keep "$ONE" more ten 'socket tcp4' "netns $TWO" 'connect 10.9.0.2 80' name
	[ "$(in_ports 50300 50309 more)" = 0 ]
}

@test "a socket that is used in another namespace is recorded where it was made" {
	keep "$ONE" one default 'socket tcp4' "netns $TWO" 'connect 10.9.0.2 80' name
	read -r _ port < <(names one)
	wait_until 5 recorded "$port" "$ONE"
	run recorded "$port" "$TWO"
	[ "$status" = 1 ]
}

# 511 namespaces are what the tables hold (ARCHITECTURE.md): with what 600 left behind
# in them there would be no room for another.
@test "namespaces that are gone leave their room to others" {
	managed --pool ten -- sh -c '
		for i in $(seq 600); do
			unshare --net sh -c "ip link set lo up; exec \"\$0\" 127.0.0.1 80" "$1"
		done' sh "$TOOLS/connector" >"$PLACE/tuples" 4>&-
	[ "$(line_count "$PLACE/tuples")" = 600 ]
	wait_until 30 another_fits
	wait_until 5 held_is 0
}

another_fits() {
	managed --pool ten -- unshare --net sh -c 'ip link set lo up; exec "$0" 127.0.0.1 80' \
		"$TOOLS/connector" >"$PLACE/another" 4>&-
	all_in_pool "$PLACE/another" 50300 50309
}

@test "a namespace that goes away with its sockets open leaves nothing held" {
	managed --pool ten -- unshare --net sh -c '
		ip link set lo up
		ip link add out type veth peer name nowhere
		ip address add 10.9.0.1/24 dev out
		ip link set out up
		ip link set nowhere up
		ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:99 dev out
		exec "$@"' sh "$TOOLS/shape" -w -n 10 'socket tcp4' 'connect 10.9.0.2 80' name \
		'socket udp4' 'connect 10.9.0.2 53' name \
		<"$PLACE/hold" >"$PLACE/gone" 3>&- 4>&- &
	KEPT=$!
	wait_until 20 grep -q ready "$PLACE/gone"
	[ "$(names gone | wc -l)" = 20 ]
	[ "$(in_ports 50300 50309 gone)" = 10 ]
	[ "$(held)" = 20 ]
	kill -KILL "$KEPT"
	wait "$KEPT" 2>/dev/null || true
	wait_until 25 held_is 0
}
