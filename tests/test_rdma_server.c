/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_server.c - a server over UCX gives each connection a task, waits for memory, and goes
 * without taking them along. Over a simulated UCX; examples/rdma_echo, examples/rdma_rpc and
 * rill-echo serve with the real one. */
#include "rdma/server.h"

#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"
#include "tests/short_memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 5 };

static struct side left, right; /* of the clients, and of the server */
static struct rill_ucx table;
static const struct rill_ucx *real;
static struct rill_rdma_server server;
static struct background serving;

/* ---- what is served ---- */

struct echo {
    struct rill_task task;
    int before; /* the connection need not come first */
    struct rill_rdma_connection peer;
    unsigned *over; /* of all */
    struct rill_rdma_state_wait wait;
    struct rill_rdma_transfer recv, send;
    char buffer[64];
};

static unsigned begun, over;

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    expect_eq(echo->before, 0);
    begun++;
    RILL_AWAIT(rill_rdma_wait_for_connection(&echo->peer, &echo->wait));
    while (echo->wait.result == 0) {
        RILL_AWAIT(rill_rdma_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer,
                                  RILL_RDMA_ANY_TAG));
        if (echo->recv.result < 0)
            break;
        RILL_AWAIT(rill_rdma_send(&echo->peer, &echo->send, echo->buffer, (size_t)echo->recv.result,
                                  echo->recv.tag));
        if (echo->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_rdma_disconnect(&echo->peer));
    ++*echo->over;
    RILL_END();
}

static struct rill_service echoes(void)
{
    return RILL_SERVICE_WITH(struct echo, peer, echo_poll, over, &over);
}

/* ---- both sides ---- */

static void open_sides(void)
{
    static const struct sim_ucx_options options = {.latency_max_ns = RILL_MILLISECOND,
                                                   .pairs = true};

    fixture_open(SIMULATED, NULL, NULL);
    real = sim_ucx_begin(&options, NULL);
    table = *real;
    side_open(&left, &table);
    side_open(&right, &table);
    memset(&server, 0, sizeof server);
    begun = over = 0;
}

static void close_sides(void)
{
    expect_eq(over, begun);
    side_close(&left);
    side_close(&right);
    sim_ucx_end();
    fixture_close();
}

static struct rill_future *serve(const char *url)
{
    return rill_rdma_serve(&server, &right.hub, url, echoes());
}

static void start_server(struct rill_service service)
{
    background_start(&serving, rill_rdma_serve(&server, &right.hub, "rdma://127.0.0.1:0", service));
    fixture_turn();
    expect(server.listener.is_open);
}

static void stop_server(void)
{
    rill_task_cancel(&serving.task);
    expect_eq(background_end(&serving), -ECANCELED);
    expect(!server.listener.is_open);
}

static struct client {
    struct rill_rdma_connection connection;
    struct background connecting;
    struct rill_rdma_transfer send, recv;
    struct background sending;
    bool is_connected;
} clients[CLIENTS];

static struct rill_future *connect_one(struct client *client, int64_t handshake_ns)
{
    const struct rill_rdma_connection_options options = {.handshake_ns = handshake_ns};
    struct rill_address address;

    expect_eq(rill_rdma_listener_address(&server.listener, &address), 0);
    return rill_rdma_connect(&client->connection, &left.hub, &address, &options);
}

static void connect_clients(unsigned count, int64_t handshake_ns)
{
    memset(clients, 0, sizeof clients);
    for (unsigned i = 0; i < count; i++)
        background_start(&clients[i].connecting, connect_one(&clients[i], handshake_ns));
}

static unsigned wait_for_clients(unsigned count)
{
    unsigned connected = 0;

    for (unsigned i = 0; i < count; i++) {
        clients[i].is_connected = background_end(&clients[i].connecting) == 0;
        connected += clients[i].is_connected;
    }
    return connected;
}

static void expect_echo(struct client *client)
{
    char back[16] = "";

    background_start(&client->sending,
                     rill_rdma_send(&client->connection, &client->send, "hello", 5, 7));
    expect_eq(await(rill_rdma_recv(&client->connection, &client->recv, back, sizeof back, 7)), 5);
    expect(memcmp(back, "hello", 5) == 0);
    expect_eq(background_end(&client->sending), 5);
}

static void disconnect_clients(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (clients[i].is_connected)
            expect_eq(await(rill_rdma_disconnect(&clients[i].connection)), 0);
    settle();
}

/* ---- serving ---- */

START_TEST(each_client_is_served_by_a_task_of_its_own)
{
    open_sides();
    start_server(echoes());
    connect_clients(CLIENTS, 0);
    expect_eq(wait_for_clients(CLIENTS), CLIENTS);
    for (int round = 0; round < 3; round++)
        for (int i = CLIENTS - 1; i >= 0; i--)
            expect_echo(&clients[i]);
    expect_eq(server.accepted, CLIENTS);
    expect_eq(begun, CLIENTS);
    disconnect_clients(CLIENTS);
    expect_eq(over, CLIENTS);
    stop_server();
    close_sides();
}
END_TEST

