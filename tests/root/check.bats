#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What srcport check knows from the ledger.

load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

recorded() {
	[ "$(srcport sessions --json --since '1h ago' 'dport = 7000' |
		grep -c '"end":"')" = 5 ]
}

write_policy() { # PORTS
	cat >"$PLACE/check.conf" <<-POLICY
		[rule r]
		uid = 0
		destination = 127.0.0.1:7000
		pool = a
		[pool a]
		ports = $1
		[ledger]
		path = $STATE/ledger
	POLICY
}

@test "a pool smaller than the sessions that the ledger saw at once is warned of" {
	daemon_start
	sink_start 127.0.0.1 7000
	managed -- python3 -c '
import socket
sockets = [socket.create_connection(("127.0.0.1", 7000)) for _ in range(5)]
for one in sockets:
    one.close()'
	wait_until 10 recorded
	write_policy 20000-20003
	run srcport check "$PLACE/check.conf"
	[ "$status" = 0 ]
	grep -q ':5: warning: pool a has 4 ports, but 5 tcp sessions .* in the last day' \
		<<<"$output"
	write_policy 20000-20004
	run srcport check "$PLACE/check.conf"
	[[ $output != *"pool a has"* ]]
}
