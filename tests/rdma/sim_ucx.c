/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/sim_ucx.h"

#include "tests/rdma/fake_ucx.h"
#include "tests/rdma/sim_ucx_parts.h"

#include <stdlib.h>
#include <string.h>

struct sim_ucx sim_ucx;

/* ---- memory, and luck ---- */

struct piece {
    struct piece *next;
    max_align_t bytes[];
};

static struct piece *pieces;

void *sim_ucx_allocate(size_t size)
{
    struct piece *piece = calloc(1, sizeof *piece + size);

    expect(piece != NULL);
    piece->next = pieces;
    pieces = piece;
    return piece->bytes;
}

bool sim_ucx_chance(unsigned per_mille)
{
    return per_mille > 0 && sim_random(fixture.sim, 1000) < per_mille;
}

int64_t sim_ucx_some(int64_t max_ns)
{
    return (int64_t)sim_random(fixture.sim, (uint64_t)max_ns + 1);
}

ucs_status_t sim_ucx_fault(void)
{
    static const ucs_status_t faults[] = {UCS_ERR_NO_MEMORY, UCS_ERR_NO_RESOURCE, UCS_ERR_IO_ERROR};

    if (!sim_ucx_chance(sim_ucx.options.error_per_mille))
        return UCS_OK;
    sim_trace(fixture.sim, "a call of UCX fails");
    return faults[sim_random(fixture.sim, sizeof faults / sizeof *faults)];
}

struct sim_ucx_options sim_ucx_options_hostile(void)
{
    static const int64_t times[] = {0, 10 * RILL_MICROSECOND, RILL_MILLISECOND,
                                    20 * RILL_MILLISECOND};
    struct sim *sim = fixture.sim;

    return (struct sim_ucx_options){
        .latency_max_ns = times[sim_random(sim, 4)],
        .late_max_ns = times[sim_random(sim, 4)],
        .notice_max_ns = times[sim_random(sim, 4)],
        .deaths_are_silent = sim_random(sim, 3) == 0,
        .pairs = sim_random(sim, 2) == 0,
        .am_overtake = sim_random(sim, 4) == 0,
        .late_per_mille = (unsigned)sim_random(sim, 3) * 400,
        .error_per_mille = sim_random(sim, 4) == 0 ? (unsigned)sim_random(sim, 50) : 0,
        .busy_per_mille = (unsigned)sim_random(sim, 3) * 200,
        .deaf_per_mille = sim_random(sim, 3) == 0 ? 200 : 0,
        .mute_per_mille = sim_random(sim, 3) == 0 ? 300 : 0,
        .loss_per_mille = (unsigned)sim_random(sim, 3) * 500,
    };
}

/* ---- events ---- */

static bool is_due(const struct sim_ucx_worker *worker)
{
    return !rill_list_is_empty(&worker->events) &&
           rill_container_of(worker->events.next, struct sim_ucx_event, link)->due_ns <=
               sim_now(fixture.sim);
}

static void signal_event(struct sim *sim, void *worker_)
{
    struct sim_ucx_worker *worker = worker_;

    if (worker->is_destroyed || !worker->is_armed || !is_due(worker))
        return;
    worker->is_armed = false;
    if (sim_ucx_chance(sim_ucx.options.deaf_per_mille))
        return;
    sim_counter_add(sim, worker->fd, 1);
    worker->is_signalled = true;
}

void sim_ucx_push(struct sim_ucx_worker *worker, int64_t delay_ns, struct sim_ucx_event event)
{
    struct sim_ucx_event *copy = sim_ucx_allocate(sizeof *copy);
    struct rill_link *before = worker->events.prev;

    if (worker->is_destroyed)
        return;
    *copy = event;
    copy->link = (struct rill_link){0};
    copy->worker = worker;
    copy->due_ns = sim_now(fixture.sim) + delay_ns;
    while (before != &worker->events &&
           rill_container_of(before, struct sim_ucx_event, link)->due_ns > copy->due_ns)
        before = before->prev;
    rill_list_prepend(before, &copy->link);
    if (worker->is_armed)
        sim_at(fixture.sim, copy->due_ns, signal_event, worker);
}

