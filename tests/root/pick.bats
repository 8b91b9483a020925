#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What programs under srcport run see of their source ports.

load helper

setup() {
	place_make
	daemon_start
}

teardown() {
	place_remove
}

@test "16384 sessions to one destination take each port of the pool once" {
	mkfifo "$PLACE/hold"
	managed -- "$TOOLS/connector" -n 16384 -w 10.9.0.2 80 \
		<"$PLACE/hold" >"$PLACE/tuples" 3>&- &
	exec 4>"$PLACE/hold"
	wait_until 30 grep -q ready "$PLACE/tuples"
	in_net ss -Htan state syn-sent dst 10.9.0.2 >"$PLACE/kernel"
	exec 4>&-
	wait $!
	sed -i '/ready/d' "$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 16384 ]
	all_in_pool "$PLACE/tuples"
	no_tuple_twice "$PLACE/tuples"
	awk '{ sub(/.*:/, "", $3); print $3 }' "$PLACE/kernel" | sort >"$PLACE/kernel.ports"
	awk '{ print $2 }' "$PLACE/tuples" | sort | cmp - "$PLACE/kernel.ports"
}

@test "three processes at once get 16384 sessions each and no tuple twice" {
	local jobs=()
	mkfifo "$PLACE/hold"
	for last in 2 3 4; do
		managed -- "$TOOLS/connector" -n 16384 -w "10.9.0.$last" 80 \
			<"$PLACE/hold" >"$PLACE/tuples.$last" 3>&- &
		jobs+=($!)
	done
	exec 4>"$PLACE/hold"
	for last in 2 3 4; do
		wait_until 60 grep -q ready "$PLACE/tuples.$last"
	done
	in_net ss -Htan state syn-sent | awk '{ print $3, $4 }' >"$PLACE/kernel"
	exec 4>&-
	for job in "${jobs[@]}"; do
		wait "$job"
	done
	sed '/ready/d' "$PLACE"/tuples.* >"$PLACE/all"
	[ "$(line_count "$PLACE/all")" = 49152 ]
	all_in_pool "$PLACE/all"
	no_tuple_twice "$PLACE/all"
	[ "$(sort -u "$PLACE/kernel" | wc -l)" = 49152 ]
}

@test "a UDP destination gives each port of the pool once" {
	managed -- "$TOOLS/connector" -t udp -n 16384 10.9.0.2 53 >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 16384 ]
	all_in_pool "$PLACE/tuples"
	no_tuple_twice "$PLACE/tuples"
}

@test "closing and opening at random in a full pool never fails" {
	managed --ports 50000-50999 -- "$TOOLS/connector" -n 999 -c 5000 10.9.0.2 80 \
		>"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 5999 ]
	all_in_pool "$PLACE/tuples" 50000 50999
}

@test "curl takes its port from the pool" {
	sink_python
	managed -- curl -s -o /dev/null -w '0 %{local_port}\n' http://127.0.0.1:8080/ \
		>"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
}

sink_python() {
	in_place python3 -m http.server --bind 127.0.0.1 8080 >/dev/null 2>&1 3>&- &
	wait_until 10 in_net sh -c 'ss -Htln sport = 8080 | grep -q 8080'
}

@test "python3 takes its port from the pool" {
	sink_start -e 127.0.0.1 7000
	managed -- python3 -c '
import socket
print(*socket.create_connection(("127.0.0.1", 7000)).getsockname())' >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
}

@test "nc takes its port from the pool" {
	sink_start -c 127.0.0.1 7000
	managed -- nc -N 127.0.0.1 7000 </dev/null
	wait_until 3 has_session 'comm = nc'
	sessions 'comm = nc' src sport >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 1 ]
	all_in_pool "$PLACE/tuples"
}

has_session() {
	[ -n "$(sessions "$1" sport)" ]
}

