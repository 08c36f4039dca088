/* SPDX-License-Identifier: Apache-2.0 */
/* test_connect.c - connecting tries what a name means, and leaves nothing behind when it fails. */
#include "net/connect.h"

#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static struct rill_listener listener;
static struct rill_accept accepting;
static struct rill_connect connect_op;
static struct rill_resolve resolve;
static struct rill_timeout timeout;
static struct rill_tcp tcp, server;
static uint16_t port;
static int reserved_fd = -1;

static bool open_listener(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    port = fixture_listen(&listener, NULL);
    return true;
}

static void close_all(void)
{
    fixture_hang_up(&tcp);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    if (reserved_fd >= 0)
        close(reserved_fd);
    reserved_fd = -1;
    fixture_close();
}

static struct rill_future *connect_to(const char *host, uint16_t to)
{
    return rill_tcp_connect(&tcp, &connect_op, host, to);
}

/* A port at which nobody listens, and that nobody else is given until close_all. */
static uint16_t free_port(void)
{
    struct rill_address address = loopback(0);
    uint16_t unused;
    struct rill_listener other = {0};

    if (fixture.sim) {
        unused = fixture_listen(&other, NULL);
        ck_assert_int_eq(await(rill_listener_close(&other)), 0);
        return unused;
    }
    reserved_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(reserved_fd, 0);
    ck_assert_int_eq(bind(reserved_fd, &address.any, address.size), 0);
    ck_assert_int_eq(getsockname(reserved_fd, &address.any, &address.size), 0);
    return rill_address_port(&address);
}

START_TEST(a_numeric_address_is_connected_to_without_a_look_up)
{
    if (!open_listener(_i, NULL))
        return;
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    ck_assert(tcp.is_open);
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
    rill_tcp_adopt(&server, (int)accepting.result);
    fixture_hang_up(&server);
    close_all();
}
END_TEST

START_TEST(a_port_at_which_nobody_listens_is_ECONNREFUSED)
{
    if (!open_listener(_i, NULL))
        return;
    ck_assert_int_eq(await(connect_to("127.0.0.1", free_port())), -ECONNREFUSED);
    ck_assert(!tcp.is_open);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0); /* the same struct again */
    close_all();
}
END_TEST

/* Puts the addresses where a look-up would have put them. */
static struct rill_future *connect_to_all(const uint16_t *ports, int count)
{
    struct rill_address first = loopback(ports[0]);
    struct rill_future *future = rill_tcp_connect_address(&tcp, &connect_op, &first);

    for (int i = 0; i < count; i++)
        connect_op.resolve.addresses[i] = loopback(ports[i]);
    connect_op.count = count;
    return future;
}

START_TEST(the_addresses_of_a_name_are_tried_until_one_answers)
{
    uint16_t ports[3];

    if (!open_listener(_i, NULL))
        return;
    ports[0] = free_port();
    ports[1] = port;
    ports[2] = ports[0];
    ck_assert_int_eq(await(connect_to_all(ports, 3)), 0);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 2);
    fixture_hang_up(&tcp);
    ports[1] = ports[0];
    ck_assert_int_eq(await(connect_to_all(ports, 3)), -ECONNREFUSED);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_all();
}
END_TEST

START_TEST(the_error_of_the_last_address_is_the_result)
{
    const struct sim_options options = {.fds_max = 1};

    open_listener(_i, &options);
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), -EMFILE);
    ck_assert_int_eq(await(connect_to("::1", port)), -EMFILE);
    close_all();
}
END_TEST

START_TEST(an_address_that_there_is_no_way_to_does_not_hide_what_another_one_answered)
{
    uint16_t ports[2];

    if (!open_listener(_i, NULL))
        return;
    ports[0] = ports[1] = free_port();
    connect_to_all(ports, 2);
    connect_op.resolve.addresses[1].any.sa_family = AF_MAX; /* which no kernel speaks */
    ck_assert_int_eq(await(&connect_op.future), -ECONNREFUSED);
    connect_to_all(ports, 2);
    connect_op.resolve.addresses[0].any.sa_family = AF_MAX;
    ck_assert_int_eq(await(&connect_op.future), -ECONNREFUSED);
    connect_to_all(ports, 1);
    connect_op.resolve.addresses[0].any.sa_family = AF_MAX;
    ck_assert_int_eq(await(&connect_op.future), -EAFNOSUPPORT);
    close_all();
}
END_TEST

