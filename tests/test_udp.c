/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp.c - datagrams come whole, with their sender, and what is wrong with one is no end. */
#include "net/udp.h"

#include "io/path.h"
#include "io/readiness.h"
#include "net/socket_options.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rill_udp one, other;
static struct rill_address at_one, at_other;
static struct rill_datagram sent, got;
static struct background sending, receiving;
static char bytes[RILL_UDP_SIZE_MAX + 1], buffer[RILL_UDP_SIZE_MAX + 1];

static void open_at(struct rill_udp *udp, struct rill_address *address,
                    const struct rill_udp_options *options)
{
    ck_assert_int_eq(rill_udp_open(udp, address, options), 0);
    ck_assert_int_eq(rill_udp_local_address(udp, address), 0);
}

/* Two sockets at free ports of 127.0.0.1. */
static bool open_two(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    at_one = at_other = loopback(0);
    open_at(&one, &at_one, NULL);
    open_at(&other, &at_other, NULL);
    pattern_fill(bytes, 0, sizeof bytes);
    memset(buffer, 0, sizeof buffer);
    return true;
}

static void close_udp(struct rill_udp *udp)
{
    ck_assert_int_eq(await(rill_udp_close(udp)), 0);
}

static void close_two(void)
{
    close_udp(&one);
    close_udp(&other);
    fixture_close();
}

static int64_t send_now(struct rill_udp *udp, size_t size, const struct rill_address *to)
{
    return await(rill_udp_send(udp, &sent, bytes, size, to));
}

static int64_t recv_now(struct rill_udp *udp, size_t size)
{
    return await(rill_udp_recv(udp, &got, buffer, size));
}

static bool is_same(const struct rill_address *left, const struct rill_address *right)
{
    char texts[2][RILL_ADDRESS_TEXT_MAX];

    return strcmp(rill_address_format(left, texts[0]), rill_address_format(right, texts[1])) == 0;
}

/* Whatever can be done with a socket, done with one that is not open. */
static void expect_nothing_of(struct rill_udp *closed)
{
    static struct rill_udp_borrow borrow;
    struct rill_address address;

    ck_assert_int_eq(send_now(closed, 5, &at_other), -EBADF);
    ck_assert_int_eq(recv_now(closed, 5), -EBADF);
    ck_assert_int_eq(await(rill_udp_recv_borrowed(closed, &borrow)), -EBADF);
    ck_assert_int_eq(rill_udp_connect(closed, &at_other), -EBADF);
    ck_assert_int_eq(rill_udp_local_address(closed, &address), -EBADF);
    close_udp(closed);
}

START_TEST(a_socket_that_is_not_open_reaches_no_other_that_has_its_number)
{
    struct rill_udp closed = {.fd = 0};

    if (!open_two(_i, NULL))
        return;
    expect_nothing_of(&closed);
    closed.fd = one.fd; /* the kernel gives a number that is free to the next who opens */
    ck_assert_int_eq(send_now(&other, 3, &at_one), 3);
    expect_nothing_of(&closed);
    ck_assert_int_eq(recv_now(&one, 100), 3);
    close_two();
}
END_TEST

/* ---- one datagram ---- */

START_TEST(a_datagram_arrives_whole_and_who_sent_it_can_be_answered)
{
    if (!open_two(_i, NULL))
        return;
    ck_assert_uint_ne(rill_address_port(&at_one), 0);
    ck_assert_int_eq(send_now(&one, 100, &at_other), 100);
    ck_assert_int_eq(send_now(&one, 7, &at_other), 7);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 100);
    ck_assert(pattern_is(buffer, 0, 100));
    ck_assert(is_same(&got.peer, &at_one));
    ck_assert_uint_eq(got.op.transferred, 100);
    ck_assert_int_eq(await(rill_udp_send(&other, &got, buffer, 3, &got.peer)), 3);
    ck_assert_int_eq(recv_now(&one, sizeof buffer), 3);
    ck_assert(is_same(&got.peer, &at_other));
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 7);
    close_two();
}
END_TEST

START_TEST(a_receive_waits_for_a_datagram)
{
    if (!open_two(_i, NULL))
        return;
    background_start(&receiving, rill_udp_recv(&other, &got, buffer, 100));
    settle();
    ck_assert(!rill_task_is_over(&receiving.task));
    ck_assert_int_eq(send_now(&one, 7, &at_other), 7);
    ck_assert_int_eq(background_end(&receiving), 7);
    ck_assert_uint_eq(receiving.polls, 2);
    close_two();
}
END_TEST

START_TEST(an_empty_datagram_is_0_and_has_a_sender)
{
    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(send_now(&one, 0, &at_other), 0);
    ck_assert_int_eq(send_now(&one, 5, &at_other), 5);
    ck_assert_int_eq(recv_now(&other, 100), 0);
    ck_assert(is_same(&got.peer, &at_one));
    ck_assert_int_eq(recv_now(&other, 100), 5);
    close_two();
}
END_TEST

