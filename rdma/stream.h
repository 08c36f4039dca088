/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h - bytes in order over an endpoint, as over a TCP connection.
 *
 *     RILL_AWAIT(rill_rdma_stream_recv(&echo->peer, &echo->recv, echo->buffer, 4096));
 *     if (echo->recv.result <= 0)
 *         break;
 *     RILL_AWAIT(rill_rdma_stream_send(&echo->peer, &echo->send, echo->buffer,
 *                                      (size_t)echo->recv.result));
 *
 * Each endpoint has one stream in each direction, which mixes with no other. A stream has
 * no end of its own: the failure or the closing of the other side ends it, and UCX then
 * drops what had arrived and was not read. So the last word wants an answer before either
 * side closes.
 *
 * A receive is never handed to UCX, which could not be asked to let go of it: bytes that
 * arrived wait in UCX, and are copied from there. So cancelling one takes no time and
 * loses nothing. There is no back-pressure: bytes that nobody reads pile up in the
 * memory of the receiver.
 *
 * A peer that is not rill can end the process, as UCX asserts that what it sends to a stream
 * is never empty. A worker without streams leaves UCP_FEATURE_STREAM out of the features of
 * struct rill_rdma_options. */
#ifndef RILL_RDMA_STREAM_H
#define RILL_RDMA_STREAM_H

#include "rdma/endpoint.h"
#include "rdma/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sends size bytes. Borrows the buffer; the result is size or -errno, as of
 * rill_rdma_tag_send. Of 0 bytes nothing is sent, and it is over at once. */
struct rill_future *rill_rdma_stream_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                          const void *buffer, size_t size);

/* Receives what is there, up to size bytes, into buffer, which is borrowed; one receive
 * at a time. The result is their number, > 0 (or 0 if size is); or why the endpoint ended
 * (endpoint.h), -ENOTCONN where it was opened anew since; or -ECANCELED. */
struct rill_future *rill_rdma_stream_recv(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                          void *buffer, size_t size);

/* Receives exactly size bytes. The result is size or, with op->length telling how many
 * bytes of the buffer are filled, -errno as above. */
struct rill_future *rill_rdma_stream_recv_exactly(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                                  void *buffer, size_t size);

#ifdef __cplusplus
}
#endif
#endif
