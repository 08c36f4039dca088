/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_pools.c - rows go to a server: out of a pool of buffers, over a connection of a pool,
 * several on their way at a time. */
#include "io/program.h"
#include "rdma/buffer_pool.h"
#include "rdma/connection_pool.h"
#include "rdma/pipeline.h"
#include "runtime/scope.h"
#include "runtime/shield.h"

#include <stdio.h>

enum { ROWS = 1000, ROW_SIZE = 20000, IN_FLIGHT = 8, CONNECTIONS = 4, ROW = 1 };

/* Counts what comes over one connection. */
struct server {
    struct rill_task task;
    struct rill_rdma_hub *hub;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer recv;
    struct rill_rdma_state_wait connected;
    int rows, error;
    char row[ROW_SIZE];
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
    for (;; server->rows++) {
        RILL_AWAIT(rill_rdma_recv(&server->connection, &server->recv, server->row,
                                  sizeof server->row, ROW));
        if (server->recv.result < 0)
            break;
    }
    RILL_AWAIT(rill_rdma_disconnect(&server->connection));
    printf("the server has received %d rows\n", server->rows);
    RILL_END();
}

/* Sends so many rows. Its result is 0, or what went wrong. */
struct report {
    struct rill_future future;
    struct rill_rdma_connection_pool *connections;
    struct rill_rdma_connection_take connection;
    struct rill_rdma_buffer_pool *buffers;
    struct rill_rdma_buffer_take buffer;
    struct rill_rdma_pipeline pipeline;
    struct rill_rdma_pipeline_slot slots[IN_FLIGHT];
    int rows, i;
};

static void fill(struct rill_rdma_buffer *buffer, int i)
{
    for (int at = 0; at < ROW_SIZE; at++)
        ((char *)buffer->bytes)[at] = (char)(i + at);
}

static enum rill_poll report_poll(struct rill_future *self, struct rill_task *task)
{
    struct report *report = rill_container_of(self, struct report, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_connection_take(report->connections, &report->connection));
    if (report->connection.result < 0)
        RILL_RETURN(report->connection.result);
    printf("%s connection\n", report->connection.result == 1 ? "the same" : "a new");
    rill_rdma_pipeline_init(&report->pipeline, report->connection.connection, report->slots,
                            IN_FLIGHT, NULL);
    for (report->i = 0; report->i < report->rows; report->i++) {
        RILL_AWAIT(rill_rdma_buffer_take(report->buffers, &report->buffer, ROW_SIZE));
        if (report->buffer.result < 0)
            break;
        fill(report->buffer.buffer, report->i);
        RILL_AWAIT(rill_rdma_pipeline_send_buffer(&report->pipeline, report->buffer.buffer,
                                                  ROW_SIZE, ROW));
        if (report->pipeline.result < 0)
            break;
    }
    RILL_AWAIT(rill_rdma_pipeline_drain(&report->pipeline));
    printf("%d rows sent: %d\n", (int)report->pipeline.sent, (int)report->pipeline.result);
    rill_rdma_connection_give_back(report->connections, report->connection.connection);
    RILL_RETURN(report->pipeline.result);
    RILL_END();
}

struct client {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct rill_rdma_buffer_pool buffers;
    struct rill_rdma_connection_pool connections;
    struct rill_rdma_pooled slots[CONNECTIONS];
    struct rill_object_pool_care drain;
    struct rill_shield shield;
    struct server server;
    struct report report;
    struct rill_scope scope;
    int error;
};

/* Here the worker connects to itself. */
static int client_open(struct client *client)
{
    const struct rill_rdma_buffer_pool_options of_buffers = {.bytes_max = 1 << 20};
    struct rill_rdma_connection_pool_options of_connections = {.hub = &client->hub};
    int error = rill_rdma_open(&client->rdma, NULL);
    size_t size;

    if (!error)
        error = rill_rdma_hub_open(&client->hub, &client->rdma);
    if (!error)
        error = rill_rdma_buffer_pool_init(&client->buffers, &client->rdma, &of_buffers);
    if (error)
        return error;
    of_connections.worker = rill_rdma_address(&client->rdma, &size);
    rill_rdma_connection_pool_init(&client->connections, &of_connections, client->slots,
                                   CONNECTIONS);
    client->server.hub = &client->hub;
    rill_scope_init(&client->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&client->scope, &client->server.task, server_poll);
    return 0;
}

static struct rill_future *send_report(struct client *client, int rows)
{
    client->report.rows = rows;
    client->report.connections = &client->connections;
    client->report.buffers = &client->buffers;
    return rill_future_init(&client->report.future, report_poll);
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    client->error = client_open(client);
    if (client->error)
        RILL_RETURN(client->error);
    RILL_AWAIT(send_report(client, ROWS));
    RILL_AWAIT(send_report(client, 1));
    printf("%zu KiB were registered\n", client->buffers.bytes >> 10);
    RILL_AWAIT(rill_shield(&client->shield,
                           rill_rdma_connection_pool_drain(&client->connections, &client->drain)));
    RILL_AWAIT(rill_scope_join(&client->scope)); /* if it is cancelled, so is the server */
    rill_rdma_connection_pool_finish(&client->connections);
    rill_rdma_buffer_pool_finish(&client->buffers);
    RILL_END();
}

int main(void)
{
    static struct client client;

    return rill_main(rill_future_init(&client.future, client_poll));
}
