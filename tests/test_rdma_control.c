/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_control.c - what a connection makes of what the other side says, and says itself. */
#include "rdma/control.h"

#include "rdma/exchange.h"
#include "tests/rdma/sides.h"

#include <errno.h>

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static struct background connecting, sending;
static char message[2 << 20], buffer[2 << 20];

/* ---- hearing ---- */

/* Has left come so far that it waits for an answer. */
static void begin_connect(void)
{
    sides_open(NULL);
    background_start(&connecting, sides_connecting(&mute));
    fixture_turn();
    fixture_turn();
    expect_eq(left->state, RILL_RDMA_CONNECTING);
}

static bool hear(struct rill_rdma_connection *connection, int kind, uint32_t from)
{
    const struct rill_rdma_control control = {.version = RILL_RDMA_WIRE_VERSION,
                                              .kind = (uint8_t)kind,
                                              .from = from,
                                              .reason = -EPROTONOSUPPORT};

    return rill_rdma_control_hear(connection, &control);
}

START_TEST(before_the_answer_nothing_else_makes_sense)
{
    static const int nonsense[] = {0, RILL_RDMA_HELLO, RILL_RDMA_BEAT, RILL_RDMA_DONE,
                                   RILL_RDMA_DONE + 1};

    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        begin_connect();
        expect(!hear(left, nonsense[i], 0));
        expect(!hear(left, nonsense[i], 1));
        expect(!left->peer.has_greeted && !left->bye.done_came && !left->peer.refused);
        expect(hear(left, RILL_RDMA_REFUSE, 1));
        expect(!hear(left, RILL_RDMA_REFUSE, 1)); /* once is enough */
        expect(!hear(left, RILL_RDMA_ACK, 1));
        expect_eq(background_end(&connecting), -EPROTONOSUPPORT);
        sides_close();
    }
}
END_TEST

