/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_rpc.h"

#include <endian.h>
#include <string.h>

struct fake_rpc fake_rpc;

static bool on_am(const struct fake_am *am)
{
    struct fake_sent *sent = &fake_rpc.sent[fake_rpc.sent_count++];
    const unsigned char *bytes = am->header;

    expect(fake_rpc.sent_count < FAKE_SENT_MAX);
    expect_eq(am->id, FAKE_SERVICE);
    expect_eq(am->header_size, RILL_RDMA_RPC_HEADER_SIZE);
    expect_eq(memcmp(bytes, "rRPC\1", 5), 0);
    sent->kind = bytes[5];
    memcpy(&sent->id, bytes + 8, sizeof sent->id);
    memcpy(&sent->code, bytes + 16, sizeof sent->code);
    sent->id = le64toh(sent->id);
    sent->code = le32toh(sent->code);
    sent->size = am->size;
    sent->tells_ep = am->flags & UCP_AM_SEND_FLAG_REPLY;
    sent->request = am->request;
    return false;
}

void fake_rpc_open(void)
{
    static const struct rill_rdma_setting setting = {"TLS", "tcp"};
    const struct rill_rdma_options options = {
        .settings = &setting, .setting_count = 1, .bare_endpoints = true, .ucx = &fake_ucx};

    memset(&fake_rpc, 0, sizeof fake_rpc);
    fake_reset();
    fake.on_am = on_am;
    fixture_open(SIMULATED, NULL, NULL);
    expect_eq(rill_rdma_open(&fake_rpc.rdma, &options), 0);
    expect_eq(rill_rdma_ep_open(&fake_rpc.ep, &fake_rpc.rdma, "address"), 0);
    expect_eq(rill_rdma_rpc_open(&fake_rpc.rpc, &fake_rpc.rdma, FAKE_SERVICE, FAKE_REQUESTS), 0);
}

void fake_rpc_close(void)
{
    expect_eq(fake_rpc.rpc.waiting + fake_rpc.rpc.taken, 0);
    rill_rdma_rpc_close(&fake_rpc.rpc);
    await(rill_rdma_ep_abort(&fake_rpc.ep));
    expect_eq(fake_rpc.ep.note_count, 0);
    expect_eq(fake_rpc.rdma.ops_in_flight, 0);
    expect_eq(fake_rpc.rdma.source.pending, 0);
    rill_rdma_close(&fake_rpc.rdma);
    expect_eq(fake.contexts + fake.workers + fake.eps + fake.configs + fake.requests + fake.am_data,
              0);
    fixture_close();
}

struct fake_sent *fake_last(enum rill_rdma_rpc_kind kind)
{
    struct fake_sent *last = &fake_rpc.sent[fake_rpc.sent_count - 1];

    expect(fake_rpc.sent_count > 0);
    expect_eq(last->kind, kind);
    return last;
}

void fake_message(enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code, const void *data,
                  size_t size, bool is_long)
{
    unsigned char header[RILL_RDMA_RPC_HEADER_SIZE];

    rill_rdma_rpc_pack(header, kind, id, code);
    fake_bring(FAKE_SERVICE, header, sizeof header, data, size, 0, is_long, NULL);
}
