/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp.c - a connection moves all bytes once and in order, and tells how it ended. */
#include "net/tcp.h"

#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct rill_tcp one, other;
static struct rill_op send_op, recv_op, op;
static struct background sending, receiving;
static char bytes[1 << 16], buffer[1 << 16];

static bool open_pair(int which, const struct sim_options *options,
                      const struct rill_runtime_options *runtime_options)
{
    if (!fixture_open(which, options, runtime_options))
        return false;
    fixture_pair(&one, &other);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_pair(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}

static int64_t send_now(struct rill_tcp *tcp, const void *data, size_t size)
{
    return await(rill_tcp_send_all(tcp, &send_op, data, size));
}

static int64_t recv_now(struct rill_tcp *tcp, void *data, size_t size)
{
    return await(rill_tcp_recv(tcp, &recv_op, data, size));
}

static struct rill_reactor *reactor(void)
{
    return &fixture.runtime->reactor;
}

/* ---- receiving into memory of one's own ---- */

START_TEST(a_receive_gives_what_is_there)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    settle();
    ck_assert_int_eq(recv_now(&other, buffer, 3), 3);
    ck_assert_int_eq(recv_now(&other, buffer + 3, 100), 2);
    ck_assert(pattern_is(buffer, 0, 5));
    close_pair();
}
END_TEST

START_TEST(a_receive_waits_for_the_first_bytes)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv(&other, &recv_op, buffer, 100));
    settle();
    ck_assert(!rill_task_is_over(&receiving.task));
    ck_assert_int_eq(send_now(&one, bytes, 7), 7);
    ck_assert_int_eq(background_end(&receiving), 7);
    ck_assert(pattern_is(buffer, 0, 7));
    ck_assert_uint_eq(receiving.polls, 2);
    close_pair();
}
END_TEST

START_TEST(a_receive_of_no_bytes_is_0_and_takes_nothing)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 4), 4);
    settle();
    ck_assert_int_eq(recv_now(&other, buffer, 0), 0);
    ck_assert_int_eq(recv_now(&other, buffer, 9), 4);
    ck_assert(pattern_is(buffer, 0, 4));
    close_pair();
}
END_TEST

/* A message whose length says 0 has no body, and no byte of the next may be needed
 * to see that. */
START_TEST(an_exact_receive_of_no_bytes_does_not_wait_for_the_peer)
{
    struct rill_timeout timeout;

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_timeout(&timeout, 50 * RILL_MILLISECOND,
                                        rill_tcp_recv_exactly(&other, &recv_op, buffer, 0))),
                     0);
    close_pair();
}
END_TEST

START_TEST(an_exact_receive_collects_what_comes_in_pieces)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_exactly(&other, &recv_op, buffer, 9));
    for (size_t at = 0; at < 9; at += 3) {
        settle();
        ck_assert(!rill_task_is_over(&receiving.task));
        ck_assert_int_eq(send_now(&one, bytes + at, 3), 3);
    }
    ck_assert_int_eq(background_end(&receiving), 9);
    ck_assert(pattern_is(buffer, 0, 9));
    close_pair();
}
END_TEST

START_TEST(an_exact_receive_is_short_when_the_peer_finishes_before)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 100)), 5);
    ck_assert(pattern_is(buffer, 0, 5));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 100)), 0);
    close_pair();
}
END_TEST

/* The kernel ends a receive with the part that it has, and tells the error once. */
START_TEST(an_exact_receive_that_a_reset_breaks_off_tells_how_much_had_come)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    background_start(&receiving, rill_tcp_recv_exactly(&other, &recv_op, buffer, 100));
    settle();
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    background_end(&receiving);
    ck_assert(recv_op.result == 5 || recv_op.result == -ECONNRESET);
    ck_assert_uint_eq(recv_op.transferred, 5);
    ck_assert(pattern_is(buffer, 0, 5));
    close_pair();
}
END_TEST

static void strip_waitall(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG ||
        sqe->opcode == IORING_OP_RECV)
        sqe->msg_flags &= ~(unsigned)MSG_WAITALL;
}

