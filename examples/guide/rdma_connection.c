/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_connection.c - a conversation seen from both its sides. */
#include "io/program.h"
#include "rdma/exchange.h"
#include "runtime/retry.h"
#include "runtime/scope.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { QUESTION = 1, ANSWER = 2 }; /* tags */

/* One side: answers questions in capitals until the other disconnects. */
struct server {
    struct rill_task task;
    struct rill_rdma_hub *hub;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv, send;
    char text[32];
    int error;
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_accept_worker(server->hub, &server->stranger));
    if (server->stranger.result < 0)
        RILL_RETURN(server->stranger.result);
    server->error =
        rill_rdma_adopt_worker(&server->connection, server->hub, &server->stranger, NULL);
    if (server->error)
        RILL_RETURN(server->error);
    RILL_AWAIT(rill_rdma_wait_for_connection(&server->connection, &server->connected));
    for (;;) {
        RILL_AWAIT(rill_rdma_recv(&server->connection, &server->recv, server->text,
                                  sizeof server->text, QUESTION));
        if (server->recv.result < 0)
            break;
        for (int i = 0; i < server->recv.result; i++)
            server->text[i] = (char)toupper((unsigned char)server->text[i]);
        RILL_AWAIT(rill_rdma_send(&server->connection, &server->send, server->text,
                                  server->recv.result, ANSWER));
    }
    printf("server: it ended with \"%s\"\n", strerror((int)-server->recv.result));
    RILL_AWAIT(rill_rdma_disconnect(&server->connection));
    RILL_END();
}

/* The other. */
struct client {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct server server;
    struct rill_rdma_connection connection;
    struct rill_retry retry;
    struct rill_rdma_transfer send, recv;
    struct rill_scope scope;
    char answer[32];
    int error;
};

/* What rill_retry does again until it works: the server may be a little late. */
static struct rill_future *attempt(struct rill_retry *retry)
{
    struct client *client = rill_container_of(retry, struct client, retry);
    size_t size;

    return rill_rdma_connect_worker(&client->connection, &client->hub,
                                    rill_rdma_address(&client->rdma, &size), NULL);
}

static const struct rill_retry_policy policy = {
    .attempts_max = 10,
    .first_ns = 50 * RILL_MILLISECOND,
    .max_ns = 2 * RILL_SECOND,
    .limit_ns = 30 * RILL_SECOND,
};

/* Here the worker connects to itself; elsewhere its address comes from another machine, or
 * there is a listener (rill_rdma_connect, rill_rdma_adopt). */
static int client_open(struct client *client)
{
    int error = rill_rdma_open(&client->rdma, NULL);

    if (!error)
        error = rill_rdma_hub_open(&client->hub, &client->rdma);
    if (!error) {
        client->server.hub = &client->hub;
        rill_scope_init(&client->scope, RILL_SCOPE_TOGETHER);
        rill_scope_spawn(&client->scope, &client->server.task, server_poll);
    }
    return error;
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    client->error = client_open(client);
    if (client->error)
        RILL_RETURN(client->error);
    RILL_AWAIT(rill_retry(&client->retry, &policy, attempt));
    if (client->retry.result < 0) {
        rill_scope_cancel(&client->scope, RILL_CANCELLED); /* it would wait for ever */
        RILL_AWAIT(rill_scope_join(&client->scope));
        RILL_RETURN(client->retry.result);
    }
    printf("client: %s\n", rill_rdma_state_name((enum rill_rdma_state)client->connection.state));
    RILL_AWAIT(rill_rdma_send(&client->connection, &client->send, "hello", 5, QUESTION));
    RILL_AWAIT(rill_rdma_recv(&client->connection, &client->recv, client->answer,
                              sizeof client->answer, ANSWER));
    printf("client: the answer is %.*s\n", (int)client->recv.result, client->answer);
    RILL_AWAIT(rill_rdma_disconnect(&client->connection));
    printf("client: disconnected with %d\n", (int)client->connection.result);
    RILL_AWAIT(rill_scope_join(&client->scope)); /* if it is cancelled, so is the server */
    RILL_AWAIT(rill_rdma_send(&client->connection, &client->send, "more", 4, QUESTION));
    printf("client: sending more: %s\n", strerror((int)-client->send.result));
    RILL_END();
}

int main(void)
{
    static struct client client;

    return rill_main(rill_future_init(&client.future, client_poll));
}
