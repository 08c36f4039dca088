/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_stream.c - simulated connections carry and end like real ones, on both kernels. */
#include "tests/sim/world.h"

#include <check.h>
#include <errno.h>
#include <string.h>

static struct world world;
static char bytes[1 << 20];

static void fill(char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (char)(i * 7 + i / 251);
}

START_TEST(a_send_with_WAITALL_sends_all_while_the_other_side_reads)
{
    static char received[sizeof bytes * 8];
    int client, server;
    size_t size = 0;
    bool sent = false;
    struct iovec pieces[8];
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 8};

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    fill(bytes, sizeof bytes);
    for (int i = 0; i < 8; i++)
        pieces[i] = (struct iovec){.iov_base = bytes, .iov_len = sizeof bytes};
    io_uring_prep_sendmsg(world_sqe(&world, 1), client, &message, MSG_WAITALL);
    while (size < sizeof received) {
        struct world_completion completion;

        io_uring_prep_recv(world_sqe(&world, 2), server, received + size, sizeof received - size,
                           0);
        completion = world_next(&world);
        if (completion.user_data == 1) {
            ck_assert_int_eq(completion.result, sizeof received);
            sent = true;
            completion = world_next(&world);
        }
        ck_assert_int_gt(completion.result, 0);
        size += (size_t)completion.result;
    }
    if (!sent)
        world_expect(&world, 1, sizeof received, 0, 0);
    for (int i = 0; i < 8; i++)
        ck_assert(memcmp(received + (size_t)i * sizeof bytes, bytes, sizeof bytes) == 0);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(the_first_send_after_the_other_side_closed_succeeds_and_the_next_is_EPIPE)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_close_fd(&world, client);
    ck_assert_int_eq(world_send(&world, server, "x", 1), 1);
    ck_assert_int_eq(world_send(&world, server, "x", 1), -EPIPE);
    ck_assert_int_eq(world_recv(&world, server, &byte, 1), 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(closing_with_unread_bytes_resets_the_connection)
{
    int client, server;
    char buffer[8] = "";

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    ck_assert_int_eq(world_send(&world, client, "abc", 3), 3);
    ck_assert_int_eq(world_send(&world, server, "xyz", 3), 3);
    world_close_fd(&world, server);
    /* What came before the reset can be read, then the error, once. */
    ck_assert_int_eq(world_recv(&world, client, buffer, 8), 3);
    ck_assert_int_eq(world_recv(&world, client, buffer, 8), -ECONNRESET);
    ck_assert_int_eq(world_recv(&world, client, buffer, 8), 0);
    ck_assert_int_eq(world_send(&world, client, "d", 1), -EPIPE);
    world_close_fd(&world, client);
    world_close(&world);
}
END_TEST

START_TEST(a_reset_ends_waiting_operations_in_both_directions)
{
    const struct linger linger = {.l_onoff = 1};
    int client, server, sent;
    bool send_ended = false, recv_ended = false;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_bound(&world, client, server);
    for (sent = 0; sent < 16; sent++) {
        io_uring_prep_send(world_sqe(&world, 1), client, bytes, sizeof bytes, MSG_WAITALL);
        if (world_is_quiet(&world))
            break;
        world_expect(&world, 1, sizeof bytes, 0, 0);
    }
    io_uring_prep_recv(world_sqe(&world, 2), client, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    ck_assert_int_eq(world.kernel->ops->setsockopt(world.kernel, server, SOL_SOCKET, SO_LINGER,
                                                   &linger, sizeof linger),
                     0);
    world_close_fd(&world, server);
    for (int i = 0; i < 2; i++) {
        struct world_completion completion = world_next(&world);

        /* Who comes second does not see the error any more; the send had sent a part. */
        if (completion.user_data == 1) {
            ck_assert_int_gt(completion.result, 0);
            send_ended = true;
        } else {
            ck_assert(completion.result == -ECONNRESET || completion.result == 0);
            recv_ended = true;
        }
    }
    ck_assert(send_ended && recv_ended);
    ck_assert_int_eq(world_send(&world, client, "d", 1), -EPIPE);
    world_close_fd(&world, client);
    world_close(&world);
}
END_TEST

START_TEST(a_shutdown_gives_the_end_after_the_bytes_and_leaves_the_other_direction_open)
{
    int client, server;
    char buffer[8] = "";

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_send(world_sqe(&world, 1), client, "abc", 3, 0);
    io_uring_prep_shutdown(world_sqe(&world, 2), client, SHUT_WR);
    world_expect(&world, 1, 3, 0, 0);
    world_expect(&world, 2, 0, 0, 0);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 3);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 0);
    ck_assert_int_eq(world_send(&world, server, "xy", 2), 2);
    ck_assert_int_eq(world_recv(&world, client, buffer, 8), 2);
    ck_assert_int_eq(world_send(&world, client, "z", 1), -EPIPE);
    io_uring_prep_recv(world_sqe(&world, 3), client, buffer, 8, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_shutdown(world_sqe(&world, 4), client, SHUT_RD);
    world_expect_in_any_order(&world, 3, 0, 4, 0);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_cancelled_send_says_how_much_it_had_sent)
{
    int client, server, sent;
    size_t received = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_bound(&world, client, server);
    for (sent = 0; sent < 16; sent++) {
        io_uring_prep_send(world_sqe(&world, (uint64_t)sent), client, bytes, sizeof bytes,
                           MSG_WAITALL);
        if (world_is_quiet(&world))
            break;
        world_expect(&world, (uint64_t)sent, sizeof bytes, 0, 0);
    }
    ck_assert_int_lt(sent, 16);
    io_uring_prep_cancel64(world_sqe(&world, 100), (uint64_t)sent, 0);
    world_expect(&world, 100, 0, 0, 0);
    {
        struct world_completion last = world_next(&world);
        size_t total = (size_t)sent * sizeof bytes + (last.result > 0 ? (size_t)last.result : 0);

        ck_assert_int_gt(last.result, 0);
        while (received < total) {
            int result = world_recv(&world, server, bytes, sizeof bytes);

            ck_assert_int_gt(result, 0);
            received += (size_t)result;
        }
        ck_assert_uint_eq(received, total);
    }
    world_close_fd(&world, client);
    ck_assert_int_eq(world_recv(&world, server, bytes, 1), 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_send_with_WAITALL_sends_all_while_the_other_side_reads,
        the_first_send_after_the_other_side_closed_succeeds_and_the_next_is_EPIPE,
        closing_with_unread_bytes_resets_the_connection,
        a_reset_ends_waiting_operations_in_both_directions,
        a_shutdown_gives_the_end_after_the_bytes_and_leaves_the_other_direction_open,
        a_cancelled_send_says_how_much_it_had_sent,
    };

    return world_main("sim_stream", 2, tests, sizeof tests / sizeof *tests);
}
