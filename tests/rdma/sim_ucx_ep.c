/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_ep.c - endpoints of the simulated UCX: how they find each other, what they carry,
 * how they end, and listeners. */
#include "tests/rdma/sim_ucx_parts.h"

#include <arpa/inet.h>
#include <string.h>

struct sim_ucx_listener {
    struct sim_ucx_listener *next; /* listeners */
    struct sim_ucx_worker *worker;
    uint16_t port;
    ucp_listener_conn_handler_t handler;
    bool is_open;
};

struct sim_ucx_conn_request {
    struct sim_ucx_ep *client;
    bool is_answered;
};

static struct sim_ucx_listener *listeners;
static uint16_t last_port;

struct sim_ucx_ep *sim_ucx_ep_of(ucp_ep_h handle)
{
    struct sim_ucx_ep *ep = (struct sim_ucx_ep *)(void *)handle;

    expect(!ep->is_closed);
    return ep;
}

/* ---- on the way ---- */

static bool is_dead(const struct sim_ucx_worker *worker)
{
    return worker->dead_until_ns > sim_now(fixture.sim);
}

/* Counts a delay from when neither side is stopped. */
static int64_t travel(const struct sim_ucx_ep *ep)
{
    int64_t now = sim_now(fixture.sim), start = now;

    if (ep->worker->stopped_until_ns > start)
        start = ep->worker->stopped_until_ns;
    if (ep->peer_worker && ep->peer_worker->stopped_until_ns > start)
        start = ep->peer_worker->stopped_until_ns;
    return start - now + sim_ucx_some(sim_ucx.options.latency_max_ns);
}

static void send_on(struct sim_ucx_ep *ep, bool is_active, struct sim_ucx_event event)
{
    int64_t now = sim_now(fixture.sim), due = now + travel(ep);
    int64_t *last = &ep->last_ns[is_active && sim_ucx.options.am_overtake];

    if (due < *last)
        due = *last;
    *last = due;
    sim_ucx_push(ep->peer_worker, due - now, event);
}

void sim_ucx_transmit(struct sim_ucx_ep *ep, bool is_active, struct sim_ucx_event event)
{
    struct sim_ucx_event *held;

    if (ep->is_severed)
        return;
    event.ep = ep;
    if (ep->is_connected) {
        send_on(ep, is_active, event);
        return;
    }
    held = sim_ucx_allocate(sizeof *held);
    *held = event;
    held->size = is_active;
    rill_list_append(&ep->held, &held->link);
}

/* ---- failing ---- */

/* Ends, or forgets, what is pending of an endpoint. */
static void purge(struct sim_ucx_ep *ep, ucs_status_t status)
{
    struct rill_link *next;

    for (struct rill_link *link = ep->requests.next; link != &ep->requests; link = next) {
        struct sim_ucx_request *request = rill_container_of(link, struct sim_ucx_request, link);

        next = link->next;
        if (request->kind == SIM_UCX_CLOSE && !ep->is_closed)
            continue;
        if (sim_ucx_chance(sim_ucx.options.mute_per_mille))
            continue;
        sim_ucx_complete_later(request, sim_ucx_some(sim_ucx.options.late_max_ns), status);
    }
}

static void fail_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_ep *ep = event->ep;

    if (ep->is_closed) {
        /* Whoever waits for the other side to close does so no longer. */
        purge(ep, UCS_OK);
        return;
    }
    if (ep->failure != UCS_OK)
        return;
    sim_trace(fixture.sim, "UCX worker %u reports the end of an endpoint", ep->worker->number);
    ep->failure = event->status;
    ep->is_severed = true;
    purge(ep, event->status);
    ep->on_error(ep->user_data, (ucp_ep_h)(void *)ep, event->status);
}

static void report(struct sim_ucx_ep *ep, int64_t delay_ns, ucs_status_t status)
{
    sim_ucx_push(ep->worker, delay_ns,
                 (struct sim_ucx_event){.happen = fail_happens, .ep = ep, .status = status});
}

