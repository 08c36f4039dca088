/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_anew.c - when a connection is made anew, and when not: after a loss, and after an end
 * of the other side's, but after none that this side wanted. */
#include "rdma/keeper.h"
#include "tests/fixture.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"

#include <errno.h>
#include <limits.h>

static struct side left, right;
static struct rill_rdma_listener listener;
static struct rill_address address;
static struct background connecting, receiving, waiting, ending;
static char buffer[64];

static const struct rill_rdma_connection_options faithful = {
    .reconnects = 3,
    .reconnects_after_end = true,
};

/* What could be over at once takes up to late_ns. */
static void open_sides_of(uint64_t seed, int64_t late_ns)
{
    const struct sim_ucx_options options = {.latency_max_ns = RILL_MILLISECOND,
                                            .late_max_ns = late_ns,
                                            .late_per_mille = late_ns ? 1000 : 0,
                                            .pairs = true};
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    const struct rill_ucx *ucx;

    fixture_open(SIMULATED, &(struct sim_options){.seed = seed}, NULL);
    ucx = sim_ucx_begin(&options, NULL);
    side_open(&left, ucx);
    side_open(&right, ucx);
    expect_eq(rill_rdma_listen(&listener, &right.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
}

static void open_sides(void)
{
    open_sides_of(0, 0);
}

/* Nothing is over at once: each moment of an end can be seen. */
static void open_slow_sides(void)
{
    open_sides_of(0, 100 * RILL_MICROSECOND);
}

static void close_sides(void)
{
    rill_rdma_listener_close(&listener);
    side_close(&left);
    side_close(&right);
    sim_ucx_end();
    fixture_close();
}

static void accept_left(void)
{
    struct rill_rdma_state_wait wait;
    struct rill_rdma_accept accept;

    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&right.connection, &right.hub, &accept, &faithful), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&left.connection, &wait)), 0);
}

static void connect_sides(const struct rill_rdma_connection_options *options)
{
    background_start(&connecting,
                     rill_rdma_connect(&left.connection, &left.hub, &address, options));
    accept_left();
    expect_eq(background_end(&connecting), 0);
}

static void disconnect_sides(void)
{
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect_eq(background_end(&ending), 0);
}

static void expect_message(void)
{
    expect_eq(await(rill_rdma_send(&right.connection, &right.send, "hello", 5, 1)), 5);
    expect_eq(await(rill_rdma_recv(&left.connection, &left.recv, buffer, sizeof buffer, 1)), 5);
}

#define pass_until(condition)                                                                      \
    while (!(condition))                                                                           \
    pass(10 * RILL_MICROSECOND)

/* ---- the other side's end ---- */

START_TEST(a_connection_that_the_other_side_ends_is_made_anew)
{
    struct rill_rdma_state_wait over = {0};
    struct background until_over;

    open_sides();
    connect_sides(&faithful);
    background_start(&until_over,
                     rill_rdma_wait_for_state(&left.connection, &over,
                                              1u << RILL_RDMA_CLOSED | 1u << RILL_RDMA_FAILED |
                                                  1u << RILL_RDMA_IDLE));
    background_start(&receiving,
                     rill_rdma_recv(&left.connection, &left.recv, buffer, sizeof buffer, 1));
    background_start(&ending, rill_rdma_disconnect(&right.connection));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(left.connection.state, RILL_RDMA_CLOSING);
    background_start(&waiting, rill_rdma_wait_for_connection(&left.connection, &left.wait));
    expect_eq(background_end(&ending), 0);
    pass_until(left.connection.state != RILL_RDMA_CLOSING);
    expect_eq(left.connection.state, RILL_RDMA_CONNECTING);
    expect_eq(await(rill_rdma_send(&left.connection, &left.send, "x", 1, 1)), -ENOTCONN);
    accept_left();
    expect_eq(background_end(&waiting), 0);
    expect_eq(left.connection.metrics.connects, 2);
    expect_eq(left.connection.metrics.failures, 0);
    expect_message();
    expect(!rill_task_is_over(&until_over.task));
    disconnect_sides();
    background_end(&until_over);
    close_sides();
}
END_TEST

