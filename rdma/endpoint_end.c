/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_end.c - how an endpoint ends, step by step after each progress, and why. */
#include "io/reactor.h"
#include "rdma/endpoint.h"
#include "rdma/error.h"
#include "rdma/note.h"
#include "rdma/shortage.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>

/* How often progress is called without sleeping after an endpoint was closed by force:
 * as a rule that ends all its operations, and no event tells of it. */
enum { PATIENCE = 100 };

/* ---- who is told ---- */

/* Withdrawing one runs its callback, which takes it and no other off the list. */
void rill_rdma_ep_withdraw(struct rill_rdma_ep *ep, const struct rill_rdma_op *except)
{
    struct rill_link *next;

    for (struct rill_link *link = ep->ops.next; link != &ep->ops; link = next) {
        struct rill_rdma_op *op = rill_container_of(link, struct rill_rdma_op, in_flight);

        next = link->next;
        if (op != except && op->verb->is_receive)
            rill_rdma_op_withdraw(op);
    }
}

/* Tells those who wait for what UCX does not know of: bytes of the stream, answers. */
static void tell_waiters(struct rill_rdma_ep *ep)
{
    if (ep->stream_reader)
        rill_task_wake(ep->stream_reader->waiter);
    while (!rill_list_is_empty(&ep->waiters)) {
        struct rill_rdma_ep_waiter *waiter =
            rill_container_of(rill_list_pop(&ep->waiters), struct rill_rdma_ep_waiter, link);

        waiter->error = ep->error;
        if (waiter->task)
            rill_task_wake(waiter->task);
    }
}

int rill_rdma_ep_wait(struct rill_rdma_ep *ep, struct rill_rdma_ep_waiter *waiter,
                      struct rill_task *task)
{
    waiter->error = ep->error;
    waiter->task = task;
    if (!ep->error)
        rill_list_append(&ep->waiters, &waiter->link);
    return ep->error;
}

/* ---- in UCX ---- */

static void on_closed(void *request, ucs_status_t status, void *ep_)
{
    struct rill_rdma_ep *ep = ep_;

    (void)status; /* it is gone in any case */
    ep->rdma->ucx->request_free(request);
    ep->close_request = NULL;
}

static void on_flushed(void *request, ucs_status_t status, void *ep_)
{
    struct rill_rdma_ep *ep = ep_;

    ep->rdma->ucx->request_free(request);
    ep->flush_request = NULL;
    if (status != UCS_OK && ep->state == RILL_RDMA_EP_FLUSHING) {
        /* Where the other side closes too, UCX cancels the flush and reports the end of the
         * endpoint only then. -ECANCELED would say that the task which closes was cancelled. */
        ep->error = status == UCS_ERR_CANCELED ? -ECONNRESET : rill_rdma_errno(status);
        ep->state = RILL_RDMA_EP_FAILED;
    }
}

static void close_in_ucx(struct rill_rdma_ep *ep, uint32_t flags)
{
    if (ep->stream_data)
        ep->rdma->ucx->stream_data_release(ep->ucp, ep->stream_data);
    ep->stream_data = NULL;

    const ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
        .flags = flags,
        .cb.send = on_closed,
        .user_data = ep,
    };
    ucs_status_ptr_t status = ep->rdma->ucx->ep_close_nbx(ep->ucp, &param);

    ep->close_request = UCS_PTR_IS_PTR(status) ? status : NULL;
    ep->ucp = NULL;
    rill_link_remove(&ep->all);
    rill_rdma_shortage_note_settled(ep);
}

static void cut(struct rill_rdma_ep *ep)
{
    rill_rdma_ep_withdraw(ep, NULL);
    tell_waiters(ep);
    ep->state = RILL_RDMA_EP_CUT;
    ep->patience = PATIENCE;
    ep->deadline_ns = rill_reactor_now(rill_reactor_here()) + RILL_RDMA_DRAIN_NS;
    rill_event_source_touch(&ep->rdma->source);
    close_in_ucx(ep, UCP_EP_CLOSE_FLAG_FORCE);
}

/* Ends the operations that UCX does not let go of. Since the endpoint is closed it will never touch
 * their memory again, as long as nobody else sends with the tags of its receives (tag.h); but its
 * requests would call back into structs that may be gone by then. */
