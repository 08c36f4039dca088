/* SPDX-License-Identifier: Apache-2.0 */
/* active_message.h - messages that come to an inbox without a receive waiting for them.
 *
 * Each message has a number of up to 16 bits that names an inbox of the other worker, a
 * short header, and data. UCX calls back when one arrives; the inbox keeps it until a task
 * takes it:
 *
 *     RILL_AWAIT(rill_rdma_am_recv(&server->inbox, &server->request));
 *     if (server->request.result < 0)
 *         break;
 *     answer(server->request.header, server->request.data);
 *     if (server->request.ep)
 *         RILL_AWAIT(rill_rdma_am_send(server->request.ep, &server->send, ANSWER, ...));
 *     rill_rdma_am_release(&server->request);
 *
 * Short data are there with the message, in memory of UCX's. Long data stay with the
 * sender until they are fetched (a rendezvous), which is what lets a receiver choose where
 * they go. */
#ifndef RILL_RDMA_ACTIVE_MESSAGE_H
#define RILL_RDMA_ACTIVE_MESSAGE_H

#include "rdma/endpoint.h"
#include "rdma/op.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RDMA_AM_IDS = 65536,      /* numbers of inboxes: 0 to one less */
    RILL_RDMA_AM_HEADER_MAX = 128, /* bytes */
    RILL_RDMA_AM_HELD_MAX = 65536, /* messages in an inbox that nobody took */
};

/* How a message is sent. */
enum {
    RILL_RDMA_AM_REPLY = 1,      /* let the receiver know the endpoint it came through */
    RILL_RDMA_AM_EAGER = 2,      /* the data go with the message, however long they are */
    RILL_RDMA_AM_RENDEZVOUS = 4, /* the data stay until they are fetched, however short */
};

/* Zeroed, then opened; it must not move while open.
 *
 * Invariant: held is empty or no task waits, but for those that were woken. */
struct rill_rdma_inbox {
    struct rill_rdma *rdma;
    bool is_open;
    size_t held_count;
    size_t held_max; /* RILL_RDMA_AM_HELD_MAX, and to be lowered at any time */
    size_t size_max; /* of a message's data; SIZE_MAX, and to be lowered at any time */
    /* Messages that were dropped: for want of memory, beyond held_max or size_max, or with
     * a header longer than RILL_RDMA_AM_HEADER_MAX. UCX has no way to slow a sender down:
     * that is a matter of the protocol above. A sender can have data of any size come with their
     * message, so who does not trust it lowers size_max too. */
    uint64_t dropped;

    /* private */
    bool has_lost; /* of which nobody was told yet */
    struct rill_rdma_am_number number;
    struct rill_link held; /* of rill_rdma_am_held.link, oldest first */
    struct rill_line line; /* of rill_rdma_am.place */
};

/* One message that is received. Zeroed at first. */
struct rill_rdma_am {
    union {
        int64_t result; /* the size of its data, or -errno */
        struct rill_future future;
    };
    const void *header; /* lent until it is released */
    size_t header_size;
    const void *data; /* likewise; NULL if it is to be fetched */
    size_t size;
    struct rill_rdma_ep *ep; /* it came through, valid as long as that is open: where the sender
                                wanted a reply and this side connected or adopted it; else NULL */

    /* private */
    struct rill_rdma_inbox *inbox;
    struct rill_rdma_am_held *held;  /* owned until it is released */
    struct rill_place_in_line place; /* in inbox.line */
};

/* Opens the inbox of that number, which borrows rdma while it is open. Returns 0, -EINVAL for a
 * number out of range, -EADDRINUSE for one that another inbox, a service of calls (rpc.h), a hub
 * (hub.h) or, over shared memory, the worker itself (hearing.h) has, -ENOMEM, or what else UCX says
 * (error.h). Panics where rdma is not open. Messages that came before to a number without an inbox
 * are gone: UCX drops them and, of those that do not come with their data, ends the sender's
 * operation with -EINVAL. */
int rill_rdma_inbox_open(struct rill_rdma_inbox *inbox, struct rill_rdma *rdma, unsigned id);

