/* SPDX-License-Identifier: Apache-2.0 */
/* pace.h - requests at a fixed rate, whether the answers come or not: an open loop.
 *
 * A load that waits for an answer before it sends the next request goes easy on a
 * server just when it is slow, and leaves out of its latencies what it did not send
 * then. Here request number n is due at begin + n * interval, whatever happened before,
 * and its latency counts from that moment. The connections take the requests in turns:
 * connection i has the numbers i, i + connections, i + 2 * connections, ... */
#ifndef RILL_BENCH_PACE_H
#define RILL_BENCH_PACE_H

#include "runtime/sleep.h"
#include "runtime/task.h"

#include <stdint.h>

/* Zeroed: no pace. Then the first two are set, and tasks. */
struct pace {
    double interval_ns;       /* between two requests; 0: no pace */
    uint64_t connections;     /* that take turns */
    struct rill_task **tasks; /* of each connection, NULL until it waits; borrowed */
    uint64_t due;             /* requests whose time has come */
    struct rill_task task;

    /* private */
    int64_t begin_ns;
    struct rill_sleep sleep;
};

/* Starts pace->task, which wakes each connection when a request of its own is due, until
 * it is cancelled. It is to be joined. Borrows the pace until then. */
void pace_start(struct pace *pace);

/* Ends it, and fixes how many requests were due, those included that its task was too late to
 * wake anybody for. Does nothing where it was not started. */
void pace_stop(struct pace *pace);

/* How many requests of a connection were due until now. */
static inline uint64_t pace_due_on(const struct pace *pace, uint64_t connection)
{
    return (pace->due + pace->connections - 1 - connection) / pace->connections;
}

/* When a connection's request, counted from 0, is due. */
static inline int64_t pace_time_ns(const struct pace *pace, uint64_t connection, uint64_t request)
{
    return pace->begin_ns +
           (int64_t)((double)(request * pace->connections + connection) * pace->interval_ns);
}

#endif
