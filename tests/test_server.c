/* SPDX-License-Identifier: Apache-2.0 */
/* test_server.c - a server gives each connection a task, and goes without taking them along. */
#include "net/server.h"

#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/short_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct echo {
    struct rill_task task;
    int before; /* the connection need not come first */
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[4096];
};

static unsigned echoes_begun, echoes_over;

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    expect_eq(echo->before, 0);
    echoes_begun++;
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer));
        if (echo->recv.result <= 0)
            break;
        RILL_AWAIT(
            rill_tcp_send_all(&echo->peer, &echo->send, echo->buffer, (size_t)echo->recv.result));
        if (echo->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    echoes_over++;
    RILL_END();
}

static struct rill_server server;
static struct background serving;
static uint16_t port;

static struct rill_future *serve(const char *url)
{
    return rill_serve(&server, url, RILL_SERVICE(struct echo, peer, echo_poll));
}

static bool start_server(int which, const struct sim_options *options)
{
    struct rill_address address;

    if (!fixture_open(which, options, NULL))
        return false;
    background_start(&serving, serve("tcp://127.0.0.1:0"));
    fixture_turn();
    ck_assert_int_eq(rill_listener_address(&server.listener, &address), 0);
    port = rill_address_port(&address);
    return true;
}

static void stop_server(void)
{
    rill_task_cancel(&serving.task);
    ck_assert_int_eq(background_end(&serving), -ECANCELED);
    ck_assert_int_eq(server.result, -ECANCELED);
}

static void connect_client(struct rill_tcp *tcp)
{
    static struct rill_connect connect;

    expect_eq(await(rill_tcp_connect(tcp, &connect, "127.0.0.1", port)), 0);
}

static void expect_echo(struct rill_tcp *tcp)
{
    static struct rill_op op;
    char bytes[] = "hello", back[sizeof bytes] = "";

    expect_eq(await(rill_tcp_send_all(tcp, &op, bytes, sizeof bytes)), sizeof bytes);
    expect_eq(await(rill_tcp_recv_exactly(tcp, &op, back, sizeof back)), sizeof back);
    expect(memcmp(bytes, back, sizeof back) == 0);
}

START_TEST(each_connection_is_served_by_a_task_of_its_own)
{
    enum { CLIENTS = 50 };
    struct rill_tcp clients[CLIENTS] = {{.fd = 0}};

    if (!start_server(_i, NULL))
        return;
    for (int i = 0; i < CLIENTS; i++)
        connect_client(&clients[i]);
    for (int i = CLIENTS - 1; i >= 0; i--)
        expect_echo(&clients[i]);
    ck_assert_uint_eq(server.accepted, CLIENTS);
    ck_assert_uint_eq(echoes_begun, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        fixture_hang_up(&clients[i]);
    stop_server();
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    ck_assert_uint_eq(echoes_over, CLIENTS);
    fixture_close();
}
END_TEST

START_TEST(connections_go_on_when_their_server_has_ended)
{
    struct rill_tcp client = {.fd = 0}, late = {.fd = 0};
    static struct rill_connect connect;

    if (!start_server(_i, NULL))
        return;
    connect_client(&client);
    expect_echo(&client);
    stop_server();
    expect_echo(&client);
    ck_assert_int_eq(await(rill_tcp_connect(&late, &connect, "127.0.0.1", port)), -ECONNREFUSED);
    fixture_hang_up(&client);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    fixture_close();
}
END_TEST

/* Turns up to the moment at which a connection was accepted and the server does not know yet. */
static void turn_until_accepted(void)
{
    struct rill_executor *executor = &fixture.runtime->executor;

    for (;;) {
        expect_eq(rill_executor_wait(executor, RILL_SECOND), 0);
        if (server.listener.held.count > 0)
            return;
        rill_executor_run(executor);
    }
}

START_TEST(a_client_that_was_accepted_before_its_server_was_cancelled_is_served)
{
    static struct rill_connect connect;
    static struct background connecting;
    struct rill_tcp client = {.fd = 0};

    if (!start_server(_i, NULL))
        return;
    background_start(&connecting, rill_tcp_connect(&client, &connect, "127.0.0.1", port));
    turn_until_accepted();
    stop_server();
    ck_assert_int_eq(background_end(&connecting), 0);
    expect_echo(&client);
    ck_assert_uint_eq(server.accepted, 1);
    fixture_hang_up(&client);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    fixture_close();
}
END_TEST

/* None is accepted and then closed: a socket that goes on listening elsewhere has it still. Whom
 * nobody has accepted, the end of the socket resets. */
START_TEST(a_client_that_comes_as_its_server_is_cancelled_is_served_or_not_accepted)
{
    enum { PEERS = 3 };
    uint64_t first, count, accepted = 0;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .shuffle = true,
            .delay_max_ns = 100 * RILL_MICROSECOND,
            .latency_max_ns = 100 * RILL_MICROSECOND,
            .cancel_lost_per_mille = 500,
        };
        struct sim_peer *peers[PEERS];
        struct rill_sleep sleep;

        fixture.seed = seed;
        fixture.seeded = true;
        memset(&server, 0, sizeof server);
        start_server(SIMULATED, &options);
        for (int i = 0; i < PEERS; i++)
            peers[i] = sim_peer_connect(fixture.sim, port);
        await(rill_sleep(&sleep, (int64_t)sim_random(fixture.sim, 300 * RILL_MICROSECOND)));
        stop_server();
        settle();
        for (int i = 0; i < PEERS; i++)
            expect(!sim_peer_ended(peers[i]));
        accepted += server.accepted;
        rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
        fixture_close();
    }
    expect(count < 100 || (accepted > 0 && accepted < count * PEERS)); /* both happen */
}
END_TEST

