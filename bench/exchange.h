/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - one connection under load: keeps requests in flight, checks every
 * byte of the answers, and records how long each took.
 *
 * It is also an example of a future written without the await macros: it sends
 * and receives at the same time, so its poll function drives two children. */
#ifndef RILL_BENCH_EXCHANGE_H
#define RILL_BENCH_EXCHANGE_H

#include "bench/histogram.h"
#include "net/tcp.h"

#include <stdbool.h>
#include <stdint.h>

/* What all connections of a run share. */
struct load {
    uint32_t size;  /* of a request, in bytes */
    uint32_t depth; /* requests in flight on a connection */
    bool measuring; /* requests that end now count */
    bool stopping;  /* no further requests */
    uint64_t requests;
    struct histogram latency;
};

/* Invariant: sent - received bytes are on their way; started - finished requests
 * are in flight, and times[request % depth] holds when each began. */
struct exchange {
    union {
        int64_t result; /* 0 when stopped, -EBADMSG for a wrong byte, or -errno */
        struct rill_future future;
    };

    /* private */
    struct load *load;
    struct rill_tcp *peer;
    struct rill_borrow send, chunk;
    bool sending, receiving;
    uint64_t seed; /* where in the pattern this connection begins */
    uint64_t sent, received, started, finished;
    int64_t *times_ns;
};

/* The bytes of the pattern that all data is taken from. Call it once. */
void exchange_make_pattern(void);

/* Sends and receives until load->stopping is set and all answers are there.
 * Borrows everything, times_ns having load->depth entries. seed makes the bytes of
 * connections differ. */
struct rill_future *exchange_run(struct exchange *exchange, struct load *load,
                                 struct rill_tcp *peer, uint64_t seed, int64_t *times_ns);

#endif
