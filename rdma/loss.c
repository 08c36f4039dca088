/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/loss.h"

#include "rdma/endpoint.h"

#include <errno.h>
#include <pthread.h>
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

/* Called by any thread, within UCX. */
static ucs_log_func_rc_t on_log(const char *file, unsigned line, const char *function,
                                ucs_log_level_t level, const ucs_log_component_config_t *component,
                                const char *message, va_list arguments)
{
    (void)file;
    (void)line;
    (void)function;
    (void)component;
    if (level != UCS_LOG_LEVEL_ERROR || !opened.next)
        return UCS_LOG_FUNC_RC_CONTINUE;

    bool is_of_segments = tells_of_segments(message, arguments);

    if (!is_of_segments && !tells_of_message(message))
        return UCS_LOG_FUNC_RC_CONTINUE;
    for (struct rill_link *link = opened.next; link != &opened; link = link->next) {
        struct rill_rdma *rdma = rill_container_of(link, struct rill_rdma, opened);

        rdma->has_lost = true;
        rdma->is_spoiled = rdma->is_spoiled || is_of_segments;
    }
    return UCS_LOG_FUNC_RC_CONTINUE;
}

void rill_rdma_loss_begin(struct rill_rdma *rdma)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static bool is_heard;

    pthread_mutex_lock(&mutex);
    if (!is_heard)
        rdma->ucx->log_push_handler(on_log);
    is_heard = true;
    pthread_mutex_unlock(&mutex);
    if (!opened.next)
        rill_list_init(&opened);
    rill_list_append(&opened, &rdma->opened);
}

void rill_rdma_loss_end(struct rill_rdma *rdma)
{
    rill_link_remove(&rdma->opened);
}

/* Endpoints are cut by the look at watchers that follows, before UCX brings anything else. */
void rill_rdma_heed_loss(struct rill_rdma *rdma)
{
    struct rill_link *next;

    rdma->has_lost = false;
    rdma->stats.losses++;
    for (int i = 0; i < RILL_RDMA_EP_BUCKETS; i++)
        for (struct rill_link *link = rdma->eps[i].next; link != &rdma->eps[i]; link = link->next) {
            struct rill_rdma_ep *ep = rill_container_of(link, struct rill_rdma_ep, all);

            rill_rdma_ep_fail(ep, -ENOBUFS);
            if (ep->state == RILL_RDMA_EP_FAILED)
                ep->patience = 0;
        }
    for (struct rill_link *link = rdma->ops.next; link != &rdma->ops; link = next) {
        struct rill_rdma_op *op = rill_container_of(link, struct rill_rdma_op, in_flight);

        next = link->next;
        if (op->verb->is_receive)
            rill_rdma_op_withdraw(op);
    }
}