START_TEST(one_that_is_too_long_for_the_buffer_is_an_error_that_tells_how_long_it_was)
{
    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(send_now(&one, 100, &at_other), 100);
    ck_assert_int_eq(send_now(&one, 1, &at_other), 1);
    ck_assert_int_eq(send_now(&one, 10, &at_other), 10);
    ck_assert_int_eq(recv_now(&other, 10), -EMSGSIZE);
    ck_assert_uint_eq(got.op.transferred, 100);
    ck_assert(pattern_is(buffer, 0, 10));
    ck_assert_int_eq(buffer[10], 0);
    ck_assert(is_same(&got.peer, &at_one));
    ck_assert_int_eq(recv_now(&other, 0), -EMSGSIZE);
    ck_assert_uint_eq(got.op.transferred, 1);
    ck_assert_int_eq(recv_now(&other, 10), 10);
    close_two();
}
END_TEST

START_TEST(the_longest_one_arrives_and_a_byte_more_is_refused)
{
    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(send_now(&one, RILL_UDP_SIZE_MAX + 1, &at_other), -EMSGSIZE);
    ck_assert_int_eq(send_now(&one, RILL_UDP_SIZE_MAX, &at_other), RILL_UDP_SIZE_MAX);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), RILL_UDP_SIZE_MAX);
    ck_assert(pattern_is(buffer, 0, RILL_UDP_SIZE_MAX));
    close_two();
}
END_TEST

START_TEST(several_parts_are_one_datagram)
{
    const struct iovec out[] = {{bytes, 10}, {bytes, 0}, {bytes + 10, 90}};
    const struct iovec in[] = {{buffer, 1}, {buffer + 1, 59}, {buffer + 60, 60}};

    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(await(rill_udp_send_vectored(&one, &sent, out, 3, &at_other)), 100);
    ck_assert_int_eq(await(rill_udp_recv_vectored(&other, &got, in, 3)), 100);
    ck_assert(pattern_is(buffer, 0, 100));
    ck_assert_int_eq(await(rill_udp_send_vectored(&one, &sent, out, 3, &at_other)), 100);
    ck_assert_int_eq(await(rill_udp_recv_vectored(&other, &got, in, 2)), -EMSGSIZE);
    ck_assert_uint_eq(got.op.transferred, 100);
    close_two();
}
END_TEST

START_TEST(more_parts_than_the_kernel_takes_are_refused_and_no_datagram_is_lost)
{
    static struct iovec many[IOV_MAX + 1];

    if (!open_two(_i, NULL))
        return;
    for (size_t i = 0; i < IOV_MAX + 1; i++)
        many[i] = (struct iovec){buffer + i, 1};
    ck_assert_int_eq(await(rill_udp_send_vectored(&one, &sent, many, IOV_MAX + 1, &at_other)),
                     -EINVAL);
    ck_assert_int_eq(await(rill_udp_send_vectored(&one, &sent, many, IOV_MAX, &at_other)), IOV_MAX);
    ck_assert_int_eq(await(rill_udp_recv_vectored(&other, &got, many, IOV_MAX + 1)), -EINVAL);
    ck_assert_int_eq(await(rill_udp_recv_vectored(&other, &got, many, IOV_MAX)), IOV_MAX);
    close_two();
}
END_TEST

START_TEST(several_tasks_receive_and_each_datagram_comes_to_one_of_them)
{
    struct rill_datagram datagrams[3] = {0};
    struct background tasks[3];
    char places[3][10];
    int64_t sum = 0;

    if (!open_two(_i, NULL))
        return;
    for (int i = 0; i < 3; i++)
        background_start(&tasks[i], rill_udp_recv(&other, &datagrams[i], places[i], 10));
    settle();
    for (size_t size = 1; size <= 3; size++)
        ck_assert_int_eq(send_now(&one, size, &at_other), size);
    for (int i = 0; i < 3; i++)
        sum += background_end(&tasks[i]);
    ck_assert_int_eq(sum, 6);
    close_two();
}
END_TEST

/* ---- connected ---- */

START_TEST(a_connected_socket_hears_its_peer_only_and_needs_no_address)
{
    struct rill_udp stranger = {0};
    struct rill_address at_stranger = loopback(0);

    if (!open_two(_i, NULL))
        return;
    open_at(&stranger, &at_stranger, NULL);
    ck_assert_int_eq(rill_udp_connect(&other, &at_one), 0);
    ck_assert_int_eq(send_now(&stranger, 9, &at_other), 9);
    ck_assert_int_eq(send_now(&one, 5, &at_other), 5);
    ck_assert_int_eq(recv_now(&other, 100), 5);
    ck_assert_int_eq(send_now(&other, 6, NULL), 6);
    ck_assert_uint_eq(sent.peer.size, 0);
    ck_assert_int_eq(recv_now(&one, 100), 6);
    ck_assert(is_same(&got.peer, &at_other));

    ck_assert_int_eq(rill_udp_connect(&other, NULL), 0);
    ck_assert_int_eq(send_now(&other, 6, NULL), -EDESTADDRREQ);
    close_udp(&stranger);
    close_two();
}
END_TEST

