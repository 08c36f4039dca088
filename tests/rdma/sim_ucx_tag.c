/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_tag.c - tagged messages of the simulated UCX, and their matching. */
#include "tests/rdma/sim_ucx_parts.h"

/* A message that is there, and whole, is received within the call that posts the receive
 * (ucp_tag_recv_common in tag_recv.c), on which rill relies once the endpoint is gone. */
static void match_unexpected(struct sim_ucx_worker *worker, struct sim_ucx_request *receive,
                             struct sim_ucx_message *message)
{
    sim_ucx_match(worker, receive, message, message->is_rendezvous ? sim_ucx_lateness() : 0);
}

static bool fits(ucp_tag_t tag, ucp_tag_t mask, const struct sim_ucx_message *message)
{
    return ((tag ^ message->tag) & mask) == 0;
}

static void arrive_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_worker *worker = event->worker;
    struct sim_ucx_message *message = event->message;

    if (sim_ucx_is_gone(message->from))
        return;
    if (!message->is_rendezvous && sim_ucx.arrived)
        sim_ucx.arrived(message->bytes, message->size);
    for (struct rill_link *link = worker->posted.next; link != &worker->posted; link = link->next) {
        struct sim_ucx_request *receive = rill_container_of(link, struct sim_ucx_request, link);

        if (fits(receive->tag, receive->mask, message)) {
            rill_link_remove(link);
            sim_ucx_match(worker, receive, message, sim_ucx_lateness());
            return;
        }
    }
    rill_list_append(&worker->unexpected, &message->link);
}

static ucs_status_ptr_t send_tagged(ucp_ep_h handle, const void *buffer, size_t count,
                                    ucp_tag_t tag, const ucp_request_param_t *param, bool is_sync)
{
    struct sim_ucx_ep *ep = sim_ucx_ep_of(handle);
    ucs_status_t status = ep->failure != UCS_OK ? ep->failure : sim_ucx_fault();
    struct sim_ucx_message *message;
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    request = sim_ucx_request(is_sync ? SIM_UCX_SYNC : SIM_UCX_SEND, ep->worker, ep, param);
    sim_ucx_set_parts(request, buffer, count);
    message = sim_ucx_allocate(sizeof *message);
    message->from = ep;
    message->tag = tag;
    message->size = request->size;
    message->is_rendezvous = request->size >= SIM_UCX_EAGER_SIZE;
    if (message->is_rendezvous || is_sync)
        message->send = request;
    if (!message->is_rendezvous) {
        message->bytes = sim_ucx_allocate(message->size);
        sim_ucx_gather(request, message->bytes);
    }
    sim_ucx_transmit(ep, false,
                     (struct sim_ucx_event){.happen = arrive_happens, .message = message});
    return message->send ? request : sim_ucx_end_of_sending(request);
}

static ucs_status_ptr_t tag_send_nbx(ucp_ep_h ep, const void *buffer, size_t count, ucp_tag_t tag,
                                     const ucp_request_param_t *param)
{
    return send_tagged(ep, buffer, count, tag, param, false);
}

static ucs_status_ptr_t tag_send_sync_nbx(ucp_ep_h ep, const void *buffer, size_t count,
                                          ucp_tag_t tag, const ucp_request_param_t *param)
{
    return send_tagged(ep, buffer, count, tag, param, true);
}

static ucs_status_ptr_t tag_recv_nbx(ucp_worker_h handle, void *buffer, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param)
{
    struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    expect(param->op_attr_mask & UCP_OP_ATTR_FLAG_NO_IMM_CMPL);
    request = sim_ucx_request(SIM_UCX_RECV, worker, NULL, param);
    sim_ucx_set_parts(request, buffer, count);
    request->tag = tag;
    request->mask = mask;
    for (struct rill_link *link = worker->unexpected.next; link != &worker->unexpected;
         link = link->next) {
        struct sim_ucx_message *message = rill_container_of(link, struct sim_ucx_message, link);

        if (fits(tag, mask, message)) {
            rill_link_remove(link);
            match_unexpected(worker, request, message);
            return request;
        }
    }
    rill_list_append(&worker->posted, &request->link);
    return request;
}

static ucp_tag_message_h tag_probe_nb(ucp_worker_h handle, ucp_tag_t tag, ucp_tag_t mask,
                                      int remove, ucp_tag_recv_info_t *info)
{
    const struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);

    for (struct rill_link *link = worker->unexpected.next; link != &worker->unexpected;
         link = link->next) {
        struct sim_ucx_message *message = rill_container_of(link, struct sim_ucx_message, link);

        if (!fits(tag, mask, message))
            continue;
        if (remove)
            rill_link_remove(link);
        info->sender_tag = message->tag;
        info->length = message->size;
        return (ucp_tag_message_h)(void *)message;
    }
    return NULL;
}

static ucs_status_ptr_t tag_msg_recv_nbx(ucp_worker_h handle, void *buffer, size_t count,
                                         ucp_tag_message_h message,
                                         const ucp_request_param_t *param)
{
    struct sim_ucx_request *request =
        sim_ucx_request(SIM_UCX_RECV, sim_ucx_worker_of(handle), NULL, param);

    sim_ucx_set_parts(request, buffer, count);
    match_unexpected(request->worker, request, (struct sim_ucx_message *)(void *)message);
    return request;
}

unsigned sim_ucx_unreceived(ucp_worker_h handle, uint32_t id, uint64_t *bytes)
{
    const struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);
    unsigned count = 0;

    *bytes = 0;
    for (struct rill_link *link = worker->unexpected.next; link != &worker->unexpected;
         link = link->next) {
        const struct sim_ucx_message *message =
            rill_container_of(link, struct sim_ucx_message, link);

        if (message->tag >> 32 != id)
            continue;
        count++;
        *bytes += message->size < SIM_UCX_EAGER_SIZE ? message->size : SIM_UCX_EAGER_SIZE;
    }
    return count;
}

void sim_ucx_tag_table(struct rill_ucx *table)
{
    table->tag_send_nbx = tag_send_nbx;
    table->tag_send_sync_nbx = tag_send_sync_nbx;
    table->tag_recv_nbx = tag_recv_nbx;
    table->tag_probe_nb = tag_probe_nb;
    table->tag_msg_recv_nbx = tag_msg_recv_nbx;
}
