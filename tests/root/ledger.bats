#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# What is recorded, what is answered, and what is left after a kill.

load helper

setup() {
	place_make
}

teardown() {
	place_remove
}

closed_count_is() { # FILTER COUNT
	[ "$(srcport sessions --json --since '1h ago' "$1" | python3 -c '
import json, sys
print(sum(1 for line in sys.stdin if json.loads(line).get("end")))')" = "$2" ]
}

# In a chroot srcportd still says where a program lies below the host's root.
as_seen_here() {
	sed "s| /.*$TOOLS/| $TOOLS/|"
}

@test "5000 children of one connection each are all named with pid and port" {
	daemon_start
	sink_start 127.0.0.1 7000
	managed -- "$TOOLS/forker" 5000 127.0.0.1 7000 >"$PLACE/told"
	[ "$(line_count "$PLACE/told")" = 5000 ]
	wait_until 10 closed_count_is 'dport = 7000 and comm = forker' 5000
	sessions 'dport = 7000' pid sport exe | as_seen_here | sort >"$PLACE/recorded"
	awk -v exe="$TOOLS/forker" '{ print $1, $3, exe }' "$PLACE/told" | sort >"$PLACE/expected"
	diff "$PLACE/expected" "$PLACE/recorded" >"$PLACE/difference" ||
		{ head -n 5 "$PLACE/difference" >&2; false; }
}

@test "the recorded start of a process is that of proc" {
	daemon_start
	sink_start 127.0.0.1 7000
	managed -- "$TOOLS/forker" 20 127.0.0.1 7000 >"$PLACE/told"
	wait_until 5 closed_count_is 'comm = forker' 20
	srcport sessions --json --since '1h ago' 'comm = forker' | python3 -c '
import datetime, json, os, sys, time
hertz = os.sysconf("SC_CLK_TCK")
boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
told = {int(pid): int(ticks) for pid, ticks, _ in map(str.split, open(sys.argv[1]))}
checked = 0
for line in sys.stdin:
    item = json.loads(line)
    if "pid" not in item:
        continue
    start = datetime.datetime.fromisoformat(item["pid_start"][:26] + "+00:00").timestamp()
    assert abs(start - boot - told[item["pid"]] / hertz) < 0.1, item
    checked += 1
assert checked == 20, checked' "$PLACE/told"
}

@test "who names the owner of a port in use and of one released" {
	daemon_start
	sink_start 127.0.0.1 7000
	mkfifo "$PLACE/hold"
	managed -- "$TOOLS/connector" -f -w 127.0.0.1 7000 <"$PLACE/hold" >"$PLACE/tuples" 3>&- &
	local pid=$!
	exec 4>"$PLACE/hold"
	wait_until 5 grep -q ready "$PLACE/tuples"
	read -r _ port _ <"$PLACE/tuples"
	run srcport who "$port" --json
	[ "$status" = 0 ]
	grep -q "\"pid\": *$pid\b" <<<"$output"
	run srcport who "$port"
	[ "$status" = 0 ]
	grep -q "^127.0.0.1:$port/tcp is held by connector (pid $pid, " <<<"$output"
	exec 4>&-
	wait "$pid"
	wait_until 3 closed_count_is "sport = $port" 1
	local from=${EPOCHREALTIME/./}
	run srcport who "$port" --json
	local took=$((${EPOCHREALTIME/./} - from))
	[ "$status" = 0 ]
	grep -q "\"pid\": *$pid\b" <<<"$output"
	grep -q "$TOOLS/connector" <<<"$output"
	echo "took $took us" >&2
	((took < 50000))
	run srcport who "$port"
	grep -q "^127.0.0.1:$port/tcp was held by connector (pid $pid, " <<<"$output"
	grep -q '^  from  *20.* until ' <<<"$output"
}

@test "who on a port nobody used is 1" {
	daemon_start
	run srcport who 1025
	[ "$status" = 1 ]
}

@test "sessions have bytes both ways and how they ended" {
	daemon_start
	sink_start -e 127.0.0.1 7000
	managed -- "$TOOLS/connector" -f -e 127.0.0.1 7000
	wait_until 3 closed_count_is 'dport = 7000 and comm = connector' 1
	run sessions 'dport = 7000 and comm = connector' tx_bytes rx_bytes end_reason picked_by pool
	[[ $output == '6 6 fin srcport '* ]]
	run managed -- "$TOOLS/connector" -e 127.0.0.1 7009
	wait_until 3 closed_count_is 'dport = 7009' 1
	run sessions 'dport = 7009' end_reason
	[ "$output" = refused ]
}

@test "a killed daemon loses no session that closed more than a second before" {
	daemon_start
	daemon_programs >"$PLACE/programs"
	[ -s "$PLACE/programs" ]
	sink_start -e 127.0.0.1 7000
	mkfifo "$PLACE/hold"
	managed -- "$TOOLS/connector" -k -f -e -n 500 127.0.0.1 7000 >"$PLACE/closed"
	managed -- sh -c '"$1" -n 20 -w -e 127.0.0.1 7000; exec "$1" -n 5 -e 127.0.0.1 7000' \
		sh "$TOOLS/connector" <"$PLACE/hold" >"$PLACE/open" 3>&- &
	exec 4>"$PLACE/hold"
	wait_until 5 grep -q ready "$PLACE/open"
	sleep 1.2
	daemon_end KILL
	wait_until 5 programs_are_gone "$PLACE/programs"
	# The open sessions go on, and new ones work: the kernel picks.
	[ "$(in_net ss -Htn state established dport = 7000 | wc -l)" = 20 ]
	exec 4>&-
	wait $!
	sed /ready/d "$PLACE/open" | tail -n 5 >"$PLACE/after"
	all_in_pool "$PLACE/after" 32768 49151
	# Without a daemon the ledger answers; and the next one opens it.
	sessions 'dport = 7000 and comm = connector' src sport >"$PLACE/ledger"
	awk '{ print $2 }' "$PLACE/closed" | sort >"$PLACE/closed.ports"
	awk '{ print $2 }' "$PLACE/ledger" | sort | comm -23 "$PLACE/closed.ports" - >"$PLACE/lost"
	[ ! -s "$PLACE/lost" ]
	daemon_start
	daemon_end TERM
	no_run_cgroup
}

@test "sessions open when the daemon was killed get an end from the next one" {
	daemon_start
	sink_start 127.0.0.1 7000
	mkfifo "$PLACE/hold"
	managed -- "$TOOLS/connector" -w 127.0.0.1 7000 <"$PLACE/hold" >"$PLACE/open" 3>&- &
	exec 4>"$PLACE/hold"
	wait_until 5 grep -q ready "$PLACE/open"
	sleep 1.2
	daemon_end KILL
	exec 4>&-
	wait $!
	daemon_start
	run sessions 'dport = 7000 and comm = connector' end_reason
	[ "$output" = lost ]
	run srcport sessions --json --since '5m ago'
	grep -q '"complete": *false' <<<"$(tail -n 1 <<<"$output")"
}

@test "a socket that connects again after the daemon was killed has a session of its own" {
	daemon_start
	mkfifo "$PLACE/hold"
	in_place python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.9.0.2", 7000))
print("ready", flush=True)
sys.stdin.readline()
s.connect(("10.9.0.3", 7000))
print("again", flush=True)
sys.stdin.readline()' <"$PLACE/hold" >"$PLACE/open" 3>&- &
	exec 4>"$PLACE/hold"
	wait_until 5 grep -q ready "$PLACE/open"
	sleep 1.2
	daemon_end KILL
	daemon_start
	echo >&4
	wait_until 5 grep -q again "$PLACE/open"
	run sessions 'dport = 7000' dst end_reason
	[ "$output" = $'10.9.0.2 fin\n10.9.0.3 None' ]
	exec 4>&-
	[ "$(sessions 'dport = 7000' id | sort -u | wc -l)" = 2 ]
}

# One end, the first, may yet fit into what is left of the ring.
held_sessions_are_lost() {
	[ "$(sessions 'dport = 7000' end_reason | grep -cx lost)" -ge 3 ]
}

@test "a session whose end found the ring full is lost within half a minute" {
	daemon_start
	sink_start 127.0.0.1 7000
	mkfifo "$PLACE/hold"
	in_place python3 -c '
import socket, sys
held = [socket.create_connection(("127.0.0.1", 7000)) for i in range(4)]
print("ready", flush=True)
sys.stdin.readline()
filler = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(120000):
    filler.connect(("127.0.0.1", 7001 + i % 2))
for connection in held:
    connection.close()
print("closed", flush=True)
sys.stdin.readline()' <"$PLACE/hold" >"$PLACE/open" 3>&- &
	exec 4>"$PLACE/hold"
	wait_until 5 grep -q ready "$PLACE/open"
	sleep 1.2
	kill -STOP "$DAEMON"
	echo >&4
	wait_until 10 grep -q closed "$PLACE/open"
	kill -CONT "$DAEMON"
	sleep 10
	wait_until 25 held_sessions_are_lost
	exec 4>&-
	grep -q 'ring full' <<<"$(srcport sessions --json --since '5m ago' 'dport = 7000')"
}

# gaps OPTION...: complete, and of each gap the cause and how many seconds ago it ended.
gaps() {
	srcport sessions --json "$@" | tail -n 1 | python3 -c '
import datetime, json, sys
end = json.load(sys.stdin)
now = datetime.datetime.now(datetime.timezone.utc)
print("complete" if end["complete"] else "incomplete", end="")
for gap in end["gaps"]:
    until = datetime.datetime.fromisoformat(gap["until"][:26] + "+00:00")
    print(";", gap["cause"], round((now - until).total_seconds()), end="")
    assert gap["from"] <= gap["until"], gap'
}

@test "what came after the last beat of a daemon that is gone is a gap" {
	daemon_start
	sleep 1.2
	local before=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	[ "$(gaps --since '1h ago')" = complete ]
	# Asked elsewhere, the ledger of a daemon that runs has no gap.
	[ "$(SRCPORT_SOCKET=$PLACE/nobody gaps --since '1h ago')" = complete ]
	sleep 1.2
	daemon_end KILL
	[[ $(gaps --since '1h ago') == 'incomplete; srcportd not running '[0-2] ]]
	[[ $(gaps --at now) == 'incomplete; srcportd not running '[0-2] ]]
	[ "$(gaps --since '1h ago' --until "$before")" = complete ]
	[[ $(gaps) == 'incomplete; srcportd not running '[0-2] ]]
	run srcport who 1025
	[ "$status" = 1 ]
	grep -q 'incomplete: srcportd not running from ' <<<"$output"
	daemon_start
	[ "$(gaps --since '1h ago' --until "$before")" = complete ]
	[[ $(gaps --since '1h ago') == 'incomplete; srcportd not running '? ]]
}

@test "a second daemon on the same cgroup says that one is running" {
	daemon_start
	run "$BUILD/srcportd" --state "$PLACE/other" --socket "$PLACE/other.socket" \
		--cgroup "$CGROUP"
	[ "$status" = 2 ]
	grep -qi 'running\|another\|already' <<<"$output"
	daemon_answers
}

@test "a lock that any user can take keeps no daemon from starting" {
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		flock "$CGROUP" sh -c 'echo locked; exec sleep 60' >"$PLACE/locker" 3>&- &
	local locker=$!
	wait_until 5 grep -q locked "$PLACE/locker"
	daemon_start
	# flock(1) waits for its child, who holds the lock as well.
	kill "$locker" $(pgrep -P "$locker")
	run setpriv --reuid=65534 --regid=65534 --clear-groups ls /run/srcport/lock
	[ "$status" != 0 ]
}

# Replace what the day's file holds.
spoil_ledger() {
	file=$(find "$STATE/ledger" -type f -size +0 ! -name '*-wal' ! -name '*-shm' | head -n 1)
	[ -n "$file" ]
	rm -f "$file"-*
	echo 'this is not a database, but it is long enough to be read' | tee "$file" >"$PLACE/garbage"
}

@test "a ledger that is not a database stops the daemon with its name" {
	daemon_start
	daemon_end TERM
	spoil_ledger
	run "$BUILD/srcportd" --state "$STATE" --socket "$SRCPORT_SOCKET" --cgroup "$CGROUP"
	[ "$status" = 2 ]
	grep -q "$STATE" <<<"$output"
	cmp "$file" "$PLACE/garbage"
}

@test "a ledger that is not a database stops srcport run with its name" {
	need_the_host
	spoil_ledger
	run managed -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	grep -q "$STATE" <<<"$output"
	cmp "$file" "$PLACE/garbage"
	[ ! -e "$PLACE/ran" ]
}

@test "a state folder that is read-only stops the daemon with its name" {
	mkdir "$PLACE/disk"
	mount -t tmpfs -o size=1m,ro tmpfs "$PLACE/disk"
	run "$BUILD/srcportd" --state "$PLACE/disk/state" --socket "$SRCPORT_SOCKET" \
		--cgroup "$CGROUP"
	[ "$status" = 2 ]
	grep -q "$PLACE/disk/state" <<<"$output"
}

@test "a full disk stops the daemon with its name" {
	mkdir "$PLACE/disk"
	mount -t tmpfs -o size=64k tmpfs "$PLACE/disk"
	dd if=/dev/zero of="$PLACE/disk/ballast" bs=4k 2>/dev/null || true
	run "$BUILD/srcportd" --state "$PLACE/disk/state" --socket "$SRCPORT_SOCKET" \
		--cgroup "$CGROUP"
	[ "$status" = 2 ]
	grep -q "$PLACE/disk/state" <<<"$output"
}

@test "a full disk stops srcport run with its name" {
	need_the_host
	mkdir "$PLACE/disk"
	mount -t tmpfs -o size=64k tmpfs "$PLACE/disk"
	dd if=/dev/zero of="$PLACE/disk/ballast" bs=4k 2>/dev/null || true
	SRCPORT_STATE=$PLACE/disk/state run managed -- touch "$PLACE/ran"
	[ "$status" = 125 ]
	grep -q "$PLACE/disk/state" <<<"$output"
	[ ! -e "$PLACE/ran" ]
}

@test "without privilege srcportd is 2 and says so" {
	copy_for_everyone
	run setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all \
		--inh-caps=-all "$PLACE/srcportd" --state "$STATE" --socket "$SRCPORT_SOCKET"
	[ "$status" = 2 ]
	grep -qiE 'root|privilege|permission|permitted|CAP_' <<<"$output"
}

@test "the daemon leaves no program, cgroup or socket behind" {
	daemon_start
	daemon_programs >"$PLACE/programs"
	[ -s "$PLACE/programs" ]
	managed -- "$TOOLS/connector" -n 10 10.9.0.2 80 >/dev/null
	daemon_end TERM
	wait_until 5 programs_are_gone "$PLACE/programs"
	no_run_cgroup
	[ ! -e "$SRCPORT_SOCKET" ]
}
