/* SPDX-License-Identifier: Apache-2.0 */
/* shortage.h - private: what is done so that UCX never finds the process without descriptors. (That
 * there is a thread for it is seen to where it is opened.)
 *
 * Over TCP that is the end of it, sooner or later (tcp_iface.c and ucp_worker.c, 1.13 to 1.22). An
 * interface that cannot open a socket as its first endpoint is made ends the process. One that
 * cannot accept closes the socket that it listens with, for good. A request of which UCX could
 * make no endpoint is freed and stays in a list. And a listener that cannot accept is tried again
 * and again by UCX's thread, with a line on stdout each time: 100 MB a second.
 *
 * So an endpoint is only made where there are descriptors for it, for the endpoints that were made
 * lately and are about to open theirs, and some to spare; other requests are turned away. And as
 * clients take a descriptor as soon as they come, UCX does not listen for a while when they are
 * short: they wait in the backlog. UCX's thread may still be faster than the loop. Its complaint
 * about that, which comes by its log, ends the listening at once. */
#ifndef RILL_RDMA_SHORTAGE_H
#define RILL_RDMA_SHORTAGE_H

#include "rdma/listener.h"

#include <stdarg.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* A context and a worker with their interfaces and threads: 11 where there are two. */
    RILL_RDMA_FDS_OF_WORKER = 32,
    /* The socket by which an endpoint connects, and its lanes: am and two of rendezvous. */
    RILL_RDMA_FDS_OF_EP = 4,
    /* For what UCX opens and closes again while it looks around, and for clients who come. */
    RILL_RDMA_FDS_SPARE = 8,
};

/* An endpoint of which nothing is known has opened its lanes when it is that old. */
#define RILL_RDMA_YOUNG_NS (1 * RILL_SECOND)

/* private: whether there are descriptors for one endpoint more. Costs 2 us, or with a kernel
 * before Linux 6.2 half a microsecond for each of them. */
bool rill_rdma_has_fds(struct rill_rdma *rdma);

/* private: the same, found out by taking count of them for a moment. */
bool rill_rdma_take_fds(size_t count);

/* private: takes note that an endpoint was made, and is about to open descriptors; and that it is
 * connected, or over, and opens no more of them, which may be told more than once. */
void rill_rdma_shortage_note_young(struct rill_rdma_ep *ep);
void rill_rdma_shortage_note_settled(struct rill_rdma_ep *ep);

/* private: a listener was made, whose socket is listener->fd or -1; it is about to go. */
void rill_rdma_shortage_begin(struct rill_rdma_listener *listener);
void rill_rdma_shortage_end(struct rill_rdma_listener *listener);

/* private: has UCX not listen until some time later there are descriptors; that time grows as in
 * net/listener.h. Does nothing to one that pauses, or is being closed. */
void rill_rdma_listener_pause(struct rill_rdma_listener *listener);

/* private: says whether as many requests are held as are to be. UCX does not listen while they are,
 * either: whom it has accepted has a descriptor. */
void rill_rdma_listener_set_full(struct rill_rdma_listener *listener, bool is_full);

/* private: hears an error that UCX logs, in any thread, by its format and what belongs there. */
void rill_rdma_shortage_hear(const char *message, va_list arguments);

/* private: pauses the listeners of an rdma about which UCX complained (rdma->is_short). */
void rill_rdma_heed_shortage(struct rill_rdma *rdma);

#ifdef __cplusplus
}
#endif
#endif
