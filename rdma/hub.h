/* SPDX-License-Identifier: Apache-2.0 */
/* hub.h - the connections of one worker: who is who, and what is left of those that ended.
 *
 *     error = rill_rdma_hub_open(&server->hub, &server->rdma);
 *
 * It takes the control messages of connections (wire.h) out of UCX and gives each to the
 * connection whose id it names. What names none is counted and dropped. */
#ifndef RILL_RDMA_HUB_H
#define RILL_RDMA_HUB_H

#include "rdma/active_message.h"
#include "rdma/metrics.h"
#include "rdma/rdma.h"
#include "rdma/wire.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_connection;

enum {
    RILL_RDMA_HUB_BUCKETS = 1024, /* lists by which a connection is found from its id */
    /* Connections by worker address that nobody has accepted; further ones are dropped. */
    RILL_RDMA_STRANGERS_MAX = 256,
    /* Bytes of the address that such a one brings, a few hundred as a rule; with more it is
     * dropped, as it would be kept. */
    RILL_RDMA_STRANGER_SIZE_MAX = 16 << 10,
    /* Ids of connections that ended, for which messages may still come. */
    RILL_RDMA_DEAD_MAX = 64,
    /* Of these so many are looked for whenever a connection ends, in turns: UCX goes through all
     * that was not received, of whichever connection, to find that nothing is there. */
    RILL_RDMA_SWEPT_AT_AN_END = 2,
    RILL_RDMA_STRANGER_ID = RILL_RDMA_CONTROL_ID + 1, /* the inbox of connections by worker
                                                         address; taken where there is a hub */
};

/* Zeroed, then opened; it must not move while open. */
struct rill_rdma_hub {
    struct rill_rdma *rdma; /* borrowed while open */
    bool is_open;
    size_t connections; /* that have begun: one that is over counts until it is disconnected */
    uint64_t dropped;   /* control messages that made no sense */
    uint64_t swept;     /* messages that came for a connection and that nobody received */

    /* private */
    uint32_t last_id;
    struct rill_link by_id[RILL_RDMA_HUB_BUCKETS]; /* of rill_rdma_connection.by_id */
    struct rill_link pairing; /* of rill_rdma_connection.pairing: who connects, first come first */
    struct rill_rdma_am_number control;
    struct rill_rdma_inbox strangers;
    uint32_t dead[RILL_RDMA_DEAD_MAX]; /* the latest, 0: none */
    unsigned next_dead, next_swept;
    struct rill_rdma_metrics ended; /* of the connections that ended */
};

/* Opens the hub of a worker, one for each. Borrows rdma while it is open. Returns 0; or, and it is
 * closed, -EADDRINUSE where there is one already, or somebody has one of its numbers,
 * RILL_RDMA_CONTROL_ID and the next one; -ENOMEM; or what else UCX says (error.h). Panics where
 * rdma is not open. */
int rill_rdma_hub_open(struct rill_rdma_hub *hub, struct rill_rdma *rdma);

/* Closes it, as its rdma does where that is closed before. Panics while there are connections. Does
 * nothing to one that is closed, or zeroed. */
void rill_rdma_hub_close(struct rill_rdma_hub *hub);

/* Stores what all connections have counted, those that ended too. Of one that was closed it is that
 * until then, and nothing of one that was never open. */
void rill_rdma_hub_metrics(const struct rill_rdma_hub *hub, struct rill_rdma_metrics *metrics);

/* Waits for the next connection that is made by the address of the worker
 * (rill_rdma_connect_worker of the other side), to be given to rill_rdma_adopt_worker, or to
 * rill_rdma_am_release. One that is not wanted is better adopted, too, and cut (rill_rdma_cut):
 * released, or left, it keeps a descriptor over TCP, in both processes, until one of them closes
 * its rdma. As rill_rdma_am_recv. Only for peers that are trusted: UCX cannot tell
 * an address from other bytes, and may end the process over those. */
static inline struct rill_future *rill_rdma_accept_worker(struct rill_rdma_hub *hub,
                                                          struct rill_rdma_am *stranger)
{
    return rill_rdma_am_recv(&hub->strangers, stranger);
}

/* private: gives a connection a new id, and takes it away again. */
void rill_rdma_hub_add(struct rill_rdma_hub *hub, struct rill_rdma_connection *connection);
void rill_rdma_hub_remove(struct rill_rdma_hub *hub, struct rill_rdma_connection *connection);

/* private: throws away what came for an id and was not received. Returns its cost
 * (credit.h), from a sender with that eager_size. */
uint64_t rill_rdma_hub_sweep(struct rill_rdma_hub *hub, uint32_t id, uint32_t eager_size);

#ifdef __cplusplus
}
#endif
#endif
