/* SPDX-License-Identifier: Apache-2.0 */
/* keeper.h - private: the task that a connection has of its own. */
#ifndef RILL_RDMA_KEEPER_H
#define RILL_RDMA_KEEPER_H

#include "rdma/connection.h"

#ifdef __cplusplus
extern "C" {
#endif

rill_poll_fn rill_rdma_keeper_poll;

/* Makes the open endpoint of a connection the keeper's, and gives the connection an id. */
void rill_rdma_keeper_take_ep(struct rill_rdma_connection *connection);

/* Takes the id away, and throws away what came for it. Does nothing if it has none. */
void rill_rdma_keeper_bury(struct rill_rdma_connection *connection);

/* Whether the other side has ended the connection, and connecting is to be tried anew. */
bool rill_rdma_keeper_comes_back(const struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
