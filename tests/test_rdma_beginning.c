/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_beginning.c - how a connection is begun, with what options, what is a mistake, and
 * that one which is given up in time does nothing more. */
#include "rdma/connection.h"

#include "rdma/exchange.h"
#include "tests/rdma/sides.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static struct background connecting, waiting, sending, receiving;
static char message[20000], buffer[20000];

/* ---- options ---- */

START_TEST(an_option_that_is_zero_means_its_default)
{
    const struct rill_rdma_connection_options *options = &left->options;

    sides_open(NULL);
    for (int is_zeroed = 0; is_zeroed < 2; is_zeroed++) {
        static const struct rill_rdma_connection_options zeroed;

        sides_connect(is_zeroed ? &zeroed : NULL, NULL);
        expect_eq(options->handshake_ns, RILL_RDMA_HANDSHAKE_NS);
        expect_eq(options->close_ns, RILL_RDMA_CLOSE_NS);
        expect_eq(options->silence_ns, RILL_RDMA_SILENCE_NS);
        expect_eq(options->window, RILL_RDMA_WINDOW);
        expect_eq(options->bytes_per_second, RILL_RDMA_BYTES_PER_SECOND);
        expect_eq(options->reconnect_first_ns, RILL_RDMA_RECONNECT_FIRST_NS);
        expect_eq(options->reconnect_max_ns, RILL_RDMA_RECONNECT_MAX_NS);
        expect_eq(options->reconnects, 0);
        sides_disconnect();
    }
    sides_close();
}
END_TEST

START_TEST(what_is_said_is_done_down_to_one_and_pauses_are_not_shorter_than_the_first)
{
    static const struct rill_rdma_connection_options least = {.handshake_ns = 1,
                                                              .close_ns = 1,
                                                              .silence_ns = 1,
                                                              .bytes_per_second = 1,
                                                              .window = 1,
                                                              .reconnect_first_ns = 1,
                                                              .reconnect_max_ns = 1},
                                                     pauses[] = {
                                                         {.reconnect_first_ns = 100 * RILL_SECOND},
                                                         {.reconnect_first_ns = 2,
                                                          .reconnect_max_ns = 1}};

    sides_open(NULL);
    expect_eq(await(sides_connecting(&least)), -ETIMEDOUT);
    expect_eq(left->options.handshake_ns, 1);
    expect_eq(left->options.close_ns, 1);
    expect_eq(left->options.silence_ns, 1);
    expect_eq(left->options.bytes_per_second, 1);
    expect_eq(left->options.window, 1);
    expect_eq(left->options.reconnect_first_ns, 1);
    expect_eq(left->options.reconnect_max_ns, 1);
    for (int i = 0; i < 2; i++) {
        background_start(&connecting, sides_connecting(&pauses[i]));
        fixture_turn();
        expect_eq(left->options.reconnect_max_ns, pauses[i].reconnect_first_ns);
        rill_task_cancel(&connecting.task);
        expect_eq(background_end(&connecting), -ECANCELED);
    }
    sides_close();
}
END_TEST

/* ---- mistakes ---- */

static const struct rill_rdma_connection_options *wrong;

static void connect_wrongly(void)
{
    sides_open(NULL);
    sides_connecting(wrong);
}

START_TEST(a_time_below_zero_is_a_panic)
{
    static const struct rill_rdma_connection_options options[] = {
        {.handshake_ns = -1}, {.close_ns = -1}, {.silence_ns = -1}, {.reconnect_first_ns = -1}};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        wrong = &options[i];
        fixture_expect_panic(connect_wrongly, "a connection with a time below 0 in its options");
    }
}
END_TEST

static void connect_twice(void)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    sides_connecting(NULL);
}

/* A future that is polled once, and then only when the gate is open, whoever wakes it. */
struct gated {
    struct rill_future future;
    struct rill_future *child;
    bool has_begun;
};

static struct gated gated_send, gated_recv;
static bool is_gate_open;

static enum rill_poll gated_poll(struct rill_future *self, struct rill_task *task)
{
    struct gated *gated = rill_container_of(self, struct gated, future);

    if (gated->has_begun && !is_gate_open)
        return RILL_PENDING;
    gated->has_begun = true;
    if (gated->child->poll(gated->child, task) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, gated->child->result);
}

static struct rill_future *gate(struct gated *gated, struct rill_future *child)
{
    gated->child = child;
    gated->has_begun = false;
    return rill_future_init(&gated->future, gated_poll);
}

