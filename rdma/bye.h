/* SPDX-License-Identifier: Apache-2.0 */
/* bye.h - private: how two sides end a connection so that both know of it: what they say to each
 * other, and why, stands in wire.h. */
#ifndef RILL_RDMA_BYE_H
#define RILL_RDMA_BYE_H

#include "rdma/op.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_connection;

/* How far they are. Zeroed with each attempt to connect. */
struct rill_rdma_bye {
    struct rill_rdma_op send, recv;
    struct rill_rdma_watcher sweeper; /* while this side disconnects */
    bool came;                        /* the other side's */
    bool is_said, is_taken;           /* this side's */
    bool done_came, is_done_said;
};

/* Whether each side has got all that the other one has sent. */
static inline bool rill_rdma_bye_is_agreed(const struct rill_rdma_bye *bye)
{
    return bye->came && bye->is_taken;
}

/* Whether this side may close the endpoint: both have said DONE, and nothing that the other has
 * to know is still on its way. */
bool rill_rdma_bye_is_done(const struct rill_rdma_connection *connection);

/* Begins to receive the other side's BYE, with a connection that has just become CONNECTED. */
void rill_rdma_bye_expect(struct rill_rdma_connection *connection, struct rill_task *task);

/* Takes note of the other side's BYE when it has come, and of this side's when it was taken. Fails
 * the endpoint where one of them has failed. */
void rill_rdma_bye_look(struct rill_rdma_connection *connection, struct rill_task *task);

/* Says what can be said by now, where the connection is CLOSING. Where it is this side that
 * disconnects, what comes from now on is swept out. */
void rill_rdma_bye_go_on(struct rill_rdma_connection *connection, struct rill_task *task);

/* Nothing is swept out any more: the endpoint is about to be closed. */
void rill_rdma_bye_stop_sweeping(struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
