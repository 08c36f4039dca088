/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel.c - whatever is cancelled, and whenever, ends soon and loses nothing.
 *
 * One table of operations, and one sweep over it. Each operation runs in a task
 * (the victim) in a small world of its own: it is cancelled before its first poll,
 * before the next ones, after each of the first turns and at moments spread over
 * the time that it takes when nobody disturbs it. Then what is left to do is done,
 * and everything has to be there: bytes, connections, signals, notifications. */
#include "io/file.h"
#include "io/readiness.h"
#include "io/signals.h"
#include "net/server.h"
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TOTAL = 3000 };

/* What one run of an operation needs, zeroed before each. */
static struct {
    struct rill_tcp one, other;
    struct rill_op op, rest_op;
    struct rill_borrow borrow;
    struct rill_send_vectored vectored;
    struct iovec parts[5];
    struct rill_listener listener;
    struct rill_accept accept;
    struct rill_connect connect;
    struct rill_resolve resolve;
    struct rill_server server;
    struct rill_file file;
    struct rill_read_to_end read_to_end;
    struct statx status;
    struct rill_signals signals;
    struct rill_sleep sleep;
    struct rill_join join;
    struct rill_notify notify;
    struct rill_wait wait;
    struct rill_select select;
    struct rill_future *choices[2];
    struct rill_timeout timeout;
    char bytes[TOTAL + 100];
    size_t at;     /* bytes received, in order */
    bool broken;   /* the stream was given up: who takes part sees an error */
    bool notified; /* rill_notify_one found somebody */
    int fds[2];    /* a counter, or a pipe */
    char url[40], path[100];
    uint16_t port;
} my;

/* ---- a few tasks that take part ---- */

static uint64_t dice(uint64_t bound)
{
    return fixture.sim ? sim_random(fixture.sim, bound) : (uint64_t)rand() % bound;
}

/* Time in which others may do something. The real kernel needs none. */
static int64_t moment(void)
{
    return fixture.sim && dice(2) ? (int64_t)dice(200) * RILL_MICROSECOND : 0;
}

/* Sends a pattern of TOTAL bytes, from my.other, in pieces. */
static struct feeder {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_op op;
    size_t at, size;
    char bytes[TOTAL];
} feeder;

static enum rill_poll feeder_poll(struct rill_future *self, struct rill_task *task)
{
    struct feeder *feed = rill_container_of(self, struct feeder, task.future);

    RILL_BEGIN();
    pattern_fill(feed->bytes, 0, TOTAL);
    while (feed->at < TOTAL) {
        RILL_AWAIT(rill_sleep(&feed->pause, moment()));
        feed->size = 1 + (size_t)dice(700);
        if (feed->size > TOTAL - feed->at)
            feed->size = TOTAL - feed->at;
        RILL_AWAIT(rill_tcp_send_all(&my.other, &feed->op, feed->bytes + feed->at, feed->size));
        if (feed->op.result < 0 && my.broken)
            RILL_RETURN(0);
        expect_eq(feed->op.result, feed->size);
        feed->at += feed->size;
    }
    RILL_AWAIT(rill_tcp_finish_sending(&my.other, &feed->op));
    RILL_RETURN(feed->op.result);
    RILL_END();
}

/* Receives at my.other until the end, and looks whether the pattern is whole. */
static struct drainer {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_op op;
    size_t at;
    char bytes[500];
} drainer;

static enum rill_poll drainer_poll(struct rill_future *self, struct rill_task *task)
{
    struct drainer *drain = rill_container_of(self, struct drainer, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_sleep(&drain->pause, moment()));
        RILL_AWAIT(rill_tcp_recv(&my.other, &drain->op, drain->bytes, sizeof drain->bytes));
        expect(drain->op.result >= 0 || my.broken);
        if (drain->op.result <= 0)
            break;
        expect(pattern_is(drain->bytes, drain->at, (size_t)drain->op.result));
        drain->at += (size_t)drain->op.result;
    }
    RILL_RETURN((int64_t)drain->at);
    RILL_END();
}

static void start_feeder(void)
{
    fixture_pair(&my.one, &my.other);
    rill_task_spawn(&feeder.task, feeder_poll);
}

