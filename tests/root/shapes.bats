#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The ways in which programs open sessions, and the port that each must get. The steps
# are those of tests/tools/shape. With RUN_WAITING=1 nothing is skipped that waits.

load helper

POOL_FROM=50000 POOL_TO=50199

# Ten ports for each kind of socket, a pool of that name: what one kind closed does not
# rest in the way of the next.
first_of() {
	case $1 in
	tcp4) echo 50300 ;;
	tcp6) echo 50310 ;;
	udp4) echo 50320 ;;
	udp6) echo 50330 ;;
	esac
}

last_of() {
	echo $(($(first_of "$1") + 9))
}

setup() {
	place_make
	{
		printf 'sharing = when-full\n'
		printf '[pool unshared]\nports = 50400-50599\nsharing = never\n'
		for kind in tcp4 tcp6 udp4 udp6; do
			printf '[pool %s]\nports = %s-%s\n' "$kind" "$(first_of "$kind")" \
				"$(last_of "$kind")"
		done
	} >>"$PLACE/srcport.conf"
	for last in 101 102; do
		in_net ip address add "10.9.0.$last/24" dev out
		in_net ip address add "fd09::$last/64" dev out nodad
	done
	in_net ip neighbour add fd09::3 lladdr 02:00:00:00:00:99 dev out
	daemon_start
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
}

teardown() {
	exec 4>&-
	place_remove
}

waits_for() {
	[ -n "$RUN_WAITING" ] || skip "waits for $1"
}

# shape [OPTION...] -- STEP...: under srcport run.
shape() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	managed "${options[@]}" -- "$TOOLS/shape" "$@" 4>&-
}

# keep NAME [OPTION...] -- STEP...: in the background until let_go; what it says is in
# the file NAME of the place.
keep() {
	local file=$PLACE/$1 options=()
	shift
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	: >"$file" # it may have been another's before
	managed "${options[@]}" -- "$TOOLS/shape" -w "$@" \
		<"$PLACE/hold" >"$file" 3>&- 4>&- &
	wait_until 20 grep -q ready "$file"
}

# let_go PROTOCOL: wait until no such socket has a peer any more.
let_go() {
	exec 4>&-
	wait_until 5 nobody_has_a_peer "$1"
	exec 4<>"$PLACE/hold"
}

nobody_has_a_peer() {
	! tuples "$1" | grep -q .
}

# The tuples of sockets that connect or are connected, in the words of the kernel.
tuples() {
	in_net ss -Hna "--$1" | awk '$1 ~ /SYN-SENT|ESTAB/ { print $4, $5 }' |
		sed 's/\[::ffff:\([0-9.]*\)\]/\1/g; s/%[a-z]*//g'
}

no_twins() {
	tuples "$1" >"$PLACE/kernel"
	[ "$(line_count "$PLACE/kernel")" = "$2" ]
	no_tuple_twice "$PLACE/kernel"
}

# What getsockname(2) said in these files: "ADDRESS PORT".
names() {
	sed -n 's/^name //p' "${@/#/$PLACE/}"
}

# between FROM TO: how many of the names on stdin have such a port.
between() {
	awk -v from="$1" -v to="$2" '$2 >= from && $2 <= to { count++ } END { print count + 0 }'
}

# names_are COUNT FROM TO FILE...: so many, all with such ports, none twice.
names_are() {
	names "${@:4}" >"$PLACE/names"
	if [ "$(between "$2" "$3" <"$PLACE/names")" != "$1" ] ||
		[ "$(line_count "$PLACE/names")" != "$1" ]; then
		echo "$(between "$2" "$3" <"$PLACE/names") of $(line_count "$PLACE/names")" \
			"names have ports $2-$3, not $1" >&2
		return 1
	fi
	no_tuple_twice "$PLACE/names"
}

# in_ten KIND: how many of the names on stdin have a port of the pool of this kind.
in_ten() {
	between "$(first_of "$1")" "$(last_of "$1")"
}

# ten_are COUNT KIND FILE...: as names_are, of the pool of this kind.
ten_are() {
	names_are "$1" "$(first_of "$2")" "$(last_of "$2")" "${@:3}"
}

# Not "!" in a test: it does not end one.
not_given() {
	! names "${@:2}" | grep " $1\$" >&2
}

# listener KIND ADDRESS PORT [STEP...]: of a program that nobody manages.
listener() {
	in_place "$TOOLS/shape" -w "socket $1" "${@:4}" "bind $2 $3" listen \
		<"$PLACE/hold" >"$PLACE/listener.$3" 3>&- 4>&- &
	wait_until 5 grep -q ready "$PLACE/listener.$3"
}

