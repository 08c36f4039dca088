/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_ending.c - what the two sides of a connection do, and say, when it ends. */
#include "rdma/control.h"
#include "rdma/exchange.h"
#include "rdma/tag.h"
#include "tests/rdma/sides.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { LONG = 20000 }; /* stays with its sender until it is received */

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static struct background sending, receiving, ending, connecting;
static char message[LONG], buffer[LONG];

/* ---- what is said ---- */

static unsigned said[RILL_RDMA_DONE + 1], byes;

static ucs_status_ptr_t count_control(ucp_ep_h ep, unsigned id, const void *header,
                                      size_t header_size, const void *bytes, size_t size,
                                      const ucp_request_param_t *param)
{
    struct rill_rdma_control control;

    expect(rill_rdma_control_read(&control, header, header_size));
    said[control.kind]++;
    return sides.sim.am_send_nbx(ep, id, header, header_size, bytes, size, param);
}

static ucs_status_ptr_t count_bye(ucp_ep_h ep, const void *bytes, size_t size, ucp_tag_t tag,
                                  const ucp_request_param_t *param)
{
    byes++;
    return sides.sim.tag_send_sync_nbx(ep, bytes, size, tag, param);
}

START_TEST(a_connection_costs_a_hello_and_an_answer_and_a_bye_and_a_done_of_each_side)
{
    for (int who = 0; who < 3; who++) {
        memset(said, 0, sizeof said);
        byes = 0;
        sides_open(NULL);
        sides.table.am_send_nbx = count_control;
        sides.table.tag_send_sync_nbx = count_bye;
        sides_connect(&mute, &mute);
        if (who < 2) { /* one after the other; else both at once */
            background_start(&ending, rill_rdma_disconnect(who ? left : right));
            sides_pause(RILL_SECOND);
            expect_eq(await(rill_rdma_disconnect(who ? right : left)), 0);
            expect_eq(background_end(&ending), 0);
        } else {
            sides_disconnect();
        }
        expect_eq(said[RILL_RDMA_HELLO], 1);
        expect_eq(said[RILL_RDMA_ACK], 1);
        expect_eq(said[RILL_RDMA_DONE], 2);
        expect_eq(said[RILL_RDMA_BEAT] + said[RILL_RDMA_REFUSE], 0);
        expect_eq(byes, 2);
        sides_close();
    }
}
END_TEST

/* Without a timer, somebody has to wake those who go on. */
START_TEST(a_connection_begins_and_ends_in_the_time_that_its_messages_take)
{
    int64_t began_ns;

    sides_open(NULL);
    began_ns = rill_now();
    sides_connect(&mute, &mute);
    ck_assert_int_le(rill_now() - began_ns, 3 * RILL_MILLISECOND);
    began_ns = rill_now();
    sides_disconnect();
    ck_assert_int_le(rill_now() - began_ns, 10 * RILL_MILLISECOND);
    sides_close();
}
END_TEST

/* Its answer and its BYE come together. */
START_TEST(a_side_that_disconnects_as_soon_as_it_was_connected_to_is_heard)
{
    sides_open(NULL);
    background_start(&connecting, sides_connecting(&mute));
    sides_adopt(&mute);
    background_start(&ending, rill_rdma_disconnect(right));
    expect_eq(background_end(&connecting), 0);
    sides_pause(RILL_SECOND);
    expect(left->state == RILL_RDMA_CLOSED);
    expect_eq(background_end(&ending), 0);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    sides_close();
}
END_TEST

START_TEST(a_bye_with_bytes_is_a_mistake_of_the_other_side)
{
    struct rill_rdma_op op = {0};

    sides_open(NULL);
    sides_connect(&mute, &mute);
    expect_eq(await(rill_rdma_tag_send(&right->ep, &op, "x", 1,
                                       rill_rdma_tag_make(left->id, RILL_RDMA_KIND_BYE, 0))),
              1);
    expect_eq(await(rill_rdma_wait_for_state(left, &sides.left.wait,
                                             1u << RILL_RDMA_FAILED | 1u << RILL_RDMA_CLOSING)),
              RILL_RDMA_FAILED);
    expect_eq(await(rill_rdma_disconnect(left)), -EPROTO);
    await(rill_rdma_cut(right));
    sides_close();
}
END_TEST

/* ---- what is on its way ---- */

/* Has left disconnect with a send on its way that nobody receives. */
static void begin_long_end(const struct rill_rdma_connection_options *of_left,
                           const struct rill_rdma_connection_options *of_right)
{
    sides_open(NULL);
    sides_connect(of_left, of_right);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    background_start(&receiving, rill_rdma_recv(left, &sides.left.recv, buffer, LONG, 2));
    sides_pause(RILL_SECOND);
    background_start(&ending, rill_rdma_disconnect(left));
    sides_pause(RILL_SECOND);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    expect(!rill_task_is_over(&sending.task));
}

