/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h - accepting endpoints at a socket address.
 *
 *     error = rill_rdma_listen(&listener, &rdma, &address);
 *     ...
 *     RILL_AWAIT(rill_rdma_accept(&listener, &accept));
 *     if (accept.result == 0)
 *         error = rill_rdma_ep_adopt(&echo->peer, &accept);
 *
 * A connection request that arrives when nobody waits is kept for the next accept. When
 * RILL_RDMA_LISTENER_HELD_MANY are kept, UCX does not listen until half of them were taken, and
 * who comes over TCP meanwhile waits in the backlog, as at a listener of net/. Up to
 * RILL_RDMA_LISTENER_HELD_MAX are kept of those whom UCX had heard by then, or who come by a device
 * for RDMA, which has no such pause; further ones are rejected, and counted: UCX itself would keep
 * any number.
 *
 * UCX accepts in a thread of its own, with a descriptor for each client, and over TCP it does not
 * survive that there is none (shortage.h). So a request that comes when descriptors are short is
 * rejected, which the client sees as -ECONNREFUSED, and UCX does not listen until there are some:
 * after a pause that grows from 1 ms to 1 s, as in net/listener.h. Who comes meanwhile waits in the
 * backlog. The process still needs a limit (RLIMIT_NOFILE) above what it uses, with some four
 * descriptors for each connection, as UCX may end it where others, sockets of net/ say, take the
 * last ones while an endpoint connects.
 *
 * UCX believes whatever is sent to the port: a few bytes that are not its own, of somebody who
 * looks for open ports, say, end the process (an assertion in wireup_cm.c), before rill has seen
 * them. So does a port that is no listener's to the side that connects. Listen at an address,
 * or behind a filter, that only peers can reach. */
#ifndef RILL_RDMA_LISTENER_H
#define RILL_RDMA_LISTENER_H

#include "io/pause.h"
#include "net/address.h"
#include "rdma/endpoint.h"
#include "rdma/rdma.h"
#include "runtime/future.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RDMA_LISTENER_HELD_MANY = 256,
    RILL_RDMA_LISTENER_HELD_MAX = 16384,
};

/* Zeroed, then opened; it must not move while open.
 *
 * Invariant: held[first], modulo its length, is the oldest of held_count requests. UCX listens
 * unless is_full, or pausing is linked. */
struct rill_rdma_listener {
    struct rill_rdma *rdma; /* borrowed while open */
    bool is_open;
    uint64_t rejected;  /* requests for which there was no room, or no descriptor */
    uint64_t shortages; /* times that listening paused for want of descriptors */

    /* private */
    ucp_listener_h ucp;
    int fd;                           /* of UCX: the TCP socket that it listens with, or -1 */
    struct rill_rdma_watcher pausing; /* linked while it does not listen for want of descriptors */
    struct rill_pause pause;          /* ... until its end */
    struct rill_link all;             /* shortage.c: the listeners of the process with a socket */
    struct rill_link of_rdma;         /* rill_rdma.accepting */
    struct rill_line line;            /* of rill_rdma_accept.place */
    bool is_full;                     /* as many are held as are to be */
    uint32_t first, held_count;
    ucp_conn_request_h *held; /* address space for RILL_RDMA_LISTENER_HELD_MAX: one that comes has
                               * no need of memory */
};

/* Waiting for one connection request. */
struct rill_rdma_accept {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
    };
    struct rill_address peer; /* its socket address; its size is 0 where UCX does not tell */
    uint64_t client_id;       /* of its worker; 0 from one that sends none */

    /* private */
    struct rill_rdma_listener *listener;
    ucp_conn_request_h request;      /* NULL: none */
    struct rill_place_in_line place; /* in listener.line */
};

/* Opens a listener at a socket address, which is borrowed until this returns; port 0
 * picks a free one. Borrows rdma while it is open. Returns 0 or -errno: -EADDRINUSE or -EBUSY when
 * the port is taken, -EADDRNOTAVAIL for an address that is none of this machine's, or that no
 * transport can listen at, -EACCES for a port that needs privilege, -EINVAL for the address of a
 * unix socket, -EMFILE when descriptors are short, -ENOMEM when address space is, -ENOTRECOVERABLE
 * where the worker is deaf (hearing.h), -EIO, and UCX has printed more. Panics where rdma is not
 * open. */
int rill_rdma_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma,
                     const struct rill_address *address);

/* Reads the address it listens at; its size is 0 where that is none of IP. Returns 0; -EBADF where
 * it is not open; or what UCX says (error.h). */
int rill_rdma_listener_address(const struct rill_rdma_listener *listener,
                               struct rill_address *address);

/* Waits for the next connection request. Several tasks may wait, and are served in
 * order. When it ends with 0 the accept owns the request, until rill_rdma_ep_adopt or
 * rill_rdma_reject. Cancelling loses none: the result is then -ECANCELED, and a request is there
 * for the next. -ENOTRECOVERABLE where the worker is deaf, and has to be opened anew (hearing.h).
 * Panics where the listener is not open. */
struct rill_future *rill_rdma_accept(struct rill_rdma_listener *listener,
                                     struct rill_rdma_accept *accept);

/* Makes an endpoint of a request that was accepted, which it takes over in any case: if
 * it fails, the other side is told. Returns 0 or -errno: -EOPNOTSUPP where the worker was opened
 * for connections alone (rill_rdma_options.bare_endpoints); -EMFILE when descriptors are short, and
 * the listener then pauses; or what UCX says (error.h). Panics if the listener was closed since, as
 * UCX would use what it has freed. */
int rill_rdma_ep_adopt(struct rill_rdma_ep *ep, struct rill_rdma_accept *accept);

/* Turns a request that was accepted away; its operations end with -ECONNREFUSED or
 * -ECONNRESET. Panics if the listener was closed since. */
void rill_rdma_reject(struct rill_rdma_accept *accept);

/* Stops listening, and turns away the requests that nobody took. No accept may be
 * waiting, and none have a request that was neither adopted nor rejected. Does nothing to one
 * that is closed, or was never open.
 * Those who have connected over TCP and not said anything yet go with it (unheard.h). */
void rill_rdma_listener_close(struct rill_rdma_listener *listener);

/* private, for connections: as rill_rdma_ep_adopt, but never -EOPNOTSUPP. */
int rill_rdma_ep_begin_adopted(struct rill_rdma_ep *ep, struct rill_rdma_accept *accept);

#ifdef __cplusplus
}
#endif
#endif
