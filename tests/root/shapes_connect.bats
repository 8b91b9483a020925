#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The ways in which programs connect(), and the port that each must get.

load shapes

@test "connect() again after a refusal works, with the same port" {
	sink_start 127.0.0.1 7000 4>&-
	sink_start ::1 7000 4>&-
	for way in 'tcp4 127.0.0.1' 'tcp6 ::1'; do
		read -r kind there <<<"$way"
		shape -- "socket $kind" block "try connect $there 7001" name \
			"try connect $there 7001" name "connect $there 7000" name \
			>"$PLACE/out" </dev/null
		[ "$(grep -c 'connect ECONNREFUSED' "$PLACE/out")" = 2 ]
		names out | awk '{ print "-", $2 }' | uniq >"$PLACE/names"
		[ "$(line_count "$PLACE/names")" = 1 ]
		all_in_pool "$PLACE/names"
	done
}

@test "a TCP socket that was disconnected connects to elsewhere" {
	sink_start 127.0.0.1 7000 7002 4>&-
	sink_start ::1 7000 7002 4>&-
	for way in 'tcp4 127.0.0.1' 'tcp6 ::1'; do
		read -r kind there <<<"$way"
		shape -- -n 50 "socket $kind" "connect $there 7000" established name \
			disconnect "connect $there 7002" established name \
			>"$PLACE/out" </dev/null
		[ "$(names out | wc -l)" = 100 ]
		names out >"$PLACE/names"
		all_in_pool "$PLACE/names"
	done
}

@test "a UDP socket connects, connects elsewhere, disconnects and connects again" {
	while read -r kind _ one two; do
		shape -- -n 50 "socket $kind" "connect $one 53" name "connect $two 53" name \
			disconnect "connect $one 54" name >"$PLACE/out" </dev/null
		names out >"$PLACE/names"
		[ "$(line_count "$PLACE/names")" = 150 ]
		all_in_pool "$PLACE/names"
	done < <(ways_of udp4 udp6)
}

@test "MPTCP gets its port from the pool" {
	run in_place "$TOOLS/shape" 'try socket mptcp4'
	[ "$output" = 'socket ok' ] || skip "socket(IPPROTO_MPTCP): ${output#socket }"
	listener mptcp4 127.0.0.1 7100
	listener mptcp6 ::1 7101
	keep out -- 'socket mptcp4' 'connect 127.0.0.1 7100' established name \
		'socket mptcp6' 'connect ::1 7101' established name
	names_are 2 "$POOL_FROM" "$POOL_TO" out
	[ "$(in_net ss -HMna state established | between_ports 7100 7101)" -ge 2 ]
}

# How many of ss's lines have such a port of the peer.
between_ports() {
	sed 's/.*:\([0-9]*\) *$/x \1/' | between "$1" "$2"
}

# counter NAME: one of TcpExt of the namespace.
counter() {
	in_net awk -v name="$1" '$1 == "TcpExt:" {
		for (i = 2; i <= NF; i++)
			if (seen) { if (names[i] == name) print $i } else names[i] = $i
		seen = 1 }' /proc/net/netstat
}

@test "TCP fast open gets its port from the pool, with a cookie and without" {
	in_net sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_fastopen'
	listener tcp4 127.0.0.1 7100 'set fastopen 5'
	listener tcp6 ::1 7101 'set fastopen 5'
	# The first brings the cookie, the others send data with their SYN.
	keep out -- -n 3 'socket tcp4' 'fastopen 127.0.0.1 7100' name established \
		'socket tcp6' 'fastopen ::1 7101' name established
	names_are 6 "$POOL_FROM" "$POOL_TO" out
	[ "$(counter TCPFastOpenActive)" -ge 2 ]
	keep later -- -n 3 'socket tcp4' 'set fastopen-connect 1' 'connect 127.0.0.1 7100' \
		name send established name
	names later | uniq >"$PLACE/names"
	[ "$(line_count "$PLACE/names")" = 3 ]
	all_in_pool "$PLACE/names"
	[ "$(counter TCPFastOpenActive)" -ge 3 ]
}

@test "connect() by io_uring gets its port from the pool" {
	sink_start 127.0.0.1 7000 4>&-
	sink_start ::1 7000 4>&-
	run in_place "$TOOLS/shape" 'socket tcp4' 'try uring 127.0.0.1 7000'
	[ "$output" = 'uring ok' ] || skip "io_uring: ${output#uring }"
	keep out -- -n 20 'socket tcp4' 'uring 127.0.0.1 7000' name \
		'socket tcp6' 'uring ::1 7000' name
	names_are 40 "$POOL_FROM" "$POOL_TO" out
	no_twins tcp 80 # both ends
}

@test "a socket bound to a device gets its port from the pool" {
	keep tcp -- -n 20 'socket tcp4' 'device out' 'connect 10.9.0.2 80' name \
		'socket tcp6' 'device out' 'connect fd09::2 80' name \
		'socket tcp4' 'connect 10.9.0.2 80' name
	names_are 60 "$POOL_FROM" "$POOL_TO" tcp
	no_twins tcp 60
	keep udp -- -n 20 'socket udp4' 'device out' 'connect 10.9.0.2 53' name \
		'socket udp6' 'device out' 'connect fd09::2 53' name
	names_are 40 "$POOL_FROM" "$POOL_TO" udp
}

