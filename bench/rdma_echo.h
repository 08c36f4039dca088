/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_echo.h - the part of rill-echo that serves rdma://host:port.
 *
 * Nothing of UCX is to be seen here, so that a build without it has the same program:
 * rdma_absent.c then stands for rdma_echo.c and rdma_load.c. */
#ifndef RILL_BENCH_RDMA_ECHO_H
#define RILL_BENCH_RDMA_ECHO_H

#include "bench/echo_counts.h"
#include "bench/json.h"
#include "bench/transport.h"
#include "runtime/scope.h"

#include <stdbool.h>
#include <stdint.h>

enum { RDMA_MESSAGE_MAX = 1 << 20 }; /* a longer one ends its connection */

/* What to say where rdma:// is asked for and was not built in; NULL where it was. */
extern const char *const rdma_absent;

struct rdma_echo_options {
    struct transport transport;
    bool is_unprotected;      /* neither credit nor heartbeats */
    int64_t silence_max_ns;   /* before each message, 0: any */
    struct rill_scope *scope; /* of connections, borrowed, or NULL */
    size_t connections_max;   /* in the scope, 0: any number */
};

/* Opens UCX in the runtime of this thread, once its signals are open. The counts are
 * borrowed until it is closed. Returns 0, or -errno and has said why on stderr. */
int rdma_echo_open(const struct rdma_echo_options *options, struct echo_counts *counts);

/* Listens at the address of a URL, tells on stdout where, and sends each message of each
 * connection back with its tag, until it is cancelled; the connections go on. number
 * counts these servers from 0; url is borrowed. The result is -ECANCELED, or
 * why it could not listen. */
enum { RDMA_ECHO_SERVERS_MAX = 64 };
struct rill_future *rdma_echo_serve(unsigned number, const char *url);

/* Ends UCX, when no connection is left. Does nothing where it was not opened. */
void rdma_echo_close(void);

/* Writes what UCX and the connections have counted, as the object "rdma"; nothing where it
 * was not opened. */
void rdma_echo_print(struct json *json);

#endif
