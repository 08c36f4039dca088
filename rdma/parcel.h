/* SPDX-License-Identifier: Apache-2.0 */
/* parcel.h - messages of a connection whose size is not known before they come.
 *
 *     RILL_AWAIT(rill_rdma_parcel_recv(&chat->connection, &chat->parcel, RILL_RDMA_ANY_TAG,
 *                                      1 << 20));
 *     if (chat->parcel.result >= 0)
 *         print(chat->parcel.data, (size_t)chat->parcel.result);
 *     rill_rdma_parcel_give_back(&chat->parcel);
 */
#ifndef RILL_RDMA_PARCEL_H
#define RILL_RDMA_PARCEL_H

#include "rdma/block.h"
#include "rdma/exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first.
 *
 * Invariant: look is linked while it waits. */
struct rill_rdma_parcel {
    union {
        int64_t result; /* its size, or -errno */
        struct rill_future future;
    };
    void *data;    /* owned by the parcel, NULL while there is none */
    uint32_t tag;  /* the sender's, also of a message that is left where it was */
    size_t length; /* of a message that is longer than limit: its real size */

    /* private */
    struct rill_rdma_connection *connection;
    struct rill_rdma_transfer transfer;
    struct rill_rdma_block block;
    size_t limit;
    uint32_t want;
    struct rill_rdma_watcher look;
    struct rill_wait wait; /* for another state of the connection */
    struct rill_task *task;
};

/* Receives the oldest message of a tag, or of RILL_RDMA_ANY_TAG, into memory of the
 * runtime's, which is to be given back. The result is its size; -EMSGSIZE for one that is
 * longer than limit, or -ENOMEM, and then the message is left where it was; -ECANCELED; or as
 * of rill_rdma_recv. A long message that began to be moved is waited for. */
struct rill_future *rill_rdma_parcel_recv(struct rill_rdma_connection *connection,
                                          struct rill_rdma_parcel *parcel, uint32_t tag,
                                          size_t limit);

/* Gives the memory back. Does nothing if there is none. */
void rill_rdma_parcel_give_back(struct rill_rdma_parcel *parcel);

#ifdef __cplusplus
}
#endif
#endif
