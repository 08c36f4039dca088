/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_silence.c - silence between two sides of a connection, and what it is taken for
 * while long messages are on their way. */
#include "tests/fixture.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"

#include <errno.h>

enum { LONG = 8 << 20, RATE = 1000000 }; /* bytes, in a second: 8.4 s */

static const struct rill_rdma_connection_options slow = {.silence_ns = 3 * RILL_SECOND,
                                                         .bytes_per_second = RATE};

static struct side left, right;
static struct background connecting, sending, ending;
static char message[LONG], buffer[LONG];

static void open_connection_with(const struct rill_rdma_connection_options *connection)
{
    struct sim_ucx_options options = {.latency_max_ns = RILL_MILLISECOND};
    struct rill_rdma_am stranger = {0};
    const struct rill_ucx *ucx;
    size_t size;

    fixture_open(SIMULATED, NULL, NULL);
    ucx = sim_ucx_begin(&options, NULL);
    side_open(&left, ucx);
    side_open(&right, ucx);
    background_start(&connecting,
                     rill_rdma_connect_worker(&left.connection, &left.hub,
                                              rill_rdma_address(&right.rdma, &size), connection));
    expect(await(rill_rdma_accept_worker(&right.hub, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&right.connection, &right.hub, &stranger, connection), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&right.connection, &right.wait)), 0);
    expect_eq(background_end(&connecting), 0);
}

static void open_connection(void)
{
    open_connection_with(&slow);
}

static void close_connection(void)
{
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    await(rill_rdma_disconnect(&right.connection));
    background_end(&ending);
    side_close(&left);
    side_close(&right);
    sim_ucx_end();
    fixture_close();
}

/* From now on nothing is heard for so long. */
static void be_silent(int64_t for_ns)
{
    sim_ucx_stop(right.rdma.worker, for_ns);
}

static void expect_failure_after(struct side *side, int64_t began_ns, int64_t least_ns,
                                 int64_t most_ns)
{
    int64_t took_ns;

    expect_eq(
        await(rill_rdma_wait_for_state(&side->connection, &side->wait, 1u << RILL_RDMA_FAILED)),
        RILL_RDMA_FAILED);
    took_ns = rill_now() - began_ns;
    expect_eq(side->connection.error, -ETIMEDOUT);
    ck_assert_int_ge(took_ns, least_ns);
    ck_assert_int_le(took_ns, most_ns);
}

START_TEST(a_connection_without_traffic_costs_its_heartbeats_and_without_these_nothing)
{
    static const struct rill_rdma_connection_options beating = {.silence_ns = 3 * RILL_SECOND},
                                                     mute = {.silence_ns = RILL_NEVER};
    enum { SECONDS = 300, POLLS_A_SECOND_MAX = 20 };
    struct rill_sleep pause;
    uint64_t polls;

    for (int is_mute = 0; is_mute < 2; is_mute++) {
        open_connection_with(is_mute ? &mute : &beating);
        await(rill_sleep(&pause, RILL_SECOND));
        polls = fixture.runtime->executor.polls;
        await(rill_sleep(&pause, SECONDS * RILL_SECOND));
        polls = fixture.runtime->executor.polls - polls;
        ck_assert_uint_le(polls, is_mute ? 10 : SECONDS * POLLS_A_SECOND_MAX);
        expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
        close_connection();
    }
}
END_TEST

START_TEST(silence_ends_a_connection_that_has_nothing_on_its_way)
{
    int64_t began_ns;

    open_connection();
    began_ns = rill_now();
    be_silent(3600 * RILL_SECOND);
    expect_failure_after(&left, began_ns, 2 * RILL_SECOND, 3 * RILL_SECOND);
    expect_failure_after(&right, began_ns, 2 * RILL_SECOND, 3 * RILL_SECOND);
    close_connection();
}
END_TEST

