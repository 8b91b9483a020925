#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What the policy does to a host: rules, reload, on and off, the guard, the kernel's own
# range, and what srcport pools and srcport why say, compared with ss.

bats_require_minimum_version 1.5.0
load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

# policy LINE...: the policy of this test.
policy() {
	printf '%s\n' "$@" >"$PLACE/srcport.conf"
}

# A rule for everything in the scope, by the pool of that name.
everything() {
	printf '[rule %s]\ncgroup = %s\npool = %s\n' "${2:-all}" "/$NET" "$1"
}

# srcportd inside the test's namespace, so that "its own" is the test's: the pools of
# rules are listed there before the first pick, and not a second after it.
daemon_start_inside() {
	nsenter --net="/run/netns/$NET" -- "$BUILD/srcportd" --state "$STATE" \
		--socket "$SRCPORT_SOCKET" --cgroup "$CGROUP" --config "$PLACE/srcport.conf" \
		"$@" >"$PLACE/daemon.out" 2>"$PLACE/daemon.err" 3>&- &
	DAEMON=$!
	wait_until 10 daemon_answers || { cat "$PLACE/daemon.err" >&2; return 1; }
}

mode() {
	srcport status --json | json "$1"
}

# json EXPRESSION: of each line on standard input, as item; None prints nothing.
json() {
	python3 -c '
import json, sys
for line in sys.stdin:
    item = json.loads(line)
    value = eval(sys.argv[1])
    if value is not None:
        print(value)' "$1"
}

kernel_range() {
	in_net sh -c 'echo $(cat /proc/sys/net/ipv4/ip_local_port_range)'
}

set_kernel_range() {
	in_net sh -c "echo $1 $2 >/proc/sys/net/ipv4/ip_local_port_range"
}

# hold ARGUMENT...: a connector that holds its sessions until release_all.
hold() {
	local out=$PLACE/held.$((++HELD)) in=$PLACE/hold.$HELD
	mkfifo "$in"
	in_place "$TOOLS/connector" -w "$@" <"$in" >"$out" 3>&- &
	eval "exec $((20 + HELD))>\"\$in\""
	wait_until 10 grep -q ready "$out"
	sed -i '/ready/d' "$out"
}

release_all() {
	local i
	for ((i = 1; i <= HELD; i++)); do
		eval "exec $((20 + i))>&-"
	done
	HELD=0
}

# Ports that the kernel has in FROM-TO in the namespace, each once. ss, not srcport.
ports_in_ss() {
	in_net ss -Htan state all "sport >= :$1 and sport <= :$2" |
		awk '{ sub(/.*:/, "", $4); print $4 }' | sort -u
}

# bind_port PORT: a program that binds and listens; prints the error if it cannot.
bind_port() {
	in_place /usr/bin/python3 -c '
import os, socket, sys, time
s = socket.socket()
s.bind(("10.9.0.1", int(sys.argv[1])))
s.listen()
print("bound", os.getpid(), flush=True)
time.sleep(float(sys.argv[2]))' "$1" "${2:-0}"
}

log_has() {
	grep -q -- "$1" "$PLACE/daemon.err"
}

# ---- rules

@test "a host without a rule is observed, and nothing of it is managed" {
	daemon_start
	[ "$(mode 'item["mode"]')" = observe ]
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 32768 49151
}

@test "with a rule a process in the scope takes managed ports, without srcport run" {
	policy '[pool default]' 'ports = 50000-50999' "$(everything default)"
	daemon_start
	[ "$(mode 'item["mode"]')" = manage ]
	in_place "$TOOLS/connector" -n 100 10.9.0.2 80 >"$PLACE/tuples"
	[ "$(line_count "$PLACE/tuples")" = 100 ]
	all_in_pool "$PLACE/tuples" 50000 50999
	no_tuple_twice "$PLACE/tuples"
}

@test "--manage-all manages what the policy's own rules leave" {
	policy '[pool default]' 'ports = 50000-50999' '[pool web]' 'ports = 52000-52999' \
		'[rule web]' 'destination = 10.9.0.3:80' 'pool = web'
	daemon_start --manage-all
	in_place "$TOOLS/connector" -n 20 10.9.0.3 80 >"$PLACE/web"
	in_place "$TOOLS/connector" -n 20 10.9.0.3 81 >"$PLACE/other"
	in_place "$TOOLS/connector" -t udp -n 20 10.9.0.3 53 >"$PLACE/udp"
	all_in_pool "$PLACE/web" 52000 52999
	all_in_pool "$PLACE/other" 50000 50999
	all_in_pool "$PLACE/udp" 50000 50999
}