START_TEST(without_an_address_and_a_peer_nothing_can_be_sent)
{
    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(send_now(&one, 5, NULL), -EDESTADDRREQ);
    ck_assert_int_eq(send_now(&one, 5, &at_other), 5);
    ck_assert_int_eq(recv_now(&other, 100), 5);
    close_two();
}
END_TEST

/* An ICMP message comes back when nobody has the port. */
START_TEST(a_peer_that_is_not_there_ends_one_receive_or_one_send_and_not_the_socket)
{
    if (!open_two(_i, NULL))
        return;
    close_udp(&other);
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    background_start(&receiving, rill_udp_recv(&one, &got, buffer, 100));
    ck_assert_int_eq(send_now(&one, 5, NULL), 5);
    ck_assert_int_eq(background_end(&receiving), -ECONNREFUSED);
    ck_assert_int_eq(send_now(&one, 5, NULL), 5);
    settle();
    ck_assert_int_eq(send_now(&one, 5, NULL), -ECONNREFUSED);

    open_at(&other, &at_other, NULL);
    ck_assert_int_eq(send_now(&one, 5, NULL), 5);
    ck_assert_int_eq(recv_now(&other, 100), 5);
    close_two();
}
END_TEST

START_TEST(a_port_that_was_chosen_is_kept_when_the_peer_goes)
{
    const char *const hosts[] = {"127.0.0.1", "0.0.0.0", "::1"};
    struct rill_address before, after;

    if (!open_two(_i, NULL))
        return;
    for (int i = 0; i < 3; i++) {
        struct rill_udp third = {0};
        struct rill_address peer = at_other;

        ck_assert_int_eq(rill_address_parse(&before, hosts[i], 0), 0);
        if (i == 2)
            ck_assert_int_eq(rill_address_parse(&peer, "::1", 7), 0);
        if (rill_udp_open(&third, &before, NULL) < 0)
            continue; /* there is no IPv6 here */
        ck_assert_int_eq(rill_udp_local_address(&third, &before), 0);
        ck_assert_int_eq(rill_udp_connect(&third, NULL), 0); /* it has none yet */
        for (int round = 0; round < 2; round++) {
            ck_assert_int_eq(rill_udp_connect(&third, &peer), 0);
            ck_assert_int_eq(rill_udp_connect(&third, NULL), 0);
            ck_assert_int_eq(rill_udp_local_address(&third, &after), 0);
            ck_assert(is_same(&before, &after));
        }
        close_udp(&third);
    }
    background_start(&receiving, rill_udp_recv(&one, &got, buffer, 100));
    settle();
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    ck_assert_int_eq(rill_udp_connect(&one, NULL), 0);
    ck_assert_int_eq(send_now(&other, 5, &at_one), 5);
    ck_assert_int_eq(background_end(&receiving), 5);
    close_two();
}
END_TEST

/* The first connect chooses the address that datagrams come from, and there is no way from the
 * loopback to elsewhere. */
START_TEST(a_peer_on_another_network_can_follow_one_on_the_loopback)
{
    struct rill_udp fresh = {0};
    struct rill_address any, far, before, after;
    int expected;

    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(rill_address_parse(&any, "0.0.0.0", 0), 0);
    ck_assert_int_eq(rill_address_parse(&far, "192.0.2.1", 7), 0); /* of documents (RFC 5737) */
    ck_assert_int_eq(rill_udp_open(&fresh, &any, NULL), 0);
    expected = rill_udp_connect(&fresh, &far); /* there may be no way for anybody */
    close_udp(&fresh);
    ck_assert_int_eq(rill_udp_open(&fresh, &any, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(&fresh, &before), 0);
    ck_assert_int_eq(rill_udp_connect(&fresh, &at_one), 0);
    ck_assert_int_eq(rill_udp_connect(&fresh, &far), expected);
    ck_assert_int_eq(rill_udp_local_address(&fresh, &after), 0);
    ck_assert_uint_eq(rill_address_port(&after), rill_address_port(&before));

    ck_assert_int_eq(rill_udp_connect(&fresh, &at_other), 0);
    ck_assert_int_eq(send_now(&fresh, 6, NULL), 6);
    ck_assert_int_eq(recv_now(&other, 100), 6);
    ck_assert_uint_eq(rill_address_port(&got.peer), rill_address_port(&before));
    close_udp(&fresh);
    close_two();
}
END_TEST

static struct rill_udp thief;

/* Somebody takes the port of `one` as soon as that has none. */
static int connect_and_steal(struct rill_kernel *kernel, int fd, const struct sockaddr *peer,
                             socklen_t size)
{
    int error = rill_kernel_linux()->ops->connect(kernel, fd, peer, size);

    if (!error && peer->sa_family == AF_UNSPEC)
        open_at(&thief, &at_one, NULL);
    return error;
}

START_TEST(a_port_that_was_taken_meanwhile_is_EADDRINUSE_and_can_be_had_later)
{
    struct rill_reactor *reactor;
    struct rill_kernel_ops ops = *rill_kernel_linux()->ops;
    struct rill_kernel strict = {&ops}, *usual;
    struct rill_address now;

    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    reactor = &fixture.runtime->reactor;
    usual = reactor->kernel;
    ops.connect = connect_and_steal;
    reactor->kernel = &strict;
    ck_assert_int_eq(rill_udp_connect(&one, NULL), -EADDRINUSE);
    reactor->kernel = usual;
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), -EADDRINUSE);
    close_udp(&thief);
    ck_assert_int_eq(rill_udp_connect(&one, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(&one, &now), 0);
    ck_assert(is_same(&now, &at_one));
    close_two();
}
END_TEST

