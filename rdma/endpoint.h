/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.h - one side of a conversation with another worker, and how it ends.
 *
 *     error = rill_rdma_ep_connect(&peer, &rdma, &address);
 *     if (error)
 *         return error;
 *     ...
 *     RILL_AWAIT(rill_rdma_tag_send(&peer, &send, "hello", 5, tag));
 *     RILL_AWAIT(rill_rdma_ep_close(&peer));
 *
 * To be open proves nothing: UCX connects in the background, and a closed port, a black
 * hole and a server that never accepts all look well at first. That the other side is
 * there is shown by what comes from it.
 *
 * That it is gone is reported by UCX: at once when its process ends (over a device and
 * opened by worker address, when UCX has asked for it in vain; not over shared memory, and
 * not if it is only stopped), and when it closes an endpoint that was connected by socket
 * address; other closing is not told. UCX may tell of the closing before it has read what
 * was sent before it, which then is lost: what must arrive wants an answer, of the other
 * side's program or of its receive (rill_rdma_tag_send_sync).
 *
 * When UCX reports that the peer is gone, or when the endpoint is closed, all its operations end,
 * in bounded time: after one more progress, for what had arrived, its receives are withdrawn, the
 * endpoint is closed by force, which ends its sends, and what UCX has not let go of
 * RILL_RDMA_DRAIN_NS later is abandoned: the operation ends, and the request stays with
 * UCX until the worker is destroyed. ep->error tells why. */
#ifndef RILL_RDMA_ENDPOINT_H
#define RILL_RDMA_ENDPOINT_H

#include "net/address.h"
#include "rdma/op.h"
#include "rdma/rdma.h"
#include "runtime/future.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_accept;
struct rill_rdma_connection;

/* How long UCX may take to let go of the operations of an endpoint that was closed by
 * force. */
#define RILL_RDMA_DRAIN_NS (1 * RILL_SECOND)

/* How long an operation may still take whose task is asked to end because the program does
 * (RILL_SHUTTING_DOWN: rill_main and rill_runtime_shutdown): after that its endpoint fails with
 * -ECANCELED, as the other side may be stopped. Connections are cut anyway. */
#define RILL_RDMA_LAST_OPS_NS (1 * RILL_SECOND)

/* With so many bytes in flight that it does not know of, an observer is woken. */
enum { RILL_RDMA_EP_LOAD = 1 << 20 };

enum rill_rdma_ep_state {
    RILL_RDMA_EP_CLOSED,   /* zeroed, or over. Opening makes it OPEN. */
    RILL_RDMA_EP_OPEN,     /* Becomes FAILED, or FLUSHING or CUT by closing. */
    RILL_RDMA_EP_FAILED,   /* UCX gave it up. The progress after the next makes it CUT. */
    RILL_RDMA_EP_FLUSHING, /* closing waits for its sends. Becomes CLOSING, FAILED or CUT. */
    RILL_RDMA_EP_CLOSING,  /* ... and for the other side to know. Becomes GONE. */
    RILL_RDMA_EP_CUT,      /* closed by force; UCX has to let go of its ops. Becomes GONE. */
    RILL_RDMA_EP_GONE,     /* UCX has let go. Closing makes it CLOSED. */
};

/* Waits for the end of an endpoint, by means of whoever embeds it. Zeroed at first. */
struct rill_rdma_ep_waiter {
    int error;              /* why the endpoint ended, 0 before */
    struct rill_task *task; /* woken at its end, or NULL */
    struct rill_link link;  /* rill_rdma_ep.waiters, until it has ended */
};

/* Zeroed; then opened, connected or adopted; then closed. It must not move while open.
 *
 * Invariant: it is among the watchers of its rdma while FAILED, FLUSHING, CLOSING or CUT, and while
 * OPEN if it has a deadline. */
struct rill_rdma_ep {
    union {
        int64_t result; /* of closing */
        struct rill_future future;
    };
    struct rill_rdma *rdma; /* borrowed while open */
    int error;              /* why its operations end, or opening failed: -errno, 0: all is well */
    bool is_open;           /* has to be closed */
    uint64_t bytes_in_flight; /* of operations that UCX has, but for receives */

