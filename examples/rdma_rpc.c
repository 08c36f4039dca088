/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_rpc.c - calculates for others, over UCX:
 *
 *     rdma_rpc rdma://0.0.0.0:7000            serves there
 *     rdma_rpc 127.0.0.1 7000 sum 1 2 3       asks what serves there */
#include "io/program.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/server.h"
#include "rdma/stream.h"
#include "runtime/scope.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE = 1, WORKERS = 4, REQUESTS = 1024, NUMBERS = 8192 };
enum { SUM, MAX, METHODS };

static const char *const names[METHODS] = {"sum", "max"};

struct program {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_rpc rpc;
};

static int program_open(struct program *program, size_t requests_max)
{
    int error = rill_rdma_open(&program->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (error) {
        fprintf(stderr, "no rdma: %s\n", program->rdma.why.text);
        return error;
    }
    return rill_rdma_rpc_open(&program->rpc, &program->rdma, SERVICE, requests_max);
}

/* ---- a worker: one request after the other, from whoever has one ---- */

struct worker {
    struct rill_task task;
    struct rill_rdma_rpc *rpc;
    struct rill_rdma_rpc_request request;
    int64_t numbers[NUMBERS];
    int64_t answer;
};

/* Calculates the answer. Returns 0 or -errno. */
static int calculate(struct worker *worker)
{
    size_t count = worker->request.size / sizeof *worker->numbers;

    if (worker->request.method >= METHODS)
        return -ENOSYS;
    if (count == 0)
        return -EINVAL;
    worker->answer = worker->numbers[0];
    for (size_t i = 1; i < count; i++) {
        if (worker->request.method == MAX && worker->numbers[i] > worker->answer)
            worker->answer = worker->numbers[i];
        if (worker->request.method == SUM &&
            __builtin_add_overflow(worker->answer, worker->numbers[i], &worker->answer))
            return -EOVERFLOW;
    }
    return 0;
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_rpc_recv(worker->rpc, &worker->request));
        if (worker->request.result < 0)
            break;
        if (worker->request.size > sizeof worker->numbers) {
            rill_rdma_rpc_refuse(&worker->request, -EMSGSIZE);
            continue;
        }
        RILL_AWAIT(rill_rdma_rpc_fetch(&worker->request, worker->numbers));
        if (worker->request.result >= 0)
            worker->request.result = calculate(worker);
        RILL_AWAIT(rill_rdma_rpc_reply(&worker->request, (int)worker->request.result,
                                       &worker->answer, sizeof worker->answer));
    }
    RILL_END();
}

/* ---- a client of the server's ---- */

struct peer {
    struct rill_task task;
    struct rill_rdma_ep ep;
    struct rill_rdma_op end;
    char nothing;
};

/* Nobody sends to the stream: its end is that of the endpoint. */
static enum rill_poll peer_poll(struct rill_future *self, struct rill_task *task)
{
    struct peer *peer = rill_container_of(self, struct peer, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_stream_recv(&peer->ep, &peer->end, &peer->nothing, 1));
    RILL_AWAIT(rill_rdma_ep_close(&peer->ep));
    RILL_END();
}

