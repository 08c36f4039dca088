/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_shared.c - receives into shared buffers lend bytes, and lose none. */
#include "net/socket_options.h"
#include "tests/tcp_pair.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_borrowed_receive_lends_the_bytes_until_they_are_given_back)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 6);
    ck_assert(pattern_is(borrow.data, 0, 6));
    ck_assert_uint_eq(reactor()->buffers.in_use, 1);
    memset(borrow.data, 'x', 6); /* it is the reader's to change */
    ck_assert_int_eq(send_now(&other, borrow.data, 6), 6);
    rill_borrow_give_back(&borrow);
    rill_borrow_give_back(&borrow);
    ck_assert_ptr_null(borrow.data);
    ck_assert_uint_eq(reactor()->buffers.in_use, 0);
    ck_assert_int_eq(recv_now(&one, buffer, 100), 6);
    ck_assert(memcmp(buffer, "xxxxxx", 6) == 0);
    close_pair();
}
END_TEST

START_TEST(a_borrowed_receive_is_0_at_the_end_each_time)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 6);
    rill_borrow_give_back(&borrow);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
        ck_assert_ptr_null(borrow.data);
    }
    ck_assert_int_eq(recv_now(&other, buffer, 5), 0);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 5)), 0);
    close_pair();
}
END_TEST

START_TEST(a_buffer_that_comes_without_bytes_is_given_back)
{
    const struct sim_options options = {.empty_buffer_per_mille = 1000};

    open_pair(_i, &options, NULL);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    ck_assert_ptr_null(borrow.data);
    ck_assert_uint_eq(reactor()->buffers.in_use, 0);
    ck_assert_uint_eq(sim_buffers_missing(fixture.sim, RILL_BUFFERS_GROUP), 0);
    close_pair();
}
END_TEST

START_TEST(receives_of_all_kinds_take_turns_without_losing_the_order)
{
    size_t at = 0, total = sizeof bytes;

    if (!open_pair(_i, NULL, &(struct rill_runtime_options){.buffer_size = 1000}))
        return;
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, total));
    for (int i = 0; at < total; i++) {
        int64_t size;
        size_t most = 1 + (size_t)i * 37 % 2500;

        if (most > total - at)
            most = total - at;
        switch (i % 3) {
        case 0:
            size = recv_now(&other, buffer, most);
            break;
        case 1:
            size = await(rill_tcp_recv_exactly(&other, &recv_op, buffer, most));
            ck_assert_int_eq(size, most);
            break;
        default:
            size = await(rill_tcp_recv_borrowed(&other, &borrow));
            ck_assert_int_gt(size, 0);
            memcpy(buffer, borrow.data, (size_t)size);
            rill_borrow_give_back(&borrow);
        }
        ck_assert_int_gt(size, 0);
        ck_assert(pattern_is(buffer, at, (size_t)size));
        at += (size_t)size;
    }
    ck_assert_int_eq(background_end(&sending), total);
    close_pair();
}
END_TEST

START_TEST(an_exact_receive_of_no_bytes_is_0_behind_a_borrowed_one_too)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 6), 6);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 6);
    rill_borrow_give_back(&borrow);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 0)), 0);
    ck_assert_int_eq(recv_now(&other, buffer, 0), 0);
    close_pair();
}
END_TEST

START_TEST(an_exact_receive_from_shared_buffers_tells_how_much_came_before_it_was_cancelled)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 4), 4);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 4);
    rill_borrow_give_back(&borrow);
    background_start(&receiving, rill_tcp_recv_exactly(&other, &recv_op, buffer, 10));
    ck_assert_int_eq(send_now(&one, bytes + 4, 6), 6);
    settle();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_uint_eq(recv_op.transferred, 6);
    ck_assert(pattern_is(buffer, 4, 6));
    close_pair();
}
END_TEST

/* What was on its way when the receive was withdrawn: the kernel fills up to 32
 * buffers at a time before it looks at anything else, and does so twice or thrice. */
