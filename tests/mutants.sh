#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# mutants.sh - do the tests find bugs? Plants one at a time, and looks who catches it.
#
#     tests/mutants.sh [NAME...]
#
# Each tests/mutants/NAME.patch is a bug of the kind that is made: its first line says
# which. It is applied to a copy of the tree in build/mutants, the scenarios and the tests
# are built there and run until the first failure. A mutant that nobody catches, or a
# patch that does not apply any more, fails the run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

copy=build/mutants
seeds=400
timeout=60

# In the order in which they are tried: what is quick and sees much comes first.
tests=(scenarios)
if pkg-config --exists ucx; then
    tests+=(rdma_keeper rdma_endpoint_end rdma_rpc_client rdma_loss rdma_hearing rdma_deaf rdma_backlog)
fi
tests+=(combinators channel priority_channel semaphore mutex rwlock object_pool wheel timeout sleep op reactor
    executor task scope listener buffers sender tcp_shared tcp_receive tcp_send tcp_release cancel_receive
    cancel_send cancel_wait cancel_file cancel_path descriptors replace recheck recancel conformance udp
    udp_borrowed cancel_datagram pipe child_start child_close)

if (($#)); then
    patches=("${@/%/.patch}")
    patches=("${patches[@]/#/tests/mutants/}")
else
    patches=(tests/mutants/*.patch)
fi

# Built once: after each patch only what it touches is compiled again. What an interrupted run
# has left is older than its objects, with a bug in them.
rm -rf "$copy"
mkdir -p "$copy"
tar -c --exclude=./build --exclude=./.git . | tar -x -C "$copy"
build() {
    make -C "$copy" -j"$(nproc)" --no-print-directory "${tests[@]/#/build/tests/test_}" \
        >"$copy/build.log" 2>&1
}
if ! build; then
    tail -n 20 "$copy/build.log"
    echo 'mutants: the tree does not build as it is'
    exit 1
fi

# who TEST CODE: in words, what it was that the mutant did not get past.
who() {
    local what
    case $1 in
    scenarios) what=$(grep -m 1 -o 'SCENARIO=.*' "$copy/run.log") ;;
    *) what=$(grep -m 1 -oE ':[FE]:[^:]*:[a-z0-9_]+' "$copy/run.log" | sed 's/.*://') ;;
    esac
    if (($2 == 124)); then
        what="which does not end"
    fi
    echo "test_$1, $what"
}

# Prints what caught the mutant that is in the copy; returns 1 if nothing did.
# One in which a test only does not end is caught if no other test fails, as a machine that is
# busy can make any test slow.
catch() {
    local test code hung=''
    for test in "${tests[@]}"; do
        code=0
        SIM_SEEDS=$seeds SIM_SEED=1 timeout -k 5 "$timeout" \
            "$copy/build/tests/test_$test" >"$copy/run.log" 2>&1 </dev/null || code=$?
        if ((code == 124)); then
            hung=${hung:-$(who "$test" "$code")}
        elif ((code)); then
            who "$test" "$code"
            return
        fi
    done
    [[ -n $hung ]] && echo "$hung"
}

if by=$(catch); then
    echo "mutants: the tree as it is does not pass $by"
    exit 1
fi

caught=0 survived=0
for patch in "${patches[@]}"; do
    name=$(basename "$patch" .patch)
    start=$SECONDS
    if ! patch -s -p1 -d "$copy" <"$patch" >"$copy/patch.log"; then
        cat "$copy/patch.log"
        echo "mutants: $patch does not apply any more: plant its bug anew"
        exit 1
    fi
    if ! build; then
        tail -n 20 "$copy/build.log"
        echo "mutants: $patch does not build any more: plant its bug anew"
        exit 1
    fi
    if by=$(catch); then
        caught=$((caught + 1))
        printf 'caught    %-24s %3d s  by %s\n' "$name" $((SECONDS - start)) "$by"
    else
        survived=$((survived + 1))
        printf 'SURVIVED  %-24s %3d s  %s\n' "$name" $((SECONDS - start)) "$(head -n 1 "$patch")"
    fi
    patch -s -R -p1 -d "$copy" <"$patch"
done
rm -rf "$copy"
echo "$caught mutants caught, $survived survived"
((survived == 0))
