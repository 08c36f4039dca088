#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - runs test programs, as many at a time as there are processors, and counts their
# cases.
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
# TEST_JOBS      how many run at a time (as many as there are processors)
# TEST_TIMEOUT   seconds that each program has (600), which only one that hangs needs
# TEST_WRAPPER   a command to run each program with, such as valgrind
set -uo pipefail

jobs=${TEST_JOBS:-$(nproc)}
timeout=${TEST_TIMEOUT:-600}
if ! [[ $jobs =~ ^[1-9][0-9]*$ ]]; then
    echo "run.sh: TEST_JOBS is '$jobs', and not a number from 1 on" >&2
    exit 2
fi
read -r -a wrapper <<<"${TEST_WRAPPER:-}"

# Keeps stack frames apart after their functions have returned: what a future
# wrongly left in a local variable is then found when it is used. A program that is to fail
# ends with 1, so what a sanitizer finds is to end with something else.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:exitcode=99}
export LSAN_OPTIONS=${LSAN_OPTIONS:-exitcode=99}
# A process that ends while threads of a pool wait for work would wait a second for them.
export TSAN_OPTIONS=${TSAN_OPTIONS:-atexit_sleep_ms=20}

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# Prints what of a program's output helps to understand a failure.
show() {
    sed 's/^/    | /' "$1" | tail -n 100
}

# Adds up the result lines in a program's output: "<cases> <failures>".
count_cases() {
    awk '/^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
             gsub(/,/, ""); cases += $3; failures += $5 + $7
         }
         END { print cases + 0, failures + 0 }' "$1"
}

# Runs a program, in a subshell. Leaves what is to be told of it in the file $result.text, and
# how many cases passed, failed and were skipped in $result.
run() {
    local program=$1 result=$2 output=$2.output code=0 cases failures note=''
    local start=${EPOCHREALTIME/[.,]/} end

    # In a process group of its own, which timeout makes: the Check library sends what ends it on
    # to all of its group. The braces keep the shell from telling of a crash, which is done below.
    {
        timeout -k 5 "$timeout" env --default-signal=INT,QUIT \
            "${wrapper[@]}" "$program" >"$output" 2>&1 </dev/null &
        echo $! >"$result.id"
        wait $! || code=$?
    } 2>/dev/null
    end=${EPOCHREALTIME/[.,]/}

    exec >"$result.text"
    if ((code == 77)); then
        echo 0 0 1 >"$result"
        printf 'skip  %-38s %s\n' "$program" "$(tail -n 1 "$output")"
        return
    fi

    read -r cases failures < <(count_cases "$output")
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

    echo $((cases - failures)) "$failures" 0 >"$result"
    printf '%-5s %-38s %4d passed%s %5d ms%s\n' "$( ((failures)) && echo FAIL || echo ok)" \
        "$program" $((cases - failures)) "$( ((failures)) && printf ', %d failed' "$failures")" \
        $(((end - start) / 1000)) "${note:+  ($note)}"
    if ((failures)); then
        show "$output"
    fi
}

# stop CODE: ends what runs, which a signal to the group of this script does not reach.
stop() {
    trap '' INT TERM
    shopt -s nullglob
    for id in "$directory"/*.id; do
        kill -TERM "$(<"$id")" 2>/dev/null
    done
    wait
    exit "$1"
}
trap 'stop 130' INT
trap 'stop 143' TERM

declare -A result_of=() # by the id of the process that makes it
passed=0 failed=0 skipped=0

# Waits for the first program that ends, and tells of it.
collect() {
    local id result counts

    wait -n -p id
    result=${result_of[$id]}
    unset "result_of[$id]"
    cat "$result.text"
    read -r -a counts <"$result"
    passed=$((passed + counts[0])) failed=$((failed + counts[1])) skipped=$((skipped + counts[2]))
    rm "$result" "$result.id" "$result.text" "$result.output"
}

for program in "$@"; do
    while ((${#result_of[@]} >= jobs)); do
        collect
    done
    result=$directory/${program//\//_}
    run "$program" "$result" &
    result_of[$!]=$result
done
while ((${#result_of[@]})); do
    collect
done

closing="$passed passed, $failed failed"
if ((skipped)); then
    closing+=", $skipped skipped"
fi
echo "$closing"
((failed == 0 && passed > 0))
