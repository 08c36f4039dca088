/* SPDX-License-Identifier: Apache-2.0 */
/* ping.c - rill-ping: loads an echo server, checks every byte, and measures. */
#include "bench/cli.h"
#include "bench/exchange.h"
#include "bench/json.h"
#include "bench/wait_policy.h"
#include "io/runtime.h"
#include "io/signals.h"
#include "net/connect.h"
#include "net/socket_options.h"
#include "net/url.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IN_FLIGHT_MAX = 1 << 30 };

static const int64_t connect_limit_ns = 10 * RILL_SECOND;
static const int64_t finish_limit_ns = 2 * RILL_SECOND;

struct client {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_join join;
    struct exchange exchange;
    struct ping *ping;
};

struct ping {
    struct rill_future future;

    /* what is asked for */
    const char *text;
    struct rill_url url;
    int64_t connections, seconds_ns, warmup_ns;
    const char *congestion;
    bool idle, progress, interrupted;

    /* the run */
    struct load load;
    struct client *clients;
    int64_t *times_ns; /* depth entries for each client */
    int64_t connected, next, begin_ns, end_ns;
    uint64_t errors; /* connections that broke */
    int64_t first_error;
    const char *phase; /* "cannot connect" or the like, with a result < 0 */
    struct rill_connect connect;
    struct rill_timeout timeout;
    struct rill_interval second;
    struct rill_sleep sleep;
    struct rill_signals signals;
    struct rill_future *choices[2];
    struct rill_select select;
};

/* ---- a connection ---- */

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);
    struct ping *ping = client->ping;

    RILL_BEGIN();
    RILL_AWAIT(exchange_run(&client->exchange, &ping->load, &client->peer,
                            (uint64_t)(client - ping->clients) * 7919,
                            &ping->times_ns[(client - ping->clients) * ping->load.depth]));
    if (client->exchange.result < 0 && client->exchange.result != -ECANCELED) {
        if (ping->errors++ == 0)
            ping->first_error = client->exchange.result;
    }
    RILL_AWAIT(rill_tcp_close(&client->peer));
    RILL_RETURN(client->exchange.result);
    RILL_END();
}

static void client_start(struct ping *ping, struct client *client)
{
    client->ping = ping;
    (void)rill_socket_set_nodelay(client->peer.fd, true);
    if (ping->congestion)
        (void)rill_socket_set_congestion(client->peer.fd, ping->congestion);
    ping->connected++;
}

/* ---- the run ---- */

/* Opens all connections, one after the other. */
static enum rill_poll connect_all_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    for (ping->next = 0; ping->next < ping->connections; ping->next++) {
        RILL_AWAIT(rill_timeout(
            &ping->timeout, connect_limit_ns,
            rill_tcp_connect_url(&ping->clients[ping->next].peer, &ping->connect, &ping->url)));
        if (ping->timeout.result < 0) {
            ping->phase = "cannot connect";
            RILL_RETURN(ping->timeout.result);
        }
        client_start(ping, &ping->clients[ping->next]);
    }
    RILL_END();
}

static void print_progress(const struct ping *ping)
{
    fprintf(stderr, "\r%3.0f s  %" PRIu64 " requests, p50 %.1f us, p99 %.1f us   ",
            (double)(rill_now() - ping->begin_ns) / RILL_SECOND, ping->load.requests,
            (double)histogram_percentile(&ping->load.latency, 50) / 1e3,
            (double)histogram_percentile(&ping->load.latency, 99) / 1e3);
}

/* Waits for the end of the measurement, showing progress every second. */
static enum rill_poll measure_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&ping->sleep, ping->warmup_ns));
    histogram_reset(&ping->load.latency);
    ping->load.measuring = true;
    ping->begin_ns = rill_now();
    rill_interval_init(&ping->second, RILL_SECOND);
    while (rill_now() < ping->begin_ns + ping->seconds_ns && ping->errors == 0) {
        if (ping->second.next_ns > ping->begin_ns + ping->seconds_ns)
            ping->second.next_ns = ping->begin_ns + ping->seconds_ns;
        RILL_AWAIT(rill_interval_tick(&ping->second));
        if (ping->second.sleep.result < 0)
            break;
        if (ping->progress)
            print_progress(ping);
    }
    if (ping->progress)
        fputc('\n', stderr);
    ping->load.measuring = false;
    ping->end_ns = rill_now();
    RILL_END();
}

