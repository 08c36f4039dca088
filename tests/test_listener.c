/* SPDX-License-Identifier: Apache-2.0 */
/* test_listener.c - every connection that arrives is accepted once, or closed with the listener. */
#include "net/listener.h"

#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MANY = 1000 };

static struct rill_listener listener;
static struct rill_accept accepting;
static struct rill_connect connects[MANY];
static struct rill_tcp clients[MANY], servers[MANY];
static struct background connecting[MANY];
static uint16_t port;

static bool open_listener(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    port = fixture_listen(&listener, NULL);
    return true;
}

static void start_client(int i)
{
    struct rill_address address = loopback(port);

    memset(&clients[i], 0, sizeof clients[i]);
    background_start(&connecting[i], rill_tcp_connect_address(&clients[i], &connects[i], &address));
}

static void end_client(int i)
{
    ck_assert_int_eq(background_end(&connecting[i]), 0);
    fixture_hang_up(&clients[i]);
}

static void accept_into(struct rill_tcp *tcp)
{
    expect(await(rill_tcp_accept(&listener, &accepting)) >= 0);
    rill_tcp_adopt(tcp, (int)accepting.result);
}

static void close_listener(void)
{
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
}

START_TEST(port_0_is_a_free_port_that_the_listener_knows)
{
    struct rill_address address;

    if (!open_listener(_i, NULL))
        return;
    ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
    ck_assert_int_eq(address.any.sa_family, AF_INET);
    ck_assert_uint_eq(rill_address_port(&address), port);
    ck_assert_uint_ne(port, 0);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_port_that_is_taken_is_EADDRINUSE_and_leaves_no_descriptor)
{
    struct rill_listener second = {0};
    struct rill_address address;

    if (!open_listener(_i, NULL))
        return;
    address = loopback(port);
    ck_assert_int_eq(rill_listener_open(&second, &address, NULL), -EADDRINUSE);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    close_listener();
    ck_assert_int_eq(rill_listener_open(&second, &address, NULL), 0); /* now it is free */
    ck_assert_int_eq(await(rill_listener_close(&second)), 0);
    fixture_close();
}
END_TEST

