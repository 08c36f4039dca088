#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_headers.sh - compiles each public header alone, as C11 and as C++17, so
# that none counts on what another one includes, and as cc does without flags; and a
# program in C++ that uses their macros.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

headers=(runtime/*.h io/*.h net/*.h)
read -r -a flags < <(pkg-config --cflags liburing)
if pkg-config --exists ucx; then
    headers+=(rdma/*.h)
fi
flags+=(-I. -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only)

cases=0 failures=0
check() {
    cases=$((cases + 1))
    "$@" || failures=$((failures + 1))
}

for header in "${headers[@]}"; do
    include="#include \"$header\""
    check "${CC:-gcc}" -std=c11 "${flags[@]}" -x c - <<<"$include"
    check "${CC:-gcc}" "${flags[@]}" -U_GNU_SOURCE -x c - <<<"$include"
    check "${CXX:-g++}" -std=c++17 "${flags[@]}" -x c++ - <<<"$include"
done
for cxx in "${CXX:-g++}" clang++; do
    command -v "$cxx" >/dev/null || continue
    check "$cxx" -std=c++17 "${flags[@]}" -Wpedantic tests/in_cxx.cc
    # g++ takes a function with the name of a struct for one that hides a constructor. In C
    # there is none, and the names are right; to those who ask for such warnings in C++ the
    # headers are a library's (docs/guide/futures.md).
    check "$cxx" -std=c++17 "${flags[@]}" -isystem . -Wshadow tests/in_cxx.cc
done

echo "$((cases ? 100 * (cases - failures) / cases : 100))%:" \
    "Checks: $cases, Failures: $failures, Errors: 0"
((failures == 0))