/* Closes the connections of a run that sent nothing, or lets the clients finish. */
static enum rill_poll finish_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    for (ping->next = 0; ping->next < ping->connected; ping->next++) {
        if (ping->clients[ping->next].task.state == RILL_TASK_NEW)
            RILL_AWAIT(rill_tcp_close(&ping->clients[ping->next].peer));
        else
            RILL_AWAIT(
                rill_task_join(&ping->clients[ping->next].join, &ping->clients[ping->next].task));
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void start_clients(struct ping *ping)
{
    if (ping->idle)
        return;
    for (int64_t i = 0; i < ping->connected; i++)
        rill_task_spawn(&ping->clients[i].task, client_poll);
}

static void cancel_clients(struct ping *ping)
{
    for (int64_t i = 0; i < ping->connected; i++)
        if (ping->clients[i].task.state != RILL_TASK_NEW)
            rill_task_cancel(&ping->clients[i].task);
}

/* One phase of the run, which a signal ends early. */
struct phase {
    struct rill_future future;
    struct ping *ping;
    rill_poll_fn *run;
};

static enum rill_poll phase_poll(struct rill_future *self, struct rill_task *task)
{
    struct phase *phase = rill_container_of(self, struct phase, future);
    struct ping *ping = phase->ping;

    RILL_BEGIN();
    ping->choices[0] = rill_future_init(&ping->future, phase->run);
    ping->choices[1] = rill_signals_next(&ping->signals);
    RILL_AWAIT(rill_select(&ping->select, ping->choices, 2));
    if (ping->select.result == 1)
        ping->interrupted = true;
    RILL_RETURN(ping->future.result);
    RILL_END();
}

static int64_t run_phase(struct rill_runtime *runtime, struct ping *ping, rill_poll_fn *run)
{
    struct phase phase = {.ping = ping, .run = run};

    return rill_block_on(runtime, rill_future_init(&phase.future, phase_poll));
}

/* Runs all phases. Returns 0, or -errno with ping->phase set. */
static int64_t run(struct rill_runtime *runtime, struct ping *ping)
{
    struct rill_timeout limit;
    int64_t error = run_phase(runtime, ping, connect_all_poll);

    if (!error && !ping->interrupted) {
        start_clients(ping);
        run_phase(runtime, ping, measure_poll);
    }
    ping->load.stopping = true;
    rill_block_on(runtime, rill_timeout(&limit, finish_limit_ns,
                                        rill_future_init(&ping->future, finish_poll)));
    if (limit.result == -ETIMEDOUT) { /* answers that do not come are not waited for */
        cancel_clients(ping);
        rill_block_on(runtime, rill_future_init(&ping->future, finish_poll));
    }
    if (!error && ping->errors > 0) {
        ping->phase = "a connection broke";
        error = ping->first_error;
    } else if (!error && !ping->idle && ping->load.requests == 0) {
        ping->phase = "no request was answered";
        error = -ETIMEDOUT;
    }
    return error;
}

/* ---- the report ---- */

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

static void print_json(const struct rill_runtime *runtime, const struct ping *ping)
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

static void print_report(const struct ping *ping)
{
    const struct histogram *latency = &ping->load.latency;

    printf("%s: %" PRId64 " connections, %" PRIu32 " bytes, %" PRIu32 " in flight on each\n",
           ping->text, ping->connections, ping->load.size, ping->load.depth);
    if (ping->idle)
        return;
    printf("  %.0f requests/s, %.2f MB/s, every byte checked\n",
           per_second(ping, (double)ping->load.requests), per_second(ping, megabytes(ping)));
    printf("  latency p50 %.1f us, p90 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n",
           microseconds(histogram_percentile(latency, 50)),
           microseconds(histogram_percentile(latency, 90)),
           microseconds(histogram_percentile(latency, 99)),
           microseconds(histogram_percentile(latency, 99.9)), microseconds(histogram_max(latency)));
}

static const char *reason(int64_t error)
{
    switch (error) {
    case -ECONNREFUSED:
        return "connection refused: no server listens there";
    case -ENOENT:
        return "there is no host of that name";
    case -EMFILE:
        return "too many open files: raise the limit (ulimit -n) or ask for fewer connections";
    case -EBADMSG:
        return "a byte came back that was not sent";
    case -ETIMEDOUT:
        return "the time is over";
    case -EADDRNOTAVAIL:
        return "no local port is left: use several addresses of the server";
    default:
        return strerror((int)-error);
    }
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int run_and_report(struct rill_runtime *runtime, struct ping *ping, bool json)
{
    int64_t error = rill_signals_open(&ping->signals, (const int[]){SIGINT, SIGTERM}, 2);

    if (error) {
        ping->phase = "no signals";
    } else {
        error = run(runtime, ping);
        rill_signals_close(&ping->signals);
    }
    if (error && !ping->interrupted) {
        fprintf(stderr, "rill-ping: %s: %s: %s\n", ping->text, ping->phase, reason(error));
        return 1;
    }
    if (json)
        print_json(runtime, ping);
    else
        print_report(ping);
    return 0;
}

int main(int argc, char **argv)
{
    static struct ping ping = {.connections = 1, .seconds_ns = 5 * RILL_SECOND};
    struct rill_runtime_options runtime_options = {0};
    struct rill_runtime *runtime = NULL;
    int64_t size = 64, depth = 1;
    int wait_policy = RILL_WAIT_SLEEP;
    bool json = false;
    const char *why;
    int error, status = 1;
    const struct cli_option options[] = {
        CLI_INTEGER('c', "connections", &ping.connections, 1, 1000000, "connections to open"),
        CLI_SIZE('s', "size", &size, 1, 64 << 20, "bytes in a request"),
        CLI_INTEGER('d', "depth", &depth, 1, 65536, "requests in flight on each connection"),
        CLI_DURATION('t', "seconds", &ping.seconds_ns, RILL_MILLISECOND, 86400 * RILL_SECOND,
                     "how long to measure"),
        CLI_DURATION(0, "warmup", &ping.warmup_ns, 0, 3600 * RILL_SECOND,
                     "how long to run before measuring"),
        CLI_CHOICE('w', "wait", &wait_policy, wait_words, "what to do when there is nothing to do"),
        CLI_STRING(0, "congestion", &ping.congestion, "NAME", "congestion control, such as cubic"),
        CLI_FLAG(0, "idle", &ping.idle, "open the connections and send nothing"),
        CLI_FLAG('j', "json", &json, "print the result as one JSON object"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("URL", &ping.text, "the server, such as tcp://127.0.0.1:7000"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "rill-ping",
        .summary = "Measures an echo server and checks every byte that comes back.",
        .options = options,
        .positionals = positionals,
    };

    cli_parse(&cli, argc, argv);
    if (rill_url_parse(&ping.url, ping.text, &why) < 0)
        cli_fail(&cli, "%s: %s", ping.text, why);
    if (strcmp(ping.url.scheme, "tcp") != 0 && strcmp(ping.url.scheme, "unix") != 0)
        cli_fail(&cli, "%s: the scheme %s is not known; want tcp://host:port or unix:///path",
                 ping.text, ping.url.scheme);
    if (size * depth > IN_FLIGHT_MAX)
        cli_fail(&cli,
                 "--size %" PRId64 " with --depth %" PRId64
                 ": want at most 1 GiB in flight on a connection",
                 size, depth);
    ping.load.size = (uint32_t)size;
    ping.load.depth = (uint32_t)depth;
    ping.progress = !json && isatty(STDERR_FILENO);
    histogram_reset(&ping.load.latency);
    exchange_make_pattern();
    raise_descriptor_limit();

    ping.clients = calloc((size_t)ping.connections, sizeof *ping.clients);
    ping.times_ns = calloc((size_t)(ping.connections * depth), sizeof *ping.times_ns);
    if (!ping.clients || !ping.times_ns) {
        fprintf(stderr,
                "rill-ping: no memory for %" PRId64 " connections with %" PRId64
                " requests in flight\n",
                ping.connections, depth);
        goto free_all;
    }
    runtime_options.wait_policy = (enum rill_wait_policy)wait_policy;
    error = rill_runtime_create(&runtime, &runtime_options);
    if (error) {
        fprintf(stderr, "rill-ping: %s\n", rill_runtime_explain(error));
        goto free_all;
    }
    status = run_and_report(runtime, &ping, json);
    rill_runtime_destroy(runtime);

free_all:
    free(ping.times_ns);
    free(ping.clients);
    return status;
}
