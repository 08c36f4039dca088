/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp_adopt.c - sockets for datagrams that others opened work like one's own. */
#include "net/udp.h"

#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct rill_udp adopted, other;
static struct rill_address at_adopted, at_other;
static struct rill_datagram datagram;
static struct rill_udp_borrow borrow;
static char buffer[16];

static struct rill_kernel *kernel(void)
{
    return fixture.runtime->reactor.kernel;
}

static int open_socket(int type, const struct rill_address *address)
{
    int fd = kernel()->ops->socket(kernel(), address->any.sa_family, type | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(kernel()->ops->bind(kernel(), fd, &address->any, address->size), 0);
    return fd;
}

static int64_t send_to_adopted(size_t size)
{
    return await(rill_udp_send(&other, &datagram, "hello", size, &at_adopted));
}

static int64_t receive(struct rill_udp *udp)
{
    return await(rill_udp_recv(udp, &datagram, buffer, sizeof buffer));
}

static void adopt(int fd)
{
    ck_assert_int_eq(rill_udp_adopt(&adopted, fd), 0);
    ck_assert_int_eq(rill_udp_local_address(&adopted, &at_adopted), 0);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 2);
}

static void close_both(void)
{
    ck_assert_int_eq(await(rill_udp_close(&adopted)), 0);
    ck_assert_int_eq(await(rill_udp_close(&other)), 0);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 0);
    fixture_close();
}

START_TEST(a_socket_that_was_adopted_receives_and_answers_and_is_closed)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    at_adopted = at_other = loopback(0);
    ck_assert_int_eq(rill_udp_open(&other, &at_other, NULL), 0);
    adopt(open_socket(SOCK_DGRAM, &at_adopted));
    ck_assert_int_eq(send_to_adopted(5), 5);
    ck_assert_int_eq(receive(&adopted), 5);
    ck_assert_int_eq(await(rill_udp_send(&adopted, &datagram, "bye", 3, &datagram.peer)), 3);
    ck_assert_int_eq(receive(&other), 3);
    ck_assert_int_eq(send_to_adopted(4), 4);
    ck_assert_int_eq(await(rill_udp_recv_borrowed(&adopted, &borrow)), 4);
    rill_udp_borrow_give_back(&borrow);
    close_both();
}
END_TEST

START_TEST(a_peer_that_it_has_already_can_be_left_and_the_port_stays)
{
    struct rill_address now;
    int fd;

    if (!fixture_open(_i, NULL, NULL))
        return;
    at_adopted = at_other = loopback(0);
    ck_assert_int_eq(rill_udp_open(&other, &at_other, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(&other, &at_other), 0);
    fd = open_socket(SOCK_DGRAM, &at_adopted);
    ck_assert_int_eq(kernel()->ops->connect(kernel(), fd, &at_other.any, at_other.size), 0);
    adopt(fd);
    ck_assert_int_eq(await(rill_udp_send(&adopted, &datagram, "hello", 5, NULL)), 5);
    ck_assert_int_eq(receive(&other), 5);
    ck_assert_int_eq(rill_udp_connect(&adopted, NULL), 0);
    ck_assert_int_eq(rill_udp_local_address(&adopted, &now), 0);
    ck_assert_uint_eq(rill_address_port(&now), rill_address_port(&at_adopted));
    ck_assert_int_eq(await(rill_udp_send(&adopted, &datagram, "hello", 5, NULL)), -EDESTADDRREQ);
    close_both();
}
END_TEST

START_TEST(the_file_of_a_unix_socket_is_left_to_those_who_made_it)
{
    char directory[] = "/tmp/rill-adopt-XXXXXX", path[64];

    if (!fixture_open(REAL, NULL, NULL))
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/other", directory);
    ck_assert_int_eq(rill_address_set_path(&at_other, path), 0);
    ck_assert_int_eq(rill_udp_open(&other, &at_other, NULL), 0);
    snprintf(path, sizeof path, "%s/adopted", directory);
    ck_assert_int_eq(rill_address_set_path(&at_adopted, path), 0);
    adopt(open_socket(SOCK_DGRAM, &at_adopted));
    ck_assert_int_eq(send_to_adopted(5), 5);
    ck_assert_int_eq(receive(&adopted), 5);
    do /* a receiver that is behind is an error, as for a socket that rill opened */
        await(rill_udp_send(&adopted, &datagram, "hello", 5, &at_other));
    while (datagram.result == 5);
    ck_assert_int_eq(datagram.result, -EAGAIN);
    close_both();
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(directory), 0);
}
END_TEST

START_TEST(what_has_no_datagrams_is_not_adopted_and_stays_the_callers)
{
    struct rill_address address = loopback(0);
    int stream;

    if (!fixture_open(_i, NULL, NULL))
        return;
    stream = open_socket(SOCK_STREAM, &address);
    ck_assert_int_eq(rill_udp_adopt(&adopted, stream), -EPROTOTYPE);
    ck_assert_int_eq(kernel()->ops->close(kernel(), stream), 0);
    ck_assert_int_eq(rill_udp_adopt(&adopted, -1), -EBADF);
    if (_i == REAL) {
        int pair[2], no_socket = eventfd(0, EFD_CLOEXEC);

        ck_assert_int_eq(rill_udp_adopt(&adopted, no_socket), -ENOTSOCK);
        ck_assert_int_eq(close(no_socket), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        ck_assert_int_eq(rill_udp_adopt(&adopted, pair[0]), -EPROTOTYPE);
        ck_assert_int_eq(close(pair[0]), 0);
        ck_assert_int_eq(close(pair[1]), 0);
    }
    ck_assert(!adopted.is_open);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 0);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_socket_that_was_adopted_receives_and_answers_and_is_closed, IN_BOTH},
        {a_peer_that_it_has_already_can_be_left_and_the_port_stays, IN_BOTH},
        {the_file_of_a_unix_socket_is_left_to_those_who_made_it, IN_REAL},
        {what_has_no_datagrams_is_not_adopted_and_stays_the_callers, IN_BOTH},
    };

    return fixture_main("udp_adopt", cases, sizeof cases / sizeof *cases);
}
