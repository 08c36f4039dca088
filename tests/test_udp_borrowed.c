/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp_borrowed.c - datagrams in shared buffers are lent whole, and none is lost. */
#include "net/socket_options.h"
#include "net/udp.h"
#include "tests/fixture.h"

#include <errno.h>
#include <string.h>

enum { ROOM = 1000 }; /* for the bytes of a datagram in one buffer */

static struct rill_udp one, other;
static struct rill_address at_one, at_other;
static struct rill_datagram datagram;
static struct rill_udp_borrow borrow;
static struct background receiving;
static char bytes[4 * ROOM];

static struct rill_buffers *buffers(void)
{
    return &fixture.runtime->reactor.buffers;
}

static void open_at(struct rill_udp *udp, struct rill_address *address)
{
    *address = loopback(0);
    ck_assert_int_eq(rill_udp_open(udp, address, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(udp, address), 0);
}

static bool open_two(int which, const struct sim_options *options, unsigned buffer_count)
{
    const struct rill_runtime_options runtime = {
        .buffer_count = buffer_count,
        .buffer_size = ROOM + RILL_RECEIVER_HEAD,
    };

    if (!fixture_open(which, options, &runtime))
        return false;
    open_at(&one, &at_one);
    open_at(&other, &at_other);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_two(void)
{
    ck_assert_int_eq(await(rill_udp_close(&one)), 0);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0);
    fixture_close();
}

/* Sends to the other one, a pattern that begins where its size says. */
static void send_sized(size_t size)
{
    ck_assert_int_eq(await(rill_udp_send(&one, &datagram, bytes + size, size, &at_other)), size);
}

static int64_t recv_now(void)
{
    return await(rill_udp_recv_borrowed(&other, &borrow));
}

/* The datagram that is borrowed is that of its size, and is given back. */
static void check_borrowed(int64_t result)
{
    ck_assert_int_ge(result, 0);
    ck_assert_uint_eq(borrow.size, (size_t)result);
    ck_assert_ptr_nonnull(borrow.data);
    ck_assert(loaded_is(borrow.data, (uint64_t)result, (size_t)result));
    ck_assert_uint_eq(rill_address_port(&borrow.peer), rill_address_port(&at_one));
    rill_udp_borrow_give_back(&borrow);
}

static void recv_sized(size_t size)
{
    ck_assert_int_eq(recv_now(), size);
    check_borrowed((int64_t)size);
}

/* Has the receive put into the kernel, and leaves it there. */
static void arm(void)
{
    background_start(&receiving, rill_udp_recv_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
}

START_TEST(a_datagram_is_lent_with_its_sender_until_it_is_given_back)
{
    if (!open_two(_i, NULL, 4))
        return;
    send_sized(7);
    ck_assert_int_eq(recv_now(), 7);
    ck_assert(loaded_is(borrow.data, 7, 7));
    ck_assert_uint_eq(buffers()->in_use, 1);
    memset(borrow.data, 'x', 7); /* it is the reader's to change */
    ck_assert_int_eq(await(rill_udp_send(&other, &datagram, borrow.data, 7, &borrow.peer)), 7);
    rill_udp_borrow_give_back(&borrow);
    rill_udp_borrow_give_back(&borrow);
    ck_assert_ptr_null(borrow.data);
    ck_assert_uint_eq(buffers()->in_use, 0);
    ck_assert_int_eq(await(rill_udp_recv(&one, &datagram, bytes, sizeof bytes)), 7);
    ck_assert(memcmp(bytes, "xxxxxxx", 7) == 0);
    ck_assert_uint_eq(rill_address_port(&datagram.peer), rill_address_port(&at_other));
    close_two();
}
END_TEST

START_TEST(what_comes_while_nobody_waits_is_kept_in_order)
{
    if (!open_two(_i, NULL, 64))
        return;
    arm();
    for (size_t size = 1; size <= 5; size++)
        send_sized(size);
    settle_until(other.receiver.held == 5);
    for (size_t size = 1; size <= 5; size++)
        recv_sized(size);
    background_start(&receiving, rill_udp_recv_borrowed(&other, &borrow));
    settle();
    ck_assert(!rill_task_is_over(&receiving.task));
    send_sized(9);
    check_borrowed(background_end(&receiving));
    close_two();
}
END_TEST

START_TEST(an_empty_datagram_is_lent_too_and_ends_nothing)
{
    if (!open_two(_i, NULL, 4))
        return;
    arm();
    for (int i = 0; i < 3; i++) {
        send_sized(0);
        send_sized(5);
    }
    for (int i = 0; i < 3; i++) {
        recv_sized(0);
        recv_sized(5);
    }
    close_two();
}
END_TEST

START_TEST(one_that_does_not_fit_is_lost_and_told_and_one_that_just_fits_is_lent)
{
    if (!open_two(_i, NULL, 4))
        return;
    send_sized(ROOM + 1);
    send_sized(ROOM);
    send_sized(2 * ROOM);
    ck_assert_int_eq(recv_now(), -EMSGSIZE);
    ck_assert_uint_eq(borrow.size, ROOM + 1);
    ck_assert_ptr_null(borrow.data);
    ck_assert_uint_eq(rill_address_port(&borrow.peer), rill_address_port(&at_one));
    recv_sized(ROOM);
    ck_assert_int_eq(recv_now(), -EMSGSIZE);
    ck_assert_uint_eq(borrow.size, 2 * ROOM);
    ck_assert_uint_eq(buffers()->in_use, 0);
    close_two();
}
END_TEST

START_TEST(an_error_comes_behind_what_had_come_before_it_and_ends_one_receive)
{
    if (!open_two(_i, NULL, 4))
        return;
    ck_assert_int_eq(rill_udp_connect(&other, &at_one), 0);
    arm();
    send_sized(5);
    settle();
    ck_assert_int_eq(await(rill_udp_close(&one)), 0);
    ck_assert_int_eq(await(rill_udp_send(&other, &datagram, bytes, 1, NULL)), 1);
    settle();
    recv_sized(5);
    ck_assert_int_eq(recv_now(), -ECONNREFUSED);
    ck_assert_ptr_null(borrow.data);
    ck_assert_int_eq(rill_udp_open(&one, &at_one, NULL), 0);
    send_sized(6);
    recv_sized(6);
    close_two();
}
END_TEST

/* The kernel fills up to 32 buffers at a time before it looks at anything else, and does so
 * twice or thrice. */
START_TEST(a_reader_that_does_not_read_holds_a_bounded_number_and_then_gets_everything)
{
    enum { COUNT = 300, MAY_BE_ON_THE_WAY = 96 };
    const struct sim_options options = {.datagrams_max = COUNT};

    if (!open_two(_i, &options, 1024))
        return;
    ck_assert_int_eq(rill_socket_set_buffers(other.fd, 0, 4 << 20), 0);
    arm();
    for (size_t i = 0; i < COUNT; i++) {
        send_sized(1 + i);
        if (i % 10 == 0)
            fixture_turn();
    }
    settle_until(other.receiver.held >= RILL_RECEIVER_DATAGRAMS);
    ck_assert_uint_le(other.receiver.held, RILL_RECEIVER_DATAGRAMS + MAY_BE_ON_THE_WAY);
    ck_assert_uint_le(buffers()->in_use, RILL_RECEIVER_DATAGRAMS);
    for (size_t i = 0; i < COUNT; i++)
        recv_sized(1 + i);
    close_two();
}
END_TEST

START_TEST(where_buffers_are_scarce_what_nobody_waits_for_is_moved_and_the_next_one_gets_them)
{
    if (!open_two(_i, NULL, 4))
        return;
    arm();
    for (size_t size = 1; size <= 10; size++) {
        send_sized(size);
        settle();
    }
    ck_assert_uint_le(buffers()->in_use, 2);
    for (size_t size = 1; size <= 10; size++)
        recv_sized(size);
    close_two();
}
END_TEST

START_TEST(a_receive_waits_while_all_buffers_are_lent)
{
    struct rill_udp_borrow borrows[3] = {0};

    if (!open_two(_i, NULL, 2))
        return;
    for (size_t size = 1; size <= 2; size++) { /* somebody waits, so they are not moved */
        background_start(&receiving, rill_udp_recv_borrowed(&other, &borrows[size - 1]));
        settle();
        send_sized(size);
        ck_assert_int_eq(background_end(&receiving), size);
    }
    ck_assert_uint_eq(buffers()->in_use, 2);
    background_start(&receiving, rill_udp_recv_borrowed(&other, &borrows[2]));
    send_sized(3);
    settle_until(fixture.runtime->reactor.stats.buffers_starved > 0);
    ck_assert(!rill_task_is_over(&receiving.task));
    rill_udp_borrow_give_back(&borrows[0]);
    ck_assert_int_eq(background_end(&receiving), 3);
    rill_udp_borrow_give_back(&borrows[1]);
    rill_udp_borrow_give_back(&borrows[2]);
    close_two();
}
END_TEST

START_TEST(closing_withdraws_the_receive_and_drops_what_nobody_received)
{
    if (!open_two(_i, NULL, 16))
        return;
    arm();
    for (size_t size = 1; size <= 5; size++)
        send_sized(size);
    settle_until(buffers()->in_use == 5);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0);
    ck_assert_uint_eq(buffers()->in_use, 0);
    open_at(&other, &at_other);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0); /* it has never received */
    close_two();
}
END_TEST