# Each way of bind() that a program has: kind, own address, two that are elsewhere.
ways_of() {
	for kind; do
		case $kind in
		*4) echo "$kind 10.9.0.101 10.9.0.2 10.9.0.3" ;;
		*6) echo "$kind fd09::101 fd09::2 fd09::3" ;;
		esac
	done
}

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
	waits_for 'a bound port that stays exclusive when it connects'
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

@test "two local addresses have all ports of the pool each" {
	waits_for 'a port space for each local address'
	while read -r kind own there _; do
		keep one -- -n 200 "socket $kind" 'set noport 1' "bind $own 0" \
			"connect $there 80" name
		keep two -- -n 200 "socket $kind" 'set noport 1' "bind ${own%1}2 0" \
			"connect $there 80" name
		names_are 400 "$POOL_FROM" "$POOL_TO" one two
		no_twins "${kind%?}" 400
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "two local addresses have all ports of a pool that is never shared each" {
	waits_for 'a port space for each local address'
	while read -r kind own there _; do
		keep one --pool unshared -- -n 200 "socket $kind" 'set noport 1' \
			"bind $own 0" "connect $there 80" name
		keep two --pool unshared -- -n 200 "socket $kind" 'set noport 1' \
			"bind ${own%1}2 0" "connect $there 80" name
		names_are 400 50400 50599 one two
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "two local addresses have all ports each where bind() takes them" {
	waits_for 'a port space for each local address'
	while read -r kind own there _; do
		keep one -- -n 200 "socket $kind" "bind $own 0" name
		keep two -- -n 200 "socket $kind" "bind ${own%1}2 0" name
		names_are 400 "$POOL_FROM" "$POOL_TO" one two
		let_go tcp
	done < <(ways_of tcp4 tcp6)
}

@test "unbound sockets among those of two local addresses never collide" {
	waits_for 'a port space for each local address'
	while read -r kind own there _; do
		keep mixed -- -n 200 "socket $kind" "connect $there 80" name \
			"socket $kind" 'set noport 1' "bind $own 0" "connect $there 80" name \
			"socket $kind" 'set noport 1' "bind ${own%1}2 0" "connect $there 80" name
		names_are 600 "$POOL_FROM" "$POOL_TO" mixed
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
	run in_place "$TOOLS/shape" 'socket tcp4' 'try set range 60000-60009'
	[ "$output" = 'set ok' ] || skip "IP_LOCAL_PORT_RANGE: ${output#set }"
	waits_for 'the connect hook to see IP_LOCAL_PORT_RANGE'
	while read -r kind _ there _; do
		keep out -- -n 10 "socket $kind" 'set range 60000-60009' "connect $there 80" name
		names_are 10 60000 60009 out
		# As without srcport: there is no eleventh.
		shape -- "socket $kind" 'set range 60000-60009' "try connect $there 80" \
			>"$PLACE/eleventh" </dev/null
		[[ $(cat "$PLACE/eleventh") == 'connect E'* ]]
		let_go "${kind%?}"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

@test "bind() to port 0 with IP_LOCAL_PORT_RANGE keeps to the program's own range" {
	run in_place "$TOOLS/shape" 'socket tcp4' 'try set range 60000-60009'
	[ "$output" = 'set ok' ] || skip "IP_LOCAL_PORT_RANGE: ${output#set }"
	waits_for 'the bind hook to see IP_LOCAL_PORT_RANGE'
	while read -r kind own _; do
		keep out -- -n 10 "socket $kind" 'set range 60000-60009' "bind $own 0" name
		names_are 10 60000 60009 out
		exec 4>&-
		wait_until 5 no_port_held 60000 60009
		exec 4<>"$PLACE/hold"
	done < <(ways_of tcp4 tcp6 udp4 udp6)
}

no_port_held() {
	! in_net ss -Htuan "sport >= $1 and sport <= $2" | grep -q .
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
	waits_for 'udp-sharing'
	daemon_end TERM
	printf '[pool sharers]\nports = 50600-50609\nudp-sharing = yes\n' >>"$PLACE/srcport.conf"
	daemon_start
	while read -r kind _ one two; do
		keep out --pool sharers -- -n 10 "socket $kind" "connect $one 53" name \
			"socket $kind" "connect $two 53" name
		[ "$(names out | between 50600 50609)" = 20 ]
		no_twins udp 20
		keep again --pool sharers -- -n 10 "socket $kind" "try connect ${one}0 53" \
			"try connect $one 53" disconnect "try connect $two 53"
		[ -z "$(tuples udp | sort | uniq -d)" ]
		let_go udp
	done < <(ways_of udp4 udp6)
}

@test "with sharing never SO_REUSEADDR is off after connect(), whatever was set before" {
	waits_for 'never to clear SO_REUSEADDR'
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
	waits_for 'never to clear SO_REUSEADDR'
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