static void start_drainer(void)
{
    fixture_pair(&my.one, &my.other);
    pattern_fill(my.bytes, 0, TOTAL);
    rill_task_spawn(&drainer.task, drainer_poll);
}

static void hang_up_both(void)
{
    fixture_hang_up(&my.one);
    fixture_hang_up(&my.other);
}

/* ---- receiving: what came and what comes later is what was sent ---- */

static void came(const char *bytes, int64_t size)
{
    expect(size >= 0);
    expect(pattern_is(bytes, my.at, (size_t)size));
    my.at += (size_t)size;
}

static void receive_the_rest(void)
{
    for (;;) {
        int64_t size = await(rill_tcp_recv(&my.one, &my.rest_op, my.bytes, sizeof my.bytes));

        if (size == 0)
            break;
        came(my.bytes, size);
    }
    expect_eq(my.at, TOTAL);
    expect_eq(await(rill_task_join(&feeder.join, &feeder.task)), 0);
    hang_up_both();
}

static struct rill_future *recv_some(void)
{
    return rill_tcp_recv(&my.one, &my.op, my.bytes, 1000);
}

static void after_recv(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    if (result > 0)
        came(my.bytes, result);
    receive_the_rest();
}

static struct rill_future *recv_exactly(void)
{
    return rill_tcp_recv_exactly(&my.one, &my.op, my.bytes, 2000);
}

static void after_recv_exactly(int64_t result)
{
    expect(result == 2000 || result == -ECANCELED);
    expect(result < 0 || my.op.transferred == 2000);
    came(my.bytes, (int64_t)my.op.transferred);
    receive_the_rest();
}

static struct rill_future *recv_borrowed(void)
{
    return rill_tcp_recv_borrowed(&my.one, &my.borrow);
}

static void after_recv_borrowed(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    for (int i = 0; my.borrow.result != 0 && i < 10; i++) {
        if (my.borrow.result > 0)
            came(my.borrow.data, my.borrow.result);
        rill_borrow_give_back(&my.borrow);
        await(rill_tcp_recv_borrowed(&my.one, &my.borrow));
    }
    if (my.borrow.result > 0)
        came(my.borrow.data, my.borrow.result);
    rill_borrow_give_back(&my.borrow);
    receive_the_rest();
}

/* The same op from shared buffers: it never is in the kernel itself. */
static void start_feeder_and_borrow(void)
{
    start_feeder();
    expect(await(rill_tcp_recv_borrowed(&my.one, &my.borrow)) > 0);
    came(my.borrow.data, my.borrow.result);
    rill_borrow_give_back(&my.borrow);
}

static struct rill_future *recv_exactly_the_rest(void)
{
    return rill_tcp_recv_exactly(&my.one, &my.op, my.bytes, sizeof my.bytes);
}

static void after_recv_exactly_the_rest(int64_t result)
{
    expect(result == (int64_t)my.op.transferred || result == -ECANCELED);
    came(my.bytes, (int64_t)my.op.transferred);
    receive_the_rest();
}

/* ---- sending: what was said to be sent was sent, and no more ---- */

static void send_the_rest(uint64_t sent)
{
    expect(sent <= TOTAL);
    expect_eq(await(rill_tcp_send_all(&my.one, &my.rest_op, feeder.bytes + sent, TOTAL - sent)),
              TOTAL - sent);
    expect_eq(await(rill_tcp_finish_sending(&my.one, &my.rest_op)), 0);
    expect_eq(await(rill_task_join(&drainer.join, &drainer.task)), TOTAL);
    hang_up_both();
}

static struct rill_future *send_some(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    return rill_tcp_send(&my.one, &my.op, my.bytes, TOTAL);
}

static void after_send(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    send_the_rest(result > 0 ? (uint64_t)result : 0);
}

static struct rill_future *send_all(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    return rill_tcp_send_all(&my.one, &my.op, my.bytes, TOTAL);
}

static void after_send_all(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    send_the_rest(my.op.transferred);
}

static struct rill_future *send_vectored(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    my.parts[0] = (struct iovec){my.bytes, 1};
    my.parts[1] = (struct iovec){my.bytes + 1, 1499};
    my.parts[2] = (struct iovec){my.bytes, 0};
    my.parts[3] = (struct iovec){my.bytes + 1500, 1500};
    my.parts[4] = (struct iovec){my.bytes, 0};
    return rill_tcp_send_vectored(&my.one, &my.vectored, my.parts, 5);
}