START_TEST(unless_that_is_wanted_the_other_side_s_end_is_one)
{
    static const struct rill_rdma_connection_options not_wanted[] = {
        {.reconnects = 3}, {.reconnects_after_end = true}, /* but no attempt */
    };

    for (size_t i = 0; i < sizeof not_wanted / sizeof *not_wanted; i++) {
        open_sides();
        connect_sides(&not_wanted[i]);
        background_start(&ending, rill_rdma_disconnect(&right.connection));
        pass_until(left.connection.state == RILL_RDMA_CLOSING);
        expect_eq(await(rill_rdma_wait_for_connection(&left.connection, &left.wait)), -ESHUTDOWN);
        expect_eq(background_end(&ending), 0);
        pass(10 * RILL_SECOND);
        expect_eq(left.connection.state, RILL_RDMA_CLOSED);
        expect_eq(await(rill_rdma_disconnect(&left.connection)), 0);
        close_sides();
    }
}
END_TEST

START_TEST(the_side_that_has_accepted_makes_nothing_anew)
{
    open_sides();
    connect_sides(NULL);
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    pass_until(right.connection.state == RILL_RDMA_CLOSING);
    expect_eq(await(rill_rdma_wait_for_connection(&right.connection, &right.wait)), -ESHUTDOWN);
    expect_eq(background_end(&ending), 0);
    pass(10 * RILL_SECOND);
    expect_eq(right.connection.state, RILL_RDMA_CLOSED);
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    close_sides();
}
END_TEST

START_TEST(a_side_that_does_not_come_back_is_given_up)
{
    open_sides();
    connect_sides(&faithful);
    rill_rdma_listener_close(&listener);
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect(await(rill_rdma_wait_for_connection(&left.connection, &left.wait)) < 0);
    expect_eq(left.connection.state, RILL_RDMA_FAILED);
    expect(left.connection.error != -ESHUTDOWN);
    expect_eq(left.connection.attempts, 3);
    expect_eq(left.connection.metrics.failures, 3);
    expect_eq(await(rill_rdma_disconnect(&left.connection)), left.wait.result);
    close_sides();
}
END_TEST

/* ---- what had come before it ---- */

static void leave_messages(int count)
{
    open_sides();
    connect_sides(&faithful);
    for (int i = 0; i < count; i++)
        expect_eq(await(rill_rdma_send(&right.connection, &right.send, "hello", 5, 1)), 5);
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
}

START_TEST(what_came_before_the_end_can_be_received_before_anything_is_made_anew)
{
    leave_messages(3);
    for (int i = 0; i < 3; i++) {
        pass(RILL_SECOND);
        expect_eq(left.connection.state, RILL_RDMA_CLOSING);
        expect_eq(await(rill_rdma_recv(&left.connection, &left.recv, buffer, sizeof buffer, 1)), 5);
    }
    expect_eq(await(rill_rdma_recv(&left.connection, &left.recv, buffer, sizeof buffer, 1)),
              -ENOTCONN);
    expect_eq(left.connection.state, RILL_RDMA_CONNECTING);
    accept_left();
    disconnect_sides();
    close_sides();
}
END_TEST

START_TEST(what_nobody_receives_holds_nothing_up_for_longer_than_closing_may_take)
{
    int64_t began_ns;

    leave_messages(1);
    began_ns = rill_now();
    accept_left();
    expect(rill_now() - began_ns > RILL_RDMA_CLOSE_NS - RILL_SECOND);
    expect(rill_now() - began_ns < RILL_RDMA_CLOSE_NS + RILL_SECOND);
    pass(RILL_MILLISECOND);
    expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
    expect(!rill_rdma_probe(&left.connection, 1, NULL, NULL));
    disconnect_sides();
    close_sides();
}
END_TEST

/* ---- this side's end ---- */

enum moment { CONNECTED, BOTH, CLOSING, AGREED, CLOSING_EP, UNRECEIVED, PAUSE, ATTEMPT, MOMENTS };
enum way { DISCONNECT, CANCELLED, CUT, WAYS };

