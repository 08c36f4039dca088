/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_active_message.c - active messages of the simulated UCX, and their handlers. */
#include "tests/rdma/sim_ucx_parts.h"

#include "rdma/active_message.h"

#include <stdlib.h>
#include <string.h>

/* Whether the receiver keeps data, which is the message itself where they are to be fetched. */
static bool is_kept(const struct sim_ucx_worker *worker, struct sim_ucx_message *message,
                    void *data, uint64_t attr)
{
    const ucp_am_handler_param_t *handler = &worker->handlers[message->id];
    ucp_am_recv_param_t param = {.recv_attr = attr};
    struct sim_ucx_ep *peer = message->from->peer;

    if ((message->flags & UCP_AM_SEND_FLAG_REPLY) && peer) {
        param.recv_attr |= UCP_AM_RECV_ATTR_FIELD_REPLY_EP;
        param.reply_ep = (ucp_ep_h)(void *)peer;
    }
    if (handler->cb(handler->arg, message->header, message->header_size, data, message->size,
                    &param) != UCS_INPROGRESS)
        return false;
    expect(attr != 0);
    sim_ucx.am_data++;
    return true;
}

/* ucp_am_rndv_process_rts in ucp_am.c: a sender of what nobody handles is told. What is refused
 * ends well or not, as the version likes. */
static void refuse(struct sim_ucx_message *message)
{
    sim_ucx_tell_sender(message, sim_random(fixture.sim, 2) ? UCS_OK : UCS_ERR_CANCELED);
}

static void arrive_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_worker *worker = event->worker;
    struct sim_ucx_message *message = event->message;
    const ucp_am_handler_param_t *handler = &worker->handlers[message->id];
    bool persists = handler->flags & UCP_AM_FLAG_PERSISTENT_DATA;
    char *data = NULL;

    if (sim_ucx_is_gone(message->from))
        return;
    if (!handler->cb) {
        if (message->is_rendezvous)
            sim_ucx_tell_sender(message, UCS_ERR_INVALID_PARAM);
        return;
    }
    if (message->is_rendezvous) {
        rill_list_append(&worker->announced, &message->link);
        if (!is_kept(worker, message, message, UCP_AM_RECV_ATTR_FLAG_RNDV)) {
            rill_link_remove(&message->link);
            refuse(message);
        }
        return;
    }
    if (message->size > 0) {
        data = calloc(1, message->size); /* not malloc, which the scenarios let fail */
        expect(data != NULL);
        memcpy(data, message->bytes, message->size);
    }
    if (!is_kept(worker, message, data, data && persists ? UCP_AM_RECV_ATTR_FLAG_DATA : 0))
        free(data);
}

/* Takes data that were kept. Returns their message if they are to be fetched, or NULL. */
static struct sim_ucx_message *take_announced(struct sim_ucx_worker *worker, const void *data)
{
    sim_ucx.am_data--;
    for (struct rill_link *link = worker->announced.next; link != &worker->announced;
         link = link->next) {
        struct sim_ucx_message *message = rill_container_of(link, struct sim_ucx_message, link);

        if (message == data) {
            rill_link_remove(link);
            return message;
        }
    }
    return NULL;
}

static void am_data_release(ucp_worker_h handle, void *data)
{
    struct sim_ucx_message *message = take_announced(sim_ucx_worker_of(handle), data);

    if (message)
        refuse(message);
    else
        free(data);
}

static ucs_status_ptr_t am_recv_data_nbx(ucp_worker_h handle, void *data, void *buffer,
                                         size_t count, const ucp_request_param_t *param)
{
    struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);
    struct sim_ucx_message *message = take_announced(worker, data);
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_request *request;

    expect(message && count == message->size);
    if (status != UCS_OK) {
        refuse(message);
        return UCS_STATUS_PTR(status);
    }
    request = sim_ucx_request(SIM_UCX_FETCH, worker, NULL, param);
    sim_ucx_set_parts(request, buffer, count);
    sim_ucx_match(worker, request, message, sim_ucx_lateness());
    return request;
}

static ucs_status_t set_am_handler(ucp_worker_h worker, const ucp_am_handler_param_t *param)
{
    bool is_new;
    ucs_status_t status;

    if (param->id == RILL_RDMA_AM_IDS - 1) /* makes room for all numbers */
        return UCS_OK;
    expect(param->id < SIM_UCX_AM_IDS);
    is_new =
        !sim_ucx_worker_of(worker)->handlers[param->id].cb; /* what is replaced costs no memory */
    status = is_new ? sim_ucx_fault() : UCS_OK;
    if (status == UCS_OK)
        sim_ucx_worker_of(worker)->handlers[param->id] = *param;
    return status;
}

static bool is_announced(size_t size, uint32_t flags)
{
    if (flags & (UCP_AM_SEND_FLAG_EAGER | UCP_AM_SEND_FLAG_RNDV))
        return flags & UCP_AM_SEND_FLAG_RNDV;
    return size >= SIM_UCX_EAGER_SIZE;
}

static ucs_status_ptr_t am_send_nbx(ucp_ep_h handle, unsigned id, const void *header,
                                    size_t header_size, const void *buffer, size_t count,
                                    const ucp_request_param_t *param)
{
    struct sim_ucx_ep *ep = sim_ucx_ep_of(handle);
    ucs_status_t status = ep->failure != UCS_OK ? ep->failure : sim_ucx_fault();
    struct sim_ucx_message *message;
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    expect(header_size <= sizeof message->header);
    request = sim_ucx_request(SIM_UCX_SEND, ep->worker, ep, param);
    sim_ucx_set_parts(request, buffer, count);
    message = sim_ucx_allocate(sizeof *message);
    message->from = ep;
    message->is_active = true;
    message->id = id;
    message->flags = param->flags;
    message->size = count;
    message->is_rendezvous = is_announced(count, param->flags);
    if (message->is_rendezvous) {
        message->send = request;
    } else {
        message->bytes = sim_ucx_allocate(count);
        sim_ucx_gather(request, message->bytes);
    }
    message->header_size = header_size;
    memcpy(message->header, header, header_size);
    sim_ucx_transmit(ep, true,
                     (struct sim_ucx_event){.happen = arrive_happens, .message = message});
    return message->send ? request : sim_ucx_end_of_sending(request);
}

void sim_ucx_active_message_table(struct rill_ucx *table)
{
    table->worker_set_am_recv_handler = set_am_handler;
    table->am_send_nbx = am_send_nbx;
    table->am_recv_data_nbx = am_recv_data_nbx;
    table->am_data_release = am_data_release;
}