START_TEST(a_connection_comes_from_the_address_that_it_is_told_to)
{
    struct rill_address to, from, seen;
    int chosen_late = 0;

    if (!open_listener(_i, NULL))
        return;
    to = loopback(port);
    ck_assert_int_eq(rill_address_parse(&from, "127.0.0.9", 0), 0);
    ck_assert_int_eq(await(rill_tcp_connect_from(&tcp, &connect_op, &from, &to)), 0);
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
    rill_tcp_adopt(&server, (int)accepting.result);
    ck_assert_int_eq(rill_tcp_peer_address(&server, &seen), 0);
    ck_assert_uint_eq(seen.ip4.sin_addr.s_addr, from.ip4.sin_addr.s_addr);
    ck_assert_uint_ne(rill_address_port(&seen), 0);
    /* The port has to be free for this peer, not for all. */
    ck_assert_int_eq(rill_socket_get_int(tcp.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &chosen_late),
                     0);
    ck_assert_int_eq(chosen_late, 1);
    fixture_hang_up(&tcp);
    fixture_hang_up(&server);

    /* The next one that uses the struct says nothing of an address again. */
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    ck_assert_int_eq(rill_tcp_local_address(&tcp, &seen), 0);
    ck_assert_uint_eq(ntohl(seen.ip4.sin_addr.s_addr), INADDR_LOOPBACK);
    close_all();
}
END_TEST

/* What a setup was called with, and what it is to return. */
static struct {
    int calls, fd, error;
    uint16_t port;
} setup;

static int set_up(int fd, const struct rill_address *address, void *context)
{
    ck_assert_ptr_eq(context, &setup);
    setup.calls++;
    setup.fd = fd;
    setup.port = rill_address_port(address);
    ck_assert_int_eq(rill_socket_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 5000), 0);
    return setup.error;
}

START_TEST(options_of_a_socket_can_be_set_before_it_is_connected)
{
    struct rill_address from, to;
    int value = 0;

    if (!open_listener(_i, NULL))
        return;
    memset(&setup, 0, sizeof setup);
    to = loopback(port);
    from = loopback(0);
    connect_to("127.0.0.1", port);
    ck_assert_int_eq(await(rill_connect_with(&connect_op, set_up, &setup)), 0);
    ck_assert_int_eq(setup.calls, 1);
    ck_assert_int_eq(setup.fd, tcp.fd);
    ck_assert_int_eq(setup.port, port);
    ck_assert_int_eq(rill_socket_get_int(tcp.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value), 0);
    ck_assert_int_eq(value, 5000);
    fixture_hang_up(&tcp);
    rill_tcp_connect_from(&tcp, &connect_op, &from, &to);
    ck_assert_int_eq(await(rill_connect_with(&connect_op, set_up, &setup)), 0);
    ck_assert_int_eq(setup.calls, 2);
    fixture_hang_up(&tcp);

    /* The next one that uses the struct has none again. */
    ck_assert_int_eq(await(rill_tcp_connect_address(&tcp, &connect_op, &to)), 0);
    ck_assert_int_eq(setup.calls, 2);
    close_all();
}
END_TEST

START_TEST(where_an_option_cannot_be_set_that_address_has_failed)
{
    uint16_t ports[2];

    if (!open_listener(_i, NULL))
        return;
    memset(&setup, 0, sizeof setup);
    setup.error = -EPERM;
    ports[0] = ports[1] = port;
    connect_to_all(ports, 2);
    ck_assert_int_eq(await(rill_connect_with(&connect_op, set_up, &setup)), -EPERM);
    ck_assert_int_eq(setup.calls, 2);
    ck_assert(!tcp.is_open);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_all();
}
END_TEST

/* The first address can be tried, the second one not. */
static int set_up_the_first(int fd, const struct rill_address *address, void *context)
{
    (void)fd;
    (void)address;
    (void)context;
    return setup.calls++ == 0 ? 0 : setup.error;
}

START_TEST(an_error_that_means_no_way_to_an_address_tells_less_than_that_of_another)
{
    static const struct {
        int error, result;
    } cases[] = {
        {-ENETUNREACH, -ECONNREFUSED},
        {-EADDRNOTAVAIL, -ECONNREFUSED},
        {-EAFNOSUPPORT, -ECONNREFUSED},
        {-EHOSTUNREACH, -EHOSTUNREACH}, /* a router knows more than that */
    };
    uint16_t ports[2];

    if (!open_listener(_i, NULL))
        return;
    ports[0] = ports[1] = free_port();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup.calls = 0;
        setup.error = cases[i].error;
        connect_to_all(ports, 2);
        ck_assert_int_eq(await(rill_connect_with(&connect_op, set_up_the_first, NULL)),
                         cases[i].result);
        ck_assert_int_eq(setup.calls, 2);
    }
    close_all();
}
END_TEST

