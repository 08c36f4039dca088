/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_server.c - a service that hands out numbers over UCX, and a client that asks for two. */
#include "io/program.h"
#include "rdma/exchange.h"
#include "rdma/server.h"
#include "runtime/select.h"

#include <stdio.h>

enum { ASK = 1, NUMBER = 2 }; /* tags */

/* One for each connection: zeroed, adopted, spawned and detached by the server. */
struct visitor {
    struct rill_task task;
    struct rill_rdma_connection peer;
    unsigned *last; /* that was handed out; the same for all */
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv, send;
    unsigned number;
};

static enum rill_poll visitor_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *visitor = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&visitor->peer, &visitor->connected));
    while (visitor->connected.result == 0 && visitor->send.result >= 0) {
        RILL_AWAIT(rill_rdma_recv(&visitor->peer, &visitor->recv, NULL, 0, ASK));
        if (visitor->recv.result < 0)
            break; /* it has disconnected, or is lost */
        visitor->number = ++*visitor->last;
        RILL_AWAIT(rill_rdma_send(&visitor->peer, &visitor->send, &visitor->number,
                                  sizeof visitor->number, NUMBER));
    }
    RILL_AWAIT(rill_rdma_disconnect(&visitor->peer));
    RILL_END();
}

struct program {
    struct rill_future future, client;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct rill_rdma_server server;
    unsigned last;
    struct rill_future *choices[2];
    struct rill_select select;
    /* of the client */
    struct rill_rdma_connection peer;
    struct rill_rdma_transfer send, recv;
    unsigned number;
    int round;
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, client);

    RILL_BEGIN();
    {
        struct rill_address address;
        int error = rill_rdma_listener_address(&program->server.listener, &address);

        if (error)
            RILL_RETURN(error);
        rill_rdma_connect(&program->peer, &program->hub, &address, NULL);
    }
    RILL_AWAIT(&program->peer.future);
    if (program->peer.result < 0)
        RILL_RETURN(program->peer.result);
    for (program->round = 0; program->round < 2; program->round++) {
        RILL_AWAIT(rill_rdma_send(&program->peer, &program->send, NULL, 0, ASK));
        RILL_AWAIT(rill_rdma_recv(&program->peer, &program->recv, &program->number,
                                  sizeof program->number, NUMBER));
        printf("number %u\n", program->number);
    }
    RILL_AWAIT(rill_rdma_disconnect(&program->peer));
    RILL_END();
}

static int program_open(struct program *program)
{
    int error = rill_rdma_open(&program->rdma, NULL);

    return error ? error : rill_rdma_hub_open(&program->hub, &program->rdma);
}

/* Serves until the client is done. */
static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->server.result = program_open(program);
    if (program->server.result < 0)
        RILL_RETURN(program->server.result);
    RILL_AWAIT(rill_select(
        &program->select,
        RILL_FUTURES(program->choices,
                     rill_rdma_serve(&program->server, &program->hub, "rdma://127.0.0.1:0",
                                     RILL_SERVICE_WITH(struct visitor, peer, visitor_poll, last,
                                                       &program->last)),
                     rill_future_init(&program->client, client_poll))));
    printf("%d connection served, result %d\n", (int)program->server.accepted,
           (int)program->client.result);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
