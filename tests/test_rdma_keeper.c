/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_keeper.c - what the keeper of a connection looks after while it lives, and that
 * nothing of a connection that was lost counts for the one that is made in its place. */
#include "rdma/keeper.h"

#include "rdma/control.h"
#include "rdma/exchange.h"
#include "tests/rdma/sides.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes, in a second. The message takes ten times as long as it takes to look for a sign of life,
 * and not a millisecond more or less. */
enum { RATE = 999000, LONG = 7500000 };
#define CHECK_NS (750 * RILL_MILLISECOND)

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static const struct rill_rdma_connection_options persistent = {
    .handshake_ns = RILL_NEVER,
    .close_ns = RILL_NEVER,
    .silence_ns = 3 * RILL_SECOND,
    .bytes_per_second = RATE,
    .reconnects = 100,
    .reconnect_first_ns = RILL_MILLISECOND,
    .reconnect_max_ns = RILL_MILLISECOND,
};
static struct background sending, ending;
static char message[LONG];

/* Waits until left is connected no more. Returns how long that took. */
static int64_t wait_for_loss(void)
{
    int64_t began_ns = rill_now();

    while (left->state == RILL_RDMA_CONNECTED) {
        sides_pause(RILL_MILLISECOND);
        expect(rill_now() - began_ns < 100 * RILL_SECOND);
    }
    return rill_now() - began_ns;
}

/* ---- while it lives ---- */

START_TEST(a_side_without_a_window_lets_any_number_of_messages_come)
{
    static const struct rill_rdma_connection_options options[] = {
        {.is_unprotected = true}, {.window = UINT64_MAX, .silence_ns = RILL_NEVER}};
    enum { SIZE = 7000, COUNT = 4 * RILL_RDMA_WINDOW / SIZE };

    for (int i = 0; i < 2; i++) {
        sides_open(NULL);
        sides_connect(&mute, &options[i]);
        for (int sent = 0; sent < COUNT; sent++)
            expect_eq(await(rill_rdma_send(left, &sides.left.send, message, SIZE, 1)), SIZE);
        expect_eq(left->metrics.credit_waits, 0);
        sides_disconnect();
        sides_close();
    }
}
END_TEST

START_TEST(a_side_beats_as_often_as_the_other_one_wants_whatever_it_wants_itself)
{
    static const struct rill_rdma_connection_options watchful = {.silence_ns = RILL_SECOND},
                                                     patient = {.silence_ns = 1000 * RILL_SECOND};
    static const struct {
        const struct rill_rdma_connection_options *left, *right;
        unsigned beats_of_left, beats_of_right; /* in ten seconds */
    } cases[] = {
        {&patient, &watchful, 40, 0},
        {&watchful, &patient, 0, 40},
        {&mute, &watchful, 40, 0},
        {&watchful, &mute, 0, 40},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sides_open(NULL);
        sides_connect(cases[i].left, cases[i].right);
        sides_pause(10 * RILL_SECOND + RILL_SECOND / 8);
        expect_eq(left->state, RILL_RDMA_CONNECTED);
        expect_eq(right->state, RILL_RDMA_CONNECTED);
        expect_eq(left->metrics.beats_sent, cases[i].beats_of_left);
        expect_eq(right->metrics.beats_sent, cases[i].beats_of_right);
        sides_disconnect();
        sides_close();
    }
}
END_TEST

static void expect_printed(const char *what)
{
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    expect(file != NULL);
    rill_executor_print(&fixture.runtime->executor, file);
    fclose(file);
    if (!strstr(text, what))
        fixture_fail(__FILE__, __LINE__, "there is no '%s' in:\n%s", what, text);
    free(text);
}

START_TEST(a_keeper_says_what_it_does)
{
    static const struct sim_ucx_options late = {.latency_max_ns = RILL_MILLISECOND,
                                                .late_max_ns = RILL_MILLISECOND,
                                                .late_per_mille = 1000,
                                                .pairs = true};

    sides_open(&late);
    sides_connect(&mute, &mute);
    expect_printed("attend to a connection");
    background_start(&ending, rill_rdma_disconnect(left));
    background_start(&sending, rill_rdma_disconnect(right));
    while (left->ep.state == RILL_RDMA_EP_OPEN)
        sides_pause(10 * RILL_MICROSECOND);
    expect_printed("close the endpoint of a connection");
    expect_eq(background_end(&ending), 0);
    expect_eq(background_end(&sending), 0);
    sides_close();
}
END_TEST

