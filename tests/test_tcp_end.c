/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_end.c - a connection tells how it ended, and is closed once. */
#include "net/descriptors.h"
#include "net/socket_options.h"
#include "tests/tcp_pair.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

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

START_TEST(finishing_sending_is_over_at_once_and_asks_nothing_of_the_ring)
{
    uint64_t submissions;

    if (!open_pair(_i, NULL, NULL))
        return;
    submissions = fixture.runtime->reactor.stats.submissions;
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.submissions, submissions);
    ck_assert_int_eq(recv_now(&other, buffer, 100), 0);
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
    fixture_bound(&one, &other, 65536);
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

START_TEST(a_connection_is_idle_until_something_comes_and_again_when_it_was_received)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert(rill_tcp_is_idle(&other));
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    settle();
    ck_assert(!rill_tcp_is_idle(&other));
    ck_assert_int_eq(recv_now(&other, buffer, 100), 5);
    ck_assert(rill_tcp_is_idle(&other));
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    settle();
    ck_assert(!rill_tcp_is_idle(&other));
    ck_assert(rill_tcp_is_idle(&one));
    fixture_hang_up(&other);
    ck_assert(!rill_tcp_is_idle(&other)); /* it is not open */
    close_pair();
}
END_TEST

START_TEST(a_connection_is_not_idle_with_bytes_or_an_end_in_shared_buffers)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&receiving, rill_tcp_recv_borrowed(&other, &borrow));
    settle();
    ck_assert(rill_tcp_is_idle(&other));
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_int_eq(send_now(&one, bytes, 5), 5);
    settle();
    ck_assert(!rill_tcp_is_idle(&other));
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 5);
    rill_borrow_give_back(&borrow);
    ck_assert(rill_tcp_is_idle(&other));
    fixture_hang_up(&one);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    ck_assert(!rill_tcp_is_idle(&other));
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

/* Whatever can be done with a connection, done with one that is not open. */
static void expect_nothing_of(struct rill_tcp *closed)
{
    struct iovec part = {bytes, 5};
    struct rill_send_vectored vectored = {.result = 0};
    struct rill_borrow lasting = {.data = NULL};
    struct rill_send_descriptors descriptors = {.result = 0};
    struct rill_recv_descriptors received = {.count = 0};
    struct rill_address address;

    ck_assert_int_eq(recv_now(closed, buffer, 5), -EBADF);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(closed, &op, buffer, 5)), -EBADF);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(closed, &borrow)), -EBADF);
    ck_assert_int_eq(await(rill_tcp_send(closed, &op, bytes, 5)), -EBADF);
    ck_assert_int_eq(send_now(closed, bytes, 5), -EBADF);
    ck_assert_int_eq(await(rill_tcp_send_all_vectored(closed, &vectored, &part, 1)), -EBADF);
    ck_assert_int_eq(await(rill_tcp_send_lasting(closed, &lasting, bytes, 5)), -EBADF);
    ck_assert_int_eq(await(rill_tcp_finish_sending(closed, &op)), -EBADF);
    ck_assert_int_eq(
        await(rill_tcp_send_descriptors(closed, &descriptors, bytes, 5, &closed->fd, 1)), -EBADF);
    ck_assert_int_eq(await(rill_tcp_recv_descriptors(closed, &received, buffer, 5)), -EBADF);
    ck_assert_int_eq(rill_tcp_local_address(closed, &address), -EBADF);
    ck_assert_int_eq(rill_tcp_peer_address(closed, &address), -EBADF);
    ck_assert_int_eq(await(rill_tcp_flush(closed)), 0);
    ck_assert_int_eq(await(rill_tcp_close(closed)), 0);
}

START_TEST(a_connection_that_is_not_open_reaches_no_other_that_has_its_number)
{
    struct rill_tcp closed = {.fd = 0}, third = {.fd = 0}, fourth = {.fd = 0};

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_pair(&third, &fourth);
    expect_nothing_of(&closed);
    closed.fd = third.fd; /* the kernel gives a number that is free to the next who opens */
    ck_assert_int_eq(send_now(&fourth, bytes, 3), 3);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&third, &borrow)), 3);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&closed, &borrow)), -EBADF);
    rill_borrow_give_back(&borrow);
    expect_nothing_of(&closed);
    ck_assert_int_eq(send_now(&third, bytes, 2), 2);
    ck_assert_int_eq(recv_now(&fourth, buffer, 100), 2);
    fixture_hang_up(&third);
    fixture_hang_up(&fourth);
    close_pair();
}
END_TEST