    /* private */
    uint64_t serial;      /* no other that this rdma ever opened has it: UCX uses handles anew */
    bool is_by_worker;    /* opened by worker address */
    uint64_t bytes_told;  /* of those, the ones that the observer knows of */
    ucp_ep_h ucp;         /* NULL from CLOSING or CUT on */
    uint8_t state;        /* enum rill_rdma_ep_state */
    bool is_forced;       /* close without flushing */
    bool was_cancelled;   /* its closing was */
    bool is_all_said;     /* the other side has all, and wants no more: once flushed it is CUT */
    uint8_t patience;     /* looks before a failed one is cut, or a cut one may sleep */
    struct rill_link ops; /* of rill_rdma_op.in_flight */
    struct rill_link waiters; /* of rill_rdma_ep_waiter.link; empty once error is told */
    struct rill_link notes;   /* of rill_rdma_note.link */
    unsigned note_count;
    struct rill_link young; /* rill_rdma.young, until it opens no more descriptors */
    int64_t made_ns;
    struct rill_link all; /* rill_rdma.eps, by the address of ucp; while OPEN or FAILED */
    struct rill_rdma_watcher watcher;
    void *flush_request, *close_request; /* NULL: none */
    int64_t deadline_ns;        /* when what is left is abandoned; while OPEN: when it fails */
    struct rill_task *closer;   /* or NULL */
    struct rill_task *observer; /* woken when it fails or is laden anew, or NULL */
    struct rill_rdma_connection *owner; /* that it is a part of, or NULL */

    /* private, of stream.h */
    struct rill_rdma_op *stream_reader; /* that waits, or NULL */
    unsigned char *stream_data;         /* UCX's, partly read; or NULL */
    size_t stream_size, stream_offset;
};

/* Opens an endpoint to the worker of that address (rill_rdma_address of its side), which
 * is borrowed until this returns. The worker may be one's own. UCX pairs the endpoints of two
 * workers by the order in which each side opens its own: where there are several, both open them in
 * the same order, or closing one takes UCX's answers from another. Returns 0 or -errno:
 * -EOPNOTSUPP where the worker was opened for connections alone (rill_rdma_options.bare_endpoints),
 * -EHOSTUNREACH when no transport leads there, -EINVAL for NULL and for bytes that UCX finds to be
 * no address (it does not look for that: others of them end the process, by an assertion), -EMFILE
 * when there may be too few descriptors for it: UCX opens up to four of them for an endpoint, and
 * would end the process where it finds none; over shared memory -ENOSPC (UCX's "shared memory
 * error") when the process of that worker has ended, and then UCX 1.13 loses some 100 bytes. Over a
 * device UCX 1.13 may end the process while it connects, if the peer is not reached or the endpoint
 * is aborted: see docs/guide/rdma_verbs.md. -ENOTRECOVERABLE where this side's worker is deaf
 * (hearing.h). */
int rill_rdma_ep_open(struct rill_rdma_ep *ep, struct rill_rdma *rdma, const void *address);

/* Opens an endpoint to what listens at a socket address (rdma/listener.h, or another
 * program's ucp_listener), which is borrowed until this returns. Returns 0 or -errno:
 * -EOPNOTSUPP, -EHOSTUNREACH, -EMFILE, -ENOTRECOVERABLE (as above), -EINVAL for the address of a
 * unix socket. That nobody listens there is told later: the operations end with -ENOTCONN, or with
 * another reason of error.h, as the transport sees it. */
int rill_rdma_ep_connect(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                         const struct rill_address *address);

/* Waits until all that was sent on the endpoint has gone out, and what was put into the
 * other side's memory has arrived there. But of a long message, which stays here until the other
 * side receives it (RILL_RDMA_EAGER_SIZE), only the announcement: that is for its send to await.
 * Borrows both until it is over. The result is 0, or -errno as of rill_rdma_tag_send. It cannot be
 * withdrawn, as a send. Each endpoint is flushed by itself: UCX's flush of a whole worker succeeds
 * whatever its endpoints have lost (ucp_worker_flush_ep_flushed_cb in flush.c, 1.13 to 1.19). */
struct rill_future *rill_rdma_ep_flush(struct rill_rdma_ep *ep, struct rill_rdma_op *op);

