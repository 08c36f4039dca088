/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/lone.h"

#include "rdma/tag.h"

#include <string.h>

struct lone lone;

int lone_open_rdma(void)
{
    static const struct rill_rdma_setting setting = {"TLS", "tcp"};

    return rill_rdma_open(&lone.rdma, &(struct rill_rdma_options){.settings = &setting,
                                                                  .setting_count = 1,
                                                                  .bare_endpoints = true,
                                                                  .ucx = &fake_ucx});
}

void lone_open(void)
{
    lone_open_with(NULL);
}

void lone_open_with(const struct rill_runtime_options *options)
{
    memset(&lone.ep, 0, sizeof lone.ep);
    memset(lone.received, 0, sizeof lone.received);
    fake_reset();
    fixture_open(SIMULATED, NULL, options);
    expect_eq(lone_open_rdma(), 0);
    expect_eq(rill_rdma_ep_open(&lone.ep, &lone.rdma, "address"), 0);
}

void lone_close_rest(void)
{
    expect_eq(lone.rdma.ops_in_flight, 0);
    expect_eq(lone.rdma.source.pending, 0);
    expect_eq(lone.rdma.endpoints, 0);
    rill_rdma_close(&lone.rdma);
    expect_eq(fake.contexts + fake.workers + fake.eps + fake.configs + fake.requests, 0);
    fixture_close();
}

void lone_close(void)
{
    await(rill_rdma_ep_abort(&lone.ep));
    lone_close_rest();
}

struct rill_future *lone_send(void)
{
    return rill_rdma_tag_send(&lone.ep, &lone.send_op, lone.sent, LONE_SIZE, 1);
}

struct rill_future *lone_recv(void)
{
    return rill_rdma_tag_recv(&lone.rdma, &lone.recv_op, lone.received, LONE_SIZE, 1,
                              RILL_RDMA_TAG_EXACT);
}

struct rill_future *lone_recv_from(void)
{
    return rill_rdma_tag_recv_from(&lone.ep, &lone.recv_op, lone.received, LONE_SIZE, 1,
                                   RILL_RDMA_TAG_EXACT);
}
