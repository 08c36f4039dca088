/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_stream.c - bytes over an endpoint arrive in order, once, whatever is cancelled. */
#include "rdma/stream.h"

#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOTAL = 1 << 20 };

static struct rill_rdma_op send_op, recv_op;
static struct background sending, receiving;
static char *sent, *received;

static bool open_duo(int which)
{
    if (!duo_open(which, NULL))
        return false;
    sent = malloc(TOTAL);
    received = calloc(1, TOTAL);
    pattern_fill(sent, 0, TOTAL);
    return true;
}

static void close_duo(void)
{
    duo_close();
    free(sent);
    free(received);
}

static struct rill_future *stream_send(size_t at, size_t size)
{
    return rill_rdma_stream_send(&duo.to_right, &send_op, sent + at, size);
}

static struct rill_future *stream_recv(size_t size)
{
    return rill_rdma_stream_recv(&duo.to_left, &recv_op, received, size);
}

START_TEST(a_receive_takes_what_is_there)
{
    if (!open_duo(_i))
        return;
    expect_eq(await(stream_recv(0)), 0);
    background_start(&receiving, stream_recv(100));
    settle();
    expect_eq(await(stream_send(0, 10)), 10);
    expect_eq(background_end(&receiving), 10);
    expect(pattern_is(received, 0, 10));
    expect_eq(await(stream_send(10, 20)), 20);
    settle();
    expect_eq(await(stream_recv(7)), 7); /* the rest stays for the next */
    expect(pattern_is(received, 10, 7));
    expect_eq(await(stream_recv(100)), 13);
    expect(pattern_is(received, 17, 13));
    close_duo();
}
END_TEST

/* UCX 1.13 ends the process of a receiver that gets a message without a byte. */
START_TEST(a_send_of_nothing_ends_at_once_and_sends_nothing)
{
    if (!open_duo(_i))
        return;
    background_start(&receiving,
                     rill_rdma_stream_recv_exactly(&duo.to_left, &recv_op, received, 20));
    expect_eq(await(stream_send(0, 10)), 10);
    for (int i = 0; i < 3; i++)
        expect_eq(await(rill_rdma_stream_send(&duo.to_right, &send_op, NULL, 0)), 0);
    settle();
    expect_eq(await(stream_send(10, 10)), 10);
    expect_eq(background_end(&receiving), 20);
    expect(pattern_is(received, 0, 20));
    close_duo();
}
END_TEST

START_TEST(a_receive_of_exactly_so_many_bytes_waits_for_them)
{
    if (!open_duo(_i))
        return;
    background_start(&receiving,
                     rill_rdma_stream_recv_exactly(&duo.to_left, &recv_op, received, TOTAL));
    for (size_t at = 0; at < TOTAL; at += TOTAL / 4) {
        settle();
        expect(!rill_task_is_over(&receiving.task));
        expect_eq(await(stream_send(at, TOTAL / 4)), TOTAL / 4);
    }
    expect_eq(background_end(&receiving), TOTAL);
    expect(pattern_is(received, 0, TOTAL));
    close_duo();
}
END_TEST

START_TEST(a_cancelled_receive_ends_at_once_and_loses_no_byte)
{
    struct rill_timeout timeout;
    size_t at = 0;

    if (!open_duo(_i))
        return;
    expect_eq(await(rill_timeout(&timeout, RILL_MILLISECOND, stream_recv(10))), -ETIMEDOUT);
    for (int i = 0; at < 100000; i++) {
        int64_t got;

        background_start(&receiving, stream_recv(TOTAL));
        fixture_turn();
        if (i % 3)
            background_start(&sending, stream_send(at, 1000));
        for (int turns = i % 6; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&receiving.task);
        got = background_end(&receiving);
        if (got == -ECANCELED && i % 3)
            got = await(rill_rdma_stream_recv_exactly(&duo.to_left, &recv_op, received, 1000));
        if (i % 3) {
            expect_eq(got, 1000);
            expect(pattern_is(received, at, 1000));
            expect_eq(background_end(&sending), 1000);
            at += 1000;
        } else {
            expect_eq(got, -ECANCELED);
        }
    }
    close_duo();
}
END_TEST