START_TEST(a_shutdown_cancels_the_connections_that_do_not_end)
{
    struct rill_tcp client = {.fd = 0};
    static struct rill_op op;
    char byte = 0;

    if (!start_server(_i, NULL))
        return;
    connect_client(&client);
    expect_echo(&client);
    stop_server();
    rill_runtime_shutdown(fixture.runtime, 5 * RILL_MILLISECOND);
    ck_assert_uint_eq(echoes_over, 1);
    ck_assert_int_eq(await(rill_tcp_recv(&client, &op, &byte, 1)), 0);
    fixture_hang_up(&client);
    fixture_close();
}
END_TEST

START_TEST(a_URL_that_is_wrong_is_EINVAL_and_says_why)
{
    static const struct {
        const char *url, *says;
    } cases[] = {
        {"127.0.0.1:7000", "scheme"},           {"udp://127.0.0.1:7000", "neither tcp nor unix"},
        {"unix://", "path is missing"},         {"tcp://localhost:7000", "numeric address"},
        {"tcp://127.0.0.1", "port is missing"}, {"tcp://127.0.0.1:70000", "65535"},
        {"tcp://::1:7000", "brackets"},         {"", "scheme"},
    };

    if (!fixture_open(_i, NULL, NULL))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memset(&server, 0, sizeof server);
        expect_eq(await(serve(cases[i].url)), -EINVAL);
        expect(server.why && strstr(server.why, cases[i].says));
    }
    fixture_close();
}
END_TEST

START_TEST(a_port_that_is_taken_is_the_result)
{
    struct rill_server second = {.announce = NULL};
    char url[40];

    if (!start_server(_i, NULL))
        return;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    ck_assert_int_eq(await(rill_serve(&second, url, RILL_SERVICE(struct echo, peer, echo_poll))),
                     -EADDRINUSE);
    stop_server();
    fixture_close();
}
END_TEST

START_TEST(a_server_that_announces_says_why_it_can_not_listen)
{
    struct rill_server second = {.announce = stdout};
    char url[40], want[120], *text = NULL;
    FILE *before = stderr;
    size_t size = 0;

    if (!start_server(_i, NULL))
        return;
    snprintf(url, sizeof url, "tcp://127.0.0.1:%u", port);
    snprintf(want, sizeof want,
             "%s: the port is taken by another program (port 0 picks a free one)\n", url);
    stderr = open_memstream(&text, &size);
    await(rill_serve(&second, url, RILL_SERVICE(struct echo, peer, echo_poll)));
    fclose(stderr);
    stderr = before;
    ck_assert_str_eq(text, want);
    free(text);
    stop_server();
    fixture_close();
}
END_TEST

