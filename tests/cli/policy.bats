#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# The corpus of policies in tests/policy, judged by srcport check. A bad one begins
# with a line "; expect LINE: TEXT" for each of its errors, and has no other.

load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

# judge_bad FILE: say what is wrong with the answer to it.
judge_bad() {
	status=0
	timeout 10 "$BUILD/srcport" check "$1" >"$PLACE/out" 2>"$PLACE/err" || status=$?
	[ "$status" = 1 ] || echo "$1: status $status"
	grep -a '^; expect ' "$1" >"$PLACE/expected" || echo "$1: expects nothing"
	errors=$(grep -c ': error: ' "$PLACE/out") || true
	[ "$errors" = "$(wc -l <"$PLACE/expected")" ] || echo "$1: $errors errors"
	while read -r _ _ line text; do
		grep -F "$1:${line%:}: error: " "$PLACE/out" | grep -qF -- "$text" ||
			echo "$1: nothing on line $line says: $text"
	done <"$PLACE/expected"
}

@test "every malformed policy of the corpus gives its lines and what was expected" {
	cd "$TOP/tests/policy/bad"
	set -- *.conf
	[ $# -ge 60 ]
	for file; do
		judge_bad "$file"
	done >"$PLACE/wrong"
	cat "$PLACE/wrong"
	[ ! -s "$PLACE/wrong" ]
}

@test "every good policy of the corpus is taken" {
	cd "$TOP/tests/policy/good"
	for file in *.conf; do
		run srcport check "$file"
		echo "$file: $output"
		[ "$status" = 0 ]
		[[ $output != *error:* ]]
	done
}

@test "the examples of srcport.conf(5) are good policies" {
	awk -v place="$PLACE" '
		/^\.nf$/ { count++; inside = 1; next }
		/^\.fi$/ { inside = 0 }
		inside { gsub(/\\-/, "-"); print >(place "/example" count ".conf") }
	' "$TOP/man/srcport.conf.5"
	[ -e "$PLACE/example4.conf" ]
	for file in "$PLACE"/example*.conf; do
		run srcport check "$file"
		cat "$file"
		echo "$output"
		[ "$status" = 0 ]
	done
}
