/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_tag.c - tagged messages over TCP and shared memory arrive whole, or not at all. */
#include "rdma/tag.h"

#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 8, 7999, 8000, 8001, 64 << 10, 4 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes, SIZE_MAX_SENT = 4 << 20 };

static struct rill_rdma_op send_op, recv_op, more_op;
static struct background sending, receiving;
static char *sent, *received;

static bool open_duo(int which, const struct rill_runtime_options *options)
{
    if (!duo_open(which, options))
        return false;
    sent = malloc(SIZE_MAX_SENT);
    received = calloc(1, SIZE_MAX_SENT + 64);
    pattern_fill(sent, 0, SIZE_MAX_SENT);
    return true;
}

static void close_duo(void)
{
    duo_close();
    free(sent);
    free(received);
}

static struct rill_future *send_right(size_t size, uint64_t tag)
{
    return rill_rdma_tag_send(&duo.to_right, &send_op, sent, size, tag);
}

static struct rill_future *recv_right(size_t size, uint64_t tag)
{
    memset(received, 0, size);
    return rill_rdma_tag_recv(&duo.right, &recv_op, received, size, tag, RILL_RDMA_TAG_EXACT);
}

/* ---- every size ---- */

START_TEST(a_message_of_any_size_arrives_whether_its_receive_or_it_was_first)
{
    if (!open_duo(_i, NULL))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        for (int receive_first = 0; receive_first < 2; receive_first++) {
            int64_t size = (int64_t)sizes[i];

            if (receive_first)
                background_start(&receiving, recv_right(sizes[i] + 7, i));
            settle();
            background_start(&sending, send_right(sizes[i], i));
            settle();
            if (!receive_first)
                background_start(&receiving, recv_right(sizes[i] + 7, i));
            expect_eq(background_end(&receiving), size);
            expect_eq(background_end(&sending), size);
            expect(pattern_is(received, 0, sizes[i]));
            expect_eq(recv_op.tag, i);
            expect_eq(recv_op.length, size);
        }
    }
    close_duo();
}
END_TEST

START_TEST(a_synchronous_send_waits_for_its_receive)
{
    if (!open_duo(_i, NULL))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        background_start(&sending,
                         rill_rdma_tag_send_sync(&duo.to_right, &send_op, sent, sizes[i], 1));
        settle();
        expect(!rill_task_is_over(&sending.task));
        expect_eq(await(recv_right(sizes[i], 1)), sizes[i]);
        expect_eq(background_end(&sending), sizes[i]);
        expect(pattern_is(received, 0, sizes[i]));
    }
    close_duo();
}
END_TEST

START_TEST(a_vectored_message_is_one_message)
{
    struct iovec out[5], in[3];

    if (!open_duo(_i, NULL))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        size_t size = sizes[i], step = size / 5;

        for (size_t k = 0; k < 5; k++)
            out[k] = (struct iovec){sent + k * step, k < 4 ? step : size - 4 * step};
        memset(received, 0, size);
        in[0] = (struct iovec){received, size / 2};
        in[1] = (struct iovec){received + size / 2, size - size / 2};
        in[2] = (struct iovec){received + size, 10};
        background_start(&receiving, rill_rdma_tag_recv_vectored(&duo.right, &recv_op, in, 3, 5,
                                                                 RILL_RDMA_TAG_EXACT));
        background_start(&sending, rill_rdma_tag_send_vectored(&duo.to_right, &send_op, out, 5, 5));
        expect_eq(background_end(&receiving), size);
        expect_eq(background_end(&sending), size);
        expect(pattern_is(received, 0, size));
    }
    close_duo();
}
END_TEST

/* ---- tags ---- */

