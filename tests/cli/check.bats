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