/* ---- what is full ---- */

START_TEST(a_send_waits_while_the_buffer_is_full_and_is_not_sent_when_it_is_cancelled)
{
    const struct sim_options options = {
        .socket_buffer_size = 1000,
        .latency_min_ns = RILL_MILLISECOND,
    };

    if (!open_two(_i, &options))
        return;
    ck_assert_int_eq(send_now(&one, 1000, &at_other), 1000);
    background_start(&sending, rill_udp_send(&one, &sent, bytes, 11, &at_other));
    fixture_turn();
    fixture_turn();
    ck_assert(!rill_task_is_over(&sending.task));
    rill_task_cancel(&sending.task);
    ck_assert_int_eq(background_end(&sending), -ECANCELED);
    background_start(&sending, rill_udp_send(&one, &sent, bytes, 12, &at_other));
    fixture_turn();
    ck_assert(!rill_task_is_over(&sending.task));
    ck_assert_int_eq(background_end(&sending), 12);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 1000);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 12);
    close_two();
}
END_TEST

START_TEST(what_nobody_receives_is_dropped_where_the_socket_is_full_and_the_rest_is_there)
{
    const struct sim_options options = {.datagrams_max = 3};

    if (!open_two(_i, &options))
        return;
    for (size_t size = 1; size <= 5; size++)
        ck_assert_int_eq(send_now(&one, size, &at_other), size);
    settle();
    for (size_t size = 1; size <= 3; size++)
        ck_assert_int_eq(recv_now(&other, 100), size);
    ck_assert_uint_eq(sim_datagrams_lost(fixture.sim), 2);
    ck_assert_int_eq(send_now(&one, 9, &at_other), 9);
    ck_assert_int_eq(recv_now(&other, 100), 9);
    close_two();
}
END_TEST

/* ---- opening and closing ---- */

START_TEST(a_port_is_opened_once_unless_both_share_it)
{
    const struct rill_udp_options shared = {.reuseport = true};
    struct rill_udp third = {0};

    if (!open_two(_i, NULL))
        return;
    ck_assert_int_eq(rill_udp_open(&third, &at_one, NULL), -EADDRINUSE);
    close_udp(&one);
    open_at(&one, &at_one, &shared);
    ck_assert_int_eq(rill_udp_open(&third, &at_one, &shared), 0);
    close_udp(&third);
    close_two();
}
END_TEST

static void expect_option(int level, int name, int want)
{
    int value = -1;

    ck_assert_int_eq(rill_socket_get_int(one.fd, level, name, &value), 0);
    ck_assert_int_eq(value, want);
}

START_TEST(all_options_are_taken_and_ip6_works_alike)
{
    const struct rill_udp_options options = {
        .reuseport = true,
        .reuseaddr = true,
        .ip6_only = true,
        .broadcast = true,
        .send_size = 100000,
        .receive_size = 100000,
        .multicast_interface = if_nametoindex("lo"),
        .multicast_hops = 2,
    };

    if (!fixture_open(_i, NULL, NULL))
        return;
    at_one = loopback(0);
    open_at(&one, &at_one, &options);
    if (_i == REAL)
        ck_assert_int_eq(fcntl(one.fd, F_GETFD), FD_CLOEXEC);
    expect_option(SOL_SOCKET, SO_BROADCAST, 1);
    expect_option(IPPROTO_IP, IP_MULTICAST_TTL, 2);
    ck_assert_int_eq(rill_socket_set_int(one.fd, IPPROTO_IP, IP_TOS, IPTOS_LOWDELAY), 0);
    ck_assert_int_eq(rill_socket_set_int(one.fd, IPPROTO_IP, 9999, 1), -ENOPROTOOPT);
    close_udp(&one);
    ck_assert_int_eq(rill_address_parse(&at_one, "::1", 0), 0);
    at_other = at_one;
    if (rill_udp_open(&one, &at_one, &options) == 0) { /* else there is no IPv6 here */
        expect_option(IPPROTO_IPV6, IPV6_V6ONLY, 1);   /* the real kernel sets it by itself here */
        expect_option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 2);
        expect_option(IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)options.multicast_interface);
        ck_assert_int_eq(rill_udp_local_address(&one, &at_one), 0);
        open_at(&other, &at_other, &options);
        ck_assert_int_eq(send_now(&one, 5, &at_other), 5);
        ck_assert_int_eq(recv_now(&other, 100), 5);
        ck_assert(is_same(&got.peer, &at_one));
        close_udp(&one);
        close_udp(&other);
    }
    fixture_close();
}
END_TEST

