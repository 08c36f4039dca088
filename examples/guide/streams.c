/* SPDX-License-Identifier: Apache-2.0 */
/* streams.c - one task, one loop: the ticks of an interval, the connections of a
 * listener, what a peer sends, and a notification to stop. */
#include "io/program.h"
#include "net/connect.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "runtime/any.h"
#include "runtime/notify.h"
#include "runtime/sleep.h"

#include <stdio.h>

/* ---- the world: a client that says hello, and stops the server after a while ---- */

struct client {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_connect connect;
    struct rill_op send;
    struct rill_sleep pause;
    struct rill_address address;
    struct rill_notify *stop;
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_connect_address(&client->peer, &client->connect, &client->address));
    RILL_AWAIT(rill_tcp_send_all(&client->peer, &client->send, "hello", 5));
    RILL_AWAIT(rill_tcp_close(&client->peer));
    RILL_AWAIT(rill_sleep(&client->pause, 100 * RILL_MILLISECOND));
    rill_notify_one(client->stop);
    RILL_END();
}

/* ---- the server ---- */

enum { TICK, ACCEPT, RECEIVE, STOP, STREAMS };

struct server {
    struct rill_future future;
    struct rill_any any;
    struct rill_future *streams[STREAMS];
    struct rill_interval interval;
    struct rill_listener listener;
    struct rill_accept accept;
    struct rill_tcp peer;
    struct rill_op recv;
    struct rill_notify stop;
    struct rill_wait stopped;
    struct client client;
    char buffer[64];
    int ticks;
};

static int open_listener(struct server *server)
{
    struct rill_address here;
    int error = rill_address_parse(&here, "127.0.0.1", 0);

    if (!error)
        error = rill_listener_open(&server->listener, &here, NULL);
    return error ? error : rill_listener_address(&server->listener, &server->client.address);
}

static void on_accept(struct server *server)
{
    printf("a connection\n");
    rill_tcp_adopt(&server->peer, (int)server->accept.result);
    server->streams[RECEIVE] =
        rill_tcp_recv(&server->peer, &server->recv, server->buffer, sizeof server->buffer);
}

static void on_receive(struct server *server)
{
    if (server->recv.result <= 0) {
        printf("the end of the connection\n");
        return; /* its entry stays NULL */
    }
    printf("received: %.*s\n", (int)server->recv.result, server->buffer);
    server->streams[RECEIVE] =
        rill_tcp_recv(&server->peer, &server->recv, server->buffer, sizeof server->buffer);
}

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, future);

    RILL_BEGIN();
    self->result = open_listener(server);
    if (self->result < 0)
        RILL_RETURN(self->result);
    rill_notify_init(&server->stop);
    rill_interval_init(&server->interval, 20 * RILL_MILLISECOND);
    server->client.stop = &server->stop;
    rill_task_spawn(&server->client.task, client_poll);

    rill_any_init(&server->any, server->streams, STREAMS);
    server->streams[TICK] = rill_interval_tick(&server->interval);
    server->streams[ACCEPT] = rill_tcp_accept(&server->listener, &server->accept);
    server->streams[STOP] = rill_notify_wait(&server->stop, &server->stopped);
    for (;;) {
        RILL_AWAIT(rill_any_next(&server->any));
        if (server->any.result == TICK) {
            server->ticks++;
            server->streams[TICK] = rill_interval_tick(&server->interval);
        } else if (server->any.result == ACCEPT && server->accept.result >= 0) {
            on_accept(server); /* one is enough: no new accept */
        } else if (server->any.result == RECEIVE) {
            on_receive(server);
        } else {
            break; /* told to stop, or cancelled, or no more to accept */
        }
    }
    RILL_AWAIT(rill_any_drain(&server->any, RILL_SHUTTING_DOWN));
    printf("stopped, and it had ticked: %s\n", server->ticks > 0 ? "yes" : "no");
    RILL_AWAIT(rill_tcp_close(&server->peer));
    RILL_AWAIT(rill_listener_close(&server->listener));
    RILL_END();
}

int main(void)
{
    static struct server server;

    return rill_main(rill_future_init(&server.future, server_poll));
}
