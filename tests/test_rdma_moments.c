/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_moments.c - connections that are waited for, used, or given up at moments at which
 * that is seldom done. */
#include "rdma/control.h"
#include "rdma/stream.h"
#include "tests/fixture.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"

#include <errno.h>
#include <string.h>

static struct side left, right;
static struct background connecting, sending, waiting, ending;
static struct rill_ucx table;
static char message[64], buffer[64];

static void open_sides_with(const struct sim_ucx_options *options)
{
    fixture_open(SIMULATED, NULL, NULL);
    table = *sim_ucx_begin(options, NULL);
    side_open(&left, &table);
    side_open(&right, &table);
}

static void open_sides(void)
{
    static const struct sim_ucx_options options = {.latency_max_ns = RILL_MILLISECOND,
                                                   .pairs = true};

    open_sides_with(&options);
}

static void close_sides(void)
{
    side_close(&left);
    side_close(&right);
    sim_ucx_end();
    fixture_close();
}

static struct rill_future *connect_left(const struct rill_rdma_connection_options *options)
{
    size_t size;

    return rill_rdma_connect_worker(&left.connection, &left.hub,
                                    rill_rdma_address(&right.rdma, &size), options);
}

static void adopt_right(const struct rill_rdma_connection_options *options)
{
    struct rill_rdma_am stranger = {0};

    expect(await(rill_rdma_accept_worker(&right.hub, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&right.connection, &right.hub, &stranger, options), 0);
}

static void connect_sides(const struct rill_rdma_connection_options *options)
{
    background_start(&connecting, connect_left(options));
    adopt_right(options);
    expect_eq(background_end(&connecting), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&right.connection, &right.wait)), 0);
}

static void disconnect_sides(void)
{
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect_eq(background_end(&ending), 0);
}

/* ---- ending in a hurry ---- */

static const struct rill_ucx *real;
static bool is_closing;

/* The other side is stopped when all is said, and the endpoint is to be closed by both: its
 * transport takes no part in flushing any more. */
static ucs_status_ptr_t stop_and_flush(ucp_ep_h ep, const ucp_request_param_t *param)
{
    if (!is_closing)
        sim_ucx_stop(right.rdma.worker, 3600 * RILL_SECOND);
    is_closing = true;
    return real->ep_flush_nbx(ep, param);
}

static void close_until_stopped(struct rill_rdma_connection *first)
{
    static const struct rill_rdma_connection_options patient = {.close_ns = RILL_NEVER,
                                                                .silence_ns = RILL_NEVER};
    static const struct sim_ucx_options late = {.latency_max_ns = RILL_MILLISECOND,
                                                .late_max_ns = RILL_MILLISECOND,
                                                .late_per_mille = 1000,
                                                .pairs = true};
    static struct rill_ucx stopping;
    struct rill_sleep pause;

    open_sides_with(&late);
    connect_sides(&patient);
    stopping = table;
    stopping.ep_flush_nbx = stop_and_flush;
    real = &table;
    left.rdma.ucx = &stopping;
    is_closing = false;
    background_start(&ending, rill_rdma_disconnect(first));
    while (!is_closing)
        await(rill_sleep(&pause, RILL_MILLISECOND));
    await(rill_sleep(&pause, 10 * RILL_SECOND));
    expect_eq(left.connection.state, RILL_RDMA_CLOSING);
}

static void expect_to_be_short(int64_t began_ns)
{
    ck_assert_int_le(rill_now() - began_ns, RILL_RDMA_DRAIN_NS + RILL_SECOND / 2);
}

START_TEST(disconnecting_is_cut_short_also_while_the_endpoint_is_closed)
{
    int64_t began_ns;

    close_until_stopped(&left.connection);
    began_ns = rill_now();
    rill_task_cancel(&ending.task);
    expect_eq(background_end(&ending), -ECANCELED);
    expect_to_be_short(began_ns);
    await(rill_rdma_cut(&right.connection));
    close_sides();
}
END_TEST

