/* SPDX-License-Identifier: Apache-2.0 */
/* ping_report.c - what rill-ping prints. */
#include "bench/json.h"
#include "bench/ping.h"
#include "runtime/executor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static double microseconds(uint64_t ns)
{
    return (double)ns / 1e3;
}

static double per_second(const struct ping *ping, double amount)
{
    int64_t ns = ping->end_ns - ping->begin_ns;

    return ns > 0 ? amount * RILL_SECOND / (double)ns : 0;
}

/* Bytes that went to the server and came back, each counted once, in 10^6. */
static double megabytes(const struct ping *ping)
{
    return (double)ping->load.requests * ping->load.size / 1e6;
}

static const char *mode_of(const struct ping *ping)
{
    return ping->idle             ? "idle"
           : ping->churn          ? "churn"
           : ping->load.broadcast ? "broadcast"
           : ping->rate > 0       ? "open loop"
                                  : "closed loop";
}

/* Requests of an open loop that were due and had to wait until the end: the server, or
 * this program, was slower than that. */
static uint64_t unsent(const struct ping *ping)
{
    uint64_t due = ping->load.pace.due;

    return due > ping->load.messages ? due - ping->load.messages : 0;
}

void ping_print_json(const struct rill_runtime *runtime, const struct ping *ping)
{
    const struct histogram *latency = &ping->load.latency;
    struct json json;

    json_begin(&json, stdout);
    json_string(&json, "url", ping->text);
    json_integer(&json, "connections", ping->connections);
    json_unsigned(&json, "size", ping->load.size);
    json_unsigned(&json, "depth", ping->load.depth);
    json_double(&json, "seconds", (double)(ping->end_ns - ping->begin_ns) / RILL_SECOND, 3);
    json_unsigned(&json, "requests", ping->load.requests);
    json_unsigned(&json, "errors", ping->errors);
    json_string(&json, "mode", mode_of(ping));
    if (ping->rate > 0) {
        json_integer(&json, "rate", ping->rate);
        json_unsigned(&json, "unsent", unsent(ping));
    }
    json_double(&json, "requests_per_second", per_second(ping, (double)ping->load.requests), 0);
    json_double(&json, "megabytes_per_second", per_second(ping, megabytes(ping)), 2);
    json_open_object(&json, "latency_us");
    json_double(&json, "min", microseconds(histogram_min(latency)), 1);
    json_double(&json, "mean", histogram_mean(latency) / 1e3, 1);
    json_double(&json, "p50", microseconds(histogram_percentile(latency, 50)), 1);
    json_double(&json, "p90", microseconds(histogram_percentile(latency, 90)), 1);
    json_double(&json, "p99", microseconds(histogram_percentile(latency, 99)), 1);
    json_double(&json, "p999", microseconds(histogram_percentile(latency, 99.9)), 1);
    json_double(&json, "max", microseconds(histogram_max(latency)), 1);
    json_close(&json);
    json_unsigned(&json, "enters", runtime->reactor.stats.enters);
    json_end(&json);
}

void ping_print_report(const struct ping *ping)
{
    const struct histogram *latency = &ping->load.latency;

    printf("%s: %" PRId64 " connections, %" PRIu32 " bytes, %" PRIu32 " in flight on each\n",
           ping->text, ping->connections, ping->load.size, ping->load.depth);
    if (ping->idle)
        return;
    if (ping->churn)
        puts("  a connection for each request; a latency is that of connecting, answer and end");
    if (ping->load.broadcast)
        puts("  sent on one connection; each reception by one of them is a request");
    if (ping->rate > 0)
        printf("  %" PRId64 " requests/s were due, %" PRIu64 " were not sent in time to end\n",
               ping->rate, unsent(ping));
    printf("  %.0f requests/s, %.2f MB/s, every byte checked\n",
           per_second(ping, (double)ping->load.requests), per_second(ping, megabytes(ping)));
    printf("  latency p50 %.1f us, p90 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n",
           microseconds(histogram_percentile(latency, 50)),
           microseconds(histogram_percentile(latency, 90)),
           microseconds(histogram_percentile(latency, 99)),
           microseconds(histogram_percentile(latency, 99.9)), microseconds(histogram_max(latency)));
}

/* UCX tells the same thing in several ways, by the transport. */
static const char *rdma_reason(int64_t error)
{
    switch (error) {
    case -ECONNREFUSED:
        return "connection refused: nobody listens there for rdma://, or the server has no "
               "descriptors left for more";
    case -ETIMEDOUT:
        return "no answer: nobody is there, or nobody who speaks rdma://";
    case -ECONNRESET:
        return "the connection was lost";
    case -ESHUTDOWN:
        return "the server closed the connection";
    case -EPROTOTYPE:
        return "the segments of the two sides differ: --long-segments, or a setting of UCX's, on "
               "one of them alone";
    default:
        return NULL;
    }
}

const char *ping_reason(const struct ping *ping, int64_t error)
{
    if (ping->is_rdma && rdma_reason(error))
        return rdma_reason(error);
    switch (error) {
    case -ECONNREFUSED:
        return "connection refused: no server listens there";
    case -ENOENT:
        return strcmp(ping->url.scheme, "unix") == 0 ? "there is no such file"
                                                     : "there is no host of that name";
    case -EMFILE:
        return "too many open files: raise the limit (ulimit -n) or ask for fewer connections";
    case -EBADMSG:
        return "a byte came back that was not sent";
    case -ETIMEDOUT:
        return "the time is over";
    case -EADDRNOTAVAIL:
        return "no local port is left: use several addresses of the server; or this machine has no "
               "address of the server's family";
    case -EAGAIN:
        return "the name cannot be looked up now: no name server answers, or no thread can be "
               "started for it (ulimit -u)";
    default:
        return strerror((int)-error);
    }
}

void ping_print_progress(const struct ping *ping)
{
    fprintf(stderr, "\r%3.0f s  %" PRIu64 " requests, p50 %.1f us, p99 %.1f us   ",
            (double)(rill_now() - ping->begin_ns) / RILL_SECOND, ping->load.requests,
            (double)histogram_percentile(&ping->load.latency, 50) / 1e3,
            (double)histogram_percentile(&ping->load.latency, 99) / 1e3);
}