START_TEST(what_can_not_be_opened_leaves_no_descriptor)
{
    const struct sim_options no_fds = {.fds_max = 1};
    struct rill_address elsewhere;

    if (!fixture_open(_i, &no_fds, NULL))
        return;
    ck_assert_int_eq(rill_address_parse(&elsewhere, "192.0.2.1", 0), 0);
    if (_i == REAL)
        ck_assert_int_eq(rill_udp_open(&one, &elsewhere, NULL), -EADDRNOTAVAIL);
    at_one = loopback(0);
    open_at(&one, &at_one, NULL);
    if (_i == SIMULATED)
        ck_assert_int_eq(rill_udp_open(&other, &elsewhere, NULL), -EMFILE);
    close_udp(&one);
    close_udp(&one);
    fixture_close();
}
END_TEST

static enum rill_poll cancelled_close_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_task_cancel(task);
    RILL_AWAIT(rill_udp_close(&one));
    RILL_RETURN(one.result);
    RILL_END();
}

START_TEST(a_close_is_not_cancelled)
{
    struct rill_future future;

    if (!fixture_open(_i, NULL, NULL))
        return;
    at_one = loopback(0);
    open_at(&one, &at_one, NULL);
    background_start(&receiving, rill_future_init(&future, cancelled_close_poll));
    ck_assert_int_eq(background_end(&receiving), 0);
    ck_assert(!one.is_open);
    fixture_close();
}
END_TEST

static struct rill_udp_borrow late_borrow;

/* What another task does with a socket while it is being closed. */
static enum rill_poll late_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_udp_recv(&one, &got, buffer, 10));
    RILL_RETURN(got.result);
    RILL_END();
}

static enum rill_poll late_borrow_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_udp_recv_borrowed(&one, &late_borrow));
    RILL_RETURN(late_borrow.result);
    RILL_END();
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

START_TEST(from_the_beginning_of_its_close_on_a_socket_is_not_open)
{
    struct background closing, borrowing;
    struct rill_future late, later;

    if (!open_two(_i, NULL))
        return;
    fixture_on_entry(expect_no_entry_behind_the_close);
    background_start(&closing, rill_udp_close(&one));
    background_start(&receiving, rill_future_init(&late, late_poll));
    background_start(&borrowing, rill_future_init(&later, late_borrow_poll));
    ck_assert_int_eq(background_end(&receiving), -EBADF);
    ck_assert_int_eq(background_end(&borrowing), -EBADF);
    ck_assert_int_eq(background_end(&closing), 0);
    close_two();
}
END_TEST

static void use_twice(void)
{
    fixture_open(SIMULATED, NULL, NULL);
    at_one = loopback(0);
    open_at(&one, &at_one, NULL);
    background_start(&receiving, rill_udp_recv(&one, &got, buffer, 10));
    settle();
    rill_udp_recv(&one, &got, buffer, 10);
}

START_TEST(a_datagram_that_is_in_flight_can_not_be_used_again)
{
    (void)_i;
    fixture_expect_panic(use_twice, "(receive a datagram) is used while it is in flight");
}
END_TEST

static void open_what_is_open(void)
{
    open_two(SIMULATED, NULL);
    rill_udp_open(&one, &at_one, NULL);
}

static void adopt_into_what_is_open(void)
{
    open_two(SIMULATED, NULL);
    rill_udp_adopt(&one, other.fd);
}

START_TEST(a_socket_that_is_open_is_not_opened_again)
{
    fixture_expect_panic(open_what_is_open, "a socket was opened that is open already");
    fixture_expect_panic(adopt_into_what_is_open, "a socket was opened that is open already");
}
END_TEST

/* ---- unix sockets ---- */

static void expect_no_unlink(struct io_uring_sqe *sqe)
{
    ck_assert_int_ne(sqe->opcode, IORING_OP_UNLINKAT);
}

static char directory[] = "/tmp/rill-udp-XXXXXX";

static void set_path(int which, struct rill_address *address, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "%s/%s", which == REAL ? directory : "", name);
    ck_assert_int_eq(rill_address_set_path(address, path), 0);
}

