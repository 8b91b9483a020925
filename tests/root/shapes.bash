# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# shapes.bash - for the tests of the ways in which programs open sessions: their place,
# programs of steps (tests/tools/shape) under srcport run, and what they said.

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
