/* SPDX-License-Identifier: Apache-2.0 */
/* side.h - one of two sides of a connection over the simulated UCX.
 *
 *     fixture_open(SIMULATED, NULL, NULL);
 *     ucx = sim_ucx_begin(&options, NULL);
 *     side_open(&left, ucx);
 *     side_open(&right, ucx); */
#ifndef RILL_TESTS_RDMA_SIDE_H
#define RILL_TESTS_RDMA_SIDE_H

#include "rdma/exchange.h"

struct side {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer send, recv;
    struct rill_rdma_state_wait wait;
};

/* Opens its worker and hub, and zeroes the rest. */
void side_open(struct side *side, const struct rill_ucx *ucx);
void side_close(struct side *side);

#endif
