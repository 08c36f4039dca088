#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# check_harness.sh - what measures rill beside its peers (bench/harness) computes and behaves as
# docs/benchmarks.md says: tests/harness.py.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

if ! command -v python3 >/dev/null; then
    echo 'no python3'
    exit 77
fi
PYTHONPATH=bench/harness PYTHONDONTWRITEBYTECODE=1 exec python3 tests/harness.py
