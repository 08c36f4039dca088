/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/message.h"

#include "rdma/tag.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>

/* ---- its memory ---- */

static bool get_memory(struct rill_rdma_message *message, size_t size)
{
    bool is_there = rill_rdma_block_get(&message->block, size);

    message->data = message->block.data;
    return is_there;
}

void rill_rdma_message_give_back(struct rill_rdma_message *message)
{
    rill_check(!message->data || message->op.state == RILL_RDMA_OP_IDLE,
               "a message was given back while it arrives");
    rill_rdma_block_put(&message->block);
    message->data = NULL;
}

/* ---- waiting for one ---- */

/* Why none will come, or may have been lost; 0: nothing speaks against one. */
static int why_none(const struct rill_rdma_message *message)
{
    if (message->rdma->is_deaf)
        return -ENOTRECOVERABLE;
    return message->rdma->stats.losses != message->losses_before ? -ENOBUFS : 0;
}

/* UCX calls nobody when a message comes that no receive waits for. */
static unsigned look(struct rill_rdma_watcher *waiting)
{
    struct rill_rdma_message *message =
        rill_container_of(waiting, struct rill_rdma_message, waiting);

    if (!rill_rdma_tag_probe(message->rdma, message->want, message->mask, NULL, NULL) &&
        !why_none(message))
        return 0;
    rill_rdma_unwatch(message->rdma, waiting);
    rill_task_wake(message->task);
    return 1;
}

static enum rill_poll wait(struct rill_rdma_message *message)
{
    if (!rill_link_is_linked(&message->waiting.link))
        rill_rdma_watch(message->rdma, &message->waiting);
    return RILL_PENDING;
}

static enum rill_poll end(struct rill_rdma_message *message, int64_t result)
{
    rill_rdma_unwatch(message->rdma, &message->waiting);
    message->future.awaits = NULL;
    message->result = result;
    return RILL_READY;
}

/* ---- receiving it ---- */

/* The message is taken out of UCX here, where it is certain to be received. */
static ucs_status_ptr_t post(struct rill_rdma_op *op)
{
    const ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv = rill_rdma_tag_received,
        .user_data = op,
    };
    const struct rill_ucx *ucx = op->rdma->ucx;
    ucp_tag_recv_info_t info;
    ucp_tag_message_h handle =
        ucx->tag_probe_nb(op->rdma->worker, op->tag, op->tagged.mask, 1, &info);

    rill_check(handle && info.length == op->size, "a message is not there that was there before");
    return ucx->tag_msg_recv_nbx(op->rdma->worker, op->buffer, op->size, handle, &param);
}

/* Prepares the op for the oldest message, if there is one. Returns its size, -EAGAIN if
 * there is none, or -errno. */
static int64_t find(struct rill_rdma_message *message)
{
    static const struct rill_rdma_verb verb = {
        {"receive a tagged message of any size", NULL, 0}, post, false};
    size_t size;

    if (!rill_rdma_tag_probe(message->rdma, message->want, message->mask, &size, &message->tag))
        return -EAGAIN;
    if (size > message->limit) {
        message->length = size;
        return -EMSGSIZE;
    }
    if (!get_memory(message, size))
        return -ENOMEM;
    rill_rdma_op_prepare(&message->op, &verb, message->rdma, NULL);
    message->op.buffer = message->data;
    message->op.size = size;
    message->op.tag = message->want;
    message->op.tagged.mask = message->mask;
    message->future.awaits = &message->op.future;
    return (int64_t)size;
}

static enum rill_poll receive(struct rill_rdma_message *message, struct rill_task *task)
{
    if (rill_rdma_op_poll(&message->op.future, task) == RILL_PENDING)
        return RILL_PENDING;
    if (message->op.result < 0)
        rill_rdma_message_give_back(message);
    return end(message, message->op.result);
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_message *message = rill_container_of(self, struct rill_rdma_message, future);
    int64_t found;

    message->task = task;
    if (message->op.state != RILL_RDMA_OP_IDLE)
        return receive(message, task);
    found = rill_task_is_cancelled(task) ? -ECANCELED : find(message);
    if (found >= 0)
        return receive(message, task);
    if (found == -EAGAIN)
        found = why_none(message);
    if (found == 0)
        return wait(message);
    return rill_budget_spend(rill_executor_here(), task) ? end(message, found) : RILL_PENDING;
}

struct rill_future *rill_rdma_message_recv(struct rill_rdma *rdma,
                                           struct rill_rdma_message *message, uint64_t tag,
                                           uint64_t mask, size_t limit)
{
    static const struct rill_place name = {"receive a message", NULL, 0};

    rill_check(!message->data, "a message is received into one that was not given back");
    rill_future_init(&message->future, recv_poll);
    message->future.place = &name;
    message->rdma = rdma;
    message->want = tag;
    message->mask = mask;
    message->limit = limit;
    message->length = 0;
    message->losses_before = rdma->stats.losses;
    message->op.state = RILL_RDMA_OP_IDLE;
    message->waiting = (struct rill_rdma_watcher){.look = look};
    return &message->future;
}
