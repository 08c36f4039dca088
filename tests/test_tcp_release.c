/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_release.c - a descriptor that is taken out of a connection leaves no byte behind. */
#include "net/socket_options.h"
#include "tests/tcp_pair.h"

#include <errno.h>
#include <string.h>

/* Takes the descriptor out of the other end, and makes a connection of it again. */
static int64_t release_and_adopt(void)
{
    int64_t result = await(rill_tcp_release(&other));

    if (result >= 0) {
        expect(!other.is_open);
        expect_eq(recv_now(&other, buffer, 1), -EBADF);
        rill_tcp_adopt_foreign(&other, (int)result);
    }
    return result;
}

/* Leaves a borrowed receive armed, for which nobody waits. */
static void arm(void)
{
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
}

static void expect_bytes(size_t at, size_t size)
{
    expect_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, size)), size);
    expect(pattern_is(buffer, at, size));
}

START_TEST(a_descriptor_that_was_released_is_the_callers)
{
    size_t open;

    if (!open_pair(_i, NULL, NULL))
        return;
    open = reactor()->fds_open;
    expect_eq(send_now(&one, bytes, 6), 6);
    expect_bytes(0, 6);
    expect(await(rill_tcp_release(&other)) >= 0);
    expect_eq(reactor()->fds_open, open - 1);
    expect_eq(recv_now(&other, buffer, 1), -EBADF);
    expect_eq(await(rill_tcp_release(&other)), -EBADF);
    rill_tcp_adopt_foreign(&other, (int)other.fd);
    expect_eq(send_now(&other, bytes, 6), 6);
    expect_eq(recv_now(&one, buffer, 6), 6);
    close_pair();
}
END_TEST

START_TEST(bytes_that_come_after_an_armed_receive_was_withdrawn_are_in_the_socket)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    arm();
    expect(release_and_adopt() >= 0);
    expect_eq(send_now(&one, bytes, 1000), 1000);
    expect_bytes(0, 1000);
    close_pair();
}
END_TEST

START_TEST(bytes_that_have_come_are_to_be_received_first)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    arm();
    expect_eq(send_now(&one, bytes, 1000), 1000);
    settle();
    for (int i = 0; i < 3; i++)
        expect_eq(await(rill_tcp_release(&other)), -EBUSY);
    expect_bytes(0, 1000);
    expect(release_and_adopt() >= 0);
    expect_eq(send_now(&one, bytes + 1000, 1000), 1000);
    expect_bytes(1000, 1000);
    close_pair();
}
END_TEST

START_TEST(the_end_of_the_stream_is_there_for_the_next_owner)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    arm();
    expect_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    settle();
    expect(release_and_adopt() >= 0);
    expect_eq(recv_now(&other, buffer, 10), 0);
    close_pair();
}
END_TEST

START_TEST(one_whose_peer_has_reset_it_stays_open_and_says_so)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    arm();
    expect_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    settle_until(other.receiver.ended);
    for (int i = 0; i < 3; i++)
        expect_eq(await(rill_tcp_release(&other)), -ECONNRESET);
    expect(other.is_open);
    close_pair();
}
END_TEST

START_TEST(one_that_is_cancelled_before_it_begins_stays_open)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    arm();
    background_start(&receiving, rill_tcp_release(&other));
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(send_now(&one, bytes, 1000), 1000);
    expect_bytes(0, 1000);
    close_pair();
}
END_TEST

static uint64_t changes;

/* The peer sends all the time; the other end changes hands at any moment. */
static void change_hands(uint64_t seed)
{
    const struct sim_options options = sim_options_troubled(seed);
    const struct rill_runtime_options small = {.buffer_count = 8, .buffer_size = 1000};
    size_t at = 0, released = 0;

    fixture.seed = seed;
    fixture.seeded = true;
    if (!open_pair(SIMULATED, &options, &small))
        return;
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    while (at < sizeof bytes) {
        int64_t size;

        if (sim_random(fixture.sim, 4) == 0) {
            int64_t result = release_and_adopt();

            released += result >= 0;
            if (result < 0 && result != -EBUSY)
                break; /* a fault of the world's */
        }
        size = await(rill_tcp_recv_borrowed(&other, &borrow));
        if (size == -ENOMEM)
            continue;
        if (size <= 0)
            break;
        expect(pattern_is(borrow.data, at, (size_t)size));
        at += (size_t)size;
        rill_borrow_give_back(&borrow);
    }
    if (at < sizeof bytes)
        rill_task_cancel(&sending.task);
    background_end(&sending);
    fixture.seeded = false;
    close_pair();
    changes += released;
}

START_TEST(a_connection_may_change_hands_at_any_moment)
{
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        change_hands(seed);
    expect(changes >= count);
}
END_TEST

static void release_with_a_line(void)
{
    rill_tcp_release(&other);
}

START_TEST(buffers_that_are_in_line_are_to_be_flushed_first)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    expect_eq(send_now(&one, bytes, 1000), 1000);
    expect_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 1000);
    expect_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 1000);
    fixture_expect_panic(release_with_a_line, "await rill_tcp_flush");
    expect_eq(await(rill_tcp_flush(&other)), 0);
    expect(release_and_adopt() >= 0);
    close_pair();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_descriptor_that_was_released_is_the_callers, IN_BOTH},
        {bytes_that_come_after_an_armed_receive_was_withdrawn_are_in_the_socket, IN_BOTH},
        {bytes_that_have_come_are_to_be_received_first, IN_BOTH},
        {the_end_of_the_stream_is_there_for_the_next_owner, IN_BOTH},
        {one_whose_peer_has_reset_it_stays_open_and_says_so, IN_BOTH},
        {one_that_is_cancelled_before_it_begins_stays_open, IN_BOTH},
        {a_connection_may_change_hands_at_any_moment, IN_SIMULATED},
        {buffers_that_are_in_line_are_to_be_flushed_first, IN_BOTH},
    };

    return fixture_main("tcp release", cases, sizeof cases / sizeof *cases);
}
