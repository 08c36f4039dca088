/* SPDX-License-Identifier: Apache-2.0 */
/* test_buffers.c - few shared buffers serve many connections in turn, and none is lost. */
#include "io/buffers.h"

#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <string.h>

enum { CONNECTIONS = 24, TOTAL = 4000 };

/* One end sends TOTAL bytes, the other receives them in shared buffers. */
static struct end {
    struct rill_task task;
    struct rill_join join;
    struct rill_tcp tcp;
    struct rill_op op;
    struct rill_borrow borrow;
    struct rill_sleep pause;
    size_t at;
    int number;
} senders[CONNECTIONS], readers[CONNECTIONS];

static char bytes[TOTAL];
static size_t most_ahead; /* of the slowest reader was the fastest */

static struct rill_reactor *reactor(void)
{
    return &fixture.runtime->reactor;
}

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    while (end->at < TOTAL) {
        RILL_AWAIT(rill_tcp_send_all(&end->tcp, &end->op, bytes + end->at, 100));
        expect_eq(end->op.result, 100);
        end->at += 100;
    }
    RILL_AWAIT(rill_tcp_finish_sending(&end->tcp, &end->op));
    RILL_RETURN(end->op.result);
    RILL_END();
}

static void look_who_is_behind(const struct end *end)
{
    for (int i = 0; i < CONNECTIONS; i++)
        if (readers[i].tcp.is_open && end->at > readers[i].at + most_ahead)
            most_ahead = end->at - readers[i].at;
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(&end->tcp, &end->borrow));
        expect(end->borrow.result >= 0);
        if (end->borrow.result == 0)
            break;
        expect(pattern_is(end->borrow.data, end->at, (size_t)end->borrow.result));
        end->at += (size_t)end->borrow.result;
        look_who_is_behind(end);
        if (end->at % 3 == 0) /* now and then it keeps the buffer for a while */
            RILL_AWAIT(rill_sleep(&end->pause, fixture.sim ? 20 * RILL_MICROSECOND : 1));
        rill_borrow_give_back(&end->borrow);
    }
    RILL_RETURN((int64_t)end->at);
    RILL_END();
}

static bool open_many(int which, const struct sim_options *options, unsigned count, size_t size)
{
    memset(senders, 0, sizeof senders);
    memset(readers, 0, sizeof readers);
    most_ahead = 0;
    if (!fixture_open(which, options,
                      &(struct rill_runtime_options){.buffer_count = count, .buffer_size = size}))
        return false;
    pattern_fill(bytes, 0, TOTAL);
    for (int i = 0; i < CONNECTIONS; i++)
        fixture_pair(&senders[i].tcp, &readers[i].tcp);
    return true;
}

static void close_many(void)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        fixture_hang_up(&senders[i].tcp);
        fixture_hang_up(&readers[i].tcp);
    }
    fixture_close();
}

static void move_all(void)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        rill_task_spawn(&readers[i].task, reader_poll);
        rill_task_spawn(&senders[i].task, sender_poll);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        expect_eq(await(rill_task_join(&senders[i].task, &senders[i].join)), 0);
        expect_eq(await(rill_task_join(&readers[i].task, &readers[i].join)), TOTAL);
    }
}

START_TEST(two_buffers_serve_many_connections_and_lose_nothing)
{
    if (!open_many(_i, NULL, 2, 64))
        return;
    move_all();
    ck_assert_uint_gt(reactor()->stats.buffers_starved, 0);
    ck_assert_uint_eq(reactor()->buffers.in_use, 0);
    close_many();
}
END_TEST

START_TEST(a_single_buffer_serves_them_too)
{
    if (!open_many(_i, NULL, 1, 200))
        return;
    move_all();
    close_many();
}
END_TEST

START_TEST(no_connection_gets_far_ahead_of_the_others_when_buffers_are_short)
{
    if (!open_many(_i, NULL, 2, 64))
        return;
    move_all();
    ck_assert_uint_lt(most_ahead, TOTAL / 2);
    close_many();
}
END_TEST

START_TEST(buffers_that_are_short_in_a_troubled_world_lose_nothing)
{
    uint64_t first, count;

    fixture_seeds(60, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_troubled(seed);

        if (options.socket_buffer_size < 1000)
            options.socket_buffer_size = 1000;
        fixture.seed = seed;
        fixture.seeded = true;
        open_many(SIMULATED, &options, 1u << seed % 4, 100);
        move_all();
        close_many();
    }
}
END_TEST