@test "the first rule that fits decides" {
	policy '[pool default]' 'ports = 50000-50099' '[pool b]' 'ports = 51000-51099' \
		'[rule none]' 'destination = 10.9.0.4' 'pool = kernel' \
		'[rule narrow]' 'destination = 10.9.0.3' 'pool = b' "$(everything default)"
	daemon_start
	in_place "$TOOLS/connector" -n 20 10.9.0.4 80 >"$PLACE/none"
	in_place "$TOOLS/connector" -n 20 10.9.0.3 80 >"$PLACE/narrow"
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/wide"
	all_in_pool "$PLACE/none" 32768 49151
	all_in_pool "$PLACE/narrow" 51000 51099
	all_in_pool "$PLACE/wide" 50000 50099
}

@test "srcport run goes before the rules" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	managed --ports 53000-53099 -- "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 53000 53099
}

@test "sessions by rule are recorded with their pool, UDP ones too" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	in_place "$TOOLS/connector" -n 5 10.9.0.2 80 >"$PLACE/tuples"
	in_place "$TOOLS/connector" -t udp -n 5 10.9.0.2 53 >"$PLACE/udp"
	[ "$(sessions 'pool = default and picked-by = srcport' sport | wc -l)" = 10 ]
}

@test "a transient daemon does not manage by rules" {
	run "$BUILD/srcportd" --transient --manage-all --state "$STATE" \
		--socket "$SRCPORT_SOCKET" --cgroup "$CGROUP"
	[ "$status" = 2 ]
	[[ $output == *transient* ]]
}

# ---- reload

@test "a reload keeps open sessions and swaps the pools" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	hold -n 20 10.9.0.2 80
	policy '[pool default]' 'ports = 51000-51099' "$(everything default)"
	srcport reload
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 51000 51099
	[ "$(ports_in_ss 50000 50099 | wc -l)" = 20 ]
	[ "$(sessions 'state = open' sport | sort -u | wc -l)" = 20 ]
	release_all
}

@test "a reload back and forth gives no tuple twice" {
	policy '[pool default]' 'ports = 50000-50049' 'sharing = never' "$(everything default)"
	daemon_start_inside
	hold -n 25 10.9.0.2 80
	policy '[pool default]' 'ports = 50000-50049' 'sharing = when-full' "$(everything default)"
	srcport reload
	hold -n 25 10.9.0.2 80
	cat "$PLACE"/held.* >"$PLACE/tuples"
	no_tuple_twice "$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 50000 50049
	release_all
}

@test "a pool that did not change keeps its figures over a reload" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/tuples"
	policy '[pool default]' 'ports = 50000-50099' '[pool more]' 'ports = 52000-52099' \
		"$(everything default)"
	srcport reload
	[ "$(srcport pools default --json | json 'item.get("picks")')" = 20 ]
}

@test "a run keeps its pool over a reload that changes it, and the next has the new one" {
	policy '[pool default]' 'ports = 50000-50099'
	daemon_start
	managed -- sh -c 'echo up; read line; exec "$1" -n 20 10.9.0.2 80' sh \
		"$TOOLS/connector" < <(wait_until 10 test -e "$PLACE/reloaded"; echo) >"$PLACE/out" 3>&- &
	local run=$!
	wait_until 10 grep -q up "$PLACE/out"
	policy '[pool default]' 'ports = 51000-51099'
	srcport reload
	touch "$PLACE/reloaded"
	wait "$run"
	sed -i /up/d "$PLACE/out"
	[ "$(line_count "$PLACE/out")" = 20 ]
	all_in_pool "$PLACE/out" 50000 50099
	managed -- "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 51000 51099
	# The old one goes with its last run.
	wait_until 10 eval '[ "$(srcport pools --json | json "item.get(\"name\")" | wc -l)" = 1 ]'
}

@test "a reload of a bad file says every fault with its line and changes nothing" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	policy '[pool default]' 'ports = 51000-51099' 'sharing = sometimes' \
		"$(everything default)" '[rule more]' 'pool = nowhere'
	run --separate-stderr srcport reload
	[ "$status" = 2 ]
	[ -z "$output" ]
	[[ $stderr == *"$PLACE/srcport.conf:3: "* ]]
	[[ $stderr == *"$PLACE/srcport.conf:8: "* ]]
	[[ $stderr == *'running policy stays'* ]]
	log_has "srcport.conf:3: "
	log_has "srcport.conf:8: "
	[ "$(srcport pools --json | json 'item.get("ports")')" = 50000-50099 ]
	[ "$(mode 'item["policy"]["rules"]')" = 1 ]
}

