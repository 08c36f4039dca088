/* SPDX-License-Identifier: Apache-2.0 */
/* tag.h - messages that find their receives by a 64-bit tag.
 *
 * A receive takes the oldest message with (its tag & mask) == (tag & mask), from any
 * endpoint of the worker: tags are the worker's, not an endpoint's, so those who share a
 * worker share them out. The whole tag is the user's here, and nothing is sent but the
 * message: a program that knows nothing of rill, and all of UCX, can be the other side.
 *
 * Messages of one endpoint are matched in the order in which they were sent; long ones
 * may end after short ones behind them. There is no back-pressure: messages that nobody
 * receives pile up in the memory of the receiver.
 *
 * Buffers are borrowed until the future is ready. Cancelling a receive loses nothing: its
 * result is the message, or there is none and the message is there for the next one. A
 * send cannot be withdrawn, nor a receive into which a long message is being moved (op.h). */
#ifndef RILL_RDMA_TAG_H
#define RILL_RDMA_TAG_H

#include "rdma/endpoint.h"
#include "rdma/op.h"

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A mask for a receive that wants exactly its tag, and one that takes any. */
#define RILL_RDMA_TAG_EXACT UINT64_MAX
#define RILL_RDMA_TAG_ANY UINT64_C(0)

/* Parts of a vectored message, at the most. */
enum { RILL_RDMA_PARTS_MAX = 1024 };

/* Sends a message of size bytes. It is over when the buffer can be used again, which
 * does not mean that the message has arrived. The result is size; or -errno: why the
 * endpoint failed (error.h), -ESHUTDOWN when it was closed meanwhile, -ECANCELED only if
 * it was cancelled before it started; -ENOMEM, -EIO and others where UCX did not take it. */
struct rill_future *rill_rdma_tag_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                       const void *buffer, size_t size, uint64_t tag);

/* The same, and over only when a receive of the other side has taken the message. */
struct rill_future *rill_rdma_tag_send_sync(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            const void *buffer, size_t size, uint64_t tag);

/* Sends one message out of count parts, RILL_RDMA_PARTS_MAX at the most. The parts and
 * their array are borrowed. The result is the number of bytes, or -errno as above. */
struct rill_future *rill_rdma_tag_send_vectored(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t tag);

/* Receives a message of up to size bytes. The result is its size, with the sender's tag
 * in op->tag; or -EMSGSIZE for one that is longer, which is lost, with its real size in
 * op->length; or -ECANCELED; or -ENOBUFS where UCX had no memory for what came, and dropped
 * messages (docs/guide/rdma_endpoints.md). It waits for ever if the sender dies, within a timeout
 * as well if a long message of that sender's has begun to be moved: see the next. */
struct rill_future *rill_rdma_tag_recv(struct rill_rdma *rdma, struct rill_rdma_op *op,
                                       void *buffer, size_t size, uint64_t tag, uint64_t mask);

/* The same for a message that is to come through ep, though it is the tag alone that
 * sees to that: ends with an -errno when ep fails, and -ESHUTDOWN when it is closed. So for a
 * limit that holds whatever the sender does, another task calls rill_rdma_ep_abort when the time is
 * over (endpoint.h). The tag has to be one that nobody else sends with: a message of another one's
 * that had begun to arrive then would still be written into the buffer. */
struct rill_future *rill_rdma_tag_recv_from(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            void *buffer, size_t size, uint64_t tag, uint64_t mask);

/* Receives a message into count parts, filled one after the other, which are borrowed with their
 * array. The result is as of rill_rdma_tag_recv. */
struct rill_future *rill_rdma_tag_recv_vectored(struct rill_rdma *rdma, struct rill_rdma_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t tag, uint64_t mask);

/* Looks whether a message is there that such a receive would take, without taking it.
 * If so its size and tag are in *size and *sender_tag, either of which may be NULL. None is there
 * where the rdma is not open. */
bool rill_rdma_tag_probe(struct rill_rdma *rdma, uint64_t tag, uint64_t mask, size_t *size,
                         uint64_t *sender_tag);

/* private: the callback of receives of tagged messages. */
void rill_rdma_tag_received(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info,
                            void *op);

#ifdef __cplusplus
}
#endif
#endif
