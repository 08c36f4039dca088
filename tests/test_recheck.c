/* SPDX-License-Identifier: Apache-2.0 */
/* test_recheck.c - what the kernel forgets to tell of a stream is found. */
#include "io/recheck.h"
#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/tcp_pair.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RESETS = 20000 };

static const struct sim_options forgetful = {.reset_untold_per_mille = 1000};

static void receive(size_t size)
{
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), size);
    rill_borrow_give_back(&borrow);
}

static void reset(struct rill_tcp *tcp)
{
    ck_assert_int_eq(rill_socket_set_reset_on_close(tcp->fd, true), 0);
    fixture_hang_up(tcp);
}

START_TEST(a_reset_that_the_kernel_does_not_tell_is_found)
{
    int64_t begun;

    if (!open_pair(_i, &forgetful, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    receive(6);
    reset(&one);
    begun = rill_now();
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), -ECONNRESET);
    ck_assert_int_le(rill_now() - begun, 3 * RILL_RECHECK_NS);
    ck_assert_uint_eq(reactor()->stats.receives_recovered, _i == SIMULATED);
    close_pair();
}
END_TEST

START_TEST(it_is_found_where_nobody_waits_too)
{
    if (!open_pair(_i, &forgetful, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    receive(6);
    reset(&one);
    settle();
    settle();
    ck_assert_uint_eq(reactor()->stats.receives_recovered, _i == SIMULATED);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), -ECONNRESET);
    close_pair();
}
END_TEST

static const struct rill_kernel_ops *usual;
static unsigned refusals;

static int poll_without_memory(struct rill_kernel *kernel, struct pollfd *fds, unsigned count)
{
    if (refusals == 0)
        return usual->poll(kernel, fds, count);
    refusals--;
    return -ENOMEM;
}

START_TEST(one_that_there_was_no_memory_to_look_at_is_looked_at_in_the_next_round)
{
    struct rill_kernel_ops ops;

    if (!open_pair(_i, &forgetful, NULL))
        return;
    usual = reactor()->kernel->ops;
    ops = *usual;
    ops.poll = poll_without_memory;
    reactor()->kernel->ops = &ops;
    refusals = 2;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    receive(6);
    reset(&one);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), -ECONNRESET);
    ck_assert_uint_eq(refusals, 0);
    reactor()->kernel->ops = usual;
    close_pair();
}
END_TEST

START_TEST(a_silent_stream_is_looked_at_once_and_costs_nothing_then)
{
    uint64_t submissions, cancels;

    if (!open_pair(_i, NULL, NULL))
        return;
    cancels = reactor()->stats.cancels;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    receive(6);
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle(); /* for a second: that is the first round, and the second */
    submissions = reactor()->stats.submissions;
    settle();
    ck_assert_uint_eq(reactor()->stats.submissions, submissions);
    ck_assert_uint_eq(reactor()->stats.cancels, cancels);
    ck_assert(rill_list_is_empty(&reactor()->recheck.heard));
    ck_assert_int_eq(send_now(&one, bytes, 4), 4);
    ck_assert_int_eq(background_end(&receiving), 4);
    rill_borrow_give_back(&borrow);
    close_pair();
}
END_TEST

/* It comes in the second half of a turn, and wakes nobody. */
START_TEST(another_loop_that_waits_instead_is_told_to_take_the_turn_that_times_it)
{
    struct rill_runtime *runtime;

    if (!open_pair(_i, &forgetful, NULL))
        return;
    runtime = fixture.runtime;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_int_eq(rill_turn_timeout(runtime), RILL_NEVER);
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    while (other.receiver.held == 0)
        ck_assert_int_eq(rill_executor_wait(&runtime->executor, RILL_NO_WAIT), 0);
    ck_assert(rill_recheck_wants_timeout(&reactor()->recheck));
    ck_assert_int_eq(rill_turn_timeout(runtime), RILL_NO_WAIT);
    ck_assert_int_eq(rill_turn(runtime, RILL_NO_WAIT), 0);
    ck_assert_int_eq(rill_turn_timeout(runtime), RILL_NEVER);
    receive(6);
    close_pair();
}
END_TEST

