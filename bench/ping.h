/* SPDX-License-Identifier: Apache-2.0 */
/* ping.h - a run of rill-ping: what is asked for, and what came of it. */
#ifndef RILL_BENCH_PING_H
#define RILL_BENCH_PING_H

#include "bench/churn.h"
#include "bench/exchange.h"
#include "bench/transport.h"
#include "io/runtime.h"
#include "io/signals.h"
#include "net/connect.h"
#include "runtime/select.h"
#include "runtime/timeout.h"

struct ping;

struct client {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_join join;
    union {
        struct exchange exchange;
        struct churn churn;
    };
    struct rill_future *running; /* until the end of the run */
    struct ping *ping;
};

struct ping {
    struct rill_future future;

    /* what is asked for */
    const char *text;
    struct rill_url url;
    int64_t connections, size, depth, seconds_ns, warmup_ns;
    int64_t rate; /* requests per second, 0: as fast as they are answered */
    const char *congestion;
    int wait_policy;
    bool idle, churn, marks, json, progress, interrupted;
    bool is_rdma, is_unprotected;
    struct transport transport; /* of rdma:// */

    /* the run */
    struct load load;
    struct client *clients;
    int64_t *times_ns; /* depth entries for each client */
    int64_t connected, next, begin_ns, end_ns;
    uint64_t errors; /* connections that broke */
    uint64_t silent; /* connections that still owed an answer when they were given up */
    int64_t first_error;
    const char *phase; /* "cannot connect" or the like, with a result < 0 */
    struct rill_connect connect;
    struct rill_timeout timeout;
    struct rill_interval second;
    struct rill_sleep sleep;
    struct rill_join pacing;
    struct rill_signals signals;
    struct rill_future *choices[2];
    struct rill_select select;
};

/* Reads the command line, and exits where something is wrong with it. */
void ping_read_command_line(struct ping *ping, int argc, char **argv);

/* Prints the result on stdout: as one JSON object, or for people. */
void ping_print_json(const struct rill_runtime *runtime, const struct ping *ping);
void ping_print_report(const struct ping *ping);

/* Shows on one line of stderr, which it writes again and again, how far it is. */
void ping_print_progress(const struct ping *ping);

/* What an error means to somebody who runs a load. */
const char *ping_reason(const struct ping *ping, int64_t error);

#endif