START_TEST(the_closing_of_the_other_side_ends_a_receive)
{
    struct rill_rdma_ep client = {0}, server = {0};

    if (!open_duo(_i))
        return;
    duo_connect(&client, &server);
    expect_eq(await(rill_rdma_stream_send(&client, &send_op, sent, 100)), 100);
    background_start(&receiving, rill_rdma_stream_recv_exactly(&server, &recv_op, received, TOTAL));
    settle();
    background_start(&sending, rill_rdma_ep_close(&client));
    expect_eq(background_end(&receiving), -ECONNRESET);
    expect_eq(recv_op.length, 100);
    expect(pattern_is(received, 0, 100));
    expect_eq(await(rill_rdma_stream_recv(&server, &recv_op, received, 10)), -ECONNRESET);
    expect_eq(await(rill_rdma_ep_close(&server)), -ECONNRESET);
    expect_eq(background_end(&sending), 0);
    close_duo();
}
END_TEST

START_TEST(closing_ends_a_receive_and_gives_up_what_was_not_read)
{
    if (!open_duo(_i))
        return;
    background_start(&receiving, stream_recv(10));
    settle();
    background_start(&sending, rill_rdma_ep_close(&duo.to_left));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(background_end(&sending), 0);
    close_duo();

    open_duo(_i);
    expect_eq(await(stream_send(0, 5000)), 5000);
    settle();
    expect_eq(await(stream_recv(10)), 10);
    expect_eq(await(rill_rdma_ep_close(&duo.to_left)), 0);
    close_duo();
}
END_TEST

START_TEST(streams_of_endpoints_do_not_mix)
{
    struct rill_rdma_ep back = {0}, forth = {0};
    struct rill_rdma_op other_op = {0};
    char other[10];
    size_t size;

    if (!open_duo(_i))
        return;
    expect_eq(rill_rdma_ep_open(&forth, &duo.left, rill_rdma_address(&duo.left, &size)), 0);
    expect_eq(await(stream_send(0, 10)), 10);
    background_start(&receiving, rill_rdma_stream_recv(&duo.to_right, &other_op, other, 10));
    expect_eq(await(stream_recv(100)), 10);
    expect_eq(await(rill_rdma_stream_send(&duo.to_left, &send_op, sent + 50, 10)), 10);
    expect_eq(background_end(&receiving), 10);
    expect(pattern_is(other, 50, 10));
    expect_eq(await(rill_rdma_ep_abort(&forth)), 0);
    expect_eq(await(rill_rdma_ep_close(&back)), 0);
    close_duo();
}
END_TEST

static void receive_twice(void)
{
    static struct rill_rdma_op other;

    open_duo(OVER_TCP);
    background_start(&receiving, stream_recv(10));
    await(rill_rdma_stream_recv(&duo.to_left, &other, received, 10));
}

START_TEST(two_receives_at_once_are_a_panic)
{
    fixture_expect_panic(receive_twice, "two tasks receive from the same stream");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_receive_takes_what_is_there, IN_TCP_AND_SHM},
        {a_send_of_nothing_ends_at_once_and_sends_nothing, IN_TCP_AND_SHM},
        {a_receive_of_exactly_so_many_bytes_waits_for_them, IN_TCP_AND_SHM},
        {a_cancelled_receive_ends_at_once_and_loses_no_byte, IN_TCP_AND_SHM},
        {the_closing_of_the_other_side_ends_a_receive, IN_TCP | SOCKET_ADDRESSES},
        {closing_ends_a_receive_and_gives_up_what_was_not_read, IN_TCP_AND_SHM},
        {streams_of_endpoints_do_not_mix, IN_TCP_AND_SHM | LOOPBACK},
        {two_receives_at_once_are_a_panic, IN_TCP},
    };

    return duo_main("rdma stream", cases, sizeof cases / sizeof *cases);
}