/* Closes it, as its rdma does where that is closed before, and drops the messages that nobody took.
 * No task may wait. Does nothing to one that is closed, or was never open. */
void rill_rdma_inbox_close(struct rill_rdma_inbox *inbox);

/* Waits for the next message. Several tasks may wait, and are served in order. When it
 * ends with a result >= 0 the message is the caller's, to be released. Cancelling loses
 * none: the result is then -ECANCELED and the message is there for the next. Once it is -ENOBUFS,
 * before all that is held, where UCX has dropped messages of the worker for want of memory, maybe
 * some to this inbox (rdma.stats.losses); it may be received from on. It is -ENOTRECOVERABLE behind
 * all that is held, where the worker is deaf (hearing.h). Panics where the inbox is not open. */
struct rill_future *rill_rdma_am_recv(struct rill_rdma_inbox *inbox, struct rill_rdma_am *message);

/* Moves the data of a message into buffer, of message->size bytes at least, whether they
 * came with it or not; once. Borrows message and buffer. The result is their size; or, for data
 * that did not come with it, why the endpoint of a sender that is gone has failed (error.h), or
 * -ECONNRESET where message->ep is closed by now or is not known; or -ECANCELED, if it was
 * cancelled before it began, and the data can still be fetched. A rendezvous that has begun cannot
 * be left: cancelling waits for it, or for the end of message->ep. Where that is NULL nothing but
 * UCX ends it, and a sender that has stopped is waited for for ever: who does not trust the senders
 * releases long messages without one. */
struct rill_future *rill_rdma_am_fetch(struct rill_rdma_am *message, struct rill_rdma_op *op,
                                       void *buffer);

/* Gives the message back; a sender whose data were not fetched is told that they were
 * refused, or that all is well, as its version of UCX likes. Does nothing if there is none. */
void rill_rdma_am_release(struct rill_rdma_am *message);

/* Sends a message to inbox id of the other side, with RILL_RDMA_AM_ flags or 0. Borrows
 * header and data until it is over. header_size is RILL_RDMA_AM_HEADER_MAX at the most.
 * The result is size, or -errno as of rill_rdma_tag_send. */
struct rill_future *rill_rdma_am_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op, unsigned id,
                                      const void *header, size_t header_size, const void *data,
                                      size_t size, unsigned flags);

/* private: the same flags as UCX has them. */
static inline uint32_t rill_rdma_am_flags(unsigned flags)
{
    return (flags & RILL_RDMA_AM_REPLY ? UCP_AM_SEND_FLAG_REPLY : 0) |
           (flags & RILL_RDMA_AM_EAGER ? UCP_AM_SEND_FLAG_EAGER : 0) |
           (flags & RILL_RDMA_AM_RENDEZVOUS ? UCP_AM_SEND_FLAG_RNDV : 0);
}

/* private: gives data back to UCX. It may tell their sender, for which it wants progress. */
static inline void rill_rdma_am_let_go(struct rill_rdma *rdma, void *data)
{
    rill_event_source_touch(&rdma->source);
    rdma->ucx->am_data_release(rdma->worker, data);
}

/* private, for protocols that take their messages as they arrive: takes a number, and has callback
 * called with inbox, whose data may be kept, for each message to it. number must not move until it
 * is given back. Returns 0, -EINVAL, -EADDRINUSE, or what UCX says. */
int rill_rdma_am_handle(struct rill_rdma *rdma, struct rill_rdma_am_number *number, unsigned id,
                        ucp_am_recv_callback_t callback, void *inbox);

/* private: gives the number back, and has messages to it dropped that come from now on. */
void rill_rdma_am_unhandle(struct rill_rdma *rdma, struct rill_rdma_am_number *number);

/* private: makes room for all numbers, as a worker does first. Returns 0 or -errno. */
int rill_rdma_am_prepare(struct rill_rdma *rdma);

/* private: fetches size bytes, more than none, that were announced to such a callback by
 * *data. That is NULL as soon as UCX has taken it over, and else still to be released. */
struct rill_future *rill_rdma_am_fetch_data(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            void **data, void *buffer, size_t size);

#ifdef __cplusplus
}
#endif
#endif
