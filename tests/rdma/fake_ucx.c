/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx.h"

#include "rdma/active_message.h"

#include "tests/fixture.h"

#include <stdlib.h>
#include <string.h>

struct fake fake;

enum { EVENTS_MAX = 4096, EPS_MAX = 64, IDS_MAX = 16 };

struct fake_ep {
    ucp_err_handler_cb_t on_error;
    void *user_data;
    bool is_closed;
};

/* An active message on its way; its data are the memory that is lent to the receiver. */
struct message {
    struct message *next, *prev; /* the ring of those that are not over */
    unsigned id;
    int ep; /* -1: it does not tell */
    bool is_long;
    unsigned char header[256];
    size_t header_size, size;
    struct fake_request *sender; /* whose data they are, or NULL */
    char *data;                  /* behind it */
};

/* What the next progress does. */
struct fake_event {
    enum { NOTHING, COMPLETION, FAILURE, CONNECTION, MESSAGE } kind;
    struct fake_request *request;
    struct message *message;
    struct fake_ep *ep;
    ucs_status_t status;
    size_t size;
    unsigned delay;
};

static struct {
    struct message messages;
    struct fake_request requests; /* the ring of those that were not given back */
    struct fake_event events[EVENTS_MAX], batch[EVENTS_MAX];
    unsigned event_count, batch_count, eps_made;
    struct fake_ep eps[EPS_MAX];
    ucp_listener_conn_handler_t on_request;
    struct {
        ucp_am_recv_callback_t call;
        void *inbox;
    } inboxes[IDS_MAX];
    bool is_armed, is_signalled, is_progressing;
    int fd;
} state;

static char context, worker, listener, config, address;

void fake_reset(void)
{
    memset(&fake, 0, sizeof fake);
    memset(&state, 0, sizeof state);
    state.requests.next = state.requests.prev = &state.requests;
    state.messages.next = state.messages.prev = &state.messages;
    state.fd = -1;
}

static ucs_status_t call(const char *name)
{
    return fake.failing && strcmp(fake.failing, name) == 0 ? fake.status : UCS_OK;
}

/* ---- requests ---- */

unsigned fake_in_flight(void)
{
    unsigned count = 0;

    for (struct fake_request *r = state.requests.next; r != &state.requests; r = r->next)
        count += !r->is_completed;
    return count;
}

struct fake_request *fake_request(unsigned number)
{
    for (struct fake_request *r = state.requests.next; r != &state.requests; r = r->next)
        if (r->number == number)
            return r;
    fixture_fail(__FILE__, __LINE__, "request %u is not there", number);
}

static void forget(struct fake_event *events, unsigned count, const struct fake_request *request)
{
    for (unsigned i = 0; i < count; i++)
        if (events[i].request == request)
            events[i].kind = NOTHING;
}

static void release(struct fake_request *request)
{
    forget(state.events, state.event_count, request);
    forget(state.batch, state.batch_count, request);
    for (struct message *m = state.messages.next; m != &state.messages; m = m->next)
        if (m->sender == request)
            m->sender = NULL;
    request->next->prev = request->prev;
    request->prev->next = request->next;
    fake.requests--;
    free(request);
}

static void signal_event(void)
{
    if (!state.is_armed)
        return;
    sim_counter_add(fixture.sim, state.fd, 1);
    state.is_signalled = true;
    state.is_armed = false;
}

static void push(struct fake_event event)
{
    expect(state.event_count < EVENTS_MAX);
    event.delay += fake.delay;
    state.events[state.event_count++] = event;
    signal_event();
}

void fake_complete(struct fake_request *request, ucs_status_t status, size_t size)
{
    push((struct fake_event){
        .kind = COMPLETION, .request = request, .status = status, .size = size});
}

void fake_fail_endpoint(unsigned number, ucs_status_t status)
{
    expect(number < state.eps_made);
    push((struct fake_event){.kind = FAILURE, .ep = &state.eps[number], .status = status});
}

void fake_connect(void)
{
    push((struct fake_event){.kind = CONNECTION});
}

