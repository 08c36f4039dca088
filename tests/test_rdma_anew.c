/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_anew.c - how soon a connection that was lost is made anew. */
#include "rdma/keeper.h"
#include "tests/fixture.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"

#include <errno.h>
#include <limits.h>

static struct side left, right;
static struct rill_rdma_listener listener;
static struct sockaddr_storage address;
static struct background connecting, ending;

static const struct rill_rdma_connection_options faithful = {
    .reconnects = UINT_MAX,
};

static void open_sides(void)
{
    static const struct sim_ucx_options options = {.latency_max_ns = RILL_MILLISECOND,
                                                   .pairs = true};
    const struct sockaddr_in any = {.sin_family = AF_INET};
    const struct rill_ucx *ucx;

    fixture_open(SIMULATED, NULL, NULL);
    ucx = sim_ucx_begin(&options, NULL);
    side_open(&left, ucx);
    side_open(&right, ucx);
    expect_eq(rill_rdma_listen(&listener, &right.rdma, (const void *)&any, sizeof any), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
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
                     rill_rdma_connect(&left.connection, &left.hub, (const void *)&address,
                                       sizeof(struct sockaddr_in), options));
    accept_left();
    expect_eq(background_end(&connecting), 0);
}

static void disconnect_sides(void)
{
    background_start(&ending, rill_rdma_disconnect(&left.connection));
    expect_eq(await(rill_rdma_disconnect(&right.connection)), 0);
    expect_eq(background_end(&ending), 0);
}

static void pass(int64_t ns)
{
    struct rill_sleep pause;

    await(rill_sleep(&pause, ns));
}

/* ---- a side that ends each one at once ---- */

static struct ender {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_accept accept;
    unsigned count;
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
        RILL_AWAIT(rill_rdma_cut(&right.connection));
    }
    RILL_END();
}

START_TEST(a_side_that_cuts_each_connection_at_once_is_not_hammered)
{
    int64_t began_ns;

    open_sides();
    connect_sides(&faithful);
    rill_task_spawn(&ender.task, ender_poll);
    await(rill_rdma_cut(&right.connection));
    pass(100 * RILL_SECOND); /* a pause takes 2.5 s on average */
    expect(ender.count >= 20 && ender.count <= 80);
    rill_task_cancel(&ender.task);
    await(rill_task_join(&ender.join, &ender.task));

    /* One that has lasted is as good as the first. */
    accept_left();
    pass(RILL_RDMA_RECONNECT_MAX_NS + RILL_SECOND);
    began_ns = rill_now();
    await(rill_rdma_cut(&right.connection));
    accept_left();
    expect(rill_now() - began_ns < RILL_RDMA_RECONNECT_FIRST_NS + 50 * RILL_MILLISECOND);
    disconnect_sides();
    close_sides();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_side_that_cuts_each_connection_at_once_is_not_hammered, IN_SIMULATED},
    };

    return fixture_main("rdma anew", cases, sizeof cases / sizeof *cases);
}
