/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c - a TCP echo server: sends back whatever it receives, to any number of clients. */
#include "io/program.h"
#include "net/server.h"

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[4096];
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer));
        if (echo->recv.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_all(&echo->peer, &echo->send, echo->buffer, echo->recv.result));
        if (echo->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    const char *url = argc > 1 ? argv[1] : "tcp://127.0.0.1:7000";

    server.announce = stdout;
    return rill_main(rill_serve(&server, url, RILL_SERVICE(struct echo, peer, echo_poll)));
}
