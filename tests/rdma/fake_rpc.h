/* SPDX-License-Identifier: Apache-2.0 */
/* fake_rpc.h - one side of a service over the UCX of fake_ucx.h; the test is the other. */
#ifndef RILL_TESTS_RDMA_FAKE_RPC_H
#define RILL_TESTS_RDMA_FAKE_RPC_H

#include "rdma/note.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"

enum { FAKE_SERVICE = 5, FAKE_SENT_MAX = 65536, FAKE_REQUESTS = 4 };

/* What was sent, without its data. */
struct fake_sent {
    uint8_t kind; /* enum rill_rdma_rpc_kind */
    uint64_t id;
    uint32_t code;
    size_t size;
    bool tells_ep;                /* the receiver learns through which endpoint it came */
    struct fake_request *request; /* NULL: it was over at once */
};

struct fake_rpc {
    struct rill_rdma rdma;
    struct rill_rdma_ep ep; /* the first one that is opened */
    struct rill_rdma_rpc rpc;
    unsigned sent_count;
    struct fake_sent sent[FAKE_SENT_MAX];
};

extern struct fake_rpc fake_rpc;

/* Opens runtime, rdma, endpoint and service; closes them, and checks that nothing is left. */
void fake_rpc_open(void);
void fake_rpc_close(void);

/* The last message that was sent, which must be of that kind. */
struct fake_sent *fake_last(enum rill_rdma_rpc_kind kind);

/* Has the next progress bring a message of that kind, through the endpoint opened first. */
void fake_message(enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code, const void *data,
                  size_t size, bool is_long);

#endif
