/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/listener.h"

#include "rdma/error.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

static void wake_first(struct rill_rdma_listener *listener)
{
    if (!rill_list_is_empty(&listener->waiters))
        rill_task_wake(
            rill_container_of(listener->waiters.next, struct rill_rdma_accept, queue)->task);
}

/* ---- requests ---- */

/* Called within progress. */
static void on_request(ucp_conn_request_h request, void *listener_)
{
    struct rill_rdma_listener *listener = listener_;

    if (listener->held_count == RILL_RDMA_LISTENER_HELD_MAX) {
        listener->rejected++;
        listener->rdma->stats.requests_rejected++;
        listener->rdma->ucx->listener_reject(listener->ucp, request);
        return;
    }
    listener->held[(listener->first + listener->held_count) % RILL_RDMA_LISTENER_HELD_MAX] =
        request;
    listener->held_count++;
    wake_first(listener);
}

static ucp_conn_request_h pop(struct rill_rdma_listener *listener)
{
    ucp_conn_request_h request = listener->held[listener->first];

    listener->first = (listener->first + 1) % RILL_RDMA_LISTENER_HELD_MAX;
    listener->held_count--;
    return request;
}

/* Not every connection manager knows both, and none of them is needed. */
static void ask_who(struct rill_rdma_accept *accept)
{
    const struct rill_ucx *ucx = accept->listener->rdma->ucx;
    ucp_conn_request_attr_t attributes = {.field_mask = UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ADDR};

    memset(&accept->peer, 0, sizeof accept->peer);
    accept->client_id = 0;
    if (ucx->conn_request_query(accept->request, &attributes) == UCS_OK)
        accept->peer = attributes.client_address;
    attributes.field_mask = UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ID;
    if (ucx->conn_request_query(accept->request, &attributes) == UCS_OK)
        accept->client_id = attributes.client_id;
}

/* ---- accepting ---- */

/* Leaves the queue, if it was in it, and lets the next one look too: what woke this
 * one may be enough for both. */
static enum rill_poll leave(struct rill_rdma_accept *accept, int64_t result)
{
    if (rill_link_is_linked(&accept->queue)) {
        rill_link_remove(&accept->queue);
        accept->listener->rdma->source.pending--;
    }
    accept->result = result;
    if (accept->listener->held_count > 0)
        wake_first(accept->listener);
    return RILL_READY;
}

static enum rill_poll accept_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_accept *accept = rill_container_of(self, struct rill_rdma_accept, future);
    struct rill_rdma_listener *listener = accept->listener;
    bool is_waiting = rill_link_is_linked(&accept->queue);
    bool is_first = is_waiting ? listener->waiters.next == &accept->queue
                               : rill_list_is_empty(&listener->waiters);

    if (rill_task_is_cancelled(task))
        return leave(accept, -ECANCELED);
    if (is_first && listener->held_count > 0) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        accept->request = pop(listener);
        ask_who(accept);
        return leave(accept, 0);
    }
    accept->task = task;
    if (!is_waiting) {
        rill_list_append(&listener->waiters, &accept->queue);
        listener->rdma->source.pending++;
        rill_event_source_touch(&listener->rdma->source);
    }
    return RILL_PENDING;
}

struct rill_future *rill_rdma_accept(struct rill_rdma_listener *listener,
                                     struct rill_rdma_accept *accept)
{
    static const struct rill_place place = {"accept an endpoint", NULL, 0};

    rill_check(listener->is_open, "an endpoint is accepted from a listener that is not open");
    rill_future_init(&accept->future, accept_poll);
    accept->future.place = &place;
    accept->listener = listener;
    accept->request = NULL;
    accept->queue = (struct rill_link){0};
    return &accept->future;
}

int rill_rdma_ep_adopt(struct rill_rdma_ep *ep, struct rill_rdma_accept *accept)
{
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_CONN_REQUEST,
        .conn_request = accept->request,
    };

    rill_check(accept->request, "there is no connection request to be adopted");
    accept->request = NULL;
    return rill_rdma_ep_create(ep, accept->listener->rdma, &params);
}

void rill_rdma_reject(struct rill_rdma_accept *accept)
{
    rill_check(accept->request, "there is no connection request to be rejected");
    accept->listener->rdma->ucx->listener_reject(accept->listener->ucp, accept->request);
    accept->request = NULL;
    rill_event_source_touch(&accept->listener->rdma->source);
}

/* ---- its life ---- */

int rill_rdma_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma,
                     const struct sockaddr *address, socklen_t size)
{
    const ucp_listener_params_t params = {
        .field_mask = UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | UCP_LISTENER_PARAM_FIELD_CONN_HANDLER,
        .sockaddr = {.addr = address, .addrlen = size},
        .conn_handler = {.cb = on_request, .arg = listener},
    };
    int error;

    rill_check(!listener->is_open, "a listener was opened that is open already");
    memset(listener, 0, sizeof *listener);
    listener->rdma = rdma;
    rill_list_init(&listener->waiters);
    error = rill_rdma_errno(rdma->ucx->listener_create(rdma->worker, &params, &listener->ucp));
    if (error)
        return error;
    rill_event_source_touch(&rdma->source);
    listener->is_open = true;
    rdma->listeners++;
    return 0;
}

int rill_rdma_listener_address(const struct rill_rdma_listener *listener,
                               struct sockaddr_storage *address)
{
    ucp_listener_attr_t attributes = {.field_mask = UCP_LISTENER_ATTR_FIELD_SOCKADDR};
    int error = rill_rdma_errno(listener->rdma->ucx->listener_query(listener->ucp, &attributes));

    *address = attributes.sockaddr;
    return error;
}

void rill_rdma_listener_close(struct rill_rdma_listener *listener)
{
    if (!listener->is_open)
        return;
    rill_check(rill_list_is_empty(&listener->waiters), "a listener is closed while a task accepts");
    while (listener->held_count > 0)
        listener->rdma->ucx->listener_reject(listener->ucp, pop(listener));
    listener->rdma->ucx->listener_destroy(listener->ucp);
    listener->is_open = false;
    listener->rdma->listeners--;
}