static unsigned attempts;

static ucs_status_t find_no_way(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ep)
{
    (void)worker;
    (void)params;
    (void)ep;
    attempts++;
    return UCS_ERR_UNREACHABLE;
}

START_TEST(what_never_was_a_connection_is_a_failure_and_not_tried_again)
{
    sides_open(NULL);
    sides.table.ep_create = find_no_way;
    attempts = 0;
    expect_eq(await(sides_connecting(&persistent)), -EHOSTUNREACH);
    expect_eq(attempts, 1);
    expect_eq(sides.left.hub.ended.failures, 1);
    expect_eq(sides.left.hub.ended.connects, 0);
    sides_close();
}
END_TEST

/* ---- anew ---- */

static unsigned hellos;

static ucs_status_ptr_t look_at_hello(ucp_ep_h ep, unsigned id, const void *header,
                                      size_t header_size, const void *bytes, size_t size,
                                      const ucp_request_param_t *param)
{
    struct rill_rdma_control control;

    expect(rill_rdma_control_read(&control, header, header_size));
    if (control.kind == RILL_RDMA_HELLO) {
        hellos++;
        expect_eq(control.to, 0);
        expect_eq(control.received, 0);
        expect_eq(control.load_kib, 0);
    }
    return sides.sim.am_send_nbx(ep, id, header, header_size, bytes, size, param);
}

/* Of which UCX makes no endpoint. */
START_TEST(what_was_counted_stays_while_attempts_fail)
{
    struct rill_rdma_metrics metrics;

    sides_open(NULL);
    sides_connect(&persistent, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 100, 1));
    expect_eq(await(rill_rdma_recv(right, &sides.right.recv, message, 100, 1)), 100);
    expect_eq(background_end(&sending), 100);
    sides.table.ep_create = find_no_way;
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    await(rill_rdma_cut(right));
    sides_pause(20 * RILL_MILLISECOND);
    expect(left->attempts > 2);
    expect_eq(left->state, RILL_RDMA_CONNECTING);
    expect_eq(sides.left.hub.connections, 1);
    rill_rdma_hub_metrics(&sides.left.hub, &metrics);
    expect_eq(metrics.messages_sent, 1);
    expect_eq(metrics.connects, 1);
    expect(metrics.failures > 2);
    sides.table.ep_create = sides.sim.ep_create;
    sides_adopt(&mute);
    expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), 0);
    rill_rdma_hub_metrics(&sides.left.hub, &metrics);
    expect_eq(metrics.connects, 2);
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_hello_says_nothing_of_the_connection_that_was_lost)
{
    sides_open(NULL);
    sides.table.am_send_nbx = look_at_hello;
    hellos = 0;
    sides_connect(&persistent, &mute);
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, 100, 1));
    expect_eq(await(rill_rdma_recv(left, &sides.left.recv, message, 100, 1)), 100);
    expect_eq(background_end(&sending), 100);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(RILL_SECOND / 2);
    sides_lose_and_connect(-ECONNRESET, &mute);
    expect_eq(background_end(&sending), -ECONNRESET);
    expect_eq(hellos, 2);
    sides_disconnect();
    sides_close();
}
END_TEST

/* Three quarters of the time of silence at the least, and no more than all of it, whenever it was
 * that the other side was heard last. */
