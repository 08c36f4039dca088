/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_load.h - the part of rill-ping that loads rdma://host:port.
 *
 * A request is a message, and the answer one with the same bytes and the same tag. As in
 * rdma_echo.h, nothing of UCX is to be seen here. */
#ifndef RILL_BENCH_RDMA_LOAD_H
#define RILL_BENCH_RDMA_LOAD_H

#include "bench/exchange.h"
#include "bench/transport.h"
#include "net/url.h"

#include <stdbool.h>
#include <stdint.h>

struct rdma_load_options {
    int64_t connections;
    struct transport transport;
    bool is_unprotected; /* neither credit nor heartbeats */
};

/* Opens UCX in the runtime of this thread, which ends it, and makes room for all
 * connections. The load and the url are borrowed until then. Returns 0, or -errno and has
 * said why on stderr. */
int rdma_load_open(const struct rdma_load_options *options, struct load *load,
                   const struct rill_url *url);

/* Gives the room back: after the end of the runtime. */
void rdma_load_free(void);

/* Connects the connection of that number. The result is 0 or -errno: of rill_resolve, or of
 * rill_rdma_connect. */
struct rill_future *rdma_load_connect(uint64_t index);

/* Sends and receives on it until load->stopping is set and all answers are there; as
 * exchange_run. */
struct rill_future *rdma_load_run(uint64_t index, int64_t *times_ns);

/* Closes it, if it is open. The result is 0, or why it ended otherwise. */
struct rill_future *rdma_load_close(uint64_t index);

#endif