START_TEST(a_connection_that_the_other_side_ends_is_cut_also_while_the_endpoint_is_closed)
{
    int64_t began_ns;

    close_until_stopped(&right.connection);
    began_ns = rill_now();
    expect_eq(await(rill_rdma_cut(&left.connection)), 0);
    expect_to_be_short(began_ns);
    rill_task_cancel(&ending.task);
    background_end(&ending);
    close_sides();
}
END_TEST

/* What was sent before the loss may not have arrived. */
START_TEST(disconnecting_one_that_is_made_anew_tells_of_the_loss)
{
    static const struct rill_rdma_connection_options persistent = {
        .handshake_ns = RILL_SECOND,
        .reconnects = 10,
        .reconnect_first_ns = 100 * RILL_MILLISECOND,
        .reconnect_max_ns = 100 * RILL_MILLISECOND,
    };

    for (int round = 0; round < 4; round++) {
        bool is_open = round & 1, is_second = round & 2;
        struct rill_sleep pause;

        open_sides();
        connect_sides(&persistent);
        rill_rdma_ep_fail(&left.connection.ep, -ECONNRESET);
        while (left.connection.state != RILL_RDMA_CONNECTING ||
               left.connection.ep.is_open != is_open || left.connection.attempts < 2u * is_second)
            await(rill_sleep(&pause, 100 * RILL_MICROSECOND));
        expect_eq(await(rill_rdma_disconnect(&left.connection)), -ECONNRESET);
        await(rill_rdma_cut(&right.connection));
        close_sides();
    }
}
END_TEST

/* Nothing of the half of an end counts for the connection that takes its place. */
START_TEST(one_that_is_lost_while_the_other_side_ends_it_is_made_anew_and_ended_as_any_other)
{
    static const struct rill_rdma_connection_options persistent = {
        .close_ns = RILL_SECOND,
        .reconnects = 10,
        .reconnect_first_ns = RILL_MILLISECOND,
        .reconnect_max_ns = RILL_MILLISECOND,
    };
    struct rill_sleep pause;

    open_sides();
    connect_sides(&persistent);
    background_start(&ending, rill_rdma_disconnect(&right.connection));
    while (left.connection.state != RILL_RDMA_CLOSING)
        await(rill_sleep(&pause, 100 * RILL_MICROSECOND));
    rill_rdma_ep_fail(&left.connection.ep, -ECONNRESET);
    rill_task_cancel(&ending.task);
    background_end(&ending);
    adopt_right(&persistent);
    await(rill_sleep(&pause, RILL_SECOND));
    expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
    expect_eq(left.connection.metrics.connects, 2);
    background_start(&sending, rill_rdma_send(&left.connection, &left.send, message, 10, 1));
    expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, 10, 1)), 10);
    expect_eq(background_end(&sending), 10);
    disconnect_sides();
    close_sides();
}
END_TEST

static ucs_status_t find_no_way(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ep)
{
    (void)worker;
    (void)params;
    (void)ep;
    return UCS_ERR_UNREACHABLE;
}

/* An endpoint is the connection's to open, and whoever uses it knows nothing of that. */
START_TEST(what_uses_the_endpoint_of_one_that_can_not_be_made_anew_ends_with_an_error)
{
    static const struct rill_rdma_connection_options persistent = {
        .reconnects = 3,
        .reconnect_first_ns = RILL_SECOND,
        .reconnect_max_ns = RILL_SECOND,
    };
    struct rill_rdma_op op = {0};
    struct rill_sleep pause;

    open_sides();
    connect_sides(&persistent);
    table.ep_create = find_no_way;
    rill_rdma_ep_fail(&left.connection.ep, -ECONNRESET);
    while (left.connection.attempts == 0)
        await(rill_sleep(&pause, RILL_MILLISECOND));
    expect_eq(left.connection.state, RILL_RDMA_CONNECTING);
    expect_eq(await(rill_rdma_am_send(&left.connection.ep, &op, 1, NULL, 0, message, 10, 0)),
              -EHOSTUNREACH);
    expect_eq(await(rill_rdma_stream_recv(&left.connection.ep, &op, buffer, 10)), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_disconnect(&left.connection)), -ECONNRESET);
    await(rill_rdma_cut(&right.connection));
    close_sides();
}
END_TEST