void fake_bring(unsigned id, const void *header, size_t header_size, const void *data, size_t size,
                int ep, bool is_long, struct fake_request *sender)
{
    struct message *message = calloc(1, sizeof *message + size);

    expect(message && header_size <= sizeof message->header && id < IDS_MAX);
    message->next = &state.messages;
    message->prev = state.messages.prev;
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
    push((struct fake_event){.kind = MESSAGE, .message = message});
}

/* Runs the callback, unless UCX was told that nobody is interested. */
static void answer(struct fake_request *request, ucs_status_t status, size_t size)
{
    if (request->is_completed)
        return;
    request->is_completed = true;
    if (request->is_freed) {
        release(request);
        return;
    }
    if (request->is_fetch) {
        request->param.cb.recv_am(request, status, size, request->param.user_data);
    } else if (request->is_receive) {
        const ucp_tag_recv_info_t info = {.sender_tag = 7, .length = size};

        if (status == UCS_OK)
            pattern_fill(request->buffer, 0, size < request->size ? size : request->size);
        request->param.cb.recv(request, status, &info, request->param.user_data);
    } else if (request->param.op_attr_mask & UCP_OP_ATTR_FIELD_CALLBACK) {
        request->param.cb.send(request, status, request->param.user_data);
    }
}

static ucs_status_ptr_t post(const char *name, ucp_ep_h ep, bool is_receive, const void *buffer,
                             size_t size, const ucp_request_param_t *param)
{
    struct fake_request *request;

    if (ep)
        expect(!((struct fake_ep *)(void *)ep)->is_closed);
    if (call(name) != UCS_OK)
        return UCS_STATUS_PTR(fake.status);
    if (fake.mode == FAKE_FAILS)
        return UCS_STATUS_PTR(fake.status);
    if (fake.mode == FAKE_AT_ONCE && !is_receive)
        return NULL;
    if (is_receive)
        expect(param->op_attr_mask & UCP_OP_ATTR_FLAG_NO_IMM_CMPL);
    request = calloc(1, sizeof *request);
    expect(request != NULL);
    request->number = fake.posted++;
    request->is_receive = is_receive;
    request->buffer = (void *)(uintptr_t)buffer;
    request->size = size;
    request->ep = ep;
    request->param = *param;
    request->next = &state.requests;
    request->prev = state.requests.prev;
    request->prev->next = request->next->prev = request;
    fake.requests++;
    if (fake.mode == FAKE_AT_ONCE)
        answer(request, UCS_OK, size);
    else if (fake.mode == FAKE_SOON)
        fake_complete(request, UCS_OK, size);
    return request; /* dangling by now if it was answered: as UCX's own */
}

static void request_cancel(ucp_worker_h w, void *request_)
{
    struct fake_request *request = request_;

    (void)w;
    expect(!request->is_completed && request->is_receive && !request->was_cancelled);
    request->was_cancelled = true;
    fake.cancelled++;
    if (!fake.cancel_is_late)
        answer(request, UCS_ERR_CANCELED, 0);
}

static void request_free(void *request_)
{
    struct fake_request *request = request_;

    expect(!request->is_freed);
    request->is_freed = true;
    if (request->is_completed)
        release(request);
}

/* ---- active messages ---- */

static struct message *message_of(void *data)
{
    return (struct message *)data - 1;
}

static void end_message(struct message *message, ucs_status_t status)
{
    if (message->sender)
        fake_complete(message->sender, status, 0);
    message->next->prev = message->prev;
    message->prev->next = message->next;
    free(message);
}

/* UCX calls nobody for a number without an inbox. */
static void arrive(struct message *message)
{
    const ucp_am_recv_param_t param = {
        .recv_attr = (message->ep >= 0 ? UCP_AM_RECV_ATTR_FIELD_REPLY_EP : 0) |
                     (message->is_long ? UCP_AM_RECV_ATTR_FLAG_RNDV : 0) |
                     (message->size > 0 && !message->is_long ? UCP_AM_RECV_ATTR_FLAG_DATA : 0),
        .reply_ep = message->ep < 0 ? NULL : (ucp_ep_h)(void *)&state.eps[message->ep],
    };
    ucs_status_t status = UCS_OK;

    if (state.inboxes[message->id].call)
        status = state.inboxes[message->id].call(state.inboxes[message->id].inbox, message->header,
                                                 message->header_size, message->data, message->size,
                                                 &param);
    if (status == UCS_INPROGRESS) {
        expect(message->is_long || message->size > 0);
        fake.am_data++;
    } else {
        end_message(message, UCS_OK);
    }
}