static void abandon(struct rill_rdma_ep *ep)
{
    const struct rill_ucx *ucx = ep->rdma->ucx;

    while (!rill_list_is_empty(&ep->ops))
        rill_rdma_op_abandon(rill_container_of(ep->ops.next, struct rill_rdma_op, in_flight),
                             ep->error);
    while (!rill_list_is_empty(&ep->notes))
        rill_rdma_note_abandon(rill_container_of(ep->notes.next, struct rill_rdma_note, link));
    if (ep->flush_request)
        ucx->request_free(ep->flush_request);
    if (ep->close_request)
        ucx->request_free(ep->close_request);
    ep->flush_request = NULL;
    ep->close_request = NULL;
}

/* ---- step by step ---- */

/* One that is to hurry is among the watchers already. */
static void watch(struct rill_rdma_ep *ep)
{
    if (!rill_link_is_linked(&ep->watcher.link))
        rill_rdma_watch(ep->rdma, &ep->watcher);
}

void rill_rdma_ep_hurry(struct rill_rdma_ep *ep)
{
    if (ep->state != RILL_RDMA_EP_OPEN || ep->deadline_ns != RILL_NEVER)
        return;
    ep->deadline_ns = rill_reactor_now(rill_reactor_here()) + RILL_RDMA_LAST_OPS_NS;
    watch(ep);
}

/* Whether something was asked to end and has not. */
static bool is_held_up(const struct rill_rdma_ep *ep)
{
    for (struct rill_link *link = ep->ops.next; link != &ep->ops; link = link->next)
        if (rill_container_of(link, struct rill_rdma_op, in_flight)->state ==
            RILL_RDMA_OP_CANCELLING)
            return true;
    return false;
}

static unsigned look_at_cancelled(struct rill_rdma_ep *ep)
{
    if (is_held_up(ep)) {
        if (rill_reactor_now(rill_reactor_here()) < ep->deadline_ns)
            return 0;
        rill_rdma_ep_fail(ep, -ECANCELED);
        return 1;
    }
    rill_rdma_unwatch(ep->rdma, &ep->watcher);
    ep->deadline_ns = RILL_NEVER;
    return 0;
}

static bool is_let_go(const struct rill_rdma_ep *ep)
{
    return rill_list_is_empty(&ep->ops) && rill_list_is_empty(&ep->notes) && !ep->flush_request &&
           !ep->close_request;
}

/* Returns 1 if UCX has let go of the endpoint, or has had its time. */
static unsigned finish_end(struct rill_rdma_ep *ep)
{
    if (!is_let_go(ep)) {
        if (ep->deadline_ns == RILL_NEVER ||
            rill_reactor_now(rill_reactor_here()) < ep->deadline_ns)
            return 0;
        abandon(ep);
    }
    rill_rdma_unwatch(ep->rdma, &ep->watcher);
    ep->state = RILL_RDMA_EP_GONE;
    if (ep->closer)
        rill_task_wake(ep->closer);
    return 1;
}

unsigned rill_rdma_ep_look(struct rill_rdma_watcher *watcher)
{
    struct rill_rdma_ep *ep = rill_container_of(watcher, struct rill_rdma_ep, watcher);

    switch ((enum rill_rdma_ep_state)ep->state) {
    case RILL_RDMA_EP_FAILED:
        if (ep->patience > 0)
            ep->patience--;
        else
            cut(ep);
        return 1;
    case RILL_RDMA_EP_FLUSHING:
        /* Over verbs a flush does not wait for a rendezvous that the other side has not
         * taken up; and an endpoint that is closed above one makes UCX end the process. */
        if (ep->flush_request || !rill_list_is_empty(&ep->ops))
            return 0;
        /* An end in order would leave an endpoint by worker address in UCX (endpoint.h); and of one
         * by socket address some bytes, on the side that closes first. */
        if (ep->is_all_said) {
            cut(ep);
        } else {
            ep->state = RILL_RDMA_EP_CLOSING;
            close_in_ucx(ep, 0);
        }
        return 1;
    case RILL_RDMA_EP_CUT:
        if (ep->patience > 0) {
            ep->patience--;
            rill_event_source_touch(&ep->rdma->source);
        }
        return finish_end(ep);
    case RILL_RDMA_EP_CLOSING:
        return finish_end(ep);
    case RILL_RDMA_EP_OPEN:
        return look_at_cancelled(ep);
    case RILL_RDMA_EP_CLOSED:
    case RILL_RDMA_EP_GONE:
        break;
    }
    rill_panic("an endpoint that is not about to end is looked at");
}