START_TEST(sends_that_wait_for_credit_when_their_side_disconnects_are_still_sent)
{
    enum { COUNT = 3 };
    static const struct rill_rdma_connection_options narrow = {.window = 1}; /* one at a time */
    static struct rill_rdma_transfer sends[COUNT];
    static struct background sendings[COUNT];
    struct rill_sleep pause;

    open_sides();
    connect_sides(&narrow);
    for (unsigned i = 0; i < COUNT; i++)
        background_start(&sendings[i], rill_rdma_send(&left.connection, &sends[i], message, 10, i));
    await(rill_sleep(&pause, RILL_SECOND));
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    await(rill_sleep(&pause, RILL_SECOND));
    expect_eq(left.connection.state, RILL_RDMA_CLOSING);
    for (unsigned i = 0; i < COUNT; i++)
        expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, 10, i)), 10);
    for (unsigned i = 0; i < COUNT; i++)
        expect_eq(background_end(&sendings[i]), 10);
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect_eq(background_end(&ending), 0);
    close_sides();
}
END_TEST

/* ---- impatience ---- */

START_TEST(however_short_silence_may_be_a_side_that_beats_is_not_taken_for_dead)
{
    static const int64_t silences[] = {1,
                                       3,
                                       1000,
                                       RILL_MILLISECOND / 2,
                                       RILL_MILLISECOND,
                                       2 * RILL_MILLISECOND,
                                       5 * RILL_MILLISECOND};

    for (size_t i = 0; i < sizeof silences / sizeof *silences; i++) {
        const struct rill_rdma_connection_options options = {.silence_ns = silences[i]};
        struct rill_sleep pause;

        open_sides();
        connect_sides(&options);
        await(rill_sleep(&pause, RILL_SECOND));
        expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
        expect_eq(right.connection.state, RILL_RDMA_CONNECTED);
        sim_ucx_stop(right.rdma.worker, 10 * RILL_SECOND);
        await(rill_sleep(&pause, RILL_SECOND / 10));
        expect_eq(left.connection.error, -ETIMEDOUT);
        await(rill_rdma_disconnect(&left.connection));
        await(rill_rdma_disconnect(&right.connection));
        close_sides();
    }
}
END_TEST

/* ---- waiting for a state ---- */

static struct rill_future *wait_for(enum rill_rdma_state state)
{
    return rill_rdma_wait_for_state(&left.connection, &left.wait, 1u << state);
}

START_TEST(a_connection_is_waited_for_before_it_is_begun)
{
    open_sides();
    background_start(&waiting, wait_for(RILL_RDMA_CONNECTED));
    settle();
    connect_sides(NULL);
    expect_eq(background_end(&waiting), RILL_RDMA_CONNECTED);
    disconnect_sides();
    close_sides();
}
END_TEST

START_TEST(who_waits_for_a_state_goes_on_waiting_when_a_connection_is_made_anew)
{
    open_sides();
    connect_sides(NULL);
    background_start(&waiting, wait_for(RILL_RDMA_LISTENING));
    settle();
    for (int i = 0; i < 3; i++) {
        disconnect_sides();
        settle();
        expect(!rill_task_is_over(&waiting.task));
        connect_sides(NULL);
    }
    rill_task_cancel(&waiting.task);
    expect_eq(background_end(&waiting), -ECANCELED);
    disconnect_sides();

    background_start(&waiting, wait_for(RILL_RDMA_CONNECTED));
    settle();
    connect_sides(NULL);
    expect_eq(background_end(&waiting), RILL_RDMA_CONNECTED);
    disconnect_sides();
    close_sides();
}
END_TEST

