#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# A host behind a shared address (MAP-E, lw4o6) keeps to its own ports: those given are
# the set of RFC 7597, 5.1, no more and no less. The test takes the set from the bits of
# each port.

load helper

setup() {
	place_make
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
}

teardown() {
	exec 4>&-
	place_remove
}

# The ports whose OFFSET first bits are not all zero and whose next LENGTH are PSID;
# those below 1024 are never given.
set_of() {
	awk -v offset="$1" -v bits="$2" -v psid="$3" '
		function bits_of(port, first, count) {
			return int(port / 2 ^ (16 - first - count)) % 2 ^ count
		}
		BEGIN {
			for (port = 1024; port < 65536; port++)
				if (bits_of(port, offset, bits) == psid &&
				    (!offset || bits_of(port, 0, offset) > 0))
					print port
		}'
}

# given PROTOCOL ADDRESS...: the ports of so many sockets to each that all are taken.
given() {
	local protocol=$1 address count
	count=$(line_count "$PLACE/set")
	shift
	for address; do
		in_place "$TOOLS/connector" -t "$protocol" -n "$count" -w "$address" 80 \
			<"$PLACE/hold" >"$PLACE/$protocol.$address" 3>&- 4>&- &
		wait_until 20 grep -q ready "$PLACE/$protocol.$address"
		sed '/ready/d' "$PLACE/$protocol.$address" | awk '{ print $2 }'
	done
}

# Numbers on standard input: are they the set?
is_the_set() {
	sort -n >"$PLACE/sorted"
	cmp -s "$PLACE/set" "$PLACE/sorted" && return
	echo "$1: $(comm -13 <(sort "$PLACE/set") <(sort "$PLACE/sorted") | wc -l) too many," \
		"$(comm -23 <(sort "$PLACE/set") <(sort "$PLACE/sorted") | wc -l) missing" >&2
	return 1
}

# Nothing is shared in a namespace before the daemon has looked through it, at most a
# second after the first session.
get_known() {
	in_place "$TOOLS/connector" 10.9.0.9 80 >/dev/null
	in_place "$TOOLS/connector" -t udp 10.9.0.9 80 >/dev/null
	sleep 1.5
}

# gives_exactly OFFSET LENGTH PSID COUNT: to TCP by three destinations, to UDP, which
# does not share, by one in each family, and by bind() to port 0.
gives_exactly() {
	local address
	set_of "$1" "$2" "$3" >"$PLACE/set"
	[ "$(line_count "$PLACE/set")" = "$4" ]
	printf '[pool default]\nports = 1024-65535\npsid = %d,%d,%d\n' "$1" "$2" "$3" \
		>"$PLACE/srcport.conf"
	daemon_start --manage-all 4>&-
	get_known
	given tcp 10.9.0.2 10.9.0.3 fd09::2 >"$PLACE/tcp"
	[ "$(line_count "$PLACE/tcp")" = $((3 * $4)) ]
	sort -u "$PLACE/tcp" | is_the_set TCP
	for address in 10.9.0.2 fd09::2; do
		given udp "$address" | is_the_set "UDP to $address"
		let_go
	done
	in_place "$TOOLS/shape" -n "$4" 'socket tcp4' 'bind 0.0.0.0 0' name \
		'socket udp6' 'bind :: 0' name </dev/null >"$PLACE/bound"
	sed -n 's/^name 0.0.0.0 //p' "$PLACE/bound" | is_the_set 'bind() of TCP'
	sed -n 's/^name :: //p' "$PLACE/bound" | is_the_set 'bind() of UDP'
}

let_go() {
	exec 4>&-
	wait_until 10 nothing_is_held
	exec 4<>"$PLACE/hold"
}

nothing_is_held() {
	! in_net ss -Htuan state all | grep -q .
}

@test "with psid = 6,8,52 the ports given are exactly the RFC's 252" {
	gives_exactly 6 8 52 252
}

@test "with psid = 4,8,1 the ports given are exactly the RFC's 240" {
	gives_exactly 4 8 1 240
}

@test "with psid = 0,4,3 the ports given are exactly the RFC's 4,096" {
	gives_exactly 0 4 3 4096
}
