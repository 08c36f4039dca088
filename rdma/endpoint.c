/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/endpoint.h"

#include "io/signal_mask.h"
#include "rdma/error.h"
#include "rdma/shortage.h"
#include "runtime/panic.h"

#include <errno.h>

/* ---- finding ---- */

/* Handles are addresses of structs of some hundred bytes. */
static struct rill_link *bucket(struct rill_rdma *rdma, ucp_ep_h ucp)
{
    return &rdma->eps[((uintptr_t)ucp * UINT64_C(0x9e3779b97f4a7c15) >> 32) % RILL_RDMA_EP_BUCKETS];
}

struct rill_rdma_ep *rill_rdma_ep_find(struct rill_rdma *rdma, ucp_ep_h ucp)
{
    const struct rill_link *list = bucket(rdma, ucp);

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        struct rill_rdma_ep *ep = rill_container_of(link, struct rill_rdma_ep, all);

        if (ep->ucp == ucp)
            return ep;
    }
    return NULL;
}

struct rill_rdma_ep *rill_rdma_ep_find_late(struct rill_rdma *rdma, ucp_ep_h ucp)
{
    struct rill_rdma_ep *ep = rill_rdma_ep_find(rdma, ucp);

    return ep && ep->is_by_worker ? ep : NULL;
}

/* ---- opening ---- */

/* Called within progress. */
static void on_error(void *ep, ucp_ep_h ucp, ucs_status_t status)
{
    (void)ucp;
    rill_rdma_ep_fail(ep, rill_rdma_errno(status));
}

static int create_in_ucx(struct rill_rdma_ep *ep, const ucp_ep_params_t *params)
{
    struct rill_rdma *rdma = ep->rdma;
    sigset_t before;
    int error;

    if (rdma->is_deaf)
        return -ENOTRECOVERABLE;
    if (!rill_rdma_has_fds(rdma))
        return -EMFILE;
    rill_event_source_touch(&rdma->source);
    rill_signal_mask_fill(&before); /* UCX may start a thread */
    error = rill_rdma_errno(rdma->ucx->ep_create(rdma->worker, params, &ep->ucp));
    rill_signal_mask_restore(&before);
    return error;
}

int rill_rdma_ep_create(struct rill_rdma_ep *ep, struct rill_rdma *rdma, ucp_ep_params_t *params)
{
    int error;

    rill_check(!ep->is_open, "an endpoint was opened that is open already");
    rill_check(rdma->is_open, "an endpoint was opened of an rdma that is not open");
    *ep = (struct rill_rdma_ep){
        .rdma = rdma,
        .serial = ++rdma->last_serial,
        .is_by_worker = params->field_mask & UCP_EP_PARAM_FIELD_REMOTE_ADDRESS,
        .state = RILL_RDMA_EP_OPEN,
        .watcher.look = rill_rdma_ep_look,
        .deadline_ns = RILL_NEVER,
    };
    rill_list_init(&ep->ops);
    rill_list_init(&ep->waiters);
    rill_list_init(&ep->notes);
    params->field_mask |= UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER |
                          UCP_EP_PARAM_FIELD_USER_DATA;
    params->err_mode = UCP_ERR_HANDLING_MODE_PEER;
    params->err_handler.cb = on_error;
    params->user_data = ep;
    error = create_in_ucx(ep, params);
    if (error) {
        rill_rdma_unwatch(rdma, &ep->watcher); /* its error handler may have been called */
        ep->state = RILL_RDMA_EP_CLOSED;
        ep->error = error; /* for those who use the endpoint of a connection that is made anew */
        return error;
    }
    ep->is_open = true;
    rdma->endpoints++;
    rill_list_append(bucket(rdma, ep->ucp), &ep->all);
    rill_rdma_shortage_note_young(ep);
    return 0;
}

int rill_rdma_ep_begin_at_worker(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                                 const void *address)
{
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS,
        .address = address,
    };

    return rill_rdma_ep_create(ep, rdma, &params);
}

int rill_rdma_ep_begin_at(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                          const struct rill_address *address)
{
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_FLAGS | UCP_EP_PARAM_FIELD_SOCK_ADDR,
        .flags = UCP_EP_PARAMS_FLAGS_CLIENT_SERVER | UCP_EP_PARAMS_FLAGS_SEND_CLIENT_ID,
        .sockaddr = {.addr = &address->any, .addrlen = address->size},
    };

    return rill_rdma_ep_create(ep, rdma, &params);
}

int rill_rdma_ep_open(struct rill_rdma_ep *ep, struct rill_rdma *rdma, const void *address)
{
    return rdma->has_bare_endpoints ? rill_rdma_ep_begin_at_worker(ep, rdma, address) : -EOPNOTSUPP;
}

int rill_rdma_ep_connect(struct rill_rdma_ep *ep, struct rill_rdma *rdma,
                         const struct rill_address *address)
{
    return rdma->has_bare_endpoints ? rill_rdma_ep_begin_at(ep, rdma, address) : -EOPNOTSUPP;
}

/* ---- flushing ---- */

/* A flush cannot be withdrawn: where UCX cancels it, the other side has closed, and the end of the
 * endpoint is reported only then. */
static void on_ep_flushed(void *request, ucs_status_t status, void *op_)
{
    struct rill_rdma_op *op = op_;

    if (status == UCS_ERR_CANCELED && !op->ep->error)
        status = UCS_ERR_CONNECTION_RESET;
    rill_rdma_op_sent(request, status, op);
}

static ucs_status_ptr_t post_ep_flush(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    param.cb.send = on_ep_flushed;
    return op->rdma->ucx->ep_flush_nbx(op->ep->ucp, &param);
}

struct rill_future *rill_rdma_ep_flush(struct rill_rdma_ep *ep, struct rill_rdma_op *op)
{
    static const struct rill_rdma_verb verb = {
        {"flush an endpoint", NULL, 0}, post_ep_flush, false};

    op->size = 0;
    return rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
}