static void sever(struct sim_ucx_ep *ep)
{
    static const ucs_status_t reasons[] = {UCS_ERR_CONNECTION_RESET, UCS_ERR_ENDPOINT_TIMEOUT,
                                           UCS_ERR_NOT_CONNECTED};

    if (!ep->is_severed && !sim_ucx.options.deaths_are_silent)
        report(ep, sim_ucx_some(sim_ucx.options.notice_max_ns),
               reasons[sim_random(fixture.sim, sizeof reasons / sizeof *reasons)]);
    ep->is_severed = true;
}

void sim_ucx_kill(ucp_worker_h handle, int64_t for_ns)
{
    struct sim_ucx_worker *dead = (struct sim_ucx_worker *)(void *)handle;

    sim_trace(fixture.sim, "UCX worker %u dies", dead->number);
    dead->dead_until_ns = sim_now(fixture.sim) + for_ns;
    for (unsigned i = 0; i < sim_ucx.worker_count; i++) {
        const struct rill_link *list = &sim_ucx.workers[i].eps;

        if (sim_ucx.workers[i].is_destroyed)
            continue;
        for (struct rill_link *link = list->next; link != list; link = link->next) {
            struct sim_ucx_ep *ep = rill_container_of(link, struct sim_ucx_ep, link);

            if (ep->worker == dead || ep->peer_worker == dead)
                sever(ep);
        }
    }
}

void sim_ucx_stop(ucp_worker_h handle, int64_t for_ns)
{
    struct sim_ucx_worker *worker = (struct sim_ucx_worker *)(void *)handle;

    sim_trace(fixture.sim, "UCX worker %u is stopped", worker->number);
    worker->stopped_until_ns = sim_now(fixture.sim) + for_ns;
}

/* ---- beginning ---- */

static void connect_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_ep *ep = event->ep;

    if (ep->is_closed || ep->is_severed)
        return;
    ep->is_connected = true;
    while (!rill_list_is_empty(&ep->held)) {
        struct sim_ucx_event *held =
            rill_container_of(rill_list_pop(&ep->held), struct sim_ucx_event, link);

        send_on(ep, held->size, *held);
    }
    for (struct rill_link *link = ep->requests.next; link != &ep->requests; link = link->next) {
        struct sim_ucx_request *request = rill_container_of(link, struct sim_ucx_request, link);

        if (request->is_held)
            sim_ucx_complete_later(request, sim_ucx_some(sim_ucx.options.late_max_ns), UCS_OK);
    }
}

static void pair(struct sim_ucx_ep *ep, struct sim_ucx_ep *peer)
{
    ep->peer = peer;
    peer->peer = ep;
}

/* UCX counts the endpoints of each side to the other, and the numbers make the pairs: where
 * several wait for their other side, one may get another than was meant, and be told of its
 * end. */
static struct sim_ucx_ep *find_peer(const struct sim_ucx_ep *ep)
{
    const struct rill_link *list = &ep->peer_worker->eps;

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        struct sim_ucx_ep *peer = rill_container_of(link, struct sim_ucx_ep, link);

        if (peer->is_by_address && !peer->peer && peer->peer_worker == ep->worker)
            return peer;
    }
    return NULL;
}

static void open_by_address(struct sim_ucx_ep *ep, const void *address)
{
    struct sim_ucx_ep *peer;
    unsigned number;

    memcpy(&number, address, sizeof number);
    expect(number < sim_ucx.worker_count);
    ep->peer_worker = &sim_ucx.workers[number];
    ep->is_connected = true;
    ep->is_by_address = true;
    peer = sim_ucx.options.pairs ? find_peer(ep) : NULL;
    if (peer)
        pair(ep, peer);
    if ((ep->peer && ep->peer->is_severed) || is_dead(ep->worker) || is_dead(ep->peer_worker))
        sever(ep);
}

static void request_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_listener *listener = event->listener;
    struct sim_ucx_conn_request *request;

    if (event->ep->is_severed)
        return;
    if (!listener->is_open) {
        report(event->ep, travel(event->ep), UCS_ERR_REJECTED);
        return;
    }
    request = sim_ucx_allocate(sizeof *request);
    request->client = event->ep;
    listener->handler.cb((ucp_conn_request_h)(void *)request, listener->handler.arg);
}