@test "a statically linked program takes its port from the pool" {
	sink_start -e 127.0.0.1 7000
	managed -- "$TOOLS/connector-static" -e 127.0.0.1 7000 >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 1 ]
	all_in_pool "$PLACE/tuples"
}

@test "dig over UDP takes its port from the pool and gets its answer" {
	in_place dnsmasq --keep-in-foreground --no-hosts --no-resolv --user=root --port=5353 \
		--listen-address=127.0.0.1 --bind-interfaces --pid-file \
		--address=/example.test/192.0.2.7 >/dev/null 2>&1 3>&- &
	wait_until 5 in_net sh -c 'ss -Hulnp sport = 5353 | grep -q 5353'
	run managed -- dig +short +time=2 +tries=2 -p 5353 @127.0.0.1 example.test
	[ "$output" = 192.0.2.7 ]
	wait_until 3 has_session 'dport = 5353'
	sessions 'dport = 5353 and proto = udp' src sport picked_by >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples"
}

@test "an IPv6 client takes its port from the pool" {
	sink_start -e ::1 7000
	managed -- "$TOOLS/connector" -n 50 -e ::1 7000 >"$PLACE/tuples"
	managed -- "$TOOLS/connector" -t udp -n 50 fd09::2 53 >>"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 100 ]
	all_in_pool "$PLACE/tuples"
}

@test "a v4-mapped client and an IPv4 client share no tuple" {
	managed --ports 50000-50999 -- sh -c '
		sleep 3 | "$1" -n 500 -w 10.9.0.2 80 >"$2/v4" &
		sleep 3 | "$1" -n 500 -w ::ffff:10.9.0.2 80 >"$2/mapped"
		wait' sh "$TOOLS/connector" "$PLACE"
	sed /ready/d "$PLACE/v4" "$PLACE/mapped" >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 1000 ]
	all_in_pool "$PLACE/tuples" 50000 50999
	no_tuple_twice "$PLACE/tuples"
}

@test "two runs at once keep to their own ports" {
	managed --ports 50000-50999 -- "$TOOLS/connector" -n 900 -w 10.9.0.2 80 \
		< <(sleep 3) >"$PLACE/one" 3>&- &
	local one=$!
	managed --ports 51000-51999 -- "$TOOLS/connector" -n 900 10.9.0.2 80 >"$PLACE/two"
	wait "$one"
	sed -i /ready/d "$PLACE/one"
	[ "$(line_count "$PLACE/one")" = 900 ]
	[ "$(line_count "$PLACE/two")" = 900 ]
	all_in_pool "$PLACE/one" 50000 50999
	all_in_pool "$PLACE/two" 51000 51999
}

@test "children of the command take their ports from the pool too" {
	managed --ports 50000-50999 -- sh -c '"$1" 10.9.0.2 80; ("$1" 10.9.0.2 81; (:))' \
		sh "$TOOLS/connector" >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 2 ]
	all_in_pool "$PLACE/tuples" 50000 50999
}

@test "a program outside srcport run keeps the kernel's ports" {
	in_place "$TOOLS/connector" -n 100 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 32768 49151
}

@test "a port that a listener holds is never given" {
	in_place "$TOOLS/sink" 0.0.0.0 50001 >"$PLACE/sink.out" 3>&- &
	wait_until 5 grep -q ready "$PLACE/sink.out"
	managed --ports 50000-50009 -- "$TOOLS/connector" -n 9 10.9.0.2 80 >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 9 ]
	all_in_pool "$PLACE/tuples" 50000 50009
	! grep -q ' 50001 ' "$PLACE/tuples"
}

@test "a full pool leaves the next session to the kernel" {
	managed --ports 50000-50009 -- "$TOOLS/connector" -n 12 10.9.0.2 80 >"$PLACE/tuples"
	[ "$(awk '$2 >= 50000 && $2 <= 50009' "$PLACE/tuples" | wc -l)" = 10 ]
	[ "$(awk '$2 >= 32768 && $2 <= 49151' "$PLACE/tuples" | wc -l)" = 2 ]
}