START_TEST(receives_of_a_side_that_disconnects_end_though_a_send_of_it_goes_on)
{
    begin_long_end(&mute, &mute);
    expect(rill_task_is_over(&receiving.task));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(await(rill_rdma_recv(right, &sides.right.recv, buffer, LONG, 1)), LONG);
    expect_eq(background_end(&sending), LONG);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

/* It has credit for one message at a time. */
START_TEST(what_comes_to_a_side_that_disconnects_is_thrown_away_and_its_sender_goes_on)
{
    static const struct rill_rdma_connection_options narrow = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 1};

    begin_long_end(&narrow, &mute);
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    for (int i = 0; i < 3; i++)
        expect_eq(await(rill_rdma_send(right, &sides.right.send, message, 100, 2)), 100);
    sides_pause(RILL_SECOND);
    expect_eq(sides.left.hub.swept, 3);
    expect_eq(await(rill_rdma_recv(right, &sides.right.recv, buffer, LONG, 1)), LONG);
    expect_eq(background_end(&sending), LONG);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

START_TEST(a_send_that_the_end_does_not_wait_for_any_longer_tells_why)
{
    static const struct rill_rdma_connection_options hasty = {.close_ns = 3 * RILL_SECOND,
                                                              .silence_ns = RILL_NEVER};

    begin_long_end(&hasty, &mute);
    background_end(&receiving);
    expect_eq(background_end(&sending), -ETIMEDOUT);
    expect_eq(background_end(&ending), -ETIMEDOUT);
    await(rill_rdma_cut(right));
    sides_close();
}
END_TEST

/* ---- how long it takes ---- */

START_TEST(disconnecting_has_all_its_time_though_the_other_side_began)
{
    static const struct rill_rdma_connection_options hasty = {.close_ns = 10 * RILL_SECOND,
                                                              .silence_ns = RILL_NEVER};
    int64_t began_ns;

    sides_open(NULL);
    sides_connect(&hasty, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    background_start(&ending, rill_rdma_disconnect(right));
    while (left->state == RILL_RDMA_CONNECTED)
        sides_pause(100 * RILL_MICROSECOND);
    sim_ucx_stop(sides.right.rdma.worker, 3600 * RILL_SECOND);
    sides_pause(6 * RILL_SECOND);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    began_ns = rill_now();
    expect_eq(await(rill_rdma_disconnect(left)), -ETIMEDOUT);
    ck_assert_int_ge(rill_now() - began_ns, 10 * RILL_SECOND);
    ck_assert_int_le(rill_now() - began_ns, 10 * RILL_SECOND + 2 * RILL_RDMA_DRAIN_NS);
    background_end(&sending);
    rill_task_cancel(&ending.task);
    background_end(&ending);
    sides_close();
}
END_TEST

/* ---- in the same moment ---- */

static ucp_send_nbx_callback_t on_sent;

/* The last that left has to know, that its BYE was taken, comes together with the end of its
 * endpoint. */
static void on_taken(void *request, ucs_status_t status, void *op)
{
    on_sent(request, status, op);
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
}

static ucs_status_ptr_t end_with_bye(ucp_ep_h ep, const void *bytes, size_t size, ucp_tag_t tag,
                                     const ucp_request_param_t *param)
{
    ucp_request_param_t changed = *param;

    if (ep == left->ep.ucp) {
        on_sent = param->cb.send;
        changed.cb.send = on_taken;
    }
    return sides.sim.tag_send_sync_nbx(ep, bytes, size, tag, &changed);
}

START_TEST(an_end_that_both_sides_know_of_is_no_loss)
{
    sides_open(NULL);
    sides.table.tag_send_sync_nbx = end_with_bye;
    sides_connect(&mute, &mute);
    background_start(&ending, rill_rdma_disconnect(right));
    expect_eq(await(rill_rdma_wait_for_state(left, &sides.left.wait,
                                             1u << RILL_RDMA_FAILED | 1u << RILL_RDMA_CLOSED)),
              RILL_RDMA_CLOSED);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    background_end(&ending);
    sides_close();
}
END_TEST

/* ---- before there was a connection ---- */

static ucs_status_ptr_t close_after_refusal(ucp_ep_h ep, const ucp_request_param_t *param)
{
    if (ep == right->ep.ucp)
        expect(right->control_op.state == RILL_RDMA_OP_IDLE);
    return sides.sim.ep_close_nbx(ep, param);
}

START_TEST(a_refusal_is_out_before_the_endpoint_is_closed)
{
    static const struct sim_ucx_options slow = {
        .latency_max_ns = RILL_MILLISECOND, .late_per_mille = 1000, .late_max_ns = RILL_SECOND};

    sides_open(&slow);
    sides.table.ep_close_nbx = close_after_refusal;
    sides.left.rdma.segments.tcp = 8192; /* which the other side cannot take */
    sides.right.rdma.segments.tcp = 65536;
    background_start(&connecting, sides_connecting(&mute));
    sides_adopt(&mute);
    expect_eq(await(rill_rdma_wait_for_connection(right, &sides.right.wait)), -EPROTOTYPE);
    expect_eq(background_end(&connecting), -EPROTOTYPE);
    expect_eq(await(rill_rdma_disconnect(right)), -EPROTOTYPE);
    sides_close();
}
END_TEST

/* The other side has been accepted, says nothing, and takes no part in anything. */
START_TEST(one_that_listens_is_disconnected_at_once)
{
    static struct rill_rdma_listener listener;
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    struct rill_address address;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep silent = {0};
    int64_t began_ns;

    sides_open(NULL);
    expect_eq(rill_rdma_listen(&listener, &sides.right.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
    expect_eq(rill_rdma_ep_connect(&silent, &sides.left.rdma, &address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(right, &sides.right.hub, &accept, &mute), 0);
    sides_pause(RILL_SECOND);
    sim_ucx_stop(sides.left.rdma.worker, 3600 * RILL_SECOND);
    expect_eq(right->state, RILL_RDMA_LISTENING);
    began_ns = rill_now();
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    ck_assert_int_le(rill_now() - began_ns, RILL_SECOND);
    await(rill_rdma_ep_abort(&silent));
    rill_rdma_listener_close(&listener);
    sides_close();
}
END_TEST

/* ---- all at once ---- */

/* With heartbeats due all the time, and each of them out only some time later. */
START_TEST(a_heartbeat_that_is_due_takes_the_place_of_nothing_else)
{
    static const struct sim_ucx_options slow = {.latency_max_ns = RILL_MILLISECOND,
                                                .late_per_mille = 1000,
                                                .late_max_ns = 40 * RILL_MILLISECOND};
    static const struct rill_rdma_connection_options beating = {.close_ns = RILL_NEVER,
                                                                .silence_ns = RILL_SECOND / 10};

    for (int i = 0; i < 20; i++) {
        memset(said, 0, sizeof said);
        sides_open(&slow);
        sides.table.am_send_nbx = count_control;
        sides_connect(&beating, &beating);
        sides_pause(RILL_SECOND + i * RILL_MILLISECOND);
        sides_disconnect();
        expect_eq(said[RILL_RDMA_ACK], 1);
        expect_eq(said[RILL_RDMA_DONE], 2);
        sides_close();
    }
}
END_TEST

START_TEST(a_runtime_that_is_shut_down_cuts_its_connections)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    expect(rill_task_is_over(&left->keeper));
    expect_eq(left->state, RILL_RDMA_CLOSED);
    expect_eq(left->error, -ESHUTDOWN);
    expect(rill_task_is_over(&right->keeper));
    sides_cut();
    sides_close();
}
END_TEST

/* Its message is with left until it is received, so it has not arrived. */
START_TEST(who_disconnects_after_that_is_not_told_that_all_has_arrived)
{
    for (int is_over = 0; is_over < 2; is_over++) {
        sides_open(NULL);
        sides_connect(&mute, &mute);
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
        sides_pause(RILL_SECOND);
        rill_task_cancel(&left->keeper);
        fixture_turn();
        expect(left->is_cut);
        if (is_over)
            sides_pause(RILL_SECOND);
        expect_eq(rill_task_is_over(&left->keeper), is_over);
        expect_eq(await(rill_rdma_disconnect(left)), -ECANCELED);
        expect(background_end(&sending) < 0);
        sides_cut();
        sides_close();
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_connection_costs_a_hello_and_an_answer_and_a_bye_and_a_done_of_each_side, IN_SIMULATED},
        {a_connection_begins_and_ends_in_the_time_that_its_messages_take, IN_SIMULATED},
        {a_side_that_disconnects_as_soon_as_it_was_connected_to_is_heard, IN_SIMULATED},
        {a_bye_with_bytes_is_a_mistake_of_the_other_side, IN_SIMULATED},
        {receives_of_a_side_that_disconnects_end_though_a_send_of_it_goes_on, IN_SIMULATED},
        {what_comes_to_a_side_that_disconnects_is_thrown_away_and_its_sender_goes_on, IN_SIMULATED},
        {a_send_that_the_end_does_not_wait_for_any_longer_tells_why, IN_SIMULATED},
        {disconnecting_has_all_its_time_though_the_other_side_began, IN_SIMULATED},
        {an_end_that_both_sides_know_of_is_no_loss, IN_SIMULATED},
        {a_refusal_is_out_before_the_endpoint_is_closed, IN_SIMULATED},
        {one_that_listens_is_disconnected_at_once, IN_SIMULATED},
        {a_heartbeat_that_is_due_takes_the_place_of_nothing_else, IN_SIMULATED},
        {a_runtime_that_is_shut_down_cuts_its_connections, IN_SIMULATED},
        {who_disconnects_after_that_is_not_told_that_all_has_arrived, IN_SIMULATED},
    };

    return fixture_main("rdma ending", cases, sizeof cases / sizeof *cases);
}