START_TEST(a_reader_that_does_not_read_holds_few_buffers_and_then_gets_everything)
{
    enum { BUFFER = 512, MAY_BE_ON_THE_WAY = 96 };
    const struct sim_options options = {
        .socket_buffer_size = 16384,
        .latency_min_ns = 10 * RILL_MICROSECOND,
    };
    static char megabyte[1 << 20];
    size_t at = 0;

    if (!open_pair(_i, &options, &(struct rill_runtime_options){.buffer_size = BUFFER}))
        return;
    fixture_bound(&one, &other, 16384);
    pattern_fill(megabyte, 0, sizeof megabyte);
    background_start(&sending, rill_tcp_send_all(&one, &send_op, megabyte, sizeof megabyte));
    ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    ck_assert(pattern_is(borrow.data, 0, (size_t)borrow.result));
    at += (size_t)borrow.result;
    rill_borrow_give_back(&borrow);
    settle();
    settle();
    ck_assert(!rill_task_is_over(&sending.task));
    ck_assert_uint_gt(reactor()->buffers.in_use, 0);
    ck_assert_uint_le(reactor()->buffers.in_use, RILL_BUFFERS_SHARE + MAY_BE_ON_THE_WAY);
    while (at < sizeof megabyte) {
        ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
        ck_assert_int_le(borrow.result, BUFFER);
        expect(pattern_is(borrow.data, at, (size_t)borrow.result));
        at += (size_t)borrow.result;
        rill_borrow_give_back(&borrow);
    }
    ck_assert_int_eq(background_end(&sending), sizeof megabyte);
    ck_assert_uint_eq(at, sizeof megabyte);
    close_pair();
}
END_TEST

START_TEST(closing_gives_back_all_buffers_that_nobody_read)
{
    if (!open_pair(_i, NULL, &(struct rill_runtime_options){.buffer_size = 256}))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 3000), 3000);
    ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    rill_borrow_give_back(&borrow);
    settle();
    ck_assert_uint_gt(reactor()->buffers.in_use, 0);
    fixture_hang_up(&other);
    ck_assert_uint_eq(reactor()->buffers.in_use, 0);
    ck_assert_uint_eq(reactor()->ops_in_flight, 0);
    close_pair();
}
END_TEST

START_TEST(closing_withdraws_a_receive_that_waits_for_bytes)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_uint_eq(reactor()->ops_in_flight, 1); /* it stays armed for the next one */
    fixture_hang_up(&other);
    ck_assert_uint_eq(reactor()->ops_in_flight, 0);
    close_pair();
}
END_TEST

START_TEST(bytes_that_come_while_nobody_waits_are_there_for_the_next_receive)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(send_now(&one, bytes, 10), 10);
    background_end(&receiving);
    if (borrow.result == -ECANCELED)
        ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 10);
    ck_assert_int_eq(borrow.result, 10);
    ck_assert(pattern_is(borrow.data, 0, 10));
    rill_borrow_give_back(&borrow);
    close_pair();
}
END_TEST