/* As if the kernel did not know MSG_WAITALL: the op itself has to go on. */
START_TEST(exact_transfers_go_on_after_short_results)
{
    const struct sim_options options = {.seed = 5, .short_per_mille = 900};

    if (!open_pair(_i, &options, NULL))
        return;
    fixture_on_entry(strip_waitall);
    for (int i = 0; i < 20; i++) {
        size_t size = 1 + (size_t)i * 171;

        memset(buffer, 0, size);
        background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, size));
        ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, size)), size);
        ck_assert_int_eq(background_end(&sending), size);
        ck_assert_uint_eq(send_op.transferred, size);
        ck_assert_uint_eq(recv_op.transferred, size);
        ck_assert(pattern_is(buffer, 0, size));
    }
    close_pair();
}
END_TEST

/* ---- receiving into shared buffers ---- */

static struct rill_borrow borrow;

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
    if (_i == REAL) {
        ck_assert_int_eq(rill_socket_set_buffers(one.fd, 16384, 0), 0);
        ck_assert_int_eq(rill_socket_set_buffers(other.fd, 0, 16384), 0);
    }
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

/* ---- sending ---- */

START_TEST(ten_megabytes_go_through_small_socket_buffers)
{
    enum { SIZE = 10 << 20 };
    const struct sim_options options = {.socket_buffer_size = 5000, .short_per_mille = 100};
    char *all = malloc(SIZE), *copy = malloc(SIZE);

    ck_assert(all && copy);
    if (open_pair(_i, &options, NULL)) {
        if (_i == REAL) {
            ck_assert_int_eq(rill_socket_set_buffers(one.fd, 65536, 0), 0);
            ck_assert_int_eq(rill_socket_set_buffers(other.fd, 0, 65536), 0);
        }
        pattern_fill(all, 0, SIZE);
        memset(copy, 0, SIZE);
        background_start(&sending, rill_tcp_send_all(&one, &send_op, all, SIZE));
        ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, copy, SIZE)), SIZE);
        ck_assert_int_eq(background_end(&sending), SIZE);
        ck_assert_uint_eq(send_op.transferred, SIZE);
        ck_assert(memcmp(all, copy, SIZE) == 0);
        close_pair();
    }
    free(all);
    free(copy);
}
END_TEST

START_TEST(a_send_says_how_much_the_kernel_took)
{
    const struct sim_options options = {.socket_buffer_size = 1000};
    int64_t size;

    if (!open_pair(_i, &options, NULL))
        return;
    size = await(rill_tcp_send(&one, &send_op, bytes, 5000));
    ck_assert_int_gt(size, 0);
    ck_assert_int_le(size, _i == SIMULATED ? 1000 : 5000);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, (size_t)size)), size);
    ck_assert(pattern_is(buffer, 0, (size_t)size));
    ck_assert_int_eq(send_now(&one, bytes, 0), 0);
    close_pair();
}
END_TEST

/* Sends parts of these sizes and looks at what arrives. */
static void send_parts(const size_t *sizes, size_t count)
{
    static struct rill_send_vectored send;
    static struct iovec parts[1024];
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){bytes + total, sizes[i]};
        total += sizes[i];
    }
    memset(buffer, 0, total);
    background_start(&sending, rill_tcp_send_vectored(&one, &send, parts, count));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, total)), total);
    ck_assert_int_eq(background_end(&sending), total);
    ck_assert_int_eq(send.result, total);
    ck_assert_uint_eq(send.op.transferred, total);
    ck_assert(pattern_is(buffer, 0, total));
}

static void send_many_parts(void)
{
    static size_t sizes[1024];

    send_parts((const size_t[]){1}, 1);
    send_parts((const size_t[]){5000}, 1);
    send_parts((const size_t[]){3, 1000, 20}, 3);
    send_parts((const size_t[]){0, 7, 0, 0, 9, 0}, 6);
    for (size_t i = 0; i < 1024; i++)
        sizes[i] = i * 7 % 60; /* some of them empty */
    send_parts(sizes, 1024);
}

