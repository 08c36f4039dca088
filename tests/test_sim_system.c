/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_system.c - simulated accepts, names and queues are like real ones, on both kernels. */
#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

static struct world world;

static const struct rill_kernel_ops *ops(void)
{
    return world.kernel->ops;
}

/* ---- accepting and connecting ---- */

START_TEST(a_multishot_accept_goes_on_until_descriptors_run_out)
{
    const struct sim_options options = {.fds_max = 6};
    struct world_completion completion;
    struct rlimit limit, old_limit;
    uint16_t port;
    int listener, clients[3], accepted[2], expected[2];

    if (_i == 1 && getenv("TEST_UNDER_VALGRIND"))
        return; /* valgrind keeps RLIMIT_NOFILE for itself */
    if (!world_open_or_skip(&world, _i, &options, 64))
        return;
    listener = world_listen(&world, &port);
    for (int i = 0; i < 3; i++)
        clients[i] = world_connect(&world, port);
    for (int i = 0; i < 2; i++) /* the next descriptors */
        expected[i] = ops()->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
    for (int i = 0; i < 2; i++)
        world_close_fd(&world, expected[i]);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old_limit), 0);
    limit = old_limit;
    limit.rlim_cur = (rlim_t)expected[1] + 1;
    if (!world.sim)
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    io_uring_prep_multishot_accept(world_sqe(&world, 1), listener, NULL, NULL, 0);
    for (int i = 0; i < 2; i++) {
        completion = world_next(&world);
        accepted[i] = completion.result;
        ck_assert_int_eq(accepted[i], expected[i]);
        ck_assert(completion.flags & IORING_CQE_F_MORE);
    }
    completion = world_next(&world);
    ck_assert_int_eq(completion.result, -EMFILE);
    ck_assert(!(completion.flags & IORING_CQE_F_MORE));
    /* Without a free descriptor even an accept with nobody there fails at once. */
    io_uring_prep_accept(world_sqe(&world, 2), listener, NULL, NULL, 0);
    ck_assert_int_eq(world_result(&world, 2), -EMFILE);
    /* The third client is still there, and the lowest free number comes first. */
    world_close_fd(&world, accepted[0]);
    io_uring_prep_accept(world_sqe(&world, 3), listener, NULL, NULL, 0);
    ck_assert_int_eq(world_result(&world, 3), accepted[0]);
    if (!world.sim)
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old_limit), 0);
    for (int i = 0; i < 3; i++)
        world_close_fd(&world, clients[i]);
    for (int i = 0; i < 2; i++)
        world_close_fd(&world, accepted[i]);
    world_close_fd(&world, listener);
    world_close(&world);
}
END_TEST

