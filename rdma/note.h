/* SPDX-License-Identifier: Apache-2.0 */
/* note.h - a few bytes to the other side, sent and forgotten.
 *
 * For what nobody waits for: that a call was cancelled, that a request is refused. A note
 * is an active message that consists of a header; its memory is the runtime's until UCX
 * has let go of it. */
#ifndef RILL_RDMA_NOTE_H
#define RILL_RDMA_NOTE_H

#include "rdma/active_message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Notes of one endpoint that UCX has not sent: as many as refusals of a burst of calls, and 3 MiB.
 */
enum { RILL_RDMA_NOTES_MAX = 16384 };

/* Invariant: one that UCX has is in the list of its endpoint, and counts in its note_count
 * and in source.pending; or it was abandoned and is in the list of its rdma. */
struct rill_rdma_note {
    /* private */
    struct rill_link link; /* rill_rdma_ep.notes or rill_rdma.notes */
    struct rill_rdma_ep *ep;
    void *request;
    uint8_t size_class;
    unsigned char bytes[RILL_RDMA_AM_HEADER_MAX];
};

/* Sends size bytes, RILL_RDMA_AM_HEADER_MAX at the most, to inbox id, with RILL_RDMA_AM_
 * flags. Copies them. Returns 0 when they are on their way, and then tells nothing more;
 * or why the endpoint has ended; or -EBUSY when RILL_RDMA_NOTES_MAX are on their way, and
 * -ENOMEM, -EIO, ... as UCX says. */
int rill_rdma_note_send(struct rill_rdma_ep *ep, unsigned id, const void *bytes, size_t size,
                        unsigned flags);

/* private: forgets one that UCX does not let go of, and keeps its memory until the worker
 * was destroyed. */
void rill_rdma_note_abandon(struct rill_rdma_note *note);

/* private: gives back the memory of those, when the worker was destroyed. */
void rill_rdma_notes_free(struct rill_rdma *rdma);

#ifdef __cplusplus
}
#endif
#endif
