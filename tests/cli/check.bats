#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# srcport check: a policy, and what is wrong with it.

load helper

setup() {
	place_make
	policy=$PLACE/srcport.conf
}

teardown() {
	place_remove
}

@test "a policy without errors is 0 and none is said" {
	printf '[pool default]\nports = 49152-60999\n' >"$policy"
	run srcport check "$policy"
	[ "$status" = 0 ]
	[[ $output != *error:* ]]
}

@test "every error is named with file and line and the status is 1" {
	printf '[pool default]\nports = 60000-50000\nquarantine = soon\n' >"$policy"
	run srcport check "$policy"
	[ "$status" = 1 ]
	grep -q "^$policy:2: error: " <<<"$output"
	grep -q "^$policy:3: error: " <<<"$output"
}

@test "a warning alone is 0" {
	printf '[pool default]\nports = 61000-65535\n' >"$policy"
	run srcport check "$policy"
	[ "$status" = 0 ]
	grep -q 'warning: ' <<<"$output"
}

@test "as JSON each note is an object with file, line, severity and message" {
	printf '[pool default]\ncolour = red\n' >"$policy"
	run srcport check --json "$policy"
	[ "$status" = 1 ]
	python3 - "$policy" <<<"" "$output" <<'PYTHON'
import json, sys
note = json.loads(sys.argv[2].splitlines()[0])
assert note["file"] == sys.argv[1], note
assert note["line"] == 2, note
assert note["severity"] == "error", note
assert "colour" in note["message"], note
PYTHON
}

@test "as JSON a name that is not UTF-8 is told, and so is a path in the policy" {
	printf '[rule r]\npool = kernel\nexe = /nonexistent/\xff\n' >"$PLACE/"$'\xff'
	run srcport check --json "$PLACE/"$'\xff'
	[ "$status" = 0 ]
	python3 -c '
import json, sys
note = json.loads(sys.argv[1])
assert note["file"].endswith("/\ufffd"), note
assert note["line"] == 1 and "/nonexistent/?" in note["message"], note' "$output"
}

@test "a file that is not there is 2 and named" {
	run srcport check "$PLACE/nothing.conf"
	[ "$status" = 2 ]
	[[ $output == *"$PLACE/nothing.conf"* ]]
}

@test "a folder and a file of the wrong kind are no policy" {
	run srcport check "$PLACE"
	[ "$status" != 0 ]
	head -c 2000 /dev/urandom >"$policy"
	run srcport check "$policy"
	[ "$status" = 1 ]
}

@test "notes come in the order of their lines" {
	cat >"$policy" <<-'POLICY'
		[rule first]
		pool = nowhere
		[pool a]
		ports = 5
		[rule last]
		uid = 0
	POLICY
	run srcport check "$policy"
	[ "$status" = 1 ]
	[ "$(cut -d: -f2 <<<"$output" | tr '\n' ' ')" = '2 4 5 ' ]
}

@test "a user, a program and a namespace that are not there are warned of with their line" {
	printf '#!/bin/sh\n' >"$PLACE/script"
	chmod +x "$PLACE/script"
	cat >"$policy" <<-POLICY
		[rule user]
		uid = 4123456789
		pool = kernel
		[rule exe]
		exe = /nonexistent/program
		pool = kernel
		[rule folder]
		exe = /usr
		pool = kernel
		[rule script]
		exe = $PLACE/script
		pool = kernel
		[rule name]
		netns = srcport-no-such-namespace
		pool = kernel
		[rule path]
		netns = /nonexistent/ns
		pool = kernel
	POLICY
	run srcport check "$policy"
	[ "$status" = 0 ]
	grep -q "^$policy:1: warning: rule user: no user .* uid 4123456789" <<<"$output"
	grep -q "^$policy:4: warning: rule exe: .*/nonexistent/program" <<<"$output"
	grep -q "^$policy:7: warning: rule folder: /usr is not a program" <<<"$output"
	grep -q "^$policy:10: warning: rule script: $PLACE/script is a script" <<<"$output"
	grep -q "^$policy:13: warning: rule name: .*/run/netns/srcport-no" <<<"$output"
	grep -q "^$policy:16: warning: rule path: .*/nonexistent/ns" <<<"$output"
}

@test "what is there is not warned of" {
	cat >"$policy" <<-'POLICY'
		[rule all]
		uid = 0
		exe = /bin/sh
		netns = /proc/self/ns/net
		pool = kernel
		[rule host]
		netns = host
		pool = kernel
	POLICY
	run srcport check "$policy"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

@test "a pool in the kernel's own range is warned of, unless the range is adjusted" {
	read -r from to </proc/sys/net/ipv4/ip_local_port_range
	printf '[pool default]\nports = %s\n' "$to" >"$policy"
	run srcport check "$policy"
	[ "$status" = 0 ]
	grep -q "^$policy:1: warning: pool default: the kernel gives $from-$to" <<<"$output"
	printf '[guard]\nkernel-range = adjust\n' >>"$policy"
	run srcport check "$policy"
	[[ $output != *"the kernel gives"* ]]
}

@test "a rule behind one that fits all that it fits is warned of, and both are named" {
	printf '[rule wide]\npool = kernel\n[rule narrow]\nuid = 0\npool = kernel\n' >"$policy"
	run srcport check "$policy"
	[ "$status" = 0 ]
	grep -q "^$policy:3: warning: rule narrow is never reached.*rule wide (line 1)" \
		<<<"$output"
}

# Hold three UDP sessions to 127.0.0.3:9 while the command runs.
with_sessions() {
	python3 - "$@" <<'PYTHON'
import socket, subprocess, sys
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
for one in sockets:
    one.connect(("127.0.0.3", 9))
sys.exit(subprocess.run(sys.argv[1:]).returncode)
PYTHON
}

@test "a pool with fewer ports than the sessions open now is warned of" {
	# shellcheck disable=SC2016 # the policy's text
	write_policy() {
		printf '[rule r]\ndestination = 127.0.0.3:9\nprotocol = udp\npool = a\n[pool a]\nports = %s\n[ledger]\npath = %s\n' \
			"$1" "$PLACE/nothing" >"$policy"
	}
	write_policy 20000-20001
	run with_sessions "$BUILD/srcport" check "$policy"
	[ "$status" = 0 ]
	grep -q "^$policy:5: warning: pool a has 2 ports, but 3 udp sessions" <<<"$output"
	write_policy 20000-20002
	run with_sessions "$BUILD/srcport" check "$policy"
	[ "$status" = 0 ]
	[[ $output != *"pool a has"* ]]
}