START_TEST(both_ends_of_a_connection_know_both_names)
{
    struct sockaddr_in client_name, server_name, peer_name, accepted_name;
    socklen_t size = sizeof client_name;
    uint16_t port;
    int listener, client, server;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    listener = world_listen(&world, &port);
    client = world_connect(&world, port);
    memset(&accepted_name, 0, sizeof accepted_name);
    io_uring_prep_accept(world_sqe(&world, 1), listener, (struct sockaddr *)&accepted_name, &size,
                         0);
    server = world_result(&world, 1);
    ck_assert_int_ge(server, 0);
    ck_assert_uint_eq(size, sizeof accepted_name);
    ops()->getsockname(world.kernel, client, (struct sockaddr *)&client_name, &size);
    ops()->getpeername(world.kernel, client, (struct sockaddr *)&server_name, &size);
    ops()->getpeername(world.kernel, server, (struct sockaddr *)&peer_name, &size);
    ck_assert_uint_eq(ntohs(server_name.sin_port), port);
    ck_assert_uint_eq(client_name.sin_port, peer_name.sin_port);
    ck_assert_uint_eq(client_name.sin_port, accepted_name.sin_port);
    ck_assert_uint_eq(accepted_name.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    ck_assert_int_eq(
        ops()->getpeername(world.kernel, listener, (struct sockaddr *)&peer_name, &size),
        -ENOTCONN);
    world_close_fd(&world, client);
    world_close_fd(&world, server);
    world_close_fd(&world, listener);
    world_close(&world);
}
END_TEST

START_TEST(a_connect_without_a_listener_is_refused)
{
    uint16_t port;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_close_fd(&world, world_listen(&world, &port));
    ck_assert_int_eq(world_connect(&world, port), -ECONNREFUSED);
    world_close(&world);
}
END_TEST

START_TEST(closing_a_listener_resets_who_was_not_accepted)
{
    uint16_t port;
    int listener, client;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    listener = world_listen(&world, &port);
    client = world_connect(&world, port);
    world_close_fd(&world, listener);
    ck_assert_int_eq(world_recv(&world, client, &byte, 1), -ECONNRESET);
    world_close_fd(&world, client);
    world_close(&world);
}
END_TEST

START_TEST(a_shutdown_of_the_listener_ends_its_accept)
{
    struct world_completion completion;
    uint16_t port;
    int listener;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    listener = world_listen(&world, &port);
    io_uring_prep_multishot_accept(world_sqe(&world, 1), listener, NULL, NULL, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_shutdown(world_sqe(&world, 2), listener, SHUT_RDWR);
    completion = world_next(&world);
    if (completion.user_data == 2)
        completion = world_next(&world);
    else
        ck_assert_int_eq(world_result(&world, 2), 0);
    ck_assert_int_eq(completion.result, -EINVAL);
    ck_assert_uint_eq(completion.flags, 0);
    world_close_fd(&world, listener);
    world_close(&world);
}
END_TEST

START_TEST(a_port_is_bound_once_unless_both_share_it)
{
    const int yes = 1;
    struct sockaddr_in address;
    uint16_t port;
    int listener, other;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    listener = world_listen(&world, &port);
    address = world_address(port);
    other = ops()->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(ops()->bind(world.kernel, other, (struct sockaddr *)&address, sizeof address),
                     -EADDRINUSE);
    world_close_fd(&world, listener);
    ck_assert_int_eq(
        ops()->setsockopt(world.kernel, other, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    ck_assert_int_eq(ops()->bind(world.kernel, other, (struct sockaddr *)&address, sizeof address),
                     0);
    listener = ops()->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(
        ops()->bind(world.kernel, listener, (struct sockaddr *)&address, sizeof address),
        -EADDRINUSE);
    ck_assert_int_eq(
        ops()->setsockopt(world.kernel, listener, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes), 0);
    ck_assert_int_eq(
        ops()->bind(world.kernel, listener, (struct sockaddr *)&address, sizeof address), 0);
    world_close_fd(&world, listener);
    world_close_fd(&world, other);
    world_close(&world);
}
END_TEST

START_TEST(socket_options_are_kept_and_unknown_ones_refused)
{
    const int yes = 1;
    int value = 0, fd;
    socklen_t size = sizeof value;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    fd = ops()->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(
        ops()->setsockopt(world.kernel, fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes), 0);
    ck_assert_int_eq(ops()->getsockopt(world.kernel, fd, IPPROTO_TCP, TCP_NODELAY, &value, &size),
                     0);
    ck_assert_int_ne(value, 0);
    ck_assert_int_eq(ops()->getsockopt(world.kernel, fd, SOL_SOCKET, SO_TYPE, &value, &size), 0);
    ck_assert_int_eq(value, SOCK_STREAM);
    ck_assert_int_eq(ops()->setsockopt(world.kernel, fd, SOL_SOCKET, 7777, &yes, sizeof yes),
                     -ENOPROTOOPT);
    ck_assert_int_eq(ops()->socket(world.kernel, 12345, SOCK_STREAM, 0), -EAFNOSUPPORT);
    world_close_fd(&world, fd);
    ck_assert_int_eq(ops()->close(world.kernel, fd), -EBADF);
    world_close(&world);
}
END_TEST

START_TEST(a_poll_says_what_a_socket_is_ready_for)
{
    int client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_pair(&world, &client, &server);
    io_uring_prep_poll_add(world_sqe(&world, 1), server, POLLOUT);
    ck_assert_int_eq(world_result(&world, 1), POLLOUT);
    io_uring_prep_poll_add(world_sqe(&world, 2), server, POLLIN);
    ck_assert(world_is_quiet(&world));
    ck_assert_int_eq(world_send(&world, client, "x", 1), 1);
    ck_assert_int_eq(world_result(&world, 2), POLLIN);
    ck_assert_int_eq(world_recv(&world, server, &byte, 1), 1);
    world_close_fd(&world, client);
    io_uring_prep_poll_add(world_sqe(&world, 3), server, POLLIN | POLLRDHUP);
    ck_assert_int_eq(world_result(&world, 3), POLLIN | POLLRDHUP);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(datagrams_keep_their_borders_and_know_their_sender)
{
    struct sockaddr_in name = world_address(0), from = {0};
    socklen_t size = sizeof name;
    char sent[] = "hello", got[8] = "";
    struct iovec out = {.iov_base = sent, .iov_len = 5}, in = {.iov_base = got, .iov_len = 4};
    struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1}, received = {.msg_iov = &in};
    int one, other;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    one = ops()->socket(world.kernel, AF_INET, SOCK_DGRAM, 0);
    other = ops()->socket(world.kernel, AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(ops()->bind(world.kernel, one, (struct sockaddr *)&name, sizeof name), 0);
    ops()->getsockname(world.kernel, one, (struct sockaddr *)&name, &size);
    message.msg_name = &name;
    message.msg_namelen = sizeof name;
    io_uring_prep_sendmsg(world_sqe(&world, 1), other, &message, 0);
    ck_assert_int_eq(world_result(&world, 1), 5);
    ops()->getsockname(world.kernel, other, (struct sockaddr *)&name, &size);
    received.msg_iovlen = 1;
    received.msg_name = &from;
    received.msg_namelen = sizeof from;
    io_uring_prep_recvmsg(world_sqe(&world, 2), one, &received, 0);
    ck_assert_int_eq(world_result(&world, 2), 4);
    ck_assert_mem_eq(got, "hell", 4);
    ck_assert(received.msg_flags & MSG_TRUNC);
    ck_assert_uint_eq(from.sin_port, name.sin_port);
    ck_assert_uint_eq(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    world_close_fd(&world, one);
    world_close_fd(&world, other);
    world_close(&world);
}
END_TEST

/* Sends so many bytes to the address, and takes the completion of that. */
static void send_datagram(int fd, struct sockaddr_in *to, size_t size)
{
    static char bytes[400] = "hello";
    struct iovec part = {.iov_base = bytes, .iov_len = size};
    struct msghdr message = {
        .msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &part, .msg_iovlen = 1};

    io_uring_prep_sendmsg(world_sqe(&world, 1), fd, &message, 0);
    ck_assert_int_eq(world_result(&world, 1), (int)size);
}

START_TEST(a_multishot_recvmsg_puts_a_head_an_address_and_the_bytes_into_each_buffer)
{
    enum { NAME = 32, HEAD = sizeof(struct io_uring_recvmsg_out) + NAME, BUFFER = 256 };
    const unsigned flags = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    struct msghdr shape = {.msg_namelen = NAME};
    struct sockaddr_in name = world_address(0), from, got;
    struct io_uring_recvmsg_out out;
    struct io_uring_sqe *sqe;
    socklen_t size = sizeof name;
    int one, other;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    world_buffers(&world, 4, 4, BUFFER);
    one = ops()->socket(world.kernel, AF_INET, SOCK_DGRAM, 0);
    other = ops()->socket(world.kernel, AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(ops()->bind(world.kernel, one, (struct sockaddr *)&name, sizeof name), 0);
    ck_assert_int_eq(ops()->bind(world.kernel, other, (struct sockaddr *)&name, sizeof name), 0);
    ops()->getsockname(world.kernel, one, (struct sockaddr *)&name, &size);
    ops()->getsockname(world.kernel, other, (struct sockaddr *)&from, &size);
    send_datagram(other, &name, 5);
    send_datagram(other, &name, 400);
    send_datagram(other, &name, 0);

    sqe = world_sqe(&world, 2);
    io_uring_prep_recvmsg_multishot(sqe, one, &shape, MSG_TRUNC);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = WORLD_GROUP;
    world_expect(&world, 2, HEAD + 5, flags, flags);
    memcpy(&out, world_buffer(&world, 0), sizeof out);
    ck_assert_uint_eq(out.namelen, sizeof from);
    ck_assert_uint_eq(out.payloadlen, 5);
    ck_assert_uint_eq(out.flags, 0);
    memcpy(&got, world_buffer(&world, 0) + sizeof out, sizeof got);
    ck_assert_uint_eq(got.sin_port, from.sin_port);
    ck_assert_mem_eq(world_buffer(&world, 0) + HEAD, "hello", 5);
    world_expect(&world, 2, BUFFER, flags, flags);
    memcpy(&out, world_buffer(&world, 1), sizeof out);
    ck_assert_uint_eq(out.payloadlen, 400);
    ck_assert_uint_eq(out.flags, MSG_TRUNC);
    world_expect(&world, 2, HEAD, IORING_CQE_F_BUFFER, flags); /* an empty one ends it */
    world_close_both(&world, one, other);
    world_close(&world);
}
END_TEST

START_TEST(a_local_socket_is_a_file_to_connect_to)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener, client, server;
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    snprintf(name.sun_path, sizeof name.sun_path, "%s/s", world.directory);
    client = ops()->socket(world.kernel, AF_UNIX, SOCK_STREAM, 0);
    io_uring_prep_connect(world_sqe(&world, 1), client, (struct sockaddr *)&name, sizeof name);
    ck_assert_int_eq(world_result(&world, 1), -ENOENT);
    listener = ops()->socket(world.kernel, AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(ops()->bind(world.kernel, listener, (struct sockaddr *)&name, sizeof name), 0);
    io_uring_prep_connect(world_sqe(&world, 2), client, (struct sockaddr *)&name, sizeof name);
    ck_assert_int_eq(world_result(&world, 2), -ECONNREFUSED);
    ck_assert_int_eq(ops()->listen(world.kernel, listener, 4), 0);
    io_uring_prep_connect(world_sqe(&world, 3), client, (struct sockaddr *)&name, sizeof name);
    ck_assert_int_eq(world_result(&world, 3), 0);
    io_uring_prep_accept(world_sqe(&world, 4), listener, NULL, NULL, 0);
    server = world_result(&world, 4);
    ck_assert_int_eq(world_send(&world, client, "x", 1), 1);
    ck_assert_int_eq(world_recv(&world, server, &byte, 1), 1);
    world_close_fd(&world, server);
    ck_assert_int_eq(world_send(&world, client, "x", 1), -EPIPE);
    world_close_fd(&world, client);
    world_close_fd(&world, listener);
    io_uring_prep_unlink(world_sqe(&world, 5), name.sun_path, 0);
    ck_assert_int_eq(world_result(&world, 5), 0);
    world_close(&world);
}
END_TEST

/* ---- queues ---- */

START_TEST(what_does_not_fit_into_the_completion_queue_comes_later_and_in_order)
{
    uint64_t next = 0;

    if (!world_open_or_skip(&world, _i, NULL, 8))
        return;
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 8; i++)
            io_uring_prep_nop(world_sqe(&world, (uint64_t)round * 8 + i));
        ck_assert_int_ge(world_submit(&world), 0);
    }
    ck_assert(*world.ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
    while (next < 24) {
        ck_assert_int_eq(world_result(&world, next), 0);
        next++;
    }
    ck_assert(world_is_quiet(&world));
    ck_assert(!(*world.ring.sq.kflags & IORING_SQ_CQ_OVERFLOW));
    world_close(&world);
}
END_TEST

START_TEST(a_skipped_success_has_no_completion_and_a_failure_has)
{
    struct io_uring_sqe *sqe;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    sqe = world_sqe(&world, 1);
    io_uring_prep_nop(sqe);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    ck_assert(world_is_quiet(&world));
    sqe = world_sqe(&world, 2);
    io_uring_prep_cancel64(sqe, 12345, 0);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    ck_assert_int_eq(world_result(&world, 2), -ENOENT);
    world_close(&world);
}
END_TEST

START_TEST(nonsense_is_answered_with_an_error)
{
    char byte = 0;

    if (!world_open_or_skip(&world, _i, NULL, 64))
        return;
    io_uring_prep_rw(200, world_sqe(&world, 1), -1, NULL, 0, 0);
    ck_assert_int_eq(world_result(&world, 1), -EINVAL);
    io_uring_prep_recv(world_sqe(&world, 2), 1999, &byte, 1, 0);
    ck_assert_int_eq(world_result(&world, 2), -EBADF);
    io_uring_prep_close(world_sqe(&world, 3), 1999);
    ck_assert_int_eq(world_result(&world, 3), -EBADF);
    if (world.sim)
        ck_assert_uint_eq(sim_bad_fds(world.sim), 2);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_multishot_accept_goes_on_until_descriptors_run_out,
        both_ends_of_a_connection_know_both_names,
        a_connect_without_a_listener_is_refused,
        closing_a_listener_resets_who_was_not_accepted,
        a_shutdown_of_the_listener_ends_its_accept,
        a_port_is_bound_once_unless_both_share_it,
        socket_options_are_kept_and_unknown_ones_refused,
        a_poll_says_what_a_socket_is_ready_for,
        datagrams_keep_their_borders_and_know_their_sender,
        a_multishot_recvmsg_puts_a_head_an_address_and_the_bytes_into_each_buffer,
        a_local_socket_is_a_file_to_connect_to,
        what_does_not_fit_into_the_completion_queue_comes_later_and_in_order,
        a_skipped_success_has_no_completion_and_a_failure_has,
        nonsense_is_answered_with_an_error,
    };

    return world_main("sim_system", 2, tests, sizeof tests / sizeof *tests);
}
