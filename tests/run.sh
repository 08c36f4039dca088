#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - runs test programs one after the other and counts their cases.
#
#     tests/run.sh PROGRAM...
#
# A program says how many cases it ran in the words of the Check library,
#
#     100%: Checks: 12, Failures: 0, Errors: 0
#
# as often as it likes. One that crashes, hangs, says nothing or exits with
# something else than 0 without telling of a failure counts as one failed case;
# exit code 77 means skipped. The last line is the sum, `N passed, N failed`, and
# the exit code is 0 only if nothing failed.
#
# TEST_TIMEOUT   seconds that each program has (600), which only one that hangs needs
# TEST_WRAPPER   a command to run each program with, such as valgrind
set -uo pipefail

timeout=${TEST_TIMEOUT:-600}
read -r -a wrapper <<<"${TEST_WRAPPER:-}"

# Keeps stack frames apart after their functions have returned: what a future
# wrongly left in a local variable is then found when it is used. A program that is to fail
# ends with 1, so what a sanitizer finds is to end with something else.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:exitcode=99}
export LSAN_OPTIONS=${LSAN_OPTIONS:-exitcode=99}
# A process that ends while threads of a pool wait for work would wait a second for them.
export TSAN_OPTIONS=${TSAN_OPTIONS:-atexit_sleep_ms=20}

passed=0 failed=0 skipped=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Prints what of the current program's output helps to understand a failure.
show_output() {
    sed 's/^/    | /' "$output" | tail -n 100
}

# Adds up the result lines in the output: "<cases> <failures>".
count_cases() {
    awk '/^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
             gsub(/,/, ""); cases += $3; failures += $5 + $7
         }
         END { print cases + 0, failures + 0 }' "$output"
}

run() {
    local program=$1 code=0 cases failures note=''
    local start=${EPOCHREALTIME/[.,]/} end

    # --foreground: Ctrl-C reaches the program too. The braces keep the shell from
    # telling of a crash, which is done below.
    {
        timeout --foreground -k 5 "$timeout" "${wrapper[@]}" "$program" \
            >"$output" 2>&1 </dev/null || code=$?
    } 2>/dev/null
    end=${EPOCHREALTIME/[.,]/}

    if ((code == 77)); then
        skipped=$((skipped + 1))
        printf 'skip  %-38s %s\n' "$program" "$(tail -n 1 "$output")"
        return
    fi

    read -r cases failures < <(count_cases)
    if ((code == 124 || code == 137)); then
        note="not done after $timeout s"
    elif ((code > 128)); then
        note="died of SIG$(kill -l "$code")"
    elif ((code != 0 && (failures == 0 || code == 99))); then
        note="exit code $code"
    elif ((code == 0 && cases == 0)); then
        note='ran no case'
    fi
    if [[ -n $note ]]; then
        cases=$((cases + 1)) failures=$((failures + 1))
    fi

    passed=$((passed + cases - failures))
    failed=$((failed + failures))
    printf '%-5s %-38s %4d passed%s %5d ms%s\n' "$( ((failures)) && echo FAIL || echo ok)" \
        "$program" $((cases - failures)) "$( ((failures)) && printf ', %d failed' "$failures")" \
        $(((end - start) / 1000)) "${note:+  ($note)}"
    if ((failures)); then
        show_output
    fi
}

for program in "$@"; do
    run "$program"
done

closing="$passed passed, $failed failed"
if ((skipped)); then
    closing+=", $skipped skipped"
fi
echo "$closing"
((failed == 0 && passed > 0))