@test "a policy file that is gone changes nothing" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	rm "$PLACE/srcport.conf"
	run srcport reload
	[ "$status" = 2 ]
	[[ $output == *"$PLACE/srcport.conf"* ]]
	[ "$(srcport pools --json | json 'item.get("ports")')" = 50000-50099 ]
	kill -HUP "$DAEMON"
	wait_until 5 eval '[ "$(grep -c "^srcportd: reload: " "$PLACE/daemon.err")" = 2 ]'
	daemon_answers
}

@test "SIGHUP reads the policy anew" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	policy '[pool default]' 'ports = 51000-51099' "$(everything default)"
	kill -HUP "$DAEMON"
	wait_until 5 log_has 'policy was read anew'
	[ "$(srcport pools --json | json 'item.get("ports")')" = 51000-51099 ]
}

@test "a reload that brings the first rule begins to manage, and one without rules ends it" {
	daemon_start
	[ "$(mode 'item["mode"]')" = observe ]
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	srcport reload
	[ "$(mode 'item["mode"]')" = manage ]
	[[ $(mode 'item["hooks"]') == *cgroup/connect* ]]
	in_place "$TOOLS/connector" -t udp -n 5 10.9.0.2 53 >"$PLACE/udp"
	# The recorder's hooks, attached before, still come after ours.
	[ "$(sessions 'pool = default and proto = udp' sport | wc -l)" = 5 ]
	policy '[pool default]' 'ports = 50000-50099'
	srcport reload
	[ "$(mode 'item["mode"]')" = observe ]
	[[ $(mode 'item["hooks"]') != *cgroup/connect* ]]
}

@test "--manage-all outlives a reload" {
	policy '[pool default]' 'ports = 50000-50099'
	daemon_start --manage-all
	policy '[pool default]' 'ports = 51000-51099'
	srcport reload
	[ "$(mode 'item["mode"]')" = manage ]
	[ "$(mode 'item["policy"]["rules"]')" = 1 ]
	in_place "$TOOLS/connector" -n 5 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 51000 51099
}

@test "a ledger elsewhere is said to wait for the next start, and the rest is taken" {
	daemon_start
	policy '[pool default]' 'ports = 51000-51099' '[ledger]' "path = $PLACE/elsewhere"
	run --separate-stderr srcport reload
	[ "$status" = 0 ]
	[[ $stderr == *path*"$STATE/ledger"* ]]
	[ ! -e "$PLACE/elsewhere" ]
	[ "$(srcport pools --json | json 'item.get("ports")')" = 51000-51099 ]
	# Said once for each reload, as long as it is so.
	run --separate-stderr srcport reload
	[[ $stderr == *path* ]]
}

@test "many reloads at once are done one after the other" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	local pids=()
	for _ in 1 2 3 4 5 6 7 8; do
		srcport reload >/dev/null 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ "$(grep -c 'policy was read anew' "$PLACE/daemon.err")" = 8 ]
	[ "$(srcport pools --json | json 'item.get("rules")')" = 1 ]
}

# ---- on, off, dry run

@test "off leaves every pick to the kernel, also over a reload, and on resumes" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	hold -n 5 10.9.0.2 80
	srcport off
	[ "$(mode 'item["mode"]')" = off ]
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/off"
	srcport reload
	[ "$(mode 'item["mode"]')" = off ]
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >>"$PLACE/off"
	all_in_pool "$PLACE/off" 32768 49151
	# It observes on.
	[ "$(sessions 'picked-by = kernel' sport | wc -l)" = 40 ]
	[ "$(ports_in_ss 50000 50099 | wc -l)" = 5 ]
	srcport on
	[ "$(mode 'item["mode"]')" = manage ]
	in_place "$TOOLS/connector" -n 20 10.9.0.2 80 >"$PLACE/on"
	all_in_pool "$PLACE/on" 50000 50099
	release_all
}

@test "off does not outlive a restart" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	srcport off
	daemon_end TERM
	daemon_start
	[ "$(mode 'item["mode"]')" = manage ]
}