static void connect_to(struct sim_ucx_ep *ep, const struct sockaddr *address)
{
    uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
    struct sim_ucx_listener *listener = listeners;

    while (listener && !(listener->is_open && listener->port == port))
        listener = listener->next;
    if (!listener || is_dead(listener->worker) || is_dead(ep->worker)) {
        if (sim_random(fixture.sim, 2))
            sever(ep);
        ep->is_severed = true;
        return;
    }
    ep->peer_worker = listener->worker;
    sim_ucx_push(listener->worker, travel(ep),
                 (struct sim_ucx_event){.happen = request_happens, .ep = ep, .listener = listener});
}

static void adopt(struct sim_ucx_ep *ep, ucp_conn_request_h handle)
{
    struct sim_ucx_conn_request *request = (struct sim_ucx_conn_request *)(void *)handle;
    struct sim_ucx_ep *client = request->client;

    expect(!request->is_answered);
    request->is_answered = true;
    ep->peer_worker = client->worker;
    ep->is_connected = true;
    pair(ep, client);
    if (client->is_severed)
        sever(ep);
    else if (client->is_closed)
        report(ep, sim_ucx_some(sim_ucx.options.notice_max_ns), UCS_ERR_CONNECTION_RESET);
    else
        sim_ucx_push(client->worker, travel(ep),
                     (struct sim_ucx_event){.happen = connect_happens, .ep = client});
}

static ucs_status_t ep_create(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *out)
{
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_ep *ep;

    if (status != UCS_OK) {
        if (params->field_mask & UCP_EP_PARAM_FIELD_CONN_REQUEST) {
            struct sim_ucx_conn_request *request =
                (struct sim_ucx_conn_request *)(void *)params->conn_request;

            request->is_answered = true;
            report(request->client, travel(request->client), UCS_ERR_REJECTED);
        }
        return status;
    }
    expect_eq(params->err_mode, UCP_ERR_HANDLING_MODE_PEER);
    ep = sim_ucx_allocate(sizeof *ep);
    rill_list_init(&ep->requests);
    rill_list_init(&ep->held);
    ep->worker = (struct sim_ucx_worker *)(void *)worker;
    ep->on_error = params->err_handler.cb;
    ep->user_data = params->user_data;
    if (params->field_mask & UCP_EP_PARAM_FIELD_REMOTE_ADDRESS)
        open_by_address(ep, params->address);
    else if (params->field_mask & UCP_EP_PARAM_FIELD_SOCK_ADDR)
        connect_to(ep, params->sockaddr.addr);
    else
        adopt(ep, params->conn_request);
    rill_list_append(&ep->worker->eps, &ep->link);
    sim_ucx.eps++;
    *out = (ucp_ep_h)(void *)ep;
    return UCS_OK;
}

/* ---- flushing and closing ---- */

static bool is_flushed(const struct sim_ucx_ep *ep)
{
    for (struct rill_link *link = ep->requests.next; link != &ep->requests; link = link->next) {
        enum sim_ucx_kind kind = rill_container_of(link, struct sim_ucx_request, link)->kind;

        if (kind != SIM_UCX_FLUSH && kind != SIM_UCX_CLOSE)
            return false;
    }
    return (ep->is_connected && !ep->is_severed) || ep->failure != UCS_OK;
}

/* Looks again and again: that is simple, and time is virtual. */
static void flush_happens(struct sim_ucx_event *event)
{
    struct sim_ucx_ep *ep = event->ep;
    bool is_stopped = ep->peer_worker && ep->peer_worker->stopped_until_ns > event->due_ns;

    if (event->request->is_completed || event->request->is_ending)
        return;
    if (is_flushed(ep) && !is_stopped)
        sim_ucx_complete(event->request, ep->failure, NULL);
    else
        sim_ucx_push(ep->worker, RILL_MILLISECOND, *event);
}

