/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/stream.h"

#include "rdma/error.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

/* ---- sending ---- */

/* Nothing is sent of nothing: the process of its receiver would be ended by UCX
 * (ucp_stream_am_data_process, 1.13 to 1.20). */
static ucs_status_ptr_t post_send(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    if (op->size == 0)
        return NULL;
    rill_rdma_op_set_param(op, &param);
    return op->rdma->ucx->stream_send_nbx(op->ep->ucp, op->buffer, op->size, &param);
}

struct rill_future *rill_rdma_stream_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                          const void *buffer, size_t size)
{
    static const struct rill_rdma_verb verb = {{"send to a stream", NULL, 0}, post_send, false};

    rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
    op->buffer = (void *)(uintptr_t)buffer;
    op->size = size;
    return &op->future;
}

/* ---- waiting for bytes ---- */

/* UCX lists the endpoints for which bytes have arrived. One that is listed while nobody
 * waits is no loss: a receive looks for itself first. And there may be one that was closed,
 * which UCX did not let go of in time: its user_data is gone by now. */
static unsigned look(struct rill_rdma_watcher *watcher)
{
    enum { AT_ONCE = 16 };
    struct rill_rdma *rdma = rill_container_of(watcher, struct rill_rdma, stream);
    ucp_stream_poll_ep_t ready[AT_ONCE];
    ssize_t count = rdma->ucx->stream_worker_poll(rdma->worker, ready, AT_ONCE, 0);
    unsigned woken = count == AT_ONCE; /* there may be more */

    for (ssize_t i = 0; i < count; i++) {
        const struct rill_rdma_ep *ep = rill_rdma_ep_find(rdma, ready[i].ep);

        if (ep && ep->stream_reader) {
            rill_task_wake(ep->stream_reader->waiter);
            woken++;
        }
    }
    return woken;
}

static void begin_wait(struct rill_rdma_op *op)
{
    struct rill_rdma *rdma = op->rdma;

    rill_check(!op->ep->stream_reader, "two tasks receive from the same stream");
    op->state = RILL_RDMA_OP_WAITING;
    op->stream.serial = op->ep->serial;
    op->ep->stream_reader = op;
    rill_event_source_touch(&rdma->source);
    if (rdma->stream_readers++ == 0) {
        rdma->stream.look = look;
        rill_rdma_watch(rdma, &rdma->stream);
    }
}

static void end_wait(struct rill_rdma_op *op)
{
    struct rill_rdma *rdma = op->rdma;

    if (op->ep->stream_reader == op)
        op->ep->stream_reader = NULL;
    if (--rdma->stream_readers == 0)
        rill_rdma_unwatch(rdma, &rdma->stream);
}

/* ---- receiving ---- */

/* Sees to it that there are bytes in ep->stream_data. Returns whether there are; if not,
 * *error is why no more will come, or 0. */
static bool fetch(struct rill_rdma_ep *ep, int *error)
{
    ucs_status_ptr_t data;

    if (ep->stream_data)
        return true;
    *error = ep->error;
    if (*error)
        return false;
    data = ep->rdma->ucx->stream_recv_data_nb(ep->ucp, &ep->stream_size);
    if (!UCS_PTR_IS_PTR(data)) {
        *error = rill_rdma_errno(UCS_PTR_RAW_STATUS(data));
        return false;
    }
    ep->stream_data = data;
    ep->stream_offset = 0;
    return true;
}

static void copy(struct rill_rdma_op *op)
{
    struct rill_rdma_ep *ep = op->ep;
    size_t size = ep->stream_size - ep->stream_offset;

    if (size > op->size - op->length)
        size = op->size - op->length;
    memcpy((char *)op->buffer + op->length, ep->stream_data + ep->stream_offset, size);
    op->length += size;
    ep->stream_offset += size;
    if (ep->stream_offset < ep->stream_size)
        return;
    ep->rdma->ucx->stream_data_release(ep->ucp, ep->stream_data);
    ep->stream_data = NULL;
}

/* Moves what there is. Returns 0 if there may be more to come, or -errno. */
static int move(struct rill_rdma_op *op)
{
    int error = 0;

    while (op->length < op->size && fetch(op->ep, &error))
        copy(op);
    return error;
}

/* Whether the endpoint was opened anew while the receive waited: a connection may have been lost
 * and made again. */
static bool is_stale(const struct rill_rdma_op *op)
{
    return op->state == RILL_RDMA_OP_WAITING && op->stream.serial != op->ep->serial;
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_op *op = rill_container_of(self, struct rill_rdma_op, future);
    bool is_waiting = op->state == RILL_RDMA_OP_WAITING;
    int error;

    rill_check(is_waiting || op->state == RILL_RDMA_OP_PREPARED,
               "an operation (%s) was awaited that is over", op->verb->name.function);
    rill_check(op->ep->is_open || op->ep->error, "%s: its endpoint is not open",
               op->verb->name.function);
    if (!is_waiting && !rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;

    op->waiter = task;
    if (rill_task_is_cancelled(task))
        error = -ECANCELED;
    else
        error = is_stale(op) ? -ENOTCONN : move(op);
    if (!error && (op->stream.is_exact ? op->length < op->size : op->length == 0 && op->size > 0)) {
        if (!is_waiting)
            begin_wait(op);
        return RILL_PENDING;
    }
    if (is_waiting)
        end_wait(op);
    op->state = RILL_RDMA_OP_IDLE;
    if (op->length == op->size || (op->length > 0 && !op->stream.is_exact))
        op->result = (int64_t)op->length;
    else
        op->result = error;
    return RILL_READY;
}

static struct rill_future *prepare(struct rill_rdma_ep *ep, struct rill_rdma_op *op, void *buffer,
                                   size_t size, bool is_exact)
{
    static const struct rill_rdma_verb verb = {{"receive from a stream", NULL, 0}, NULL, true};

    rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
    op->future.poll = recv_poll;
    op->buffer = buffer;
    op->size = size;
    op->stream.is_exact = is_exact;
    return &op->future;
}

struct rill_future *rill_rdma_stream_recv(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                          void *buffer, size_t size)
{
    return prepare(ep, op, buffer, size, false);
}

struct rill_future *rill_rdma_stream_recv_exactly(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                                  void *buffer, size_t size)
{
    return prepare(ep, op, buffer, size, true);
}