START_TEST(a_connection_made_anew_notices_silence_as_the_first_one_did)
{
    sides_open(NULL);
    sides_connect(&persistent, &mute);
    for (int i = 0; i < 10; i++) {
        int64_t took_ns;

        sides_pause(i * 80 * RILL_MILLISECOND);
        sim_ucx_stop(sides.right.rdma.worker, 4 * RILL_SECOND);
        took_ns = wait_for_loss();
        ck_assert_int_ge(took_ns, 3 * CHECK_NS - i * 80 * RILL_MILLISECOND);
        ck_assert_int_le(took_ns, 4 * CHECK_NS + 10 * RILL_MILLISECOND);
        await(rill_rdma_cut(right));
        sides_adopt(&mute);
        expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), 0);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_long_message_has_its_time_and_silence_its_own_also_after_a_loss)
{
    sides_open(NULL);
    sides_connect(&persistent, &mute);
    for (int i = 0; i < 3; i++) {
        int64_t took_ns;

        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
        sides_pause(10 * RILL_MILLISECOND);
        sim_ucx_stop(sides.right.rdma.worker, 20 * RILL_SECOND);
        took_ns = wait_for_loss() + 10 * RILL_MILLISECOND;
        ck_assert_int_ge(took_ns, (10 + 3) * CHECK_NS);
        ck_assert_int_le(took_ns, (10 + 4) * CHECK_NS);
        expect_eq(background_end(&sending), -ETIMEDOUT);
        await(rill_rdma_cut(right));
        sides_adopt(&mute);
        expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), 0);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_network_may_carry_no_more_than_a_byte_in_a_second)
{
    static const struct rill_rdma_connection_options slow = {
        .close_ns = RILL_NEVER, .silence_ns = 3 * RILL_SECOND, .bytes_per_second = 1};
    int64_t took_ns;

    sides_open(NULL);
    sides_connect(&slow, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 15000, 1));
    sides_pause(10 * RILL_MILLISECOND);
    sim_ucx_stop(sides.right.rdma.worker, 3600 * RILL_SECOND);
    took_ns = wait_for_loss(); /* a kilobyte a second is the least that is counted with */
    ck_assert_int_ge(took_ns, 15 * RILL_SECOND);
    ck_assert_int_le(took_ns, 19 * RILL_SECOND);
    background_end(&sending);
    sides_cut();
    sides_close();
}
END_TEST

START_TEST(a_load_is_told_from_a_mebibyte_on)
{
    sides_open(NULL);
    sides_connect(&mute, &(struct rill_rdma_connection_options){.silence_ns = 1000 * RILL_SECOND});
    for (int i = 0; i < 2; i++) {
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message,
                                                  RILL_RDMA_EP_LOAD - 1 + (size_t)i, 1));
        sides_pause(RILL_SECOND);
        expect_eq(left->metrics.beats_sent, i);
        expect_eq(right->heartbeat.peer_load, i * RILL_RDMA_EP_LOAD);
        expect(await(rill_rdma_recv(right, &sides.right.recv, message, LONG, 1)) > 0);
        expect(background_end(&sending) > 0);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_load_is_not_told_to_a_side_that_wants_no_heartbeats)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(RILL_SECOND);
    expect_eq(await(rill_rdma_recv(right, &sides.right.recv, message, LONG, 1)), LONG);
    expect_eq(background_end(&sending), LONG);
    expect_eq(left->metrics.beats_sent, 0);
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(what_was_on_its_way_before_the_loss_excuses_no_silence_after_it)
{
    sides_open(NULL);
    sides_connect(&persistent, &persistent);
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, LONG, 1));
    sides_pause(RILL_SECOND);
    sides_lose_and_connect(-ECONNRESET, &mute);
    background_end(&sending);
    sim_ucx_stop(sides.right.rdma.worker, 3600 * RILL_SECOND);
    ck_assert_int_le(wait_for_loss(), 3 * RILL_SECOND + 10 * RILL_MILLISECOND);
    expect_eq(await(rill_rdma_disconnect(left)), -ETIMEDOUT);
    await(rill_rdma_cut(right));
    sides_close();
}
END_TEST

