#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Programs that bind() before they connect or listen, and the port that each must get.

load shapes

@test "with IP_BIND_ADDRESS_NO_PORT the port is picked at connect() for the address bound" {
	while read -r kind own there _; do
		shape -- "socket $kind" 'set noport 1' "bind $own 0" name \
			"connect $there 80" name >"$PLACE/out" </dev/null
		[ "$(names out | head -n 1)" = "$own 0" ]
		names out | tail -n 1 >"$PLACE/names"
		[ "$(cut -d ' ' -f 1 "$PLACE/names")" = "$own" ]
		all_in_pool "$PLACE/names"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "with IP_BIND_ADDRESS_NO_PORT two destinations share the ports of a full pool" {
	while read -r kind own one two; do
		keep one --pool "$kind" -- -n 10 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $one 80" name
		keep two --pool "$kind" -- -n 10 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $two 80" name
		ten_are 10 "$kind" one
		ten_are 10 "$kind" two
		no_twins tcp 20
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "bind() to port 0 takes a port at once, and nobody else gets it while it is open" {
	while read -r kind own one two; do
		keep bound --pool "$kind" -- "socket $kind" "bind $own 0" name
		ten_are 1 "$kind" bound
		keep one --pool "$kind" -- -n 12 "socket $kind" "connect $one 80" name
		keep two --pool "$kind" -- -n 12 "socket $kind" "connect $two 80" name
		[ "$(names one | in_ten "$kind")" = 9 ]
		read -r _ port < <(names bound)
		not_given "$port" one two
		exec 4>&-
		wait_until 5 nobody_has_a_peer "${kind%?}"
		exec 4<>"$PLACE/hold"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "a port taken by bind() to port 0 stays the socket's own when it connects" {
	while read -r kind own one two; do
		keep bound --pool "$kind" -- "socket $kind" "bind $own 0" name "connect $one 80" name
		[ "$(names bound | uniq | wc -l)" = 1 ]
		names bound | uniq >"$PLACE/names"
		[ "$(in_ten "$kind" <"$PLACE/names")" = 1 ]
		read -r _ port <"$PLACE/names"
		keep two --pool "$kind" -- -n 12 "socket $kind" "connect $two 80" name
		not_given "$port" two
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "a port that bind() took and close() left is given again at once" {
	while read -r kind own _; do
		shape --pool "$kind" -- -n 100 "socket $kind" "bind $own 0" name close \
			>"$PLACE/out" </dev/null
		[ "$(names out | in_ten "$kind")" = 100 ]
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "a listener on port 0 gets a port of the pool for itself, and clients reach it" {
	local kind any own
	while read -r kind any own; do
		keep bound --pool "$kind" -- "socket $kind" "bind $any 0" listen name
		ten_are 1 "$kind" bound
		read -r _ port < <(names bound)
		in_place "$TOOLS/shape" "socket $kind" "connect $own $port" established </dev/null
		keep one --pool "$kind" -- -n 12 "socket $kind" "connect ${own%1}2 80" name
		[ "$(names one | in_ten "$kind")" = 9 ]
		not_given "$port" one
		let_go tcp
	done <<-'END'
		tcp4 0.0.0.0 10.9.0.1
		tcp6 :: fd09::1
	END
}

@test "two local addresses have all ports of a pool that shares each" {
	daemon_end TERM
	printf '[pool sharers]\nports = 50600-50799\nudp-sharing = yes\n' >>"$PLACE/srcport.conf"
	daemon_start 4>&-
	while read -r kind own there _; do
		keep one --pool sharers -- -n 200 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $there 80" name
		keep two --pool sharers -- -n 200 "socket $kind" 'set noport 1' \
			"bind ${own%1}2 0" "connect $there 80" name
		names_are 400 50600 50799 one two
		no_twins "${kind%?}" 400
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

# A port that is not shared is one socket's at all addresses (ARCHITECTURE.md): what the
# second address has no port for, the kernel picks.
@test "where ports are not shared a second local address still gets one for each socket" {
	while read -r kind own there _; do
		keep one --pool unshared -- -n 200 "socket $kind" 'set noport 1' \
			"bind $own 0" "connect $there 80" name
		keep two --pool unshared -- -n 200 "socket $kind" 'set noport 1' \
			"bind ${own%1}2 0" "connect $there 80" name
		names_are 200 50400 50599 one
		names_are 200 1024 65535 two
		no_twins "${kind%?}" 400
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "where bind() takes them a second local address still gets one for each socket" {
	while read -r kind own there _; do
		keep one -- -n 200 "socket $kind" "bind $own 0" name
		keep two -- -n 200 "socket $kind" "bind ${own%1}2 0" name
		names_are 200 "$POOL_FROM" "$POOL_TO" one
		names_are 200 1024 65535 two
		exec 4>&-
		wait_until 5 no_port_held "$POOL_FROM" "$POOL_TO"
		exec 4<>"$PLACE/hold"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

# One that is not bound may come out at any address, so it meets both of the others.
@test "unbound sockets among those of two local addresses never collide" {
	while read -r kind own there _; do
		keep mixed -- -n 200 "socket $kind" "connect $there 80" name \
			"socket $kind" 'set noport 1' "bind $own 0" "connect $there 80" name \
			"socket $kind" 'set noport 1' "bind ${own%1}2 0" "connect $there 80" name
		names_are 600 1024 65535 mixed
		[ "$(names mixed | between "$POOL_FROM" "$POOL_TO")" -ge 200 ]
		no_twins tcp 600
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "unbound sockets and those bound to the address they would get share its ports" {
	for way in 'tcp4 10.9.0.1 10.9.0.2' 'tcp6 fd09::1 fd09::2'; do
		read -r kind own there <<<"$way"
		keep mixed -- -n 100 "socket $kind" "connect $there 80" name \
			"socket $kind" 'set noport 1' "bind $own 0" "connect $there 80" name
		names_are 200 "$POOL_FROM" "$POOL_TO" mixed
		no_twins tcp 200
		let_go tcp
	done
}

@test "without IPV6_V6ONLY a port is one that is free in both families" {
	in_place "$TOOLS/sink" 0.0.0.0 50310 50311 50312 50313 >"$PLACE/four" 3>&- 4>&- &
	in_place "$TOOLS/sink" fd09::1 50314 50315 50316 50317 >"$PLACE/six" 3>&- 4>&- &
	wait_until 5 grep -q ready "$PLACE/four"
	wait_until 5 grep -q ready "$PLACE/six"
	keep both --pool tcp6 -- -n 2 'socket tcp6' 'set v6only 0' 'bind :: 0' listen name
	names_are 2 50318 50319 both
	in_place "$TOOLS/shape" 'socket tcp4' 'connect 127.0.0.1 50318' established </dev/null
	in_place "$TOOLS/shape" 'socket tcp6' 'connect ::1 50319' established </dev/null
	keep four --pool tcp6 -- -n 3 'socket tcp4' 'connect 10.9.0.2 80' name
	[ "$(names four | between 50318 50319)" = 0 ]
}

@test "a port that the program chose is its own, and recorded as the program's" {
	while read -r kind own there _; do
		keep out -- "socket $kind" "bind $own 50007" "connect $there 80" name \
			"socket $kind" "bind $own 40007" "connect $there 80" name
		[ "$(names out)" = "$own 50007
$own 40007" ]
		keep more -- -n 199 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $there 80" name
		names_are 199 "$POOL_FROM" "$POOL_TO" more
		not_given 50007 more
		wait_until 5 recorded_as_program "$kind" 50007
		wait_until 5 recorded_as_program "$kind" 40007
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

# The last session that this port had in the test's namespace.
recorded_as_program() {
	local cookie
	cookie=$(in_place "$TOOLS/shape" 'socket tcp4' cookie </dev/null)
	[ "$(sessions "sport = $2 and proto = ${1%?} and netns = ${cookie#* }" picked_by |
		tail -n 1)" = program ]
}

@test "a socket with IP_LOCAL_PORT_RANGE keeps to the program's own range" {
	run in_place "$TOOLS/shape" 'socket tcp4' 'try set range 40000-40009'
	[ "$output" = 'set ok' ] || skip "IP_LOCAL_PORT_RANGE: ${output#set }"
	while read -r kind _ there _; do
		keep out -- -n 10 "socket $kind" 'set range 40000-40009' "connect $there 80" name
		names_are 10 40000 40009 out
		# As without srcport: there is no eleventh.
		shape -- "socket $kind" 'set range 40000-40009' "try connect $there 80" \
			>"$PLACE/eleventh" </dev/null
		[[ $(cat "$PLACE/eleventh") == 'connect E'* ]]
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "bind() to port 0 with IP_LOCAL_PORT_RANGE keeps to the program's own range" {
	run in_place "$TOOLS/shape" 'socket tcp4' 'try set range 40000-40009'
	[ "$output" = 'set ok' ] || skip "IP_LOCAL_PORT_RANGE: ${output#set }"
	while read -r kind own _; do
		keep out -- -n 10 "socket $kind" 'set range 40000-40009' "bind $own 0" name
		names_are 10 40000 40009 out
		exec 4>&-
		wait_until 5 no_port_held 40000 40009
		exec 4<>"$PLACE/hold"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

no_port_held() {
	! in_net ss -Htuan "sport >= $1 and sport <= $2" | grep -q .
}