static void set_up_wrongly(void)
{
    open_listener(SIMULATED, NULL);
    setup.error = 1; /* an errno whose sign was forgotten, say */
    connect_to("127.0.0.1", port);
    await(rill_connect_with(&connect_op, set_up, &setup));
}

START_TEST(a_setup_that_returns_neither_0_nor_an_error_is_a_panic)
{
    fixture_expect_panic(set_up_wrongly, "the setup of a socket returned 1: want 0 or -errno");
}
END_TEST

static void connect_what_is_open(void)
{
    open_listener(SIMULATED, NULL);
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    await(connect_to("127.0.0.1", port));
}

static void adopt_into_what_is_open(void)
{
    open_listener(SIMULATED, NULL);
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    rill_tcp_adopt(&tcp, (int)await(rill_tcp_accept(&listener, &accepting)));
}

START_TEST(a_connection_that_is_open_is_not_made_again)
{
    fixture_expect_panic(connect_what_is_open, "a connection is connected that is open already");
    fixture_expect_panic(adopt_into_what_is_open, "a connection was made of one that is open");
}
END_TEST

/* As of a once, whose child is not begun where it is done. */
START_TEST(a_connect_that_is_not_begun_may_be_prepared_of_what_is_open)
{
    if (!open_listener(_i, NULL))
        return;
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    connect_to("127.0.0.1", port);
    ck_assert(tcp.is_open);
    close_all();
}
END_TEST

START_TEST(a_port_to_connect_from_that_is_taken_is_EADDRINUSE_and_closes_the_socket)
{
    struct rill_address to, from;

    if (!open_listener(_i, NULL))
        return;
    to = from = loopback(port);
    ck_assert_int_eq(await(rill_tcp_connect_from(&tcp, &connect_op, &from, &to)), -EADDRINUSE);
    ck_assert(!tcp.is_open);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_all();
}
END_TEST

START_TEST(an_address_to_connect_from_that_is_none_of_ours_is_EADDRNOTAVAIL)
{
    struct rill_address to, from;

    if (!open_listener(_i, NULL))
        return;
    to = loopback(port);
    ck_assert_int_eq(rill_address_parse(&from, "192.0.2.1", 0), 0); /* of documents (RFC 5737) */
    ck_assert_int_eq(await(rill_tcp_connect_from(&tcp, &connect_op, &from, &to)), -EADDRNOTAVAIL);
    close_all();
}
END_TEST

/* ---- the port to connect from is the one to connect to ---- */

static struct rill_address own_port; /* that the kernel happens to choose for each socket */

static int socket_at_own_port(struct rill_kernel *kernel, int domain, int type, int protocol)
{
    int fd = rill_kernel_linux()->ops->socket(kernel, domain, type, protocol);

    ck_assert_int_eq(bind(fd, &own_port.any, own_port.size), 0);
    return fd;
}

/* Chance does not reserve it, so it is given back before. */
static void find_own_port(void)
{
    own_port = loopback(free_port());
    close(reserved_fd);
    reserved_fd = -1;
}

START_TEST(a_socket_that_the_kernel_connects_to_itself_found_nobody)
{
    struct rill_kernel_ops ops = *rill_kernel_linux()->ops;
    struct rill_kernel lucky = {&ops}, *usual;
    struct rill_reactor *reactor;
    uint16_t ports[2];

    if (!open_listener(REAL, NULL))
        return;
    find_own_port();
    ports[0] = rill_address_port(&own_port);
    ports[1] = port;
    reactor = &fixture.runtime->reactor;
    usual = reactor->kernel;
    ops.socket = socket_at_own_port;
    reactor->kernel = &lucky;
    ck_assert_int_eq(await(connect_to("127.0.0.1", ports[0])), -ECONNREFUSED);
    ck_assert_int_eq(await(connect_to("0.0.0.0", ports[0])), -ECONNREFUSED);
    ck_assert(!tcp.is_open);
    ck_assert_uint_eq(reactor->fds_open, 1);
    /* The port does not rest, and the next address is tried. */
    ck_assert_int_eq(await(connect_to_all(ports, 2)), 0);
    fixture_hang_up(&tcp);
    /* The same port of another host is another peer. */
    ck_assert_int_eq(rill_address_parse(&own_port, "127.0.0.9", port), 0);
    ck_assert_int_eq(await(connect_to("127.0.0.1", port)), 0);
    fixture_hang_up(&tcp);
    reactor->kernel = usual;
    close_all();
}
END_TEST

