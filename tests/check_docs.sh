#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_docs.sh - the programs that the documentation shows are those that are
# compiled, and they print what it says.
#
# Below a line <!-- examples/guide/mutex.c --> stands a ```c block that is this
# file, byte for byte. Below <!-- output of examples/guide/mutex --> stands a ```text
# block that is all that the built example prints when it is run without arguments,
# and it exits with 0. Every program in examples/guide/ has to be shown, and every
# file that a page links to has to be there. Sizes of structs are what the compiler says.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. tests/checks.sh
shopt -s nullglob

pages=(README.md docs/*.md docs/guide/*.md)
linking_pages=("${pages[@]}" CONTRIBUTING.md CHANGELOG.md docs/benchmarks/*/README.md)
builds=(build build/asan)
first_program=examples/echo.c
first_program_lines_max=49

# markers PAGE PATTERN: what stands in the page's markers of one kind.
markers() {
    sed -n "s/^<!-- $2 -->\$/\1/p" "$1"
}

# block PAGE MARKER: the fenced block that follows the marker.
block() {
    awk -v marker="<!-- $2 -->" '
        inside && /^```/          { exit }
        inside                    { print; next }
        $0 == marker              { marked = 1; next }
        marked && /^```(c|text)$/ { inside = 1 }' "$1"
}

# links PAGE: the files that it links to. What stands in a block is no link.
links() {
    awk '/^```/ { inside = !inside } !inside' "$1" | grep -o ']([^)#]*' | cut -c3- |
        grep -v '^https\?:'
}

same_source() {
    diff -u --label "$1" --label "$2" <(block "$1" "$2") "$2"
}

# Some examples sleep for tens of milliseconds, and print who was faster. Where others take
# the processors away for so long they print something else, so each has three attempts.
same_output() {
    local page=$1 program=$2 build=$3 printed told

    for _ in 1 2 3; do
        printed=$(timeout 60 "$build/$program" 2>&1 </dev/null && echo .)
        told=$(diff -u --label "$page" --label "$build/$program" \
            <(block "$page" "output of $program"; echo .) <(printf '%s\n' "$printed")) && return
    done
    printf '%s\n' "$told"
    return 1
}

for page in "${pages[@]}"; do
    for source in $(markers "$page" '\(examples\/.*\.c\)'); do
        check "$page shows another program than $source" same_source "$page" "$source"
    done
    for program in $(markers "$page" 'output of \(examples\/.*\)'); do
        for build in "${builds[@]}"; do
            [[ -x $build/$program ]] || continue
            check "$page: $build/$program failed, or printed something else" \
                same_output "$page" "$program" "$build"
        done
    done
done

for page in "${linking_pages[@]}"; do
    for target in $(links "$page"); do
        check "$page links to $target, which is not there" test -e "$(dirname "$page")/$target"
    done
done

for source in examples/guide/*.c; do
    check "no page in docs/guide/ shows $source" grep -qxF "<!-- $source -->" docs/guide/*.md
done

# Pages that tell in bytes how large structs are, the header, and the structs.
struct_sizes='
addresses     net/address.h          rill_address
barrier       runtime/barrier.h      rill_barrier rill_meet
descriptors   net/descriptors.h      rill_send_descriptors rill_recv_descriptors
files         io/file.h              rill_file rill_op
futures       runtime/future.h       rill_future
mutex         runtime/mutex.h        rill_mutex rill_mutex_lock
notify        runtime/notify.h       rill_notify rill_wait
object_pool   runtime/object_pool.h  rill_pooled rill_object_pool rill_object_pool_take
once          runtime/once.h         rill_once rill_once_run
paths         io/op.h                rill_op
process       io/process_run.h       rill_process rill_process_run
rate_limit    runtime/rate_limit.h   rill_rate_limit rill_rate_limit_take
rdma_connection rdma/exchange.h      rill_rdma_transfer
rdma_memory   rdma/memory.h          rill_rdma_memory rill_rdma_remote rill_rdma_op
rdma_pools    rdma/buffer_pool.h     rill_rdma_buffer
rdma_pools    rdma/pipeline.h        rill_rdma_pipeline_slot rill_rdma_pipeline
reader        io/reader.h            rill_reader
readiness     io/readiness.h         rill_op
retry         runtime/retry.h        rill_retry
rwlock        runtime/rwlock.h       rill_rwlock rill_rwlock_use
semaphore     runtime/semaphore.h    rill_semaphore rill_acquire
sleep         runtime/sleep.h        rill_sleep rill_interval
tasks         runtime/task.h         rill_task
tcp           net/connect.h          rill_tcp rill_connect
udp           net/udp.h              rill_udp rill_datagram
'
read -r -a flags < <(pkg-config --cflags liburing)
flags+=(-I. -D_GNU_SOURCE -fsyntax-only -x c)

# has_size HEADER STRUCT TEXT: whether its size stands in the text. It is read from the compiler's
# complaint about a type, so nothing has to be built and run for another machine.
has_size() {
    local header=$1 struct=$2 text=$3 size

    size=$("${CC:-gcc}" "${flags[@]}" - 2>&1 \
        <<<"#include \"$header\""$'\n'"char (*size)[sizeof(struct $struct)] = 1.0;" |
        grep -om1 'char (\*)\[[0-9]*\]' | tr -dc '0-9')
    size=$(sed ':again; s/^\([0-9]\+\)\([0-9]\{3\}\)/\1,\2/; t again' <<<"$size")
    grep -qwF -- "${size:-unknown}" <<<"$text" || {
        echo "struct $struct: ${size:-unknown} bytes"
        return 1
    }
}

while read -r page header structs; do
    [[ -n $page ]] || continue
    [[ $header == rdma/* ]] && ! pkg-config --exists ucx && continue
    costs=$(sed -n '/^## Costs/,/^## [^C]/p' "docs/guide/$page.md")
    for struct in $structs; do
        check "docs/guide/$page.md tells another size of struct $struct" \
            has_size "$header" "$struct" "$costs"
    done
done <<<"$struct_sizes"

lines=$(wc -l <"$first_program") || lines=0
check "$first_program has $lines lines, and should have 1 to $first_program_lines_max" \
    test "$lines" -ge 1 -a "$lines" -le "$first_program_lines_max"

end_checks
