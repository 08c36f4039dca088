/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rdma_echo.h"

#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "runtime/task.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const rdma_absent = NULL;

/* One context and one worker of UCX serve all URLs. */
static struct {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_connection_options connection;
    int64_t silence_max_ns;
    struct echo_counts *counts; /* NULL: not open */
} shared;

/* ---- a connection ---- */

struct echo {
    struct rill_task task;
    struct rill_rdma_connection peer;
    struct rill_rdma_transfer recv, send;
    struct rill_rdma_state_wait wait;
    struct rill_timeout timeout;
    const char *url;
    char *buffer; /* RDMA_MESSAGE_MAX bytes, owned */
};

/* With a limit for the silence before it, the result is in both futures, or it is the
 * timeout's. */
static struct rill_future *next_message(struct echo *echo)
{
    struct rill_future *recv =
        rill_rdma_recv(&echo->peer, &echo->recv, echo->buffer, RDMA_MESSAGE_MAX, RILL_RDMA_ANY_TAG);

    return shared.silence_max_ns > 0 ? rill_timeout(&echo->timeout, shared.silence_max_ns, recv)
                                     : recv;
}

static void count_end(const struct echo *echo)
{
    bool is_silent = shared.silence_max_ns > 0 && echo->timeout.result == -ETIMEDOUT;

    if (echo->recv.result == -EMSGSIZE)
        fprintf(stderr,
                "rill-echo: %s: a message of %zu bytes came; want at most %d: its connection is "
                "closed\n",
                echo->url, echo->recv.length, RDMA_MESSAGE_MAX);
    if (!is_silent && echo->recv.result != -ESHUTDOWN && echo->send.result != -ESHUTDOWN)
        shared.counts->errors++;
}

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    shared.counts->connections++;
    RILL_AWAIT(rill_rdma_wait_for_connection(&echo->peer, &echo->wait));
    echo->recv.result = echo->wait.result;
    while (echo->recv.result >= 0) {
        RILL_AWAIT(next_message(echo));
        if (echo->recv.result < 0)
            break;
        shared.counts->messages++;
        shared.counts->bytes += (uint64_t)echo->recv.result;
        RILL_AWAIT(rill_rdma_send(&echo->peer, &echo->send, echo->buffer, (size_t)echo->recv.result,
                                  echo->recv.tag));
        if (echo->send.result < 0)
            break;
    }
    count_end(echo);
    RILL_AWAIT(rill_rdma_disconnect(&echo->peer));
    free(echo->buffer);
    RILL_END();
}

/* ---- a server ---- */

struct server {
    struct rill_future future;
    const char *url;
    struct rill_address address;
    struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
};

static struct server servers[RDMA_ECHO_SERVERS_MAX];

static int server_open(struct server *server)
{
    struct sockaddr_storage bound;
    struct rill_address address = server->address;
    char text[RILL_ADDRESS_TEXT_MAX];
    int error = rill_rdma_listen(&server->listener, &shared.rdma, &server->address.any,
                                 server->address.size);

    if (!error && rill_rdma_listener_address(&server->listener, &bound) == 0) {
        memcpy(&address.any, &bound, address.size);
        printf("listening on rdma://%s\n", rill_address_format(&address, text));
        fflush(stdout);
    }
    return error;
}

/* Gives the client a task of its own, or turns it away. */
static void server_start_echo(struct server *server)
{
    struct echo *echo = rill_task_alloc(sizeof *echo);
    char *buffer = malloc(RDMA_MESSAGE_MAX);

    if (!echo || !buffer) {
        shared.counts->errors++;
        rill_rdma_reject(&server->accept);
    } else if (rill_rdma_adopt(&echo->peer, &shared.hub, &server->accept, &shared.connection) < 0) {
        shared.counts->errors++;
    } else {
        echo->url = server->url;
        echo->buffer = buffer;
        rill_task_spawn(&echo->task, echo_poll);
        rill_task_detach(&echo->task);
        return;
    }
    if (echo)
        rill_task_free(echo);
    free(buffer);
}

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, future);

    RILL_BEGIN();
    server->accept.result = server_open(server);
    while (server->accept.result == 0) {
        RILL_AWAIT(rill_rdma_accept(&server->listener, &server->accept));
        if (server->accept.result == 0)
            server_start_echo(server);
    }
    rill_rdma_listener_close(&server->listener);
    RILL_RETURN(server->accept.result);
    RILL_END();
}

struct rill_future *rdma_echo_serve(unsigned number, const char *url,
                                    const struct rill_address *address)
{
    struct server *server = &servers[number];

    server->url = url;
    server->address = *address;
    return rill_future_init(&server->future, server_poll);
}

/* ---- all of them ---- */

int rdma_echo_open(const struct rdma_echo_options *options, struct echo_counts *counts)
{
    const struct rill_rdma_options rdma_options = {.shared_memory = options->shared_memory};
    int error = rill_rdma_open(&shared.rdma, &rdma_options);

    if (error) {
        fprintf(stderr, "rill-echo: no rdma: %s\n", shared.rdma.why.text);
        return error;
    }
    if (shared.rdma.remark.text[0])
        fprintf(stderr, "rill-echo: %s\n", shared.rdma.remark.text);
    error = rill_rdma_hub_open(&shared.hub, &shared.rdma, 0);
    if (error) {
        fprintf(stderr, "rill-echo: no rdma: %s\n", strerror(-error));
        return error;
    }
    shared.connection.is_unprotected = options->is_unprotected;
    shared.silence_max_ns = options->silence_max_ns;
    shared.counts = counts;
    return 0;
}

void rdma_echo_close(void)
{
    rill_rdma_hub_close(&shared.hub);
    rill_rdma_close(&shared.rdma);
}

static void print_percentile(struct json *json, const char *key,
                             const struct rill_rdma_metrics *metrics, double percent)
{
    json_double(json, key, (double)rill_rdma_metrics_percentile(metrics, percent) / 1e3, 3);
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

void rdma_echo_print(struct json *json)
{
    struct rill_rdma_metrics metrics;

    if (!shared.counts)
        return;
    rill_rdma_hub_metrics(&shared.hub, &metrics);
    json_open_object(json, "rdma");
    print_metrics(json, &metrics);
    print_worker(json, &shared.rdma);
    json_close(json);
}
