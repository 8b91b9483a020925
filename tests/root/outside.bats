#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Programs that no rule of the policy fits: what srcport costs them, as the kernel counts
# the run time of BPF programs (tests/tools/run_time), and that nothing fails for them.
#
# The kernel's count has its two readings of the clock in each run, which is most of what
# a short one is counted with. A program that does nothing (tests/tools/rewriter, of no
# port) runs beside; the least of all is taken for the clock, and is no less than it.

load helper

ROUNDS=5 CONNECTS=20000 LIMIT_NS=150

setup() {
	place_make
	mkfifo "$PLACE/hold"
	exec 4<>"$PLACE/hold"
	"$TOOLS/rewriter" "$CGROUP/caller" 2 1 10.9.0.2 80 \
		<"$PLACE/hold" >"$PLACE/nothing" 3>&- 4>&- &
	NOTHING=$!
	wait_until 5 grep -q ready "$PLACE/nothing"
}

teardown() {
	exec 4>&-
	place_remove
}

programs_of() {
	cat /proc/"$1"/fdinfo/* 2>/dev/null | sed -n 's/^prog_id:[[:space:]]*//p' | sort -u
}

# rules KIND...: a policy with a rule of each kind, none of which fits the connector.
rules() {
	local kind number=0
	{
		printf '[pool default]\nports = 50000-59999\n'
		for kind; do
			printf '[rule r%d]\npool = default\n' $((number += 1))
			case $kind in
			uid) printf 'uid = %d\n' $((60000 + number)) ;;
			cgroup)
				mkdir -p "$CGROUP/other$number"
				printf 'cgroup = /%s/other%d\n' "$NET" "$number"
				;;
			exe)
				cp /bin/true "$PLACE/exe$number"
				printf 'exe = %s\n' "$PLACE/exe$number"
				;;
			destination) printf 'destination = 192.0.2.%d:443\n' "$number" ;;
			esac
		done
	} >"$PLACE/srcport.conf"
}

# A round: connect()s to where nobody answers, each closed at once. All must work, with
# ports of the kernel's. Prints what the connect hook was counted with, and the sum of all
# of the allocator's programs less the clock: the state changes to SYN_SENT and to CLOSE,
# so that program runs twice. (More runs are other programs' on this machine.)
round() {
	in_place "$TOOLS/run_time" "$(programs_of "$DAEMON") $(programs_of "$NOTHING")" \
		"$TOOLS/connector" -k -n "$CONNECTS" 10.9.0.2 80 \
		>"$PLACE/tuples" 2>"$PLACE/run_time"
	[ "$(line_count "$PLACE/tuples")" = "$CONNECTS" ]
	all_in_pool "$PLACE/tuples" 32768 49151
	awk -v connects="$CONNECTS" '
		!clock || $3 / $2 < clock { clock = $3 / $2 }
		$1 == "alloc_connect4" && $2 == connects { hook = $3 / $2 }
		/^alloc_/ && !/^alloc_serve/ {
			times = $1 == "alloc_set_state" ? 2 : 1
			runs += times
			sum += times * $3 / $2
			line = line sprintf(" %s %.0f", substr($1, 7), $3 / $2)
		}
		END {
			if (!hook || !clock) exit 1
			printf "%.0f %.0f sum %.0f clock %.0f%s\n", hook,
				sum - runs * clock, sum, clock, line
		}' "$PLACE/run_time"
}

# The least of the rounds: what else the machine does only adds.
costs_little() {
	local i
	for ((i = 0; i < ROUNDS; i++)); do
		round >>"$PLACE/rounds"
	done
	cat "$PLACE/rounds" >&2
	[ -z "$OUTSIDE_FIGURES" ] ||
		sed "s/^/$BATS_TEST_DESCRIPTION: /" "$PLACE/rounds" >>"$OUTSIDE_FIGURES"
	[ "$(sort -nk 2 "$PLACE/rounds" | awk '{ print $2; exit }')" -le "$LIMIT_NS" ]
}

@test "outside one rule by uid no connect() fails or costs more than 150 ns beside the clock" {
	rules uid
	daemon_start 4>&-
	costs_little
}

@test "outside one rule by cgroup no connect() fails or costs more than 150 ns beside the clock" {
	rules cgroup
	daemon_start 4>&-
	costs_little
}

@test "outside one rule by executable no connect() fails or costs more than 150 ns beside the clock" {
	rules exe
	daemon_start 4>&-
	costs_little
}

@test "outside one rule by destination no connect() fails or costs more than 150 ns beside the clock" {
	rules destination
	daemon_start 4>&-
	costs_little
}

@test "outside ten rules of all kinds no connect() fails or costs more than 150 ns beside the clock" {
	rules uid cgroup exe destination uid cgroup exe destination uid destination
	daemon_start 4>&-
	costs_little
}
