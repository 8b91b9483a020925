#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The ways in which programs open sessions, with srcportd --manage-all: nothing is started
# through srcport run, and every program of the scope is managed, servers too.

load shapes

setup() {
	place_make
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
}

# managing FROM TO: srcportd, with this pool.
managing() {
	POOL_FROM=$1 POOL_TO=$2
	printf '[pool default]\nports = %s-%s\n' "$1" "$2" >"$PLACE/srcport.conf"
	daemon_start --manage-all 4>&-
	# What is shared is shared once the namespace is known.
	in_place "$TOOLS/connector" 10.9.0.9 80 >/dev/null
	in_place "$TOOLS/connector" -t udp 10.9.0.9 80 >/dev/null
	sleep 1.5
}

# As of shapes.bash, without srcport run.
keep() {
	local file=$PLACE/$1
	shift 2
	: >"$file"
	in_place "$TOOLS/shape" -w "$@" <"$PLACE/hold" >"$file" 3>&- 4>&- &
	wait_until 20 grep -q ready "$file"
}

@test "under a rule, without IPV6_V6ONLY a port is one that is free in both families" {
	managing 50310 50319
	listener tcp4 0.0.0.0 50310
	listener tcp4 127.0.0.1 50311
	listener tcp6 fd09::1 50312
	listener tcp6 ::1 50313
	keep both -- -n 6 'socket tcp6' 'set v6only 0' 'bind :: 0' listen name
	names_are 6 50314 50319 both
	in_place "$TOOLS/shape" 'socket tcp4' 'connect 127.0.0.1 50314' established </dev/null
	in_place "$TOOLS/shape" 'socket tcp6' 'connect ::1 50319' established </dev/null
	keep four -- -n 3 'socket tcp4' 'connect 10.9.0.2 80' name
	[ "$(names four | between 50310 50319)" = 0 ]
}

@test "under a rule an IPv4 address and its v4-mapped form are one destination" {
	managing 50300 50319
	keep four -- -n 10 'socket tcp4' 'connect 10.9.0.2 80' name
	keep six -- -n 10 'socket tcp6' 'connect ::ffff:10.9.0.2 80' name
	names_are 10 50300 50319 four
	names_are 10 50300 50319 six
	no_twins tcp 20
	[ "$(names four six | awk '{ print $2 }' | sort -u | wc -l)" = 20 ]
}

@test "under a rule MPTCP gets its port from the pool" {
	run in_place "$TOOLS/shape" 'try socket mptcp4'
	[ "$output" = 'socket ok' ] || skip "socket(IPPROTO_MPTCP): ${output#socket }"
	managing 50000 50199
	listener mptcp4 127.0.0.1 7100
	listener mptcp6 ::1 7101
	keep out -- -n 20 'socket mptcp4' 'connect 127.0.0.1 7100' established name \
		'socket mptcp6' 'connect ::1 7101' established name
	names_are 40 50000 50199 out
	[ "$(in_net ss -HMna state established | grep -c ':710[01] *$')" -ge 40 ]
}

@test "under a rule TCP fast open gets its port from the pool, with a cookie and without" {
	managing 50000 50199
	in_net sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_fastopen'
	listener tcp4 127.0.0.1 7100 'set fastopen 5'
	listener tcp6 ::1 7101 'set fastopen 5'
	keep out -- -n 10 'socket tcp4' 'fastopen 127.0.0.1 7100' name established \
		'socket tcp6' 'fastopen ::1 7101' name established \
		'socket tcp4' 'set fastopen-connect 1' 'connect 127.0.0.1 7100' send \
		name established
	names_are 30 50000 50199 out
}

@test "under a rule connect() by io_uring gets its port from the pool" {
	sink_start 127.0.0.1 7000 4>&-
	sink_start ::1 7000 4>&-
	run in_place "$TOOLS/shape" 'socket tcp4' 'try uring 127.0.0.1 7000'
	[ "$output" = 'uring ok' ] || skip "io_uring: ${output#uring }"
	managing 50000 50199
	keep out -- -n 20 'socket tcp4' 'uring 127.0.0.1 7000' name \
		'socket tcp6' 'uring ::1 7000' name
	names_are 40 50000 50199 out
	no_twins tcp 80 # both ends
}

@test "under a rule each way to bind() before connect() gets a port of the pool" {
	managing 50000 50199
	while read -r kind own there _; do
		own=${own%101}1
		keep out -- -n 20 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $there 80" name "socket $kind" "bind $own 0" \
			"connect $there 80" name
		names_are 40 50000 50199 out
		[ "$(names out | grep -c "^$own ")" = 40 ]
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "under a rule sockets connect again after a refusal, a disconnect, and elsewhere" {
	managing 50000 50199
	sink_start 127.0.0.1 7000 7002 4>&-
	in_place "$TOOLS/shape" -n 20 'socket tcp4' block 'try connect 127.0.0.1 7001' \
		'connect 127.0.0.1 7000' established name disconnect \
		'connect 127.0.0.1 7002' established name >"$PLACE/out" </dev/null
	[ "$(grep -c 'connect ECONNREFUSED' "$PLACE/out")" = 20 ]
	names out >"$PLACE/names"
	[ "$(line_count "$PLACE/names")" = 40 ]
	all_in_pool "$PLACE/names"
	in_place "$TOOLS/shape" -n 20 'socket udp6' 'connect fd09::2 53' name \
		'connect fd09::3 53' name disconnect 'connect fd09::2 54' name \
		>"$PLACE/out" </dev/null
	names out >"$PLACE/names"
	[ "$(line_count "$PLACE/names")" = 60 ]
	all_in_pool "$PLACE/names"
}

@test "under a rule two destinations share the ports of a full pool, in both families" {
	managing 50000 50049
	while read -r kind _ one two; do
		keep one -- -n 50 "socket $kind" "connect $one 80" name
		keep two -- -n 50 "socket $kind" "connect $two 80" name
		names_are 50 50000 50049 one
		names_are 50 50000 50049 two
		no_twins tcp 100
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}