/* A send and a receive end with their connection, and nobody looks at them. */
static void cut_with_transfers(void)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    is_gate_open = false;
    background_start(&sending, gate(&gated_send, rill_rdma_send(left, &sides.left.send, message,
                                                                sizeof message, 1)));
    background_start(&receiving, gate(&gated_recv, rill_rdma_recv(left, &sides.left.recv, buffer,
                                                                  sizeof buffer, 1)));
    sides_pause(RILL_SECOND);
    expect_eq(await(rill_rdma_cut(left)), 0);
    expect_eq(left->state, RILL_RDMA_IDLE);
}

static void connect_over_transfers(void)
{
    cut_with_transfers();
    sides_connecting(NULL);
}

static void connect_in_closed_hub(void)
{
    sides_open(NULL);
    rill_rdma_hub_close(&sides.left.hub);
    sides_connecting(NULL);
}

START_TEST(connecting_what_is_connected_or_in_use_is_a_panic)
{
    fixture_expect_panic(connect_twice, "a connection is made that is connected already");
    fixture_expect_panic(connect_over_transfers, "while 1 sends and 1 receives of the former one");
    fixture_expect_panic(connect_in_closed_hub, "in a hub that is not open");
}
END_TEST

/* ---- addresses ---- */

static socklen_t size_of_address;
static unsigned endpoints;

static ucs_status_t look_at_address(ucp_worker_h worker, const ucp_ep_params_t *params,
                                    ucp_ep_h *ep)
{
    endpoints++;
    if (params->field_mask & UCP_EP_PARAM_FIELD_SOCK_ADDR)
        size_of_address = params->sockaddr.addrlen;
    return sides.sim.ep_create(worker, params, ep);
}

START_TEST(a_socket_address_is_given_to_ucx_in_its_own_size)
{
    static const char *const hosts[] = {"127.0.0.1", "::1"};

    for (int i = 0; i < 2; i++) {
        struct rill_address address;

        expect_eq(rill_address_parse(&address, hosts[i], 7000), 0);
        sides_open(NULL);
        sides.table.ep_create = look_at_address;
        background_start(&connecting, rill_rdma_connect(left, &sides.left.hub, &address, &mute));
        fixture_turn();
        fixture_turn();
        expect_eq(size_of_address, i == 0 ? sizeof address.ip4 : sizeof address.ip6);
        rill_task_cancel(&connecting.task);
        background_end(&connecting);
        sides_close();
    }
}
END_TEST

START_TEST(one_that_is_adopted_tells_who_has_connected)
{
    static struct rill_rdma_listener listener;
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    struct rill_address at;
    struct rill_rdma_accept accept;
    struct rill_address address;

    sides_open(NULL);
    expect_eq(rill_rdma_listen(&listener, &sides.right.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&listener, &at), 0);
    background_start(&connecting, rill_rdma_connect(left, &sides.left.hub, &at, &mute));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    accept.peer = at; /* the simulated UCX does not tell */
    expect_eq(rill_rdma_adopt(right, &sides.right.hub, &accept, &mute), 0);
    expect_eq(background_end(&connecting), 0);
    expect_eq(rill_rdma_peer_address(right, &address), 0);
    expect_eq(address.size, at.size);
    expect(memcmp(&address.any, &at.any, at.size) == 0);
    expect_eq(rill_rdma_peer_address(left, &address), 0);
    expect_eq(address.size, at.size);
    expect(memcmp(&address.any, &at.any, at.size) == 0);
    sides_disconnect();
    expect_eq(rill_rdma_peer_address(left, &address), -ENOTCONN);
    rill_rdma_listener_close(&listener);
    sides_close();
}
END_TEST

static struct sockaddr_storage told;

static ucs_status_t tell_of_client(ucp_conn_request_h request, ucp_conn_request_attr_t *attributes)
{
    if (attributes->field_mask != UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ADDR)
        return sides.sim.conn_request_query(request, attributes);
    attributes->client_address = told;
    return UCS_OK;
}

START_TEST(the_address_of_the_other_side_is_told_in_its_own_size)
{
    static const struct {
        sa_family_t family;
        socklen_t size; /* 0: none */
    } cases[] = {
        {AF_INET, sizeof(struct sockaddr_in)},
        {AF_INET6, sizeof(struct sockaddr_in6)},
        {AF_UNSPEC, 0},
        {AF_UNIX, 0},
    };
    static struct rill_rdma_listener listener;
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rill_address at, address = {.size = 0};
        struct rill_rdma_accept accept;

        memset(&told, 7, sizeof told);
        told.ss_family = cases[i].family;
        sides_open(NULL);
        sides.table.conn_request_query = tell_of_client;
        expect_eq(rill_rdma_listen(&listener, &sides.right.rdma, &any), 0);
        expect_eq(rill_rdma_listener_address(&listener, &at), 0);
        background_start(&connecting, rill_rdma_connect(left, &sides.left.hub, &at, &mute));
        expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
        expect_eq(accept.peer.size, cases[i].size);
        expect(memcmp(&accept.peer.any, &told, cases[i].size) == 0);
        expect_eq(rill_rdma_adopt(right, &sides.right.hub, &accept, &mute), 0);
        expect_eq(background_end(&connecting), 0);
        expect_eq(rill_rdma_peer_address(right, &address), cases[i].size ? 0 : -ENOTCONN);
        expect_eq(address.size, cases[i].size);
        expect(memcmp(&address.any, &told, cases[i].size) == 0);
        sides_disconnect();
        rill_rdma_listener_close(&listener);
        sides_close();
    }
}
END_TEST

