/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rdma_echo.h"

#include "bench/rdma_options.h"
#include "bench/rdma_report.h"
#include "rdma/endpoint_info.h"
#include "rdma/exchange.h"
#include "rdma/server.h"
#include "runtime/timeout.h"

#include <errno.h>
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
    struct rill_scope *scope;
    size_t connections_max;
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
    char name[RILL_ADDRESS_TEXT_MAX], transports[RDMA_TRANSPORTS_MAX];
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

/* UCX does not tell of every transport who is there. Where there is no memory for messages the
 * connection ends before the first one. */
static int64_t echo_begin(struct echo *echo)
{
    struct rill_address address;

    if (rill_rdma_peer_address(&echo->peer, &address) == 0)
        rill_address_format(&address, echo->name);
    echo->buffer = malloc(RDMA_MESSAGE_MAX);
    return echo->buffer ? 0 : -ENOMEM;
}

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    shared.counts->connections++;
    echo->recv.result = echo_begin(echo);
    if (echo->recv.result == 0) {
        RILL_AWAIT(rill_rdma_wait_for_connection(&echo->peer, &echo->wait));
        echo->recv.result = echo->wait.result;
    }
    if (echo->recv.result == 0)
        rill_rdma_ep_describe(&echo->peer.ep, echo->transports, sizeof echo->transports);
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
    rdma_report_add(&echo->peer, echo->name, echo->transports);
    free(echo->buffer);
    RILL_END();
}

/* ---- a server ---- */

static struct rill_rdma_server servers[RDMA_ECHO_SERVERS_MAX];

struct rill_future *rdma_echo_serve(unsigned number, const char *url)
{
    struct rill_rdma_server *server = &servers[number];

    server->announce = stdout;
    server->options = shared.connection;
    server->scope = shared.scope;
    server->connections_max = shared.connections_max;
    return rill_rdma_serve(server, &shared.hub, url,
                           RILL_SERVICE_WITH(struct echo, peer, echo_poll, url, url));
}

/* ---- all of them ---- */

int rdma_echo_open(const struct rdma_echo_options *options, struct echo_counts *counts)
{
    const struct rill_rdma_options rdma_options = rdma_options_of(&options->transport);
    int error = rill_rdma_open(&shared.rdma, &rdma_options);

    if (error) {
        fprintf(stderr, "rill-echo: no rdma: %s\n", shared.rdma.why.text);
        return error;
    }
    if (shared.rdma.remark.text[0])
        fprintf(stderr, "rill-echo: %s\n", shared.rdma.remark.text);
    error = rill_rdma_hub_open(&shared.hub, &shared.rdma);
    if (error) {
        fprintf(stderr, "rill-echo: no rdma: %s\n", strerror(-error));
        return error;
    }
    shared.connection.is_unprotected = options->is_unprotected;
    shared.silence_max_ns = options->silence_max_ns;
    shared.scope = options->scope;
    shared.connections_max = options->connections_max;
    shared.counts = counts;
    return 0;
}

void rdma_echo_close(void)
{
    for (int i = 0; shared.counts && i < RDMA_ECHO_SERVERS_MAX; i++)
        shared.counts->errors += servers[i].failed;
    rill_rdma_hub_close(&shared.hub);
    rill_rdma_close(&shared.rdma);
}

void rdma_echo_print(struct json *json)
{
    if (shared.counts)
        rdma_report_print(json, &shared.hub);
}
