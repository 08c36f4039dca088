/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.c - a front desk hands a client's connection on to a clerk, who serves it. */
#include "net/descriptors.h"
#include "io/program.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* As a rule another process, which has its end of the unix socket from its parent. */
struct clerk {
    struct rill_task task;
    struct rill_tcp desk, client;
    struct rill_recv_descriptors recv;
    struct rill_op send;
    char kind;
};

static enum rill_poll clerk_poll(struct rill_future *self, struct rill_task *task)
{
    struct clerk *clerk = rill_container_of(self, struct clerk, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_descriptors(&clerk->desk, &clerk->recv, &clerk->kind, 1));
        if (clerk->recv.result <= 0)
            break; /* the desk has closed */
        if (clerk->recv.count != 1 || clerk->kind != 'c') {
            RILL_AWAIT(rill_descriptors_close(&clerk->recv)); /* nothing that it knows */
            continue;
        }
        rill_tcp_adopt_foreign(&clerk->client, rill_descriptors_take(&clerk->recv));
        RILL_AWAIT(rill_tcp_send_all(&clerk->client, &clerk->send, "hello from the clerk", 20));
        RILL_AWAIT(rill_tcp_close(&clerk->client));
    }
    RILL_AWAIT(rill_tcp_close(&clerk->desk));
    RILL_END();
}

struct desk {
    struct rill_future future;
    struct clerk clerk;
    struct rill_tcp to_clerk, client, peer; /* the two ends of a client's connection */
    struct rill_send_descriptors send;
    struct rill_op recv;
    struct rill_join join;
    char text[20];
    int error;
};

static int open_pair(struct rill_tcp *one, struct rill_tcp *other)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    rill_tcp_adopt_foreign(one, fds[0]);
    rill_tcp_adopt_foreign(other, fds[1]);
    return 0;
}

static enum rill_poll desk_poll(struct rill_future *self, struct rill_task *task)
{
    struct desk *desk = rill_container_of(self, struct desk, future);

    RILL_BEGIN();
    desk->error = open_pair(&desk->to_clerk, &desk->clerk.desk);
    if (!desk->error)
        desk->error = open_pair(&desk->client, &desk->peer);
    if (desk->error)
        RILL_RETURN(desk->error);
    rill_task_spawn(&desk->clerk.task, clerk_poll);

    RILL_AWAIT(rill_tcp_send_descriptors(&desk->to_clerk, &desk->send, "c", 1, &desk->peer.fd, 1));
    printf("the desk has sent %d byte\n", (int)desk->send.result);
    RILL_AWAIT(rill_tcp_close(&desk->peer)); /* the clerk has it still */
    RILL_AWAIT(rill_tcp_recv_exactly(&desk->client, &desk->recv, desk->text, sizeof desk->text));
    printf("the client has read \"%.*s\"\n", (int)desk->recv.result, desk->text);

    RILL_AWAIT(rill_tcp_close(&desk->client));
    RILL_AWAIT(rill_tcp_close(&desk->to_clerk));
    RILL_AWAIT(rill_task_join(&desk->clerk.task, &desk->join));
    RILL_END();
}

int main(void)
{
    static struct desk desk;

    return rill_main(rill_future_init(&desk.future, desk_poll));
}
