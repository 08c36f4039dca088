/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rdma_report.h"

#include "net/address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A connection that ended. */
struct told {
    char peer[RILL_ADDRESS_TEXT_MAX], transports[RDMA_TRANSPORTS_MAX];
    int error;
    struct rill_rdma_metrics metrics;
};

/* The one that was added as number i is at i % RDMA_REPORT_MAX. */
static struct {
    struct told latest[RDMA_REPORT_MAX];
    uint64_t count;
} ended;

void rdma_report_add(const struct rill_rdma_connection *connection, const char *peer,
                     const char *transports)
{
    struct told *told = &ended.latest[ended.count++ % RDMA_REPORT_MAX];

    snprintf(told->peer, sizeof told->peer, "%s", peer);
    snprintf(told->transports, sizeof told->transports, "%s", transports);
    told->error = connection->error;
    told->metrics = connection->metrics;
}

static void print_percentile(struct json *json, const char *key,
                             const struct rill_rdma_metrics *metrics, double percent)
{
    json_double(json, key, (double)rill_rdma_metrics_percentile(metrics, percent) / 1e3, 3);
}

/* The end of each bucket that is not empty, and the number of sends in it. */
static void print_histogram(struct json *json, const struct rill_rdma_metrics *metrics)
{
    json_open_array(json, "histogram");
    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++) {
        if (metrics->send_latency[i] == 0)
            continue;
        json_open_object(json, NULL);
        json_double(json, "below",
                    (double)(UINT64_C(1) << (i + RILL_RDMA_LATENCY_FIRST_BITS)) / 1e3, 3);
        json_unsigned(json, "count", metrics->send_latency[i]);
        json_close(json);
    }
    json_close(json);
}

static void print_metrics(struct json *json, const struct rill_rdma_metrics *metrics)
{
    json_unsigned(json, "messages_sent", metrics->messages_sent);
    json_unsigned(json, "bytes_sent", metrics->bytes_sent);
    json_unsigned(json, "messages_received", metrics->messages_received);
    json_unsigned(json, "bytes_received", metrics->bytes_received);
    json_unsigned(json, "errors", metrics->errors);
    json_unsigned(json, "sends_in_flight", metrics->sends_in_flight);
    json_unsigned(json, "receives_in_flight", metrics->receives_in_flight);
    json_unsigned(json, "credit_waits", metrics->credit_waits);
    json_unsigned(json, "beats_sent", metrics->beats_sent);
    json_unsigned(json, "beats_received", metrics->beats_received);
    json_unsigned(json, "connects", metrics->connects);
    json_unsigned(json, "failures", metrics->failures);
    json_open_object(json, "send_latency_us");
    print_percentile(json, "p50", metrics, 50);
    print_percentile(json, "p90", metrics, 90);
    print_percentile(json, "p99", metrics, 99);
    print_percentile(json, "p999", metrics, 99.9);
    print_histogram(json, metrics);
    json_close(json);
}

static void print_worker(struct json *json, const struct rill_rdma *rdma)
{
    const struct rill_event_source_stats *waiting = &rdma->source.stats;

    json_open_object(json, "worker");
    json_unsigned(json, "posts", rdma->stats.posts);
    json_unsigned(json, "posts_inline", rdma->stats.posts_inline);
    json_unsigned(json, "cancels", rdma->stats.cancels);
    json_unsigned(json, "abandoned", rdma->stats.abandoned);
    json_unsigned(json, "endpoints_failed", rdma->stats.endpoints_failed);
    json_unsigned(json, "losses", rdma->stats.losses);
    json_unsigned(json, "requests_rejected", rdma->stats.requests_rejected);
    json_unsigned(json, "ops_in_flight", rdma->ops_in_flight);
    json_unsigned(json, "endpoints", rdma->endpoints);
    json_close(json);
    json_open_object(json, "waiting");
    json_unsigned(json, "progress_calls", waiting->progress_calls);
    json_unsigned(json, "progress_hits", waiting->progress_hits);
    json_unsigned(json, "arms", waiting->arms);
    json_unsigned(json, "arms_busy", waiting->arms_busy);
    json_unsigned(json, "back_offs", waiting->back_offs);
    json_unsigned(json, "wake_ups", waiting->wake_ups);
    json_unsigned(json, "wake_ups_futile", waiting->wake_ups_futile);
    json_unsigned(json, "sleeps_bounded", waiting->sleeps_bounded);
    json_unsigned(json, "events_recovered", waiting->events_recovered);
    json_close(json);
}

static void print_connections(struct json *json)
{
    uint64_t first = ended.count > RDMA_REPORT_MAX ? ended.count - RDMA_REPORT_MAX : 0;

    json_unsigned(json, "connections_untold", first);
    json_open_array(json, "connections");
    for (uint64_t i = first; i < ended.count; i++) {
        const struct told *told = &ended.latest[i % RDMA_REPORT_MAX];

        json_open_object(json, NULL);
        json_string(json, "peer", told->peer);
        json_string(json, "transports", told->transports);
        json_string(json, "ended", told->error == -ESHUTDOWN ? "closed" : strerror(-told->error));
        print_metrics(json, &told->metrics);
        json_close(json);
    }
    json_close(json);
}

void rdma_report_print(struct json *json, const struct rill_rdma_hub *hub)
{
    struct rill_rdma_metrics all;

    rill_rdma_hub_metrics(hub, &all);
    json_open_object(json, "rdma");
    print_metrics(json, &all);
    print_worker(json, hub->rdma);
    print_connections(json);
    json_close(json);
}