START_TEST(two_listeners_share_a_port_with_reuseport)
{
    const struct rill_listen_options shared = {.reuseport = true, .nodelay = true};
    struct rill_listener second = {0};
    struct rill_address address;

    if (!fixture_open(_i, NULL, NULL))
        return;
    address = loopback(fixture_listen(&listener, &shared));
    ck_assert_int_eq(rill_listener_open(&second, &address, &shared), 0);
    ck_assert_int_eq(await(rill_listener_close(&second)), 0);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(connections_inherit_the_limit_of_what_is_not_taken)
{
    const struct rill_listen_options options = {.user_timeout_ns = 3 * RILL_SECOND};
    struct rill_address address;
    int value = 0;

    if (!fixture_open(_i, NULL, NULL))
        return;
    address = loopback(0);
    ck_assert_int_eq(rill_listener_open(&listener, &address,
                                        &(struct rill_listen_options){.user_timeout_ns = -1}),
                     -EINVAL);
    port = fixture_listen(&listener, &options);
    start_client(0);
    accept_into(&servers[0]);
    ck_assert_int_eq(rill_socket_get_int(servers[0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value), 0);
    ck_assert_int_eq(value, 3000);
    end_client(0);
    fixture_hang_up(&servers[0]);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(an_address_of_another_machine_and_an_unknown_congestion_control_are_errors)
{
    struct rill_address address;

    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_address_parse(&address, "192.0.2.1", 0), 0);
    ck_assert_int_eq(rill_listener_open(&listener, &address, NULL), -EADDRNOTAVAIL);
    address = loopback(0);
    ck_assert_int_eq(rill_listener_open(&listener, &address,
                                        &(struct rill_listen_options){.congestion = "no such"}),
                     -ENOENT);
    ck_assert_int_eq(rill_listener_open(&listener, &address,
                                        &(struct rill_listen_options){.congestion = "reno"}),
                     0);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(tasks_that_accept_are_served_in_order)
{
    enum { TASKS = 5 };
    static struct rill_accept accepts[TASKS];
    static struct background tasks[TASKS];
    struct rill_tcp tcp = {0};

    if (!open_listener(_i, NULL))
        return;
    for (int i = 0; i < TASKS; i++)
        background_start(&tasks[i], rill_tcp_accept(&listener, &accepts[i]));
    settle();
    for (int i = 0; i < TASKS; i++) {
        start_client(i);
        settle();
        for (int other = 0; other < TASKS; other++)
            ck_assert_int_eq(rill_task_is_over(&tasks[other].task), other <= i);
        rill_tcp_adopt(&tcp, (int)background_end(&tasks[i]));
        fixture_hang_up(&tcp);
        end_client(i);
    }
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_cancelled_accept_in_the_middle_of_the_queue_holds_up_nobody)
{
    enum { TASKS = 3 };
    static struct rill_accept accepts[TASKS];
    static struct background tasks[TASKS];

    if (!open_listener(_i, NULL))
        return;
    for (int i = 0; i < TASKS; i++)
        background_start(&tasks[i], rill_tcp_accept(&listener, &accepts[i]));
    settle();
    rill_task_cancel(&tasks[0].task);
    rill_task_cancel(&tasks[1].task);
    ck_assert_int_eq(background_end(&tasks[0]), -ECANCELED);
    ck_assert_int_eq(background_end(&tasks[1]), -ECANCELED);
    start_client(0);
    rill_tcp_adopt(&servers[0], (int)background_end(&tasks[2]));
    ck_assert(servers[0].fd >= 0);
    fixture_hang_up(&servers[0]);
    end_client(0);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_connection_whose_accept_was_cancelled_goes_to_the_next)
{
    struct background task;

    if (!open_listener(_i, NULL))
        return;
    background_start(&task, rill_tcp_accept(&listener, &accepting));
    settle();
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    for (int i = 0; i < 10; i++)
        start_client(i);
    /* they arrive while nobody accepts, for the accept stays in the kernel */
    settle_until(listener.held.count > 0);
    for (int i = 0; i < 10; i++)
        accept_into(&servers[i]);
    for (int i = 0; i < 10; i++) {
        fixture_hang_up(&servers[i]);
        end_client(i);
    }
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(connections_that_nobody_took_are_closed_with_the_listener)
{
    struct background task;

    if (!open_listener(_i, NULL))
        return;
    background_start(&task, rill_tcp_accept(&listener, &accepting));
    settle();
    rill_task_cancel(&task.task);
    background_end(&task);
    for (int i = 0; i < 20; i++)
        start_client(i);
    settle_until(listener.held.count > 0);
    close_listener();
    for (int i = 0; i < 20; i++)
        end_client(i);
    fixture_close();
}
END_TEST

START_TEST(a_listener_that_never_accepted_closes)
{
    if (!open_listener(_i, NULL))
        return;
    close_listener();
    fixture_close();
}
END_TEST

/* One look at a crowd may take all of it; then the accept is withdrawn. */
START_TEST(an_accept_that_waits_for_a_place_in_the_queue_is_withdrawn)
{
    const struct rill_runtime_options runtime_options = {.sq_entries = 2};
    static struct background receiving[2];
    static struct rill_op ops[2];
    struct background task;
    char byte;

    for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
        const struct rill_listen_options options = {.one_by_one = one_by_one};
        struct rill_tcp ends[2] = {0};

        if (!fixture_open(_i, NULL, &runtime_options))
            return;
        fixture_pair(&ends[0], &ends[1]);
        fixture_listen(&listener, &options);
        fixture_fail_enters(-EAGAIN, 1000);
        for (int i = 0; i < 2; i++)
            background_start(&receiving[i], rill_tcp_recv(&ends[i], &ops[i], &byte, 1));
        background_start(&task, rill_tcp_accept(&listener, &accepting));
        fixture_turn();
        ck_assert_int_eq(listener.op.state, RILL_OP_QUEUED);
        rill_task_cancel(&task.task);
        fixture_turn();
        ck_assert(rill_task_is_over(&task.task));
        ck_assert_int_eq(background_end(&task), -ECANCELED);
        fixture_fail_enters(0, 0);
        close_listener();
        for (int i = 0; i < 2; i++) {
            rill_task_cancel(&receiving[i].task);
            ck_assert_int_eq(background_end(&receiving[i]), -ECANCELED);
        }
        for (int i = 0; i < 2; i++)
            fixture_hang_up(&ends[i]);
        fixture_close();
    }
}
END_TEST

START_TEST(a_listener_that_holds_many_leaves_the_others_in_the_backlog_and_serves_all)
{
    enum { CROWD = 200 };
    size_t held;

    if (!open_listener(_i, NULL))
        return;
    accept_into((start_client(0), &servers[0]));
    for (int i = 1; i < CROWD / 2; i++)
        start_client(i);
    settle_until(listener.held.count >= RILL_LISTENER_HELD_MAX);
    settle();
    held = listener.held.count;
    for (int i = CROWD / 2; i < CROWD; i++)
        start_client(i);
    settle();
    ck_assert_uint_eq(listener.held.count, held);
    for (int i = 1; i < CROWD; i++)
        accept_into(&servers[i]);
    for (int i = 0; i < CROWD; i++) {
        fixture_hang_up(&servers[i]);
        end_client(i);
    }
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_listener_that_accepts_one_by_one_takes_nobody_whom_no_one_awaits)
{
    static const struct rill_listen_options one_by_one = {.one_by_one = true};
    static struct rill_accept accepts[2];
    static struct background tasks[2];

    if (!fixture_open(_i, NULL, NULL))
        return;
    port = fixture_listen(&listener, &one_by_one);
    /* Nor one whose accept was cancelled, the first of two or the last of all. */
    for (int i = 0; i < 2; i++)
        background_start(&tasks[i], rill_tcp_accept(&listener, &accepts[i]));
    settle();
    for (int i = 0; i < 2; i++) {
        expect_eq(listener.op.state, RILL_OP_IN_KERNEL);
        rill_task_cancel(&tasks[i].task);
        expect_eq(background_end(&tasks[i]), -ECANCELED);
    }
    for (int i = 0; i < 3; i++)
        start_client(i);
    for (int i = 0; i < 3; i++) {
        settle();
        expect_eq(listener.held.count, 0);
        expect_eq(listener.op.state, RILL_OP_IDLE);
        accept_into(&servers[i]);
    }
    for (int i = 0; i < 3; i++) {
        fixture_hang_up(&servers[i]);
        end_client(i);
    }
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_thousand_connections_at_once)
{
    const struct sim_options options = {.fds_max = 3000, .latency_max_ns = 1000};
    struct rlimit limit;
    static struct rill_op op;
    int count = MANY;
    char byte = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (_i == REAL && limit.rlim_cur < 2 * MANY + 100)
        count = (int)(limit.rlim_cur - 100) / 2;
    if (!open_listener(_i, &options))
        return;
    for (int i = 0; i < count; i++)
        start_client(i);
    for (int i = 0; i < count; i++)
        accept_into(&servers[i]);
    for (int i = 0; i < count; i++)
        expect_eq(background_end(&connecting[i]), 0);
    for (int i = 0; i < count; i++)
        expect_eq(await(rill_tcp_send_all(&servers[i], &op, "x", 1)), 1);
    for (int i = 0; i < count; i++) {
        expect_eq(await(rill_tcp_recv(&clients[i], &op, &byte, 1)), 1);
        fixture_hang_up(&clients[i]);
        fixture_hang_up(&servers[i]);
    }
    close_listener();
    fixture_close();
}
END_TEST

/* The simulated kernel keeps the option, and does nothing with it. */
static void expect_families(bool ip6_only)
{
    const struct rill_listen_options options = {.ip6_only = ip6_only};
    struct rill_address address, peer;
    char text[RILL_ADDRESS_TEXT_MAX];
    int value = -1;

    ck_assert_int_eq(rill_address_parse(&address, "::", 0), 0);
    ck_assert_int_eq(rill_listener_open(&listener, &address, &options), 0);
    ck_assert_int_eq(rill_socket_get_int(listener.fd, IPPROTO_IPV6, IPV6_V6ONLY, &value), 0);
    ck_assert_int_eq(value, ip6_only);
    ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
    port = rill_address_port(&address);
    ck_assert_int_eq(rill_address_parse(&address, "::1", port), 0);
    background_start(&connecting[0], rill_tcp_connect_address(&clients[0], &connects[0], &address));
    accept_into(&servers[0]);
    ck_assert_int_eq(rill_tcp_peer_address(&servers[0], &peer), 0);
    ck_assert_int_eq(strncmp(rill_address_format(&peer, text), "[::1]:", 6), 0);
    fixture_hang_up(&servers[0]);
    end_client(0);
    if (!ip6_only || !fixture.sim) {
        start_client(0);
        ck_assert_int_eq(background_end(&connecting[0]), ip6_only ? -ECONNREFUSED : 0);
    }
    if (!ip6_only) {
        accept_into(&servers[0]);
        fixture_hang_up(&servers[0]);
        fixture_hang_up(&clients[0]);
    }
    close_listener();
}

START_TEST(an_IPv6_listener_takes_IPv4_too_unless_its_option_says_no)
{
    struct rill_address address;

    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_address_parse(&address, "::1", 0), 0);
    if (_i == REAL && rill_listener_open(&listener, &address, NULL) == -EADDRNOTAVAIL) {
        printf("skipped: this machine has no IPv6\n");
        fixture_close();
        return;
    }
    if (_i == REAL)
        close_listener();
    expect_families(false);
    expect_families(true);
    fixture_close();
}
END_TEST

/* ---- without descriptors ---- */

START_TEST(a_listener_without_descriptors_pauses_and_serves_again_when_there_are_some)
{
    enum { FDS = 8, PEERS = 20 };
    const struct sim_options options = {.fds_max = FDS};
    struct sim_peer *peers[PEERS];
    struct background task;
    struct rill_sleep sleep;
    size_t enters;
    int accepted = 0;

    open_listener(SIMULATED, &options);
    for (int i = 0; i < PEERS; i++)
        peers[i] = sim_peer_connect(fixture.sim, port);
    for (; accepted < FDS - 1; accepted++)
        accept_into(&servers[accepted]);
    background_start(&task, rill_tcp_accept(&listener, &accepting));
    enters = sim_enters(fixture.sim);
    await(rill_sleep(&sleep, 10 * RILL_SECOND));
    ck_assert(!rill_task_is_over(&task.task));
    ck_assert_uint_ge(listener.shortages, 5);
    ck_assert_uint_le(listener.shortages, 30); /* 1 ms, 2 ms, ... 1 s, 1 s */
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 120);
    fixture_hang_up(&servers[0]);
    ck_assert_int_ge(background_end(&task), 0);
    ck_assert_int_le(listener.pause.length_ns, RILL_MILLISECOND); /* that of the next shortage */
    rill_tcp_adopt(&servers[0], (int)accepting.result);
    for (accepted++; accepted < PEERS; accepted++) {
        fixture_hang_up(&servers[accepted % (FDS - 1)]);
        accept_into(&servers[accepted % (FDS - 1)]);
    }
    for (int i = 0; i < FDS - 1; i++)
        fixture_hang_up(&servers[i]);
    for (int i = 0; i < PEERS; i++)
        ck_assert(sim_peer_connected(peers[i]));
    close_listener();
    fixture_close();
}
END_TEST

/* The kernel asks its security modules before it looks whether anybody waits (do_accept in
 * net/socket.c), so the next attempt has the same answer at once. */
START_TEST(a_listener_that_may_not_accept_just_now_pauses_too)
{
    const struct sim_options options = {
        .accept_forbidden_until_ns = SIM_START_NS + 10 * RILL_SECOND,
    };
    struct background task;
    size_t enters;

    open_listener(SIMULATED, &options);
    enters = sim_enters(fixture.sim);
    background_start(&task, rill_tcp_accept(&listener, &accepting));
    sim_peer_connect(fixture.sim, port);
    ck_assert_int_ge(background_end(&task), 0);
    ck_assert_int_ge(sim_now(fixture.sim), options.accept_forbidden_until_ns);
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 120);
    ck_assert_uint_ge(listener.shortages, 5);
    rill_tcp_adopt(&servers[0], (int)accepting.result);
    fixture_hang_up(&servers[0]);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_pause_for_want_of_descriptors_can_be_cancelled_and_is_begun_by_the_next)
{
    const struct sim_options options = {.fds_max = 2};
    struct background tasks[2];
    struct rill_accept accepts[2];

    open_listener(SIMULATED, &options);
    sim_peer_connect(fixture.sim, port);
    sim_peer_connect(fixture.sim, port);
    accept_into(&servers[0]);
    for (int i = 0; i < 2; i++)
        background_start(&tasks[i], rill_tcp_accept(&listener, &accepts[i]));
    settle();
    rill_task_cancel(&tasks[0].task);
    ck_assert_int_eq(background_end(&tasks[0]), -ECANCELED);
    fixture_hang_up(&servers[0]);
    ck_assert_int_ge(background_end(&tasks[1]), 0);
    rill_tcp_adopt(&servers[0], (int)accepts[1].result);
    fixture_hang_up(&servers[0]);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(errors_of_single_connections_do_not_end_a_listener)
{
    for (uint64_t seed = 1; seed < 50; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .accept_per_mille = 500,
            .enomem_per_mille = 200,
            .multishot_end_per_mille = 300,
        };
        struct sim_peer *peers[10];

        open_listener(SIMULATED, &options);
        for (int i = 0; i < 10; i++)
            peers[i] = sim_peer_connect(fixture.sim, port);
        for (int i = 0; i < 10; i++) {
            accept_into(&servers[i]);
            fixture_hang_up(&servers[i]);
        }
        settle();
        for (int i = 0; i < 10; i++)
            expect(sim_peer_ended(peers[i]));
        close_listener();
        fixture_close();
    }
}
END_TEST

