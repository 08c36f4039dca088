/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_receive.c - receives, and combinators around them, lose no byte when cancelled. */
#include "io/reader.h"
#include "tests/cancel.h"

#include <errno.h>
#include <string.h>

/* ---- receiving: what came and what comes later is what was sent ---- */

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

/* ---- reading piece by piece: what was not handed out is there ---- */

static struct rill_reader reader;
static char room[2500];

static void start_feeder_and_reader(void)
{
    start_feeder();
    rill_tcp_reader_init(&reader, &my.one, room, sizeof room);
}

static void hand_out_the_rest(void)
{
    if (rill_reader_held(&reader) > 0) {
        expect(await(rill_reader_some(&reader)) > 0);
        came(reader.data, reader.result);
    }
    receive_the_rest();
}

static struct rill_future *read_exactly(void)
{
    return rill_reader_exactly(&reader, 2000);
}

static void after_read_exactly(int64_t result)
{
    expect(result == 2000 || result == -ECANCELED);
    if (result > 0)
        came(reader.data, result);
    hand_out_the_rest();
}

static struct rill_future *read_until(void)
{
    return rill_reader_until(&reader, pattern(1234));
}

static void after_read_until(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    if (result > 0) {
        expect(memchr(reader.data, pattern(1234), (size_t)result) == reader.data + result - 1);
        came(reader.data, result);
    }
    hand_out_the_rest();
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

static const struct cancel_operation operations[] = {
    {"recv", IN_BOTH, start_feeder, recv_some, after_recv, false},
    {"recv_exactly", IN_BOTH, start_feeder, recv_exactly, after_recv_exactly, false},
    {"recv_borrowed", IN_BOTH, start_feeder, recv_borrowed, after_recv_borrowed, false},
    {"recv after recv_borrowed", IN_BOTH, start_feeder_and_borrow, recv_some, after_recv, false},
    {"recv_exactly after recv_borrowed", IN_BOTH, start_feeder_and_borrow, recv_exactly_the_rest,
     after_recv_exactly_the_rest, false},
    {"reader_exactly", IN_BOTH, start_feeder_and_reader, read_exactly, after_read_exactly, false},
    {"reader_until", IN_BOTH, start_feeder_and_reader, read_until, after_read_until, false},
    {"timeout", IN_BOTH, start_feeder, recv_with_timeout, after_recv_with_timeout, false},
    {"select of recv", IN_BOTH, start_feeder, select_recv, after_select_recv, false},
    {"select of recv_borrowed", IN_BOTH, start_feeder, select_borrowed, after_select_borrowed,
     false},
};

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
    return cancel_main("cancel_receive", operations, sizeof operations / sizeof *operations, NULL,
                       bytes_and_a_cancel_at_the_same_moment_lose_no_byte_whoever_wins);
}