/* The simulated kernel gives ports out in turn. */
START_TEST(a_port_that_is_the_next_to_be_chosen_has_nobody_either)
{
    struct rill_address from = loopback(0), to;

    open_listener(SIMULATED, NULL);
    ck_assert_int_eq(await(connect_to("127.0.0.1", (uint16_t)(port + 1))), -ECONNREFUSED);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    to = loopback((uint16_t)(port + 2));
    ck_assert_int_eq(await(rill_tcp_connect_from(&tcp, &connect_op, &from, &to)), -ECONNREFUSED);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    ck_assert_int_eq(await(connect_to("::1", (uint16_t)(port + 3))), -ECONNREFUSED);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_all();
}
END_TEST

START_TEST(who_asks_for_a_connection_to_itself_gets_it)
{
    static struct rill_op sending, receiving;
    char buffer[8] = {0};

    if (!open_listener(_i, NULL))
        return;
    own_port = loopback((uint16_t)(port + 1));
    if (_i == REAL)
        find_own_port();
    ck_assert_int_eq(await(rill_tcp_connect_from(&tcp, &connect_op, &own_port, &own_port)), 0);
    ck_assert_int_eq(await(rill_tcp_send_all(&tcp, &sending, "question", 8)), 8);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&tcp, &receiving, buffer, 8)), 8);
    ck_assert_mem_eq(buffer, "question", 8);
    close_all();
}
END_TEST

START_TEST(a_cancelled_connect_closes_its_socket)
{
    const struct sim_options options = {.latency_min_ns = RILL_MILLISECOND};
    struct background task;
    struct rill_sleep sleep;

    open_listener(_i, &options);
    background_start(&task, connect_to("127.0.0.1", port));
    await(rill_sleep(&sleep, 100 * RILL_MICROSECOND));
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 2);
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_all();
}
END_TEST

START_TEST(a_connect_that_was_cancelled_before_it_began_does_not_open_a_socket_for_long)
{
    struct background task;

    if (!open_listener(_i, NULL))
        return;
    background_start(&task, connect_to("127.0.0.1", port));
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    ck_assert(!tcp.is_open);
    close_all();
}
END_TEST

START_TEST(a_timeout_ends_a_connect_to_a_listener_that_is_overrun)
{
    struct rill_address address = loopback(0);

    fixture_open(_i, NULL, NULL);
    ck_assert_int_eq(
        rill_listener_open(&listener, &address, &(struct rill_listen_options){.backlog = 1}), 0);
    ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
    port = rill_address_port(&address);
    for (int i = 0; i < 3; i++)
        sim_peer_connect(fixture.sim, port);
    ck_assert_int_eq(await(rill_timeout(&timeout, RILL_SECOND, connect_to("127.0.0.1", port))),
                     -ETIMEDOUT);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    /* When there is room, the same struct connects. */
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
    rill_tcp_adopt(&server, (int)accepting.result);
    fixture_hang_up(&server);
    ck_assert_int_eq(await(rill_timeout(&timeout, RILL_SECOND, connect_to("127.0.0.1", port))), 0);
    close_all();
}
END_TEST

START_TEST(a_name_that_does_not_exist_is_ENOENT)
{
    int64_t result;

    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture.keeps_fds = true;
    result = await(connect_to("no.such.name.invalid", 80));
    /* Without a network the name server cannot say that there is none. */
    ck_assert(result == -ENOENT || result == -EAGAIN);
    ck_assert(!tcp.is_open);
    ck_assert_int_eq(await(connect_to("", 80)), -ENOENT);
    fixture_close();
}
END_TEST

static void connect_to_null(void)
{
    fixture_open(SIMULATED, NULL, NULL);
    await(connect_to(NULL, 7000)); /* of getenv(3), say */
}

START_TEST(a_name_that_is_NULL_is_a_panic)
{
    fixture_expect_panic(connect_to_null, "NULL is to be looked up");
}
END_TEST

START_TEST(localhost_is_looked_up_beside_the_loop)
{
    struct background task;
    struct rill_sleep sleep;
    int64_t count;

    if (!open_listener(_i, NULL))
        return;
    fixture.keeps_fds = true;
    background_start(&task, rill_resolve(&resolve, "localhost", port));
    await(rill_sleep(&sleep, 1)); /* the loop goes on meanwhile */
    count = background_end(&task);
    ck_assert_int_ge(count, 1);
    for (int64_t i = 0; i < count; i++)
        ck_assert_uint_eq(rill_address_port(&resolve.addresses[i]), port);
    /* It may be ::1 first, where nobody listens, and 127.0.0.1 then. */
    ck_assert_int_eq(await(connect_to("localhost", port)), 0);
    close_all();
}
END_TEST