START_TEST(once_connected_only_the_other_side_is_heard_and_neither_greets_again)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    for (int i = 0; i < 2; i++) {
        struct rill_rdma_connection *connection = i ? left : right;

        for (int kind = 0; kind <= RILL_RDMA_DONE + 1; kind++)
            expect(!hear(connection, kind, connection->peer.id + 1));
        expect(!hear(connection, RILL_RDMA_HELLO, connection->peer.id));
        expect(!hear(connection, RILL_RDMA_ACK, connection->peer.id));
        expect(!hear(connection, RILL_RDMA_REFUSE, connection->peer.id));
        expect(!connection->bye.done_came && !connection->peer.refused);
        expect_eq(connection->metrics.beats_received, 0);
        expect(hear(connection, RILL_RDMA_BEAT, connection->peer.id));
        expect_eq(connection->metrics.beats_received, 1);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(credit_for_what_was_not_sent_is_a_mistake_that_is_counted_and_ends_the_connection)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    right->credit.received = 1;
    right->to_say |= 1u << RILL_RDMA_BEAT;
    rill_task_wake(&right->keeper);
    expect_eq(await(rill_rdma_wait_for_state(left, &sides.left.wait, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    expect_eq(left->error, -EPROTO);
    expect_eq(left->metrics.beats_received, 0);
    expect_eq(sides.left.hub.dropped, 1);
    sides_cut();
    sides_close();
}
END_TEST

START_TEST(the_reason_of_a_refusal_is_told_if_it_is_an_errno)
{
    static const struct {
        int32_t reason;
        int result;
    } cases[] = {{-1, -1},     {-4095, -4095},        {-4096, -EPROTO},     {0, -EPROTO},
                 {1, -EPROTO}, {-ECANCELED, -EPROTO}, {-ESHUTDOWN, -EPROTO}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct rill_rdma_control refusal = {
            .kind = RILL_RDMA_REFUSE, .from = 1, .reason = cases[i].reason};

        begin_connect();
        expect(rill_rdma_control_hear(left, &refusal));
        expect_eq(background_end(&connecting), cases[i].result);
        sides_close();
    }
}
END_TEST

/* 0 is a side that sends nothing that way, whose segments do not matter. */
START_TEST(segments_have_to_be_equal_where_both_sides_have_some)
{
    static const struct {
        struct rill_rdma_segments left, right;
        bool is_refused;
    } cases[] = {
        {{0, 0}, {0, 0}, false},
        {{0, 0}, {1, 0}, false},
        {{1, 0}, {0, 0}, false},
        {{1, 0}, {1, 0}, false},
        {{65536, 0}, {65536, 0}, false},
        {{1, 0}, {2, 0}, true},
        {{2, 0}, {1, 0}, true},
        {{8192, 0}, {8191, 0}, true},
        {{0, 0}, {0, 1}, false},
        {{0, 1}, {0, 0}, false},
        {{0, 8256}, {0, 8256}, false},
        {{0, 8256}, {0, 8192}, true},
        {{0, 8192}, {0, 8256}, true},
        {{1, 0}, {0, 2}, false},
        {{1, 2}, {1, 3}, true},
        {{1, 2}, {3, 2}, true},
        {{UINT32_MAX, 1}, {65535, 1}, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t result = cases[i].is_refused ? -EPROTOTYPE : 0;

        sides_open(NULL);
        sides.left.rdma.segments = cases[i].left;
        sides.right.rdma.segments = cases[i].right;
        background_start(&connecting, sides_connecting(&mute));
        sides_adopt(&mute);
        expect_eq(await(rill_rdma_wait_for_connection(right, &sides.right.wait)), result);
        expect_eq(background_end(&connecting), result);
        sides_cut();
        sides_close();
    }
}
END_TEST

/* ---- speaking ---- */

START_TEST(a_heartbeat_is_wanted_four_times_in_the_time_of_silence_in_whole_milliseconds)
{
    static const struct {
        struct rill_rdma_connection_options options;
        int64_t beat_ms;
    } cases[] = {
        {{.silence_ns = 3 * RILL_SECOND}, 750},
        {{.silence_ns = 1}, 1},
        {{.silence_ns = 3}, 1},
        {{.silence_ns = 4}, 1},
        {{.silence_ns = 4 * RILL_MILLISECOND}, 1},
        {{.silence_ns = 4 * RILL_MILLISECOND + 4}, 2},
        {{.silence_ns = 8 * RILL_MILLISECOND}, 2},
        {{.silence_ns = RILL_NEVER}, 0},
        {{.silence_ns = 3 * RILL_SECOND, .is_unprotected = true}, 0},
        {{.silence_ns = RILL_NEVER, .is_unprotected = true}, 0},
        {{.silence_ns = RILL_NEVER - 1}, (RILL_NEVER - 1) / 4 / RILL_MILLISECOND + 1},
    };
    struct rill_rdma_connection connection = {.id = 0};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t beat_ms = cases[i].beat_ms < UINT32_MAX ? cases[i].beat_ms : UINT32_MAX;

        connection.options = cases[i].options;
        expect_eq(rill_rdma_control_beat_ns(&connection), beat_ms * RILL_MILLISECOND);
    }
}
END_TEST

/* A message of that size costs 1000. */
START_TEST(the_other_side_is_told_of_each_half_of_a_window_once)
{
    enum { SIZE = 1000 - RILL_RDMA_MESSAGE_COST, COUNT = 100 };
    static const struct rill_rdma_connection_options roomy = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 100000};

    sides_open(NULL);
    sides_connect(&mute, &roomy);
    for (int i = 0; i < 4 * COUNT; i++) {
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, SIZE, 1)), SIZE);
        expect_eq(await(rill_rdma_recv(right, &sides.right.recv, buffer, SIZE, 1)), SIZE);
    }
    sides_pause(RILL_SECOND);
    expect_eq(right->metrics.beats_sent, 4 * COUNT / 50);
    expect_eq(left->metrics.beats_received, 4 * COUNT / 50);
    expect_eq(left->metrics.credit_waits, 0);
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_load_is_told_once_and_again_when_as_much_has_come_to_it)
{
    static const struct rill_rdma_connection_options patient = {.silence_ns = 1000 * RILL_SECOND,
                                                                .window = UINT64_MAX};
    enum { PART = RILL_RDMA_EP_LOAD / 8 };
    static struct rill_rdma_transfer sends[32];
    static struct background sendings[32];

    sides_open(NULL);
    sides_connect(&mute, &patient);
    for (unsigned i = 0; i < 32; i++) {
        background_start(&sendings[i], rill_rdma_send(left, &sends[i], message, PART, i));
        sides_pause(RILL_SECOND);
        expect_eq(left->metrics.beats_sent, (i + 1) / 8);
    }
    expect_eq(right->heartbeat.peer_load, 4 * RILL_RDMA_EP_LOAD);
    for (unsigned i = 0; i < 32; i++) {
        expect_eq(await(rill_rdma_recv(right, &sides.right.recv, buffer, PART, i)), PART);
        expect_eq(background_end(&sendings[i]), PART);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

static ucs_status_ptr_t take_no_beat(ucp_ep_h ep, unsigned id, const void *header,
                                     size_t header_size, const void *bytes, size_t size,
                                     const ucp_request_param_t *param)
{
    struct rill_rdma_control control;

    expect(rill_rdma_control_read(&control, header, header_size));
    if (control.kind == RILL_RDMA_BEAT)
        return UCS_STATUS_PTR(UCS_ERR_NO_MEMORY);
    return sides.sim.am_send_nbx(ep, id, header, header_size, bytes, size, param);
}

START_TEST(a_connection_that_can_not_speak_fails_with_the_reason)
{
    static const struct rill_rdma_connection_options watchful = {.silence_ns = 3 * RILL_SECOND};

    sides_open(NULL);
    sides.table.am_send_nbx = take_no_beat;
    sides_connect(&mute, &watchful);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 20000, 1));
    expect_eq(background_end(&sending), -ENOMEM);
    expect_eq(left->state, RILL_RDMA_FAILED);
    expect_eq(await(rill_rdma_disconnect(left)), -ENOMEM);
    sides_cut();
    sides_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {before_the_answer_nothing_else_makes_sense, IN_SIMULATED},
        {once_connected_only_the_other_side_is_heard_and_neither_greets_again, IN_SIMULATED},
        {credit_for_what_was_not_sent_is_a_mistake_that_is_counted_and_ends_the_connection,
         IN_SIMULATED},
        {the_reason_of_a_refusal_is_told_if_it_is_an_errno, IN_SIMULATED},
        {segments_have_to_be_equal_where_both_sides_have_some, IN_SIMULATED},
        {a_heartbeat_is_wanted_four_times_in_the_time_of_silence_in_whole_milliseconds,
         IN_SIMULATED},
        {the_other_side_is_told_of_each_half_of_a_window_once, IN_SIMULATED},
        {a_load_is_told_once_and_again_when_as_much_has_come_to_it, IN_SIMULATED},
        {a_connection_that_can_not_speak_fails_with_the_reason, IN_SIMULATED},
    };

    return fixture_main("rdma control", cases, sizeof cases / sizeof *cases);
}