START_TEST(a_vectored_send_sends_its_parts_in_order)
{
    const struct sim_options options = {.socket_buffer_size = 777};

    if (!open_pair(_i, &options, NULL))
        return;
    send_many_parts();
    close_pair();
}
END_TEST

START_TEST(a_vectored_send_goes_on_after_short_results)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        const struct sim_options options = {.seed = seed, .short_per_mille = 950};

        if (!open_pair(_i, &options, NULL))
            return;
        fixture_on_entry(strip_waitall);
        send_many_parts();
        close_pair();
    }
}
END_TEST

START_TEST(a_vectored_send_of_nothing_is_0)
{
    static struct rill_send_vectored send;
    struct iovec parts[2] = {{bytes, 0}, {bytes, 0}};

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_send_vectored(&one, &send, parts, 2)), 0);
    ck_assert_int_eq(await(rill_tcp_send_vectored(&one, &send, parts, 0)), 0);
    close_pair();
}
END_TEST

START_TEST(a_vectored_send_that_is_cancelled_tells_how_much_went_out)
{
    const struct sim_options options = {.socket_buffer_size = 500};
    static struct rill_send_vectored send;
    struct iovec parts[2] = {{bytes, 300}, {bytes + 300, 700}};

    if (!open_pair(_i, &options, NULL))
        return;
    background_start(&sending, rill_tcp_send_vectored(&one, &send, parts, 2));
    settle();
    rill_task_cancel(&sending.task);
    ck_assert_int_eq(background_end(&sending), -ECANCELED);
    ck_assert_uint_eq(send.op.transferred, 500);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 500)), 500);
    ck_assert(pattern_is(buffer, 0, 500));
    close_pair();
}
END_TEST

START_TEST(both_directions_move_at_the_same_time)
{
    enum { SIZE = sizeof bytes / 2 };
    static struct rill_op back_send, back_recv;
    static struct background tasks[3];
    const struct sim_options options = {.socket_buffer_size = 100};

    if (!open_pair(_i, &options, NULL))
        return;
    background_start(&tasks[0], rill_tcp_send_all(&one, &send_op, bytes, SIZE));
    background_start(&tasks[1], rill_tcp_send_all(&other, &back_send, bytes + SIZE, SIZE));
    background_start(&tasks[2], rill_tcp_recv_exactly(&one, &back_recv, buffer + SIZE, SIZE));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, SIZE)), SIZE);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(background_end(&tasks[i]), SIZE);
    ck_assert(pattern_is(buffer, 0, sizeof bytes));
    close_pair();
}
END_TEST

/* ---- the end ---- */

START_TEST(a_side_that_finished_sending_can_still_receive)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    ck_assert_int_eq(recv_now(&other, buffer, 100), 5);
    ck_assert_int_eq(recv_now(&other, buffer, 100), 0);
    ck_assert_int_eq(send_now(&other, bytes, 9), 9);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 9)), 9);
    ck_assert_int_eq(send_now(&one, bytes, 5), -EPIPE);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&other, &op)), 0);
    ck_assert_int_eq(recv_now(&one, buffer, 100), 0);
    close_pair();
}
END_TEST

START_TEST(a_peer_that_sends_nothing_and_closes_is_an_end)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv(&other, &recv_op, buffer, 100));
    settle();
    fixture_hang_up(&one);
    ck_assert_int_eq(background_end(&receiving), 0);
    close_pair();
}
END_TEST

START_TEST(a_peer_that_closed_makes_sending_an_EPIPE_and_no_signal)
{
    int64_t result = 0;

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_hang_up(&one);
    for (int i = 0; i < 5 && result >= 0; i++) {
        result = send_now(&other, bytes, 100);
        settle();
    }
    ck_assert(result == -EPIPE || result == -ECONNRESET);
    close_pair();
}
END_TEST

START_TEST(a_reset_ends_a_borrowed_receive_with_its_error)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    ck_assert_int_eq(background_end(&receiving), -ECONNRESET);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), -ECONNRESET);
    close_pair();
}
END_TEST

