/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_client.h - calls of a service at the other side of an endpoint.
 *
 *     rill_rdma_rpc_client_init(&shop->client, &shop->rpc, &shop->peer, 64);
 *     ...
 *     RILL_AWAIT(rill_rdma_rpc_call(&shop->client, &shop->call, PRICE, "apple", 5,
 *                                   &shop->price, sizeof shop->price));
 *     if (shop->call.result < 0)
 *         RILL_RETURN(shop->call.result);
 *
 * A call has no deadline of its own: rill_timeout and rill_deadline around it give it one,
 * and cancel it like a select or the end of its task. The server is then told, and the
 * reply, if it comes, is dropped. */
#ifndef RILL_RDMA_RPC_CLIENT_H
#define RILL_RDMA_RPC_CLIENT_H

#include "rdma/rpc.h"
#include "runtime/semaphore.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where calls through one endpoint wait for their turn. */
struct rill_rdma_rpc_client {
    struct rill_rdma_rpc *rpc; /* borrowed */
    struct rill_rdma_ep *ep;   /* borrowed; may be closed and opened again between calls */

    /* private */
    struct rill_semaphore places; /* for calls in flight */
};

enum rill_rdma_rpc_call_state {
    RILL_RDMA_RPC_CALL_IDLE,      /* zeroed, or over. Preparing makes it IN_LINE. */
    RILL_RDMA_RPC_CALL_IN_LINE,   /* for a place. Becomes WAITING, or IDLE if it gets none. */
    RILL_RDMA_RPC_CALL_WAITING,   /* for its reply. Becomes ANNOUNCED or DECIDED. */
    RILL_RDMA_RPC_CALL_ANNOUNCED, /* by a long reply. Becomes FETCHING or DECIDED. */
    RILL_RDMA_RPC_CALL_FETCHING,  /* the reply. Becomes DECIDED. */
    RILL_RDMA_RPC_CALL_DECIDED,   /* its result is there. IDLE when UCX has let go of it. */
};

/* One call. Zeroed at first.
 *
 * Invariant: it is in rpc.calls, and counts in rpc.waiting and source.pending, while WAITING;
 * it holds a place of its client from then until it is IDLE. */
struct rill_rdma_rpc_call {
    union {
        int64_t result; /* the size of its reply, or -errno */
        struct rill_future future;
    };
    bool is_answered;  /* it has a reply: a result below 0 is then the server's status */
    size_t reply_size; /* of the data that the reply brought, also where they did not fit */

    /* private: what is called */
    struct rill_rdma_rpc_client *client;
    uint64_t id;
    uint32_t method;
    const void *request;
    size_t request_size;
    void *reply;
    size_t reply_max;

    /* private: its life */
    uint8_t state; /* enum rill_rdma_rpc_call_state */
    bool is_sent;
    int32_t status;  /* of the reply that is announced or fetched */
    void *announced; /* UCX's, to be fetched or released; or NULL */
    unsigned char header[RILL_RDMA_RPC_HEADER_SIZE];
    struct rill_acquire acquire;
    struct rill_rdma_op send, fetch;
    struct rill_rdma_ep_waiter end; /* while WAITING or ANNOUNCED */
    struct rill_link entry;         /* rill_rdma_rpc.calls */
};

/* Makes a client that borrows service and endpoint. calls_max, 1 to INT64_MAX, is how many
 * calls may be in flight: further ones wait, first come, first served. */
void rill_rdma_rpc_client_init(struct rill_rdma_rpc_client *client, struct rill_rdma_rpc *rpc,
                               struct rill_rdma_ep *ep, size_t calls_max);

/* Ends it. Panics if a call is not over. */
void rill_rdma_rpc_client_finish(struct rill_rdma_rpc_client *client);

/* Calls a method with size bytes of request and waits for the reply, of which up to
 * reply_size bytes are written to reply. Borrows both until it is over. The result is the
 * size of the reply; or
 *   -errno of the server's choice, call->is_answered, and what came with it is in reply if
 *              it fits, call->reply_size bytes; likewise -EBUSY, -ENOMEM or -ESHUTDOWN of a service
 *              that has turned the request away, and nobody has begun to serve it;
 *   -EMSGSIZE  the reply, of call->reply_size bytes, does not fit, and is lost;
 *   why the endpoint failed (error.h), -ESHUTDOWN when it was closed, -ENOTCONN when it was
 *              never open: the server may have got the request, or not;
 *   -ENOMEM, -EIO ...  UCX did not take the request (error.h): the server has not got it;
 *   -EINVAL    a long request to a side that has no such service: a short one waits for ever;
 *   -ECANCELED it was cancelled before there was a reply. That it was sent, the server was
 *              told if there was room for that.
 * A long request or reply that is being moved cannot be left: cancelling waits until the
 * server has let go of the request, or the reply is there, or the endpoint has failed. */
struct rill_future *rill_rdma_rpc_call(struct rill_rdma_rpc_client *client,
                                       struct rill_rdma_rpc_call *call, uint32_t method,
                                       const void *request, size_t size, void *reply,
                                       size_t reply_size);

#ifdef __cplusplus
}
#endif
#endif