@test "a dry run picks nothing, and says what it would pick" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start --dry-run
	[ "$(mode 'item["mode"]')" = dry-run ]
	in_place "$TOOLS/connector" -n 5 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 32768 49151
	wait_until 5 eval '[ "$(grep -c "would take port 500[0-9][0-9]$" "$PLACE/daemon.out")" = 5 ]'
	grep -q '^20.*Z pid [0-9]* (connector) to 10.9.0.2:80/tcp, pool default: ' "$PLACE/daemon.out"
}

@test "a dry run says what it would refuse" {
	policy '[pool default]' 'ports = 50000-50001' 'exhausted = refuse' "$(everything default)"
	# Others hold the whole pool before srcportd comes.
	in_net /usr/bin/python3 -c '
import socket, time
held = [socket.create_server(("10.9.0.1", port)) for port in (50000, 50001)]
time.sleep(30)' 3>&- &
	local holder=$!
	wait_until 5 eval '[ "$(in_net ss -Hltn "sport >= :50000" | wc -l)" = 2 ]'
	daemon_start_inside --dry-run
	in_place "$TOOLS/connector" -n 1 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 32768 49151
	wait_until 5 grep -q 'to 10.9.0.2:80/tcp, pool default: would be refused: ' "$PLACE/daemon.out"
	kill "$holder"
	srcport on
	[ "$(mode 'item["mode"]')" = dry-run ]
}

# ---- the guard

@test "a foreign bind into a pool is reported with its pid and executable" {
	policy '[pool default]' 'ports = 50000-50099' '[rule one]' 'destination = 10.9.0.2' \
		'pool = default' '[guard]' 'foreign-bind = report'
	daemon_start_inside
	in_place "$TOOLS/connector" -n 1 10.9.0.2 80 >"$PLACE/tuples"
	bind_port 50050 2 >"$PLACE/out" 3>&- &
	local pid
	wait_until 5 grep -q bound "$PLACE/out"
	pid=$(sed -n 's/bound //p' "$PLACE/out")
	wait_until 5 log_has "pid $pid (python3"
	local holder=$!
	grep "pid $pid (" "$PLACE/daemon.err" | grep -q "$(readlink -f /usr/bin/python3), uid 0) bound 10.9.0.1:50050/tcp, a port of pool default: reported"
	wait "$holder"
}

@test "with foreign-bind = refuse it gets EADDRINUSE, and the log names it after its end" {
	policy '[pool default]' 'ports = 50000-50099' '[rule one]' 'destination = 10.9.0.2' \
		'pool = default' '[guard]' 'foreign-bind = refuse'
	daemon_start_inside
	in_place "$TOOLS/connector" -n 1 10.9.0.2 80 >"$PLACE/tuples"
	run bind_port 50050
	[ "$status" = 1 ]
	[[ $output == *'Address already in use'* ]]
	wait_until 5 log_has 'bound 10.9.0.1:50050/tcp, a port of pool default: refused'
	grep 'refused' "$PLACE/daemon.err" | grep -q "(python3.*$(readlink -f /usr/bin/python3), uid 0)"
	# Outside the pool nobody is in the way.
	run bind_port 50100
	[ "$status" = 0 ]
	# A reload changes the guard at once.
	sed -i s/refuse/allow/ "$PLACE/srcport.conf"
	srcport reload
	run bind_port 50050
	[ "$status" = 0 ]
}

@test "bind to port 0 in a run inside a managed scope is no foreign bind" {
	policy '[pool default]' 'ports = 50000-50099' '[rule one]' 'uid = 65533' \
		'pool = default' '[guard]' 'foreign-bind = refuse'
	daemon_start_inside
	for type in STREAM DGRAM; do
		run managed -- python3 -c "
import socket
bound = socket.socket(type=socket.SOCK_$type)
bound.bind(('10.9.0.1', 0))
print(0, bound.getsockname()[1])"
		[ "$status" = 0 ]
		all_in_pool <(echo "$output") 50000 50099
	done
}

@test "without a record the log still names who bound" {
	policy '[pool default]' 'ports = 50000-50099' '[rule one]' 'destination = 10.9.0.2' \
		'pool = default' '[guard]' 'foreign-bind = report'
	daemon_start_inside --no-record
	bind_port 50050 2 >"$PLACE/out" 3>&- &
	wait_until 5 grep -q bound "$PLACE/out"
	wait_until 5 log_has "pid $(sed -n 's/bound //p' "$PLACE/out") (python3.*$(readlink -f /usr/bin/python3), uid 0) bound"
	wait "$!"
}