START_TEST(connections_go_on_when_their_server_has_ended)
{
    open_sides();
    start_server(echoes());
    connect_clients(2, 0);
    expect_eq(wait_for_clients(2), 2);
    stop_server();
    expect_echo(&clients[0]);
    expect_echo(&clients[1]);
    disconnect_clients(2);
    close_sides();
}
END_TEST

/* Each client is connected, or is told that it is not; and each that was accepted is served. */
START_TEST(a_server_that_is_cancelled_at_any_moment_loses_nobody)
{
    unsigned all = 0, none = 0;

    for (int64_t moment = 0; moment < 80; moment++) {
        struct rill_sleep pause;
        unsigned connected;

        open_sides();
        start_server(echoes());
        connect_clients(CLIENTS, 100 * RILL_MILLISECOND);
        await(rill_sleep(&pause, moment * 30 * RILL_MICROSECOND));
        stop_server();
        connected = wait_for_clients(CLIENTS);
        expect_eq(server.accepted, begun);
        expect(connected <= server.accepted);
        all += connected == CLIENTS;
        none += connected == 0;
        for (int i = 0; i < CLIENTS; i++)
            if (clients[i].is_connected)
                expect_echo(&clients[i]);
        disconnect_clients(CLIENTS);
        rill_runtime_shutdown(fixture.runtime, 30 * RILL_SECOND);
        close_sides();
    }
    expect(all > 0 && none > 0);
}
END_TEST

START_TEST(who_is_too_many_is_connected_when_another_one_ends)
{
    static struct rill_scope scope;
    struct rill_sleep pause;
    int late = 0; /* the last whose request has arrived */

    open_sides();
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    server.scope = &scope;
    server.connections_max = 2;
    start_server(echoes());
    connect_clients(3, 60 * RILL_SECOND);
    await(rill_sleep(&pause, 10 * RILL_SECOND));
    expect_eq(scope.alive, 2);
    expect_eq(server.accepted, 2);
    while (rill_task_is_over(&clients[late].connecting.task))
        expect(++late < 3);
    for (int i = 1; i < 3; i++)
        expect_eq(background_end(&clients[(late + i) % 3].connecting), 0);
    expect_echo(&clients[(late + 1) % 3]);
    expect_eq(await(rill_rdma_disconnect(&clients[(late + 1) % 3].connection)), 0);
    expect_eq(background_end(&clients[late].connecting), 0);
    expect_eq(scope.alive, 2);
    expect_echo(&clients[late]);
    expect_echo(&clients[(late + 2) % 3]);
    for (int i = 2; i < 4; i++)
        expect_eq(await(rill_rdma_disconnect(&clients[(late + i) % 3].connection)), 0);
    settle();
    stop_server();
    close_sides();
}
END_TEST

START_TEST(tasks_that_are_spawned_into_a_scope_are_cancelled_with_it)
{
    static struct rill_scope scope;

    open_sides();
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    server.scope = &scope;
    start_server(echoes());
    connect_clients(2, 0);
    expect_eq(wait_for_clients(2), 2);
    expect_eq(scope.alive, 2);
    stop_server();
    rill_scope_cancel(&scope, RILL_SHUTTING_DOWN);
    await(rill_scope_join(&scope));
    expect_eq(over, 2);
    for (int i = 0; i < 2; i++)
        await(rill_rdma_disconnect(&clients[i].connection));
    close_sides();
}
END_TEST

/* ---- want of memory, and failures of UCX ---- */

static void serve_without_memory(bool is_cancelled)
{
    struct rill_sleep pause;
    struct rill_service service = echoes();

    open_sides();
    service.size = 200000; /* no block of that size is left over from others */
    start_server(service);
    memory_is_short = true;
    connect_clients(1, 0);
    await(rill_sleep(&pause, 500 * RILL_MILLISECOND));
    expect_eq(server.accepted, 0);
    expect(!rill_task_is_over(&clients[0].connecting.task));
    if (is_cancelled) {
        rill_task_cancel(&serving.task);
        fixture_turn();
        expect(!rill_task_is_over(&serving.task));
    }
    memory_is_short = false;
    expect_eq(wait_for_clients(1), 1);
    expect_eq(server.accepted, 1);
    expect_echo(&clients[0]);
    if (is_cancelled)
        expect_eq(background_end(&serving), -ECANCELED);
    else
        stop_server();
    disconnect_clients(1);
    close_sides();
}

START_TEST(a_client_waits_until_there_is_memory_for_it)
{
    if (memory_can_be_short())
        serve_without_memory(false);
}
END_TEST