START_TEST(a_refusal_of_one_attempt_is_none_of_the_next)
{
    static const struct rill_rdma_control refusal = {
        .kind = RILL_RDMA_REFUSE, .from = 1, .reason = -EPROTONOSUPPORT};
    struct rill_rdma_am stranger = {0};

    sides_open(NULL);
    sides_connect(&persistent, &mute);
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    await(rill_rdma_cut(right));
    expect(await(rill_rdma_accept_worker(&sides.right.hub, &stranger)) > 0);
    rill_rdma_am_release(&stranger);
    expect_eq(left->state, RILL_RDMA_CONNECTING);
    expect(rill_rdma_control_hear(left, &refusal));
    sides_adopt(&mute);
    expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), 0);
    expect_eq(left->metrics.connects, 2);
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(of_several_losses_the_latest_is_told)
{
    sides_open(NULL);
    sides_connect(&persistent, &mute);
    sides_lose_and_connect(-ECONNRESET, &mute);
    rill_rdma_ep_fail(&left->ep, -ENETDOWN);
    while (left->state != RILL_RDMA_CONNECTING || left->attempts < 1)
        sides_pause(RILL_MILLISECOND);
    expect_eq(await(rill_rdma_disconnect(left)), -ENETDOWN);
    await(rill_rdma_cut(right));
    sides_close();
}
END_TEST

START_TEST(a_connection_that_has_lasted_is_made_anew_as_soon_as_the_first_time)
{
    static const struct rill_rdma_connection_options patient = {
        .reconnects = 2,
        .reconnect_first_ns = 10 * RILL_MILLISECOND,
        .reconnect_max_ns = 1000 * RILL_SECOND,
    };
    enum { TIMES = 12 };
    int64_t began_ns, taken_ns = 0;

    sides_open(NULL);
    sides_connect(&patient, &mute);
    for (int i = 0; i < TIMES; i++) {
        sides_pause(patient.reconnect_max_ns);
        began_ns = rill_now();
        sides_lose_and_connect(-ECONNRESET, &mute);
        taken_ns += rill_now() - began_ns;
    }
    ck_assert_int_le(taken_ns, TIMES * 20 * RILL_MILLISECOND);
    sides_disconnect();
    sides_close();
}
END_TEST

/* That a side is done stays on its way. */
static ucs_status_ptr_t keep_done_back(ucp_ep_h ep, unsigned id, const void *header,
                                       size_t header_size, const void *bytes, size_t size,
                                       const ucp_request_param_t *param)
{
    struct rill_rdma_control control;

    expect(rill_rdma_control_read(&control, header, header_size));
    if (control.kind == RILL_RDMA_DONE)
        return NULL;
    return sides.sim.am_send_nbx(ep, id, header, header_size, bytes, size, param);
}

static void hear_done(struct rill_rdma_connection *connection)
{
    const struct rill_rdma_control done = {.kind = RILL_RDMA_DONE, .from = connection->peer.id};

    expect(rill_rdma_control_hear(connection, &done));
}

/* Of the first connection the other side was done, and it was lost before both sides knew. */
START_TEST(a_side_waits_until_the_other_one_is_done_also_after_a_loss)
{
    sides_open(NULL);
    sides.table.am_send_nbx = keep_done_back;
    sides_connect(&persistent, &mute);
    hear_done(left);
    sides_lose_and_connect(-ECONNRESET, &mute);
    background_start(&ending, rill_rdma_disconnect(right));
    sides_pause(RILL_SECOND);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    expect_eq(left->ep.state, RILL_RDMA_EP_OPEN);
    hear_done(left);
    hear_done(right);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

/* Looks at a transfer once, and then no more until it is let: as a task does that waits for
 * something else meanwhile (runtime/any.h). */
struct late {
    struct rill_future future;
    struct rill_future *transfer;
    bool has_begun, is_let;
};

static struct late late;

static enum rill_poll late_poll(struct rill_future *self, struct rill_task *task)
{
    struct late *it = rill_container_of(self, struct late, future);

    if (it->has_begun && !it->is_let)
        return RILL_PENDING;
    it->has_begun = true;
    if (it->transfer->poll(it->transfer, task) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, it->transfer->result);
}

static struct rill_future *look_late(struct rill_future *transfer)
{
    late = (struct late){.transfer = transfer};
    return rill_future_init(&late.future, late_poll);
}

static int64_t let_look(struct background *background)
{
    late.is_let = true;
    rill_task_wake(&background->task);
    return background_end(background);
}

/* The sender of now would be told of more than it has sent, and take that for a mistake. */
START_TEST(a_message_of_a_lost_connection_that_is_looked_at_late_gives_no_credit_to_the_next)
{
    static struct background receiving;

    sides_open(NULL);
    sides_connect(&persistent, &mute);
    background_start(&receiving,
                     look_late(rill_rdma_recv(left, &sides.left.recv, message, 100, 1)));
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, 100, 1));
    sides_pause(10 * RILL_MILLISECOND);
    expect_eq(background_end(&sending), 100);
    sides_lose_and_connect(-ECONNRESET, &mute);
    expect_eq(let_look(&receiving), 100);
    expect_eq(left->credit.received, 0);
    sides_pause(10 * RILL_SECOND);
    expect_eq(left->metrics.connects, 2);
    expect_eq(left->state, RILL_RDMA_CONNECTED);
    sides_disconnect();
    sides_close();
}
END_TEST

