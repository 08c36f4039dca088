/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_echo.c - echo.c over UCX: InfiniBand or RoCE, and TCP where there is neither. */
#include "io/program.h"
#include "rdma/listener.h"
#include "rdma/stream.h"
#include "runtime/task.h"

#include <arpa/inet.h>
#include <stdlib.h>

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

struct server {
    struct rill_future future;
    struct sockaddr_in address;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
};

static int server_open(struct server *server)
{
    struct sockaddr_storage bound;
    int error = rill_rdma_open(&server->rdma, NULL);

    if (error) {
        fprintf(stderr, "no rdma: %s\n", server->rdma.why.text);
        return error;
    }
    error = rill_rdma_listen(&server->listener, &server->rdma, (void *)&server->address,
                             sizeof server->address);
    if (!error && rill_rdma_listener_address(&server->listener, &bound) == 0) {
        printf("listening on port %d\n", ntohs(((struct sockaddr_in *)&bound)->sin_port));
        fflush(stdout);
    }
    return error;
}

/* Gives the client a task of its own, or turns it away. */
static void server_start_echo(struct server *server)
{
    struct echo *echo = rill_task_alloc(sizeof *echo);

    if (!echo) {
        rill_rdma_reject(&server->accept);
    } else if (rill_rdma_ep_adopt(&echo->peer, &server->accept) < 0) {
        rill_task_free(echo);
    } else {
        rill_task_spawn(&echo->task, echo_poll);
        rill_task_detach(&echo->task);
    }
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

int main(int argc, char **argv)
{
    static struct server server;

    server.address.sin_family = AF_INET;
    server.address.sin_addr.s_addr = htonl(INADDR_ANY);
    server.address.sin_port = htons(argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000);
    return rill_main(rill_future_init(&server.future, server_poll));
}