static void reach(enum moment moment)
{
    struct rill_rdma_connection *connection = &left.connection;

    if (moment == CONNECTED)
        return;
    if (moment == UNRECEIVED)
        expect_eq(await(rill_rdma_send(&right.connection, &right.send, "hello", 5, 1)), 5);
    background_start(&ending, rill_rdma_disconnect(&right.connection));
    if (moment == CLOSING)
        pass_until(connection->state == RILL_RDMA_CLOSING);
    if (moment == AGREED)
        pass_until(rill_rdma_bye_is_agreed(&connection->bye));
    if (moment == CLOSING_EP)
        pass_until(connection->ep.state == RILL_RDMA_EP_FLUSHING ||
                   connection->ep.state == RILL_RDMA_EP_CLOSING);
    if (moment == UNRECEIVED)
        pass_until(connection->state == RILL_RDMA_CLOSING && !connection->ep.is_open);
    if (moment >= PAUSE)
        pass_until(connection->state == RILL_RDMA_CONNECTING);
    if (moment == ATTEMPT)
        pass_until(connection->ep.is_open);
}

static int64_t end_left(enum way way)
{
    struct background by_left;

    if (way == CUT)
        return await(rill_rdma_cut(&left.connection));
    background_start(&by_left, rill_rdma_disconnect(&left.connection));
    if (way == CANCELLED)
        rill_task_cancel(&by_left.task);
    return background_end(&by_left);
}

static void end_at(enum moment moment, enum way way)
{
    struct rill_rdma_accept accept;
    int64_t result;

    open_slow_sides();
    connect_sides(&faithful);
    reach(moment);
    if (moment != CONNECTED && moment < PAUSE)
        background_start(&waiting, rill_rdma_wait_for_connection(&left.connection, &left.wait));
    if (moment == CLOSING)
        fixture_turn();
    result = end_left(way);
    expect(result == 0 || (way == CANCELLED && result == -ECANCELED));
    expect_eq(left.connection.state, RILL_RDMA_IDLE);
    if (moment == CONNECTED)
        background_start(&ending, rill_rdma_disconnect(&right.connection));
    else if (moment < PAUSE)
        expect(background_end(&waiting) <= 0);
    background_end(&ending);
    background_start(&waiting, rill_rdma_accept(&listener, &accept));
    pass(20 * RILL_SECOND);
    expect_eq(rill_task_is_over(&waiting.task), moment == ATTEMPT);
    rill_task_cancel(&waiting.task);
    if (background_end(&waiting) == 0)
        rill_rdma_reject(&accept);
    expect_eq(left.hub.ended.connects, 1);
    close_sides();
}

START_TEST(after_an_end_that_this_side_wanted_at_any_moment_nothing_is_made_anew)
{
    for (enum moment moment = CONNECTED; moment < MOMENTS; moment++)
        for (enum way way = DISCONNECT; way < WAYS; way++)
            end_at(moment, way);
}
END_TEST

START_TEST(waiting_for_the_new_connection_can_be_cancelled_at_any_moment)
{
    for (enum moment moment = BOTH; moment < MOMENTS; moment++) {
        open_slow_sides();
        connect_sides(&faithful);
        reach(moment);
        pass_until(moment != BOTH || left.connection.state != RILL_RDMA_CONNECTED);
        background_start(&waiting, rill_rdma_wait_for_connection(&left.connection, &left.wait));
        fixture_turn();
        expect(!rill_task_is_over(&waiting.task));
        rill_task_cancel(&waiting.task);
        expect_eq(background_end(&waiting), -ECANCELED);
        expect_eq(background_end(&ending), 0);
        accept_left();
        pass(RILL_MILLISECOND);
        expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
        disconnect_sides();
        close_sides();
    }
}
END_TEST

/* ---- an end, or a loss ---- */

/* Whether all that was sent has arrived is known only once each side has the other's BYE. */
static void lose_at(enum moment moment, bool is_faithful, int64_t result)
{
    const struct rill_rdma_connection_options options = {.reconnects = 3,
                                                         .reconnects_after_end = is_faithful};

    open_slow_sides();
    connect_sides(&options);
    reach(moment);
    rill_rdma_ep_fail(&left.connection.ep, -ECONNRESET);
    background_end(&ending);
    if (moment == CLOSING || is_faithful) {
        pass_until(left.connection.state == RILL_RDMA_CONNECTING);
        expect_eq(left.connection.lost, result ? result : -ESHUTDOWN);
        expect_eq(left.connection.metrics.failures, result ? 1 : 0);
    } else {
        pass(10 * RILL_SECOND);
        expect_eq(left.connection.state, RILL_RDMA_CLOSED);
    }
    expect_eq(await(rill_rdma_disconnect(&left.connection)), result);
    close_sides();
}