static ucs_status_ptr_t take_nothing(ucp_ep_h ep, const void *bytes, size_t size, ucp_tag_t tag,
                                     const ucp_request_param_t *param)
{
    (void)ep;
    (void)bytes;
    (void)size;
    (void)tag;
    (void)param;
    return UCS_STATUS_PTR(UCS_ERR_NO_MEMORY);
}

/* What was spent for it was credit of the connection that was lost. */
START_TEST(a_send_that_ucx_did_not_take_before_a_loss_gives_nothing_back_after_it)
{
    static const struct rill_rdma_connection_options narrow = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 1};
    static struct background late_sending, given_up;
    static struct rill_rdma_transfer late_send, other;

    sides_open(NULL);
    sides_connect(&persistent, &narrow);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 100, 1));
    background_start(&late_sending, look_late(rill_rdma_send(left, &late_send, message, 100, 1)));
    background_start(&given_up, rill_rdma_send(left, &other, message, 100, 1));
    expect_eq(await(rill_rdma_recv(right, &sides.right.recv, message, 100, 1)), 100);
    expect_eq(background_end(&sending), 100);
    sides_pause(10 * RILL_MILLISECOND);
    sides.table.tag_send_nbx = take_nothing;
    rill_task_cancel(&given_up.task);
    expect_eq(background_end(&given_up), -ECANCELED); /* the one before it is posted at that */
    sides.table.tag_send_nbx = sides.sim.tag_send_nbx;
    sides_lose_and_connect(-ECONNRESET, &narrow);
    expect_eq(let_look(&late_sending), -ENOMEM);
    expect_eq(left->credit.sent, 0);
    sides_disconnect();
    sides_close();
}
END_TEST

static const struct rill_rdma_connection_options returning = {
    .handshake_ns = RILL_NEVER,
    .close_ns = RILL_SECOND,
    .silence_ns = RILL_NEVER,
    .reconnects = 3,
    .reconnects_after_end = true,
    .reconnect_first_ns = RILL_MILLISECOND,
    .reconnect_max_ns = RILL_MILLISECOND,
};

START_TEST(a_receive_that_was_ended_in_order_says_so_though_it_is_looked_at_when_connected_anew)
{
    static struct background receiving;

    sides_open(NULL);
    sides_connect(&returning, &mute);
    background_start(&receiving,
                     look_late(rill_rdma_recv(left, &sides.left.recv, message, 100, 1)));
    sides_pause(10 * RILL_MILLISECOND);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    sides_adopt(&mute);
    expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), 0);
    expect_eq(left->metrics.connects, 2);
    expect_eq(let_look(&receiving), -ESHUTDOWN);
    sides_disconnect();
    sides_close();
}
END_TEST

/* It comes back after losses only. */
START_TEST(who_waits_for_what_does_not_come_back_after_an_end_is_told_as_that_begins)
{
    sides_open(NULL);
    sides_connect(&persistent, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(RILL_MILLISECOND);
    background_start(&ending, rill_rdma_disconnect(right));
    while (left->state == RILL_RDMA_CONNECTED)
        sides_pause(RILL_MILLISECOND);
    expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), -ESHUTDOWN);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    background_end(&sending);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

START_TEST(what_came_before_a_loss_is_received_after_attempts_that_made_no_endpoint)
{
    sides_open(NULL);
    sides_connect(&persistent, &mute);
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, 100, 1));
    expect_eq(background_end(&sending), 100);
    sides_pause(10 * RILL_MILLISECOND);
    sides.table.ep_create = find_no_way;
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    sides_pause(20 * RILL_MILLISECOND);
    expect(left->attempts > 2);
    expect_eq(await(rill_rdma_recv(left, &sides.left.recv, message, 100, 1)), 100);
    expect_eq(await(rill_rdma_disconnect(left)), -ECONNRESET);
    await(rill_rdma_cut(right));
    sides_close();
}
END_TEST