START_TEST(a_message_that_takes_longer_than_silence_may_ends_no_connection)
{
    struct rill_sleep pause;

    open_connection();
    pattern_fill(message, 1, LONG);
    for (int i = 0; i < 2; i++) { /* each has its time, whatever was before */
        background_start(&sending, rill_rdma_send(&left.connection, &left.send, message, LONG, 1));
        await(rill_sleep(&pause, 10 * RILL_MILLISECOND)); /* long before the next heartbeat */
        be_silent(8 * RILL_SECOND);
        expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, LONG, 1)), LONG);
        expect_eq(background_end(&sending), LONG);
        expect(pattern_is(buffer, 1, LONG));
        expect_eq(left.connection.state, RILL_RDMA_CONNECTED);
        expect_eq(right.connection.state, RILL_RDMA_CONNECTED);
    }

    be_silent(3600 * RILL_SECOND); /* what came is forgotten after a heartbeat */
    expect_failure_after(&left, rill_now(), 2 * RILL_SECOND, 3 * RILL_SECOND);
    close_connection();
}
END_TEST

START_TEST(a_side_that_waits_for_its_end_is_not_silent)
{
    static const struct rill_rdma_connection_options patient = {.silence_ns = 3 * RILL_SECOND,
                                                                .close_ns = 60 * RILL_SECOND};
    struct rill_sleep pause;

    open_connection_with(&patient);
    background_start(&sending, rill_rdma_send(&left.connection, &left.send, message, LONG, 1));
    await(rill_sleep(&pause, RILL_SECOND));
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    await(rill_sleep(&pause, 20 * RILL_SECOND)); /* nobody receives it yet */
    expect_eq(left.connection.state, RILL_RDMA_CLOSING);
    expect_eq(right.connection.state, RILL_RDMA_CONNECTED);
    expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, LONG, 1)), LONG);
    expect_eq(background_end(&sending), LONG);
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect_eq(background_end(&ending), 0);
    close_connection();
}
END_TEST

START_TEST(silence_that_a_long_message_does_not_explain_ends_its_connection)
{
    struct rill_sleep pause;
    int64_t began_ns, long_ns = (int64_t)LONG * RILL_SECOND / RATE;

    open_connection();
    background_start(&sending, rill_rdma_send(&left.connection, &left.send, message, LONG, 1));
    await(rill_sleep(&pause, 10 * RILL_MILLISECOND));
    began_ns = rill_now();
    be_silent(3600 * RILL_SECOND);
    expect_failure_after(&left, began_ns, long_ns, long_ns + 4 * RILL_SECOND);
    expect_failure_after(&right, began_ns, long_ns, long_ns + 4 * RILL_SECOND);
    expect_eq(background_end(&sending), -ETIMEDOUT);
    close_connection();
}
END_TEST

START_TEST(many_messages_are_as_long_as_one)
{
    enum { COUNT = 16 };
    static struct rill_rdma_transfer sends[COUNT];
    static struct background sendings[COUNT];
    struct rill_sleep pause;

    open_connection();
    for (uint32_t i = 0; i < COUNT; i++)
        background_start(&sendings[i],
                         rill_rdma_send(&left.connection, &sends[i], message, LONG / COUNT, i));
    await(rill_sleep(&pause, 10 * RILL_MILLISECOND));
    be_silent(8 * RILL_SECOND);
    for (uint32_t i = 0; i < COUNT; i++)
        expect_eq(await(rill_rdma_recv(&right.connection, &right.recv, buffer, LONG, i)),
                  LONG / COUNT);
    for (int i = 0; i < COUNT; i++)
        expect_eq(background_end(&sendings[i]), LONG / COUNT);
    expect_eq(left.connection.ep.bytes_in_flight, 0);
    close_connection();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_connection_without_traffic_costs_its_heartbeats_and_without_these_nothing, IN_SIMULATED},
        {silence_ends_a_connection_that_has_nothing_on_its_way, IN_SIMULATED},
        {a_message_that_takes_longer_than_silence_may_ends_no_connection, IN_SIMULATED},
        {a_side_that_waits_for_its_end_is_not_silent, IN_SIMULATED},
        {silence_that_a_long_message_does_not_explain_ends_its_connection, IN_SIMULATED},
        {many_messages_are_as_long_as_one, IN_SIMULATED},
    };

    return fixture_main("rdma silence", cases, sizeof cases / sizeof *cases);
}
