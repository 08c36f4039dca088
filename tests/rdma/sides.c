/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/sides.h"

struct sides sides;

void sides_open(const struct sim_ucx_options *options)
{
    static const struct sim_ucx_options usual = {.latency_max_ns = RILL_MILLISECOND, .pairs = true};

    fixture_open(SIMULATED, NULL, NULL);
    sides.table = *sim_ucx_begin(options ? options : &usual, NULL);
    sides.sim = sides.table;
    side_open(&sides.left, &sides.table);
    side_open(&sides.right, &sides.table);
}

void sides_close(void)
{
    side_close(&sides.left);
    side_close(&sides.right);
    sim_ucx_end();
    fixture_close();
}

struct rill_future *sides_connecting(const struct rill_rdma_connection_options *of_left)
{
    size_t size;

    return rill_rdma_connect_worker(&sides.left.connection, &sides.left.hub,
                                    rill_rdma_address(&sides.right.rdma, &size), of_left);
}

void sides_adopt(const struct rill_rdma_connection_options *of_right)
{
    struct rill_rdma_am stranger = {0};

    expect(await(rill_rdma_accept_worker(&sides.right.hub, &stranger)) > 0);
    expect_eq(
        rill_rdma_adopt_worker(&sides.right.connection, &sides.right.hub, &stranger, of_right), 0);
}

void sides_connect(const struct rill_rdma_connection_options *of_left,
                   const struct rill_rdma_connection_options *of_right)
{
    static struct background connecting;

    background_start(&connecting, sides_connecting(of_left));
    sides_adopt(of_right);
    expect_eq(background_end(&connecting), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&sides.right.connection, &sides.right.wait)), 0);
}

void sides_lose_and_connect(int reason, const struct rill_rdma_connection_options *of_right)
{
    uint64_t connects = sides.left.connection.metrics.connects;

    rill_rdma_ep_fail(&sides.left.connection.ep, reason);
    await(rill_rdma_cut(&sides.right.connection));
    sides_adopt(of_right);
    while (sides.left.connection.metrics.connects == connects)
        sides_pause(100 * RILL_MICROSECOND);
    expect_eq(sides.left.connection.state, RILL_RDMA_CONNECTED);
    expect_eq(await(rill_rdma_wait_for_connection(&sides.right.connection, &sides.right.wait)), 0);
}

void sides_disconnect(void)
{
    static struct background ending;

    background_start(&ending, rill_rdma_disconnect(&sides.left.connection));
    expect_eq(await(rill_rdma_disconnect(&sides.right.connection)), 0);
    expect_eq(background_end(&ending), 0);
}

void sides_cut(void)
{
    await(rill_rdma_cut(&sides.left.connection));
    await(rill_rdma_cut(&sides.right.connection));
}

void sides_pause(int64_t for_ns)
{
    struct rill_sleep pause;

    await(rill_sleep(&pause, for_ns));
}
