#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What srcport run refuses before it asks for a daemon.

load helper
bats_require_minimum_version 1.5.0 # run -127

setup() {
	place_make
}

teardown() {
	place_remove
}

@test "a bad port set is 125, is named, and the command does not run" {
	for set in '' ' ' 60000-50000 80-90 1023 65530-65536 fifty 50000- -50000 1-2-3 50000,,x; do
		run srcport run --ports "$set" -- touch "$PLACE/ran"
		[ "$status" = 125 ]
		[[ $output == *port* ]]
	done
	[ ! -e "$PLACE/ran" ]
	nothing_changed
}

@test "a sharing that does not exist is 125" {
	run srcport run --sharing sometimes -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	[[ $output == *sometimes*never* ]]
	[ ! -e "$PLACE/ran" ]
}

@test "a pool and ports at once are 125" {
	run srcport run --pool default --ports 50000-50999 -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	[ ! -e "$PLACE/ran" ]
}

@test "no command is 125" {
	run srcport run --ports 50000-50999
	[ "$status" = 125 ]
	[[ $output == *command* ]]
}

@test "a command that does not exist is 127 and no daemon is started" {
	for command in "$PLACE/nothing" no-such-command-anywhere "$PLACE/nothing/below" ''; do
		run -127 srcport run -- "$command"
		[[ $output == *"$command"* ]]
	done
	nothing_changed
}

@test "a command that cannot be run is 126 and no daemon is started" {
	touch "$PLACE/plain"
	for command in "$PLACE/plain" "$PLACE"; do
		run srcport run -- "$command"
		[ "$status" = 126 ]
		[[ $output == *"$command"* ]]
	done
	PATH=$PLACE run srcport run -- plain
	[ "$status" = 126 ]
	nothing_changed
}

@test "options after the command are the command's" {
	run -127 srcport run -- no-such-command-anywhere --ports 1
	run -127 srcport run no-such-command-anywhere --bogus
}

@test "without privilege run is 125 and says what it needs" {
	run unprivileged srcport run -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	[[ $output == *root* ]]
	[ ! -e "$PLACE/ran" ]
	nothing_changed
}
