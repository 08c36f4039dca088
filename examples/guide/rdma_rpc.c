/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_rpc.c - asks a service for prices; both sides are in this process. */
#include "io/program.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { SERVICE = 1, PRICE = 1, APPRAISE = 2 };

/* ---- the server: one request at a time ---- */

struct server {
    struct rill_task task;
    struct rill_rdma_rpc *rpc;
    struct rill_rdma_rpc_request request;
    struct rill_rdma_rpc_work work;
    struct rill_sleep sleep;
    int32_t price;
};

static bool is_apple(const struct rill_rdma_rpc_request *request)
{
    return request->size == 5 && request->data && memcmp(request->data, "apple", 5) == 0;
}

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_rpc_recv(server->rpc, &server->request));
        if (server->request.result < 0)
            break;
        if (server->request.method == APPRAISE) {
            RILL_AWAIT(rill_rdma_rpc_while_wanted(&server->request, &server->work,
                                                  rill_sleep(&server->sleep, RILL_SECOND)));
            if (server->work.result < 0)
                printf("server: stops, nobody waits any more\n");
        }
        if (is_apple(&server->request)) {
            server->price = 120;
            RILL_AWAIT(
                rill_rdma_rpc_reply(&server->request, 0, &server->price, sizeof server->price));
        } else {
            rill_rdma_rpc_refuse(&server->request, -ENOENT);
        }
    }
    RILL_END();
}

/* ---- the client ---- */

struct client {
    struct rill_future future;
    struct rill_rdma_rpc_client rpc;
    struct rill_rdma_rpc_call call;
    struct rill_timeout limit;
    int32_t price;
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_rpc_call(&client->rpc, &client->call, PRICE, "apple", 5, &client->price,
                                  sizeof client->price));
    if (client->call.result == sizeof client->price)
        printf("client: an apple costs %d\n", client->price);

    RILL_AWAIT(rill_rdma_rpc_call(&client->rpc, &client->call, PRICE, "kiwi", 4, &client->price,
                                  sizeof client->price));
    printf("client: a kiwi: %s (%s)\n", strerror((int)-client->call.result),
           client->call.is_answered ? "says the server" : "nobody answered");

    RILL_AWAIT(rill_timeout(&client->limit, 20 * RILL_MILLISECOND,
                            rill_rdma_rpc_call(&client->rpc, &client->call, APPRAISE, "apple", 5,
                                               &client->price, sizeof client->price)));
    printf("client: appraising: %s\n", strerror((int)-client->limit.result));
    RILL_END();
}

/* ---- both of them, with an endpoint from the worker to itself ---- */

struct program {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_ep ep;
    struct rill_rdma_rpc rpc;
    struct server server;
    struct client client;
    struct rill_sleep sleep;
    struct rill_scope scope;
    int error;
};

static int program_open(struct program *program)
{
    size_t size;
    int error = rill_rdma_open(&program->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (error)
        fprintf(stderr, "no rdma: %s\n", program->rdma.why.text);
    if (!error)
        error = rill_rdma_rpc_open(&program->rpc, &program->rdma, SERVICE, 16);
    if (!error)
        error = rill_rdma_ep_open(&program->ep, &program->rdma,
                                  rill_rdma_address(&program->rdma, &size));
    return error;
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->error = program_open(program);
    if (program->error)
        RILL_RETURN(program->error);
    program->server.rpc = &program->rpc;
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&program->scope, &program->server.task, server_poll);

    rill_rdma_rpc_client_init(&program->client.rpc, &program->rpc, &program->ep, 4);
    RILL_AWAIT(rill_future_init(&program->client.future, client_poll));
    rill_rdma_rpc_client_finish(&program->client.rpc);

    /* The news has to reach the server. */
    while (program->rpc.taken > 0 && program->sleep.result == 0)
        RILL_AWAIT(rill_sleep(&program->sleep, RILL_MILLISECOND));
    rill_scope_cancel(&program->scope, RILL_CANCELLED);
    RILL_AWAIT(rill_scope_join(&program->scope));
    rill_rdma_rpc_close(&program->rpc);
    RILL_AWAIT(rill_rdma_ep_close(&program->ep));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
