/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_message.c - a message of the simulated UCX, tagged or active, on its way into a buffer.
 */
#include "tests/rdma/sim_ucx_parts.h"

#include <string.h>

int64_t sim_ucx_lateness(void)
{
    return sim_ucx_chance(sim_ucx.options.late_per_mille)
               ? sim_ucx_some(sim_ucx.options.late_max_ns)
               : 0;
}

/* ---- buffers ---- */

/* Keeps the parts, which have to live as long as the buffer. */
void sim_ucx_set_parts(struct sim_ucx_request *request, const void *buffer, size_t count)
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

void sim_ucx_gather(const struct sim_ucx_request *request, char *bytes)
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

/* ---- sending ---- */

/* What can be over at once is, or later, or never when nobody reads at the other side. */
ucs_status_ptr_t sim_ucx_end_of_sending(struct sim_ucx_request *request)
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

/* ---- a message meets its receive ---- */

bool sim_ucx_is_gone(const struct sim_ucx_ep *from)
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

void sim_ucx_tell_sender(struct sim_ucx_message *message, ucs_status_t status)
{
    struct sim_ucx_ep *from = message->from;

    if (sim_ucx_is_gone(from))
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

    if (sim_ucx_is_gone(message->from) || message->from->is_closed || message->send->is_completed ||
        message->send->is_ending) {
        if (!sim_ucx_chance(sim_ucx.options.mute_per_mille))
            sim_ucx_complete(event->request, UCS_ERR_CONNECTION_RESET, &none);
        return;
    }
    message->bytes = sim_ucx_allocate(message->size);
    sim_ucx_gather(message->send, message->bytes);
    if (sim_ucx.arrived && !message->is_active)
        sim_ucx.arrived(message->bytes, message->size);
    sim_ucx_tell_sender(message, UCS_OK);
    finish_receive(event->request, message);
}

/* What was posted before its message came may hear of that later. */
void sim_ucx_match(struct sim_ucx_worker *worker, struct sim_ucx_request *receive,
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
        sim_ucx_tell_sender(message, UCS_OK);
    if (late_ns > 0) {
        event.happen = receive_happens;
        sim_ucx_push(worker, late_ns, event);
    } else {
        finish_receive(receive, message);
    }
}