START_TEST(where_memory_is_short_there_are_fewer_shared_buffers)
{
    const struct sim_options options = {.register_max = 2 * RILL_BUFFERS_FIRST};

    if (!open_pair(_i, &options, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 5);
    ck_assert_uint_eq(reactor()->buffers.limit, 2 * RILL_BUFFERS_FIRST);
    rill_borrow_give_back(&borrow);
    close_pair();
}
END_TEST

/* A runtime is destroyed in a child of fork(2) as well, as its memory is a copy. */
START_TEST(a_child_that_ends_its_copy_of_the_runtime_takes_no_buffers_from_its_parent)
{
    int status;
    pid_t child;

    if (!fixture_open(REAL, NULL, &(struct rill_runtime_options){.embedded = _i}))
        return;
    for (int round = 0; round < 2; round++) {
        fixture_pair(&one, &other);
        ck_assert_int_eq(send_now(&one, bytes, 5), 5);
        ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 5);
        rill_borrow_give_back(&borrow);
        fixture_hang_up(&one);
        fixture_hang_up(&other);
        if (round > 0)
            break;
        child = fork();
        if (child == 0) {
            rill_runtime_destroy(fixture.runtime);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    fixture_close();
}
END_TEST

START_TEST(shared_buffers_that_can_not_be_made_are_an_error_of_the_receive_alone)
{
    const struct sim_options options = {.register_error = -ENOMEM};

    if (!open_pair(_i, &options, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), -ENOMEM);
    ck_assert_ptr_null(borrow.data);
    ck_assert_int_eq(recv_now(&other, buffer, 100), 5);
    close_pair();
}
END_TEST

static void borrow_twice(void)
{
    if (!open_pair(SIMULATED, NULL, NULL))
        return;
    send_now(&one, bytes, 5);
    await(rill_tcp_recv_borrowed(&other, &borrow));
    await(rill_tcp_recv_borrowed(&other, &borrow));
}

START_TEST(borrowing_while_something_is_borrowed_is_a_panic)
{
    fixture_expect_panic(borrow_twice, "give it back");
}
END_TEST

static void receive_twice(void)
{
    static struct rill_borrow second;

    if (!open_pair(SIMULATED, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    fixture_turn();
    await(rill_tcp_recv_borrowed(&other, &second));
}

START_TEST(two_tasks_that_receive_from_one_connection_are_a_panic)
{
    fixture_expect_panic(receive_twice, "two tasks receive from the same stream");
}
END_TEST

/* Each holds one buffer, and there are not so many at first. */
START_TEST(more_borrows_than_there_are_buffers_double_them)
{
    enum { CROWD = RILL_BUFFERS_FIRST + 44 };
    static struct rill_tcp left[CROWD], right[CROWD];
    static struct rill_borrow borrows[CROWD];
    static struct background tasks[CROWD];

    if (!fixture_open(_i, NULL, NULL))
        return;
    for (int i = 0; i < CROWD; i++) {
        char byte = pattern((uint64_t)i);

        fixture_pair(&left[i], &right[i]);
        ck_assert_int_eq(send_now(&left[i], &byte, 1), 1);
        background_start(&tasks[i], rill_tcp_recv_borrowed(&right[i], &borrows[i]));
    }
    for (int i = 0; i < CROWD; i++) {
        ck_assert_int_eq(background_end(&tasks[i]), 1);
        ck_assert(loaded_is(borrows[i].data, (uint64_t)i, 1));
    }
    ck_assert_uint_eq(reactor()->buffers.in_use, CROWD);
    ck_assert_uint_eq(reactor()->buffers.count, 2 * RILL_BUFFERS_FIRST);
    for (int i = 0; i < CROWD; i++) {
        rill_borrow_give_back(&borrows[i]);
        fixture_hang_up(&left[i]);
        fixture_hang_up(&right[i]);
    }
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_borrowed_receive_lends_the_bytes_until_they_are_given_back, IN_BOTH},
        {a_borrowed_receive_is_0_at_the_end_each_time, IN_BOTH},
        {a_buffer_that_comes_without_bytes_is_given_back, IN_SIMULATED},
        {receives_of_all_kinds_take_turns_without_losing_the_order, IN_BOTH},
        {an_exact_receive_of_no_bytes_is_0_behind_a_borrowed_one_too, IN_BOTH},
        {an_exact_receive_from_shared_buffers_tells_how_much_came_before_it_was_cancelled, IN_BOTH},
        {a_reader_that_does_not_read_holds_few_buffers_and_then_gets_everything, IN_BOTH},
        {closing_gives_back_all_buffers_that_nobody_read, IN_BOTH},
        {closing_withdraws_a_receive_that_waits_for_bytes, IN_BOTH},
        {bytes_that_come_while_nobody_waits_are_there_for_the_next_receive, IN_BOTH},
        {where_memory_is_short_there_are_fewer_shared_buffers, IN_SIMULATED},
        {a_child_that_ends_its_copy_of_the_runtime_takes_no_buffers_from_its_parent, IN_BOTH},
        {shared_buffers_that_can_not_be_made_are_an_error_of_the_receive_alone, IN_SIMULATED},
        {borrowing_while_something_is_borrowed_is_a_panic, IN_SIMULATED},
        {two_tasks_that_receive_from_one_connection_are_a_panic, IN_SIMULATED},
        {more_borrows_than_there_are_buffers_double_them, IN_BOTH},
    };

    return fixture_main("tcp_shared", cases, sizeof cases / sizeof *cases);
}