static void begin_to_close(void)
{
    open_pair(REAL, NULL, NULL);
    background_start(&receiving, rill_tcp_close(&one));
    fixture_turn();
}

static void close_what_closes(void)
{
    begin_to_close();
    await(rill_tcp_close(&one));
}

static void flush_what_closes(void)
{
    begin_to_close();
    await(rill_tcp_flush(&one));
}

static void release_what_closes(void)
{
    begin_to_close();
    await(rill_tcp_release(&one));
}

static void close_what_another_receives_from(void)
{
    open_pair(REAL, NULL, NULL);
    background_start(&receiving, rill_tcp_recv_borrowed(&one, &borrow));
    fixture_turn();
    await(rill_tcp_close(&one));
}

START_TEST(what_another_task_is_about_to_end_is_not_ended)
{
    fixture_expect_panic(close_what_closes, "while a task does that already");
    fixture_expect_panic(flush_what_closes, "while a task does that already");
    fixture_expect_panic(release_what_closes, "while a task does that already");
    fixture_expect_panic(close_what_another_receives_from, "while another task receives from it");
}
END_TEST

/* The kernel puts what comes into a shared buffer within any call of an embedded runtime's. */
START_TEST(a_connection_is_not_idle_with_bytes_that_wait_in_the_ring)
{
    const struct rill_runtime_options options = {.embedded = true};

    if (!open_pair(_i, NULL, &options))
        return;
    ck_assert_int_eq(send_now(&other, bytes, 1), 1);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&one, &borrow)), 1);
    rill_borrow_give_back(&borrow);
    settle();
    expect(rill_tcp_is_idle(&one));
    ck_assert_int_eq(write(other.fd, bytes, 9), 9);
    (void)getppid();
    expect(!rill_tcp_is_idle(&one));
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&one, &borrow)), 9);
    rill_borrow_give_back(&borrow);
    close_pair();
}
END_TEST

/* What another task does with the connection while it is being closed. */
struct late {
    struct rill_future future;
    struct rill_future *(*prepare)(void);
    struct rill_future *prepared;
};

static struct rill_future *late_receive(void)
{
    return rill_tcp_recv(&one, &recv_op, buffer, 5);
}

static struct rill_future *late_borrow(void)
{
    return rill_tcp_recv_borrowed(&one, &borrow);
}

static struct rill_future *late_send(void)
{
    return rill_tcp_send_all(&one, &send_op, bytes, 5);
}

static struct rill_future *late_lasting_send(void)
{
    static struct rill_borrow lasting;

    return rill_tcp_send_lasting(&one, &lasting, bytes, 5);
}

/* The kernel may have given the number to another one by the time it comes to the entry. */
static void expect_no_entry_behind_the_close(struct io_uring_sqe *sqe)
{
    static bool is_closing;

    if (sqe->fd != one.fd)
        return;
    expect(!is_closing);
    is_closing = sqe->opcode == IORING_OP_CLOSE;
}

static enum rill_poll late_poll(struct rill_future *self, struct rill_task *task)
{
    struct late *late = rill_container_of(self, struct late, future);

    RILL_BEGIN();
    RILL_AWAIT(late->prepared = late->prepare());
    RILL_RETURN(late->prepared->result);
    RILL_END();
}

START_TEST(from_the_beginning_of_its_close_on_a_connection_is_not_open)
{
    static struct late lates[] = {
        {.prepare = late_receive},
        {.prepare = late_borrow},
        {.prepare = late_send},
        {.prepare = late_lasting_send},
    };
    static struct background closing, doing[sizeof lates / sizeof *lates];

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_on_entry(expect_no_entry_behind_the_close);
    background_start(&closing, rill_tcp_close(&one));
    for (size_t i = 0; i < sizeof lates / sizeof *lates; i++)
        background_start(&doing[i], rill_future_init(&lates[i].future, late_poll));
    for (size_t i = 0; i < sizeof lates / sizeof *lates; i++)
        ck_assert_int_eq(background_end(&doing[i]), -EBADF);
    ck_assert_int_eq(background_end(&closing), 0);
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

static void expect_option(int level, int name, int want)
{
    int value = -1;

    ck_assert_int_eq(rill_socket_get_int(one.fd, level, name, &value), 0);
    ck_assert_int_eq(value, want);
}

/* What a silent peer that is gone is found out by. */
START_TEST(a_silent_peer_is_probed_at_the_times_that_were_asked_for)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_socket_set_keepalive(one.fd, 10, 5, 3), 0);
    expect_option(SOL_SOCKET, SO_KEEPALIVE, 1);
    expect_option(IPPROTO_TCP, TCP_KEEPIDLE, 10);
    expect_option(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    expect_option(IPPROTO_TCP, TCP_KEEPCNT, 3);
    ck_assert_int_eq(rill_socket_set_keepalive(one.fd, 0, 0, 0), 0);
    expect_option(SOL_SOCKET, SO_KEEPALIVE, 0);
    if (_i == REAL) { /* beyond what Linux takes */
        ck_assert_int_eq(rill_socket_set_keepalive(one.fd, 100000, 5, 3), -EINVAL);
        ck_assert_int_eq(rill_socket_set_keepalive(one.fd, 10, 100000, 3), -EINVAL);
        ck_assert_int_eq(rill_socket_set_keepalive(one.fd, 10, 5, 1000), -EINVAL);
    }
    close_pair();
}
END_TEST

