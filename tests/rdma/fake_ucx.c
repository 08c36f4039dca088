/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx_parts.h"

#include <stdlib.h>
#include <string.h>

struct fake fake;
struct fake_state fake_state;
struct rill_ucx fake_ucx;

static char worker, address;

ucs_status_t fake_call(const char *name)
{
    return fake.failing && strcmp(fake.failing, name) == 0 ? fake.status : UCS_OK;
}

/* ---- requests ---- */

unsigned fake_in_flight(void)
{
    unsigned count = 0;

    for (struct fake_request *r = fake_state.requests.next; r != &fake_state.requests; r = r->next)
        count += !r->is_completed;
    return count;
}

struct fake_request *fake_request(unsigned number)
{
    for (struct fake_request *r = fake_state.requests.next; r != &fake_state.requests; r = r->next)
        if (r->number == number)
            return r;
    fixture_fail(__FILE__, __LINE__, "request %u is not there", number);
}

static void forget(struct fake_event *events, unsigned count, const struct fake_request *request)
{
    for (unsigned i = 0; i < count; i++)
        if (events[i].request == request)
            events[i].kind = FAKE_NOTHING;
}

static void release(struct fake_request *request)
{
    forget(fake_state.events, fake_state.event_count, request);
    forget(fake_state.batch, fake_state.batch_count, request);
    for (struct fake_message *m = fake_state.messages.next; m != &fake_state.messages; m = m->next)
        if (m->sender == request)
            m->sender = NULL;
    request->next->prev = request->prev;
    request->prev->next = request->next;
    fake.requests--;
    free(request);
}

static void signal_event(void)
{
    if (!fake_state.is_armed)
        return;
    sim_counter_add(fixture.sim, fake_state.fd, 1);
    fake_state.is_signalled = true;
    fake_state.is_armed = false;
}

void fake_push(struct fake_event event)
{
    expect(fake_state.event_count < FAKE_EVENTS_MAX);
    event.delay += fake.delay;
    fake_state.events[fake_state.event_count++] = event;
    signal_event();
}

void fake_complete(struct fake_request *request, ucs_status_t status, size_t size)
{
    fake_push((struct fake_event){
        .kind = FAKE_COMPLETION, .request = request, .status = status, .size = size});
}

void fake_fail_endpoint(unsigned number, ucs_status_t status)
{
    expect(number < fake_state.eps_made);
    fake_push(
        (struct fake_event){.kind = FAKE_FAILURE, .ep = &fake_state.eps[number], .status = status});
}

void fake_connect(void)
{
    fake_push((struct fake_event){.kind = FAKE_CONNECTION});
}

void fake_answer(struct fake_request *request, ucs_status_t status, size_t size)
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

ucs_status_ptr_t fake_post(const char *name, ucp_ep_h ep, bool is_receive, const void *buffer,
                           size_t size, const ucp_request_param_t *param)
{
    struct fake_request *request;

    if (ep)
        expect(!((struct fake_ep *)(void *)ep)->is_closed);
    if (fake_call(name) != UCS_OK)
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
    request->next = &fake_state.requests;
    request->prev = fake_state.requests.prev;
    request->prev->next = request->next->prev = request;
    fake.requests++;
    if (fake.mode == FAKE_AT_ONCE)
        fake_answer(request, UCS_OK, size);
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
        fake_answer(request, UCS_ERR_CANCELED, 0);
}

static void request_free(void *request_)
{
    struct fake_request *request = request_;

    expect(!request->is_freed);
    request->is_freed = true;
    if (request->is_completed)
        release(request);
}

/* ---- a worker ---- */

static void happen(const struct fake_event *event)
{
    switch (event->kind) {
    case FAKE_NOTHING:
        break;
    case FAKE_COMPLETION:
        fake_answer(event->request, event->status, event->size);
        break;
    case FAKE_FAILURE:
        if (!event->ep->is_closed)
            event->ep->on_error(event->ep->user_data, (ucp_ep_h)(void *)event->ep, event->status);
        break;
    case FAKE_CONNECTION:
        fake_state.on_request.cb((ucp_conn_request_h)(void *)&address, fake_state.on_request.arg);
        break;
    case FAKE_MESSAGE:
        fake_message_arrive(event->message);
        break;
    }
}