START_TEST(the_first_state_of_a_connection_is_told_as_all_others)
{
    open_sides();
    connect_sides(NULL);
    disconnect_sides();
    background_start(&waiting, wait_for(RILL_RDMA_CONNECTING));
    settle();
    background_start(&connecting, connect_left(NULL));
    fixture_turn();
    fixture_turn();
    expect(rill_task_is_over(&waiting.task));
    expect_eq(background_end(&waiting), RILL_RDMA_CONNECTING);
    adopt_right(NULL);
    expect_eq(background_end(&connecting), 0);
    disconnect_sides();
    close_sides();
}
END_TEST

/* ---- being refused ---- */

/* What is longer in another version begins as in this one. */
START_TEST(a_hello_of_another_version_is_read_however_long_it_is)
{
    static const struct {
        int version, kind;
        size_t size;
        bool is_read;
    } cases[] = {
        {RILL_RDMA_WIRE_VERSION, RILL_RDMA_HELLO, sizeof(struct rill_rdma_control), true},
        {RILL_RDMA_WIRE_VERSION, RILL_RDMA_HELLO, sizeof(struct rill_rdma_control) + 1, false},
        {RILL_RDMA_WIRE_VERSION, RILL_RDMA_BEAT, sizeof(struct rill_rdma_control) + 1, false},
        {RILL_RDMA_WIRE_VERSION + 1, RILL_RDMA_HELLO, sizeof(struct rill_rdma_control), true},
        {RILL_RDMA_WIRE_VERSION + 1, RILL_RDMA_HELLO, sizeof(struct rill_rdma_control) + 16, true},
        {RILL_RDMA_WIRE_VERSION + 1, RILL_RDMA_REFUSE, sizeof(struct rill_rdma_control) + 16, true},
        {RILL_RDMA_WIRE_VERSION + 1, RILL_RDMA_HELLO, sizeof(struct rill_rdma_control) - 1, false},
        {RILL_RDMA_WIRE_VERSION + 1, RILL_RDMA_BEAT, sizeof(struct rill_rdma_control), false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rill_rdma_control control = rill_rdma_control_swap((struct rill_rdma_control){
            .magic = RILL_RDMA_WIRE_MAGIC,
            .version = (uint8_t)cases[i].version,
            .kind = (uint8_t)cases[i].kind,
            .from = 1,
        });
        unsigned char bytes[2 * sizeof control] = {0};

        memcpy(bytes, &control, sizeof control);
        expect_eq(rill_rdma_control_read(&control, bytes, cases[i].size), cases[i].is_read);
    }
}
END_TEST

/* A reason that means something else on this side would make a refusal pass for that. */
START_TEST(a_refusal_is_an_error_whatever_reason_it_gives)
{
    static const int reasons[] = {-ESHUTDOWN, -ECANCELED, 0, 1, -4096, INT32_MIN, INT32_MAX};

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        const struct rill_rdma_control refusal = {
            .kind = RILL_RDMA_REFUSE, .from = 1, .reason = reasons[i]};

        open_sides();
        background_start(&connecting, connect_left(NULL));
        fixture_turn();
        fixture_turn();
        expect_eq(left.connection.state, RILL_RDMA_CONNECTING);
        expect(rill_rdma_control_hear(&left.connection, &refusal));
        expect_eq(background_end(&connecting), -EPROTO);
        expect_eq(left.connection.state, RILL_RDMA_IDLE);
        close_sides();
    }
}
END_TEST

START_TEST(a_refusal_that_can_not_be_told_ends_in_time)
{
    static const struct sim_ucx_options slow = {.latency_max_ns = RILL_MILLISECOND,
                                                .late_per_mille = 1000,
                                                .late_max_ns = 3600 * RILL_SECOND};
    const struct rill_rdma_control answer = {
        .version = RILL_RDMA_WIRE_VERSION + 1, .kind = RILL_RDMA_ACK, .from = 1};
    int64_t began_ns;

    open_sides_with(&slow);
    began_ns = rill_now();
    background_start(&connecting, connect_left(NULL));
    fixture_turn();
    fixture_turn();
    expect_eq(left.connection.state, RILL_RDMA_CONNECTING);
    expect(rill_rdma_control_hear(&left.connection, &answer));
    expect_eq(background_end(&connecting), -EPROTONOSUPPORT);
    ck_assert_int_ge(rill_now() - began_ns, RILL_RDMA_HANDSHAKE_NS);
    ck_assert_int_le(rill_now() - began_ns, RILL_RDMA_HANDSHAKE_NS + 2 * RILL_RDMA_DRAIN_NS);
    close_sides();
}
END_TEST