@test "refusals are logged at most once a second, and the rest is counted" {
	policy '[pool default]' 'ports = 50000-50003' 'exhausted = refuse' 'early-reuse = no' \
		"$(everything default)"
	daemon_start_inside
	hold -n 4 10.9.0.2 80
	run in_place "$TOOLS/connector" -n 100 10.9.0.2 80
	[ "$status" = 1 ]
	wait_until 5 log_has 'pool default: full: + [0-9]* more'
	[ "$(grep -c 'to 10.9.0.2:80/tcp, pool default: full: refused' "$PLACE/daemon.err")" -le 3 ]
	release_all
}

# ---- systemd's socket units

@test "the port of a socket unit is never given" {
	policy '[pool default]' 'ports = 50000-50009' "$(everything default)"
	mkdir -p "$PLACE/units"
	printf '[Socket]\nListenStream=50003\nListenStream=[::]:50007\n' >"$PLACE/units/a.socket"
	# Of its own mount namespace: the host's units are not touched.
	mkdir -p /run/systemd/system 2>/dev/null || skip 'no /run/systemd/system'
	unshare -m true 2>/dev/null || skip 'needs a root that is a mount point'
	unshare -m sh -c 'mount --bind "$1" /run/systemd/system && shift && exec "$@"' sh \
		"$PLACE/units" nsenter --net="/run/netns/$NET" -- "$BUILD/srcportd" \
		--state "$STATE" --socket "$SRCPORT_SOCKET" --cgroup "$CGROUP" \
		--config "$PLACE/srcport.conf" >"$PLACE/daemon.out" 2>"$PLACE/daemon.err" 3>&- &
	DAEMON=$!
	wait_until 10 daemon_answers
	hold -n 8 10.9.0.2 80
	[ "$(ports_in_ss 50000 50009 | wc -l)" = 8 ]
	! ports_in_ss 50000 50009 | grep -qE '^(50003|50007)$'
	# The next to the same destination finds none.
	in_place "$TOOLS/connector" -n 1 10.9.0.2 80 >"$PLACE/tuples"
	all_in_pool "$PLACE/tuples" 32768 49151
	# One that goes is free after the next look: at a reload.
	printf '[Socket]\nListenStream=50003\n' >"$PLACE/units/a.socket"
	srcport reload
	[ "$(mode 'item["policy"]["socket_unit_ports"]')" -ge 1 ]
	release_all
}

# ---- the kernel's own range

kernel_range_policy() {
	policy '[pool default]' 'ports = 49152-60999' "$(everything default)" \
		'[guard]' "kernel-range = ${1:-adjust}"
}

@test "the kernel's range leaves the pools while srcportd runs, and is put back" {
	local host
	host=$(cat /proc/sys/net/ipv4/ip_local_port_range)
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	[ "$(kernel_range)" = '32768 49151' ]
	[ "$(mode 'item["policy"]["kernel_range"][0]["before"]')" = '[32768, 60999]' ]
	daemon_end TERM
	[ "$(kernel_range)" = '32768 60999' ]
	[ ! -e "$STATE/kernel-range" ]
	[ "$(cat /proc/sys/net/ipv4/ip_local_port_range)" = "$host" ]
}

@test "without kernel-range = adjust, and without a rule, the range stays" {
	set_kernel_range 32768 60999
	kernel_range_policy leave
	daemon_start_inside
	[ "$(kernel_range)" = '32768 60999' ]
	daemon_end TERM
	policy '[pool default]' 'ports = 49152-60999' '[guard]' 'kernel-range = adjust'
	daemon_start_inside
	[ "$(kernel_range)" = '32768 60999' ]
}

@test "after kill -9 the range is put back by the next start, also with another policy" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	daemon_end KILL
	[ "$(kernel_range)" = '32768 49151' ]
	kernel_range_policy leave
	daemon_start_inside
	[ "$(kernel_range)" = '32768 60999' ]
	[ ! -e "$STATE/kernel-range" ]
}

@test "after kill -9 and a start with the same policy the old range is still known" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	daemon_end KILL
	daemon_start_inside
	[ "$(kernel_range)" = '32768 49151' ]
	daemon_end TERM
	[ "$(kernel_range)" = '32768 60999' ]
}

@test "srcportd --restore puts the range back after kill -9, from any namespace" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	run "$BUILD/srcportd" --restore --state "$STATE" --cgroup "$CGROUP"
	[ "$status" = 2 ]
	[ "$(kernel_range)" = '32768 49151' ]
	daemon_end KILL
	"$BUILD/srcportd" --restore --state "$STATE" --cgroup "$CGROUP"
	[ "$(kernel_range)" = '32768 60999' ]
	# Again there is nothing to do.
	set_kernel_range 32768 49151
	"$BUILD/srcportd" --restore --state "$STATE" --cgroup "$CGROUP"
	[ "$(kernel_range)" = '32768 49151' ]
}