START_TEST(a_server_announces_the_address_at_which_it_really_listens)
{
    char *text = NULL, want[80];
    size_t size = 0;

    server.announce = open_memstream(&text, &size);
    if (start_server(_i, NULL)) {
        snprintf(want, sizeof want, "listening on tcp://127.0.0.1:%u\n", port);
        ck_assert_str_eq(text, want);
        stop_server();
        fixture_close();
    }
    fclose(server.announce);
    free(text);
}
END_TEST

START_TEST(a_server_listens_at_IPv6_too)
{
    struct rill_address address;
    struct rill_tcp client = {.fd = 0};
    static struct rill_connect connect;

    if (!fixture_open(_i, NULL, NULL))
        return;
    background_start(&serving, serve("TCP://[::1]:0"));
    fixture_turn();
    if (rill_task_is_over(&serving.task)) {
        ck_assert_int_eq(background_end(&serving), -EADDRNOTAVAIL);
        printf("skipped: this machine has no IPv6\n");
        fixture_close();
        return;
    }
    ck_assert_int_eq(rill_listener_address(&server.listener, &address), 0);
    ck_assert_int_eq(await(rill_tcp_connect(&client, &connect, "::1", rill_address_port(&address))),
                     0);
    expect_echo(&client);
    fixture_hang_up(&client);
    stop_server();
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    fixture_close();
}
END_TEST

/* As in a program that was started without a standard input. */
START_TEST(connections_whose_descriptor_is_0_are_served_like_all_others)
{
    const struct rill_address address = loopback(start_server(_i, NULL) ? port : 0);
    struct rill_tcp client = {.fd = 0};
    int saved, fd;

    if (port == 0)
        return;
    saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    for (int i = 0; i < 2; i++) {
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* which does not get 0 */
        close(STDIN_FILENO);
        ck_assert_int_eq(connect(fd, &address.any, address.size), 0);
        rill_tcp_adopt_foreign(&client, fd);
        if (i == 0)
            settle(); /* it is accepted before anybody says a word */
        expect_echo(&client);
        ck_assert_int_ge(fcntl(STDIN_FILENO, F_GETFD), 0);
        fixture_hang_up(&client);
        settle();
        ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
        dup2(saved, STDIN_FILENO);
    }
    close(saved);
    stop_server();
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    ck_assert_uint_eq(echoes_over, 2);
    fixture_close();
}
END_TEST

START_TEST(a_server_without_descriptors_serves_on_when_there_are_some)
{
    enum { PEERS = 30 };
    const struct sim_options options = {.fds_max = 6};
    struct sim_peer *peers[PEERS];

    start_server(SIMULATED, &options);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = sim_peer_connect(fixture.sim, port);
        sim_peer_send(peers[i], "hello", 5);
        sim_peer_shutdown(peers[i]);
    }
    for (int i = 0; i < PEERS; i++)
        settle();
    for (int i = 0; i < PEERS; i++) {
        const void *bytes;

        ck_assert_uint_eq(sim_peer_received(peers[i], &bytes), 5);
        ck_assert(memcmp(bytes, "hello", 5) == 0);
        ck_assert(sim_peer_ended(peers[i]));
    }
    ck_assert_uint_eq(server.accepted, PEERS);
    stop_server();
    fixture_close();
}
END_TEST

START_TEST(a_server_that_was_cancelled_before_it_began_leaves_no_socket)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    background_start(&serving, serve("tcp://127.0.0.1:0"));
    stop_server();
    fixture_close();
}
END_TEST

/* ---- what the connections share ---- */

struct turn {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op send;
    unsigned *turns;
};

static enum rill_poll turn_poll(struct rill_future *self, struct rill_task *task)
{
    struct turn *turn = rill_container_of(self, struct turn, task.future);

    RILL_BEGIN();
    ++*turn->turns;
    RILL_AWAIT(rill_tcp_send_all(&turn->peer, &turn->send, turn->turns, sizeof *turn->turns));
    RILL_AWAIT(rill_tcp_close(&turn->peer));
    RILL_END();
}