static ucs_status_t worker_set_am_recv_handler(ucp_worker_h w, const ucp_am_handler_param_t *param)
{
    (void)w;
    if (param->id == RILL_RDMA_AM_IDS - 1) /* makes room for all numbers */
        return UCS_OK;
    expect(param->id < IDS_MAX);
    if (call("worker_set_am_recv_handler") != UCS_OK)
        return fake.status;
    state.inboxes[param->id].call = param->cb;
    state.inboxes[param->id].inbox = param->arg;
    return UCS_OK;
}

static ucs_status_ptr_t am_send_nbx(ucp_ep_h ep, unsigned id, const void *header,
                                    size_t header_size, const void *buffer, size_t count,
                                    const ucp_request_param_t *param)
{
    enum fake_mode mode = fake.mode;

    if (mode == FAKE_SOON)
        fake.mode = FAKE_LATER;

    ucs_status_ptr_t request = post("am_send_nbx", ep, false, buffer, count, param);
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
    struct message *message = message_of(data);
    enum fake_mode mode = fake.mode;
    ucs_status_ptr_t request;

    (void)w;
    expect(message->is_long && count == message->size);
    if (fake.mode == FAKE_AT_ONCE) /* it has its callback within the call, as a receive */
        fake.mode = FAKE_LATER;
    request = post("am_recv_data_nbx", NULL, false, buffer, count, param);
    fake.mode = mode;
    if (UCS_PTR_IS_PTR(request)) {
        ((struct fake_request *)request)->is_fetch = true;
        memcpy(buffer, message->data, count);
    }
    fake.am_data--;
    end_message(message, UCS_PTR_IS_ERR(request) ? fake.status : UCS_OK);
    if (fake.mode == FAKE_AT_ONCE && UCS_PTR_IS_PTR(request))
        answer(request, UCS_OK, count);
    return request;
}

static void am_data_release(ucp_worker_h w, void *data)
{
    struct message *message = message_of(data);

    (void)w;
    fake.am_data--;
    end_message(message, message->is_long ? UCS_ERR_CANCELED : UCS_OK);
}

/* ---- a worker ---- */

static void happen(const struct fake_event *event)
{
    switch (event->kind) {
    case NOTHING:
        break;
    case COMPLETION:
        answer(event->request, event->status, event->size);
        break;
    case FAILURE:
        if (!event->ep->is_closed)
            event->ep->on_error(event->ep->user_data, (ucp_ep_h)(void *)event->ep, event->status);
        break;
    case CONNECTION:
        state.on_request.cb((ucp_conn_request_h)(void *)&address, state.on_request.arg);
        break;
    case MESSAGE:
        arrive(event->message);
        break;
    }
}

static unsigned worker_progress(ucp_worker_h w)
{
    unsigned count = 0;

    (void)w;
    expect(!state.is_progressing);
    state.is_progressing = true;
    fake.progressed++;
    memcpy(state.batch, state.events, state.event_count * sizeof *state.events);
    state.batch_count = state.event_count;
    state.event_count = 0;
    for (unsigned i = 0; i < state.batch_count; i++) {
        if (state.batch[i].delay == 0) {
            happen(&state.batch[i]);
            count++;
        } else if (state.batch[i].kind != NOTHING) {
            state.batch[i].delay--;
            state.events[state.event_count++] = state.batch[i];
        }
    }
    state.is_progressing = false;
    return fake.progress_counts_nothing ? 0 : count;
}

static ucs_status_t worker_arm(ucp_worker_h w)
{
    (void)w;
    if (fake.arm_is_busy || state.event_count > 0)
        return UCS_ERR_BUSY;
    if (state.is_signalled)
        sim_counter_add(fixture.sim, state.fd, (uint64_t)-1);
    state.is_signalled = false;
    state.is_armed = true;
    return UCS_OK;
}