START_TEST(the_address_of_the_other_side_is_known_until_it_is_idle)
{
    struct rill_rdma_connection connection = {.state = RILL_RDMA_FAILED};
    struct rill_address address;

    expect_eq(rill_address_parse(&connection.target, "192.0.2.1", 7000), 0);
    expect_eq(rill_rdma_peer_address(&connection, &address), 0);
    expect_eq(rill_address_port(&address), 7000);
    connection.state = RILL_RDMA_IDLE;
    expect_eq(rill_rdma_peer_address(&connection, &address), -ENOTCONN);
}
END_TEST

/* ---- waiting for it ---- */

START_TEST(who_waits_for_a_connection_is_told_when_there_will_be_none)
{
    static const struct {
        enum rill_rdma_state state;
        int64_t result;
    } cases[] = {
        {RILL_RDMA_IDLE, -ENOTCONN},       {RILL_RDMA_CONNECTED, 0},
        {RILL_RDMA_CLOSING, -ESHUTDOWN},   {RILL_RDMA_CLOSED, -ESHUTDOWN},
        {RILL_RDMA_FAILED, -EHOSTUNREACH},
    };

    sides_open(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rill_rdma_connection connection = {.state = (uint8_t)cases[i].state,
                                                  .error = -EHOSTUNREACH};

        background_start(&waiting, rill_rdma_wait_for_connection(&connection, &sides.left.wait));
        sides_pause(RILL_SECOND);
        expect(rill_task_is_over(&waiting.task));
        expect_eq(background_end(&waiting), cases[i].result);
    }
    sides_close();
}
END_TEST

/* Or a loop which goes on with what it has waited for would never be left. */
START_TEST(waiting_in_a_cancelled_task_does_not_end_well_though_there_is_a_connection)
{
    struct rill_rdma_connection connection = {.state = RILL_RDMA_CONNECTED};

    sides_open(NULL);
    background_start(&waiting, rill_rdma_wait_for_connection(&connection, &sides.left.wait));
    rill_task_cancel(&waiting.task);
    expect_eq(background_end(&waiting), -ECANCELED);
    background_start(&waiting, rill_rdma_wait_for_state(&connection, &sides.left.wait,
                                                        1u << RILL_RDMA_CONNECTED));
    rill_task_cancel(&waiting.task);
    expect_eq(background_end(&waiting), -ECANCELED);
    sides_close();
}
END_TEST

START_TEST(waiting_for_a_connection_is_cancelled)
{
    sides_open(NULL);
    background_start(&connecting, sides_connecting(&mute));
    background_start(&waiting, rill_rdma_wait_for_connection(left, &sides.left.wait));
    sides_pause(RILL_SECOND);
    expect(!rill_task_is_over(&waiting.task));
    rill_task_cancel(&waiting.task);
    expect_eq(background_end(&waiting), -ECANCELED);
    expect_eq(left->state, RILL_RDMA_CONNECTING);
    sides_adopt(&mute);
    expect_eq(background_end(&connecting), 0);
    sides_disconnect();
    sides_close();
}
END_TEST

static ucs_status_t find_no_way(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ep)
{
    (void)worker;
    (void)params;
    (void)ep;
    return UCS_ERR_UNREACHABLE;
}

START_TEST(one_that_can_not_be_adopted_says_why_and_stays_idle)
{
    struct rill_rdma_am stranger = {0};

    for (int is_garbled = 0; is_garbled < 2; is_garbled++) {
        sides_open(NULL);
        background_start(&connecting, sides_connecting(&mute));
        expect(await(rill_rdma_accept_worker(&sides.right.hub, &stranger)) > 0);
        if (is_garbled)
            stranger.header_size = 1;
        else
            sides.table.ep_create = find_no_way;
        expect_eq(rill_rdma_adopt_worker(right, &sides.right.hub, &stranger, &mute),
                  is_garbled ? -EPROTO : -EHOSTUNREACH);
        expect_eq(right->state, RILL_RDMA_IDLE);
        expect_eq(sides.right.hub.connections, 0);
        rill_task_cancel(&connecting.task);
        expect_eq(background_end(&connecting), -ECANCELED);
        sides_close();
    }
}
END_TEST