/* What UCX keeps of an endpoint. Of one that was opened by worker address, and over which a long
 * message went in either direction, closing leaves all until the worker is destroyed: a descriptor
 * or two over TCP, some mappings and half a MiB over shared memory (ucp_ep_disconnected in
 * ucp_ep.c, 1.12 to 1.19: the other side may go on sending). rill_rdma_ep_abort leaves nothing; but
 * it may take back what the other side has not read yet, flushed or not: over TCP a flush waits
 * only until the kernel has the bytes (uct_tcp_ep_flush), which gives them up if something that
 * came is unread as the socket is closed. So who opens many, one after the other, has each side say
 * that it has all, and then both abort theirs. A connection (connection.h) does that. Where only
 * one side has opened one, a long message or an active one makes one inside of UCX on the other
 * side, which nobody can close; but opening one there as well takes that over, also when the first
 * is gone.
 */

/* Closes the endpoint: ends its receives with -ESHUTDOWN, waits until its sends went
 * out (large ones: until the other side has received them), and tells the other side. In a task
 * that is cancelled, at first or later, it gives up what did not go out and is over in bounded
 * time. ep->result is 0 when all went out; -ECANCELED when it was cancelled; or why the endpoint
 * had failed. The endpoint is closed in any case. One that is closed already, or was never open, is
 * closed with 0. */
struct rill_future *rill_rdma_ep_close(struct rill_rdma_ep *ep);

/* The same at once: what did not go out is given up, and its sends end with -ESHUTDOWN
 * or with the bytes that they moved. The result is 0, or why the endpoint had failed. Cancelling
 * changes nothing. */
struct rill_future *rill_rdma_ep_abort(struct rill_rdma_ep *ep);

/* private: the endpoint that has this handle of UCX and is not about to be closed, or
 * NULL. */
struct rill_rdma_ep *rill_rdma_ep_find(struct rill_rdma *rdma, ucp_ep_h ucp);

/* private: the same of one through which something came before it was opened. That can only be one
 * by worker address: the handle of another is that of somebody who is gone. */
struct rill_rdma_ep *rill_rdma_ep_find_late(struct rill_rdma *rdma, ucp_ep_h ucp);

/* private: whether the endpoint has failed or is being closed, and will end the operations that it
 * still has. */
static inline bool rill_rdma_ep_is_ending(const struct rill_rdma_ep *ep)
{
    return ep->is_open && ep->error && ep->state != RILL_RDMA_EP_GONE;
}

/* private: takes the endpoint for failed with that -errno, as if UCX had reported it. */
void rill_rdma_ep_fail(struct rill_rdma_ep *ep, int error);

/* private: has the endpoint fail if what was cancelled is not over in time. */
void rill_rdma_ep_hurry(struct rill_rdma_ep *ep);

/* private: asks UCX to let go of all receives of an open endpoint but one, which then end
 * with -ECANCELED or with their message. */
void rill_rdma_ep_withdraw(struct rill_rdma_ep *ep, const struct rill_rdma_op *except);

/* private: has the endpoint's end told to waiter, as late as that of its operations: what
 * arrived before has then been delivered. Returns 0, or ep->error when it is about to end
 * already. */
int rill_rdma_ep_wait(struct rill_rdma_ep *ep, struct rill_rdma_ep_waiter *waiter,
                      struct rill_task *task);

/* private: stops waiting; does nothing if it does not wait. */
static inline void rill_rdma_ep_unwait(struct rill_rdma_ep_waiter *waiter)
{
    if (rill_link_is_linked(&waiter->link))
        rill_link_remove(&waiter->link);
}

/* private: goes on with the end of an endpoint, after each progress (endpoint_end.c). */
unsigned rill_rdma_ep_look(struct rill_rdma_watcher *watcher);

/* private, for connections: as rill_rdma_ep_open and rill_rdma_ep_connect, but never
 * -EOPNOTSUPP. */
int rill_rdma_ep_begin_at_worker(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                                 const void *address);
int rill_rdma_ep_begin_at(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                          const struct rill_address *address);

/* private, for those who make endpoints: opens ep with params, to which what all
 * endpoints have in common is added. Returns 0 or -errno. */
int rill_rdma_ep_create(struct rill_rdma_ep *ep, struct rill_rdma *rdma, ucp_ep_params_t *params);

#ifdef __cplusplus
}
#endif
#endif
