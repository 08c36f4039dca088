/* SPDX-License-Identifier: Apache-2.0 */
/* test_libuv.c - a runtime within libuv's loop: timers and connections in both at once,
 * in one thread that sleeps when there is nothing to do. */
#include "net/server.h"
#include "runtime/notify.h"
#include "tests/fixture.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum {
    CLIENTS = 8,
    EXCHANGES = 50, /* of each client */
    SIZE = 1000,
    TICKS = 20,
};

static uv_loop_t *loop;
static uv_poll_t watcher;
static unsigned turns;

static void on_readable(uv_poll_t *handle, int status, int events)
{
    (void)handle;
    (void)events;
    expect_eq(status, 0);
    turns++;
    expect_eq(rill_turn(fixture.runtime, RILL_NO_WAIT), 0);
}

static bool open_both(void)
{
    static const struct rill_runtime_options options = {.embedded = true};

    if (!fixture_open(REAL, NULL, &options))
        return false;
    loop = uv_default_loop();
    ck_assert_int_eq(uv_poll_init(loop, &watcher, rill_fd(fixture.runtime)), 0);
    ck_assert_int_eq(uv_poll_start(&watcher, UV_READABLE, on_readable), 0);
    return true;
}

static void close_both(void)
{
    uv_close((uv_handle_t *)&watcher, NULL);
    ck_assert_int_eq(uv_run(loop, UV_RUN_DEFAULT), 0);
    ck_assert_int_eq(uv_loop_close(loop), 0);
    fixture.keeps_fds = true; /* libuv's, of the process */
    fixture_close();
}

/* ---- timers in both ---- */

static unsigned uv_ticks, rill_ticks;

static void on_uv_tick(uv_timer_t *timer)
{
    if (++uv_ticks == TICKS)
        uv_close((uv_handle_t *)timer, NULL);
}

struct ticking {
    struct rill_task task;
    struct rill_interval interval;
};

static enum rill_poll ticking_poll(struct rill_future *self, struct rill_task *task)
{
    struct ticking *ticking = rill_container_of(self, struct ticking, task.future);

    RILL_BEGIN();
    rill_interval_init(&ticking->interval, 2 * RILL_MILLISECOND);
    for (rill_ticks = 0; rill_ticks < TICKS; rill_ticks++)
        RILL_AWAIT(rill_interval_tick(&ticking->interval));
    RILL_END();
}

START_TEST(timers_of_both_fire_and_the_loop_sleeps_between)
{
    static struct ticking ticking;
    uv_timer_t timer;

    if (!open_both())
        return;
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_uv_tick, 2, 2);
    rill_task_spawn(&ticking.task, ticking_poll);
    while (uv_ticks < TICKS || !rill_task_is_over(&ticking.task))
        uv_run(loop, UV_RUN_ONCE);
    ck_assert_uint_eq(rill_ticks, TICKS);
    /* Each tick lies some hundred ticks of the wheel ahead: three levels, and the moment. */
    ck_assert_uint_le(turns, TICKS * 5);
    close_both();
}
END_TEST

/* ---- an echo server of rill's, and clients of libuv's ---- */

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[SIZE];
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

struct serving {
    struct rill_task task;
    struct rill_listener listener;
    struct rill_accept accept;
};

static enum rill_poll serving_poll(struct rill_future *self, struct rill_task *task)
{
    struct serving *serving = rill_container_of(self, struct serving, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_accept(&serving->listener, &serving->accept));
        if (serving->accept.result < 0)
            break;

        struct echo *echo = rill_task_alloc(sizeof *echo);

        rill_tcp_adopt(&echo->peer, (int)serving->accept.result);
        rill_task_spawn(&echo->task, echo_poll);
        rill_task_detach(&echo->task);
    }
    RILL_AWAIT(rill_listener_close(&serving->listener));
    RILL_END();
}

struct uv_client {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    char out[SIZE], in[SIZE];
    size_t received;
    unsigned exchanges;
};

static unsigned clients_done;

static void ask(struct uv_client *client)
{
    uv_buf_t buffer = uv_buf_init(client->out, SIZE);

    client->received = 0;
    pattern_fill(client->out, client->exchanges, SIZE);
    expect_eq(uv_write(&client->write, (uv_stream_t *)&client->tcp, &buffer, 1, NULL), 0);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct uv_client *client = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(client->in + client->received, (unsigned)(SIZE - client->received));
}

static void on_answer(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct uv_client *client = stream->data;

    (void)buffer;
    expect(size >= 0);
    client->received += (size_t)size;
    if (client->received < SIZE)
        return;
    expect(pattern_is(client->in, client->exchanges, SIZE));
    if (++client->exchanges < EXCHANGES) {
        ask(client);
    } else {
        clients_done++;
        uv_close((uv_handle_t *)stream, NULL);
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct uv_client *client = connect->handle->data;

    expect_eq(status, 0);
    expect_eq(uv_read_start((uv_stream_t *)&client->tcp, on_room, on_answer), 0);
    ask(client);
}

START_TEST(connections_of_both_exchange_all_their_bytes_without_busy_turns)
{
    static struct uv_client clients[CLIENTS];
    static struct serving serving;
    struct rill_address address;
    uint16_t port;

    if (!open_both())
        return;
    port = fixture_listen(&serving.listener, NULL);
    address = loopback(port);
    rill_task_spawn(&serving.task, serving_poll);
    for (int i = 0; i < CLIENTS; i++) {
        uv_tcp_init(loop, &clients[i].tcp);
        clients[i].tcp.data = &clients[i];
        ck_assert_int_eq(
            uv_tcp_connect(&clients[i].connect, &clients[i].tcp, &address.any, on_connected), 0);
    }
    while (clients_done < CLIENTS)
        uv_run(loop, UV_RUN_ONCE);
    /* One for each request at most, and one for each connection, its end, and some more. */
    ck_assert_uint_le(turns, CLIENTS * (EXCHANGES + 4) * 2);
    rill_task_cancel(&serving.task);
    rill_turn(fixture.runtime, RILL_NO_WAIT);
    while (fixture.runtime->executor.tasks_alive > 0)
        uv_run(loop, UV_RUN_ONCE);
    close_both();
}
END_TEST

/* ---- nothing to do ---- */

static bool is_over;

static void on_end(uv_timer_t *timer)
{
    is_over = true;
    uv_close((uv_handle_t *)timer, NULL);
}

START_TEST(an_idle_runtime_takes_no_turns)
{
    static struct background waiting;
    struct rill_notify notify;
    struct rill_wait wait;
    uv_timer_t timer;

    if (!open_both())
        return;
    rill_notify_init(&notify);
    background_start(&waiting, rill_notify_wait(&notify, &wait));
    uv_timer_init(loop, &timer);
    uv_timer_start(&timer, on_end, 20, 0);
    while (!is_over)
        uv_run(loop, UV_RUN_ONCE);
    ck_assert_uint_le(turns, 2); /* the first, and one to find that there is no more */
    rill_notify_one(&notify);
    rill_turn(fixture.runtime, RILL_NO_WAIT);
    ck_assert(rill_task_is_over(&waiting.task));
    close_both();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {timers_of_both_fire_and_the_loop_sleeps_between, IN_REAL},
        {connections_of_both_exchange_all_their_bytes_without_busy_turns, IN_REAL},
        {an_idle_runtime_takes_no_turns, IN_REAL},
    };

    return fixture_main("libuv", cases, sizeof cases / sizeof *cases);
}