static bool open_two_paths(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    if (which == REAL)
        ck_assert_ptr_nonnull(mkdtemp(directory));
    set_path(which, &at_one, "one");
    set_path(which, &at_other, "other");
    open_at(&one, &at_one, NULL);
    open_at(&other, &at_other, NULL);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_two_paths(int which)
{
    close_two();
    if (which == REAL)
        ck_assert_int_eq(rmdir(directory), 0); /* it is empty */
}

START_TEST(unix_sockets_send_datagrams_alike_and_leave_no_file)
{
    struct rill_udp third = {0};
    struct rill_address nowhere;

    if (!open_two_paths(_i, NULL))
        return;
    ck_assert_int_eq(rill_udp_open(&third, &at_one, NULL), -EADDRINUSE);
    ck_assert_int_eq(send_now(&one, 100, &at_other), 100);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 100);
    ck_assert(is_same(&got.peer, &at_one));
    ck_assert_int_eq(send_now(&one, 100, NULL), -ENOTCONN);
    set_path(_i, &nowhere, "nowhere");
    ck_assert_int_eq(send_now(&one, 100, &nowhere), -ENOENT);
    ck_assert_int_eq(rill_udp_connect(&one, &nowhere), -ENOENT);
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    ck_assert_int_eq(send_now(&one, 7, NULL), 7);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 7);
    close_two_paths(_i);
}
END_TEST

START_TEST(a_unix_socket_that_is_closed_by_a_cancelled_task_leaves_no_file_either)
{
    struct rill_future future;

    if (!open_two_paths(_i, NULL))
        return;
    background_start(&receiving, rill_future_init(&future, cancelled_close_poll));
    ck_assert_int_eq(background_end(&receiving), 0);
    open_at(&one, &at_one, NULL); /* or its path would be taken */
    close_two_paths(_i);
}
END_TEST

START_TEST(the_path_of_a_successor_stays_when_the_first_one_is_closed)
{
    struct rill_udp successor = {0};
    static struct rill_op unlinking;

    if (!open_two_paths(_i, NULL))
        return;
    ck_assert_int_eq(await(rill_path_unlink(&unlinking, at_one.local.sun_path)), 0);
    open_at(&successor, &at_one, NULL);
    close_udp(&one);
    ck_assert_int_eq(send_now(&other, 5, &at_one), 5);
    ck_assert_int_eq(await(rill_udp_recv(&successor, &got, buffer, 100)), 5);
    close_udp(&successor);
    ck_assert_int_eq(send_now(&other, 5, &at_one), -ENOENT);
    open_at(&one, &at_one, NULL);
    close_two_paths(_i);
}
END_TEST

START_TEST(a_unix_socket_changes_its_peer_and_keeps_its_path)
{
    struct rill_udp third = {0};
    struct rill_address at_third, now;

    if (!open_two_paths(_i, NULL))
        return;
    set_path(_i, &at_third, "third");
    open_at(&third, &at_third, NULL);
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    ck_assert_int_eq(rill_udp_connect(&one, &at_third), 0);
    ck_assert_int_eq(send_now(&one, 3, NULL), 3);
    ck_assert_int_eq(recv_now(&third, 100), 3);
    ck_assert_int_eq(send_now(&third, 4, &got.peer), 4);
    ck_assert_int_eq(recv_now(&one, 100), 4);
    ck_assert_int_eq(rill_udp_connect(&one, NULL), 0);
    ck_assert_int_eq(send_now(&one, 3, NULL), -ENOTCONN);
    ck_assert_int_eq(rill_udp_local_address(&one, &now), 0);
    ck_assert(is_same(&now, &at_one));
    ck_assert_int_eq(send_now(&other, 5, &at_one), 5);
    ck_assert_int_eq(recv_now(&one, 100), 5);
    close_udp(&third);
    close_two_paths(_i);
}
END_TEST

START_TEST(abstract_names_send_datagrams_alike)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_address_set_path(&at_one, "@rill-udp-one"), 0);
    ck_assert_int_eq(rill_address_set_path(&at_other, "@rill-udp-other"), 0);
    open_at(&one, &at_one, NULL);
    open_at(&other, &at_other, NULL);
    pattern_fill(bytes, 0, sizeof bytes);
    ck_assert_int_eq(send_now(&one, 100, &at_other), 100);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), 100);
    ck_assert(is_same(&got.peer, &at_one));
    fixture_on_entry(expect_no_unlink);
    close_two();
}
END_TEST

START_TEST(a_full_unix_socket_takes_no_more_until_one_was_received_and_loses_none)
{
    enum { COUNT = 1000 };
    const struct sim_options options = {.datagrams_max = 2};
    struct rill_op wait = {0};
    size_t size = 1;

    if (!open_two_paths(_i, &options))
        return;
    ck_assert_int_eq(rill_udp_connect(&one, &at_other), 0);
    while (size < COUNT && send_now(&one, size, NULL) == (int64_t)size)
        size++;
    ck_assert_int_eq(sent.result, -EAGAIN);
    background_start(&sending, rill_fd_wait(one.fd, &wait, POLLOUT));
    settle();
    ck_assert(!rill_task_is_over(&sending.task));
    for (size_t next = 1; next < size; next++)
        ck_assert_int_eq(recv_now(&other, sizeof buffer), next);
    ck_assert_int_gt(background_end(&sending), 0);
    ck_assert_int_eq(send_now(&one, size, NULL), size);
    ck_assert_int_eq(recv_now(&other, sizeof buffer), size);
    ck_assert(pattern_is(buffer, 0, size));
    close_two_paths(_i);
}
END_TEST

