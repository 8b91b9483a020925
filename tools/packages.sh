# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# packages.sh - the Debian 12 packages srcport needs, and how to get those that are
# missing. Sourced by run.sh and test.sh.

packages_build='make gcc libc6-dev linux-libc-dev clang bpftool libbpf-dev libinih-dev
	libsqlite3-dev libjansson-dev libmnl-dev'
# The names of services, which srcport shows beside the ports.
packages_run='netbase'
packages_test='libcmocka-dev bats clang-format iproute2 curl netcat-openbsd bind9-dnsutils
	dnsmasq-base python3 sqlite3 util-linux procps mount'

# Those of the packages named that are not installed, on one line.
packages_missing() {
	for package; do
		state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)
		[ "$state" = 'ii ' ] || printf '%s ' "$package"
	done
}

# packages_install ASK PACKAGE...: say which are missing and install them. With ASK
# "ask", a person at a terminal may say no; elsewhere nobody is there to answer.
packages_install() {
	ask=$1
	shift
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	echo "Installing from Debian: $missing" >&2
	if [ "$ask" = ask ] && [ -t 0 ] && [ -t 2 ]; then
		printf 'Go on? [Y/n] ' >&2
		read -r answer
		case $answer in
		[Nn]*) echo 'Nothing installed.' >&2; return 1 ;;
		esac
	fi
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086 # a list of names
	{
		apt-get install -y -q --no-install-recommends $missing ||
			{ apt-get update -q &&
			  apt-get install -y -q --no-install-recommends $missing; }
	} </dev/null >&2 || {
		echo "apt-get could not install: $missing" >&2
		return 1
	}
}

packages_need_root() {
	[ "$(id -u)" = 0 ] || {
		echo "$1 needs root (BPF, cgroups, packages): try sudo $1" >&2
		return 1
	}
}
