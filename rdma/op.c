/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/op.h"

#include "io/reactor.h"
#include "rdma/endpoint.h"
#include "rdma/error.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <assert.h>
#include <errno.h>

/* ---- its callback ---- */

/* Whether it counts in bytes_in_flight: nobody knows how much a receive will bring. */
static bool is_load(const struct rill_rdma_op *op)
{
    return op->ep && !op->verb->is_receive;
}

/* Takes note that UCX has let go of it. */
static void leave(struct rill_rdma_op *op)
{
    if (is_load(op))
        op->ep->bytes_in_flight -= op->size;
    rill_link_remove(&op->in_flight);
    op->rdma->ops_in_flight--;
    op->rdma->source.pending--;
    op->waiter->ops--;
    op->request = NULL;
    op->state = RILL_RDMA_OP_ANSWERED;
    if (!op->is_looked_for)
        rill_task_wake(op->waiter);
}

/* Whether it ended because it was cancelled. Everything else that UCX reports as cancelled has
 * ended with its endpoint, and has the endpoint's error; so has a send, which cannot be cancelled
 * once UCX has it. */
static bool was_let_go(const struct rill_rdma_op *op)
{
    return op->state == RILL_RDMA_OP_CANCELLING && op->verb->is_receive;
}

/* Receives of no endpoint are withdrawn where everything fails (loss.h), and nowhere else. */
static int reason_of_end(const struct rill_rdma_op *op, int error)
{
    if (!op->ep)
        return op->was_withdrawn ? op->rdma->common_error : error;
    return op->ep->error ? op->ep->error : error;
}

void rill_rdma_op_complete(struct rill_rdma_op *op, void *request, ucs_status_t status,
                           int64_t result)
{
    int error = status == UCS_OK ? 0 : rill_rdma_errno(status);

    if (error == -ECANCELED && !was_let_go(op))
        error = reason_of_end(op, error);
    op->result = error ? error : result;
    op->rdma->ucx->request_free(request);
    if (op->waiter)
        leave(op);
    else /* it is still being posted */
        op->state = RILL_RDMA_OP_ANSWERED;
}

void rill_rdma_op_sent(void *request, ucs_status_t status, void *op_)
{
    struct rill_rdma_op *op = op_;

    rill_rdma_op_complete(op, request, status, (int64_t)op->size);
}

void rill_rdma_op_withdraw(struct rill_rdma_op *op)
{
    if (op->was_withdrawn)
        return;
    op->was_withdrawn = true;
    op->rdma->stats.cancels++;
    op->rdma->ucx->request_cancel(op->rdma->worker, op->request);
}

void rill_rdma_op_join(struct rill_rdma_op *op, struct rill_rdma_ep *ep)
{
    assert(op->verb->is_receive && op->waiter && !op->ep);
    op->ep = ep;
    rill_link_remove(&op->in_flight);
    rill_list_append(&ep->ops, &op->in_flight);
}

/* A request that is freed while it is pending belongs to UCX alone, and its callback
 * will not be called. */
void rill_rdma_op_abandon(struct rill_rdma_op *op, int error)
{
    op->rdma->stats.abandoned++;
    op->rdma->ucx->request_free(op->request);
    op->result = error;
    leave(op);
}

/* ---- its poll ---- */

/* What UCX cannot let go of must not keep the program from ending, whatever it was asked for
 * before. A connection sees to that itself. */
static void hurry(const struct rill_rdma_op *op, const struct rill_task *task)
{
    if (task->reason == RILL_SHUTTING_DOWN && op->ep && !op->ep->owner)
        rill_rdma_ep_hurry(op->ep);
}

static enum rill_poll over(struct rill_rdma_op *op)
{
    op->state = RILL_RDMA_OP_IDLE;
    return RILL_READY;
}

static void answer(struct rill_rdma_op *op, int64_t result)
{
    op->result = result;
    op->state = RILL_RDMA_OP_ANSWERED;
}

static void add_load(struct rill_rdma_ep *ep, size_t size)
{
    ep->bytes_in_flight += size;
    if (ep->observer && ep->bytes_in_flight >= ep->bytes_told + RILL_RDMA_EP_LOAD)
        rill_task_wake(ep->observer);
}