START_TEST(nothing_is_registered_before_the_first_borrowed_receive)
{
    struct rill_op op = {0};

    if (!open_many(_i, NULL, 4, 100))
        return;
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[0].tcp, &op, bytes, 10)), 10);
    ck_assert_int_eq(await(rill_tcp_recv(&readers[0].tcp, &op, bytes, 10)), 10);
    ck_assert_ptr_null(reactor()->buffers.ring);
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[0].tcp, &op, bytes, 10)), 10);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&readers[0].tcp, &readers[0].borrow)), 10);
    ck_assert_ptr_nonnull(reactor()->buffers.ring);
    rill_borrow_give_back(&readers[0].borrow);
    close_many();
}
END_TEST

/* Borrows all of the two buffers, in the first two connections. */
static void borrow_all(void)
{
    struct rill_op op = {0};

    for (int i = 0; i < 2; i++) {
        expect_eq(await(rill_tcp_send_all(&senders[i].tcp, &op, bytes, 10)), 10);
        expect_eq(await(rill_tcp_recv_borrowed(&readers[i].tcp, &readers[i].borrow)), 10);
    }
    expect_eq(reactor()->buffers.in_use, 2);
}

static void give_all_back(void)
{
    rill_borrow_give_back(&readers[0].borrow);
    rill_borrow_give_back(&readers[1].borrow);
}

/* Those that are let on first find nothing, and so take no buffer and wake nobody. */
START_TEST(receives_that_find_nothing_do_not_keep_the_others_waiting_for_a_buffer)
{
    enum { WAITING = CONNECTIONS - 2 };
    struct background receiving[WAITING] = {0};
    struct rill_op op = {0};

    if (!open_many(_i, NULL, 2, 100))
        return;
    borrow_all();
    for (int i = 0; i < WAITING; i++)
        background_start(&receiving[i],
                         rill_tcp_recv_borrowed(&readers[2 + i].tcp, &readers[2 + i].borrow));
    settle_until(reactor()->stats.buffers_starved >= WAITING);
    give_all_back();
    for (int i = WAITING - 1; i >= 0; i--) {
        struct rill_timeout timeout;
        struct rill_join join;

        ck_assert_int_eq(await(rill_tcp_send_all(&senders[2 + i].tcp, &op, bytes, 30)), 30);
        ck_assert_int_eq(
            await(rill_timeout(&timeout, RILL_SECOND, rill_task_join(&receiving[i].task, &join))),
            30);
        rill_borrow_give_back(&readers[2 + i].borrow);
    }
    close_many();
}
END_TEST

START_TEST(a_receive_waits_until_somebody_gives_a_buffer_back)
{
    struct background receiving;
    struct rill_op op = {0};

    if (!open_many(_i, NULL, 2, 100))
        return;
    borrow_all();
    background_start(&receiving, rill_tcp_recv_borrowed(&readers[2].tcp, &readers[2].borrow));
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[2].tcp, &op, bytes, 30)), 30);
    settle();
    ck_assert(!rill_task_is_over(&receiving.task));
    rill_borrow_give_back(&readers[0].borrow);
    ck_assert_int_eq(background_end(&receiving), 30);
    ck_assert(pattern_is(readers[2].borrow.data, 0, 30));
    rill_borrow_give_back(&readers[2].borrow);
    give_all_back();
    close_many();
}
END_TEST

START_TEST(a_receive_that_has_no_buffer_costs_nothing_while_it_waits)
{
    struct background receiving;
    struct rill_op op = {0};
    size_t enters;

    open_many(SIMULATED, NULL, 2, 100);
    borrow_all();
    background_start(&receiving, rill_tcp_recv_borrowed(&readers[2].tcp, &readers[2].borrow));
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[2].tcp, &op, bytes, 30)), 30);
    settle();
    enters = sim_enters(fixture.sim);
    for (int i = 0; i < 60; i++)
        settle();
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 5 * 60);
    ck_assert_uint_le(receiving.polls, 2);
    give_all_back();
    ck_assert_int_eq(background_end(&receiving), 30);
    rill_borrow_give_back(&readers[2].borrow);
    close_many();
}
END_TEST