START_TEST(a_receive_takes_what_its_mask_lets_through)
{
    size_t size;
    uint64_t tag;

    if (!open_duo(_i, NULL))
        return;
    expect(!rill_rdma_tag_probe(&duo.right, 0, RILL_RDMA_TAG_ANY, NULL, NULL));
    expect_eq(await(send_right(3, 0xa1)), 3);
    expect_eq(await(send_right(4, 0xb1)), 4);
    expect_eq(await(send_right(5, UINT64_MAX)), 5);
    expect_eq(await(send_right(6, 0xb2)), 6);
    duo_turn_until(rill_rdma_tag_probe(&duo.right, 0xb2, RILL_RDMA_TAG_EXACT, &size, &tag));
    expect_eq(size, 6);
    expect_eq(tag, 0xb2);
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, received, 64, 0xb0, 0xf0)), 4);
    expect_eq(recv_op.tag, 0xb1);
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, received, 64, 0, RILL_RDMA_TAG_ANY)),
              3);
    expect_eq(recv_op.tag, 0xa1);
    expect_eq(await(recv_right(64, UINT64_MAX)), 5);
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, received, 64, 0, RILL_RDMA_TAG_ANY)),
              6);
    close_duo();
}
END_TEST

START_TEST(a_message_that_does_not_fit_is_EMSGSIZE_with_its_real_size)
{
    if (!open_duo(_i, NULL))
        return;
    for (size_t i = 1; i < SIZES; i++) {
        background_start(&sending, send_right(sizes[i], 1));
        received[sizes[i] - 1] = 99;
        expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, received, sizes[i] - 1, 1,
                                           RILL_RDMA_TAG_EXACT)),
                  -EMSGSIZE);
        expect_eq(recv_op.length, sizes[i]);
        expect_eq(received[sizes[i] - 1], 99);
        expect_eq(background_end(&sending), sizes[i]);
    }
    close_duo();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_receive_that_is_cancelled_ends_at_once_and_leaves_the_message_to_the_next)
{
    struct rill_timeout timeout;

    if (!open_duo(_i, NULL))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        expect_eq(await(rill_timeout(&timeout, RILL_MILLISECOND, recv_right(sizes[i], 1))),
                  -ETIMEDOUT);
        expect_eq(recv_op.result, -ECANCELED);
        background_start(&sending, send_right(sizes[i], 1));
        settle();
        expect_eq(await(recv_right(sizes[i], 1)), sizes[i]);
        expect(pattern_is(received, 0, sizes[i]));
        expect_eq(background_end(&sending), sizes[i]);
    }
    expect_eq(duo.right.stats.cancels, SIZES);
    close_duo();
}
END_TEST

START_TEST(an_operation_of_a_cancelled_task_does_not_start)
{
    if (!open_duo(_i, NULL))
        return;
    background_start(&receiving, recv_right(8, 1));
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    background_start(&sending, send_right(8, 1));
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(duo.left.stats.posts + duo.right.stats.posts, 0);
    close_duo();
}
END_TEST

/* The buffer is UCX's until the other side has read it. */
START_TEST(a_send_that_is_cancelled_is_over_when_its_buffer_is_free)
{
    if (!open_duo(_i, NULL))
        return;
    background_start(&sending, send_right(SIZE_MAX_SENT, 1));
    settle();
    rill_task_cancel(&sending.task);
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_eq(send_op.state, RILL_RDMA_OP_CANCELLING);
    expect_eq(await(recv_right(SIZE_MAX_SENT, 1)), SIZE_MAX_SENT);
    expect(pattern_is(received, 0, SIZE_MAX_SENT));
    expect_eq(background_end(&sending), SIZE_MAX_SENT);
    close_duo();
}
END_TEST

