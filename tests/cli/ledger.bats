#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Questions where no daemon runs: the ledger answers, or says why it cannot.

load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

@test "a ledger that is not there is 2 and named" {
	run srcport who 50000
	[ "$status" = 2 ]
	[[ $output == *"$SRCPORT_STATE/ledger"* ]]
	run srcport sessions --since '1h ago'
	[ "$status" = 2 ]
	[[ $output == *"$SRCPORT_STATE/ledger"* ]]
	nothing_changed
}

@test "a ledger that is not a database is 2, is named, and stays as it is" {
	mkdir -p "$SRCPORT_STATE/ledger"
	file=$SRCPORT_STATE/ledger/$(date -u +%Y-%m-%d).db
	echo 'this is not a database, but it is long enough to be read as one' >"$file"
	cp "$file" "$PLACE/before"
	run srcport sessions --since '1h ago'
	[ "$status" = 2 ]
	[[ $output == *"$SRCPORT_STATE/ledger"* ]]
	run srcport who 50000 --at '1m ago'
	[ "$status" = 2 ]
	cmp "$file" "$PLACE/before"
}

@test "without a daemon nothing is known to be open" {
	run srcport sessions
	[ "$status" = 1 ]
	[[ $output == *--since* ]]
}
