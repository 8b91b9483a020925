# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# helper.bash - the programs, and a folder for one test. Nothing here needs root, and
# no daemon is started: the socket and the state lie in the test's own folder.

TOP=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$TOP/$BUILD

place_make() {
	PLACE=$(mktemp -d)
	export SRCPORT_SOCKET=$PLACE/socket SRCPORT_STATE=$PLACE/state
	chmod 755 "$PLACE"
}

place_remove() {
	rm -rf "$PLACE"
}

srcport() {
	"$BUILD/srcport" "$@"
}

# As a user without privilege, who may not even see the tree.
unprivileged() {
	cp "$BUILD/$1" "$PLACE/$1"
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all \
			"$PLACE/$@"
	else
		"$PLACE/$@"
	fi
}

nothing_changed() {
	[ ! -e "$SRCPORT_STATE" ] && [ ! -e "$SRCPORT_SOCKET" ]
}
