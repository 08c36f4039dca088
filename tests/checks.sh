# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# checks.sh - what a script of checks counts with, and says at its end in the words of the Check
# library, which tests/run.sh reads. To be sourced.
checks=0 failures=0

# check WHAT COMMAND...: counts, and says what is wrong if the command fails.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" || {
        echo "$what"
        failures=$((failures + 1))
    }
}

# Says how many there were. To be the last command: fails if one has failed.
end_checks() {
    echo "$((100 * (checks - failures) / checks))%: Checks: $checks, Failures: $failures, Errors: 0"
    ((failures == 0))
}