/* Of the connection that has ended both sides knew that all was over; of the attempts nobody did.
 */
START_TEST(a_connection_that_does_not_come_back_after_an_end_has_failed)
{
    sides_open(NULL);
    sides_connect(&returning, &mute);
    sides.table.ep_create = find_no_way;
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(await(rill_rdma_wait_for_connection(left, &sides.left.wait)), -EHOSTUNREACH);
    expect_eq(left->state, RILL_RDMA_FAILED);
    expect_eq(left->metrics.failures, 3);
    expect_eq(await(rill_rdma_disconnect(left)), -EHOSTUNREACH);
    sides_close();
}
END_TEST

/* Which takes a second where UCX does not let go of a send. */
START_TEST(what_is_lost_is_not_connected_any_more_while_its_endpoint_is_closed)
{
    static const struct sim_ucx_options silent = {
        .latency_max_ns = RILL_MILLISECOND, .pairs = true, .mute_per_mille = 1000};

    for (int is_persistent = 0; is_persistent < 2; is_persistent++) {
        sides_open(&silent);
        sides_connect(is_persistent ? &persistent : &mute, &mute);
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
        sides_pause(RILL_MILLISECOND);
        rill_rdma_ep_fail(&left->ep, -ECONNRESET);
        sides_pause(RILL_RDMA_DRAIN_NS / 2);
        expect_eq(left->ep.state, RILL_RDMA_EP_CUT);
        expect_eq(left->state, is_persistent ? RILL_RDMA_CONNECTING : RILL_RDMA_FAILED);
        expect_eq(background_end(&sending), -ECONNRESET);
        sides_cut();
        sides_close();
    }
}
END_TEST

START_TEST(one_that_is_given_up_while_it_waits_for_its_messages_to_be_received_ends_at_once)
{
    struct rill_rdma_connection_options patient = returning;
    int64_t began_ns;

    patient.close_ns = 1000 * RILL_SECOND;
    patient.reconnect_first_ns = patient.reconnect_max_ns = 1000 * RILL_SECOND;
    sides_open(NULL);
    sides_connect(&patient, &mute);
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, 100, 1));
    expect_eq(background_end(&sending), 100);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    sides_pause(RILL_SECOND);
    expect(!left->ep.is_open && rill_rdma_probe(left, 1, NULL, NULL));
    began_ns = rill_now();
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    ck_assert_int_le(rill_now() - began_ns, RILL_SECOND);
    sides_close();
}
END_TEST

/* The other side's reason tells more than UCX's, which is that it has closed. */
START_TEST(a_refusal_is_told_though_the_endpoint_fails_in_the_same_moment)
{
    static const struct rill_rdma_control refusal = {
        .kind = RILL_RDMA_REFUSE, .from = 1, .reason = -EPROTONOSUPPORT};
    struct rill_rdma_am stranger = {0};

    sides_open(NULL);
    background_start(&sending, sides_connecting(&mute));
    expect(await(rill_rdma_accept_worker(&sides.right.hub, &stranger)) > 0);
    rill_rdma_am_release(&stranger);
    expect(rill_rdma_control_hear(left, &refusal));
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    expect_eq(background_end(&sending), -EPROTONOSUPPORT);
    sides_close();
}
END_TEST

START_TEST(a_refusal_that_can_not_be_told_does_not_hold_up_who_disconnects)
{
    static const struct sim_ucx_options slow = {.latency_max_ns = RILL_MILLISECOND,
                                                .late_max_ns = 3600 * RILL_SECOND,
                                                .late_per_mille = 1000,
                                                .pairs = true};
    static const struct rill_rdma_control answer = {
        .version = RILL_RDMA_WIRE_VERSION + 1, .kind = RILL_RDMA_ACK, .from = 1};
    int64_t began_ns;

    sides_open(&slow);
    sides_connect(&persistent, &mute);
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    await(rill_rdma_cut(right));
    while (left->state != RILL_RDMA_CONNECTING || left->ep.error)
        sides_pause(RILL_MILLISECOND);
    expect(rill_rdma_control_hear(left, &answer));
    began_ns = rill_now();
    expect_eq(await(rill_rdma_disconnect(left)), -EPROTONOSUPPORT);
    ck_assert_int_le(rill_now() - began_ns, 2 * RILL_RDMA_DRAIN_NS);
    sides_close();
}
END_TEST

