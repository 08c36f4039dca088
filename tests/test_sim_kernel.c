/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_kernel.c - simulated cancels and receives answer like real ones, on both kernels. */
#include "tests/sim/world.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#define BUFFER_OF(completion) ((completion).flags >> IORING_CQE_BUFFER_SHIFT)

static struct world world;
static char bytes[64];

static void prep_selecting(uint64_t user_data, int fd, bool multishot)
{
    struct io_uring_sqe *sqe = world_sqe(&world, user_data);

    if (multishot)
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = WORLD_GROUP;
}

/* ---- cancelling ---- */

START_TEST(a_cancel_completes_before_its_target)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    world_expect(&world, 2, 0, 0, IORING_CQE_F_MORE);
    world_expect(&world, 1, -ECANCELED, 0, IORING_CQE_F_MORE);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_receive_with_data_wins_against_a_cancel_in_the_same_submission)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    ck_assert_int_eq(world_send(&world, client, "x", 1), 1);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    world_expect(&world, 1, 1, 0, 0);
    world_expect(&world, 2, -ENOENT, 0, 0);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(data_before_a_cancel_stays_in_the_socket)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_send(world_sqe(&world, 3), client, "x", 1, 0);
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    world_expect(&world, 3, 1, 0, 0);
    world_expect(&world, 2, 0, 0, 0);
    world_expect(&world, 1, -ECANCELED, 0, 0);
    ck_assert_int_eq(world_recv(&world, server, &byte, 1), 1);
    ck_assert_int_eq(byte, 'x');
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_second_cancel_of_the_same_target_finds_it_too)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    io_uring_prep_cancel64(world_sqe(&world, 3), 1, 0);
    world_expect(&world, 2, 0, 0, 0);
    world_expect(&world, 3, 0, 0, 0);
    world_expect(&world, 1, -ECANCELED, 0, 0);
    io_uring_prep_cancel64(world_sqe(&world, 4), 1, 0);
    world_expect(&world, 4, -ENOENT, 0, 0);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_cancel_by_descriptor_counts_what_it_found)
{
    int client, server;
    char one, other;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &one, 1, 0);
    io_uring_prep_recv(world_sqe(&world, 2), server, &other, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel_fd(world_sqe(&world, 3), server, IORING_ASYNC_CANCEL_ALL);
    world_expect(&world, 3, 2, 0, 0);
    ck_assert_int_eq(world_next(&world).result, -ECANCELED);
    ck_assert_int_eq(world_next(&world).result, -ECANCELED);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_cancelled_multishot_ends_without_the_more_flag)
{
    int client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_buffers(&world, 4, 4, 64);
    prep_selecting(1, server, true);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    world_expect(&world, 2, 0, 0, 0);
    world_expect(&world, 1, -ECANCELED, 0, IORING_CQE_F_MORE | IORING_CQE_F_BUFFER);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

/* ---- receiving ---- */

START_TEST(a_multishot_receive_ends_with_ENOBUFS_when_no_buffer_is_left)
{
    const unsigned mask = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER;
    struct world_completion completion;
    int client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_buffers(&world, 4, 2, 4);
    prep_selecting(1, server, true);
    ck_assert(world_is_quiet(&world));
    ck_assert_int_eq(world_send(&world, client, "abcdefghij", 10), 10);
    for (unsigned i = 0; i < 2; i++) {
        completion = world_next(&world);
        ck_assert_int_eq(completion.result, 4);
        ck_assert_uint_eq(completion.flags & mask, mask);
        ck_assert_uint_eq(BUFFER_OF(completion), i);
        ck_assert_mem_eq(world_buffer(&world, i), i ? "efgh" : "abcd", 4);
    }
    world_expect(&world, 1, -ENOBUFS, 0, mask);
    /* The rest is still there. */
    world_provide(&world, 1);
    prep_selecting(2, server, true);
    completion = world_next(&world);
    ck_assert_int_eq(completion.result, 2);
    ck_assert_uint_eq(completion.flags & mask, mask);
    ck_assert_uint_eq(BUFFER_OF(completion), 1);
    world_close_fd(&world, client);
    completion = world_next(&world);
    /* That took the only buffer, and the end of the stream needs one too. */
    ck_assert_int_eq(completion.result, -ENOBUFS);
    ck_assert_uint_eq(completion.flags & mask, 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(the_end_of_the_stream_ends_a_multishot_receive_and_takes_no_buffer)
{
    int client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_buffers(&world, 4, 1, 64);
    prep_selecting(1, server, true);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_shutdown(world_sqe(&world, 2), client, SHUT_WR);
    world_expect_in_any_order(&world, 1, 0, 2, 0);
    if (world.sim)
        ck_assert_uint_eq(sim_buffers_missing(world.sim, WORLD_GROUP), 0);
    ck_assert_int_eq(world_send(&world, server, "x", 1), 1);
    prep_selecting(3, client, false);
    world_expect(&world, 3, 1, IORING_CQE_F_BUFFER, ~0u >> 16);
    if (world.sim)
        ck_assert_uint_eq(sim_buffers_missing(world.sim, WORLD_GROUP), 1);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_receive_without_any_buffer_fails_even_if_there_is_nothing_to_receive)
{
    int client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_buffers(&world, 4, 0, 64);
    prep_selecting(1, server, false);
    world_expect(&world, 1, -ENOBUFS, 0, ~0u);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_multishot_receive_needs_buffer_selection_and_no_WAITALL)
{
    struct io_uring_sqe *sqe;
    int client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    world_buffers(&world, 4, 4, 64);
    io_uring_prep_recv_multishot(world_sqe(&world, 1), server, bytes, 0, 0);
    world_expect(&world, 1, -EINVAL, 0, ~0u);
    sqe = world_sqe(&world, 2);
    io_uring_prep_recv_multishot(sqe, server, NULL, 0, MSG_WAITALL);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = WORLD_GROUP;
    world_expect(&world, 2, -EINVAL, 0, ~0u);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(a_receive_with_WAITALL_fills_its_buffer_or_meets_the_end)
{
    int client, server;
    char buffer[8] = "";

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, buffer, 8, MSG_WAITALL);
    ck_assert_int_eq(world_send(&world, client, "abc", 3), 3);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_send(world_sqe(&world, 2), client, "defghij", 7, 0);
    world_expect(&world, 2, 7, 0, 0);
    world_expect(&world, 1, 8, 0, 0);
    ck_assert_mem_eq(buffer, "abcdefgh", 8);
    io_uring_prep_recv(world_sqe(&world, 3), server, buffer, 8, MSG_WAITALL);
    ck_assert(world_is_quiet(&world));
    world_close_fd(&world, client);
    world_expect(&world, 3, 2, 0, 0);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(a_receive_that_may_not_wait_and_one_that_peeks_behave)
{
    int client, server;
    char buffer[8] = "";

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, buffer, 8, MSG_DONTWAIT);
    world_expect(&world, 1, -EAGAIN, 0, 0);
    ck_assert_int_eq(world_send(&world, client, "abc", 3), 3);
    io_uring_prep_recv(world_sqe(&world, 2), server, buffer, 2, MSG_PEEK);
    world_expect(&world, 2, 2, 0, 0);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 3);
    ck_assert_mem_eq(buffer, "abc", 3);
    world_close_both(&world, client, server);
    world_close(&world);
}
END_TEST

START_TEST(closing_a_descriptor_completes_no_receive_on_it)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_close(world_sqe(&world, 2), server);
    world_expect(&world, 2, 0, 0, 0);
    ck_assert(world_is_quiet(&world));
    /* The socket lives on in the receive. */
    ck_assert_int_eq(world_send(&world, client, "x", 1), 1);
    world_expect(&world, 1, 1, 0, 0);
    ck_assert_int_eq(world_recv(&world, client, &byte, 1), 0);
    world_close_fd(&world, client);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_cancel_completes_before_its_target,
        a_receive_with_data_wins_against_a_cancel_in_the_same_submission,
        data_before_a_cancel_stays_in_the_socket,
        a_second_cancel_of_the_same_target_finds_it_too,
        a_cancel_by_descriptor_counts_what_it_found,
        a_cancelled_multishot_ends_without_the_more_flag,
        a_multishot_receive_ends_with_ENOBUFS_when_no_buffer_is_left,
        the_end_of_the_stream_ends_a_multishot_receive_and_takes_no_buffer,
        a_receive_without_any_buffer_fails_even_if_there_is_nothing_to_receive,
        a_multishot_receive_needs_buffer_selection_and_no_WAITALL,
        a_receive_with_WAITALL_fills_its_buffer_or_meets_the_end,
        a_receive_that_may_not_wait_and_one_that_peeks_behave,
        closing_a_descriptor_completes_no_receive_on_it,
    };

    return world_main("sim_kernel", 2, tests, sizeof tests / sizeof *tests);
}
