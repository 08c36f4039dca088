#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_readme.sh - the program that README.md shows is the one that is tested.
#
# Below the line <!-- examples/echo.c --> the README has a ```c block: it has to
# be that file, byte for byte, and the file has to fit on a page.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

program=examples/echo.c
lines_max=49
failures=0

# Prints the fenced block that follows the marker.
shown() {
    awk -v marker="<!-- $program -->" '
        inside && /^```/      { exit }
        inside                { print; next }
        $0 == marker          { marked = 1; next }
        marked && /^```c$/    { inside = 1 }' README.md
}

if ! diff -u --label "README.md" --label "$program" <(shown) "$program"; then
    echo "README.md shows another program below <!-- $program --> than $program"
    failures=$((failures + 1))
fi

lines=$(wc -l <"$program") || lines=0
if ((lines == 0 || lines > lines_max)); then
    echo "$program has $lines lines, and should have 1 to $lines_max"
    failures=$((failures + 1))
fi

echo "$((100 - 50 * failures))%: Checks: 2, Failures: $failures, Errors: 0"
((failures == 0))
