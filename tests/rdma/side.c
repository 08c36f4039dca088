/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/side.h"

#include "tests/fixture.h"

void side_open(struct side *side, const struct rill_ucx *ucx)
{
    const struct rill_rdma_options options = {.ucx = ucx, .bare_endpoints = true};

    *side = (struct side){.rdma = {.is_open = false}};
    expect_eq(rill_rdma_open(&side->rdma, &options), 0);
    expect_eq(rill_rdma_hub_open(&side->hub, &side->rdma), 0);
}

void side_close(struct side *side)
{
    rill_rdma_close(&side->rdma); /* and its hub */
    expect(!side->hub.is_open);
}
