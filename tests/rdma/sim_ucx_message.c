/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_message.c - tagged and active messages of the simulated UCX, and their matching. */
#include "tests/rdma/sim_ucx_parts.h"

#include "rdma/active_message.h"

#include <stdlib.h>
#include <string.h>

static struct sim_ucx_worker *worker_of(ucp_worker_h handle)
{
    return (struct sim_ucx_worker *)(void *)handle;
}

static int64_t lateness(void)
{
    return sim_ucx_chance(sim_ucx.options.late_per_mille)
               ? sim_ucx_some(sim_ucx.options.late_max_ns)
               : 0;
}

/* ---- buffers ---- */

/* Keeps the parts, which have to live as long as the buffer. */
static void set_parts(struct sim_ucx_request *request, const void *buffer, size_t count)
{
    const ucp_request_param_t *param = &request->param;

    if ((param->op_attr_mask & UCP_OP_ATTR_FIELD_DATATYPE) &&
        param->datatype == ucp_dt_make_iov()) {
        request->parts = (struct iovec *)(uintptr_t)buffer;
        request->part_count = count;
    } else {
        request->parts = sim_ucx_allocate(sizeof *request->parts);
        *request->parts = (struct iovec){.iov_base = (void *)(uintptr_t)buffer, .iov_len = count};
        request->part_count = 1;
    }
    for (size_t i = 0; i < request->part_count; i++)
        request->size += request->parts[i].iov_len;
}

static void gather(const struct sim_ucx_request *request, char *bytes)
{
    for (size_t i = 0; i < request->part_count; i++) {
        const struct iovec *part = &request->parts[i];

        if (part->iov_len > 0)
            memcpy(bytes, part->iov_base, part->iov_len);
        bytes += part->iov_len;
    }
}

static void scatter(const struct sim_ucx_request *request, const char *bytes, size_t size)
{
    for (size_t i = 0; i < request->part_count && size > 0; i++) {
        const struct iovec *part = &request->parts[i];
        size_t most = size < part->iov_len ? size : part->iov_len;

        if (most > 0)
            memcpy(part->iov_base, bytes, most);
        bytes += most;
        size -= most;
    }
}

/* ---- a message meets its receive ---- */

static bool is_gone(const struct sim_ucx_ep *from)
{
    return from->is_severed || (from->peer && from->peer->is_closed);
}

static void finish_receive(struct sim_ucx_request *receive, const struct sim_ucx_message *message)
{
    const ucp_tag_recv_info_t info = {.sender_tag = message->tag, .length = message->size};

    if (!receive->is_freed)
        scatter(receive, message->bytes, message->size);
    sim_ucx_complete(receive, message->size > receive->size ? UCS_ERR_MESSAGE_TRUNCATED : UCS_OK,
                     &info);
}

static void receive_happens(struct sim_ucx_event *event)
{
    finish_receive(event->request, event->message);
}

/* To the sender: the message was taken, or refused. */
static void taken_happens(struct sim_ucx_event *event)
{
    if (!event->ep->is_severed && !event->request->is_ending)
        sim_ucx_complete(event->request, event->status, NULL);
}

static void tell_sender(struct sim_ucx_message *message, ucs_status_t status)
{
    struct sim_ucx_ep *from = message->from;

    if (is_gone(from))
        return;
    sim_ucx_push(
        from->worker, sim_ucx_some(sim_ucx.options.latency_max_ns),
        (struct sim_ucx_event){
            .happen = taken_happens, .ep = from, .request = message->send, .status = status});
}

/* The receiver has fetched the bytes, unless the sender is gone: then the receive ends so, or
 * never. */
static void fetch_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_message *message = event->message;
    const ucp_tag_recv_info_t none = {0};

    if (is_gone(message->from) || message->from->is_closed || message->send->is_completed ||
        message->send->is_ending) {
        if (!sim_ucx_chance(sim_ucx.options.mute_per_mille))
            sim_ucx_complete(event->request, UCS_ERR_CONNECTION_RESET, &none);
        return;
    }
    message->bytes = sim_ucx_allocate(message->size);
    gather(message->send, message->bytes);
    if (sim_ucx.arrived && !message->is_active)
        sim_ucx.arrived(message->bytes, message->size);
    tell_sender(message, UCS_OK);
    finish_receive(event->request, message);
}

