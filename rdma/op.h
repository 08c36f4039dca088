/* SPDX-License-Identifier: Apache-2.0 */
/* op.h - one operation of UCX: the leaf future of everything in rdma.
 *
 * It is what struct rill_op is for the kernel, under the same rules: it lives with its
 * caller, starts when it is first polled, and from then until it is over UCX owns it
 * and its buffers. Being over is the only way to get them back.
 *
 * UCX can let go of a receive that has no message yet, and of nothing else. So a receive that
 * is cancelled ends at once, with -ECANCELED or with its message if that won the race. One into
 * which a long message has begun to be moved stays pending until all of it is there, which takes
 * as long as its sender takes: for ever, where that makes no progress any more and the receive has
 * no endpoint that fails or is closed (rill_rdma_tag_recv_from). A send that is cancelled stays
 * pending until it went out, or until its endpoint fails or is closed by force (endpoint.h), which
 * both end it in bounded time. Where either is cancelled because the program ends, the endpoint
 * fails RILL_RDMA_LAST_OPS_NS later. */
#ifndef RILL_RDMA_OP_H
#define RILL_RDMA_OP_H

#include "rdma/rdma.h"
#include "runtime/future.h"
#include "runtime/panic.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_am;
struct rill_rdma_ep;
struct rill_rdma_op;
struct rill_rdma_remote;

enum rill_rdma_op_state {
    RILL_RDMA_OP_IDLE,       /* zeroed, or over. Preparing makes it PREPARED. */
    RILL_RDMA_OP_PREPARED,   /* to be posted, as a rule by a poll. Becomes IN_UCX, or ANSWERED. */
    RILL_RDMA_OP_WAITING,    /* of a stream: for bytes; UCX does not know of it. Becomes IDLE. */
    RILL_RDMA_OP_IN_UCX,     /* UCX owns it. Its callback makes it ANSWERED. */
    RILL_RDMA_OP_CANCELLING, /* as before, and its task was cancelled. */
    RILL_RDMA_OP_ANSWERED,   /* UCX has let go. Its next poll makes it IDLE. */
};

/* What kind of operation one is: a constant for each. */
struct rill_rdma_verb {
    struct rill_place name;
    /* Gives the op to UCX. Returns what the call of UCX did: NULL, an error, or a request
     * whose callback calls, or has called already, rill_rdma_op_complete. */
    ucs_status_ptr_t (*post)(struct rill_rdma_op *op);
    bool is_receive; /* UCX can be asked to let go of it */
};

/* private: what the verbs of one file have to know beside a buffer. */
struct rill_rdma_op_tagged {
    size_t part_count; /* of the buffer, if it is vectored; 0: it is not */
    uint64_t mask;     /* of the tags that a receive takes */
};
struct rill_rdma_op_am {
    const void *header;
    size_t header_size;
    uint32_t id;
    uint32_t flags; /* UCX's */
};
struct rill_rdma_op_fetch { /* one of them */
    struct rill_rdma_am *message;
    void **data; /* of what is in no such struct */
};
struct rill_rdma_op_remote {
    const struct rill_rdma_remote *memory;
    uint64_t address; /* of what is moved, there */
    uint64_t operand; /* of an atomic operation */
};
struct rill_rdma_op_stream {
    uint64_t serial; /* of the endpoint when it began to wait */
    bool is_exact;   /* waits until the buffer is full */
};

/* Invariant: an op that is IN_UCX or CANCELLING is in the list of its endpoint or, where
 * it has none, of its rdma, and counts in rdma.ops_in_flight and in its waiter's ops; its
 * size, if it is no receive, counts in its endpoint's bytes_in_flight. */
struct rill_rdma_op {
    union {
        int64_t result; /* bytes, or -errno; as the function that prepared it says */
        struct rill_future future;
    };
    uint64_t tag;  /* of a tagged message; of one that was received: the sender's */
    size_t length; /* of what was received; of what did not fit: how large a buffer it needs */

