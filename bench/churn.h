/* SPDX-License-Identifier: Apache-2.0 */
/* churn.h - connects, exchanges one request, and closes, again and again.
 *
 * It closes as a polite client does: it finishes sending, and closes when the server has
 * closed its side. So no data is in flight when the connection ends, and what a server
 * does to begin and end a connection is part of the time. */
#ifndef RILL_BENCH_CHURN_H
#define RILL_BENCH_CHURN_H

#include "bench/exchange.h"
#include "net/connect.h"
#include "runtime/timeout.h"

struct churn {
    union {
        int64_t result; /* 0 when stopped, -EBADMSG for a wrong byte, or -errno */
        struct rill_future future;
    };

    /* private */
    struct load *load;
    const struct rill_url *url;
    const char *congestion;
    uint64_t index;
    struct rill_future visit; /* of one connection */
    struct rill_tcp peer;
    struct rill_connect connect;
    struct rill_timeout timeout;
    struct rill_borrow send, chunk;
    struct rill_op finish;
    uint64_t sent_before; /* by earlier visits: no answer to one of them is one to the next */
    uint64_t received;
    int64_t begin_ns;
};

/* Goes on until load->stopping is set; a request is a connection. Borrows everything.
 * congestion may be NULL. index makes the bytes of several differ. */
struct rill_future *churn_run(struct churn *churn, struct load *load, const struct rill_url *url,
                              const char *congestion, uint64_t index);

#endif
