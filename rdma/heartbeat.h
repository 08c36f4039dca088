/* SPDX-License-Identifier: Apache-2.0 */
/* heartbeat.h - private: signs of life, given in time and looked for in the other side. */
#ifndef RILL_RDMA_HEARTBEAT_H
#define RILL_RDMA_HEARTBEAT_H

#include "rdma/connection.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Begins with a connection that has just become CONNECTED. */
void rill_rdma_heartbeat_begin(struct rill_rdma_connection *connection);

/* Asks for a BEAT to be said where one is due, and fails the endpoint with -ETIMEDOUT where the
 * other side has been silent for too long. Does nothing to one that is not up. */
void rill_rdma_heartbeat_look(struct rill_rdma_connection *connection);

/* When to look again. */
int64_t rill_rdma_heartbeat_next(const struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