START_TEST(bytes_before_a_reset_are_read_before_its_error)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 8), 8);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 8);
    rill_borrow_give_back(&borrow);
    ck_assert_int_eq(send_now(&one, bytes + 8, 8), 8);
    settle(); /* they arrive in a shared buffer while nobody reads */
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    settle();
    ck_assert_int_eq(recv_now(&other, buffer, 100), 8);
    ck_assert(pattern_is(buffer, 8, 8));
    ck_assert_int_eq(recv_now(&other, buffer, 100), -ECONNRESET);
    close_pair();
}
END_TEST

START_TEST(a_send_that_waits_ends_when_the_peer_resets)
{
    const struct sim_options options = {.socket_buffer_size = 1000};
    static char much[8 << 20];

    if (!open_pair(_i, &options, NULL))
        return;
    background_start(&sending, rill_tcp_send_all(&one, &send_op, much, sizeof much));
    settle();
    ck_assert(!rill_task_is_over(&sending.task));
    ck_assert_int_eq(rill_socket_set_reset_on_close(other.fd, true), 0);
    fixture_hang_up(&other);
    ck_assert_int_lt(background_end(&sending), 0);
    ck_assert(send_op.result == -ECONNRESET || send_op.result == -EPIPE);
    ck_assert_uint_gt(send_op.transferred, 0);
    ck_assert_uint_lt(send_op.transferred, sizeof much);
    close_pair();
}
END_TEST

START_TEST(closing_twice_and_closing_nothing_do_nothing)
{
    struct rill_tcp nothing = {.fd = 0};

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_hang_up(&one);
    fixture_hang_up(&one);
    ck_assert_int_eq(await(rill_tcp_close(&nothing)), 0);
    close_pair();
}
END_TEST

static enum rill_poll close_cancelled_poll(struct rill_future *self, struct rill_task *task)
{
    struct background *background = rill_container_of(self, struct background, task.future);

    RILL_BEGIN();
    rill_task_cancel(task);
    RILL_AWAIT(background->future);
    RILL_RETURN(background->future->result);
    RILL_END();
}

START_TEST(a_cancelled_task_closes_its_connection_all_the_same)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 3), 3);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 3);
    rill_borrow_give_back(&borrow);
    memset(&receiving, 0, sizeof receiving);
    receiving.future = rill_tcp_close(&other);
    rill_task_spawn(&receiving.task, close_cancelled_poll);
    ck_assert_int_eq(background_end(&receiving), 0);
    ck_assert(!other.is_open);
    ck_assert_int_eq(recv_now(&one, buffer, 3), 0);
    close_pair();
}
END_TEST

START_TEST(a_connection_knows_the_addresses_of_both_ends)
{
    struct rill_address mine, peers;
    char text[RILL_ADDRESS_TEXT_MAX], other_text[RILL_ADDRESS_TEXT_MAX];

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_tcp_local_address(&one, &mine), 0);
    ck_assert_int_eq(rill_tcp_peer_address(&other, &peers), 0);
    ck_assert_str_eq(rill_address_format(&mine, text), rill_address_format(&peers, other_text));
    ck_assert_int_eq(rill_tcp_peer_address(&one, &peers), 0);
    ck_assert_int_eq(rill_tcp_local_address(&other, &mine), 0);
    ck_assert_str_eq(rill_address_format(&mine, text), rill_address_format(&peers, other_text));
    ck_assert_int_eq(strncmp(text, "127.0.0.1:", 10), 0);
    close_pair();
}
END_TEST

