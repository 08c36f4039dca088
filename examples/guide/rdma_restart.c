/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_restart.c - one side ends a connection and begins anew; the other one waits, and goes on. */
#include "io/program.h"
#include "rdma/exchange.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ASK = 1, LINE = 2 }; /* tags */
enum { LINES = 4, LINES_EACH = 2 };

static const char *const lines[LINES] = {"hello", "back soon", "hello again", "good-bye"};

/* Thinks, and says a line, when it is asked to. After half of them it ends the connection, as a
 * server does that is restarted, and accepts a new one for the others. */
struct server {
    struct rill_task task;
    struct rill_rdma_hub *hub;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv, send;
    struct rill_sleep thought;
    int said, error;
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    while (server->said < LINES) {
        RILL_AWAIT(rill_rdma_accept_worker(server->hub, &server->stranger));
        if (server->stranger.result < 0)
            RILL_RETURN(server->stranger.result);
        server->error =
            rill_rdma_adopt_worker(&server->connection, server->hub, &server->stranger, NULL);
        if (server->error)
            RILL_RETURN(server->error);
        RILL_AWAIT(rill_rdma_wait_for_connection(&server->connection, &server->connected));
        do {
            RILL_AWAIT(rill_rdma_recv(&server->connection, &server->recv, NULL, 0, ASK));
            RILL_AWAIT(rill_sleep(&server->thought, 5 * RILL_MILLISECOND));
            RILL_AWAIT(rill_rdma_send(&server->connection, &server->send, lines[server->said],
                                      strlen(lines[server->said]), LINE));
        } while (server->send.result >= 0 && ++server->said % LINES_EACH != 0);
        RILL_AWAIT(rill_rdma_disconnect(&server->connection));
        if (server->send.result < 0)
            RILL_RETURN(server->send.result);
    }
    RILL_END();
}

struct chat {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct server server;
    struct rill_scope scope;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer send, recv;
    char line[80];
    int heard, error;
};

static const struct rill_rdma_connection_options options = {
    .reconnects = 30,
    .reconnects_after_end = true,
    .reconnect_first_ns = 5 * RILL_MILLISECOND,
};

/* The worker connects to itself: see rdma_connection.c. */
static int chat_open(struct chat *chat)
{
    int error = rill_rdma_open(&chat->rdma, NULL);

    if (!error)
        error = rill_rdma_hub_open(&chat->hub, &chat->rdma);
    if (!error) {
        chat->server.hub = &chat->hub;
        rill_scope_init(&chat->scope, RILL_SCOPE_TOGETHER);
        rill_scope_spawn(&chat->scope, &chat->server.task, server_poll);
    }
    return error;
}

static struct rill_future *connect_to_server(struct chat *chat)
{
    size_t size;

    return rill_rdma_connect_worker(&chat->connection, &chat->hub,
                                    rill_rdma_address(&chat->rdma, &size), &options);
}

static void print_line(struct chat *chat)
{
    printf("%.*s (connection %llu)\n", (int)chat->recv.result, chat->line,
           (unsigned long long)chat->connection.metrics.connects);
    chat->heard++;
}

static enum rill_poll chat_poll(struct rill_future *self, struct rill_task *task)
{
    struct chat *chat = rill_container_of(self, struct chat, future);

    RILL_BEGIN();
    chat->error = chat_open(chat);
    if (chat->error)
        RILL_RETURN(chat->error);
    RILL_AWAIT(connect_to_server(chat));
    chat->connected.result = chat->connection.result;
    while (chat->connected.result >= 0 && chat->heard < LINES) {
        RILL_AWAIT(rill_rdma_send(&chat->connection, &chat->send, NULL, 0, ASK));
        RILL_AWAIT(
            rill_rdma_recv(&chat->connection, &chat->recv, chat->line, sizeof chat->line, LINE));
        if (chat->recv.result == -ECANCELED)
            break; /* no loss: it is this task that is to end */
        if (chat->recv.result >= 0)
            print_line(chat);
        else
            RILL_AWAIT(rill_rdma_wait_for_connection(&chat->connection, &chat->connected));
    }
    RILL_AWAIT(rill_rdma_disconnect(&chat->connection));
    if (chat->connected.result < 0)
        rill_scope_cancel(&chat->scope, RILL_CANCELLED); /* it would wait for us */
    RILL_AWAIT(rill_scope_join(&chat->scope));
    RILL_RETURN(chat->connected.result);
    RILL_END();
}

int main(void)
{
    static struct chat chat;

    return rill_main(rill_future_init(&chat.future, chat_poll));
}