# To the small pool alone: the kernel's own pick makes twins of sockets that set
# SO_REUSEADDR, with srcport or without.
@test "no two UDP sockets have one tuple of the pool, whatever they set before connect()" {
	for option in reuseaddr reuseport; do
		while read -r kind _ there _; do
			keep out --pool "$kind" -- -n 100 "socket $kind" "set $option 1" \
				"connect $there 53" name
			names out | awk -v from="$(first_of "$kind")" -v to="$(last_of "$kind")" \
				'$2 >= from && $2 <= to' >"$PLACE/names"
			[ "$(line_count "$PLACE/names")" = 10 ]
			no_tuple_twice "$PLACE/names"
			let_go udp
		done < <(ways_of udp4 udp6)
	done
}

@test "no two UDP sockets have one tuple when they connect elsewhere" {
	while read -r kind _ one two; do
		keep out --pool "$kind" -- -n 5 "socket $kind" 'set reuseaddr 1' \
			"connect $one 53" "socket $kind" 'set reuseaddr 1' "connect $two 53" \
			"try connect $one 53" swap "try connect $two 53"
		no_twins udp 10
		let_go udp
	done < <(ways_of udp4 udp6)
}

@test "where UDP shares no two sockets have one tuple, also when they connect elsewhere" {
	daemon_end TERM
	printf '[pool sharers]\nports = 50600-50609\nudp-sharing = yes\n' >>"$PLACE/srcport.conf"
	daemon_start 4>&-
	while read -r kind _ one two; do
		keep out --pool sharers -- -n 10 "socket $kind" "connect $one 53" name \
			"socket $kind" "connect $two 53" name
		[ "$(names out | between 50600 50609)" = 20 ]
		no_twins udp 20
		keep again --pool sharers -- -n 10 "socket $kind" "try connect ${one}0 53" \
			"try connect $one 53" disconnect "try connect $two 53"
		tuples udp >"$PLACE/kernel"
		no_tuple_twice "$PLACE/kernel"
		let_go udp
	done < <(ways_of udp4 udp6)
}

@test "with sharing never SO_REUSEADDR is off after connect(), whatever was set before" {
	while read -r kind own there _; do
		shape --pool unshared -- \
			"socket $kind" 'set reuseaddr 1' "connect $there 80" 'get reuseaddr' \
			"socket $kind" "connect $there 80" 'get reuseaddr' \
			"socket $kind" 'set reuseaddr 1' 'set noport 1' "bind $own 0" \
			"connect $there 80" 'get reuseaddr' >"$PLACE/out" </dev/null
		[ "$(sort "$PLACE/out" | uniq -c | tr -s ' ')" = ' 3 get reuseaddr 0' ]
	done < <(ways_of tcp4 tcp6)
}

@test "with sharing never nobody else can bind a port that was given" {
	while read -r kind own there _; do
		keep out --pool unshared -- "socket $kind" 'set reuseaddr 1' \
			'set noport 1' "bind $own 0" "connect $there 80" name
		read -r _ port < <(names out)
		run in_place "$TOOLS/shape" "socket $kind" 'set reuseaddr 1' "try bind $own $port"
		[ "$output" = 'bind EADDRINUSE' ]
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "with SO_REUSEPORT set before connect() each socket gets its own tuple" {
	while read -r kind _ one two; do
		keep out --pool "$kind" -- -n 10 "socket $kind" 'set reuseport 1' \
			"connect $one 80" name
		ten_are 10 "$kind" out
		keep more --pool "$kind" -- -n 20 "socket $kind" 'set reuseport 1' \
			"connect $one 80" name "socket $kind" 'set reuseport 1' "connect $two 80" name
		[ "$(names more | wc -l)" = 40 ]
		no_twins tcp 50
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "a socket closed before its connection stood leaves its port at once" {
	while read -r kind _ there _; do
		shape --pool "$kind" -- -n 300 "socket $kind" "connect $there 80" name close \
			>"$PLACE/out" </dev/null
		[ "$(names out | in_ten "$kind")" = 300 ]
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

# keeps_its_port KIND ADDRESS STEP...: after them one socket is held, by whomever.
keeps_its_port() {
	local kind=$1 there=$2
	shift 2
	managed --pool "$kind" -- "$TOOLS/shape" "socket $kind" "connect $there 80" name "$@" \
		<"$PLACE/hold" >"$PLACE/one" 3>&- 4>&-
	shape --pool "$kind" -- -n 12 "socket $kind" "connect $there 80" name >"$PLACE/more" </dev/null
	[ "$(names more | in_ten "$kind")" = 9 ]
	[ "$(names one more | sort -u | wc -l)" = 13 ]
	let_go "${kind%?}"
	shape --pool "$kind" -- -n 10 "socket $kind" "connect $there 80" name >"$PLACE/after" </dev/null
	ten_are 10 "$kind" after
}

@test "a socket that only a forked child still holds keeps its port" {
	while read -r kind _ there _; do
		keeps_its_port "$kind" "$there" fork
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "a socket that only a copy of its descriptor still holds keeps its port" {
	while read -r kind _ there _; do
		keeps_its_port "$kind" "$there" dup swap close fork
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}