START_TEST(a_limit_of_what_is_not_taken_is_one_of_milliseconds)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_socket_set_user_timeout(one.fd, RILL_SECOND + 1), 0);
    expect_option(IPPROTO_TCP, TCP_USER_TIMEOUT, 1001);
    ck_assert_int_eq(rill_socket_set_user_timeout(one.fd, -1), -EINVAL);
    ck_assert_int_eq(rill_socket_set_user_timeout(one.fd, INT64_MAX), -EINVAL);
    expect_option(IPPROTO_TCP, TCP_USER_TIMEOUT, 1001);
    ck_assert_int_eq(rill_socket_set_user_timeout(one.fd, 0), 0);
    expect_option(IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
    close_pair();
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_given_up_where_that_was_asked_for)
{
    int64_t result;

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_bound(&one, &other, 4096);
    ck_assert_int_eq(rill_socket_set_user_timeout(one.fd, 100 * RILL_MILLISECOND), 0);
    background_start(&receiving, rill_tcp_recv_exactly(&other, &recv_op, buffer, sizeof buffer));
    ck_assert_int_eq(await(rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes)), sizeof bytes);
    ck_assert_int_eq(background_end(&receiving), sizeof bytes);
    do
        result = await(rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    while (result > 0);
    ck_assert_int_eq(result, -ETIMEDOUT);
    ck_assert_uint_lt(send_op.transferred, sizeof bytes);
    ck_assert_int_eq(await(rill_tcp_send_all(&one, &send_op, bytes, 1)), -EPIPE);
    ck_assert_int_eq(await(rill_tcp_recv(&one, &recv_op, buffer, 1)), 0);
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
        {a_side_that_finished_sending_can_still_receive, IN_BOTH},
        {finishing_sending_is_over_at_once_and_asks_nothing_of_the_ring, IN_BOTH},
        {a_peer_that_sends_nothing_and_closes_is_an_end, IN_BOTH},
        {a_peer_that_closed_makes_sending_an_EPIPE_and_no_signal, IN_BOTH},
        {a_reset_ends_a_borrowed_receive_with_its_error, IN_BOTH},
        {bytes_before_a_reset_are_read_before_its_error, IN_BOTH},
        {a_send_that_waits_ends_when_the_peer_resets, IN_BOTH},
        {a_connection_is_idle_until_something_comes_and_again_when_it_was_received, IN_BOTH},
        {a_connection_is_not_idle_with_bytes_or_an_end_in_shared_buffers, IN_BOTH},
        {a_connection_is_not_idle_with_bytes_that_wait_in_the_ring, IN_REAL},
        {what_another_task_is_about_to_end_is_not_ended, IN_REAL},
        {closing_twice_and_closing_nothing_do_nothing, IN_BOTH},
        {a_connection_that_is_not_open_reaches_no_other_that_has_its_number, IN_BOTH},
        {from_the_beginning_of_its_close_on_a_connection_is_not_open, IN_BOTH},
        {a_cancelled_task_closes_its_connection_all_the_same, IN_BOTH},
        {a_connection_knows_the_addresses_of_both_ends, IN_BOTH},
        {a_silent_peer_is_probed_at_the_times_that_were_asked_for, IN_BOTH},
        {a_limit_of_what_is_not_taken_is_one_of_milliseconds, IN_BOTH},
        {a_peer_that_does_not_read_is_given_up_where_that_was_asked_for, IN_REAL},
        {a_foreign_socketpair_is_a_connection_too, IN_REAL},
    };

    return fixture_main("tcp_end", cases, sizeof cases / sizeof *cases);
}
