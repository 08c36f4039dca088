/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/loss.h"

#include "rdma/active_message.h"
#include "rdma/endpoint.h"

#include <errno.h>
#include <string.h>

/* Those of this thread, which calls UCX's progress. Zeroed: none yet, as in UCX's own threads. */
static _Thread_local struct rill_link opened;

/* As ucp_worker.inl has it where there is no place to copy a message to, and ucp_am.c of active
 * messages. */
static bool tells_of_message(const char *message)
{
    static const char *const complaints[] = {
        "recv descriptor is not allocated",
        "could not allocate desc",
        "failed to allocate buffer for assembling",
    };

    for (size_t i = 0; i < sizeof complaints / sizeof *complaints; i++)
        if (strstr(message, complaints[i]))
            return true;
    return false;
}

/* As mpool.c has it of the segments of shared memory (mm_iface.c), which cannot be more. */
static bool tells_of_segments(const char *message, va_list arguments)
{
    return strstr(message, "Failed to allocate memory pool (name=%s)") &&
           strcmp(va_arg(arguments, const char *), "mm_recv_desc") == 0;
}

void rill_rdma_loss_hear(const char *message, va_list arguments)
{
    if (!opened.next)
        return;

    bool is_of_segments = tells_of_segments(message, arguments);

    if (!is_of_segments && !tells_of_message(message))
        return;
    for (struct rill_link *link = opened.next; link != &opened; link = link->next) {
        struct rill_rdma *rdma = rill_container_of(link, struct rill_rdma, opened);

        rdma->has_lost = true;
        rdma->is_spoiled = rdma->is_spoiled || is_of_segments;
    }
}

void rill_rdma_loss_begin(struct rill_rdma *rdma)
{
    if (!opened.next)
        rill_list_init(&opened);
    rill_list_append(&opened, &rdma->opened);
}

void rill_rdma_loss_end(struct rill_rdma *rdma)
{
    rill_link_remove(&rdma->opened);
}

static void tell_inboxes(struct rill_rdma *rdma)
{
    for (struct rill_link *link = rdma->numbers.next; link != &rdma->numbers; link = link->next) {
        struct rill_rdma_am_number *number =
            rill_container_of(link, struct rill_rdma_am_number, taken);

        if (number->lose)
            number->lose(number);
    }
}

/* After a loss endpoints are cut by the look at watchers that follows, before UCX brings anything
 * else. */
static void fail_endpoints(struct rill_rdma *rdma)
{
    for (int i = 0; i < RILL_RDMA_EP_BUCKETS; i++)
        for (struct rill_link *link = rdma->eps[i].next; link != &rdma->eps[i]; link = link->next) {
            struct rill_rdma_ep *ep = rill_container_of(link, struct rill_rdma_ep, all);

            rill_rdma_ep_fail(ep, rdma->common_error);
            if (ep->state == RILL_RDMA_EP_FAILED && rdma->common_error == -ENOBUFS)
                ep->patience = 0;
        }
}

static void withdraw_receives(struct rill_rdma *rdma)
{
    struct rill_link *next;

    for (struct rill_link *link = rdma->ops.next; link != &rdma->ops; link = next) {
        struct rill_rdma_op *op = rill_container_of(link, struct rill_rdma_op, in_flight);

        next = link->next;
        if (op->verb->is_receive)
            rill_rdma_op_withdraw(op);
    }
}

void rill_rdma_fail_all(struct rill_rdma *rdma, int error)
{
    rdma->common_error = error;
    fail_endpoints(rdma);
    withdraw_receives(rdma);
    tell_inboxes(rdma);
}

void rill_rdma_heed_loss(struct rill_rdma *rdma)
{
    rdma->has_lost = false;
    rdma->stats.losses++;
    rill_rdma_fail_all(rdma, -ENOBUFS);
}
