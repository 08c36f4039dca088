/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx_parts.h"

#include <string.h>

static char listener;

/* ---- endpoints ---- */

static ucs_status_t ep_create(ucp_worker_h w, const ucp_ep_params_t *params, ucp_ep_h *out)
{
    struct fake_ep *ep = &fake_state.eps[fake_state.eps_made];

    (void)w;
    if (fake_call("ep_create") != UCS_OK)
        return fake.status;
    expect(fake_state.eps_made < FAKE_EPS_MAX);
    expect_eq(params->err_mode, UCP_ERR_HANDLING_MODE_PEER);
    fake_state.eps_made++;
    fake.eps++;
    *ep = (struct fake_ep){.on_error = params->err_handler.cb, .user_data = params->user_data};
    *out = (ucp_ep_h)(void *)ep;
    return UCS_OK;
}

static ucs_status_ptr_t later(bool is_mute, ucs_status_t status, const ucp_request_param_t *param,
                              const char *name)
{
    enum fake_mode mode = fake.mode;
    ucs_status_ptr_t request;

    fake.mode = FAKE_LATER;
    request = fake_post(name, NULL, false, NULL, 0, param);
    fake.mode = mode;
    if (!is_mute && UCS_PTR_IS_PTR(request))
        fake_complete(request, status, 0);
    return request;
}

static ucs_status_ptr_t ep_close_nbx(ucp_ep_h ep_, const ucp_request_param_t *param)
{
    struct fake_ep *ep = (struct fake_ep *)(void *)ep_;

    expect(!ep->is_closed);
    ep->is_closed = true;
    fake.eps--;
    if (!(param->flags & UCP_EP_CLOSE_FLAG_FORCE))
        return later(fake.close_is_mute, UCS_OK, param, "ep_close_nbx");
    fake.forced++;
    for (struct fake_request *r = fake_state.requests.next; r != &fake_state.requests; r = r->next)
        if (r->ep == ep_ && !fake.force_is_mute)
            fake_complete(r, UCS_ERR_CANCELED, 0);
    return fake.close_is_mute ? later(true, UCS_OK, param, "ep_close_nbx") : NULL;
}

static ucs_status_ptr_t ep_flush_nbx(ucp_ep_h ep, const ucp_request_param_t *param)
{
    ucs_status_ptr_t request;

    expect(!((struct fake_ep *)(void *)ep)->is_closed);
    request = later(fake.flush_is_mute, fake.flush_status, param, "ep_flush_nbx");
    if (UCS_PTR_IS_PTR(request))
        ((struct fake_request *)request)->ep = ep;
    return request;
}

static ucs_status_t ep_query(ucp_ep_h ep, ucp_ep_attr_t *attr)
{
    expect(!((struct fake_ep *)(void *)ep)->is_closed);
    memset(&attr->local_sockaddr, 0, sizeof attr->local_sockaddr);
    memset(&attr->remote_sockaddr, 0, sizeof attr->remote_sockaddr);
    return fake_call("ep_query");
}

static void ep_print_info(ucp_ep_h ep, FILE *file)
{
    expect(!((struct fake_ep *)(void *)ep)->is_closed);
    fputs(fake.lanes ? fake.lanes : "#  lane[0]:  1:tcp/eth0.0 md[1] -> md[1]\n", file);
}

static ucs_status_ptr_t tag_send_nbx(ucp_ep_h ep, const void *buffer, size_t count, ucp_tag_t tag,
                                     const ucp_request_param_t *param)
{
    (void)tag;
    return fake_post("tag_send_nbx", ep, false, buffer, count, param);
}

static ucs_status_ptr_t tag_recv_nbx(ucp_worker_h w, void *buffer, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param)
{
    (void)w;
    (void)tag;
    (void)mask;
    return fake_post("tag_recv_nbx", NULL, true, buffer, count, param);
}

/* ---- a listener ---- */

static ucs_status_t listener_create(ucp_worker_h w, const ucp_listener_params_t *params,
                                    ucp_listener_h *out)
{
    (void)w;
    if (fake_call("listener_create") != UCS_OK)
        return fake.status;
    fake_state.on_request = params->conn_handler;
    *out = (ucp_listener_h)(void *)&listener;
    return UCS_OK;
}

static ucs_log_func_t log_handler; /* that was pushed, once in the life of a process */

static void log_push_handler(ucs_log_func_t handler)
{
    log_handler = handler;
}

bool fake_log(ucs_log_level_t level, const char *format, ...)
{
    ucs_log_func_rc_t answer;
    va_list arguments;

    if (level > fake.log_level)
        return false;
    va_start(arguments, format);
    answer = log_handler(__FILE__, __LINE__, __func__, level, NULL, format, arguments);
    va_end(arguments);
    return answer == UCS_LOG_FUNC_RC_CONTINUE;
}

static ucs_status_t set_listening(int fd, bool listens)
{
    (void)fd;
    (void)listens;
    return UCS_ERR_NO_ELEM;
}

static void listener_destroy(ucp_listener_h l)
{
    (void)l;
}

/* It has no socket, but maybe an address. */
static ucs_status_t listener_query(ucp_listener_h l, ucp_listener_attr_t *attributes)
{
    (void)l;
    attributes->sockaddr = fake.listening_at;
    return fake_call("listener_query");
}

static ucs_status_t listener_reject(ucp_listener_h l, ucp_conn_request_h request)
{
    (void)l;
    (void)request;
    fake.rejected++;
    return UCS_OK;
}

static ucs_status_t conn_request_query(ucp_conn_request_h request, ucp_conn_request_attr_t *attr)
{
    (void)request;
    if (attr->field_mask & UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ADDR)
        return UCS_ERR_UNSUPPORTED;
    attr->client_id = 42;
    return UCS_OK;
}

void fake_ep_table(struct rill_ucx *table)
{
    table->ep_create = ep_create;
    table->ep_close_nbx = ep_close_nbx;
    table->ep_flush_nbx = ep_flush_nbx;
    table->ep_query = ep_query;
    table->ep_print_info = ep_print_info;
    table->tag_send_nbx = tag_send_nbx;
    table->tag_recv_nbx = tag_recv_nbx;
    table->listener_create = listener_create;
    table->listener_destroy = listener_destroy;
    table->listener_query = listener_query;
    table->listener_reject = listener_reject;
    table->conn_request_query = conn_request_query;
    table->log_level = &fake.log_level;
    table->log_push_handler = log_push_handler;
    table->set_listening = set_listening;
}