static unsigned worker_progress(ucp_worker_h w)
{
    unsigned count = 0;

    (void)w;
    expect(!fake_state.is_progressing);
    fake_state.is_progressing = true;
    fake.progressed++;
    memcpy(fake_state.batch, fake_state.events, fake_state.event_count * sizeof *fake_state.events);
    fake_state.batch_count = fake_state.event_count;
    fake_state.event_count = 0;
    for (unsigned i = 0; i < fake_state.batch_count; i++) {
        if (fake_state.batch[i].delay == 0) {
            happen(&fake_state.batch[i]);
            count++;
        } else if (fake_state.batch[i].kind != FAKE_NOTHING) {
            fake_state.batch[i].delay--;
            fake_state.events[fake_state.event_count++] = fake_state.batch[i];
        }
    }
    fake_state.is_progressing = false;
    return fake.progress_counts_nothing ? 0 : count;
}

static ucs_status_t worker_arm(ucp_worker_h w)
{
    (void)w;
    if (fake.arm_is_busy || fake_state.event_count > 0)
        return UCS_ERR_BUSY;
    if (fake_state.is_signalled)
        sim_counter_add(fixture.sim, fake_state.fd, (uint64_t)-1);
    fake_state.is_signalled = false;
    fake_state.is_armed = true;
    return UCS_OK;
}

static ucs_status_t worker_create(ucp_context_h c, const ucp_worker_params_t *params,
                                  ucp_worker_h *out)
{
    (void)c;
    (void)params;
    if (fake_call("worker_create") != UCS_OK)
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
    if (fake_state.fd >= 0)
        sim_kernel(fixture.sim)->ops->close(sim_kernel(fixture.sim), fake_state.fd);
    fake_state.fd = -1;
    while (fake_state.messages.next != &fake_state.messages) { /* what nobody took */
        fake_state.messages.next->sender = NULL;
        fake_message_end(fake_state.messages.next, UCS_OK);
    }
    while (fake_state.requests.next != &fake_state.requests) { /* what nobody is interested in */
        expect(fake_state.requests.next->is_freed);
        release(fake_state.requests.next);
    }
}

static ucs_status_t worker_get_efd(ucp_worker_h w, int *fd)
{
    (void)w;
    if (fake_call("worker_get_efd") != UCS_OK)
        return fake.status;
    *fd = fake_state.fd = sim_counter_create(fixture.sim);
    return UCS_OK;
}

static ucs_status_t worker_get_address(ucp_worker_h w, ucp_address_t **out, size_t *size)
{
    (void)w;
    *out = (ucp_address_t *)(void *)&address;
    *size = 1;
    return fake_call("worker_get_address");
}

static void worker_release_address(ucp_worker_h w, ucp_address_t *a)
{
    (void)w;
    (void)a;
}

/* ---- the whole ---- */

void fake_reset(void)
{
    fake = (struct fake){.log_level = UCS_LOG_LEVEL_WARN};
    memset(&fake_state, 0, sizeof fake_state);
    fake_state.requests.next = fake_state.requests.prev = &fake_state.requests;
    fake_state.messages.next = fake_state.messages.prev = &fake_state.messages;
    fake_state.fd = -1;
    fake_ucx = (struct rill_ucx){
        .worker_create = worker_create,
        .worker_destroy = worker_destroy,
        .worker_get_efd = worker_get_efd,
        .worker_get_address = worker_get_address,
        .worker_release_address = worker_release_address,
        .worker_progress = worker_progress,
        .worker_arm = worker_arm,
        .request_cancel = request_cancel,
        .request_free = request_free,
    };
    fake_context_table(&fake_ucx);
    fake_ep_table(&fake_ucx);
    fake_message_table(&fake_ucx);
    fake_memory_table(&fake_ucx);
}
