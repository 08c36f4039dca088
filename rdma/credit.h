/* SPDX-License-Identifier: Apache-2.0 */
/* credit.h - how much may be on its way to a side that does not receive.
 *
 * UCX has no back-pressure: messages that nobody receives pile up in the memory of the
 * receiver, a gigabyte for 100,000 of a kilobyte. So each message has a cost, and the cost of
 * those that were sent and not yet received is never above the window of the receiver; but one
 * message may always go, however large. Longer ones than the sender's eager_size stay with the
 * sender until they are received, and cost no more than that.
 *
 * What they take up is, over the network, up to twice the cost: UCX has buffers of some sizes for
 * them, and rill asks for powers of 2 (RX_MPOOL_SIZES, config.c; with UCX's own two sizes, for
 * whoever sets those, it is four times). Over shared memory one of some 100 bytes or more holds a
 * segment, 8 KiB of that memory, so that short ones take up to 25 times their cost, and 100 times
 * with long_segments (rdma.h). UCX keeps the memory for other messages when they have been
 * received.
 *
 * It is the sender that keeps to the window, as rill does. A receiver cannot refuse anything: a
 * peer that is not rill may send without end. */
#ifndef RILL_RDMA_CREDIT_H
#define RILL_RDMA_CREDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What UCX keeps beside the bytes of a message. */
enum { RILL_RDMA_MESSAGE_COST = 256 };

static inline uint64_t rill_rdma_cost(size_t size, uint32_t eager_size)
{
    return RILL_RDMA_MESSAGE_COST + (size < eager_size ? size : eager_size);
}

/* Both directions of one connection. All costs are sums since its beginning.
 *
 * Invariant: acknowledged <= sent, told <= received. */
struct rill_rdma_credit {
    uint64_t sent, acknowledged; /* by this side; and of that, what the other has received */
    uint64_t peer_window;        /* 0: any */
    uint64_t received, told;     /* from the other; and what it was told of that */
    uint64_t window;             /* 0: any */
};

/* Returns whether a message of that cost may be sent. */
static inline bool rill_rdma_credit_allows(const struct rill_rdma_credit *credit, uint64_t cost)
{
    uint64_t on_its_way = credit->sent - credit->acknowledged;

    return credit->peer_window == 0 || on_its_way == 0 || on_its_way + cost <= credit->peer_window;
}

/* Takes what the other side says it has received. Returns false for what it cannot have. */
static inline bool rill_rdma_credit_acknowledge(struct rill_rdma_credit *credit, uint64_t received)
{
    if (received > credit->sent)
        return false;
    if (received > credit->acknowledged)
        credit->acknowledged = received;
    return true;
}

/* Returns whether so much was received that the other side should be told: half a window,
 * so that it need not wait as long as this side keeps up; or so much that it may wait for
 * just that, since its next message has the greatest cost that there is. */
static inline bool rill_rdma_credit_is_owed(const struct rill_rdma_credit *credit,
                                            uint32_t peer_eager_size)
{
    uint64_t owed = credit->received - credit->told;

    return credit->window > 0 &&
           (owed >= credit->window / 2 ||
            owed + rill_rdma_cost(SIZE_MAX, peer_eager_size) > credit->window);
}

#ifdef __cplusplus
}
#endif
#endif
