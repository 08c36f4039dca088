/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_server.h - takes requests of a service, one after the other, and answers them.
 *
 *     for (;;) {
 *         RILL_AWAIT(rill_rdma_rpc_recv(&server->rpc, &serve->request));
 *         if (serve->request.result < 0)
 *             break;
 *         if (serve->request.method == ECHO)
 *             RILL_AWAIT(rill_rdma_rpc_reply(&serve->request, 0, serve->request.data,
 *                                            serve->request.size));
 *         else
 *             rill_rdma_rpc_refuse(&serve->request, -ENOSYS);
 *     }
 *
 * Each request that was received is to be ended, by a reply or by refusing it. As many tasks
 * may do this as requests are to be served at the same time. */
#ifndef RILL_RDMA_RPC_SERVER_H
#define RILL_RDMA_RPC_SERVER_H

#include "rdma/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One request. Zeroed at first. Its future is that of receiving, fetching and replying in
 * turn, and so is its result. */
struct rill_rdma_rpc_request {
    union {
        int64_t result; /* as the function says whose future was awaited last */
        struct rill_future future;
    };
    uint32_t method;
    const void *data; /* lent until the request is over; NULL if it is to be fetched */
    size_t size;
    struct rill_rdma_ep *ep; /* it came through, valid as long as that is open: whose it is */

    /* private */
    struct rill_rdma_rpc *rpc;
    struct rill_rdma_rpc_held *held; /* owned until the request is over */
    struct rill_place_in_line place; /* in rpc.line */
    struct rill_rdma_op op;          /* of fetching and replying */
    unsigned char header[RILL_RDMA_RPC_HEADER_SIZE];
};

/* Waits for the next request. Several tasks may wait, and are served in order. The result
 * is the size of its data; or -ECANCELED, and the request is there for the next; or, where none is
 * left, -ESHUTDOWN once the service was stopped, and -ENOTRECOVERABLE where the worker is deaf, and
 * has to be opened anew (hearing.h). */
struct rill_future *rill_rdma_rpc_recv(struct rill_rdma_rpc *rpc,
                                       struct rill_rdma_rpc_request *request);

/* Moves the data of a request into buffer, of request->size bytes at least, whether they
 * came with it or not; once. Long data stay with the caller until then, and it cannot
 * leave before the request is over. Borrows both. The result is their size; or, of data that did
 * not come with it, why the endpoint of a caller that is gone has failed (error.h), or -ECANCELED,
 * if it was cancelled before it began. Cancelling waits for those that are on their way. */
struct rill_future *rill_rdma_rpc_fetch(struct rill_rdma_rpc_request *request, void *buffer);

/* Ends a request with a reply of size bytes, and a status, which is 0 or an -errno, for
 * the caller. Borrows data, which may be request->data, until it is over; the request is
 * then over in any case. The result is size; or -ECANCELED, if it was cancelled before it
 * was sent, or is not wanted any more; or -ENOMEM, -EIO and others where UCX did not take it
 * (error.h); or why the endpoint failed. A caller whose reply was not sent is told with what error,
 * as by rill_rdma_rpc_refuse. A long reply that was sent cannot be withdrawn: cancelling waits for
 * its caller to fetch it. */
struct rill_future *rill_rdma_rpc_reply(struct rill_rdma_rpc_request *request, int status,
                                        const void *data, size_t size);

/* Ends a request with a status below 0 and no data, without waiting. It is told if there
 * is room for that (note.h). Does nothing to a request that is over. */
void rill_rdma_rpc_refuse(struct rill_rdma_rpc_request *request, int status);

/* Returns whether nobody waits for the reply any more: its caller has cancelled the call,
 * or the endpoint has ended. It is to be ended all the same. */
bool rill_rdma_rpc_is_cancelled(const struct rill_rdma_rpc_request *request);

/* Work for a request, as long as that is wanted. */
struct rill_rdma_rpc_work {
    union {
        int64_t result; /* the child's */
        struct rill_future future;
    };

    /* private */
    struct rill_rdma_rpc_request *request;
    struct rill_future *child;
};

/* Polls child, which it borrows, to its end, and cancels it when nobody waits for the reply
 * any more. The child must not end the request. The result is the child's. */
struct rill_future *rill_rdma_rpc_while_wanted(struct rill_rdma_rpc_request *request,
                                               struct rill_rdma_rpc_work *work,
                                               struct rill_future *child);

#ifdef __cplusplus
}
#endif
#endif
