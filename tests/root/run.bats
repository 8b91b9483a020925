#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# srcport run as a wrapper: what passes through it, and how it fails.

bats_require_minimum_version 1.5.0
load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

@test "the exit status of the command is that of srcport run" {
	daemon_start
	run managed -- sh -c 'exit 42'
	[ "$status" = 42 ]
	run managed -- true
	[ "$status" = 0 ]
}

@test "a signal that ends the command ends srcport run" {
	daemon_start
	run managed -- sh -c 'kill -TERM $$'
	[ "$status" = 143 ]
}

@test "a signal to srcport run reaches the command" {
	daemon_start
	managed -- sh -c 'trap "echo got it; exit 7" USR1; echo up; while :; do sleep 0.05; done' \
		>"$PLACE/out" 3>&- &
	wait_until 5 grep -q up "$PLACE/out"
	kill -USR1 $!
	local status=0
	wait $! || status=$?
	[ "$status" = 7 ]
	grep -q 'got it' "$PLACE/out"
}

@test "standard input and output pass through byte for byte" {
	daemon_start
	head -c 1000000 /dev/urandom >"$PLACE/in"
	managed -- cat <"$PLACE/in" | cmp - "$PLACE/in"
}

@test "the command gets its arguments as they were given" {
	daemon_start
	run managed -- printf '%s|' 'a b' '' '*' --ports
	[ "$output" = 'a b||*|--ports|' ]
}

@test "the cgroup of the command is a child of the caller's" {
	daemon_start
	run managed -- cat /proc/self/cgroup
	grep -q "^0::/$NET/caller/srcport-" <<<"$output"
}

@test "the cgroup of a command is gone after its end" {
	daemon_start
	managed -- true
	wait_until 5 no_run_cgroup
}

@test "a process that leaves its cgroup and comes back keeps its pool" {
	daemon_start
	# Back for longer than an empty cgroup is kept: the end was called off.
	managed --ports 50000-50099 -- sh -c '
		own=$1$(sed -n "s/^0:://p" /proc/self/cgroup)
		echo $$ >"$CGROUP/caller/cgroup.procs"
		sleep 1
		echo $$ >"$own/cgroup.procs"
		sleep 2.5
		exec "$2" -n 20 10.9.0.2 80' sh "$CGROUP_ROOT" "$TOOLS/connector" >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 20 ]
	all_in_pool "$PLACE/tuples" 50000 50099
	wait_until 5 no_run_cgroup
}

@test "status is one object on one line, with the runs and their pools" {
	daemon_start
	managed --ports 50000-50099 -- sh -c 'exec "$BUILD/srcport" status --json' >"$PLACE/status"
	[ "$(line_count "$PLACE/status")" = 1 ]
	python3 - "$PLACE/status" "$NET" <<'PYTHON'
import json, sys
status = json.load(open(sys.argv[1]))
assert status["running"] is True, status
run, = status["runs"]
assert run["cgroup"].startswith(f"/{sys.argv[2]}/caller/srcport-"), run
assert {pool["ports"]: pool["runs"] for pool in status["pools"]}["50000-50099"] == 1, status
PYTHON
	run srcport status
	[ "$status" = 0 ]
	[[ $output == 'srcportd  '*', pid '* ]]
}

@test "without a daemon a transient one serves the command and ends with it" {
	need_the_host
	program_ids >"$PLACE/before"
	managed --ports 50000-50099 -- "$TOOLS/connector" -n 50 10.9.0.2 80 >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 50 ]
	all_in_pool "$PLACE/tuples" 50000 50099
	wait_until 5 no_run_cgroup
	wait_until 10 no_program_but "$PLACE/before"
	[ "$(sessions 'comm = connector' sport | wc -l)" = 50 ]
}

no_program_but() {
	[ -z "$(program_ids | comm -13 "$1" -)" ]
}

@test "a second run joins the transient daemon of the first" {
	need_the_host
	managed --ports 50000-50099 -- sh -c 'echo up; sleep 3' >"$PLACE/out" 3>&- &
	wait_until 5 grep -q up "$PLACE/out"
	managed --ports 51000-51099 -- "$TOOLS/connector" -n 50 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 51000 51099
	wait $!
}

@test "a command that does not exist is 127, one that cannot be run 126" {
	daemon_start
	run -127 managed -- /nonexistent/command
	[ "$status" = 127 ]
	grep -q /nonexistent/command <<<"$output"
	touch "$PLACE/plain"
	run managed -- "$PLACE/plain"
	[ "$status" = 126 ]
	wait_until 5 no_run_cgroup
}

@test "a bad port set is 125 and the message names what is wrong" {
	for set in '' 60000-50000 80-90 65530-65536 fifty 1-2; do
		run managed --ports "$set" -- touch "$PLACE/ran"
		[ "$status" = 125 ]
		[ -n "$output" ]
		[ -z "$set" ] || grep -qE "${set%%-*}|${set##*-}" <<<"$output"
	done
	[ ! -e "$PLACE/ran" ]
	[ ! -e "$STATE" ]
}

@test "without privilege srcport run is 125 and says so" {
	copy_for_everyone
	run in_net setpriv --reuid=65534 --regid=65534 --clear-groups \
		--bounding-set=-all --inh-caps=-all "$PLACE/srcport" run -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	grep -qiE 'root|privilege|permission|permitted|CAP_' <<<"$output"
	[ ! -e "$PLACE/ran" ]
}

@test "a user who may not change the daemon's work cannot run under it" {
	daemon_start
	copy_for_everyone
	run in_net setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$PLACE/srcport" run -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	[ ! -e "$PLACE/ran" ]
}

need_own_build() {
	[ "$BUILD" = "$TOP/build" ] || skip "run.sh builds into build/, these tests use $BUILD"
}

@test "run.sh runs a command, passes its status on and ends with its sessions" {
	need_the_host
	need_own_build
	run in_place env -u MAKEFLAGS -u MAKELEVEL "$TOP/run.sh" --yes --ports 50000-50099 \
		sh -c '"$1" 10.9.0.2 80; exit 9' sh "$TOOLS/connector"
	[ "$status" = 9 ]
	port=$(awk '$1 == "10.9.0.1" { print $2 }' <<<"$output")
	[[ $port == 500?? ]]
	# Once from the connector, once among the sessions.
	[ "$(grep -c "\b$port\b" <<<"$output")" = 2 ]
}

@test "run.sh passes an empty port set on, to be refused, and wants a command for any" {
	need_own_build
	run in_place env -u MAKEFLAGS -u MAKELEVEL "$TOP/run.sh" --yes --ports '' touch "$PLACE/ran"
	[ "$status" = 125 ]
	[[ $output == *'ports: empty'* ]]
	run in_place env -u MAKEFLAGS -u MAKELEVEL "$TOP/run.sh" --yes --ports 50000-50099
	[ "$status" = 125 ]
	[[ $output == *'go with a command'* ]]
	[ ! -e "$PLACE/ran" ]
}

@test "run.sh without a command observes until it is ended" {
	need_the_host
	need_own_build
	in_place env -u MAKEFLAGS -u MAKELEVEL "$TOP/run.sh" --yes >"$PLACE/out" 2>&1 3>&- &
	local daemon=$!
	wait_until 30 daemon_answers
	in_place "$TOOLS/connector" 10.9.0.2 80 >"$PLACE/tuples"
	read -r _ port _ <"$PLACE/tuples"
	wait_until 5 grep -q "\b$port\b" "$PLACE/out"
	kill -TERM "$daemon"
	wait "$daemon"
	! daemon_answers
}