START_TEST(a_foreign_socketpair_is_a_connection_too)
{
    int fds[2];

    if (!fixture_open(_i, NULL, NULL))
        return;
    pattern_fill(bytes, 0, sizeof bytes);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    rill_tcp_adopt_foreign(&one, fds[0]);
    rill_tcp_adopt_foreign(&other, fds[1]);
    ck_assert_uint_eq(reactor()->fds_open, 2);
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 1000)), 1000);
    ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    ck_assert(pattern_is(borrow.data, 1000, (size_t)borrow.result));
    {
        size_t at = 1000 + (size_t)borrow.result;

        rill_borrow_give_back(&borrow);
        memcpy(buffer, bytes, at);
        ck_assert_int_eq(
            await(rill_tcp_recv_exactly(&other, &recv_op, buffer + at, sizeof bytes - at)),
            sizeof bytes - at);
    }
    ck_assert(pattern_is(buffer, 0, sizeof bytes));
    ck_assert_int_eq(background_end(&sending), sizeof bytes);
    close_pair();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_receive_gives_what_is_there, IN_BOTH},
        {a_receive_waits_for_the_first_bytes, IN_BOTH},
        {a_receive_of_no_bytes_is_0_and_takes_nothing, IN_BOTH},
        {an_exact_receive_of_no_bytes_does_not_wait_for_the_peer, IN_BOTH},
        {an_exact_receive_collects_what_comes_in_pieces, IN_BOTH},
        {an_exact_receive_is_short_when_the_peer_finishes_before, IN_BOTH},
        {an_exact_receive_that_a_reset_breaks_off_tells_how_much_had_come, IN_BOTH},
        {exact_transfers_go_on_after_short_results, IN_BOTH},
        {a_borrowed_receive_lends_the_bytes_until_they_are_given_back, IN_BOTH},
        {a_borrowed_receive_is_0_at_the_end_each_time, IN_BOTH},
        {receives_of_all_kinds_take_turns_without_losing_the_order, IN_BOTH},
        {an_exact_receive_of_no_bytes_is_0_behind_a_borrowed_one_too, IN_BOTH},
        {an_exact_receive_from_shared_buffers_tells_how_much_came_before_it_was_cancelled, IN_BOTH},
        {a_reader_that_does_not_read_holds_few_buffers_and_then_gets_everything, IN_BOTH},
        {closing_gives_back_all_buffers_that_nobody_read, IN_BOTH},
        {closing_withdraws_a_receive_that_waits_for_bytes, IN_BOTH},
        {bytes_that_come_while_nobody_waits_are_there_for_the_next_receive, IN_BOTH},
        {shared_buffers_that_can_not_be_made_are_an_error_of_the_receive_alone, IN_SIMULATED},
        {borrowing_while_something_is_borrowed_is_a_panic, IN_SIMULATED},
        {two_tasks_that_receive_from_one_connection_are_a_panic, IN_SIMULATED},
        {ten_megabytes_go_through_small_socket_buffers, IN_BOTH},
        {a_send_says_how_much_the_kernel_took, IN_BOTH},
        {a_vectored_send_sends_its_parts_in_order, IN_BOTH},
        {a_vectored_send_goes_on_after_short_results, IN_BOTH},
        {a_vectored_send_of_nothing_is_0, IN_BOTH},
        {a_vectored_send_that_is_cancelled_tells_how_much_went_out, IN_SIMULATED},
        {both_directions_move_at_the_same_time, IN_BOTH},
        {a_side_that_finished_sending_can_still_receive, IN_BOTH},
        {a_peer_that_sends_nothing_and_closes_is_an_end, IN_BOTH},
        {a_peer_that_closed_makes_sending_an_EPIPE_and_no_signal, IN_BOTH},
        {a_reset_ends_a_borrowed_receive_with_its_error, IN_BOTH},
        {bytes_before_a_reset_are_read_before_its_error, IN_BOTH},
        {a_send_that_waits_ends_when_the_peer_resets, IN_BOTH},
        {closing_twice_and_closing_nothing_do_nothing, IN_BOTH},
        {a_cancelled_task_closes_its_connection_all_the_same, IN_BOTH},
        {a_connection_knows_the_addresses_of_both_ends, IN_BOTH},
        {a_foreign_socketpair_is_a_connection_too, IN_REAL},
    };

    return fixture_main("tcp", cases, sizeof cases / sizeof *cases);
}