    /* private: what is posted */
    const struct rill_rdma_verb *verb;
    struct rill_rdma *rdma;
    struct rill_rdma_ep *ep; /* NULL: none */
    void *buffer;            /* or its parts, if it is vectored */
    size_t size;             /* of the buffer, all parts together, in bytes */
    union {                  /* by verb, where it needs one */
        struct rill_rdma_op_tagged tagged;
        struct rill_rdma_op_am am;
        struct rill_rdma_op_fetch fetch;
        struct rill_rdma_op_remote remote;
        struct rill_rdma_op_stream stream;
    };

    /* private: its life */
    void *request;
    struct rill_task *waiter;   /* NULL while it is being posted, and if UCX never had it */
    struct rill_link in_flight; /* rill_rdma_ep.ops or rill_rdma.ops */
    uint8_t state;              /* enum rill_rdma_op_state */
    bool was_withdrawn;         /* UCX was asked to let go */
    bool is_looked_for;         /* by its waiter, who need not be woken */
};

/* private: posts a prepared op for a task that waits for its turn, and wakes that: it goes on by
 * polling the op. Whether it is cancelled is known only while it runs, and not asked here. */
void rill_rdma_op_post_for(struct rill_rdma_op *op, struct rill_task *task);

/* private: to be called by a callback of UCX, with the result that the op has if status
 * is UCS_OK. */
void rill_rdma_op_complete(struct rill_rdma_op *op, void *request, ucs_status_t status,
                           int64_t result);

/* private: such a callback for operations that tell nothing but their end. */
void rill_rdma_op_sent(void *request, ucs_status_t status, void *op);

/* private: sets what UCX is told of an op with that callback; the caller may add to it. */
static inline void rill_rdma_op_set_param(struct rill_rdma_op *op, ucp_request_param_t *param)
{
    memset(param, 0, sizeof *param);
    param->op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
    param->cb.send = rill_rdma_op_sent;
    param->user_data = op;
}

/* private: asks UCX, once, to let go of a receive that it owns. It may have done so when
 * this returns. */
void rill_rdma_op_withdraw(struct rill_rdma_op *op);

/* private: has an op that UCX owns, and that has no endpoint, end with one at the latest. */
void rill_rdma_op_join(struct rill_rdma_op *op, struct rill_rdma_ep *ep);

/* private: ends an op that UCX does not let go of, with an -errno. */
void rill_rdma_op_abandon(struct rill_rdma_op *op, int error);

/* The state machine itself, for futures that wrap an op. */
enum rill_poll rill_rdma_op_poll(struct rill_future *self, struct rill_task *task);

/* private: prepares an op, whose arguments the caller then sets. It panics if the op is
 * not over. Returns op->future. */
static inline struct rill_future *rill_rdma_op_prepare(struct rill_rdma_op *op,
                                                       const struct rill_rdma_verb *verb,
                                                       struct rill_rdma *rdma,
                                                       struct rill_rdma_ep *ep)
{
    rill_check(op->state <= RILL_RDMA_OP_PREPARED,
               "an operation (%s) is used while it is in flight, or was not zeroed before its "
               "first use",
               verb->name.function);
    rill_future_init(&op->future, rill_rdma_op_poll);
    op->future.place = &verb->name;
    op->verb = verb;
    op->rdma = rdma;
    op->ep = ep;
    op->tag = 0;
    op->length = 0;
    op->state = RILL_RDMA_OP_PREPARED;
    return &op->future;
}

/* For those that have several at once: whether one is prepared or in flight. */
static inline bool rill_rdma_op_is_busy(const struct rill_rdma_op *op)
{
    return op->state != RILL_RDMA_OP_IDLE;
}

/* Likewise: polls one that is busy. Returns RILL_READY if it has ended with that, and else
 * RILL_PENDING: if it is still busy, or was not. */
static inline enum rill_poll rill_rdma_op_poll_if_busy(struct rill_rdma_op *op,
                                                       struct rill_task *task)
{
    return rill_rdma_op_is_busy(op) ? rill_rdma_op_poll(&op->future, task) : RILL_PENDING;
}

#ifdef __cplusplus
}
#endif
#endif