static ucs_status_t worker_create(ucp_context_h c, const ucp_worker_params_t *params,
                                  ucp_worker_h *out)
{
    (void)c;
    (void)params;
    if (call("worker_create") != UCS_OK)
        return fake.status;
    if (fake.on_worker)
        fake.on_worker();
    fake.workers++;
    *out = (ucp_worker_h)(void *)&worker;
    return UCS_OK;
}

static void worker_destroy(ucp_worker_h w)
{
    (void)w;
    fake.workers--;
    if (state.fd >= 0)
        sim_kernel(fixture.sim)->ops->close(sim_kernel(fixture.sim), state.fd);
    state.fd = -1;
    while (state.messages.next != &state.messages) { /* what nobody took */
        state.messages.next->sender = NULL;
        end_message(state.messages.next, UCS_OK);
    }
    while (state.requests.next != &state.requests) { /* what nobody is interested in */
        expect(state.requests.next->is_freed);
        release(state.requests.next);
    }
}

static ucs_status_t worker_get_efd(ucp_worker_h w, int *fd)
{
    (void)w;
    if (call("worker_get_efd") != UCS_OK)
        return fake.status;
    *fd = state.fd = sim_counter_create(fixture.sim);
    return UCS_OK;
}

static ucs_status_t worker_get_address(ucp_worker_h w, ucp_address_t **out, size_t *size)
{
    (void)w;
    *out = (ucp_address_t *)(void *)&address;
    *size = 1;
    return call("worker_get_address");
}

static void worker_release_address(ucp_worker_h w, ucp_address_t *a)
{
    (void)w;
    (void)a;
}

/* ---- a context ---- */

static ucs_status_t config_read(const char *prefix, const char *name, ucp_config_t **out)
{
    (void)prefix;
    (void)name;
    if (call("config_read") != UCS_OK)
        return fake.status;
    fake.configs++;
    *out = (ucp_config_t *)(void *)&config;
    return UCS_OK;
}

static ucs_status_t config_modify(ucp_config_t *c, const char *name, const char *value)
{
    (void)c;
    (void)name;
    (void)value;
    return call("config_modify");
}

static void config_release(ucp_config_t *c)
{
    (void)c;
    fake.configs--;
}

static void config_print(const ucp_config_t *c, FILE *file, const char *title,
                         ucs_config_print_flags_t flags)
{
    (void)c;
    (void)title;
    (void)flags;
    fputs("UCX_TLS=all\nUCX_RNDV_THRESH=auto\n", file);
}

static void print_keys(FILE *file)
{
    fputs("UCX_TLS=all\nUCX_RNDV_THRESH=auto\n", file);
    for (int i = 0; i < 300; i++) /* about as many as there are */
        fprintf(file, "UCX_SOMETHING_%d=1\n", i);
    if (fake.transport_keys)
        fputs(fake.transport_keys, file);
}

static ucs_status_t set_global(const char *key, const char *value)
{
    (void)key;
    (void)value;
    return UCS_ERR_NO_ELEM;
}

static void get_version(unsigned *major, unsigned *minor, unsigned *release)
{
    *major = 1;
    *minor = fake.minor_version;
    *release = 0;
}

static void disable_signal(int number)
{
    (void)number;
}

static ucs_status_t init(const ucp_params_t *params, const ucp_config_t *c, ucp_context_h *out)
{
    (void)params;
    (void)c;
    if (call("init") != UCS_OK)
        return fake.status;
    fake.contexts++;
    *out = (ucp_context_h)(void *)&context;
    return UCS_OK;
}

static bool has_fds(size_t count)
{
    (void)count;
    return !fake.fds_are_short;
}

static void cleanup(ucp_context_h c)
{
    (void)c;
    fake.contexts--;
}

/* ---- endpoints ---- */