static void after_send_vectored(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    send_the_rest(my.vectored.op.transferred);
}

static struct rill_future *finish_sending(void)
{
    return rill_tcp_finish_sending(&my.one, &my.op);
}

static void after_finish_sending(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_tcp_finish_sending(&my.one, &my.rest_op)), 0);
    expect_eq(await(rill_task_join(&drainer.join, &drainer.task)), 0);
    hang_up_both();
}

/* With a receive armed, bytes nobody reads, and a feeder that will be broken off. */
static struct rill_future *close_tcp(void)
{
    return rill_tcp_close(&my.one);
}

static void start_quiet_pair(void)
{
    fixture_pair(&my.one, &my.other);
    pattern_fill(my.bytes, 0, TOTAL);
    expect_eq(await(rill_tcp_send_all(&my.other, &my.op, my.bytes, 10)), 10);
    expect(await(rill_tcp_recv_borrowed(&my.one, &my.borrow)) > 0);
    rill_borrow_give_back(&my.borrow);
}

static void after_close_tcp(int64_t result)
{
    expect_eq(result, 0);
    expect(!my.one.is_open);
    hang_up_both();
}

/* ---- sending on what was borrowed ---- */

static void start_relay(void)
{
    start_feeder();
    rill_task_spawn(&drainer.task, drainer_poll);
    expect(await(recv_borrowed()) > 0);
    my.at = (size_t)my.borrow.result;
}

static struct rill_future *send_borrowed(void)
{
    return rill_tcp_send_borrowed(&my.one, &my.borrow);
}

static void after_send_borrowed(int64_t result)
{
    expect(result == (int64_t)my.at || result == -ECANCELED);
    expect_eq(my.borrow.data == NULL, result >= 0);
    if (result < 0)
        expect_eq(await(rill_tcp_send_all(&my.one, &my.op, my.borrow.data, my.at)), my.at);
    rill_borrow_give_back(&my.borrow);
    for (;;) { /* the rest goes the same way */
        int64_t size = await(rill_tcp_recv_borrowed(&my.one, &my.borrow));

        if (size == 0)
            break;
        my.at += (size_t)size;
        expect_eq(await(rill_tcp_send_borrowed(&my.one, &my.borrow)), size);
    }
    expect_eq(await(rill_tcp_flush(&my.one)), 0);
    expect_eq(await(rill_tcp_finish_sending(&my.one, &my.op)), 0);
    expect_eq(await(rill_task_join(&feeder.join, &feeder.task)), 0);
    expect_eq(await(rill_task_join(&drainer.join, &drainer.task)), TOTAL);
    hang_up_both();
}

static void start_relay_in_line(void)
{
    start_relay();
    expect_eq(await(send_borrowed()), my.at);
}

static struct rill_future *flush(void)
{
    return rill_tcp_flush(&my.one);
}

/* Cancelling gives up what was not sent, and with it the stream. */
static void after_flush(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    my.broken = true;
    fixture_hang_up(&my.one);
    await(rill_task_join(&feeder.join, &feeder.task));
    expect(await(rill_task_join(&drainer.join, &drainer.task)) <= (int64_t)my.at);
    expect(result < 0 || drainer.at <= my.at);
    fixture_hang_up(&my.other);
}

/* ---- combinators around a receive ---- */

static struct rill_future *recv_with_timeout(void)
{
    return rill_timeout(&my.timeout, 100 * RILL_MICROSECOND, recv_exactly());
}

static void after_recv_with_timeout(int64_t result)
{
    expect(result == 2000 || result == -ECANCELED || result == -ETIMEDOUT);
    expect_eq(my.op.result, result == -ETIMEDOUT ? -ECANCELED : result);
    came(my.bytes, (int64_t)my.op.transferred);
    receive_the_rest();
}

static struct rill_future *select_recv(void)
{
    my.choices[0] = recv_some();
    my.choices[1] = rill_sleep(&my.sleep, 100 * RILL_MICROSECOND);
    return rill_select(&my.select, my.choices, 2);
}

