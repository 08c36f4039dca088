/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_echo.c - echo.c over UCX: InfiniBand or RoCE, and TCP where there is neither. */
#include "io/program.h"
#include "rdma/server.h"
#include "rdma/stream.h"

#include <stdio.h>

struct echo {
    struct rill_task task;
    struct rill_rdma_ep peer;
    struct rill_rdma_op recv, send;
    char buffer[4096];
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(
            rill_rdma_stream_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer));
        if (echo->recv.result <= 0)
            break;
        RILL_AWAIT(
            rill_rdma_stream_send(&echo->peer, &echo->send, echo->buffer, echo->recv.result));
        if (echo->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_rdma_ep_close(&echo->peer));
    RILL_END();
}

struct program {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_server server;
    const char *url;
};

static int program_open(struct program *program)
{
    int error = rill_rdma_open(&program->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (error)
        fprintf(stderr, "no rdma: %s\n", program->rdma.why.text);
    return error;
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->server.result = program_open(program);
    if (program->server.result == 0)
        RILL_AWAIT(rill_rdma_serve_ep(&program->server, &program->rdma, program->url,
                                      RILL_SERVICE(struct echo, peer, echo_poll)));
    RILL_RETURN(program->server.result);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct program program;

    program.url = argc > 1 ? argv[1] : "rdma://0.0.0.0:7000";
    program.server.announce = stdout;
    return rill_main(rill_future_init(&program.future, program_poll));
}