@test "a range that a person changed meanwhile is not overwritten" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	set_kernel_range 20000 30000
	daemon_end TERM
	[ "$(kernel_range)" = '20000 30000' ]
	set_kernel_range 32768 60999
	daemon_start_inside
	daemon_end KILL
	set_kernel_range 20000 30000
	kernel_range_policy leave
	daemon_start_inside
	[ "$(kernel_range)" = '20000 30000' ]
}

@test "a state from an earlier boot changes nothing" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	daemon_end KILL
	sed -i 's/^[0-9a-f]\{8\}/00000000/' "$STATE/kernel-range"
	"$BUILD/srcportd" --restore --state "$STATE" --cgroup "$CGROUP"
	[ "$(kernel_range)" = '32768 49151' ]
}

@test "a reload moves the range with the pools, and puts it back when that is off" {
	set_kernel_range 32768 60999
	kernel_range_policy
	daemon_start_inside
	policy '[pool default]' 'ports = 32768-39999' "$(everything default)" \
		'[guard]' 'kernel-range = adjust'
	srcport reload
	[ "$(kernel_range)" = '40000 60999' ]
	kernel_range_policy leave
	srcport reload
	[ "$(kernel_range)" = '32768 60999' ]
}

@test "where the pools leave no room the range stays, and it is said" {
	set_kernel_range 32768 60999
	policy '[pool default]' 'ports = 1100-65535' "$(everything default)" \
		'[guard]' 'kernel-range = adjust'
	daemon_start_inside
	[ "$(kernel_range)" = '32768 60999' ]
	log_has 'kernel-range: .* stays 32768-60999'
}

@test "a garbage state file is no reason not to start" {
	set_kernel_range 32768 60999
	kernel_range_policy
	mkdir -p "$STATE"
	head -c 5000 /dev/urandom >"$STATE/kernel-range"
	daemon_start_inside
	[ "$(kernel_range)" = '32768 49151' ]
}

# ---- pools and why

@test "the figures of pools are those of ss" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start_inside
	hold -n 30 10.9.0.2 80
	hold -n 10 10.9.0.3 80
	local held
	held=$(ports_in_ss 50000 50099 | wc -l)
	[ "$held" = 40 ]
	srcport pools default --json >"$PLACE/pools"
	[ "$(json 'item.get("capacity")' <"$PLACE/pools")" = 100 ]
	[ "$(json 'item.get("busiest")' <"$PLACE/pools")" = "$held" ]
	[ "$(json 'item.get("held")' <"$PLACE/pools")" = "$held" ]
	[ "$(json 'item.get("picks")' <"$PLACE/pools")" = 40 ]
	[ "$(json '"busiest_destination" in item and "{dst}:{dport}/{proto} {sessions} {open}".format(**item["busiest_destination"]) or None' <"$PLACE/pools")" = '10.9.0.2:80/tcp 30 70' ]
	[[ $(json '"holds_most" in item and "{comm} {exe} {uid} {sessions}".format(**item["holds_most"]) or None' <"$PLACE/pools") == "connector "*"$(readlink -f "$TOOLS/connector") 0 30" ]]
	release_all
	wait_until 15 eval '[ "$(srcport pools default --json | json "item.get(\"held\")")" = 0 ]'
}

@test "pools tells the distance and rest of reuse" {
	policy '[pool default]' 'ports = 50000-50007' 'quarantine = 0' "$(everything default)"
	daemon_start_inside
	in_place "$TOOLS/connector" -k -n 200 10.9.0.2 80 >"$PLACE/tuples"
	srcport pools default --json >"$PLACE/pools"
	[ "$(json '"reuse_distance" in item and item["reuse_distance"]["count"] >= 192 or None' <"$PLACE/pools")" = True ]
	[ "$(json '"rest" in item and 0 <= item["rest"]["min"] < 10 or None' <"$PLACE/pools")" = True ]
	srcport pools | grep -q 'reuse .* sessions at least'
}