/* What was posted before its message came may hear of that later. */
static void match(struct sim_ucx_worker *worker, struct sim_ucx_request *receive,
                  struct sim_ucx_message *message, int64_t late_ns)
{
    struct sim_ucx_event event = {.request = receive, .message = message, .ep = message->from};
    struct sim_ucx_ep *from = message->from;

    if (message->is_rendezvous) {
        int64_t now = sim_now(fixture.sim), start = now;

        if (from->worker->stopped_until_ns > start)
            start = from->worker->stopped_until_ns;
        if (worker->stopped_until_ns > start)
            start = worker->stopped_until_ns;
        event.happen = fetch_happens;
        sim_ucx_push(worker,
                     start - now + late_ns + 2 * sim_ucx_some(sim_ucx.options.latency_max_ns),
                     event);
        return;
    }
    if (message->send)
        tell_sender(message, UCS_OK);
    if (late_ns > 0) {
        event.happen = receive_happens;
        sim_ucx_push(worker, late_ns, event);
    } else {
        finish_receive(receive, message);
    }
}

/* A message that is there, and whole, is received within the call that posts the receive
 * (ucp_tag_recv_common in tag_recv.c), on which rill relies once the endpoint is gone. */
static void match_unexpected(struct sim_ucx_worker *worker, struct sim_ucx_request *receive,
                             struct sim_ucx_message *message)
{
    match(worker, receive, message, message->is_rendezvous ? lateness() : 0);
}

static bool fits(ucp_tag_t tag, ucp_tag_t mask, const struct sim_ucx_message *message)
{
    return ((tag ^ message->tag) & mask) == 0;
}

static void arrive(struct sim_ucx_worker *worker, struct sim_ucx_message *message)
{
    if (!message->is_rendezvous && sim_ucx.arrived)
        sim_ucx.arrived(message->bytes, message->size);
    for (struct rill_link *link = worker->posted.next; link != &worker->posted; link = link->next) {
        struct sim_ucx_request *receive = rill_container_of(link, struct sim_ucx_request, link);

        if (fits(receive->tag, receive->mask, message)) {
            rill_link_remove(link);
            match(worker, receive, message, lateness());
            return;
        }
    }
    rill_list_append(&worker->unexpected, &message->link);
}

/* ---- active messages ---- */

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
    tell_sender(message, sim_random(fixture.sim, 2) ? UCS_OK : UCS_ERR_CANCELED);
}

static void deliver(struct sim_ucx_worker *worker, struct sim_ucx_message *message)
{
    const ucp_am_handler_param_t *handler = &worker->handlers[message->id];
    bool persists = handler->flags & UCP_AM_FLAG_PERSISTENT_DATA;
    char *data = NULL;

    if (!handler->cb) {
        if (message->is_rendezvous)
            tell_sender(message, UCS_ERR_INVALID_PARAM);
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
    struct sim_ucx_message *message = take_announced(worker_of(handle), data);

    if (message)
        refuse(message);
    else
        free(data);
}

static ucs_status_ptr_t am_recv_data_nbx(ucp_worker_h handle, void *data, void *buffer,
                                         size_t count, const ucp_request_param_t *param)
{
    struct sim_ucx_worker *worker = worker_of(handle);
    struct sim_ucx_message *message = take_announced(worker, data);
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_request *request;

    expect(message && count == message->size);
    if (status != UCS_OK) {
        refuse(message);
        return UCS_STATUS_PTR(status);
    }
    request = sim_ucx_request(SIM_UCX_FETCH, worker, NULL, param);
    set_parts(request, buffer, count);
    match(worker, request, message, lateness());
    return request;
}

static ucs_status_t set_am_handler(ucp_worker_h worker, const ucp_am_handler_param_t *param)
{
    bool is_new;
    ucs_status_t status;

    if (param->id == RILL_RDMA_AM_IDS - 1) /* makes room for all numbers */
        return UCS_OK;
    expect(param->id < SIM_UCX_AM_IDS);
    is_new = !worker_of(worker)->handlers[param->id].cb; /* what is replaced costs no memory */
    status = is_new ? sim_ucx_fault() : UCS_OK;
    if (status == UCS_OK)
        worker_of(worker)->handlers[param->id] = *param;
    return status;
}

/* ---- sending ---- */

static void arrive_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_message *message = event->message;

    if (is_gone(message->from))
        return;
    if (message->is_active)
        deliver(event->worker, message);
    else
        arrive(event->worker, message);
}

static struct sim_ucx_ep *ep_of(ucp_ep_h handle)
{
    struct sim_ucx_ep *ep = (struct sim_ucx_ep *)(void *)handle;

