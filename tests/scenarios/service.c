/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/service.h"

#include <errno.h>

size_t service_errors;

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[200];
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer));
        if (echo->recv.result <= 0)
            break;
        RILL_AWAIT(
            rill_tcp_send_all(&echo->peer, &echo->send, echo->buffer, (size_t)echo->recv.result));
        if (echo->send.result < 0)
            break;
    }
    if (echo->recv.result < 0 || echo->send.result < 0)
        service_errors++;
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

void service_start(struct service *service, const char *url, struct rill_service what)
{
    *service = (struct service){.server.announce = NULL};
    service_errors = 0;
    background_start(&service->serving, rill_serve(&service->server, url, what));
    fixture_turn();
}

void service_start_echo(struct service *service, const char *url)
{
    service_start(service, url, RILL_SERVICE(struct echo, peer, echo_poll));
}

void service_stop(struct service *service)
{
    rill_task_cancel(&service->serving.task);
    expect_eq(background_end(&service->serving), -ECANCELED);
}