@test "without a record pools knows the destination and the user, and says how" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start --no-record
	hold -n 30 10.9.0.2 80
	srcport pools default --json >"$PLACE/pools"
	[ "$(json 'item.get("told_by")' <"$PLACE/pools")" = sock_diag ]
	[ "$(json '"holds_most" in item and "{pid} {uid} {sessions}".format(**item["holds_most"]) or None' <"$PLACE/pools")" = 'None 0 30' ]
	[ "$(json '"busiest_destination" in item and item["busiest_destination"]["sessions"] or None' <"$PLACE/pools")" = 30 ]
	[ "$(json '"reuse_distance" in item and str(item["reuse_distance"]) or None' <"$PLACE/pools")" = None ]
	release_all
}

@test "pools of a name that is none is a fault, and every pool is listed without one" {
	policy '[pool default]' 'ports = 50000-50099' '[pool b]' 'ports = 51000-51099'
	daemon_start
	run srcport pools nowhere
	[ "$status" = 2 ]
	[[ $output == *nowhere* ]]
	[ "$(srcport pools --json | json 'item.get("name")' | sort | paste -sd' ')" = 'b default' ]
	srcport pools --json | tail -n 1 | json '"memory" in item' | grep -q True
	srcport pools | tail -n 1 | grep -q '^kernel memory: '
}

@test "the kernel memory is told" {
	policy '[pool default]' 'ports = 50000-50099' "$(everything default)"
	daemon_start
	in_place "$TOOLS/connector" -n 5 10.9.0.2 80 >"$PLACE/tuples"
	[ "$(srcport pools --json | json '"memory" in item and item["memory"]["total"] > 0 and 0 < item["memory"]["per_port"] <= 16 and item["memory"]["recorder"] > 0 or None')" = True ]
}

@test "the figures of why are those of ss" {
	policy '[pool default]' 'ports = 50000-50099' 'sharing = when-full' "$(everything default)"
	daemon_start_inside
	hold -n 30 10.9.0.2 80
	hold -n 20 10.9.0.3 80
	in_place "$BUILD/srcport" why 10.9.0.2:80 --json >"$PLACE/why"
	[ "$(json '"{pool} {rule} {verdict}".format(**item)' <"$PLACE/why")" = 'default all unused' ]
	[ "$(json 'item["outlook"]["unused"]' <"$PLACE/why")" = 50 ]
	[ "$(json 'item["outlook"]["shared"]' <"$PLACE/why")" = 20 ]
	[ "$(json 'item["outlook"]["taken"]' <"$PLACE/why")" = 30 ]
	[ "$(json 'item["text"]' <"$PLACE/why")" = 'a port nobody uses, drawn uniformly from 50' ]
	release_all
}

@test "why goes from unused over shared to refused, and says the last refusal" {
	policy '[pool default]' 'ports = 50000-50009' 'exhausted = refuse' 'early-reuse = no' \
		"$(everything default)"
	daemon_start_inside
	hold -n 10 10.9.0.3 80
	run in_place "$BUILD/srcport" why 10.9.0.2:80
	[ "$status" = 0 ]
	[[ $output == *'a shared port, one of 10 in use that are open to it'* ]]
	hold -n 10 10.9.0.2 80
	run in_place "$TOOLS/connector" 10.9.0.2 80
	[ "$status" = 1 ]
	run in_place "$BUILD/srcport" why 10.9.0.2:80
	[ "$status" = 1 ]
	[[ $output == *'EADDRNOTAVAIL: pool exhausted'* ]]
	[[ $output == *'refused: full, pid '*'(connector)'* ]]
	release_all
}

@test "why of a process that no rule fits is the kernel's own pick" {
	policy '[pool default]' 'ports = 50000-50009' '[rule a]' 'destination = 10.9.0.3' \
		'pool = default'
	daemon_start
	run in_place "$BUILD/srcport" why 10.9.0.2:80
	[ "$status" = 0 ]
	[[ $output == *'no rule fits'* ]]
	run in_place "$BUILD/srcport" why 10.9.0.3:80
	[ "$status" = 0 ]
	[[ $output == *'pool      default, by rule a'* ]]
	# A process outside the scope, asked for by its pid.
	run srcport why 10.9.0.3:80 --pid $$
	[[ $output == *'no rule fits'* ]]
	srcport off
	run in_place "$BUILD/srcport" why 10.9.0.3:80
	[ "$status" = 0 ]
	[[ $output == *'srcport is off'* ]]
}