static void after_select_recv(int64_t result)
{
    expect(result == 0 || result == 1 || result == -ECANCELED);
    expect(!my.choices[0] && !my.choices[1]);
    after_recv(my.op.result);
}

static struct rill_future *select_borrowed(void)
{
    my.choices[0] = rill_sleep(&my.sleep, 100 * RILL_MICROSECOND);
    my.choices[1] = recv_borrowed();
    return rill_select(&my.select, my.choices, 2);
}

static void after_select_borrowed(int64_t result)
{
    expect(result == 0 || result == 1 || result == -ECANCELED);
    after_recv_borrowed(my.borrow.result);
}

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
    struct rill_tcp tcp;

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
        expect_eq(await(rill_task_join(&clients[i].join, &clients[i].task)), HELLO);
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
    struct rill_listener listener;

    my.port = fixture_listen(&listener, NULL); /* a free one */
    expect_eq(await(rill_listener_close(&listener)), 0);
    start_clients();
}

static void after_serve(int64_t result)
{
    expect_eq(result, -ECANCELED);
    for (int i = 0; i < CLIENTS; i++) {
        int64_t answered = await(rill_task_join(&clients[i].join, &clients[i].task));

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
        await(rill_task_join(&clients[i].join, &clients[i].task));
}

/* ---- time, tasks, notifications ---- */

static void start_nothing(void)
{
}

static struct rill_future *sleep_a_while(void)
{
    return rill_sleep(&my.sleep, RILL_MILLISECOND);
}

static void after_sleep(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
}

static struct sleeper {
    struct rill_task task;
    struct rill_sleep sleep;
    struct rill_join join;
} sleeper;

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct sleeper *me = rill_container_of(self, struct sleeper, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&me->sleep, RILL_MILLISECOND));
    expect_eq(me->sleep.result, 0);
    my.notified = rill_notify_one(&my.notify);
    if (my.fds[0] && fixture.sim)
        sim_counter_add(fixture.sim, my.fds[0], 1);
    else if (my.fds[0])
        expect_eq(write(my.fds[1], "x", 1), 1);
    RILL_RETURN(42);
    RILL_END();
}

static void start_sleeper(void)
{
    rill_notify_init(&my.notify);
    rill_task_spawn(&sleeper.task, sleeper_poll);
}

static struct rill_future *join_sleeper(void)
{
    return rill_task_join(&my.join, &sleeper.task);
}

static void after_join(int64_t result)
{
    expect(result == 42 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_task_join(&sleeper.join, &sleeper.task)), 42);
}

static struct rill_future *wait_for_notification(void)
{
    return rill_notify_wait(&my.notify, &my.wait);
}

static void after_notification(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(await(rill_task_join(&sleeper.join, &sleeper.task)), 42);
    expect(my.notified || result == -ECANCELED); /* a cancelled one would have passed it on */
}

/* ---- descriptors and signals ---- */

static void start_adder(void)
{
    if (fixture.sim)
        my.fds[0] = sim_counter_create(fixture.sim);
    else
        expect_eq(pipe(my.fds), 0);
    start_sleeper();
}

static struct rill_future *wait_for_fd(void)
{
    return rill_fd_wait(&my.op, my.fds[0], POLLIN);
}

static void after_fd_wait(int64_t result)
{
    struct rill_kernel *kernel = fixture.runtime->reactor.kernel;

    expect(result == -ECANCELED || (result > 0 && result & POLLIN));
    expect(await(rill_fd_wait(&my.op, my.fds[0], POLLIN)) & POLLIN);
    expect_eq(await(rill_task_join(&sleeper.join, &sleeper.task)), 42);
    expect_eq(kernel->ops->close(kernel, my.fds[0]), 0);
    if (!fixture.sim)
        close(my.fds[1]);
}

static void start_signal(void)
{
    expect_eq(rill_signals_open(&my.signals, (const int[]){SIGUSR1}, 1), 0);
    raise(SIGUSR1);
}

static struct rill_future *next_signal(void)
{
    return rill_signals_next(&my.signals);
}

static void after_signal(int64_t result)
{
    expect(result == SIGUSR1 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_signals_next(&my.signals)), SIGUSR1);
    rill_signals_close(&my.signals);
}

/* ---- files ---- */

static char directory[] = "/tmp/rill-cancel-XXXXXX";

