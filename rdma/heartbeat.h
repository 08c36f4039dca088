/* SPDX-License-Identifier: Apache-2.0 */
/* heartbeat.h - private: signs of life, given in time and looked for in the other side. */
#ifndef RILL_RDMA_HEARTBEAT_H
#define RILL_RDMA_HEARTBEAT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_connection;

/* What a connection knows of them. Zeroed with each attempt to connect. */
struct rill_rdma_heartbeat {
    int64_t beat_ns, beat_due_ns;   /* that the other side wants; 0: none */
    int64_t check_ns, check_due_ns; /* for a sign of life; 0: none */
    uint64_t heard, heard_before;   /* signs of life */
    unsigned silent_checks;         /* in a row */
    unsigned laden_checks;          /* silent as well, but long messages may be why */
    uint64_t peer_load;             /* bytes that are on their way from the other side */
};

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
