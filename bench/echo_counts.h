/* SPDX-License-Identifier: Apache-2.0 */
/* echo_counts.h - what rill-echo has done, over whatever transport. */
#ifndef RILL_BENCH_ECHO_COUNTS_H
#define RILL_BENCH_ECHO_COUNTS_H

#include <stdint.h>

struct echo_counts {
    uint64_t connections, messages, bytes, errors;
};

#endif