/* All that either side has sent was taken, and both know: that is what disconnecting waits for. */
START_TEST(a_side_that_never_hears_that_the_other_one_is_done_has_ended_well_when_its_time_is_over)
{
    static const struct rill_rdma_connection_options hasty = {.close_ns = RILL_SECOND,
                                                              .silence_ns = RILL_NEVER};
    int64_t began_ns;

    sides_open(NULL);
    sides.table.am_send_nbx = keep_done_back;
    sides_connect(&hasty, &mute);
    background_start(&ending, rill_rdma_disconnect(right));
    began_ns = rill_now();
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    ck_assert_int_ge(rill_now() - began_ns, RILL_SECOND / 2);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_side_without_a_window_lets_any_number_of_messages_come, IN_SIMULATED},
        {a_side_beats_as_often_as_the_other_one_wants_whatever_it_wants_itself, IN_SIMULATED},
        {a_keeper_says_what_it_does, IN_SIMULATED},
        {what_never_was_a_connection_is_a_failure_and_not_tried_again, IN_SIMULATED},
        {what_was_counted_stays_while_attempts_fail, IN_SIMULATED},
        {a_hello_says_nothing_of_the_connection_that_was_lost, IN_SIMULATED},
        {a_connection_made_anew_notices_silence_as_the_first_one_did, IN_SIMULATED},
        {a_long_message_has_its_time_and_silence_its_own_also_after_a_loss, IN_SIMULATED},
        {a_network_may_carry_no_more_than_a_byte_in_a_second, IN_SIMULATED},
        {a_load_is_told_from_a_mebibyte_on, IN_SIMULATED},
        {a_load_is_not_told_to_a_side_that_wants_no_heartbeats, IN_SIMULATED},
        {what_was_on_its_way_before_the_loss_excuses_no_silence_after_it, IN_SIMULATED},
        {a_refusal_of_one_attempt_is_none_of_the_next, IN_SIMULATED},
        {of_several_losses_the_latest_is_told, IN_SIMULATED},
        {a_connection_that_has_lasted_is_made_anew_as_soon_as_the_first_time, IN_SIMULATED},
        {a_side_waits_until_the_other_one_is_done_also_after_a_loss, IN_SIMULATED},
        {a_message_of_a_lost_connection_that_is_looked_at_late_gives_no_credit_to_the_next,
         IN_SIMULATED},
        {a_send_that_ucx_did_not_take_before_a_loss_gives_nothing_back_after_it, IN_SIMULATED},
        {a_receive_that_was_ended_in_order_says_so_though_it_is_looked_at_when_connected_anew,
         IN_SIMULATED},
        {who_waits_for_what_does_not_come_back_after_an_end_is_told_as_that_begins, IN_SIMULATED},
        {what_came_before_a_loss_is_received_after_attempts_that_made_no_endpoint, IN_SIMULATED},
        {a_connection_that_does_not_come_back_after_an_end_has_failed, IN_SIMULATED},
        {what_is_lost_is_not_connected_any_more_while_its_endpoint_is_closed, IN_SIMULATED},
        {one_that_is_given_up_while_it_waits_for_its_messages_to_be_received_ends_at_once,
         IN_SIMULATED},
        {a_refusal_is_told_though_the_endpoint_fails_in_the_same_moment, IN_SIMULATED},
        {a_side_that_never_hears_that_the_other_one_is_done_has_ended_well_when_its_time_is_over,
         IN_SIMULATED},
        {a_refusal_that_can_not_be_told_does_not_hold_up_who_disconnects, IN_SIMULATED},
    };

    return fixture_main("rdma keeper", cases, sizeof cases / sizeof *cases);
}
