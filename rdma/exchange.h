/* SPDX-License-Identifier: Apache-2.0 */
/* exchange.h - messages over a connection, each with a tag of the user's.
 *
 *     RILL_AWAIT(rill_rdma_send(&chat->connection, &chat->send, line, size, LINE));
 *     RILL_AWAIT(rill_rdma_recv(&chat->connection, &chat->recv, buffer, sizeof buffer, LINE));
 *     if (chat->recv.result < 0)
 *         break;
 *
 * Tags have 28 bits, up to RILL_RDMA_USER_TAG_MAX, and belong to the connection; one that has more
 * is a panic. Messages are taken in the order in which they were sent; a long one may end after a
 * short one behind it. Receives may wait for several tags at once, in any order. Buffers are
 * borrowed until the future is ready.
 *
 * UCX looks for the message of a receive of one tag in a table, and of any other receive (any tag,
 * masked, probing for any) among all that nobody has received yet, of all connections of the
 * worker, oldest first. So where many connections leave much unreceived, receive by exact tags, and
 * give them small windows: behind 100,000 such messages a receive of any tag took 200 times as
 * long.
 *
 * A send waits while as much as the receiver's window is on its way (credit.h), first in
 * first out. In these words: as long as nobody receives, nothing more is sent. */
#ifndef RILL_RDMA_EXCHANGE_H
#define RILL_RDMA_EXCHANGE_H

#include "rdma/connection.h"
#include "rdma/op.h"
#include "rdma/wire.h"
#include "runtime/panic.h"

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A receive of any tag: no tag, so it cannot be sent. */
#define RILL_RDMA_ANY_TAG UINT32_MAX

/* One message on its way out or in. Zeroed at first.
 *
 * Invariant: queue is linked while a send waits for credit; it counts in the metrics'
 * sends_in_flight, or receives_in_flight, from its first poll to its end. */
struct rill_rdma_transfer {
    union {
        int64_t result; /* bytes, or -errno */
        struct rill_future future;
    };
    uint32_t tag;  /* of what was received */
    size_t length; /* its size; of one that did not fit: how large a buffer it needs */

    /* private */
    struct rill_rdma_connection *connection;
    struct rill_rdma_op op;
    struct rill_link queue; /* rill_rdma_connection.waiting */
    struct rill_task *task;
    int64_t begun_ns; /* where it has waited */
    bool has_waited;
};

/* Sends a message. Over when the buffer can be used again. The result is size, or -errno:
 *   -ENOTCONN   not connected yet, or not now; over one that nobody has begun to make it panics
 *   -ESHUTDOWN  either side has begun to disconnect
 *   -ECANCELED  it was cancelled before it was given to UCX: nothing was sent
 *   -ENOMEM, -EIO ...  UCX did not take it (error.h): nothing was sent
 *   what ended the connection: -ECONNRESET, -ETIMEDOUT, ...; -ENOBUFS: this side had no memory for
 *   what came, and UCX has dropped messages (docs/guide/rdma_endpoints.md)
 * Cancelling one that UCX has waits until it went out. */
struct rill_future *rill_rdma_send(struct rill_rdma_connection *connection,
                                   struct rill_rdma_transfer *transfer, const void *buffer,
                                   size_t size, uint32_t tag);

/* The same, and over only when a receive of the other side has taken the message. */
struct rill_future *rill_rdma_send_sync(struct rill_rdma_connection *connection,
                                        struct rill_rdma_transfer *transfer, const void *buffer,
                                        size_t size, uint32_t tag);

/* The same out of count parts, RILL_RDMA_PARTS_MAX at the most, which are borrowed with
 * their array. */
struct rill_future *rill_rdma_send_vectored(struct rill_rdma_connection *connection,
                                            struct rill_rdma_transfer *transfer,
                                            const struct iovec *parts, size_t count, uint32_t tag);

/* Receives the oldest message of a tag, or of RILL_RDMA_ANY_TAG. The result is its size, or
 * -errno: -EMSGSIZE for one that is longer than the buffer, which is lost, with its real size
 * in transfer->length; -ECANCELED, and the message, if there is one, is there for the next;
 * and as of rill_rdma_send. After the other side has disconnected or was lost, messages that
 * had arrived before are received all the same, until connecting is tried anew; but not after
 * -ENOBUFS, as some may be missing.
 * Cancelling one into which a long message has begun to be moved waits for the rest of it or for
 * the end of the connection, which comes soon after silence_ns (connection.h) if the other side
 * does nothing any more. */
struct rill_future *rill_rdma_recv(struct rill_rdma_connection *connection,
                                   struct rill_rdma_transfer *transfer, void *buffer, size_t size,
                                   uint32_t tag);

/* The same for those messages whose tag has the bits of `tag` where mask has ones: 28 bits as well,
 * or all, UINT32_MAX. */
struct rill_future *rill_rdma_recv_masked(struct rill_rdma_connection *connection,
                                          struct rill_rdma_transfer *transfer, void *buffer,
                                          size_t size, uint32_t tag, uint32_t mask);

/* The same into count parts, filled one after the other. */
struct rill_future *rill_rdma_recv_vectored(struct rill_rdma_connection *connection,
                                            struct rill_rdma_transfer *transfer,
                                            const struct iovec *parts, size_t count, uint32_t tag);

/* Looks whether a message of a tag, or of RILL_RDMA_ANY_TAG, is there, and leaves it. Its
 * size and tag are stored where the pointers are not NULL. */
bool rill_rdma_probe(const struct rill_rdma_connection *connection, uint32_t tag, size_t *size,
                     uint32_t *sender_tag);

/* private: panics for what is no tag. */
static inline void rill_rdma_tag_check(uint32_t tag, const char *who)
{
    rill_check(tag <= RILL_RDMA_USER_TAG_MAX, "%s: %#x is no tag: they have %d bits", who, tag,
               RILL_RDMA_USER_TAG_BITS);
}

/* private: lets those that wait for credit look again. */
void rill_rdma_exchange_wake(struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
