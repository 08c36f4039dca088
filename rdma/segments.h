/* SPDX-License-Identifier: Apache-2.0 */
/* segments.h - private: how long the pieces are in which UCX sends a message.
 *
 * A sender cuts by its own setting, and a receiver has memory for pieces of its own. UCX says
 * nothing to the other side about it and checks nothing (tcp_ep.c, mm_ep.c of 1.13): over TCP a
 * piece that is too long ends the receiver's process by an assertion, and over shared memory it
 * overwrites what lies behind. So two sides of a connection compare what they have. */
#ifndef RILL_RDMA_SEGMENTS_H
#define RILL_RDMA_SEGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes, by the way that a message goes; 0: none goes there. */
struct rill_rdma_segments {
    uint32_t tcp, shared;
};

/* private: returns whether two sides have the same where both use the same way. */
static inline bool rill_rdma_segments_agree(const struct rill_rdma_segments *one,
                                            const struct rill_rdma_segments *other)
{
    return (one->tcp == 0 || other->tcp == 0 || one->tcp == other->tcp) &&
           (one->shared == 0 || other->shared == 0 || one->shared == other->shared);
}

#ifdef __cplusplus
}
#endif
#endif
