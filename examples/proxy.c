/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - passes each connection on to another server: bytes in both directions, and the end of
 * each. What one side sends faster than the other reads waits in its socket. */
#include "io/program.h"
#include "net/connect.h"
#include "net/server.h"
#include "net/socket_options.h"
#include "runtime/join_all.h"
#include "runtime/timeout.h"

#include <stdio.h>

static const int64_t connect_limit_ns = 10 * RILL_SECOND;

/* One direction, to the end of the stream. While nothing comes it holds no buffer. */
struct pump {
    struct rill_future future;
    struct rill_tcp *from, *to;
    struct rill_borrow borrow;
    struct rill_op finish;
};

static enum rill_poll pump_poll(struct rill_future *self, struct rill_task *task)
{
    struct pump *pump = rill_container_of(self, struct pump, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(pump->from, &pump->borrow));
        if (pump->borrow.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_borrowed(pump->to, &pump->borrow));
        if (pump->borrow.result < 0)
            break;
    }
    rill_borrow_give_back(&pump->borrow); /* if it could not be sent */
    if (pump->borrow.result < 0)
        RILL_RETURN(pump->borrow.result);
    RILL_AWAIT(rill_tcp_flush(pump->to));
    RILL_AWAIT(rill_tcp_finish_sending(pump->to, &pump->finish));
    RILL_RETURN(pump->finish.result);
    RILL_END();
}

static struct rill_future *pump(struct pump *pump, struct rill_tcp *from, struct rill_tcp *to)
{
    pump->from = from;
    pump->to = to;
    return rill_future_init(&pump->future, pump_poll);
}

struct relay {
    struct rill_task task;
    struct rill_tcp near, far;
    const struct rill_url *target;
    struct rill_connect connect;
    struct rill_timeout timeout;
    struct pump there, back;
    struct rill_future *pumps[2];
    struct rill_join_all both;
};

static enum rill_poll relay_poll(struct rill_future *self, struct rill_task *task)
{
    struct relay *relay = rill_container_of(self, struct relay, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_timeout(&relay->timeout, connect_limit_ns,
                            rill_tcp_connect_url(&relay->far, &relay->connect, relay->target)));
    if (relay->timeout.result == 0) {
        (void)rill_socket_set_nodelay(relay->far.fd, true); /* which a unix socket does not have */
        /* The first that fails ends the other, too. */
        RILL_AWAIT(rill_try_join_all(
            &relay->both, RILL_FUTURES(relay->pumps, pump(&relay->there, &relay->near, &relay->far),
                                       pump(&relay->back, &relay->far, &relay->near))));
        RILL_AWAIT(rill_tcp_close(&relay->far));
    }
    RILL_AWAIT(rill_tcp_close(&relay->near));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    static struct rill_url target;
    const char *why = "want the URLs to listen at and to connect to, such as tcp://127.0.0.1:7000 "
                      "and unix:///run/server";

    if (argc != 3 || rill_url_parse(&target, argv[2], &why) < 0) {
        fprintf(stderr, "proxy: %s\n", why);
        return 2;
    }
    server.announce = stdout;
    server.options.nodelay = true;
    return rill_main(rill_serve(
        &server, argv[1], RILL_SERVICE_WITH(struct relay, near, relay_poll, target, &target)));
}