START_TEST(a_client_that_was_accepted_is_served_though_the_server_is_cancelled)
{
    if (memory_can_be_short())
        serve_without_memory(true);
}
END_TEST

static bool next_adopt_fails;

static ucs_status_t fail_to_adopt(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *out)
{
    if (!(params->field_mask & UCP_EP_PARAM_FIELD_CONN_REQUEST) || !next_adopt_fails)
        return real->ep_create(worker, params, out);
    next_adopt_fails = false;
    real->listener_reject(NULL, params->conn_request);
    return UCS_ERR_NO_MEMORY;
}

START_TEST(a_client_of_whom_UCX_makes_no_endpoint_is_counted_and_the_next_is_served)
{
    open_sides();
    table.ep_create = fail_to_adopt;
    start_server(echoes());
    next_adopt_fails = true;
    connect_clients(1, 0);
    expect_eq(wait_for_clients(1), 0);
    expect_eq(server.failed, 1);
    connect_clients(1, 0);
    expect_eq(wait_for_clients(1), 1);
    expect_eq(server.accepted, 2);
    expect_eq(server.failed, 1);
    expect_eq(begun, 1);
    expect_echo(&clients[0]);
    disconnect_clients(1);
    stop_server();
    close_sides();
}
END_TEST

START_TEST(without_descriptors_clients_are_refused_and_those_who_are_connected_are_served)
{
    struct rill_sleep pause;

    open_sides();
    start_server(echoes());
    connect_clients(1, 0);
    expect_eq(wait_for_clients(1), 1);
    background_start(&clients[1].connecting, connect_one(&clients[1], 0));
    while (left.rdma.endpoints < 2)
        fixture_turn();
    fake.fds_are_short = true; /* the request is on its way */
    expect_eq(background_end(&clients[1].connecting), -ECONNREFUSED);
    expect_eq(await(connect_one(&clients[2], 0)), -EMFILE);
    expect_echo(&clients[0]);
    expect_eq(server.accepted, 1);
    expect_eq(server.listener.rejected, 1);
    expect(server.listener.shortages > 0);
    fake.fds_are_short = false;
    await(rill_sleep(&pause, RILL_SECOND));
    expect_eq(await(connect_one(&clients[1], 0)), 0);
    clients[1].is_connected = true;
    expect_echo(&clients[1]);
    disconnect_clients(2);
    stop_server();
    close_sides();
}
END_TEST

static ucs_status_t fail_to_listen(ucp_worker_h worker, const ucp_listener_params_t *params,
                                   ucp_listener_h *out)
{
    (void)worker;
    (void)params;
    (void)out;
    return UCS_ERR_BUSY;
}

START_TEST(where_it_can_not_listen_it_ends_and_says_why)
{
    static const struct {
        const char *url, *says;
    } cases[] = {
        {"127.0.0.1:7000", "scheme"},         {"tcp://127.0.0.1:7000", "want rdma://"},
        {"rdma://storage:7000", "numeric"},   {"rdma://127.0.0.1", "port is missing"},
        {"unix:///run/echo", "want rdma://"}, {"rdma://127.0.0.1:70000", "65535"},
    };
    char *text = NULL;
    FILE *before = stderr;
    size_t size = 0;

    open_sides();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_eq(await(serve(cases[i].url)), -EINVAL);
        expect(server.why && strstr(server.why, cases[i].says));
    }
    table.listener_create = fail_to_listen;
    server.announce = stdout;
    stderr = open_memstream(&text, &size);
    expect_eq(await(serve("rdma://127.0.0.1:7000")), -EBUSY);
    fclose(stderr);
    stderr = before;
    expect(strcmp(text, "rdma://127.0.0.1:7000: the port is taken by another program (port 0 picks "
                        "a free one)\n") == 0);
    free(text);
    close_sides();
}
END_TEST

START_TEST(a_server_announces_the_address_at_which_it_really_listens)
{
    struct rill_address address;
    char *text = NULL, want[80];
    size_t size = 0;

    open_sides();
    server.announce = open_memstream(&text, &size);
    start_server(echoes());
    expect_eq(rill_rdma_listener_address(&server.listener, &address), 0);
    snprintf(want, sizeof want, "listening on rdma://127.0.0.1:%u\n", rill_address_port(&address));
    expect(strcmp(text, want) == 0);
    stop_server();
    fclose(server.announce);
    free(text);
    close_sides();
}
END_TEST

