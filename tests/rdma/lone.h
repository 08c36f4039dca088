/* SPDX-License-Identifier: Apache-2.0 */
/* lone.h - a worker with one endpoint over the UCX of fake_ucx.h; the test is the other side.
 *
 *     lone_open();
 *     background_start(&lone.sending, lone_send());
 *     settle();
 *     fake_complete(fake_request(0), UCS_OK, 0);
 *     expect_eq(background_end(&lone.sending), LONE_SIZE);
 *     lone_close(); */
#ifndef RILL_TESTS_RDMA_LONE_H
#define RILL_TESTS_RDMA_LONE_H

#include "rdma/endpoint.h"
#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"

enum { LONE_SIZE = 64 }; /* bytes of a message */

struct lone {
    struct rill_rdma rdma;
    struct rill_rdma_ep ep;
    struct rill_rdma_op send_op, recv_op;
    struct background sending, receiving, closing;
    char sent[LONE_SIZE], received[LONE_SIZE];
};

extern struct lone lone;

/* Opens the worker, with the fake UCX as it is. Returns what rill_rdma_open does. */
int lone_open_rdma(void);

/* Opens the runtime, the worker and the endpoint, with a fake UCX that is reset; with options of
 * the runtime, or without. */
void lone_open(void);
void lone_open_with(const struct rill_runtime_options *options);

/* Aborts the endpoint, then closes what is left and checks that nothing is; and without the
 * first. */
void lone_close(void);
void lone_close_rest(void);

/* Sends a tagged message, and receives one of anybody or of the endpoint. */
struct rill_future *lone_send(void);
struct rill_future *lone_recv(void);
struct rill_future *lone_recv_from(void);

#endif