/* A sender without a path is nobody who could be answered. */
START_TEST(a_unix_socket_without_a_path_has_no_address)
{
    struct rill_address unnamed = {.any = {.sa_family = AF_UNIX}, .size = sizeof(sa_family_t)};
    struct rill_udp_borrow borrow = {0};
    char text[RILL_ADDRESS_TEXT_MAX];
    int fd;

    if (!open_two_paths(_i, NULL))
        return;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(sendto(fd, "hello", 5, 0, &at_one.any, at_one.size), 5);
    ck_assert_int_eq(send_now(&one, 4, &at_other), 4);
    ck_assert_int_eq(sendto(fd, "hello", 5, 0, &at_other.any, at_other.size), 5);
    close(fd);
    ck_assert_int_eq(await(rill_udp_recv_borrowed(&other, &borrow)), 4);
    ck_assert(is_same(&borrow.peer, &at_one));
    rill_udp_borrow_give_back(&borrow);
    ck_assert_int_eq(await(rill_udp_recv_borrowed(&other, &borrow)), 5);
    ck_assert_uint_eq(borrow.peer.size, 0);
    rill_udp_borrow_give_back(&borrow);
    ck_assert_int_eq(recv_now(&one, 100), 5);
    ck_assert_uint_eq(got.peer.size, 0);
    ck_assert_str_eq(rill_address_format(&got.peer, text), "");
    ck_assert_int_eq(send_now(&one, 100, &unnamed), -EINVAL);
    close_two_paths(_i);
}
END_TEST

/* The kernel allows 108 characters without a zero behind them, and counts that zero. */
START_TEST(a_sender_whose_path_fills_its_address_can_be_answered)
{
    struct rill_udp foreign = {0};
    struct rill_udp_borrow borrow = {0};
    struct rill_address own = {.any = {.sa_family = AF_UNIX}};
    char path[sizeof own.local.sun_path + 1];

    if (!open_two_paths(_i, NULL))
        return;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    memcpy(path, directory, strlen(directory));
    path[strlen(directory)] = '/';
    memcpy(own.local.sun_path, path, sizeof own.local.sun_path);
    foreign.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    foreign.is_open = true;
    ck_assert_int_eq(bind(foreign.fd, &own.any, sizeof own.local), 0);
    ck_assert_int_eq(sendto(foreign.fd, "hello", 5, 0, &at_one.any, at_one.size), 5);
    ck_assert_int_eq(sendto(foreign.fd, "hello", 5, 0, &at_other.any, at_other.size), 5);

    ck_assert_int_eq(recv_now(&one, 100), 5);
    ck_assert_int_eq(send_now(&one, 7, &got.peer), 7);
    ck_assert_int_eq(await(rill_udp_recv_borrowed(&other, &borrow)), 5);
    ck_assert_int_eq(send_now(&other, 7, &borrow.peer), 7);
    rill_udp_borrow_give_back(&borrow);
    ck_assert_int_eq(rill_udp_local_address(&foreign, &own), 0);
    ck_assert_int_eq(send_now(&other, 7, &own), 7);

    close(foreign.fd);
    ck_assert_int_eq(unlink(path), 0);
    close_two_paths(_i);
}
END_TEST

/* ---- multicast ---- */

START_TEST(a_group_is_joined_once_and_what_is_sent_to_it_comes_to_all_its_members)
{
    const struct rill_udp_options options = {
        .reuseaddr = true,
        .multicast_interface = if_nametoindex("lo"),
    };
    struct rill_address group;
    unsigned lo = options.multicast_interface;

    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_address_parse(&at_one, "0.0.0.0", 0), 0);
    open_at(&one, &at_one, &options);
    at_other = at_one;
    if (_i == REAL) /* the simulated kernel has no SO_REUSEADDR */
        open_at(&other, &at_other, &options);
    ck_assert_int_eq(rill_udp_join(&one, &at_one, lo), -EINVAL);
    /* Its characters are where the group is in an address of IPv4. */
    ck_assert_int_eq(rill_address_set_path(&group, "xx\xef\x01\x02\x03"), 0);
    ck_assert_int_eq(rill_udp_join(&one, &group, lo), -EINVAL);
    ck_assert_int_eq(rill_address_parse(&group, "239.255.18.13", rill_address_port(&at_one)), 0);
    ck_assert_int_eq(rill_udp_leave(&one, &group, lo), -EADDRNOTAVAIL);
    ck_assert_int_eq(rill_udp_join(&one, &group, lo), 0);
    ck_assert_int_eq(rill_udp_join(&one, &group, lo), -EADDRINUSE);
    if (_i == REAL)
        ck_assert_int_eq(rill_udp_join(&other, &group, lo), 0);
    ck_assert_int_eq(send_now(&one, 42, &group), 42);
    ck_assert_int_eq(recv_now(&one, 100), 42);
    if (_i == REAL)
        ck_assert_int_eq(recv_now(&other, 100), 42);
    ck_assert_int_eq(rill_udp_leave(&one, &group, lo), 0);

    ck_assert_int_eq(rill_address_parse(&group, "ff01::1813", 1), 0);
    close_udp(&one);
    if (_i == REAL)
        close_udp(&other);
    ck_assert_int_eq(rill_address_parse(&at_one, "::", 0), 0);
    if (rill_udp_open(&one, &at_one, &options) == 0) { /* else there is no IPv6 here */
        ck_assert_int_eq(rill_udp_local_address(&one, &at_one), 0);
        rill_address_set_port(&group, rill_address_port(&at_one));
        ck_assert_int_eq(rill_udp_join(&one, &group, lo), 0);
        ck_assert_int_eq(rill_udp_join(&one, &group, lo), -EADDRINUSE);
        if (_i == SIMULATED) { /* Linux has no route for these over lo */
            ck_assert_int_eq(send_now(&one, 43, &group), 43);
            ck_assert_int_eq(recv_now(&one, 100), 43);
        }
        ck_assert_int_eq(rill_udp_leave(&one, &group, lo), 0);
        close_udp(&one);
    }
    fixture_close();
}
END_TEST