struct server {
    struct program program;
    const char *url;
    struct rill_rdma_server rdma;
    struct rill_scope workers, peers;
    struct rill_shield shield;
    struct rill_timeout grace;
    struct worker worker[WORKERS];
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, program.future);

    RILL_BEGIN();
    rill_scope_init(&server->workers, RILL_SCOPE_INDEPENDENT);
    rill_scope_init(&server->peers, RILL_SCOPE_INDEPENDENT);
    server->rdma.result = program_open(&server->program, REQUESTS);
    if (server->rdma.result < 0)
        RILL_RETURN(server->rdma.result);
    for (int i = 0; i < WORKERS; i++) {
        server->worker[i].rpc = &server->program.rpc;
        rill_scope_spawn(&server->workers, &server->worker[i].task, worker_poll);
    }
    server->rdma.announce = stdout;
    server->rdma.scope = &server->peers;
    RILL_AWAIT(rill_rdma_serve_ep(&server->rdma, &server->program.rdma, server->url,
                                  RILL_SERVICE(struct peer, ep, peer_poll)));
    /* What has come is still answered: this task is cancelled by now, but shielded it does not
     * cancel the workers. Those that wait for a client which does nothing any more are cancelled
     * then. */
    rill_rdma_rpc_stop(&server->program.rpc);
    RILL_AWAIT(rill_shield(&server->shield, rill_timeout(&server->grace, RILL_PROGRAM_GRACE_NS,
                                                         rill_scope_wait(&server->workers))));
    RILL_AWAIT(rill_scope_join(&server->workers));
    rill_rdma_rpc_close(&server->program.rpc);
    rill_scope_cancel(&server->peers, RILL_SHUTTING_DOWN);
    RILL_AWAIT(rill_scope_join(&server->peers));
    RILL_RETURN(server->rdma.result);
    RILL_END();
}

/* ---- asking ---- */

struct client {
    struct program program;
    struct rill_address address;
    struct rill_rdma_ep ep;
    struct rill_rdma_rpc_client rpc;
    struct rill_rdma_rpc_call call;
    struct rill_timeout limit;
    uint32_t method;
    size_t count;
    int64_t numbers[NUMBERS];
    int64_t answer;
    int error;
};

static int client_open(struct client *client)
{
    struct program *program = &client->program;
    int error = program_open(program, 0);

    if (!error)
        error = rill_rdma_ep_connect(&client->ep, &program->rdma, &client->address);
    return error;
}

static void client_print(const struct client *client)
{
    if (client->limit.result >= 0)
        printf("%" PRId64 "\n", client->answer);
    else
        fprintf(stderr, "%s: %s\n", client->call.is_answered ? "the server says" : "no answer",
                strerror((int)-client->limit.result));
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, program.future);

    RILL_BEGIN();
    client->error = client_open(client);
    if (client->error)
        RILL_RETURN(client->error);
    rill_rdma_rpc_client_init(&client->rpc, &client->program.rpc, &client->ep, 1);
    RILL_AWAIT(
        rill_timeout(&client->limit, 5 * RILL_SECOND,
                     rill_rdma_rpc_call(&client->rpc, &client->call, client->method,
                                        client->numbers, client->count * sizeof *client->numbers,
                                        &client->answer, sizeof client->answer)));
    client_print(client);
    rill_rdma_rpc_client_finish(&client->rpc);
    rill_rdma_rpc_close(&client->program.rpc);
    RILL_AWAIT(rill_rdma_ep_close(&client->ep));
    RILL_RETURN(client->limit.result < 0 ? client->limit.result : 0);
    RILL_END();
}

/* ---- */

static int serve(const char *url)
{
    static struct server server;

    server.url = url;
    return rill_main(rill_future_init(&server.program.future, server_poll));
}

static int ask(int argc, char **argv)
{
    static struct client client;

    if (rill_address_parse(&client.address, argv[1], (uint16_t)strtoul(argv[2], NULL, 10)) < 0) {
        fprintf(stderr, "rdma_rpc: %s is no address\n", argv[1]);
        return 2;
    }
    while (client.method < METHODS && strcmp(argv[3], names[client.method]) != 0)
        client.method++; /* one that is not known is the server's to refuse */
    for (int i = 4; i < argc && client.count < NUMBERS; i++)
        client.numbers[client.count++] = strtoll(argv[i], NULL, 10);
    return rill_main(rill_future_init(&client.program.future, client_poll));
}

int main(int argc, char **argv)
{
    if (argc <= 2)
        return serve(argc > 1 ? argv[1] : "rdma://0.0.0.0:7000");
    if (argc >= 4)
        return ask(argc, argv);
    fprintf(stderr, "usage: rdma_rpc [URL]\n       rdma_rpc ADDRESS PORT sum|max NUMBER...\n");
    return 2;
}