START_TEST(a_stream_that_talks_is_left_alone)
{
    uint64_t cancels;

    if (!open_pair(_i, NULL, NULL))
        return;
    cancels = reactor()->stats.cancels;
    for (int i = 0; i < 100; i++) {
        struct rill_sleep pause;

        ck_assert_int_eq(send_now(&one, bytes, 6), 6);
        receive(6);
        await(rill_sleep(&pause, RILL_RECHECK_NS / 10));
    }
    ck_assert_uint_eq(reactor()->stats.receives_recovered, 0);
    ck_assert_uint_eq(reactor()->stats.cancels, cancels);
    close_pair();
}
END_TEST

/* More than one turn visits. */
START_TEST(every_one_of_many_streams_is_found)
{
    enum { STREAMS = 2 * RILL_RECHECK_BATCH + 3 };
    static struct rill_tcp near[STREAMS], far[STREAMS];

    if (!open_pair(_i, &forgetful, NULL))
        return;
    for (int i = 0; i < STREAMS; i++) {
        fixture_pair(&near[i], &far[i]);
        ck_assert_int_eq(send_now(&near[i], bytes, 6), 6);
        ck_assert_int_eq(await(rill_tcp_recv_borrowed(&far[i], &borrow)), 6);
        rill_borrow_give_back(&borrow);
    }
    for (int i = 0; i < STREAMS; i++)
        reset(&near[i]);
    settle();
    ck_assert_uint_eq(reactor()->stats.receives_recovered, _i == SIMULATED ? STREAMS : 0);
    for (int i = 0; i < STREAMS; i++) {
        ck_assert_int_eq(await(rill_tcp_recv_borrowed(&far[i], &borrow)), -ECONNRESET);
        fixture_hang_up(&far[i]);
    }
    close_pair();
}
END_TEST

/* The real thing, which depends on how two processors meet. */
static void *send_and_reset(void *argument)
{
    const struct rill_address *address = argument;
    const struct linger linger = {.l_onoff = 1};

    for (int i = 0; i < RESETS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (connect(fd, &address->any, address->size) == 0) {
            (void)!send(fd, bytes, 1000, MSG_NOSIGNAL);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        }
        close(fd);
    }
    return NULL;
}

START_TEST(connections_that_are_reset_right_after_they_have_sent_all_end)
{
    struct rill_listener listener = {0};
    struct rill_accept accepted;
    struct rill_address address;
    struct rill_timeout timeout;
    pthread_t client;

    if (!fixture_open(_i, NULL, NULL))
        return;
    address = loopback(fixture_listen(&listener, NULL));
    ck_assert_int_eq(pthread_create(&client, NULL, send_and_reset, &address), 0);
    for (int i = 0; i < RESETS; i++) {
        ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepted)), 0);
        rill_tcp_adopt(&other, (int)accepted.result);
        do {
            await(
                rill_timeout(&timeout, 10 * RILL_SECOND, rill_tcp_recv_borrowed(&other, &borrow)));
            ck_assert_int_ne(timeout.result, -ETIMEDOUT);
            rill_borrow_give_back(&borrow);
        } while (timeout.result > 0);
        fixture_hang_up(&other);
    }
    ck_assert_int_eq(pthread_join(client, NULL), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_reset_that_the_kernel_does_not_tell_is_found, IN_BOTH},
        {it_is_found_where_nobody_waits_too, IN_BOTH},
        {one_that_there_was_no_memory_to_look_at_is_looked_at_in_the_next_round, IN_SIMULATED},
        {a_silent_stream_is_looked_at_once_and_costs_nothing_then, IN_SIMULATED},
        {another_loop_that_waits_instead_is_told_to_take_the_turn_that_times_it, IN_SIMULATED},
        {a_stream_that_talks_is_left_alone, IN_SIMULATED},
        {every_one_of_many_streams_is_found, IN_BOTH},
        {connections_that_are_reset_right_after_they_have_sent_all_end, IN_REAL},
    };

    return fixture_main("recheck", cases, sizeof cases / sizeof cases[0]);
}