START_TEST(more_look_ups_than_there_may_be_at_once_wait_for_their_turn)
{
    enum { LOOKUPS = 2 * RILL_RESOLVE_LOOKUPS_MAX };
    static struct rill_resolve resolves[LOOKUPS];
    static struct background tasks[LOOKUPS];

    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture.keeps_fds = true;
    for (int i = 0; i < LOOKUPS; i++)
        background_start(&tasks[i], rill_resolve(&resolves[i], "localhost", 1));
    for (int i = 0; i < LOOKUPS; i++)
        ck_assert_int_gt(background_end(&tasks[i]), 0);
    fixture_close();
}
END_TEST

START_TEST(a_cancelled_look_up_ends_at_once)
{
    struct background task;

    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture.keeps_fds = true;
    background_start(&task, rill_resolve(&resolve, "no.such.name.invalid", 1));
    fixture_turn();
    rill_task_cancel(&task.task);
    ck_assert_int_lt(background_end(&task), 0);
    fixture_close();
}
END_TEST

START_TEST(connecting_in_a_hostile_world_leaves_nothing_behind)
{
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_hostile(seed);
        uint16_t ports[3];

        fixture.seed = seed;
        fixture.seeded = true;
        options.fds_max = 2 + seed % 3;
        open_listener(SIMULATED, &options);
        ports[0] = ports[2] = port;
        ports[1] = 1;
        for (int i = 0; i < 10; i++) {
            int64_t result = await(
                rill_timeout(&timeout, (int64_t)sim_random(fixture.sim, 3000) * RILL_MICROSECOND,
                             connect_to_all(ports, 3)));

            expect_eq(tcp.is_open, result == 0);
            fixture_hang_up(&tcp);
            expect_eq(fixture.runtime->reactor.fds_open, 1);
        }
        close_all();
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_numeric_address_is_connected_to_without_a_look_up, IN_BOTH},
        {a_port_at_which_nobody_listens_is_ECONNREFUSED, IN_BOTH},
        {the_addresses_of_a_name_are_tried_until_one_answers, IN_BOTH},
        {the_error_of_the_last_address_is_the_result, IN_SIMULATED},
        {an_address_that_there_is_no_way_to_does_not_hide_what_another_one_answered, IN_BOTH},
        {a_connection_comes_from_the_address_that_it_is_told_to, IN_BOTH},
        {options_of_a_socket_can_be_set_before_it_is_connected, IN_BOTH},
        {where_an_option_cannot_be_set_that_address_has_failed, IN_BOTH},
        {an_error_that_means_no_way_to_an_address_tells_less_than_that_of_another, IN_BOTH},
        {a_setup_that_returns_neither_0_nor_an_error_is_a_panic, IN_SIMULATED},
        {a_connection_that_is_open_is_not_made_again, IN_SIMULATED},
        {a_connect_that_is_not_begun_may_be_prepared_of_what_is_open, IN_SIMULATED},
        {a_port_to_connect_from_that_is_taken_is_EADDRINUSE_and_closes_the_socket, IN_BOTH},
        {an_address_to_connect_from_that_is_none_of_ours_is_EADDRNOTAVAIL, IN_REAL},
        {a_socket_that_the_kernel_connects_to_itself_found_nobody, IN_REAL},
        {a_port_that_is_the_next_to_be_chosen_has_nobody_either, IN_SIMULATED},
        {who_asks_for_a_connection_to_itself_gets_it, IN_BOTH},
        {a_cancelled_connect_closes_its_socket, IN_SIMULATED},
        {a_connect_that_was_cancelled_before_it_began_does_not_open_a_socket_for_long, IN_BOTH},
        {a_timeout_ends_a_connect_to_a_listener_that_is_overrun, IN_SIMULATED},
        {a_name_that_does_not_exist_is_ENOENT, IN_REAL},
        {a_name_that_is_NULL_is_a_panic, IN_SIMULATED},
        {localhost_is_looked_up_beside_the_loop, IN_REAL},
        {more_look_ups_than_there_may_be_at_once_wait_for_their_turn, IN_REAL},
        {a_cancelled_look_up_ends_at_once, IN_REAL},
        {connecting_in_a_hostile_world_leaves_nothing_behind, IN_SIMULATED},
    };

    return fixture_main("connect", cases, sizeof cases / sizeof *cases);
}