/* ---- giving it up ---- */

START_TEST(one_that_is_cancelled_before_it_begins_opens_no_endpoint)
{
    sides_open(NULL);
    sides.table.ep_create = look_at_address;
    endpoints = 0;
    background_start(&connecting, sides_connecting(&mute));
    rill_task_cancel(&connecting.task);
    expect_eq(background_end(&connecting), -ECANCELED);
    expect_eq(endpoints, 0);
    expect_eq(left->state, RILL_RDMA_IDLE);
    expect(!left->changed.waiters.next); /* which would be at itself: it may move */
    sides_close();
}
END_TEST

/* In the pause before the next attempt. */
START_TEST(one_that_is_given_up_between_two_attempts_makes_no_other)
{
    static const struct rill_rdma_connection_options patient = {
        .reconnects = 100,
        .reconnect_first_ns = 1000000 * RILL_SECOND,
        .reconnect_max_ns = 1000000 * RILL_SECOND,
    };

    for (int is_cut = 0; is_cut < 2; is_cut++) {
        int64_t began_ns;

        sides_open(NULL);
        sides_connect(&patient, &mute);
        sides.table.ep_create = look_at_address;
        rill_rdma_ep_fail(&left->ep, -ECONNRESET);
        sides_pause(RILL_SECOND);
        expect_eq(left->state, RILL_RDMA_CONNECTING);
        expect(!left->ep.is_open);
        endpoints = 0;
        began_ns = rill_now();
        expect_eq(await(is_cut ? rill_rdma_cut(left) : rill_rdma_disconnect(left)),
                  is_cut ? 0 : -ECONNRESET);
        ck_assert_int_le(rill_now() - began_ns, RILL_SECOND);
        expect_eq(endpoints, 0);
        await(rill_rdma_cut(right));
        sides_close();
    }
}
END_TEST

START_TEST(an_idle_one_is_disconnected_and_cut_at_once)
{
    sides_open(NULL);
    for (int i = 0; i < 2; i++) {
        left->result = 99;
        expect_eq(await(rill_rdma_disconnect(left)), 0);
        left->result = 99;
        expect_eq(await(rill_rdma_cut(left)), 0);
        sides_connect(&mute, &mute);
        sides_disconnect();
    }
    sides_close();
}
END_TEST

START_TEST(transfers_that_nobody_has_looked_at_are_over_with_their_connection)
{
    struct rill_rdma_metrics metrics;

    cut_with_transfers();
    rill_rdma_hub_metrics(&sides.left.hub, &metrics);
    expect_eq(metrics.sends_in_flight, 0);
    expect_eq(metrics.receives_in_flight, 0);
    is_gate_open = true;
    rill_task_wake(&sending.task);
    rill_task_wake(&receiving.task);
    expect(background_end(&sending) < 0);
    expect(background_end(&receiving) < 0);
    sides_cut();
    sides_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_option_that_is_zero_means_its_default, IN_SIMULATED},
        {what_is_said_is_done_down_to_one_and_pauses_are_not_shorter_than_the_first, IN_SIMULATED},
        {a_time_below_zero_is_a_panic, IN_SIMULATED},
        {connecting_what_is_connected_or_in_use_is_a_panic, IN_SIMULATED},
        {a_socket_address_is_given_to_ucx_in_its_own_size, IN_SIMULATED},
        {one_that_is_adopted_tells_who_has_connected, IN_SIMULATED},
        {the_address_of_the_other_side_is_told_in_its_own_size, IN_SIMULATED},
        {the_address_of_the_other_side_is_known_until_it_is_idle, IN_SIMULATED},
        {who_waits_for_a_connection_is_told_when_there_will_be_none, IN_SIMULATED},
        {waiting_in_a_cancelled_task_does_not_end_well_though_there_is_a_connection, IN_SIMULATED},
        {waiting_for_a_connection_is_cancelled, IN_SIMULATED},
        {one_that_can_not_be_adopted_says_why_and_stays_idle, IN_SIMULATED},
        {one_that_is_cancelled_before_it_begins_opens_no_endpoint, IN_SIMULATED},
        {one_that_is_given_up_between_two_attempts_makes_no_other, IN_SIMULATED},
        {an_idle_one_is_disconnected_and_cut_at_once, IN_SIMULATED},
        {transfers_that_nobody_has_looked_at_are_over_with_their_connection, IN_SIMULATED},
    };

    return fixture_main("rdma beginning", cases, sizeof cases / sizeof *cases);
}