static void make_file(size_t size)
{
    pattern_fill(my.bytes, 0, TOTAL);
    if (fixture.sim) {
        snprintf(my.path, sizeof my.path, "/some/file");
        sim_file_put(fixture.sim, my.path, my.bytes, size);
    } else {
        FILE *file;

        snprintf(my.path, sizeof my.path, "%s/file", directory);
        file = fopen(my.path, "w");
        expect(file && fwrite(my.bytes, 1, size, file) == size);
        fclose(file);
    }
}

static void open_file(size_t size)
{
    make_file(size);
    expect_eq(await(rill_file_open(&my.file, my.path, O_RDWR, 0)), 0);
}

static void start_empty_file(void)
{
    open_file(0);
}

static void start_full_file(void)
{
    open_file(TOTAL);
}

static void start_closed_file(void)
{
    make_file(TOTAL);
}

static void close_file(void)
{
    expect_eq(await(rill_file_close(&my.file)), 0);
}

static void expect_contents(void)
{
    static struct rill_read_to_end all;

    expect_eq(await(rill_file_close(&my.file)), 0);
    expect_eq(await(rill_file_open(&my.file, my.path, O_RDONLY, 0)), 0);
    expect_eq(await(rill_file_read_to_end(&my.file, &all, 10 * TOTAL)), TOTAL);
    expect(loaded_is(all.data, 0, TOTAL));
    free(all.data);
    close_file();
}

static struct rill_future *file_open(void)
{
    return rill_file_open(&my.file, my.path, O_RDONLY, 0);
}

static void after_file_open(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(my.file.is_open, result == 0);
    close_file();
    expect(!my.file.is_open);
}

static struct rill_future *file_close(void)
{
    return rill_file_close(&my.file);
}

static void after_file_close(int64_t result)
{
    expect_eq(result, 0);
    expect(!my.file.is_open);
}

static struct rill_future *file_read(void)
{
    return rill_file_read(&my.file, &my.op, my.bytes, 1000);
}

static void after_file_read(int64_t result)
{
    static struct rill_read_to_end rest;

    expect((result > 0 && result <= 1000) || result == -ECANCELED);
    if (result < 0)
        result = 0;
    expect(pattern_is(my.bytes, 0, (size_t)result));
    expect_eq(await(rill_file_read_to_end(&my.file, &rest, TOTAL)), TOTAL - result);
    expect(loaded_is(rest.data, (uint64_t)result, (size_t)(TOTAL - result)));
    free(rest.data);
    close_file();
}

static struct rill_future *file_read_at(void)
{
    memset(my.bytes, 0, sizeof my.bytes);
    return rill_file_read_at(&my.file, &my.op, my.bytes, 1000, 500);
}

static void after_file_read_at(int64_t result)
{
    expect((result > 0 && result <= 1000) || result == -ECANCELED);
    expect(result < 0 || pattern_is(my.bytes, 500, (size_t)result));
    close_file();
}

static struct rill_future *file_write(void)
{
    return rill_file_write(&my.file, &my.op, my.bytes, TOTAL);
}

static void after_file_write(int64_t result)
{
    size_t sent = result > 0 ? (size_t)result : 0;

    expect((result > 0 && result <= TOTAL) || result == -ECANCELED);
    expect_eq(await(rill_file_write_all(&my.file, &my.rest_op, my.bytes + sent, TOTAL - sent)),
              TOTAL - sent);
    expect_contents();
}

static struct rill_future *file_write_all(void)
{
    return rill_file_write_all(&my.file, &my.op, my.bytes, TOTAL);
}

static void after_file_write_all(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    after_file_write(my.op.transferred > 0 ? (int64_t)my.op.transferred : -ECANCELED);
}

static struct rill_future *file_write_all_at(void)
{
    return rill_file_write_all_at(&my.file, &my.op, my.bytes + 100, TOTAL - 100, 100);
}

static void after_file_write_all_at(int64_t result)
{
    size_t at = 100 + my.op.transferred;

    expect(result == TOTAL - 100 || result == -ECANCELED);
    expect_eq(await(rill_file_write_all_at(&my.file, &my.rest_op, my.bytes, 100, 0)), 100);
    expect_eq(await(rill_file_write_all_at(&my.file, &my.rest_op, my.bytes + at, TOTAL - at, at)),
              TOTAL - at);
    expect_contents();
}