START_TEST(a_receive_that_has_no_buffer_can_be_cancelled_and_begun_again)
{
    struct background receiving;
    struct rill_op op = {0};

    if (!open_many(_i, NULL, 2, 100))
        return;
    borrow_all();
    for (int i = 0; i < 3; i++) {
        background_start(&receiving, rill_tcp_recv_borrowed(&readers[2].tcp, &readers[2].borrow));
        settle();
        rill_task_cancel(&receiving.task);
        ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    }
    give_all_back();
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[2].tcp, &op, bytes, 30)), 30);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&readers[2].tcp, &readers[2].borrow)), 30);
    rill_borrow_give_back(&readers[2].borrow);
    close_many();
}
END_TEST

START_TEST(a_connection_that_waits_for_a_buffer_can_be_closed)
{
    struct background receiving;

    if (!open_many(_i, NULL, 2, 100))
        return;
    borrow_all();
    background_start(&receiving, rill_tcp_recv_borrowed(&readers[2].tcp, &readers[2].borrow));
    settle();
    rill_task_cancel(&receiving.task);
    background_end(&receiving);
    fixture_hang_up(&readers[2].tcp);
    give_all_back();
    close_many();
}
END_TEST

START_TEST(what_is_left_of_a_buffer_goes_back_as_the_oldest)
{
    struct rill_op op = {0};
    char one_by_one[100];

    if (!open_many(_i, NULL, 4, 50))
        return;
    ck_assert_int_eq(await(rill_tcp_send_all(&senders[0].tcp, &op, bytes, 100)), 100);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&readers[0].tcp, &readers[0].borrow)), 50);
    rill_borrow_give_back(&readers[0].borrow);
    settle();
    for (int i = 50; i < 100; i += 2) {
        ck_assert_int_eq(await(rill_tcp_recv(&readers[0].tcp, &op, one_by_one + i, 2)), 2);
        ck_assert_uint_eq(reactor()->buffers.in_use + reactor()->buffers.private_in_use, i < 98);
    }
    ck_assert(pattern_is(one_by_one + 50, 50, 50));
    close_many();
}
END_TEST

static void give_back_too_often(void)
{
    open_many(SIMULATED, NULL, 2, 100);
    borrow_all();
    give_all_back();
    rill_buffers_give_back(&reactor()->buffers, 0);
}

static void end_with_a_borrow(void)
{
    open_many(SIMULATED, NULL, 2, 100);
    borrow_all();
    for (int i = 0; i < CONNECTIONS; i++) {
        fixture_hang_up(&senders[i].tcp);
        fixture_hang_up(&readers[i].tcp);
    }
    rill_runtime_destroy(fixture.runtime);
}

START_TEST(buffers_given_back_twice_or_never_are_a_panic)
{
    fixture_expect_panic(give_back_too_often, "a shared buffer was given back twice");
    fixture_expect_panic(end_with_a_borrow,
                         "a runtime was ended with 2 shared buffers in use: give back "
                         "what was borrowed");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {two_buffers_serve_many_connections_and_lose_nothing, IN_BOTH},
        {a_single_buffer_serves_them_too, IN_BOTH},
        {no_connection_gets_far_ahead_of_the_others_when_buffers_are_short, IN_BOTH},
        {buffers_that_are_short_in_a_troubled_world_lose_nothing, IN_SIMULATED},
        {nothing_is_registered_before_the_first_borrowed_receive, IN_BOTH},
        {receives_that_find_nothing_do_not_keep_the_others_waiting_for_a_buffer, IN_BOTH},
        {a_receive_waits_until_somebody_gives_a_buffer_back, IN_BOTH},
        {a_receive_that_has_no_buffer_costs_nothing_while_it_waits, IN_SIMULATED},
        {a_receive_that_has_no_buffer_can_be_cancelled_and_begun_again, IN_BOTH},
        {a_connection_that_waits_for_a_buffer_can_be_closed, IN_BOTH},
        {what_is_left_of_a_buffer_goes_back_as_the_oldest, IN_BOTH},
        {buffers_given_back_twice_or_never_are_a_panic, IN_SIMULATED},
    };

    return fixture_main("buffers", cases, sizeof cases / sizeof *cases);
}
