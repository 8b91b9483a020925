#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The commands that ask a running srcportd: what they refuse themselves, what they say
# where none runs, and how they show its answers.

load helper
bats_require_minimum_version 1.5.0

setup() {
	place_make
}

teardown() {
	[ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null || true
	place_remove
}

# answer LINE...: a server that gives these lines to whoever asks, and keeps the request.
answer() {
	printf '%s\n' "$@" >"$PLACE/answer"
	python3 - "$SRCPORT_SOCKET" "$PLACE" 3>&- <<'PYTHON' &
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
while True:
    client, _ = server.accept()
    with open(sys.argv[2] + "/request", "w") as request:
        request.write(client.makefile().readline())
    client.sendall(open(sys.argv[2] + "/answer", "rb").read())
    client.close()
PYTHON
	SERVER=$!
	until [ -S "$SRCPORT_SOCKET" ]; do sleep 0.05; done
}

@test "help COMMAND is COMMAND --help" {
	for command in pools why reload on off; do
		[ "$(srcport help $command)" = "$(srcport $command --help)" ]
	done
	[ "$(srcport help)" = "$(srcport --help)" ]
	run srcport help nothing
	[ "$status" = 2 ]
	[[ $output == *nothing* ]]
}

@test "without a daemon each says so, and is 2" {
	for command in pools reload on off 'why 10.0.0.1:80' 'pools --json'; do
		run --separate-stderr srcport $command
		[ "$status" = 2 ]
		[ -z "$output" ]
		[ "$stderr" = "srcport: srcportd is not running: nobody answers at $SRCPORT_SOCKET" ]
	done
}

@test "arguments that a command does not take are named" {
	for command in 'reload now' 'on now' 'off now' 'pools a now' 'why 10.0.0.1:80 now'; do
		run srcport $command
		[ "$status" = 2 ]
		[[ $output == *now* || $output == *takes\ one* || $output == *'name of one'* ]]
	done
	run srcport why
	[ "$status" = 2 ]
}

@test "why refuses what is no destination, and names it" {
	for target in 80 10.0.0.1 10.0.0.1: 10.0.0.1:0 10.0.0.1:65536 10.0.0.300:80 :80 \
		'10.0.0.1:80/sctp' '10.0.0.1:80/' example.org:80 '' "$(printf 'x%.0s' {1..200})"; do
		run srcport why -- "$target"
		[ "$status" = 2 ]
		[[ $output == *"${target:0:40}"* ]]
	done
	for pid in 0 -1 me 99999999999999999999 1x ''; do
		run srcport why 10.0.0.1:80 --pid "$pid"
		[ "$status" = 2 ]
		[[ $output == *--pid* ]]
	done
}

@test "why asks for address, port, protocol and pid" {
	answer '{"id":1,"done":true,"dst":"fd09::1","dport":53,"proto":"udp","text":"x","has_port":true}'
	run srcport why '[fd09::1]:53/udp' --pid 77
	[ "$status" = 0 ]
	python3 -c '
import json, sys
request = json.load(open(sys.argv[1]))
assert request["method"] == "why" and request["params"] == {"address": "fd09::1", "port": 53, "protocol": "udp", "pid": 77}
' "$PLACE/request"
	[[ ${lines[0]} == '[fd09::1]:53/udp: x' ]]
}

@test "why is 1 where there is no port, whatever the format" {
	answer '{"id":1,"done":true,"dst":"10.0.0.1","dport":80,"proto":"tcp","text":"EADDRNOTAVAIL: pool exhausted","has_port":false,"pool":"default","rule":"all","outlook":{"unused":0,"shared":0,"taken":4,"resting":0,"aside":0,"is_used_there":true},"notices":[{"time":"2026-01-01T00:00:00Z","kind":"refused","reason":"full","pid":5,"comm":"a\u001bb"}]}'
	run srcport why 10.0.0.1:80
	[ "$status" = 1 ]
	[[ $output == *'pool exhausted'*'4 taken'*'refused: full, pid 5 (a\x1bb)'* ]]
	run srcport why 10.0.0.1:80 --json
	[ "$status" = 1 ]
	[ "$(wc -l <<<"$output")" = 1 ]
	python3 -c 'import json, sys; assert json.loads(sys.argv[1])["outlook"]["taken"] == 4' "$output"
}

@test "reload shows each fault on standard error and is 2" {
	answer '{"id":1,"item":{"message":"/etc/x:3: one"}}' '{"id":1,"item":{"message":"/etc/x:7: two"}}' \
		'{"id":1,"error":{"code":"bad-policy","message":"/etc/x has a fault: the running policy stays","where":null}}'
	run --separate-stderr srcport reload
	[ "$status" = 2 ]
	[ -z "$output" ]
	[ "${stderr_lines[0]}" = 'srcport: /etc/x:3: one' ]
	[ "${stderr_lines[1]}" = 'srcport: /etc/x:7: two' ]
	[[ ${stderr_lines[2]} == *'running policy stays' ]]
}

@test "pools shows what is not known as a dash, and the memory last" {
	answer '{"id":1,"item":{"name":"default","capacity":100,"busiest":40,"held":41,"leases":43,"resting":7,"picks_per_second":2.5,"shared":1,"early_reuses":0,"conflicts":0,"fallbacks":3,"refusals":0,"by_reason":{"full":3,"quota":0},"forecast":null,"ports":"50000-50099","algorithm":"random","sharing":"when-full","exhausted":"kernel","quota":null,"rules":1,"runs":0,"busiest_destination":{"dst":"10.0.0.2","dport":80,"proto":"tcp","sessions":40,"open":60,"forecast":90.0},"holds_most":{"pid":null,"comm":null,"exe":null,"uid":33,"user":null,"sessions":40},"told_by":"sock_diag","reuse_distance":null,"rest":null}}' \
		'{"id":1,"done":true,"memory":{"total":2048,"per_port":16,"per_shared":32,"per_resting":40,"recorder":null}}'
	run srcport pools
	[ "$status" = 0 ]
	[[ ${lines[1]} =~ ^default\ +100\ +40\ +41\ +43\ +7\ +2\.5\ +1\ +0\ +0\ +3\ +0\ +-$ ]]
	[[ $output == *'left out     full 3'* ]]
	[[ $output == *'10.0.0.2:80/tcp: 40 sessions, 60 ports open to it, full in 90s'* ]]
	[[ $output == *'held most by uid 33: 40 sessions (by their ports'* ]]
	[[ $output != *reuse* ]]
	[[ ${lines[-1]} == 'kernel memory: 2 KiB for the pools (16 B a port, 32 B a shared tuple, 40 B a resting one)' ]]
	run srcport pools --json
	[ "$(wc -l <<<"$output")" = 2 ]
}

@test "pools passes the daemon's refusal on" {
	answer '{"id":1,"error":{"code":"no-such-pool","message":"there is no pool x","where":"name"}}'
	run --separate-stderr srcport pools x
	[ "$status" = 2 ]
	[[ $stderr == *'there is no pool x'* ]]
}

@test "a daemon that ends in the middle of its answer is a failure" {
	answer '{"id":1,"item":{"message":"half"}}'
	for command in reload pools on off 'why 10.0.0.1:80'; do
		run srcport $command
		[ "$status" = 2 ]
		[[ $output == *'ended before it answered'* ]]
	done
}