START_TEST(one_that_is_lost_in_the_middle_of_its_end_was_lost)
{
    lose_at(CLOSING, false, -ECONNRESET);
    lose_at(CLOSING, true, -ECONNRESET);
}
END_TEST

START_TEST(one_that_is_lost_when_all_is_said_was_ended)
{
    lose_at(AGREED, false, 0);
    lose_at(AGREED, true, 0);
}
END_TEST

/* ---- a side that ends each one at once ---- */

static struct ender {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_accept accept;
    unsigned count;
    bool cuts;
} ender;

static enum rill_poll ender_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept(&listener, &ender.accept));
        if (ender.accept.result < 0)
            break;
        ender.accept.result = rill_rdma_adopt(&right.connection, &right.hub, &ender.accept, NULL);
        expect_eq(ender.accept.result, 0);
        RILL_AWAIT(rill_rdma_wait_for_connection(&right.connection, &right.wait));
        ender.count += right.wait.result == 0;
        if (ender.cuts)
            RILL_AWAIT(rill_rdma_cut(&right.connection));
        else
            RILL_AWAIT(rill_rdma_disconnect(&right.connection));
    }
    RILL_END();
}

/* An attempt may be cut as well. */
static const struct rill_rdma_connection_options stubborn = {
    .reconnects = UINT_MAX,
    .reconnects_after_end = true,
};

START_TEST(a_side_that_ends_each_connection_at_once_is_not_hammered)
{
    uint64_t first, count;

    fixture_seeds(20, &first, &count);
    for (uint64_t run = 0; run < 2 * count; run++) {
        bool cuts = run % 2;
        int64_t began_ns;

        fixture.seed = first + run / 2;
        fixture.seeded = true;
        open_sides_of(fixture.seed, 0);
        connect_sides(&stubborn);
        if (cuts)
            await(rill_rdma_cut(&right.connection));
        else
            expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
        ender = (struct ender){.cuts = cuts};
        rill_task_spawn(&ender.task, ender_poll);
        pass(100 * RILL_SECOND); /* a pause takes 2.5 s on average */
        expect(ender.count >= 20 && ender.count <= 80);
        rill_task_cancel(&ender.task);
        await(rill_task_join(&ender.task, &ender.join));

        /* One that has lasted is as good as the first. */
        if (left.connection.state != RILL_RDMA_CONNECTED)
            accept_left();
        pass(RILL_RDMA_RECONNECT_MAX_NS + RILL_SECOND);
        began_ns = rill_now();
        expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
        accept_left();
        expect(rill_now() - began_ns < RILL_RDMA_RECONNECT_FIRST_NS + 50 * RILL_MILLISECOND);
        disconnect_sides();
        close_sides();
        fixture.seeded = false;
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_connection_that_the_other_side_ends_is_made_anew, IN_SIMULATED},
        {unless_that_is_wanted_the_other_side_s_end_is_one, IN_SIMULATED},
        {the_side_that_has_accepted_makes_nothing_anew, IN_SIMULATED},
        {a_side_that_does_not_come_back_is_given_up, IN_SIMULATED},
        {what_came_before_the_end_can_be_received_before_anything_is_made_anew, IN_SIMULATED},
        {what_nobody_receives_holds_nothing_up_for_longer_than_closing_may_take, IN_SIMULATED},
        {after_an_end_that_this_side_wanted_at_any_moment_nothing_is_made_anew, IN_SIMULATED},
        {waiting_for_the_new_connection_can_be_cancelled_at_any_moment, IN_SIMULATED},
        {one_that_is_lost_in_the_middle_of_its_end_was_lost, IN_SIMULATED},
        {one_that_is_lost_when_all_is_said_was_ended, IN_SIMULATED},
        {a_side_that_ends_each_connection_at_once_is_not_hammered, IN_SIMULATED},
    };

    return fixture_main("rdma anew", cases, sizeof cases / sizeof *cases);
}