START_TEST(without_buffers_or_with_too_small_ones_a_receive_is_an_error)
{
    const struct sim_options no_memory = {.register_error = -ENOMEM};
    const struct rill_runtime_options small = {.buffer_count = 4,
                                               .buffer_size = RILL_RECEIVER_HEAD - 1};

    if (!open_two(_i, &no_memory, 4))
        return;
    ck_assert_int_eq(recv_now(), -ENOMEM);
    close_two();
    if (!fixture_open(_i, NULL, &small))
        return;
    open_at(&other, &at_other);
    open_at(&one, &at_one);
    ck_assert_int_eq(recv_now(), -EINVAL);
    send_sized(9);
    ck_assert_int_eq(await(rill_udp_recv(&other, &datagram, bytes, sizeof bytes)), 9);
    close_two();
}
END_TEST

START_TEST(over_ip6_and_unix_sockets_it_is_the_same)
{
    struct rill_address unix_one, unix_other;
    char text[RILL_ADDRESS_TEXT_MAX];

    if (!open_two(_i, NULL, 4))
        return;
    ck_assert_int_eq(await(rill_udp_close(&one)), 0);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0);
    ck_assert_int_eq(rill_address_set_path(&unix_one, "/one"), 0);
    ck_assert_int_eq(rill_address_set_path(&unix_other, "/other"), 0);
    ck_assert_int_eq(rill_udp_open(&one, &unix_one, NULL), 0);
    ck_assert_int_eq(rill_udp_open(&other, &unix_other, NULL), 0);
    ck_assert_int_eq(await(rill_udp_send(&one, &datagram, bytes, 3, &unix_other)), 3);
    ck_assert_int_eq(recv_now(), 3);
    ck_assert_str_eq(rill_address_format(&borrow.peer, text), "/one");
    rill_udp_borrow_give_back(&borrow);
    ck_assert_int_eq(await(rill_udp_close(&one)), 0);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0);

    ck_assert_int_eq(rill_address_parse(&at_one, "::1", 0), 0);
    at_other = at_one;
    ck_assert_int_eq(rill_udp_open(&one, &at_one, NULL), 0);
    ck_assert_int_eq(rill_udp_open(&other, &at_other, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(&one, &at_one), 0);
    ck_assert_int_eq(rill_udp_local_address(&other, &at_other), 0);
    send_sized(4);
    recv_sized(4);
    close_two();
}
END_TEST