@test "why inside a run names the run's pool" {
	policy '[pool default]' 'ports = 50000-50009'
	daemon_start
	run managed --ports 52000-52009 -- "$BUILD/srcport" why 10.9.0.2:80/udp --json
	[ "$status" = 0 ]
	[ "$(json '"{is_run} {proto} {verdict}".format(**item)' <<<"$output")" = 'True udp unused' ]
	[ "$(json 'item["outlook"]["unused"]' <<<"$output")" = 10 ]
}

# ---- errors are answers

@test "reload, on, off, pools and why without a daemon say that it is not running" {
	for command in reload on off pools 'why 10.9.0.2:80'; do
		run srcport $command
		[ "$status" = 2 ]
		[[ $output == *'srcportd is not running: '* ]]
	done
}

@test "only root may reload, or switch on and off" {
	daemon_start
	copy_for_everyone
	groupadd --system srcport 2>/dev/null && local made=1
	for command in reload on off; do
		run setpriv --reuid=65534 --regid=65534 --clear-groups "$PLACE/srcport" "$command"
		[ "$status" = 2 ]
		[ -n "$output" ]
		run setpriv --reuid=65534 --regid=srcport --clear-groups "$PLACE/srcport" "$command"
		[ "$status" = 2 ]
		[[ $output == *root* || $output == *denied* || $output == *members* ]]
	done
	[ -z "$made" ] || groupdel srcport
	[ "$(mode 'item["mode"]')" = observe ]
}

@test "garbage in a request is refused by name" {
	daemon_start
	python3 - "$SRCPORT_SOCKET" <<'PYTHON'
import json, socket, sys
def ask(method, params):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.sendall((json.dumps({"id": 1, "method": method, "params": params}) + "\n").encode())
    for line in s.makefile():
        answer = json.loads(line)
        if "item" not in answer:
            return answer
for params in [{}, {"address": "10.9.0.2"}, {"address": 5, "port": 80}, {"address": "x", "port": 80},
               {"address": "10.9.0.2", "port": 0}, {"address": "10.9.0.2", "port": 65536},
               {"address": "10.9.0.2", "port": "80"}, {"address": "10.9.0.2", "port": 80, "pid": -1},
               {"address": "10.9.0.2", "port": 80, "pid": "me"},
               {"address": "10.9.0.2", "port": 80, "pid": 2**40},
               {"address": "10.9.0.2", "port": 80, "protocol": "sctp"},
               {"address": "10.9.0.2", "port": 80, "protocol": []}]:
    error = ask("why", params)["error"]
    assert error["code"] == "bad-param" and error["where"] in ("address", "port", "pid", "protocol"), (params, error)
error = ask("why", {"address": "10.9.0.2", "port": 80, "pid": 2**22 + 7})["error"]
assert error["code"] == "no-such-process", error
for params in [{"name": 5}, {"name": {}}]:
    error = ask("pools", params)["error"]
    assert error["code"] == "bad-param" and error["where"] == "name", error
assert ask("pools", {"name": "x" * 5000})["error"]["code"] == "no-such-pool"
assert ask("reload", {"file": "/etc/passwd"})["done"]
PYTHON
	daemon_answers
}

@test "why tells a user who is over the quota, and root that it is not" {
	policy '[pool default]' 'ports = 50000-50099' 'quota = 3' 'exhausted = refuse' \
		"$(everything default)"
	daemon_start_inside
	copy_for_everyone
	cp "$TOOLS/connector" "$PLACE"
	mkfifo "$PLACE/hold"
	in_place setpriv --reuid=65534 --regid=65534 --clear-groups "$PLACE/connector" -w -n 3 \
		10.9.0.2 80 <"$PLACE/hold" >"$PLACE/tuples" 3>&- &
	exec 30>"$PLACE/hold"
	wait_until 10 grep -q ready "$PLACE/tuples"
	in_place setpriv --reuid=65534 --regid=65534 --clear-groups sleep 20 3>&- &
	local sleeper=$!
	wait_until 5 eval 'grep -q "^Uid:.65534" /proc/$sleeper/status'
	run srcport why 10.9.0.3:80 --pid "$sleeper"
	[ "$status" = 1 ]
	[[ $output == *'EADDRNOTAVAIL: the user has its share of the pool'* ]]
	[[ $output == *'3 of 3 sessions of uid 65534: all'* ]]
	run in_place setpriv --reuid=65534 --regid=65534 --clear-groups "$PLACE/connector" 10.9.0.3 80
	[ "$status" = 1 ]
	run in_place "$BUILD/srcport" why 10.9.0.3:80
	[ "$status" = 0 ]
	kill "$sleeper"
	exec 30>&-
}
