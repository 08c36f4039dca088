/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx_parts.h"

#include "rdma/active_message.h"

#include <stdlib.h>
#include <string.h>

static struct fake_message *message_of(void *data)
{
    return (struct fake_message *)data - 1;
}

void fake_message_end(struct fake_message *message, ucs_status_t status)
{
    if (message->sender)
        fake_complete(message->sender, status, 0);
    message->next->prev = message->prev;
    message->prev->next = message->next;
    free(message);
}

void fake_bring(unsigned id, const void *header, size_t header_size, const void *data, size_t size,
                int ep, bool is_long, struct fake_request *sender)
{
    struct fake_message *message = calloc(1, sizeof *message + size);

    expect(message && header_size <= sizeof message->header && id < FAKE_IDS_MAX);
    message->next = &fake_state.messages;
    message->prev = fake_state.messages.prev;
    message->prev->next = message->next->prev = message;
    message->data = (char *)(message + 1);
    message->id = id;
    message->ep = ep;
    message->is_long = is_long || sender;
    message->header_size = header_size;
    message->size = size;
    message->sender = sender;
    memcpy(message->header, header, header_size);
    if (size > 0)
        memcpy(message->data, data, size);
    fake_push((struct fake_event){.kind = FAKE_MESSAGE, .message = message});
}

/* UCX calls nobody for a number without an inbox. */
void fake_message_arrive(struct fake_message *message)
{
    const ucp_am_recv_param_t param = {
        .recv_attr = (message->ep >= 0 ? UCP_AM_RECV_ATTR_FIELD_REPLY_EP : 0) |
                     (message->is_long ? UCP_AM_RECV_ATTR_FLAG_RNDV : 0) |
                     (message->size > 0 && !message->is_long ? UCP_AM_RECV_ATTR_FLAG_DATA : 0),
        .reply_ep = message->ep < 0 ? NULL : (ucp_ep_h)(void *)&fake_state.eps[message->ep],
    };
    ucs_status_t status = UCS_OK;

    if (fake_state.inboxes[message->id].call)
        status = fake_state.inboxes[message->id].call(fake_state.inboxes[message->id].inbox,
                                                      message->header, message->header_size,
                                                      message->data, message->size, &param);
    if (status == UCS_INPROGRESS) {
        expect(message->is_long || message->size > 0);
        fake.am_data++;
    } else {
        fake_message_end(message, UCS_OK);
    }
}

static ucs_status_t worker_set_am_recv_handler(ucp_worker_h w, const ucp_am_handler_param_t *param)
{
    (void)w;
    if (param->id == RILL_RDMA_AM_IDS - 1) /* makes room for all numbers */
        return UCS_OK;
    expect(param->id < FAKE_IDS_MAX);
    if (fake_call("worker_set_am_recv_handler") != UCS_OK)
        return fake.status;
    fake_state.inboxes[param->id].call = param->cb;
    fake_state.inboxes[param->id].inbox = param->arg;
    return UCS_OK;
}

static ucs_status_ptr_t am_send_nbx(ucp_ep_h ep, unsigned id, const void *header,
                                    size_t header_size, const void *buffer, size_t count,
                                    const ucp_request_param_t *param)
{
    enum fake_mode mode = fake.mode;

    if (mode == FAKE_SOON)
        fake.mode = FAKE_LATER;

    ucs_status_ptr_t request = fake_post("am_send_nbx", ep, false, buffer, count, param);
    const struct fake_am am = {
        .id = id,
        .header = header,
        .header_size = header_size,
        .data = buffer,
        .size = count,
        .flags = param->op_attr_mask & UCP_OP_ATTR_FIELD_FLAGS ? param->flags : 0,
        .request = UCS_PTR_IS_PTR(request) ? request : NULL,
    };

    fake.mode = mode;
    if (!(fake.on_am && !UCS_PTR_IS_ERR(request) && fake.on_am(&am)) && am.request &&
        mode == FAKE_SOON)
        fake_complete(am.request, UCS_OK, count);
    return request;
}

static ucs_status_ptr_t am_recv_data_nbx(ucp_worker_h w, void *data, void *buffer, size_t count,
                                         const ucp_request_param_t *param)
{
    struct fake_message *message = message_of(data);
    enum fake_mode mode = fake.mode;
    ucs_status_ptr_t request;

    (void)w;
    expect(message->is_long && count == message->size);
    if (fake.mode == FAKE_AT_ONCE) /* it has its callback within the call, as a receive */
        fake.mode = FAKE_LATER;
    request = fake_post("am_recv_data_nbx", NULL, false, buffer, count, param);
    fake.mode = mode;
    if (UCS_PTR_IS_PTR(request)) {
        ((struct fake_request *)request)->is_fetch = true;
        memcpy(buffer, message->data, count);
    }
    fake.am_data--;
    fake_message_end(message, UCS_PTR_IS_ERR(request) ? fake.status : UCS_OK);
    if (fake.mode == FAKE_AT_ONCE && UCS_PTR_IS_PTR(request))
        fake_answer(request, UCS_OK, count);
    return request;
}

static void am_data_release(ucp_worker_h w, void *data)
{
    struct fake_message *message = message_of(data);

    (void)w;
    fake.am_data--;
    fake_message_end(message, message->is_long ? UCS_ERR_CANCELED : UCS_OK);
}

/* None is tagged but those that the fake's receives are given. */
static ucp_tag_message_h tag_probe_nb(ucp_worker_h w, ucp_tag_t tag, ucp_tag_t mask, int remove,
                                      ucp_tag_recv_info_t *info)
{
    (void)w;
    (void)tag;
    (void)mask;
    (void)remove;
    (void)info;
    return NULL;
}

void fake_message_table(struct rill_ucx *table)
{
    table->worker_set_am_recv_handler = worker_set_am_recv_handler;
    table->am_send_nbx = am_send_nbx;
    table->am_recv_data_nbx = am_recv_data_nbx;
    table->am_data_release = am_data_release;
    table->tag_probe_nb = tag_probe_nb;
}
