/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_receive.c - a receive gives the bytes once and in order, and an exact one all of them.
 */
#include "net/socket_options.h"
#include "runtime/join_all.h"
#include "runtime/timeout.h"
#include "tests/process.h"
#include "tests/tcp_pair.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* More than the kernel hands over at a time; and the second half is for tasks that the first half
 * has made ready. */
START_TEST(what_came_in_time_wins_though_the_thread_was_held_up)
{
    enum { CLIENTS = 100, BOTH = 2 };
    static struct client {
        struct rill_tcp tcp[BOTH];
        struct rill_op op[BOTH];
        struct rill_future *receives[BOTH];
        struct rill_join_all all;
        struct rill_timeout limit;
        struct background receiving;
        char text[BOTH][4];
        int fd[BOTH];
    } clients[CLIENTS];

    if (!fixture_open(REAL, NULL, NULL))
        return;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        int fds[2];

        for (int k = 0; k < BOTH; k++) {
            ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
            client->fd[k] = fds[1];
            rill_tcp_adopt_foreign(&client->tcp[k], fds[0]);
            client->receives[k] =
                rill_tcp_recv(&client->tcp[k], &client->op[k], client->text[k], 4);
        }
        background_start(&client->receiving,
                         rill_timeout(&client->limit, RILL_SECOND / 2,
                                      rill_join_all(&client->all, client->receives, BOTH)));
    }
    settle();
    for (int k = 0; k < BOTH; k++)
        for (int i = 0; i < CLIENTS; i++)
            ck_assert_int_eq(write(clients[i].fd[k], "ping", 4), 4);
    sleep_ms(600);
    for (int i = 0; i < CLIENTS; i++) {
        expect_eq(background_end(&clients[i].receiving), 0);
        expect(!clients[i].limit.has_expired);
        for (int k = 0; k < BOTH; k++) {
            expect_eq(clients[i].op[k].result, 4);
            await(rill_tcp_close(&clients[i].tcp[k]));
            close(clients[i].fd[k]);
        }
    }
    fixture_close();
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

/* On the side that connected, and on that which accepted. */
START_TEST(a_byte_that_is_sent_as_urgent_comes_in_its_place)
{
    struct rill_tcp *sides[2] = {&one, &other};
    char got[3] = ""; /* valgrind does not see what the ring writes */

    if (!open_pair(_i, NULL, NULL))
        return;
    for (int i = 0; i < 2; i++)
        for (int round = 0; round < 200; round++) {
            ck_assert_int_eq(send(sides[i]->fd, "a", 1, 0), 1);
            ck_assert_int_eq(send(sides[i]->fd, "b", 1, MSG_OOB), 1);
            ck_assert_int_eq(send(sides[i]->fd, "c", 1, 0), 1);
            ck_assert_int_eq(await(rill_tcp_recv_exactly(sides[1 - i], &recv_op, got, 3)), 3);
            ck_assert_mem_eq(got, "abc", 3);
        }
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

/* A short result would say that the peer has finished in good order. */
START_TEST(an_exact_receive_that_a_reset_breaks_off_is_an_error_and_tells_how_much_had_come)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    background_start(&receiving, rill_tcp_recv_exactly(&other, &recv_op, buffer, 100));
    settle();
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    background_end(&receiving);
    ck_assert_int_eq(recv_op.result, -ECONNRESET);
    ck_assert_uint_eq(recv_op.transferred, 5);
    ck_assert(pattern_is(buffer, 0, 5));
    close_pair();
}
END_TEST

/* The kernel moves a part at a time, and the op itself goes on. */
START_TEST(exact_transfers_go_on_after_short_results)
{
    const struct sim_options options = {.seed = 5, .short_per_mille = 900};

    if (!open_pair(_i, &options, NULL))
        return;
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

int main(void)
{
    const struct fixture_case cases[] = {
        {a_receive_gives_what_is_there, IN_BOTH},
        {a_receive_waits_for_the_first_bytes, IN_BOTH},
        {what_came_in_time_wins_though_the_thread_was_held_up, IN_REAL},
        {a_receive_of_no_bytes_is_0_and_takes_nothing, IN_BOTH},
        {a_byte_that_is_sent_as_urgent_comes_in_its_place, IN_REAL},
        {an_exact_receive_of_no_bytes_does_not_wait_for_the_peer, IN_BOTH},
        {an_exact_receive_collects_what_comes_in_pieces, IN_BOTH},
        {an_exact_receive_is_short_when_the_peer_finishes_before, IN_BOTH},
        {an_exact_receive_that_a_reset_breaks_off_is_an_error_and_tells_how_much_had_come, IN_BOTH},
        {exact_transfers_go_on_after_short_results, IN_BOTH},
    };

    return fixture_main("tcp_receive", cases, sizeof cases / sizeof *cases);
}