/* ---- bad use ---- */

static void receive_in_two_ways(void)
{
    open_two(SIMULATED, NULL, 4);
    arm();
    rill_udp_recv(&other, &datagram, bytes, sizeof bytes);
}

static void receive_without_giving_back(void)
{
    open_two(SIMULATED, NULL, 4);
    send_sized(1);
    recv_now();
    recv_now();
}

START_TEST(bad_use_panics)
{
    (void)_i;
    fixture_expect_panic(receive_in_two_ways, "lends its datagrams");
    fixture_expect_panic(receive_without_giving_back, "give it back");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_datagram_is_lent_with_its_sender_until_it_is_given_back, IN_BOTH},
        {what_comes_while_nobody_waits_is_kept_in_order, IN_BOTH},
        {an_empty_datagram_is_lent_too_and_ends_nothing, IN_BOTH},
        {one_that_does_not_fit_is_lost_and_told_and_one_that_just_fits_is_lent, IN_BOTH},
        {an_error_comes_behind_what_had_come_before_it_and_ends_one_receive, IN_BOTH},
        {a_reader_that_does_not_read_holds_a_bounded_number_and_then_gets_everything, IN_BOTH},
        {where_buffers_are_scarce_what_nobody_waits_for_is_moved_and_the_next_one_gets_them,
         IN_BOTH},
        {a_receive_waits_while_all_buffers_are_lent, IN_BOTH},
        {closing_withdraws_the_receive_and_drops_what_nobody_received, IN_BOTH},
        {without_buffers_or_with_too_small_ones_a_receive_is_an_error, IN_SIMULATED},
        {over_ip6_and_unix_sockets_it_is_the_same, IN_SIMULATED},
        {bad_use_panics, IN_SIMULATED},
    };

    return fixture_main("udp_borrowed", cases, sizeof cases / sizeof *cases);
}
