#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_headers.sh - compiles each public header alone, as C11 and as C++17, so
# that none counts on what another one includes, and as cc does without flags; and a
# program in C++ that uses their macros. What they are to refuse, they refuse. The examples compile
# as README says for programs outside the tree, which is without _GNU_SOURCE. No layer includes
# one above it.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

headers=(runtime/*.h io/*.h net/*.h)
read -r -a flags < <(pkg-config --cflags liburing)
if pkg-config --exists ucx; then
    headers+=(rdma/*.h)
fi
flags+=(-I. -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only)
strict=(-Wpedantic -Wconversion -Wsign-conversion) # which many programs ask for

cases=0 failures=0 running=0
finish_one() {
    wait -n || failures=$((failures + 1))
    running=$((running - 1))
}

# check COMMAND...: counts, and runs it beside others.
check() {
    cases=$((cases + 1))
    ((running < $(nproc))) || finish_one
    "$@" <&0 & # which has no standard input by itself
    running=$((running + 1))
}

for header in "${headers[@]}"; do
    include="#include \"$header\""
    check "${CC:-gcc}" -std=c11 "${flags[@]}" "${strict[@]}" -x c - <<<"$include"
    check "${CC:-gcc}" "${flags[@]}" -U_GNU_SOURCE -x c - <<<"$include"
    check "${CXX:-g++}" -std=c++17 "${flags[@]}" "${strict[@]}" -x c++ - <<<"$include"
done

# includes_only DIRECTORY PATTERN: its sources and headers include none of rill's but these.
includes_only() {
    local others
    others=$(grep -n '^#include "' "$1"/*.[ch] | grep -vE "#include \"($2)") || return 0
    echo "$1/ is not to include these (CONTRIBUTING.md, Structure):"
    echo "$others"
    return 1
}

check includes_only runtime 'runtime/'
check includes_only io 'io/|runtime/'
check includes_only net 'net/|io/|runtime/'
check includes_only rdma 'rdma/|io/|runtime/|net/(address|resolve|url)\.h'

# Whatever else of the kernel's and of libc's is included, before or behind, and in C++.
statx='struct statx status;'
for order in '#include "io/path.h"
#include <sys/stat.h>' '#include <sys/stat.h>
#include "io/path.h"' '#include <linux/stat.h>
#include "io/file.h"' '#include "io/file.h"
#include <linux/stat.h>'; do
    for gnu in -D_GNU_SOURCE -U_GNU_SOURCE; do
        check "${CC:-gcc}" "${flags[@]}" $gnu -x c - <<<"$order"$'\n'"$statx"
        check "${CXX:-g++}" -std=c++17 "${flags[@]}" $gnu -x c++ - <<<"$order"$'\n'"$statx"
    done
done
for example in examples/*.c examples/guide/*.c; do
    grep -q '"rdma/' "$example" && ! pkg-config --exists ucx && continue
    grep -q '<openssl/' "$example" && ! pkg-config --exists openssl && continue
    grep -q '<http_parser' "$example" && ! "${CC:-gcc}" -include http_parser.h -x c -fsyntax-only \
        /dev/null 2>/dev/null && continue
    check "${CC:-gcc}" "${flags[@]}" -U_GNU_SOURCE "$example"
done

# refuses SENTENCE COMPILE: what stands on stdin does not compile, and the compiler says why.
refuses() {
    local sentence=$1 compile=$2 told
    if told=$("$compile" 2>&1); then
        echo "$compile accepts what it has to refuse with: $sentence"
        return 1
    fi
    grep -qF -- "$sentence" <<<"$told" || {
        echo "$told"
        return 1
    }
}

# service MEMBERS: a program whose service is a struct of these members.
service() {
    printf '%s\n' '#include "net/tcp.h"' '#include "runtime/service.h"' \
        "struct session { $1 };" \
        'enum rill_poll session_poll(struct rill_future *self, struct rill_task *task);' \
        'struct rill_service session_service(void);' \
        'struct rill_service session_service(void)' \
        '{ return RILL_SERVICE(struct session, peer, session_poll); }'
}

as_c() {
    "${CC:-gcc}" -std=c11 "${flags[@]}" -Wpedantic -x c -
}

as_cxx() {
    "${CXX:-g++}" -std=c++17 "${flags[@]}" -Wpedantic -x c++ -
}

in_order='struct rill_task task; struct rill_tcp peer;'
for compile in as_c as_cxx; do
    check "$compile" <<<"$(service "$in_order")"
    for members in 'struct rill_tcp peer; struct rill_task task;' 'int task; struct rill_tcp peer;'; do
        check refuses 'the struct of a service begins with' "$compile" <<<"$(service "$members")"
    done
done
for member in 'int number = 7;' '~session() {}'; do
    check refuses 'never constructed' as_cxx <<<"$(service "$in_order $member")"
done

for cxx in "${CXX:-g++}" clang++; do
    command -v "$cxx" >/dev/null || continue
    check "$cxx" -std=c++17 "${flags[@]}" -Wpedantic tests/in_cxx.cc
    # g++ takes a function with the name of a struct for one that hides a constructor. In C
    # there is none, and the names are right; to those who ask for such warnings in C++ the
    # headers are a library's (docs/guide/futures.md).
    check "$cxx" -std=c++17 "${flags[@]}" -isystem . -Wshadow tests/in_cxx.cc
done

while ((running)); do
    finish_one
done
echo "$((cases ? 100 * (cases - failures) / cases : 100))%:" \
    "Checks: $cases, Failures: $failures, Errors: 0"
((failures == 0))