/* ---- a worker ---- */

struct sim_ucx_worker *sim_ucx_worker_of(ucp_worker_h handle)
{
    struct sim_ucx_worker *worker = (struct sim_ucx_worker *)(void *)handle;

    expect(!worker->is_destroyed);
    return worker;
}

static unsigned worker_progress(ucp_worker_h handle)
{
    struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);
    unsigned count = 0, most = 1 + (unsigned)sim_random(fixture.sim, 8);

    expect(!worker->is_progressing);
    if (!is_due(worker))
        return 0;
    worker->is_progressing = true;
    while (count < most && is_due(worker)) {
        struct sim_ucx_event *event =
            rill_container_of(rill_list_pop(&worker->events), struct sim_ucx_event, link);

        event->happen(event);
        count++;
    }
    worker->is_progressing = false;
    return count;
}

static ucs_status_t worker_arm(ucp_worker_h handle)
{
    struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);

    if (is_due(worker) || sim_ucx_chance(sim_ucx.options.busy_per_mille))
        return UCS_ERR_BUSY;
    if (worker->is_signalled)
        sim_counter_add(fixture.sim, worker->fd, (uint64_t)-1);
    worker->is_signalled = false;
    worker->is_armed = true;
    if (!rill_list_is_empty(&worker->events))
        sim_at(fixture.sim,
               rill_container_of(worker->events.next, struct sim_ucx_event, link)->due_ns,
               signal_event, worker);
    return UCS_OK;
}

static ucs_status_t worker_create(ucp_context_h context, const ucp_worker_params_t *params,
                                  ucp_worker_h *out)
{
    struct sim_ucx_worker *worker = &sim_ucx.workers[sim_ucx.worker_count];
    ucs_status_t status = sim_ucx_fault();

    (void)context;
    (void)params;
    if (status != UCS_OK)
        return status;
    expect(sim_ucx.worker_count < SIM_UCX_WORKERS_MAX);
    *worker = (struct sim_ucx_worker){.fd = -1, .number = sim_ucx.worker_count++};
    rill_list_init(&worker->events);
    rill_list_init(&worker->posted);
    rill_list_init(&worker->unexpected);
    rill_list_init(&worker->announced);
    rill_list_init(&worker->eps);
    *out = (ucp_worker_h)(void *)worker;
    return UCS_OK;
}

static void worker_destroy(ucp_worker_h handle)
{
    struct sim_ucx_worker *worker = sim_ucx_worker_of(handle);

    expect(!worker->is_progressing);
    expect(rill_list_is_empty(&worker->eps));
    expect(rill_list_is_empty(&worker->posted));
    expect_eq(worker->listeners, 0);
    if (worker->fd >= 0)
        sim_kernel(fixture.sim)->ops->close(sim_kernel(fixture.sim), worker->fd);
    worker->is_destroyed = true;
}

static ucs_status_t worker_get_efd(ucp_worker_h handle, int *fd)
{
    int made = sim_counter_create(fixture.sim);

    if (made < 0)
        return UCS_ERR_IO_ERROR;
    *fd = sim_ucx_worker_of(handle)->fd = made;
    return UCS_OK;
}

static ucs_status_t worker_get_address(ucp_worker_h handle, ucp_address_t **address, size_t *size)
{
    unsigned *number = sim_ucx_allocate(sizeof *number);

    *number = sim_ucx_worker_of(handle)->number;
    *address = (ucp_address_t *)(void *)number;
    *size = sizeof *number;
    return UCS_OK;
}

/* ---- requests ---- */

struct sim_ucx_request *sim_ucx_request(enum sim_ucx_kind kind, struct sim_ucx_worker *worker,
                                        struct sim_ucx_ep *ep, const ucp_request_param_t *param)
{
    struct sim_ucx_request *request = sim_ucx_allocate(sizeof *request);

