/* SPDX-License-Identifier: Apache-2.0 */
/* loss.h - private: messages that UCX drops, of which it tells nobody but its log.
 *
 * Over shared memory a message of some 100 bytes or more that nobody has received yet keeps the
 * segment in which it came, and its place in the queue gets another one. Where there is no memory
 * for that, as /dev/shm is full, which has 64 MB in many a container, UCX takes the next such
 * message off the queue and forgets it (uct_mm_iface_process_recv of mm_iface.c, 1.13 to 1.20).
 * Over other transports it does the same where malloc fails (ucp_recv_desc_init), or ends the
 * process if it was built with assertions, as Debian's is. The sender is told that all went well.
 *
 * UCX complains in its log, within the progress that has lost something or is about to. Nobody can
 * tell whose message it was, so that all endpoints of the worker fail with -ENOBUFS, and receives
 * from anybody (tag.h) end with it, as does the next one of each inbox (active_message.h). What
 * came over the endpoints before is not delivered any more: there may be gaps in it. Likewise
 * everything fails where the worker hears nothing any more (hearing.h), but without a gap.
 *
 * A worker that had no memory for another segment cannot be destroyed, either: where nothing of
 * that size has come since, UCX ends the process as it gives back the segment that it has not got
 * (the cleanup of uct_mm_iface_t). So it stays, with its memory and its descriptors, until the
 * process ends. */
#ifndef RILL_RDMA_LOSS_H
#define RILL_RDMA_LOSS_H

#include "rdma/rdma.h"

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

/* private: what is heard in this thread is said of one that is open, until it is about to be
 * closed. */
void rill_rdma_loss_begin(struct rill_rdma *rdma);
void rill_rdma_loss_end(struct rill_rdma *rdma);

/* private: hears an error that UCX logs, in any thread, by its format and what belongs there. */
void rill_rdma_loss_hear(const char *message, va_list arguments);

/* private: fails everything, for that reason. Within a progress, behind UCX's. */
void rill_rdma_fail_all(struct rill_rdma *rdma, int error);

/* private: the same after a loss (rdma->has_lost). */
void rill_rdma_heed_loss(struct rill_rdma *rdma);

#ifdef __cplusplus
}
#endif
#endif