static struct rill_future *file_sync(void)
{
    return rill_file_sync(&my.file, &my.op, true);
}

static void after_file_sync(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    close_file();
}

static struct rill_future *file_stat(void)
{
    return rill_file_stat(&my.file, &my.op, &my.status);
}

static struct rill_future *path_stat(void)
{
    return rill_path_stat(&my.op, my.path, &my.status);
}

static void after_stat(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    if (result == 0)
        expect_eq(my.status.stx_size, TOTAL);
    close_file();
}

static struct rill_future *file_read_to_end(void)
{
    return rill_file_read_to_end(&my.file, &my.read_to_end, TOTAL);
}

static void after_file_read_to_end(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    expect(result < 0 ? !my.read_to_end.data : loaded_is(my.read_to_end.data, 0, TOTAL));
    free(my.read_to_end.data);
    close_file();
}

/* ---- the table ---- */

static const struct operation {
    const char *name;
    unsigned worlds;
    void (*start)(void);
    struct rill_future *(*prepare)(void);
    void (*after)(int64_t result);
    bool endless; /* it ends by being cancelled */
} operations[] = {
    {"recv", IN_BOTH, start_feeder, recv_some, after_recv, false},
    {"recv_exactly", IN_BOTH, start_feeder, recv_exactly, after_recv_exactly, false},
    {"recv_borrowed", IN_BOTH, start_feeder, recv_borrowed, after_recv_borrowed, false},
    {"recv after recv_borrowed", IN_BOTH, start_feeder_and_borrow, recv_some, after_recv, false},
    {"recv_exactly after recv_borrowed", IN_BOTH, start_feeder_and_borrow, recv_exactly_the_rest,
     after_recv_exactly_the_rest, false},
    {"send", IN_BOTH, start_drainer, send_some, after_send, false},
    {"send_all", IN_BOTH, start_drainer, send_all, after_send_all, false},
    {"send_vectored", IN_BOTH, start_drainer, send_vectored, after_send_vectored, false},
    {"send_borrowed", IN_BOTH, start_relay, send_borrowed, after_send_borrowed, false},
    {"flush", IN_BOTH, start_relay_in_line, flush, after_flush, false},
    {"finish_sending", IN_BOTH, start_drainer, finish_sending, after_finish_sending, false},
    {"tcp_close", IN_BOTH, start_quiet_pair, close_tcp, after_close_tcp, false},
    {"timeout", IN_BOTH, start_feeder, recv_with_timeout, after_recv_with_timeout, false},
    {"select of recv", IN_BOTH, start_feeder, select_recv, after_select_recv, false},
    {"select of recv_borrowed", IN_BOTH, start_feeder, select_borrowed, after_select_borrowed,
     false},
    {"accept", IN_BOTH, start_listener_and_clients, accept_one, after_accept, false},
    {"listener_close", IN_BOTH, start_backlogged_listener, close_listener, after_close_listener,
     false},
    {"connect", IN_BOTH, start_listener, connect_to_listener, after_connect, false},
    {"resolve a number", IN_BOTH, start_nothing, resolve_number, after_resolve, false},
    {"resolve a name", IN_REAL, start_nothing, resolve_name, after_resolve, false},
    {"serve", IN_BOTH, start_server_clients, serve, after_serve, true},
    {"sleep", IN_BOTH, start_nothing, sleep_a_while, after_sleep, false},
    {"join", IN_BOTH, start_sleeper, join_sleeper, after_join, false},
    {"notify", IN_BOTH, start_sleeper, wait_for_notification, after_notification, false},
    {"fd_wait", IN_BOTH, start_adder, wait_for_fd, after_fd_wait, false},
    {"signals_next", IN_REAL, start_signal, next_signal, after_signal, false},
    {"file_open", IN_BOTH, start_closed_file, file_open, after_file_open, false},
    {"file_close", IN_BOTH, start_full_file, file_close, after_file_close, false},
    {"file_read", IN_BOTH, start_full_file, file_read, after_file_read, false},
    {"file_read_at", IN_BOTH, start_full_file, file_read_at, after_file_read_at, false},
    {"file_write", IN_BOTH, start_empty_file, file_write, after_file_write, false},
    {"file_write_all", IN_BOTH, start_empty_file, file_write_all, after_file_write_all, false},
    {"file_write_all_at", IN_BOTH, start_empty_file, file_write_all_at, after_file_write_all_at,
     false},
    {"file_sync", IN_BOTH, start_full_file, file_sync, after_file_sync, false},
    {"file_stat", IN_BOTH, start_full_file, file_stat, after_stat, false},
    {"path_stat", IN_BOTH, start_full_file, path_stat, after_stat, false},
    {"read_to_end", IN_BOTH, start_full_file, file_read_to_end, after_file_read_to_end, false},
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

/* ---- the sweep ---- */

/* When the victim is cancelled: the step is a poll, a turn, or a tenth of the time
 * that it took undisturbed. */
enum when { NEVER, AT_POLL, AT_TURN, AT_TIME };

static struct victim {
    struct rill_task task;
    struct rill_join join;
    struct rill_future *future;
    int64_t cancel_at_poll;
    int64_t polls;
} victim;

static enum rill_poll victim_poll(struct rill_future *self, struct rill_task *task)
{
    struct victim *me = rill_container_of(self, struct victim, task.future);

    if (me->polls++ == me->cancel_at_poll)
        rill_task_cancel(task);
    RILL_BEGIN();
    RILL_AWAIT(me->future);
    RILL_RETURN(me->future->result);
    RILL_END();
}

static bool open_world(int which, uint64_t seed)
{
    static const struct rill_runtime_options runtimes[] = {
        {.buffer_count = 16, .buffer_size = 256},
        {.sq_entries = 4, .cq_entries = 8, .buffer_count = 2, .buffer_size = 64},
        {.sq_entries = 2, .cq_entries = 2, .buffer_count = 4, .buffer_size = 1024},
    };
    struct rill_runtime_options runtime = runtimes[seed % 3];
    struct sim_options options = sim_options_troubled(seed);

    runtime.wait_policy = (enum rill_wait_policy)(seed % 7 < 3 ? seed % 7 : RILL_WAIT_SLEEP);
    if (runtime.wait_policy != RILL_WAIT_SLEEP) { /* or looking out takes long */
        options.clock_step_ns = 20 * RILL_MICROSECOND;
        options.delay_max_ns = options.latency_max_ns = 200 * RILL_MICROSECOND;
        options.latency_min_ns = 0;
    }
    memset(&my, 0, sizeof my);
    memset(&feeder, 0, sizeof feeder);
    memset(&drainer, 0, sizeof drainer);
    memset(&sleeper, 0, sizeof sleeper);
    memset(clients, 0, sizeof clients);
    memset(connects, 0, sizeof connects);
    memset(&victim, 0, sizeof victim);
    return fixture_open(which, &options, &runtime);
}

static void await_victim(const struct operation *operation)
{
    if (operation->endless && !rill_task_is_over(&victim.task)) {
        struct rill_sleep while_it_works;

        await(rill_sleep(&while_it_works, 2 * RILL_MILLISECOND));
        rill_task_cancel(&victim.task);
    }
    await(rill_task_join(&victim.join, &victim.task));
}

/* Runs the operation once, and returns how long it took. */
static int64_t run_once(const struct operation *operation, int which, uint64_t seed, enum when when,
                        int64_t step, int64_t duration, bool *cancelled)
{
    struct rill_sleep sleep;
    int64_t begin;

    fixture.seed = seed;
    fixture.seeded = true;
    fixture.what = operation->name;
    fixture.step = when * 100 + step;
    if (!open_world(which, seed))
        return -1;
    operation->start();
    victim.future = operation->prepare();
    victim.cancel_at_poll = when == AT_POLL ? step : -1;
    begin = rill_now();
    rill_task_spawn(&victim.task, victim_poll);
    for (int64_t turn = 0; when == AT_TURN && turn < step; turn++) {
        if (!rill_task_is_over(&victim.task))
            rill_task_wake(&victim.task); /* for no reason, which does no harm */
        fixture_turn();
    }
    if (when == AT_TIME)
        await(rill_sleep(&sleep, duration * step / 10));
    *cancelled = !rill_task_is_over(&victim.task) && when != NEVER && when != AT_POLL;
    if (*cancelled)
        rill_task_cancel(&victim.task);
    await_victim(operation);
    *cancelled |= when == AT_POLL && victim.polls > step;
    duration = rill_now() - begin;
    if (when == NEVER && !operation->endless)
        expect(victim.task.future.result != -ECANCELED);
    operation->after(victim.task.future.result);
    fixture_close();
    return duration;
}

static void sweep(const struct operation *operation, int which, uint64_t seed)
{
    bool cancelled = true;
    int64_t duration = run_once(operation, which, seed, NEVER, 0, 0, &cancelled);

    if (duration < 0)
        return;
    cancelled = true;
    for (int64_t step = 0; cancelled && step < 5; step++)
        run_once(operation, which, seed, AT_POLL, step, 0, &cancelled);
    cancelled = true;
    for (int64_t step = 0; cancelled && step < 8; step++)
        run_once(operation, which, seed, AT_TURN, step, 0, &cancelled);
    cancelled = true;
    for (int64_t step = 0; which == SIMULATED && cancelled && step < 12; step++)
        run_once(operation, which, seed, AT_TIME, step, duration, &cancelled);
}

START_TEST(whatever_is_cancelled_at_any_moment_ends_and_loses_nothing)
{
    const struct operation *operation = &operations[_i];
    uint64_t first, count;

    if (!(operation->worlds & IN_SIMULATED))
        return;
    fixture_seeds(100, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        sweep(operation, SIMULATED, seed);
}
END_TEST

START_TEST(and_so_it_is_on_the_real_ring)
{
    const struct operation *operation = &operations[_i];
    uint64_t first, count;

    if (!(operation->worlds & IN_REAL) ||
        (operation->prepare == resolve_name && !fixture_has_threads()))
        return;
    fixture_seeds(3, &first, &count);
    expect(mkdtemp(directory) != NULL);
    for (uint64_t seed = first; seed < first + count && seed < first + 3; seed++)
        sweep(operation, REAL, seed);
    unlink(my.path);
    expect_eq(rmdir(directory), 0);
}
END_TEST

/* ---- two futures at one moment: both orders of an event and a cancel ---- */

START_TEST(bytes_and_a_cancel_at_the_same_moment_lose_no_byte_whoever_wins)
{
    unsigned bytes_won = 0, cancel_won = 0;
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .shuffle = true,
            .delay_max_ns = 20 * RILL_MICROSECOND,
            .cancel_lost_per_mille = seed % 2 ? 300 : 0,
            .cancel_eintr_per_mille = 500,
        };
        struct background receiving;
        struct rill_op recv = {0}, send = {0};
        struct rill_sleep sleep;
        char buffer[10];

        fixture.seed = seed;
        fixture.seeded = true;
        memset(&my, 0, sizeof my);
        expect(fixture_open(SIMULATED, &options, NULL));
        fixture_pair(&my.one, &my.other);
        background_start(&receiving, rill_tcp_recv(&my.one, &recv, buffer, sizeof buffer));
        await(rill_sleep(&sleep, 50 * RILL_MICROSECOND));
        expect_eq(await(rill_tcp_send_all(&my.other, &send, "0123456789", 10)), 10);
        rill_task_cancel(&receiving.task);
        background_end(&receiving);
        if (recv.result == -ECANCELED) {
            cancel_won++;
            expect_eq(await(rill_tcp_recv(&my.one, &recv, buffer, sizeof buffer)), 10);
        } else {
            bytes_won++;
        }
        expect_eq(recv.result, 10);
        expect(memcmp(buffer, "0123456789", 10) == 0);
        hang_up_both();
        fixture_close();
    }
    if (count < 50)
        return;
    ck_assert_uint_gt(bytes_won, 0);
    ck_assert_uint_gt(cancel_won, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cancel");
    TCase *tcase = tcase_create("cancel");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tcase, whatever_is_cancelled_at_any_moment_ends_and_loses_nothing, 0,
                        OPERATIONS);
    tcase_add_loop_test(tcase, and_so_it_is_on_the_real_ring, 0, OPERATIONS);
    tcase_add_test(tcase, bytes_and_a_cancel_at_the_same_moment_lose_no_byte_whoever_wins);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
