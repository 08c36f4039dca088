/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_options.h - what a program is told on its command line (transport.h), as rdma takes it. */
#ifndef RILL_BENCH_RDMA_OPTIONS_H
#define RILL_BENCH_RDMA_OPTIONS_H

#include "bench/transport.h"
#include "rdma/rdma.h"

static inline struct rill_rdma_options rdma_options_of(const struct transport *transport)
{
    return (struct rill_rdma_options){
        .shared_memory = transport->shared_memory,
        .long_segments = transport->long_segments,
        .single_copy = transport->single_copy,
        .tcp_only = transport->tcp_only,
    };
}

#endif