START_TEST(the_connections_of_a_service_share_what_it_was_given)
{
    static struct rill_connect connect;
    static struct rill_op op;
    struct rill_address address;
    unsigned turns = 0, answer;

    if (!fixture_open(_i, NULL, NULL))
        return;
    background_start(&serving,
                     rill_serve(&server, "tcp://127.0.0.1:0",
                                RILL_SERVICE_WITH(struct turn, peer, turn_poll, turns, &turns)));
    fixture_turn();
    ck_assert_int_eq(rill_listener_address(&server.listener, &address), 0);
    for (unsigned i = 1; i <= 3; i++) {
        struct rill_tcp client = {.fd = 0};

        answer = 0;
        expect_eq(await(rill_tcp_connect_address(&client, &connect, &address)), 0);
        expect_eq(await(rill_tcp_recv_exactly(&client, &op, &answer, sizeof answer)),
                  sizeof answer);
        expect_eq(answer, i);
        expect_eq(await(rill_tcp_close(&client)), 0);
    }
    expect_eq(turns, 3);
    stop_server();
    fixture_close();
}
END_TEST

static struct rill_scope scope;

START_TEST(connections_that_are_spawned_into_a_scope_are_cancelled_with_it)
{
    struct rill_tcp client = {.fd = 0};
    static struct rill_op op;
    char byte = 0;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    server.scope = &scope;
    if (!start_server(_i, NULL))
        return;
    connect_client(&client);
    expect_echo(&client);
    stop_server();
    expect_echo(&client);
    expect_eq(scope.alive, 1);
    rill_scope_cancel(&scope, RILL_SHUTTING_DOWN);
    expect_eq(await(rill_scope_join(&scope)), 0);
    expect_eq(echoes_over, 1);
    expect_eq(await(rill_tcp_recv(&client, &op, &byte, 1)), 0);
    fixture_hang_up(&client);
    fixture_close();
}
END_TEST

/* ---- no more than so many ---- */

/* A server that is full, with two clients and a third one that waits. */
static bool start_full_server(int which, struct rill_tcp clients[3])
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    server.scope = &scope;
    server.connections_max = 2;
    if (!start_server(which, NULL))
        return false;
    for (int i = 0; i < 3; i++) {
        connect_client(&clients[i]);
        if (i < 2)
            expect_echo(&clients[i]);
    }
    settle();
    return true;
}

START_TEST(who_is_too_many_waits_in_the_backlog_until_another_one_ends)
{
    struct rill_tcp clients[3] = {{.fd = 0}};

    if (!start_full_server(_i, clients))
        return;
    expect_eq(scope.alive, 2);
    expect_eq(server.accepted, 2);
    expect_eq(server.listener.held.count, 0);
    fixture_hang_up(&clients[0]);
    expect_echo(&clients[2]);
    expect_eq(scope.alive, 2);
    expect_eq(server.accepted, 3);
    fixture_hang_up(&clients[1]);
    fixture_hang_up(&clients[2]);
    settle_until(scope.alive == 0);
    stop_server();
    fixture_close();
}
END_TEST

START_TEST(a_full_server_ends_when_it_is_cancelled_and_its_connections_go_on)
{
    struct rill_tcp clients[3] = {{.fd = 0}};
    static struct rill_op op;
    char byte;

    if (!start_full_server(_i, clients))
        return;
    stop_server();
    expect_echo(&clients[0]);
    expect(await(rill_tcp_recv(&clients[2], &op, &byte, 1)) <= 0);
    expect_eq(server.accepted, 2);
    for (int i = 0; i < 3; i++)
        fixture_hang_up(&clients[i]);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    expect_eq(scope.alive, 0);
    fixture_close();
}
END_TEST

static void limit_without_a_scope(void)
{
    fixture_open(SIMULATED, NULL, NULL);
    server.connections_max = 10;
    serve("tcp://127.0.0.1:0");
}

START_TEST(a_maximum_without_a_scope_is_a_panic)
{
    fixture_expect_panic(limit_without_a_scope, "but not the scope that counts them");
}
END_TEST

/* ---- want of memory ---- */

static void serve_without_memory(int which, bool is_cancelled)
{
    struct rill_service service = RILL_SERVICE(struct echo, peer, echo_poll);
    struct rill_tcp client = {.fd = 0};
    struct rill_address address;

    if (!memory_can_be_short() || !fixture_open(which, NULL, NULL))
        return;
    service.size = 200000; /* no block of that size is left over from others */
    background_start(&serving, rill_serve(&server, "tcp://127.0.0.1:0", service));
    fixture_turn();
    ck_assert_int_eq(rill_listener_address(&server.listener, &address), 0);
    port = rill_address_port(&address);
    memory_is_short = true;
    connect_client(&client);
    settle();
    expect_eq(server.accepted, 0);
    if (is_cancelled) {
        uint64_t polls = fixture.runtime->executor.polls;

        rill_task_cancel(&serving.task);
        for (int i = 0; i < 100; i++)
            fixture_turn();
        expect(!rill_task_is_over(&serving.task));
        expect(fixture.runtime->executor.polls - polls <
               50); /* it leaves the core to those who end */
    }
    memory_is_short = false;
    expect_echo(&client);
    expect_eq(server.accepted, 1);
    if (is_cancelled)
        expect_eq(background_end(&serving), -ECANCELED);
    else
        stop_server();
    fixture_hang_up(&client);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    fixture_close();
}