static ucs_status_ptr_t ep_flush_nbx(ucp_ep_h handle, const ucp_request_param_t *param)
{
    struct sim_ucx_ep *ep = sim_ucx_ep_of(handle);
    ucs_status_t status = ep->failure != UCS_OK ? ep->failure : sim_ucx_fault();
    struct sim_ucx_request *request;

    if (status != UCS_OK)
        return UCS_STATUS_PTR(status);
    if (is_flushed(ep) && rill_list_is_empty(&ep->requests) &&
        !sim_ucx_chance(sim_ucx.options.late_per_mille))
        return NULL;
    request = sim_ucx_request(SIM_UCX_FLUSH, ep->worker, ep, param);
    sim_ucx_push(ep->worker, sim_ucx_some(sim_ucx.options.late_max_ns),
                 (struct sim_ucx_event){.happen = flush_happens, .ep = ep, .request = request});
    return request;
}

static ucs_status_ptr_t ep_close_nbx(ucp_ep_h handle, const ucp_request_param_t *param)
{
    struct sim_ucx_ep *ep = sim_ucx_ep_of(handle), *peer = ep->peer;
    bool is_forced = param->flags & UCP_EP_CLOSE_FLAG_FORCE;
    bool was_severed = ep->is_severed;
    struct sim_ucx_request *request;

    ep->is_closed = true;
    sim_ucx.eps--;
    rill_link_remove(&ep->link);
    if (is_forced) {
        purge(ep, UCS_ERR_CANCELED);
        ep->is_severed |= sim_ucx_chance(sim_ucx.options.loss_per_mille);
    }
    if (peer && !was_severed)
        report(peer, travel(ep) + sim_ucx_some(sim_ucx.options.notice_max_ns),
               UCS_ERR_CONNECTION_RESET);
    if (is_forced && !sim_ucx_chance(sim_ucx.options.late_per_mille))
        return NULL;
    request = sim_ucx_request(SIM_UCX_CLOSE, ep->worker, ep, param);
    if (is_forced || ep->failure != UCS_OK || !peer || peer->is_closed)
        sim_ucx_complete_later(request, sim_ucx_some(sim_ucx.options.late_max_ns), UCS_OK);
    else if (!was_severed) /* the other side has to take note */
        sim_ucx_complete_later(request, 2 * travel(ep), UCS_OK);
    return request;
}

/* ---- listeners ---- */

static ucs_status_t listener_create(ucp_worker_h worker, const ucp_listener_params_t *params,
                                    ucp_listener_h *out)
{
    ucs_status_t status = sim_ucx_fault();
    struct sim_ucx_listener *listener;

    if (status != UCS_OK)
        return status;
    listener = sim_ucx_allocate(sizeof *listener);
    listener->worker = (struct sim_ucx_worker *)(void *)worker;
    listener->worker->listeners++;
    listener->port = ++last_port;
    listener->handler = params->conn_handler;
    listener->is_open = true;
    listener->next = listeners;
    listeners = listener;
    *out = (ucp_listener_h)(void *)listener;
    return UCS_OK;
}

static void listener_destroy(ucp_listener_h handle)
{
    struct sim_ucx_listener *listener = (struct sim_ucx_listener *)(void *)handle;

    expect(listener->is_open);
    listener->is_open = false;
    listener->worker->listeners--;
}

static ucs_status_t listener_query(ucp_listener_h handle, ucp_listener_attr_t *attr)
{
    const struct sim_ucx_listener *listener = (struct sim_ucx_listener *)(void *)handle;
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(listener->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    memcpy(&attr->sockaddr, &address, sizeof address);
    return UCS_OK;
}

static ucs_status_t listener_reject(ucp_listener_h handle, ucp_conn_request_h request_)
{
    struct sim_ucx_conn_request *request = (struct sim_ucx_conn_request *)(void *)request_;

    (void)handle;
    expect(!request->is_answered);
    request->is_answered = true;
    report(request->client, travel(request->client), UCS_ERR_REJECTED);
    return UCS_OK;
}

void sim_ucx_ep_table(struct rill_ucx *table)
{
    table->ep_create = ep_create;
    table->ep_flush_nbx = ep_flush_nbx;
    table->ep_close_nbx = ep_close_nbx;
    table->listener_create = listener_create;
    table->listener_destroy = listener_destroy;
    table->listener_query = listener_query;
    table->listener_reject = listener_reject;
    listeners = NULL;
    last_port = 0;
}