/* The first reason stays, unless it was our own closing. The endpoint is closed after one more
 * progress, which may deliver what had arrived before. */
void rill_rdma_ep_fail(struct rill_rdma_ep *ep, int error)
{
    if (ep->state != RILL_RDMA_EP_OPEN && ep->state != RILL_RDMA_EP_FLUSHING)
        return;
    ep->rdma->stats.endpoints_failed++;
    ep->error = error;
    watch(ep);
    ep->state = RILL_RDMA_EP_FAILED;
    ep->patience = 1;
    if (ep->observer)
        rill_task_wake(ep->observer);
}

/* ---- closing ---- */

static void flush_in_ucx(struct rill_rdma_ep *ep)
{
    const ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA,
        .cb.send = on_flushed,
        .user_data = ep,
    };
    ucs_status_ptr_t status = ep->rdma->ucx->ep_flush_nbx(ep->ucp, &param);

    ep->state = RILL_RDMA_EP_FLUSHING;
    if (UCS_PTR_IS_ERR(status)) {
        ep->error = rill_rdma_errno(UCS_PTR_STATUS(status));
        ep->state = RILL_RDMA_EP_FAILED;
    } else if (status) {
        ep->flush_request = status;
    }
}

static void begin_close(struct rill_rdma_ep *ep)
{
    ep->error = -ESHUTDOWN;
    ep->deadline_ns = RILL_NEVER;
    watch(ep);
    rill_rdma_ep_withdraw(ep, NULL);
    tell_waiters(ep);
    if (ep->is_forced || ep->was_cancelled)
        cut(ep);
    else
        flush_in_ucx(ep);
}

/* Closing that was forced from the beginning has lost nothing by being cancelled. */
static int result_of(const struct rill_rdma_ep *ep)
{
    if (ep->error != -ESHUTDOWN)
        return ep->error;
    return ep->was_cancelled && !ep->is_forced ? -ECANCELED : 0;
}

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_ep *ep = rill_container_of(self, struct rill_rdma_ep, future);
    bool is_cancelled = rill_task_is_cancelled(task);

    rill_check(!ep->closer || ep->closer == task || ep->state == RILL_RDMA_EP_CLOSED ||
                   ep->state == RILL_RDMA_EP_GONE,
               "two tasks close the same endpoint");
    switch ((enum rill_rdma_ep_state)ep->state) {
    case RILL_RDMA_EP_CLOSED:
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        ep->result = 0;
        return RILL_READY;
    case RILL_RDMA_EP_OPEN:
        ep->was_cancelled = is_cancelled;
        begin_close(ep);
        break;
    case RILL_RDMA_EP_FLUSHING:
        if (is_cancelled) {
            ep->was_cancelled = true;
            cut(ep);
        }
        break;
    case RILL_RDMA_EP_CLOSING: /* all went out; it is no longer waited for as long as it takes */
        if (is_cancelled && ep->deadline_ns == RILL_NEVER) {
            ep->deadline_ns = rill_reactor_now(rill_reactor_here()) + RILL_RDMA_DRAIN_NS;
            rill_event_source_touch(&ep->rdma->source);
        }
        break;
    case RILL_RDMA_EP_FAILED:
    case RILL_RDMA_EP_CUT:
        break;
    case RILL_RDMA_EP_GONE:
        ep->result = result_of(ep);
        ep->state = RILL_RDMA_EP_CLOSED;
        ep->is_open = false;
        ep->rdma->endpoints--;
        return RILL_READY;
    }
    ep->closer = task;
    return RILL_PENDING;
}

static struct rill_future *prepare_close(struct rill_rdma_ep *ep, bool is_forced)
{
    static const struct rill_place name = {"close an endpoint", NULL, 0};

    rill_future_init(&ep->future, close_poll);
    ep->future.place = &name;
    ep->is_forced = is_forced;
    return &ep->future;
}

struct rill_future *rill_rdma_ep_close(struct rill_rdma_ep *ep)
{
    return prepare_close(ep, false);
}

struct rill_future *rill_rdma_ep_abort(struct rill_rdma_ep *ep)
{
    return prepare_close(ep, true);
}
