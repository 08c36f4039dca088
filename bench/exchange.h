/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - one connection under load: keeps requests in flight, checks every
 * byte of the answers, and records how long each took.
 *
 * It is also an example of a future written without the await macros: it sends
 * and receives at the same time, so its poll function drives two children. */
#ifndef RILL_BENCH_EXCHANGE_H
#define RILL_BENCH_EXCHANGE_H

#include "bench/histogram.h"
#include "bench/pace.h"
#include "net/tcp.h"

#include <stdbool.h>
#include <stdint.h>

/* What all connections of a run share. A request is sent when the one before it that
 * fills the depth is answered, or, with a pace, no earlier than it is due. In a
 * broadcast connection 0 sends, and all receive; the next message is sent when all
 * have received the last. */
struct load {
    uint64_t connections;
    uint32_t size;  /* of a request, in bytes */
    uint32_t depth; /* requests in flight on a connection; 1 in a broadcast */
    bool broadcast;
    struct pace pace;

    bool measuring;           /* requests that end now count */
    bool stopping;            /* no further requests */
    uint64_t requests;        /* that ended while measuring */
    uint64_t heard;           /* how often something came back, measuring or not */
    struct histogram latency; /* also of those that were on their way when measuring ended, and at
                               * least of those that were due by then and were never sent */

    /* private: of a broadcast */
    uint64_t messages;        /* that were sent */
    uint64_t deliveries;      /* of all of them, to all connections */
    struct rill_task *sender; /* of connection 0, or NULL before its first poll */
};

/* Invariant, but for those that receive a broadcast: sent - received bytes are on
 * their way; started - finished requests are in flight, and times_ns[request % depth]
 * holds when each began. */
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
    uint64_t index; /* of the connection */
    uint64_t sent, received, started, finished;
    int64_t *times_ns;
};

/* The bytes of the pattern that all data is taken from. Call it once. */
void exchange_make_pattern(void);

/* Compares size bytes that came back with those of the pattern from position on, in
 * the stream of connection index. Returns 0 or -EBADMSG. */
int exchange_check(const void *data, uint64_t index, uint64_t position, uint64_t size);

/* The bytes of that stream from position on; those of EXCHANGE_CHUNK_MAX are there. */
enum { EXCHANGE_CHUNK_MAX = 1024 * 1024 };
const void *exchange_bytes(uint64_t index, uint64_t position);

/* Takes account of an answer to a request that began at began_ns. */
void load_answered(struct load *load, int64_t began_ns);

/* Takes account of the requests of connection index that were due and were not sent, all but the
 * first begun. To be called when the connection has ended, without which they would wait on. */
void load_never_sent(struct load *load, uint64_t index, uint64_t begun);

/* Sends and receives on connection number index until load->stopping is set and all
 * answers are there; it has to be woken when that is set. Borrows everything, times_ns
 * having load->depth entries: those of connection 0 in a broadcast. */
struct rill_future *exchange_run(struct exchange *exchange, struct load *load,
                                 struct rill_tcp *peer, uint64_t index, int64_t *times_ns);

#endif