START_TEST(who_connects_knows_the_address_of_the_other_side)
{
    struct rill_address address;
    char text[RILL_ADDRESS_TEXT_MAX], want[32];
    struct rill_address listens;

    open_sides();
    start_server(echoes());
    expect_eq(rill_rdma_listener_address(&server.listener, &listens), 0);
    snprintf(want, sizeof want, "127.0.0.1:%u", rill_address_port(&listens));
    connect_clients(1, 0);
    expect_eq(wait_for_clients(1), 1);
    expect_eq(rill_rdma_peer_address(&clients[0].connection, &address), 0);
    expect(strcmp(rill_address_format(&address, text), want) == 0);
    disconnect_clients(1);
    expect_eq(rill_rdma_peer_address(&clients[0].connection, &address), -ENOTCONN);
    stop_server();
    close_sides();
}
END_TEST

/* ---- bare endpoints ---- */

struct bare {
    struct rill_task task;
    struct rill_rdma_ep peer;
};

static enum rill_poll bare_poll(struct rill_future *self, struct rill_task *task)
{
    struct bare *bare = rill_container_of(self, struct bare, task.future);

    RILL_BEGIN();
    begun++;
    RILL_AWAIT(rill_rdma_ep_close(&bare->peer));
    over++;
    RILL_END();
}

START_TEST(bare_endpoints_are_served_as_well)
{
    static struct rill_rdma_ep peers[2];
    struct rill_address address;

    open_sides();
    background_start(&serving, rill_rdma_serve_ep(&server, &right.rdma, "rdma://127.0.0.1:0",
                                                  RILL_SERVICE(struct bare, peer, bare_poll)));
    fixture_turn();
    expect_eq(rill_rdma_listener_address(&server.listener, &address), 0);
    for (int i = 0; i < 2; i++)
        expect_eq(rill_rdma_ep_connect(&peers[i], &left.rdma, &address), 0);
    settle();
    expect_eq(begun, 2);
    expect_eq(server.accepted, 2);
    for (int i = 0; i < 2; i++)
        await(rill_rdma_ep_abort(&peers[i]));
    stop_server();
    settle();
    close_sides();
}
END_TEST

START_TEST(bare_endpoints_are_not_served_by_a_worker_for_connections_alone)
{
    open_sides();
    right.rdma.has_bare_endpoints = false;
    expect_eq(await(rill_rdma_serve_ep(&server, &right.rdma, "rdma://127.0.0.1:0",
                                       RILL_SERVICE(struct bare, peer, bare_poll))),
              -EOPNOTSUPP);
    expect(strstr(server.why, "want bare_endpoints") != NULL);
    expect(!server.listener.is_open);
    close_sides();
}
END_TEST

/* ---- mistakes ---- */

static void serve_in_a_closed_hub(void)
{
    static struct rill_rdma_hub closed;

    rill_rdma_serve(&server, &closed, "rdma://127.0.0.1:0", echoes());
}

static void serve_endpoints_as_connections(void)
{
    open_sides();
    rill_rdma_serve(&server, &right.hub, "rdma://127.0.0.1:0",
                    RILL_SERVICE(struct bare, peer, bare_poll));
}

static void serve_connections_as_endpoints(void)
{
    open_sides();
    rill_rdma_serve_ep(&server, &right.rdma, "rdma://127.0.0.1:0", echoes());
}

START_TEST(mistakes_are_panics)
{
    fixture_expect_panic(serve_in_a_closed_hub, "in a hub that is not open");
    fixture_expect_panic(serve_endpoints_as_connections, "it is another one's service");
    fixture_expect_panic(serve_connections_as_endpoints, "it is another one's service");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {each_client_is_served_by_a_task_of_its_own, IN_SIMULATED},
        {connections_go_on_when_their_server_has_ended, IN_SIMULATED},
        {a_server_that_is_cancelled_at_any_moment_loses_nobody, IN_SIMULATED},
        {who_is_too_many_is_connected_when_another_one_ends, IN_SIMULATED},
        {tasks_that_are_spawned_into_a_scope_are_cancelled_with_it, IN_SIMULATED},
        {a_client_waits_until_there_is_memory_for_it, IN_SIMULATED},
        {a_client_that_was_accepted_is_served_though_the_server_is_cancelled, IN_SIMULATED},
        {a_client_of_whom_UCX_makes_no_endpoint_is_counted_and_the_next_is_served, IN_SIMULATED},
        {without_descriptors_clients_are_refused_and_those_who_are_connected_are_served,
         IN_SIMULATED},
        {where_it_can_not_listen_it_ends_and_says_why, IN_SIMULATED},
        {a_server_announces_the_address_at_which_it_really_listens, IN_SIMULATED},
        {who_connects_knows_the_address_of_the_other_side, IN_SIMULATED},
        {bare_endpoints_are_not_served_by_a_worker_for_connections_alone, IN_SIMULATED},
        {bare_endpoints_are_served_as_well, IN_SIMULATED},
        {mistakes_are_panics, IN_SIMULATED},
    };

    return fixture_main("rdma server", cases, sizeof cases / sizeof *cases);
}