/* A program that is executed by others than rill (io/child.h) has none of them either. */
START_TEST(descriptors_of_connections_are_closed_when_a_program_is_executed)
{
    if (!open_listener(_i, NULL))
        return;
    start_client(0);
    accept_into(&servers[0]);
    ck_assert_int_eq(fcntl(listener.fd, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(servers[0].fd, F_GETFD), FD_CLOEXEC);
    fixture_hang_up(&servers[0]);
    ck_assert_int_eq(background_end(&connecting[0]), 0);
    ck_assert_int_eq(fcntl(clients[0].fd, F_GETFD), FD_CLOEXEC);
    fixture_hang_up(&clients[0]);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(a_listener_that_was_shut_down_tells_all_that_accept)
{
    struct background tasks[3];
    struct rill_accept accepts[3];

    if (!open_listener(_i, NULL))
        return;
    for (int i = 0; i < 3; i++)
        background_start(&tasks[i], rill_tcp_accept(&listener, &accepts[i]));
    settle();
    ck_assert_int_eq(shutdown(listener.fd, SHUT_RDWR), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(background_end(&tasks[i]), -EINVAL);
    ck_assert_int_eq(await(rill_tcp_accept(&listener, &accepting)), -EINVAL);
    close_listener();
    fixture_close();
}
END_TEST

static void close_while_accepting(void)
{
    struct background task;

    open_listener(SIMULATED, NULL);
    background_start(&task, rill_tcp_accept(&listener, &accepting));
    fixture_turn();
    await(rill_listener_close(&listener));
}

START_TEST(closing_while_a_task_accepts_is_a_panic)
{
    fixture_expect_panic(close_while_accepting, "a listener is closed while a task accepts");
}
END_TEST

static void open_what_is_open(void)
{
    struct rill_address address = loopback(0);

    open_listener(SIMULATED, NULL);
    rill_listener_open(&listener, &address, NULL);
}

static void adopt_into_what_is_open(void)
{
    open_listener(SIMULATED, NULL);
    rill_listener_adopt(&listener, listener.fd, NULL);
}

START_TEST(a_listener_that_is_open_is_not_opened_again)
{
    fixture_expect_panic(open_what_is_open, "a listener was opened that is open already");
    fixture_expect_panic(adopt_into_what_is_open, "a listener was opened that is open already");
}
END_TEST

static enum rill_poll acceptor_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_accept(&listener, &accepting));
    RILL_END();
}

static void accept_twice_with_one_struct(void)
{
    static struct rill_task tasks[2];

    open_listener(SIMULATED, NULL);
    rill_task_spawn(&tasks[0], acceptor_poll);
    rill_task_spawn(&tasks[1], acceptor_poll);
    fixture_turn();
}

START_TEST(two_that_accept_with_one_struct_are_a_panic)
{
    fixture_expect_panic(accept_twice_with_one_struct, "two that wait use the same struct");
}
END_TEST

/* What another task does while the listener is being closed. */
static enum rill_poll late_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_accept(&listener, &accepting));
    RILL_RETURN(accepting.result);
    RILL_END();
}