START_TEST(an_interface_that_is_not_there_is_ENODEV)
{
    const struct rill_udp_options options = {.multicast_interface = INT_MAX};

    if (!fixture_open(_i, NULL, NULL))
        return;
    at_one = loopback(0);
    ck_assert_int_eq(rill_udp_open(&one, &at_one, &options), -ENODEV);
    ck_assert_int_eq(rill_address_parse(&at_one, "::1", 0), 0);
    /* where there is IPv6 */
    if (rill_udp_open(&one, &at_one, NULL) == 0) {
        close_udp(&one);
        ck_assert_int_eq(rill_udp_open(&one, &at_one, &options), -ENODEV);
    }
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_interface_that_is_not_there_is_ENODEV, IN_REAL},
        {a_socket_that_is_not_open_reaches_no_other_that_has_its_number, IN_BOTH},
        {a_datagram_arrives_whole_and_who_sent_it_can_be_answered, IN_BOTH},
        {a_receive_waits_for_a_datagram, IN_BOTH},
        {an_empty_datagram_is_0_and_has_a_sender, IN_BOTH},
        {one_that_is_too_long_for_the_buffer_is_an_error_that_tells_how_long_it_was, IN_BOTH},
        {the_longest_one_arrives_and_a_byte_more_is_refused, IN_BOTH},
        {several_parts_are_one_datagram, IN_BOTH},
        {more_parts_than_the_kernel_takes_are_refused_and_no_datagram_is_lost, IN_BOTH},
        {several_tasks_receive_and_each_datagram_comes_to_one_of_them, IN_BOTH},
        {a_connected_socket_hears_its_peer_only_and_needs_no_address, IN_BOTH},
        {without_an_address_and_a_peer_nothing_can_be_sent, IN_BOTH},
        {a_peer_that_is_not_there_ends_one_receive_or_one_send_and_not_the_socket, IN_BOTH},
        {a_port_that_was_chosen_is_kept_when_the_peer_goes, IN_BOTH},
        {a_peer_on_another_network_can_follow_one_on_the_loopback, IN_BOTH},
        {a_port_that_was_taken_meanwhile_is_EADDRINUSE_and_can_be_had_later, IN_REAL},
        {a_send_waits_while_the_buffer_is_full_and_is_not_sent_when_it_is_cancelled, IN_SIMULATED},
        {what_nobody_receives_is_dropped_where_the_socket_is_full_and_the_rest_is_there,
         IN_SIMULATED},
        {a_port_is_opened_once_unless_both_share_it, IN_BOTH},
        {all_options_are_taken_and_ip6_works_alike, IN_BOTH},
        {what_can_not_be_opened_leaves_no_descriptor, IN_BOTH},
        {a_close_is_not_cancelled, IN_BOTH},
        {from_the_beginning_of_its_close_on_a_socket_is_not_open, IN_BOTH},
        {a_datagram_that_is_in_flight_can_not_be_used_again, IN_SIMULATED},
        {a_socket_that_is_open_is_not_opened_again, IN_SIMULATED},
        {unix_sockets_send_datagrams_alike_and_leave_no_file, IN_BOTH},
        {a_unix_socket_that_is_closed_by_a_cancelled_task_leaves_no_file_either, IN_BOTH},
        {the_path_of_a_successor_stays_when_the_first_one_is_closed, IN_BOTH},
        {a_unix_socket_changes_its_peer_and_keeps_its_path, IN_BOTH},
        {abstract_names_send_datagrams_alike, IN_BOTH},
        {a_full_unix_socket_takes_no_more_until_one_was_received_and_loses_none, IN_BOTH},
        {a_unix_socket_without_a_path_has_no_address, IN_REAL},
        {a_sender_whose_path_fills_its_address_can_be_answered, IN_REAL},
        {a_group_is_joined_once_and_what_is_sent_to_it_comes_to_all_its_members, IN_BOTH},
    };

    return fixture_main("udp", cases, sizeof cases / sizeof *cases);
}
