/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - private: what the keepers of two sides say to each other (wire.h). */
#ifndef RILL_RDMA_CONTROL_H
#define RILL_RDMA_CONTROL_H

#include "rdma/connection.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A control message has come. Called within progress. Returns false for one that makes no
 * sense here. */
bool rill_rdma_control_hear(struct rill_rdma_connection *connection,
                            const struct rill_rdma_control *control);

/* Says what connection.to_say asks for, as far as the message before is out. */
void rill_rdma_control_speak(struct rill_rdma_connection *connection, struct rill_task *task);

/* How often this side wants to hear from the other; 0: never. */
int64_t rill_rdma_control_beat_ns(const struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