static ucs_status_t ep_create(ucp_worker_h w, const ucp_ep_params_t *params, ucp_ep_h *out)
{
    struct fake_ep *ep = &state.eps[state.eps_made];

    (void)w;
    if (call("ep_create") != UCS_OK)
        return fake.status;
    expect(state.eps_made < EPS_MAX);
    expect_eq(params->err_mode, UCP_ERR_HANDLING_MODE_PEER);
    state.eps_made++;
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
    request = post(name, NULL, false, NULL, 0, param);
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
    for (struct fake_request *r = state.requests.next; r != &state.requests; r = r->next)
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
    return call("ep_query");
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
    return post("tag_send_nbx", ep, false, buffer, count, param);
}

static ucs_status_ptr_t tag_recv_nbx(ucp_worker_h w, void *buffer, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param)
{
    (void)w;
    (void)tag;
    (void)mask;
    return post("tag_recv_nbx", NULL, true, buffer, count, param);
}

/* ---- a listener ---- */

static ucs_status_t listener_create(ucp_worker_h w, const ucp_listener_params_t *params,
                                    ucp_listener_h *out)
{
    (void)w;
    if (call("listener_create") != UCS_OK)
        return fake.status;
    state.on_request = params->conn_handler;
    *out = (ucp_listener_h)(void *)&listener;
    return UCS_OK;
}

static void log_push_handler(ucs_log_func_t handler)
{
    (void)handler;
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
    return call("listener_query");
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

/* ---- memory ---- */

static ucs_status_t mem_map(ucp_context_h c, const ucp_mem_map_params_t *params, ucp_mem_h *out)
{
    (void)c;
    if (call("mem_map") != UCS_OK)
        return fake.status;
    expect(params->flags & UCP_MEM_MAP_ALLOCATE);
    fake.memories++;
    *out = malloc(params->length);
    return UCS_OK;
}

static ucs_status_t mem_query(ucp_mem_h memory, ucp_mem_attr_t *attributes)
{
    attributes->address = memory;
    return call("mem_query");
}

static ucs_status_t mem_unmap(ucp_context_h c, ucp_mem_h memory)
{
    (void)c;
    fake.memories--;
    free(memory);
    return UCS_OK;
}

static ucs_status_t rkey_pack(ucp_context_h c, ucp_mem_h memory, void **out, size_t *size)
{
    (void)c;
    if (call("rkey_pack") != UCS_OK)
        return fake.status;
    fake.keys++;
    *out = memory;
    *size = 1;
    return UCS_OK;
}

static void rkey_buffer_release(void *key)
{
    (void)key;
    fake.keys--;
}

const struct rill_ucx fake_ucx = {
    .config_read = config_read,
    .config_modify = config_modify,
    .config_release = config_release,
    .config_print = config_print,
    .print_keys = print_keys,
    .set_global = set_global,
    .get_version = get_version,
    .disable_signal = disable_signal,
    .log_push_handler = log_push_handler,
    .set_listening = set_listening,
    .has_fds = has_fds,
    .init = init,
    .cleanup = cleanup,
    .worker_create = worker_create,
    .worker_destroy = worker_destroy,
    .worker_get_efd = worker_get_efd,
    .worker_get_address = worker_get_address,
    .worker_release_address = worker_release_address,
    .worker_progress = worker_progress,
    .worker_arm = worker_arm,
    .ep_create = ep_create,
    .ep_close_nbx = ep_close_nbx,
    .ep_flush_nbx = ep_flush_nbx,
    .ep_query = ep_query,
    .ep_print_info = ep_print_info,
    .listener_create = listener_create,
    .listener_destroy = listener_destroy,
    .listener_query = listener_query,
    .listener_reject = listener_reject,
    .conn_request_query = conn_request_query,
    .tag_send_nbx = tag_send_nbx,
    .tag_recv_nbx = tag_recv_nbx,
    .worker_set_am_recv_handler = worker_set_am_recv_handler,
    .am_send_nbx = am_send_nbx,
    .am_recv_data_nbx = am_recv_data_nbx,
    .am_data_release = am_data_release,
    .request_cancel = request_cancel,
    .request_free = request_free,
    .mem_map = mem_map,
    .mem_query = mem_query,
    .mem_unmap = mem_unmap,
    .rkey_pack = rkey_pack,
    .rkey_buffer_release = rkey_buffer_release,
};
