/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - a service that answers in upper case, and a client that tries it out. */
#include "net/server.h"
#include "io/program.h"
#include "net/connect.h"
#include "runtime/select.h"

#include <ctype.h>
#include <stdio.h>

/* One for each connection: zeroed, spawned and detached by the server. */
struct shout {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char text[256];
};

static enum rill_poll shout_poll(struct rill_future *self, struct rill_task *task)
{
    struct shout *shout = rill_container_of(self, struct shout, task.future);

    RILL_BEGIN();
    while (shout->send.result >= 0) {
        RILL_AWAIT(rill_tcp_recv(&shout->peer, &shout->recv, shout->text, sizeof shout->text));
        if (shout->recv.result <= 0)
            break;
        for (int64_t i = 0; i < shout->recv.result; i++)
            shout->text[i] = (char)toupper((unsigned char)shout->text[i]);
        RILL_AWAIT(
            rill_tcp_send_all(&shout->peer, &shout->send, shout->text, (size_t)shout->recv.result));
    }
    RILL_AWAIT(rill_tcp_close(&shout->peer));
    RILL_END();
}

struct client {
    struct rill_future future;
    struct rill_server *server;
    struct rill_connect connect;
    struct rill_tcp peer;
    struct rill_op op;
    char answer[6];
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    {
        struct rill_address address;
        int error = rill_listener_address(&client->server->listener, &address);

        if (error)
            RILL_RETURN(error);
        rill_tcp_connect_address(&client->peer, &client->connect, &address);
    }
    RILL_AWAIT(&client->connect.future);
    if (client->connect.result < 0)
        RILL_RETURN(client->connect.result);
    RILL_AWAIT(rill_tcp_send_all(&client->peer, &client->op, "hello\n", 6));
    RILL_AWAIT(rill_tcp_recv_exactly(&client->peer, &client->op, client->answer, 6));
    printf("%.*s", (int)client->op.result, client->answer);
    RILL_AWAIT(rill_tcp_close(&client->peer));
    RILL_END();
}

/* Serves until the client is done. A server of its own is rill_main(rill_serve(...)). */
int main(void)
{
    static struct rill_server server;
    static struct client client = {.server = &server};
    static struct rill_select select;
    struct rill_future *choices[] = {
        rill_serve(&server, "tcp://127.0.0.1:0", RILL_SERVICE(struct shout, peer, shout_poll)),
        rill_future_init(&client.future, client_poll),
    };
    int status = rill_main(rill_select(&select, choices, 2));

    printf("%d connection served, result %d\n", (int)server.accepted, (int)client.future.result);
    return status;
}
