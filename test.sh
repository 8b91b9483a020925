#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# test.sh - build srcport and run every test. The last line is the count.
cd "$(dirname "$0")" || exit 2
. tools/packages.sh

ask=ask
case $1 in
-y | --yes) ask=no ;;
'') ;;
*) echo 'usage: sudo ./test.sh [--yes]' >&2; exit 2 ;;
esac

packages_need_root ./test.sh || exit 2
# shellcheck disable=SC2086 # lists of names
packages_install "$ask" $packages_build $packages_run $packages_test || exit 2

counts=$(mktemp) || exit 2
trap 'rm -f "$counts"' EXIT
broken=0
for target in all check check-root; do
	make -j"$(nproc)" TEST_COUNTS="$counts" "$target" && continue
	broken=1
	[ "$target" != all ] || break
done

# Each line: passed, failed, skipped. A build that broke counts as a failure.
awk -v broken="$broken" '
	{ passed += $1; failed += $2; skipped += $3 }
	END {
		if (broken && !failed)
			failed = 1
		printf "%d passed, %d failed", passed, failed
		if (skipped)
			printf ", %d skipped", skipped
		print ""
		exit failed > 0
	}' "$counts"