static void enter(struct rill_rdma_op *op, struct rill_task *task, void *request)
{
    op->request = request;
    op->waiter = task;
    task->ops++;
    op->rdma->ops_in_flight++;
    op->rdma->source.pending++;
    rill_list_append(op->ep ? &op->ep->ops : &op->rdma->ops, &op->in_flight);
    if (is_load(op))
        add_load(op->ep, op->size);
}

/* Makes it IN_UCX, or ANSWERED with waiter NULL. */
static inline void post(struct rill_rdma_op *op, struct rill_task *task)
{
    ucs_status_ptr_t status;

    op->waiter = NULL;
    op->was_withdrawn = false;
    op->is_looked_for = false;
    if (op->ep && op->ep->error) { /* it may have been closed by its connection since */
        answer(op, op->ep->error);
        return;
    }
    rill_check(!op->ep || op->ep->is_open, "%s: its endpoint is not open", op->verb->name.function);
    op->state = RILL_RDMA_OP_IN_UCX;
    op->rdma->stats.posts++;
    rill_event_source_touch(&op->rdma->source);
    status = op->verb->post(op);

    if (UCS_PTR_IS_PTR(status) && op->state == RILL_RDMA_OP_IN_UCX) {
        enter(op, task, status);
        return;
    }
    op->rdma->stats.posts_inline++;
    if (op->state == RILL_RDMA_OP_ANSWERED) /* its callback was called meanwhile */
        return;
    answer(op,
           UCS_PTR_IS_ERR(status) ? rill_rdma_errno(UCS_PTR_STATUS(status)) : (int64_t)op->size);
}

/* The answer to what was sent may be about to come. */
static void look_for(struct rill_rdma_op *op)
{
    struct rill_reactor *reactor = rill_reactor_here();

    op->is_looked_for = true;
    while (op->state == RILL_RDMA_OP_IN_UCX && rill_reactor_linger(reactor))
        ;
    op->is_looked_for = false;
    if (op->state == RILL_RDMA_OP_IN_UCX && op->rdma->is_deaf) /* what had come would be there */
        rill_rdma_op_withdraw(op);
}

/* An op that is over at once pays from the budget of its task, and yields if that is spent. */
static enum rill_poll start(struct rill_rdma_op *op, struct rill_task *task)
{
    if (rill_task_is_cancelled(task)) {
        op->waiter = NULL;
        answer(op, -ECANCELED);
    } else {
        post(op, task);
        if (op->state == RILL_RDMA_OP_IN_UCX && op->verb->is_receive)
            look_for(op);
    }
    return op->state == RILL_RDMA_OP_ANSWERED && rill_budget_spend(rill_executor_here(), task)
               ? over(op)
               : RILL_PENDING;
}

void rill_rdma_op_post_for(struct rill_rdma_op *op, struct rill_task *task)
{
    post(op, task);
    rill_task_wake(task);
}

enum rill_poll rill_rdma_op_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_op *op = rill_container_of(self, struct rill_rdma_op, future);

    switch ((enum rill_rdma_op_state)op->state) {
    case RILL_RDMA_OP_IDLE:
        rill_panic("an operation (%s) was awaited that is over or was never prepared",
                   self->place ? self->place->function : "zeroed");
    case RILL_RDMA_OP_PREPARED:
        return start(op, task);
    case RILL_RDMA_OP_ANSWERED:
        return over(op);
    case RILL_RDMA_OP_IN_UCX:
        if (rill_task_is_cancelled(task)) {
            op->state = RILL_RDMA_OP_CANCELLING;
            if (op->verb->is_receive)
                rill_rdma_op_withdraw(op);
            if (op->state == RILL_RDMA_OP_ANSWERED)
                return over(op);
            hurry(op, task);
        }
        break;
    case RILL_RDMA_OP_CANCELLING:
        hurry(op, task);
        break;
    case RILL_RDMA_OP_WAITING: /* has a poll function of its own */
        break;
    }
    if (op->waiter != task) { /* it was handed from one task to another while pending */
        op->waiter->ops--;
        task->ops++;
        op->waiter = task;
    }
    return RILL_PENDING;
}