/* Whatever wins, each message is received once, by this receive or by the next. */
START_TEST(a_receive_that_races_with_its_cancel_loses_nothing)
{
    int won = 0;

    if (!open_duo(_i, NULL))
        return;
    for (int i = 0; i < 300; i++) {
        size_t size = sizes[1 + i % (SIZES - 2)];
        int64_t result;

        background_start(&receiving, recv_right(size, 1));
        fixture_turn();
        background_start(&sending, send_right(size, 1));
        for (int turns = i % 7; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&receiving.task);
        result = background_end(&receiving);
        won += result == (int64_t)size;
        if (result == -ECANCELED)
            result = await(recv_right(size, 1));
        expect_eq(result, size);
        expect(pattern_is(received, 0, size));
        expect_eq(background_end(&sending), size);
    }
    expect(!rill_rdma_tag_probe(&duo.right, 0, RILL_RDMA_TAG_ANY, NULL, NULL));
    printf("the message won %d of 300 races\n", won);
    close_duo();
}
END_TEST

/* ---- many ---- */

START_TEST(hundreds_of_messages_in_flight_arrive_once_and_in_order)
{
    enum { MANY = 400, SIZE = 512 };
    static struct rill_rdma_op sends[MANY], recvs[MANY];
    static struct background senders[MANY], receivers[MANY];

    if (!open_duo(_i, NULL))
        return;
    for (int i = 0; i < MANY; i++) {
        background_start(&receivers[i],
                         rill_rdma_tag_recv(&duo.right, &recvs[i], received + (size_t)i * SIZE,
                                            SIZE, 7, RILL_RDMA_TAG_EXACT));
        background_start(&senders[i], rill_rdma_tag_send(&duo.to_right, &sends[i],
                                                         sent + (size_t)i * SIZE, SIZE, 7));
    }
    for (int i = 0; i < MANY; i++) {
        expect_eq(background_end(&receivers[i]), SIZE);
        expect_eq(background_end(&senders[i]), SIZE);
    }
    expect(pattern_is(received, 0, (size_t)MANY * SIZE));
    close_duo();
}
END_TEST

START_TEST(both_sides_send_and_receive_with_every_way_of_waiting)
{
    for (unsigned policy = RILL_WAIT_SLEEP; policy <= RILL_WAIT_SPIN; policy++) {
        if (!open_duo(_i,
                      &(struct rill_runtime_options){.wait_policy = (enum rill_wait_policy)policy}))
            return;
        for (int i = 0; i < 300; i++) {
            background_start(&receiving, recv_right(8, 1));
            expect_eq(await(send_right(8, 1)), 8);
            expect_eq(background_end(&receiving), 8);
            background_start(&receiving, rill_rdma_tag_recv(&duo.left, &recv_op, received, 8, 2,
                                                            RILL_RDMA_TAG_EXACT));
            expect_eq(await(rill_rdma_tag_send(&duo.to_left, &more_op, sent, 8, 2)), 8);
            expect_eq(background_end(&receiving), 8);
        }
        expect_eq(duo.right.source.stats.events_recovered, 0);
        expect_eq(duo.left.source.stats.events_recovered, 0);
        close_duo();
    }
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_message_of_any_size_arrives_whether_its_receive_or_it_was_first, IN_TCP_AND_SHM},
        {a_synchronous_send_waits_for_its_receive, IN_TCP_AND_SHM},
        {a_vectored_message_is_one_message, IN_TCP_AND_SHM},
        {a_receive_takes_what_its_mask_lets_through, IN_TCP_AND_SHM},
        {a_message_that_does_not_fit_is_EMSGSIZE_with_its_real_size, IN_TCP_AND_SHM},
        {a_receive_that_is_cancelled_ends_at_once_and_leaves_the_message_to_the_next,
         IN_TCP_AND_SHM},
        {an_operation_of_a_cancelled_task_does_not_start, IN_TCP},
        {a_send_that_is_cancelled_is_over_when_its_buffer_is_free, IN_TCP_AND_SHM},
        {a_receive_that_races_with_its_cancel_loses_nothing, IN_TCP_AND_SHM},
        {hundreds_of_messages_in_flight_arrive_once_and_in_order, IN_TCP_AND_SHM},
        {both_sides_send_and_receive_with_every_way_of_waiting, IN_TCP_AND_SHM},
    };

    return duo_main("rdma tag", cases, sizeof cases / sizeof *cases);
}
