/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/metrics.h"

void rill_rdma_metrics_add(struct rill_rdma_metrics *metrics, const struct rill_rdma_metrics *other)
{
    metrics->messages_sent += other->messages_sent;
    metrics->bytes_sent += other->bytes_sent;
    metrics->messages_received += other->messages_received;
    metrics->bytes_received += other->bytes_received;
    metrics->errors += other->errors;
    metrics->sends_in_flight += other->sends_in_flight;
    metrics->receives_in_flight += other->receives_in_flight;
    metrics->credit_waits += other->credit_waits;
    metrics->beats_sent += other->beats_sent;
    metrics->beats_received += other->beats_received;
    metrics->connects += other->connects;
    metrics->failures += other->failures;
    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++)
        metrics->send_latency[i] += other->send_latency[i];
}

uint64_t rill_rdma_metrics_percentile(const struct rill_rdma_metrics *metrics, double percent)
{
    uint64_t count = 0, seen = 0;

    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++)
        count += metrics->send_latency[i];
    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++) {
        seen += metrics->send_latency[i];
        if (seen > 0 && (double)seen >= (double)count * percent / 100)
            return UINT64_C(1) << (i + RILL_RDMA_LATENCY_FIRST_BITS);
    }
    return 0;
}