/* ---- messages ---- */

/* A future that polls its child only once the gate is open. */
static struct gated {
    struct rill_future future;
    struct rill_future *child;
    bool is_open;
} gated;

static enum rill_poll gated_poll(struct rill_future *self, struct rill_task *task)
{
    if (!gated.is_open || gated.child->poll(gated.child, task) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, gated.child->result);
}

START_TEST(what_is_prepared_before_the_connection_is_there_begins_when_it_is)
{
    for (int is_sync = 0; is_sync < 2; is_sync++) {
        open_sides();
        background_start(&connecting, connect_left(NULL));
        gated = (struct gated){
            .child = is_sync ? rill_rdma_send_sync(&left.connection, &left.send, message, 10, 1)
                             : rill_rdma_send(&left.connection, &left.send, message, 10, 1)};
        background_start(&sending, rill_future_init(&gated.future, gated_poll));
        adopt_right(NULL);
        expect_eq(background_end(&connecting), 0);
        gated.is_open = true;
        rill_task_wake(&sending.task);
        expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, 10, 1)), 10);
        expect_eq(background_end(&sending), 10);
        disconnect_sides();
        close_sides();
    }
}
END_TEST

static void send_over_nothing(void)
{
    open_sides();
    rill_rdma_send(&left.connection, &left.send, message, 10, 1);
}

static void receive_over_nothing(void)
{
    open_sides();
    rill_rdma_recv(&left.connection, &left.recv, buffer, 10, 1);
}

static void receive_parts_over_nothing(void)
{
    const struct iovec part = {buffer, 10};

    open_sides();
    rill_rdma_recv_vectored(&left.connection, &left.recv, &part, 1, 1);
}

START_TEST(messages_over_a_connection_that_was_never_made_are_a_panic)
{
    fixture_expect_panic(send_over_nothing, "over a connection that was never made");
    fixture_expect_panic(receive_over_nothing, "over a connection that was never made");
    fixture_expect_panic(receive_parts_over_nothing, "over a connection that was never made");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {disconnecting_is_cut_short_also_while_the_endpoint_is_closed, IN_SIMULATED},
        {a_connection_that_the_other_side_ends_is_cut_also_while_the_endpoint_is_closed,
         IN_SIMULATED},
        {disconnecting_one_that_is_made_anew_tells_of_the_loss, IN_SIMULATED},
        {one_that_is_lost_while_the_other_side_ends_it_is_made_anew_and_ended_as_any_other,
         IN_SIMULATED},
        {what_uses_the_endpoint_of_one_that_can_not_be_made_anew_ends_with_an_error, IN_SIMULATED},
        {sends_that_wait_for_credit_when_their_side_disconnects_are_still_sent, IN_SIMULATED},
        {however_short_silence_may_be_a_side_that_beats_is_not_taken_for_dead, IN_SIMULATED},
        {a_connection_is_waited_for_before_it_is_begun, IN_SIMULATED},
        {who_waits_for_a_state_goes_on_waiting_when_a_connection_is_made_anew, IN_SIMULATED},
        {a_hello_of_another_version_is_read_however_long_it_is, IN_SIMULATED},
        {a_refusal_is_an_error_whatever_reason_it_gives, IN_SIMULATED},
        {a_refusal_that_can_not_be_told_ends_in_time, IN_SIMULATED},
        {what_is_prepared_before_the_connection_is_there_begins_when_it_is, IN_SIMULATED},
        {messages_over_a_connection_that_was_never_made_are_a_panic, IN_SIMULATED},
        {the_first_state_of_a_connection_is_told_as_all_others, IN_SIMULATED},
    };

    return fixture_main("rdma moments", cases, sizeof cases / sizeof *cases);
}
