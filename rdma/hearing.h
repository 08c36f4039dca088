/* SPDX-License-Identifier: Apache-2.0 */
/* hearing.h - whether a worker still hears what comes to it over shared memory.
 *
 * All that its peers write goes through one queue: a sender takes a place in it, fills it, and then
 * says that it is full (uct_mm_ep_am_common_send in mm_ep.c, UCX 1.13). One that is killed between
 * leaves a hole, and UCX waits there for ever: the worker is deaf to all, and nobody is told. A
 * peer that is merely silent looks the same.
 *
 * So the worker says a word to itself, through that queue, from a second worker that there is for
 * it (UCX has no other way from a process to itself through that). Where it hears the word all is
 * well, and it was the peer. Where it does not, within RILL_RDMA_HEARING_NS, it never will hear
 * anything: all of its endpoints fail with -ENOTRECOVERABLE, and what waits for others ends with
 * that, too, rill_rdma_serve among it. What had come before can still be received. The remedy is to
 * close it, and to open it anew:
 *
 *     do
 *         RILL_AWAIT(serve_until_deaf(program)); // opens, serves, joins its tasks and closes
 *     while (program->result == -ENOTRECOVERABLE);
 *
 * A connection whose other side was silent for too long has this found out by itself. */
#ifndef RILL_RDMA_HEARING_H
#define RILL_RDMA_HEARING_H

#include "rdma/rdma.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_RDMA_HEARING_ID = 32 }; /* of active messages; taken where there is shared memory */

/* How long a word may take. Over a queue that is full to the brim it is a matter of microseconds;
 * but who has taken a place there may be waiting for a processor. */
#define RILL_RDMA_HEARING_NS (1 * RILL_SECOND)

/* Begins to find out whether the worker hears; rdma->is_deaf is set when it was found that it does
 * not. For programs with bare endpoints, which know by themselves when somebody should have been
 * heard of. Does nothing where it is being found out, without shared memory, and without active
 * messages (rill_rdma_options.features). */
void rill_rdma_check_hearing(struct rill_rdma *rdma);

/* private: makes the second worker, while the environment has the settings of this one, which it
 * has to share. Returns UCS_OK or what UCX says. */
ucs_status_t rill_rdma_hearing_open(struct rill_rdma *rdma);

/* private: ends what is being found out, and the second worker, if there is one. */
void rill_rdma_hearing_close(struct rill_rdma *rdma);

#ifdef __cplusplus
}
#endif
#endif