    expect(!ep->is_closed);
    return ep;
}

/* What can be over at once is, or later, or never when nobody reads at the other side. */
static ucs_status_ptr_t end_of_sending(struct sim_ucx_request *request)
{
    struct sim_ucx_ep *ep = request->ep;
    bool is_blocked = ep->is_severed;

    request->is_held = !ep->is_connected;
    if (request->is_held)
        return request;
    if (!is_blocked && !sim_ucx_chance(sim_ucx.options.late_per_mille)) {
        request->param.op_attr_mask &= ~(uint32_t)UCP_OP_ATTR_FIELD_CALLBACK;
        sim_ucx_complete(request, UCS_OK, NULL);
        request->is_freed = true;
        sim_ucx.requests--;
        return NULL;
    }
    if (!is_blocked || sim_random(fixture.sim, 2))
        sim_ucx_complete_later(request, sim_ucx_some(sim_ucx.options.late_max_ns), UCS_OK);
    return request;
}

static ucs_status_ptr_t send_tagged(ucp_ep_h handle, const void *buffer, size_t count,
                                    ucp_tag_t tag, const ucp_request_param_t *param, bool is_sync)
{
    struct sim_ucx_ep *ep = ep_of(handle);
    ucs_status_t status = ep->failure != UCS_OK ? ep->failure : sim_ucx_fault();
    struct sim_ucx_message *message;
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    request = sim_ucx_request(is_sync ? SIM_UCX_SYNC : SIM_UCX_SEND, ep->worker, ep, param);
    set_parts(request, buffer, count);
    message = sim_ucx_allocate(sizeof *message);
    message->from = ep;
    message->tag = tag;
    message->size = request->size;
    message->is_rendezvous = request->size >= SIM_UCX_EAGER_SIZE;
    if (message->is_rendezvous || is_sync)
        message->send = request;
    if (!message->is_rendezvous) {
        message->bytes = sim_ucx_allocate(message->size);
        gather(request, message->bytes);
    }
    sim_ucx_transmit(ep, false,
                     (struct sim_ucx_event){.happen = arrive_happens, .message = message});
    return message->send ? request : end_of_sending(request);
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
    struct sim_ucx_ep *ep = ep_of(handle);
    ucs_status_t status = ep->failure != UCS_OK ? ep->failure : sim_ucx_fault();
    struct sim_ucx_message *message;
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    expect(header_size <= sizeof message->header);
    request = sim_ucx_request(SIM_UCX_SEND, ep->worker, ep, param);
    set_parts(request, buffer, count);
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
        gather(request, message->bytes);
    }
    message->header_size = header_size;
    memcpy(message->header, header, header_size);
    sim_ucx_transmit(ep, true,
                     (struct sim_ucx_event){.happen = arrive_happens, .message = message});
    return message->send ? request : end_of_sending(request);
}

/* ---- receiving ---- */

static ucs_status_ptr_t tag_recv_nbx(ucp_worker_h handle, void *buffer, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param)
{
    struct sim_ucx_worker *worker = worker_of(handle);
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    expect(param->op_attr_mask & UCP_OP_ATTR_FLAG_NO_IMM_CMPL);
    request = sim_ucx_request(SIM_UCX_RECV, worker, NULL, param);
    set_parts(request, buffer, count);
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
    const struct sim_ucx_worker *worker = worker_of(handle);

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
    struct sim_ucx_request *request = sim_ucx_request(SIM_UCX_RECV, worker_of(handle), NULL, param);

    set_parts(request, buffer, count);
    match_unexpected(request->worker, request, (struct sim_ucx_message *)(void *)message);
    return request;
}

unsigned sim_ucx_unreceived(ucp_worker_h handle, uint32_t id, uint64_t *bytes)
{
    const struct sim_ucx_worker *worker = worker_of(handle);
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

void sim_ucx_message_table(struct rill_ucx *table)
{
    table->tag_send_nbx = tag_send_nbx;
    table->tag_send_sync_nbx = tag_send_sync_nbx;
    table->tag_recv_nbx = tag_recv_nbx;
    table->tag_probe_nb = tag_probe_nb;
    table->tag_msg_recv_nbx = tag_msg_recv_nbx;
    table->worker_set_am_recv_handler = set_am_handler;
    table->am_send_nbx = am_send_nbx;
    table->am_recv_data_nbx = am_recv_data_nbx;
    table->am_data_release = am_data_release;
}