    request->kind = kind;
    request->worker = worker;
    request->ep = ep;
    request->param = *param;
    if (ep)
        rill_list_append(&ep->requests, &request->link);
    sim_ucx.requests++;
    return request;
}

void sim_ucx_complete(struct sim_ucx_request *request, ucs_status_t status,
                      const ucp_tag_recv_info_t *info)
{
    if (request->is_completed)
        return;
    request->is_completed = true;
    if (rill_link_is_linked(&request->link))
        rill_link_remove(&request->link);
    if (request->is_freed || !(request->param.op_attr_mask & UCP_OP_ATTR_FIELD_CALLBACK))
        return;
    if (request->kind == SIM_UCX_RECV)
        request->param.cb.recv(request, status, info, request->param.user_data);
    else if (request->kind == SIM_UCX_FETCH)
        request->param.cb.recv_am(request, status, info->length, request->param.user_data);
    else
        request->param.cb.send(request, status, request->param.user_data);
}

static void complete_happens(struct sim_ucx_event *event)
{
    const ucp_tag_recv_info_t none = {0};

    sim_ucx_complete(event->request, event->status, &none);
}

void sim_ucx_complete_later(struct sim_ucx_request *request, int64_t delay_ns, ucs_status_t status)
{
    if (request->is_ending && status == UCS_OK)
        return;
    request->is_ending = true;
    sim_ucx_push(
        request->worker, delay_ns,
        (struct sim_ucx_event){.happen = complete_happens, .request = request, .status = status});
}

/* An unmatched receive ends within the call; a matched one with its message. */
static void request_cancel(ucp_worker_h handle, void *request_)
{
    struct sim_ucx_request *request = request_;
    const ucp_tag_recv_info_t none = {0};

    expect(request->worker == sim_ucx_worker_of(handle) && request->kind == SIM_UCX_RECV);
    expect(!request->is_completed && !request->is_freed && !request->was_cancelled);
    request->was_cancelled = true;
    if (rill_link_is_linked(&request->link))
        sim_ucx_complete(request, UCS_ERR_CANCELED, &none);
}

/* A pending one may be freed only when UCX does not touch its memory any more. */
static void request_free(void *request_)
{
    struct sim_ucx_request *request = request_;

    expect(!request->is_freed);
    if (!request->is_completed && request->kind == SIM_UCX_RECV)
        expect(!rill_link_is_linked(&request->link));
    if (!request->is_completed && request->ep)
        expect(request->ep->is_closed);
    request->is_freed = true;
    sim_ucx.requests--;
}

/* ---- its beginning and end ---- */

const struct rill_ucx *sim_ucx_begin(const struct sim_ucx_options *options,
                                     void (*arrived)(const void *bytes, size_t size))
{
    static struct rill_ucx table;

    fake_reset();
    memset(&sim_ucx, 0, sizeof sim_ucx);
    sim_ucx.options = *options;
    sim_ucx.arrived = arrived;
    table = fake_ucx;
    table.worker_create = worker_create;
    table.worker_destroy = worker_destroy;
    table.worker_get_efd = worker_get_efd;
    table.worker_get_address = worker_get_address;
    table.worker_progress = worker_progress;
    table.worker_arm = worker_arm;
    table.request_cancel = request_cancel;
    table.request_free = request_free;
    sim_ucx_ep_table(&table);
    sim_ucx_tag_table(&table);
    sim_ucx_active_message_table(&table);
    return &table;
}

void sim_ucx_end(void)
{
    for (unsigned i = 0; i < sim_ucx.worker_count; i++)
        expect(sim_ucx.workers[i].is_destroyed);
    expect_eq(fake.contexts, 0);
    expect_eq(fake.configs, 0);
    expect_eq(sim_ucx.eps, 0);
    expect_eq(sim_ucx.requests, 0);
    expect_eq(sim_ucx.am_data, 0);
    while (pieces) {
        struct piece *piece = pieces;

        pieces = piece->next;
        free(piece);
    }
}
