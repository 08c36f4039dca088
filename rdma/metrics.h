/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.h - what connections have counted. */
#ifndef RILL_RDMA_METRICS_H
#define RILL_RDMA_METRICS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Buckets of a latency: the first counts those below 256 ns, each further one those below
 * twice as much, the last all that are longer than an hour and more. */
enum {
    RILL_RDMA_LATENCY_BUCKETS = 36,
    RILL_RDMA_LATENCY_FIRST_BITS = 8,
};

/* Since the beginning, but for sends_in_flight and receives_in_flight. Messages are those of
 * exchange.h, parcel.h and pipeline.h: what else goes over the endpoint of a connection is not
 * counted here. Calls have rill_rdma_rpc.stats. */
struct rill_rdma_metrics {
    uint64_t messages_sent, bytes_sent;
    uint64_t messages_received, bytes_received;
    uint64_t errors; /* operations that ended with one, but for -ECANCELED and -ESHUTDOWN */
    uint64_t sends_in_flight, receives_in_flight;
    uint64_t credit_waits; /* sends that waited until the other side had received */
    uint64_t beats_sent, beats_received;
    uint64_t connects; /* times that a connection came about */
    uint64_t failures; /* times that one was lost, or did not come about */
    /* From the first poll of a send until its buffer was free again. Times are those of the
     * turns in which that was seen. */
    uint64_t send_latency[RILL_RDMA_LATENCY_BUCKETS];
};

/* Adds what other has counted. */
void rill_rdma_metrics_add(struct rill_rdma_metrics *metrics,
                           const struct rill_rdma_metrics *other);

/* Counts a latency. */
static inline void rill_rdma_metrics_latency(struct rill_rdma_metrics *metrics, int64_t ns)
{
    int bits = ns > 0 ? 64 - __builtin_clzll((unsigned long long)ns) : 0;
    int bucket = bits > RILL_RDMA_LATENCY_FIRST_BITS ? bits - RILL_RDMA_LATENCY_FIRST_BITS : 0;

    metrics->send_latency[bucket < RILL_RDMA_LATENCY_BUCKETS ? bucket
                                                             : RILL_RDMA_LATENCY_BUCKETS - 1]++;
}

/* Returns a time in nanoseconds that percent of the sends did not exceed: the end of the
 * bucket that it lies in, so up to twice too much. 0 where there is none. */
uint64_t rill_rdma_metrics_percentile(const struct rill_rdma_metrics *metrics, double percent);

#ifdef __cplusplus
}
#endif
#endif
