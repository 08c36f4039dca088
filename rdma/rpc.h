/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.h - a service of a worker: requests and their replies as active messages.
 *
 * Both sides open the service by the same number, and are then callers (rdma/rpc_client.h),
 * servers (rdma/rpc_server.h), or both:
 *
 *     RILL_AWAIT(rill_rdma_rpc_call(&shop->client, &shop->call, PRICE, "apple", 5,
 *                                   &shop->price, sizeof shop->price));
 *
 *     RILL_AWAIT(rill_rdma_rpc_recv(&server->rpc, &server->request));
 *     ...
 *     RILL_AWAIT(rill_rdma_rpc_reply(&server->request, 0, &price, sizeof price));
 *
 * On the wire a request, a reply and the news that a call was cancelled are each an active
 * message with a header of RILL_RDMA_RPC_HEADER_SIZE bytes, whose numbers are little-endian:
 *
 *     0  magic "rRPC"    5  kind         8  id of the call   20  0
 *     4  version, 1      6  0, 0        16  method, or status
 *
 * The id is found again by a hash table; it begins with a random number, so that a reply to
 * what a former owner of the number had asked finds nobody. What has no right header, and
 * a reply that nobody waits for, because its call was cancelled or has its reply already, is
 * counted and dropped. Those with whom a worker has an endpoint are trusted so far that a
 * reply is not asked which of them it comes from. */
#ifndef RILL_RDMA_RPC_H
#define RILL_RDMA_RPC_H

#include "rdma/active_message.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RDMA_RPC_HEADER_SIZE = 24,
    RILL_RDMA_RPC_BUCKETS = 256,      /* lists by which calls and requests are found */
    RILL_RDMA_RPC_STATUS_MIN = -4095, /* a reply's status is 0, or -errno and not below */
};

/* What was counted since it was opened. */
struct rill_rdma_rpc_stats {
    uint64_t calls;        /* that were started */
    uint64_t requests;     /* that arrived and were kept */
    uint64_t replies;      /* that arrived and found their call */
    uint64_t late;         /* that found none */
    uint64_t cancelled;    /* requests that their caller did not want any more */
    uint64_t refused;      /* requests beyond requests_max, for want of memory, or after a stop */
    uint64_t unanswerable; /* requests whose endpoint this side did not open */
    uint64_t malformed;    /* messages without a right header, requests without a sender */
    uint64_t untold;       /* cancelled calls and refusals that could not be told */
};

/* Zeroed, then opened; it must not move while open.
 *
 * Invariant: held is empty or no task waits in line, but for those that were woken; a
 * request is in requests until it is over, and in held until it is taken; taken counts
 * those between. */
struct rill_rdma_rpc {
    struct rill_rdma *rdma; /* borrowed while open */
    bool is_open;
    struct rill_rdma_rpc_stats stats;
    size_t requests_max; /* requests that nobody took; those beyond are refused */
    size_t held_count;   /* requests that nobody took */
    size_t taken;        /* requests that were taken and are not answered */
    size_t waiting;      /* calls whose reply has not come */

    /* private */
    struct rill_rdma_am_number number;
    uint64_t next_call;
    struct rill_link calls[RILL_RDMA_RPC_BUCKETS];    /* of rill_rdma_rpc_call.entry */
    struct rill_link requests[RILL_RDMA_RPC_BUCKETS]; /* of rill_rdma_rpc_held.entry */
    struct rill_link held;                            /* of rill_rdma_rpc_held.queue */
    struct rill_line line;                            /* of those who receive */
    bool is_stopped;
};

/* Opens the service of that number, of those of inboxes (active_message.h) that nobody else
 * has: a hub (hub.h) has 30 and 31, a worker with shared memory 32 (hearing.h). requests_max is how
 * many requests may wait for somebody to take them: 0 on a side that only calls. Further ones are
 * refused with -EBUSY. Borrows rdma while it is open. Returns 0, -EINVAL for a number out of range,
 * -EADDRINUSE for one that somebody has, -ENOMEM, or what else UCX says (error.h). Panics where
 * rdma is not open. */
int rill_rdma_rpc_open(struct rill_rdma_rpc *rpc, struct rill_rdma *rdma, unsigned id,
                       size_t requests_max);

/* Has it take no more requests: those that come from now on are refused with -ESHUTDOWN. Those
 * that have come are received and answered as before, and whoever receives when none is left gets
 * -ESHUTDOWN. So tasks that serve end by themselves, and when the last has, all that was taken is
 * answered, and it can be closed. They are to be waited for under a shield where the one that waits
 * is cancelled, as by the end of the program: a join cancels them then, and what they have not
 * taken is refused. Calls of this side go on. Panics where it is not open; done twice it is done
 * once. */
void rill_rdma_rpc_stop(struct rill_rdma_rpc *rpc);

/* Closes it, as its rdma does where that is closed before, and refuses the requests that nobody
 * took with -ESHUTDOWN. No call may be waiting, no task receiving, and no request be taken and not
 * answered. Does nothing to one that is closed, or was never open. */
void rill_rdma_rpc_close(struct rill_rdma_rpc *rpc);

/* private: the header, as it is on the wire and as it is here. */
enum rill_rdma_rpc_kind {
    RILL_RDMA_RPC_REQUEST = 1,
    RILL_RDMA_RPC_REPLY,
    RILL_RDMA_RPC_CANCEL,
};

struct rill_rdma_rpc_header {
    uint64_t id;
    uint8_t kind;
    uint32_t code; /* a method, or a status */
};

void rill_rdma_rpc_pack(unsigned char bytes[RILL_RDMA_RPC_HEADER_SIZE],
                        enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code);

/* private: such a header without data, which nobody waits for. Counts it where it cannot
 * be sent. */
void rill_rdma_rpc_tell(struct rill_rdma_rpc *rpc, struct rill_rdma_ep *ep,
                        enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code);

/* private: the list in which an id is. Ids follow each other. */
static inline struct rill_link *rill_rdma_rpc_bucket(struct rill_link *buckets, uint64_t id)
{
    return &buckets[id % RILL_RDMA_RPC_BUCKETS];
}

/* private: what arrived; called within progress. They return UCS_INPROGRESS where they keep
 * data. */
ucs_status_t rill_rdma_rpc_on_reply(struct rill_rdma_rpc *rpc,
                                    const struct rill_rdma_rpc_header *header, void *data,
                                    size_t size, const ucp_am_recv_param_t *param);
ucs_status_t rill_rdma_rpc_on_request(struct rill_rdma_rpc *rpc,
                                      const struct rill_rdma_rpc_header *header, void *data,
                                      size_t size, const ucp_am_recv_param_t *param);
void rill_rdma_rpc_on_cancel(struct rill_rdma_rpc *rpc, const struct rill_rdma_rpc_header *header,
                             const ucp_am_recv_param_t *param);

/* private: refuses all requests that nobody took. */
void rill_rdma_rpc_refuse_held(struct rill_rdma_rpc *rpc, int error);

#ifdef __cplusplus
}
#endif
#endif
