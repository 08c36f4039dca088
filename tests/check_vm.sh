#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_vm.sh - runs test programs in virtual machines: on the oldest kernel that
# rill supports, and over emulated devices for RDMA.
#
#     tests/check_vm.sh PART... -- PROGRAM...
#
# A part is one machine, which tests/vm.sh starts:
#
#     floor           Linux 6.1 and no device; all programs
#     loop-rc_v       one soft-RoCE device that talks to itself, UCX's reliable
#     loop-ud_verbs   connections or its datagrams over it; the programs test_rdma_*
#     wire-rc_v       two devices and a wire between them that can be cut; the same
#     wire-ud_verbs   programs, which connect by worker address there
#
# Each part ends with a line of tests/run.sh, `N passed, N failed`, and the last line
# is the sum. A machine that does not start or end counts as one failure. The exit code
# is 0 only if nothing failed.
#
# How a program learns what it is connected by: tests/rdma/network.h.
set -uo pipefail

# Everything is emulated, the processor as well: what a program and a case may take,
# and what a test's own limits are multiplied by.
program_seconds=900
slowness=20
machine_seconds=3600

# How soon a peer that is gone is noticed, instead of after half a minute and more;
# docs/guide/rdma_verbs.md explains them.
ucx_settings=(
    UCX_KEEPALIVE_INTERVAL=1s
    UCX_RC_VERBS_TIMEOUT=50ms
    UCX_RC_VERBS_RETRY_COUNT=3
    UCX_UD_VERBS_TIMEOUT=3s
)

here=$(dirname "$0")
parts=()
while (($#)) && [[ $1 != -- ]]; do
    parts+=("$1")
    shift
done
shift
programs=("$@")

# The programs that talk to a device.
rdma_programs=()
for program in "${programs[@]}"; do
    case ${program##*/} in
    test_rdma_op | test_rdma_error | test_rdma_config | test_rdma_silence) ;; # UCX is played
    test_rdma_endpoint_begin | test_rdma_endpoint_end) ;;                     # likewise
    test_rdma_rpc_client | test_rdma_rpc_server | test_rdma_rpc_random) ;;    # likewise
    test_rdma_examples | test_rdma_programs | test_rdma_rpc_programs) ;; # name a device themselves
    test_rdma_*) rdma_programs+=("$program") ;;
    esac
done

output=$(mktemp)
trap 'rm -f "$output"' EXIT
passed=0 failed=0 skipped=0

# run PART MODE PROGRAM... [with variables in environment=()]
run() {
    local part=$1 mode=$2 variable code=0 start=$SECONDS
    local options=(--rdma "$mode" --timeout "$machine_seconds")
    shift 2
    for variable in TEST_TIMEOUT=$program_seconds CK_TIMEOUT_MULTIPLIER=$slowness \
        TEST_SLOWNESS=$slowness TEST_JOBS=1 CK_VERBOSITY TEST_WRAPPER "${environment[@]}"; do
        options+=(--env "$variable")
    done
    printf '== %s\n' "$part"
    "$here/vm.sh" "${options[@]}" -- "$here/run.sh" "$@" | tee "$output" || code=$?
    add_up "$part" $code
    printf '== %s took %d s\n' "$part" $((SECONDS - start))
}

add_up() {
    local closing
    closing=$(tail -n 1 "$output")
    if [[ $closing =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        if ((BASH_REMATCH[1] == 0)); then
            failed=$((failed + 1))
            printf 'FAIL  nothing was run in the machine of %s\n' "$1"
        fi
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    else
        failed=$((failed + 1))
        printf 'FAIL  the machine of %s ended with exit code %d\n' "$1" "$2"
    fi
}

for part in "${parts[@]}"; do
    environment=()
    case $part in
    floor)
        run "$part" none "${programs[@]}"
        continue
        ;;
    loop-*)
        environment=(TEST_RDMA_DEVICES=rxe0:1 TEST_RDMA_ADDRESS=10.77.0.1)
        ;;
    wire-*)
        environment=("TEST_RDMA_DEVICES=rxe0:1,rxe1:1")
        ;;
    *)
        echo "check_vm: there is no part $part" >&2
        exit 2
        ;;
    esac
    environment+=("TEST_RDMA_TLS=${part#*-},self" "${ucx_settings[@]}")
    if ((${#rdma_programs[@]})); then
        run "$part" "${part%-*}" "${rdma_programs[@]}"
    else
        echo "== $part: no program of rdma was built"
        skipped=$((skipped + 1))
    fi
done

closing="$passed passed, $failed failed"
if ((skipped)); then
    closing+=", $skipped skipped"
fi
echo "$closing"
((failed == 0 && passed > 0))
