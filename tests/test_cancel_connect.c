/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_connect.c - cancelled accepts, connects, look-ups and servers lose nothing. */
#include "tests/cancel.h"

#include <errno.h>
#include <string.h>

/* ---- accepting and connecting ---- */

enum { CLIENTS = 3, HELLO = 16 /* fits into the smallest socket buffer */ };

static struct rill_connect connects[CLIENTS]; /* large */
static struct client {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_tcp tcp;
    struct rill_op op;
    struct rill_connect *connect;
    char bytes[HELLO];
} clients[CLIENTS];

/* Says hello and wants it back, unless the server has gone. */
static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&client->pause, moment()));
    {
        struct rill_address address = loopback(my.port);

        client->connect = &connects[client - clients];
        rill_tcp_connect_address(&client->tcp, client->connect, &address);
    }
    RILL_AWAIT(&client->connect->future);
    if (client->connect->result < 0)
        RILL_RETURN(client->connect->result);
    pattern_fill(client->bytes, 0, sizeof client->bytes);
    RILL_AWAIT(rill_tcp_send_all(&client->tcp, &client->op, client->bytes, sizeof client->bytes));
    RILL_AWAIT(rill_tcp_finish_sending(&client->tcp, &client->op));
    RILL_AWAIT(
        rill_tcp_recv_exactly(&client->tcp, &client->op, client->bytes, sizeof client->bytes));
    expect(pattern_is(client->bytes, 0, client->op.transferred));
    RILL_AWAIT(rill_tcp_close(&client->tcp));
    RILL_RETURN((int64_t)client->op.transferred);
    RILL_END();
}

static void start_clients(void)
{
    for (int i = 0; i < CLIENTS; i++)
        rill_task_spawn(&clients[i].task, client_poll);
}

static void start_listener_and_clients(void)
{
    my.port = fixture_listen(&my.listener, NULL);
    start_clients();
}

static struct rill_future *accept_one(void)
{
    return rill_tcp_accept(&my.listener, &my.accept);
}

static void serve_accepted(void)
{
    struct rill_tcp tcp = {0};

    expect(my.accept.result >= 0);
    rill_tcp_adopt(&tcp, (int)my.accept.result);
    expect_eq(await(rill_tcp_recv_exactly(&tcp, &my.op, my.bytes, HELLO)), HELLO);
    expect_eq(await(rill_tcp_send_all(&tcp, &my.op, my.bytes, HELLO)), HELLO);
    fixture_hang_up(&tcp);
}

static void after_accept(int64_t result)
{
    int count = 0;

    expect(result >= 0 || result == -ECANCELED);
    if (result >= 0) {
        serve_accepted();
        count++;
    }
    for (; count < CLIENTS; count++) {
        await(accept_one());
        serve_accepted();
    }
    for (int i = 0; i < CLIENTS; i++)
        expect_eq(await(rill_task_join(&clients[i].task, &clients[i].join)), HELLO);
    expect_eq(await(rill_listener_close(&my.listener)), 0);
}

static void start_listener(void)
{
    my.port = fixture_listen(&my.listener, NULL);
}

static struct rill_future *connect_to_listener(void)
{
    return rill_tcp_connect(&my.one, &my.connect, "127.0.0.1", my.port);
}

static void after_connect(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(my.one.is_open, result == 0);
    fixture_hang_up(&my.one);
    /* The listener works as before. The first connection may be of the one that was cancelled. */
    expect_eq(await(rill_tcp_connect(&my.one, &my.connect, "127.0.0.1", my.port)), 0);
    expect(await(accept_one()) >= 0);
    rill_tcp_adopt(&my.other, (int)my.accept.result);
    hang_up_both();
    expect_eq(await(rill_listener_close(&my.listener)), 0);
}

static struct rill_future *resolve_number(void)
{
    return rill_resolve(&my.resolve, "::1", 80);
}

static struct rill_future *resolve_name(void)
{
    fixture.keeps_fds = true;
    return rill_resolve(&my.resolve, "localhost", 80);
}

static void after_resolve(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    if (result > 0)
        expect_eq(rill_address_port(&my.resolve.addresses[0]), 80);
}

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[64];
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
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

/* A server does not end by itself: it has its clients served, and then this. */
static struct rill_future *serve(void)
{
    snprintf(my.url, sizeof my.url, "tcp://127.0.0.1:%u", my.port);
    return rill_serve(&my.server, my.url, RILL_SERVICE(struct echo, peer, echo_poll));
}

static void start_server_clients(void)
{
    struct rill_listener listener = {0};

    my.port = fixture_listen(&listener, NULL); /* a free one */
    expect_eq(await(rill_listener_close(&listener)), 0);
    start_clients();
}

static void after_serve(int64_t result)
{
    expect_eq(result, -ECANCELED);
    for (int i = 0; i < CLIENTS; i++) {
        int64_t answered = await(rill_task_join(&clients[i].task, &clients[i].join));

        expect((answered >= 0 && answered <= HELLO) || answered == -ECONNREFUSED ||
               answered == -ECONNRESET);
    }
    rill_runtime_shutdown(fixture.runtime, 10 * RILL_SECOND); /* the echo tasks end */
}

static void start_backlogged_listener(void)
{
    start_listener_and_clients();
    await(accept_one());
    rill_tcp_adopt(&my.one, (int)my.accept.result);
    fixture_turn();
}

static struct rill_future *close_listener(void)
{
    return rill_listener_close(&my.listener);
}

static void after_close_listener(int64_t result)
{
    expect_eq(result, 0);
    fixture_hang_up(&my.one);
    for (int i = 0; i < CLIENTS; i++)
        await(rill_task_join(&clients[i].task, &clients[i].join));
}

static void reset(void)
{
    memset(clients, 0, sizeof clients);
    memset(connects, 0, sizeof connects);
}

static const struct cancel_operation operations[] = {
    {"accept", IN_BOTH, start_listener_and_clients, accept_one, after_accept, false},
    {"listener_close", IN_BOTH, start_backlogged_listener, close_listener, after_close_listener,
     false},
    {"connect", IN_BOTH, start_listener, connect_to_listener, after_connect, false},
    {"resolve a number", IN_BOTH, start_nothing, resolve_number, after_resolve, false},
    {"resolve a name", IN_REAL, start_nothing, resolve_name, after_resolve, false},
    {"serve", IN_BOTH, start_server_clients, serve, after_serve, true},
};

int main(void)
{
    return cancel_main("cancel_connect", operations, sizeof operations / sizeof *operations, reset,
                       NULL);
}
