#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_run.sh - tests/run.sh tells of whatever a test program does, hanging included, and leaves no
# process behind where it is ended itself.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# program NAME: makes one of what stands on stdin.
program() {
    {
        echo '#!/usr/bin/env bash'
        cat
    } >"$directory/$1"
    chmod +x "$directory/$1"
}

program passes <<<"echo '100%: Checks: 3, Failures: 0, Errors: 0'"
program fails <<<"echo '66%: Checks: 3, Failures: 1, Errors: 0'; exit 1"
program crashes <<<"echo '100%: Checks: 2, Failures: 0, Errors: 0'; kill -SEGV \$\$"
program exits <<<"echo '100%: Checks: 2, Failures: 0, Errors: 0'; exit 99"
program silent <<<'exit 0'
program skipped <<<"echo 'no device'; exit 77"
# The Check library, ended by a signal, sends it on to its whole process group.
program hangs <<'END'
trap 'trap - TERM; kill -TERM 0' TERM
echo "$$" >"$0.id"
sleep 60 &
wait
END

# run NAME...: has these run, and keeps what is printed in $told and the exit code in $code.
run() {
    told=$(TEST_TIMEOUT=1 tests/run.sh "${@/#/$directory/}" 2>&1)
    code=$?
}

tells() {
    [[ $told =~ $1 ]]
}

is_gone() {
    for _ in {1..100}; do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

run passes skipped
check 'good programs are no failure' test "$code" = 0
check 'what passes and is skipped is counted' tells $'\n3 passed, 0 failed, 1 skipped$'

run passes fails crashes exits silent hangs
check 'bad programs are a failure' test "$code" = 1
check 'all that failed is counted' tells $'\n9 passed, 5 failed$'
check 'a case that fails is told of' tells 'fails +2 passed, 1 failed'
check 'a crash is told of' tells 'crashes +2 passed, 1 failed .*died of SIGSEGV'
check 'an exit code is told of' tells 'exits +2 passed, 1 failed .*exit code 99'
check 'one that says nothing is told of' tells 'silent +0 passed, 1 failed .*ran no case'
check 'one that hangs is told of' tells 'hangs +0 passed, 1 failed .*not done after 1 s'
check 'one that hangs is ended' is_gone "$(<"$directory/hangs.id")"

for signal in INT TERM; do
    rm -f "$directory/hangs.id"
    setsid env --default-signal=INT tests/run.sh "$directory/hangs" >/dev/null 2>&1 &
    runner=$!
    until [[ -s $directory/hangs.id ]]; do
        sleep 0.01
    done
    kill -"$signal" -- "-$runner"
    wait "$runner" 2>/dev/null
    code=$?
    check "ended by SIG$signal, it says so ($code)" test "$code" = $((128 + $(kill -l "$signal")))
    check "ended by SIG$signal, it ends what it runs" is_gone "$(<"$directory/hangs.id")"
done

end_checks