START_TEST(a_client_waits_until_there_is_memory_for_it)
{
    serve_without_memory(_i, false);
}
END_TEST

START_TEST(a_client_that_was_accepted_is_served_though_the_server_is_cancelled)
{
    serve_without_memory(_i, true);
}
END_TEST

static void serve_another_kind(void)
{
    static struct rill_server other;

    fixture_open(SIMULATED, NULL, NULL);
    rill_serve(&other, "tcp://127.0.0.1:0", RILL_SERVICE(struct turn, send, turn_poll));
}

START_TEST(a_service_with_another_kind_of_connection_is_a_panic)
{
    fixture_expect_panic(serve_another_kind, "it is another one's service");
}
END_TEST

static void serve_nowhere(void)
{
    static struct rill_server nowhere;

    fixture_open(SIMULATED, NULL, NULL);
    rill_serve(&nowhere, NULL, RILL_SERVICE(struct echo, peer, echo_poll)); /* of argv, say */
}

START_TEST(a_server_without_a_URL_is_a_panic)
{
    fixture_expect_panic(serve_nowhere, "a server was given NULL to listen at");
}
END_TEST

static void serve_giants(void)
{
    static struct rill_server big;

    fixture_open(SIMULATED, NULL, NULL);
    rill_serve(&big, "tcp://127.0.0.1:0",
               (struct rill_service){.size = RILL_POOL_BLOCK_MAX + 1, .poll = echo_poll});
}

START_TEST(a_connection_struct_that_is_too_large_is_a_panic)
{
    fixture_expect_panic(serve_giants, "a connection's struct has 262145 bytes");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {each_connection_is_served_by_a_task_of_its_own, IN_BOTH},
        {connections_go_on_when_their_server_has_ended, IN_BOTH},
        {a_client_that_was_accepted_before_its_server_was_cancelled_is_served, IN_BOTH},
        {a_client_that_comes_as_its_server_is_cancelled_is_served_or_not_accepted, IN_SIMULATED},
        {a_shutdown_cancels_the_connections_that_do_not_end, IN_BOTH},
        {a_URL_that_is_wrong_is_EINVAL_and_says_why, IN_BOTH},
        {a_server_without_a_URL_is_a_panic, IN_SIMULATED},
        {a_port_that_is_taken_is_the_result, IN_BOTH},
        {a_server_that_announces_says_why_it_can_not_listen, IN_BOTH},
        {a_server_announces_the_address_at_which_it_really_listens, IN_BOTH},
        {a_server_listens_at_IPv6_too, IN_BOTH},
        {connections_whose_descriptor_is_0_are_served_like_all_others, IN_REAL},
        {a_server_without_descriptors_serves_on_when_there_are_some, IN_SIMULATED},
        {a_server_that_was_cancelled_before_it_began_leaves_no_socket, IN_BOTH},
        {the_connections_of_a_service_share_what_it_was_given, IN_BOTH},
        {connections_that_are_spawned_into_a_scope_are_cancelled_with_it, IN_BOTH},
        {who_is_too_many_waits_in_the_backlog_until_another_one_ends, IN_BOTH},
        {a_full_server_ends_when_it_is_cancelled_and_its_connections_go_on, IN_BOTH},
        {a_maximum_without_a_scope_is_a_panic, IN_SIMULATED},
        {a_client_waits_until_there_is_memory_for_it, IN_BOTH},
        {a_client_that_was_accepted_is_served_though_the_server_is_cancelled, IN_BOTH},
        {a_connection_struct_that_is_too_large_is_a_panic, IN_SIMULATED},
        {a_service_with_another_kind_of_connection_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("server", cases, sizeof cases / sizeof *cases);
}
