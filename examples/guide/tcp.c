/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.c - one connection seen from both its ends: a server that sends back what it
 * receives without copying it, and a client that finishes before it hangs up. */
#include "io/program.h"
#include "net/connect.h"
#include "net/listener.h"
#include "runtime/scope.h"

#include <stdio.h>

struct server {
    struct rill_task task;
    struct rill_listener listener;
    struct rill_accept accept;
    struct rill_tcp peer;
    struct rill_borrow borrow;
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_accept(&server->listener, &server->accept));
    if (server->accept.result >= 0) {
        rill_tcp_adopt(&server->peer, (int)server->accept.result);
        for (;;) {
            RILL_AWAIT(rill_tcp_recv_borrowed(&server->peer, &server->borrow));
            if (server->borrow.result <= 0)
                break;
            RILL_AWAIT(rill_tcp_send_borrowed(&server->peer, &server->borrow));
            if (server->borrow.result < 0)
                break;
        }
        rill_borrow_give_back(&server->borrow); /* if it could not be sent */
        RILL_AWAIT(rill_tcp_close(&server->peer));
    }
    RILL_AWAIT(rill_listener_close(&server->listener));
    RILL_END();
}

/* Listens at a free port and starts the server. Returns the port, or -errno. */
static int server_start(struct server *server, struct rill_scope *scope)
{
    struct rill_address address;
    int error = rill_address_parse(&address, "127.0.0.1", 0);

    if (!error)
        error = rill_listener_open(&server->listener, &address, NULL);
    if (!error)
        error = rill_listener_address(&server->listener, &address);
    if (error)
        return error;
    rill_scope_spawn(scope, &server->task, server_poll);
    return rill_address_port(&address);
}

struct client {
    struct rill_future future;
    struct server server;
    struct rill_scope scope;
    struct rill_connect connect;
    struct rill_tcp peer;
    struct rill_op op;
    int port;
    char answer[8];
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    rill_scope_init(&client->scope, RILL_SCOPE_TOGETHER);
    client->port = server_start(&client->server, &client->scope);
    if (client->port < 0)
        RILL_RETURN(client->port);
    RILL_AWAIT(
        rill_tcp_connect(&client->peer, &client->connect, "localhost", (uint16_t)client->port));
    if (client->connect.result < 0)
        goto end_server;
    RILL_AWAIT(rill_tcp_send_all(&client->peer, &client->op, "one\ntwo\n", 8));
    RILL_AWAIT(rill_tcp_recv_exactly(&client->peer, &client->op, client->answer, 8));
    if (client->op.result == 8)
        printf("8 bytes came back:\n%.8s", client->answer);
    RILL_AWAIT(rill_tcp_finish_sending(&client->peer, &client->op));
    RILL_AWAIT(rill_tcp_recv(&client->peer, &client->op, client->answer, 8));
    printf("and then %d: the server has hung up\n", (int)client->op.result);
    RILL_AWAIT(rill_tcp_close(&client->peer));
end_server:
    rill_scope_cancel(&client->scope, RILL_CANCELLED); /* it may still wait for us */
    RILL_AWAIT(rill_scope_join(&client->scope));
    RILL_RETURN(client->connect.result);
    RILL_END();
}

int main(void)
{
    static struct client client;

    return rill_main(rill_future_init(&client.future, client_poll));
}