START_TEST(from_the_beginning_of_its_close_on_a_listener_is_not_open)
{
    struct background closing, late;
    struct rill_future future;

    if (!open_listener(_i, NULL))
        return;
    background_start(&closing, rill_listener_close(&listener));
    background_start(&late, rill_future_init(&future, late_poll));
    ck_assert_int_eq(background_end(&late), -EBADF);
    ck_assert_int_eq(background_end(&closing), 0);
    fixture_close();
}
END_TEST

/* ---- sockets that others opened ---- */

static const struct rill_kernel_ops *ops(void)
{
    return fixture.runtime->reactor.kernel->ops;
}

static int open_socket(int domain, int type)
{
    int fd = ops()->socket(fixture.runtime->reactor.kernel, domain, type, 0);

    ck_assert_int_ge(fd, 0);
    return fd;
}

/* As somebody else does it, who may have it in non-blocking mode. */
static int open_listening_socket(int flags)
{
    struct rill_kernel *kernel = fixture.runtime->reactor.kernel;
    struct rill_address address = loopback(0);
    int fd = open_socket(AF_INET, SOCK_STREAM | flags);

    ck_assert_int_eq(ops()->bind(kernel, fd, &address.any, address.size), 0);
    ck_assert_int_eq(ops()->listen(kernel, fd, 10), 0);
    return fd;
}

