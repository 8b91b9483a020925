#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What srcport says to a person who asks for help, or in the wrong way.

load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

@test "help lists every command on standard output" {
	run srcport --help
	[ "$status" = 0 ]
	for command in run who sessions pools why check reload on off status; do
		grep -q "^  $command " <<<"$output"
		run srcport "$command" --help
		[ "$status" = 0 ]
		[[ $output == "usage: srcport $command "* ]]
		run srcport --help
	done
}

@test "without a command the help goes to standard error and the status is 2" {
	run srcport
	[ "$status" = 2 ]
	[ -z "$("$BUILD/srcport" 2>/dev/null)" ]
}

@test "a command that does not exist is named and the status is 2" {
	run srcport whom
	[ "$status" = 2 ]
	[[ $output == *whom* ]]
}

@test "an option that does not exist is named" {
	run srcport who --bogus 443
	[ "$status" = 2 ]
	[[ $output == *--bogus* ]]
	run srcport run --bogus true
	[ "$status" = 125 ]
	[[ $output == *--bogus* ]]
}

@test "an option without its value is named" {
	run srcport who 443 --at
	[ "$status" = 2 ]
	[[ $output == *--at*TIME* ]]
}

@test "options of every command also stand before it" {
	unset SRCPORT_SOCKET SRCPORT_STATE
	run srcport --socket "$PLACE/other" --json status
	[ "$status" = 1 ]
	[ "$output" = '{"running":false}' ]
	run srcport --state "$PLACE/elsewhere" --socket="$PLACE/other" who 50000
	[ "$status" = 2 ]
	[[ $output == *"$PLACE/elsewhere/ledger"* ]]
	run srcport --socket "$PLACE/other" run --ports fifty true
	[ "$status" = 125 ]
	run srcport --help who
	[ "$status" = 0 ]
	[[ $output == 'usage: srcport who '* ]]
	run srcport --at now who 50000
	[ "$status" = 2 ]
	[[ $output == *--at* ]]
	run srcport --socket
	[ "$status" = 2 ]
	[[ $output == *--socket*PATH* ]]
}

@test "the version has a number, in both programs" {
	run srcport --version
	[ "$status" = 0 ]
	[[ $output =~ ^srcport\ [0-9] ]]
	run "$BUILD/srcportd" --version
	[ "$status" = 0 ]
	[[ $output =~ ^srcportd\ [0-9] ]]
}

@test "who refuses what is no port and names it" {
	for argument in 0 65536 -1 http '' 10.0.0.1: 10.0.0.300:80 80/sctp; do
		run srcport who -- "$argument"
		[ "$status" = 2 ]
		[[ $output == *"$argument"* ]]
	done
	run srcport who
	[ "$status" = 2 ]
}

@test "sessions refuses a filter that it cannot read, and says where" {
	run srcport sessions 'sport >= 50000 and colour = red'
	[ "$status" = 2 ]
	[[ $output == *column*22* || $output == *colour* ]]
}

@test "sessions refuses what is no time" {
	for option in --since --until --at; do
		run srcport sessions "$option" 'the other day'
		[ "$status" = 2 ]
		[[ $output == *"$option"* ]]
	done
	run srcport sessions --since '1h ago' --until '2h ago'
	[ "$status" = 2 ]
	run srcport sessions --since '1h ago' --at now
	[ "$status" = 2 ]
}

@test "status is 1 where no daemon runs, as text and as JSON" {
	run srcport status
	[ "$status" = 1 ]
	[ "$output" = "srcportd  not running: nobody answers at $SRCPORT_SOCKET" ]
	[ -z "$(srcport status 2>&1 >/dev/null)" ]
	run srcport status --json
	[ "$status" = 1 ]
	[ "$output" = '{"running":false}' ]
}

@test "srcportd takes no arguments" {
	run "$BUILD/srcportd" start
	[ "$status" = 2 ]
	[[ $output == *start* ]]
	nothing_changed
}

@test "srcportd without privilege says what it needs and changes nothing" {
	run unprivileged srcportd --state "$SRCPORT_STATE" --socket "$SRCPORT_SOCKET"
	[ "$status" = 2 ]
	[[ $output == *root* ]]
	nothing_changed
}

@test "output that could not be written is a failure" {
	for command in --help --version status 'status --json' 'sessions --json' check 'who --help'; do
		status=0
		srcport $command >/dev/full 2>"$PLACE/err" || status=$?
		[ "$status" = 2 ]
		grep -q 'standard output: ' "$PLACE/err"
	done
	status=0
	srcport run --help >/dev/full 2>&1 || status=$?
	[ "$status" = 125 ]
}

@test "nothing that is printed goes to a socket when standard output is closed" {
	python3 - "$SRCPORT_SOCKET" >"$PLACE/asked" 3>&- <<'PYTHON' &
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
client, _ = server.accept()
lines = client.makefile()
print(lines.readline(), end="")
item = '{"id":1,"item":{"sport":50000}}\n' * 500
client.sendall((item + '{"id":1,"done":true,"complete":true,"gaps":[]}\n').encode())
client.settimeout(5)
print(lines.read(), end="")
PYTHON
	local server=$!
	until [ -S "$SRCPORT_SOCKET" ]; do sleep 0.05; done
	status=0
	timeout 10 "$BUILD/srcport" sessions --json 0<&- 1>&- 2>&- || status=$?
	wait "$server"
	[ "$status" = 2 ]
	[ "$(wc -l <"$PLACE/asked")" = 1 ]
}
