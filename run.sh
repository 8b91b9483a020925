#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# run.sh - build srcport from this tree and use it, without installing it.
top=$(cd "$(dirname "$0")" && pwd) || exit 125
. "$top/tools/packages.sh"

usage() {
	cat <<'EOF'
usage: sudo ./run.sh [--yes] [--ports SET | --pool NAME] [--sharing M] CMD [ARGUMENT...]
       sudo ./run.sh [--yes]

With a command: run it under `srcport run`, so that it and its children take managed
source ports, then list its sessions. The exit status is the command's own; 125 says
that run.sh or srcport failed.
Without: run srcportd in the foreground. It observes this host and prints sessions as
they come; Ctrl-C ends it and leaves the host as it was.

--yes installs the Debian packages that are missing without asking.
EOF
}

fail() {
	echo "run.sh: $1" >&2
	exit 125
}

ask=ask
unset ports pool sharing
while [ $# -gt 0 ]; do
	case $1 in
	-y | --yes) ask=no ;;
	-h | --help) usage; exit 0 ;;
	--ports=*) ports=${1#*=} ;;
	--pool=*) pool=${1#*=} ;;
	--sharing=*) sharing=${1#*=} ;;
	--ports | --pool | --sharing)
		[ $# -ge 2 ] || fail "$1 needs a value"
		case $1 in
		--ports) ports=$2 ;;
		--pool) pool=$2 ;;
		*) sharing=$2 ;;
		esac
		shift ;;
	--) shift; break ;;
	-*) fail "no option $1; see run.sh --help" ;;
	*) break ;;
	esac
	shift
done

[ $# -gt 0 ] || [ -z "${ports+x}${pool+x}${sharing+x}" ] ||
	fail '--ports, --pool and --sharing go with a command'

packages_need_root ./run.sh || exit 125
# shellcheck disable=SC2086 # lists of names
packages_install "$ask" $packages_build $packages_run || exit 125
make -s -C "$top" -j"$(nproc)" all </dev/null >&2 || fail 'the build failed'

export SRCPORT_STATE="${SRCPORT_STATE:-$top/build/state}"
srcport=$top/build/srcport

if [ $# -eq 0 ]; then
	echo "run.sh: the ledger is in $SRCPORT_STATE; ask with: sudo $srcport who PORT" >&2
	exec "$top/build/srcportd" --print --state "$SRCPORT_STATE" \
		${SRCPORT_SOCKET:+--socket "$SRCPORT_SOCKET"}
fi

since=$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)
scratch=$(mktemp) || exit 125
trap 'rm -f "$scratch"' EXIT
# Ctrl-C is for the command; we stay to list its sessions.
trap : INT QUIT
where="the ledger in $SRCPORT_STATE"
"$srcport" status >/dev/null 2>&1 && where='the running srcportd'
# srcport run becomes CMD without a fork, so the pid of this shell is CMD's, and the
# command's cgroup is named after it.
sh -c 'echo $$ >"$0" && exec "$@"' "$scratch" "$srcport" run ${ports+--ports "$ports"} \
	${pool+--pool "$pool"} ${sharing+--sharing "$sharing"} -- "$@"
status=$?
read -r pid <"$scratch"
echo "run.sh: ended with status $status; its sessions, from $where:" >&2
# What the command closed as it ended is over after a round trip: wait for that, a second
# at most.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$srcport" sessions "cgroup = *srcport-$pid-*" >/dev/null 2>&1 || break
	sleep 0.1
done
# A srcportd that this run started knows nothing of the moment before it.
began=$("$srcport" status --json 2>/dev/null | sed -n 's/.*"since": *"\([^"]*\)".*/\1/p')
[ "$(printf '%s\n%s\n' "$since" "$began" | LC_ALL=C sort | tail -n 1)" = "$since" ] || since=$began
"$srcport" sessions --since "$since" "cgroup = *srcport-$pid-*"
exit "$status"