START_TEST(a_socket_that_listens_is_adopted_and_closed)
{
    static const int flags[] = {0, SOCK_NONBLOCK};
    const struct rill_listen_options options = {.nodelay = true};
    struct rill_address address;

    for (int i = 0; i < 2; i++) {
        int64_t submissions;

        if (!fixture_open(_i, NULL, NULL))
            return;
        ck_assert_int_eq(rill_listener_adopt(&listener, open_listening_socket(flags[i]), &options),
                         0);
        ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
        port = rill_address_port(&address);
        background_start(&connecting[1], rill_tcp_accept(&listener, &accepting));
        settle();
        submissions = (int64_t)fixture.runtime->reactor.stats.submissions;
        settle(); /* it waits in the kernel, and not by asking again and again */
        ck_assert_int_le((int64_t)fixture.runtime->reactor.stats.submissions, submissions + 2);
        start_client(0);
        ck_assert_int_ge(background_end(&connecting[1]), 0);
        rill_tcp_adopt(&servers[0], (int)accepting.result);
        if (_i == REAL) {
            int on = 0;
            socklen_t size = sizeof on;

            ck_assert_int_eq(getsockopt(servers[0].fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
            ck_assert_int_eq(on, 1);
        }
        fixture_hang_up(&servers[0]);
        end_client(0);
        close_listener();
        ck_assert(!listener.is_open);
        fixture_close();
    }
}
END_TEST

START_TEST(what_does_not_listen_is_not_adopted_and_stays_the_callers)
{
    struct rill_kernel *kernel;
    int idle, datagrams, no_socket;

    if (!fixture_open(_i, NULL, NULL))
        return;
    kernel = fixture.runtime->reactor.kernel;
    memset(&listener, 0, sizeof listener);
    idle = open_socket(AF_INET, SOCK_STREAM);
    datagrams = open_socket(AF_INET, SOCK_DGRAM);
    ck_assert_int_eq(rill_listener_adopt(&listener, idle, NULL), -EINVAL);
    ck_assert_int_eq(rill_listener_adopt(&listener, datagrams, NULL), -EPROTOTYPE);
    if (_i == REAL) {
        const struct rill_listen_options strange = {.congestion = "no such"};

        no_socket = eventfd(0, EFD_CLOEXEC);
        ck_assert_int_eq(rill_listener_adopt(&listener, no_socket, NULL), -ENOTSOCK);
        ck_assert_int_eq(close(no_socket), 0);
        ck_assert_int_eq(rill_listener_adopt(&listener, no_socket, NULL), -EBADF);
        no_socket = open_listening_socket(0);
        ck_assert_int_eq(rill_listener_adopt(&listener, no_socket, &strange), -ENOENT);
        ck_assert_int_eq(close(no_socket), 0);
    }
    ck_assert(!listener.is_open);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 0);
    ck_assert_int_eq(ops()->close(kernel, idle), 0);
    ck_assert_int_eq(ops()->close(kernel, datagrams), 0);
    fixture_close();
}
END_TEST

START_TEST(accepting_where_nobody_listens_is_EBADF_and_takes_no_others_connection)
{
    struct rill_listener closed = {.fd = 0};
    struct rill_address address;

    if (!open_listener(_i, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_accept(&closed, &accepting)), -EBADF);
    closed = listener; /* as one that was closed, and whose number is another's by now */
    closed.is_open = false;
    ck_assert_int_eq(await(rill_tcp_accept(&closed, &accepting)), -EBADF);
    ck_assert_int_eq(rill_listener_address(&closed, &address), -EBADF);
    start_client(0);
    accept_into(&servers[0]);
    end_client(0);
    fixture_hang_up(&servers[0]);
    close_listener();
    fixture_close();
}
END_TEST

START_TEST(closing_what_was_never_open_or_is_closed_is_0)
{
    static struct rill_listener never, twice;

    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_listener_close(&never)), 0);
    fixture_listen(&twice, NULL);
    ck_assert_int_eq(await(rill_listener_close(&twice)), 0);
    ck_assert_int_eq(await(rill_listener_close(&twice)), 0);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {port_0_is_a_free_port_that_the_listener_knows, IN_BOTH},
        {a_port_that_is_taken_is_EADDRINUSE_and_leaves_no_descriptor, IN_BOTH},
        {two_listeners_share_a_port_with_reuseport, IN_BOTH},
        {connections_inherit_the_limit_of_what_is_not_taken, IN_REAL},
        {an_address_of_another_machine_and_an_unknown_congestion_control_are_errors, IN_REAL},
        {tasks_that_accept_are_served_in_order, IN_BOTH},
        {a_cancelled_accept_in_the_middle_of_the_queue_holds_up_nobody, IN_BOTH},
        {a_connection_whose_accept_was_cancelled_goes_to_the_next, IN_BOTH},
        {connections_that_nobody_took_are_closed_with_the_listener, IN_BOTH},
        {a_listener_that_never_accepted_closes, IN_BOTH},
        {an_accept_that_waits_for_a_place_in_the_queue_is_withdrawn, IN_BOTH},
        {a_listener_that_holds_many_leaves_the_others_in_the_backlog_and_serves_all, IN_BOTH},
        {a_listener_that_accepts_one_by_one_takes_nobody_whom_no_one_awaits, IN_BOTH},
        {a_thousand_connections_at_once, IN_BOTH},
        {an_IPv6_listener_takes_IPv4_too_unless_its_option_says_no, IN_BOTH},
        {a_listener_without_descriptors_pauses_and_serves_again_when_there_are_some, IN_SIMULATED},
        {a_listener_that_may_not_accept_just_now_pauses_too, IN_SIMULATED},
        {a_pause_for_want_of_descriptors_can_be_cancelled_and_is_begun_by_the_next, IN_SIMULATED},
        {errors_of_single_connections_do_not_end_a_listener, IN_SIMULATED},
        {descriptors_of_connections_are_closed_when_a_program_is_executed, IN_REAL},
        {a_listener_that_was_shut_down_tells_all_that_accept, IN_REAL},
        {closing_while_a_task_accepts_is_a_panic, IN_SIMULATED},
        {a_listener_that_is_open_is_not_opened_again, IN_SIMULATED},
        {two_that_accept_with_one_struct_are_a_panic, IN_SIMULATED},
        {from_the_beginning_of_its_close_on_a_listener_is_not_open, IN_BOTH},
        {a_socket_that_listens_is_adopted_and_closed, IN_BOTH},
        {what_does_not_listen_is_not_adopted_and_stays_the_callers, IN_BOTH},
        {accepting_where_nobody_listens_is_EBADF_and_takes_no_others_connection, IN_BOTH},
        {closing_what_was_never_open_or_is_closed_is_0, IN_BOTH},
    };

    return fixture_main("listener", cases, sizeof cases / sizeof *cases);
}
