/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.c - callers at one node and servers at the other, over a UCX that the seed makes: short
 * and long requests and replies, with limits, cancels, refusals, endpoints that are closed amid
 * all that, and nodes that die or stand still. Each request is served once at the most, each
 * reply is the caller's own and whole, and nothing is left. What is long stays with its sender
 * until it is fetched. */
#include "rdma/listener.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"
#include "tests/rdma/sim_ucx.h"
#include "tests/scenarios/rdma_fate.h"
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>

enum {
    SERVICE = 7,
    LINKS = 2,   /* endpoints of the callers' node, each opened anew a few times */
    CALLERS = 3, /* on each link */
    CALLS = 5,   /* by each caller */
    HOSTS = 8,   /* endpoints of the servers' node */
    SERVERS = 3,
    CALLS_MAX = 512,
    SHORTEST = 4,
    LONGEST = 12000,
};

/* ---- the model ---- */

/* What was called. Invariant: it is answered only if it was served. */
static struct called {
    size_t size;       /* of the request */
    size_t reply_size; /* once it is served */
    int status;        /* likewise */
    int64_t unsent;    /* why the reply was not sent, 0 where it was */
    bool is_served, is_answered;
} called[CALLS_MAX];
static uint32_t called_count;

static size_t draw_size(void)
{
    switch (dice(4)) {
    case 0:
        return (size_t)(SIM_UCX_EAGER_SIZE - 4 + dice(8));
    case 1:
        return (size_t)(SIM_UCX_EAGER_SIZE + dice(LONGEST - SIM_UCX_EAGER_SIZE));
    default:
        return (size_t)(SHORTEST + dice(500));
    }
}

/* The number of the call, and a pattern that is another one for the reply. */
static void compose(char *bytes, uint32_t number, size_t size, bool is_reply)
{
    memcpy(bytes, &number, sizeof number);
    pattern_fill(bytes + sizeof number, number + is_reply, size - sizeof number);
}

static uint32_t check(const char *bytes, size_t size, bool is_reply)
{
    uint32_t number;

    expect(size >= sizeof number);
    memcpy(&number, bytes, sizeof number);
    expect(number < called_count);
    expect(pattern_is(bytes + sizeof number, number + is_reply, size - sizeof number));
    return number;
}

/* ---- the servers' node ---- */

static struct server {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_rpc_request request;
    struct rill_rdma_rpc_work work;
    struct rill_sleep pause;
    uint32_t number;
    char bytes[LONGEST];
} servers[SERVERS];

static struct host {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_ep ep;
    struct rill_sleep pause;
    struct rill_timeout timeout;
    bool is_taken;
} hosts[HOSTS];

static struct {
    struct rill_rdma rdma;
    struct rill_rdma_rpc rpc;
    struct rill_rdma_listener listener;
    struct rill_address address;
    struct rill_rdma_accept accept;
    struct rill_task acceptor;
    struct rill_join join;
} serving;

static void note_served(struct server *server)
{
    const struct rill_rdma_rpc_request *request = &server->request;
    struct called *call;

    server->number = check(request->data ? request->data : server->bytes, request->size, false);
    call = &called[server->number];
    expect_eq(request->size, call->size);
    expect_eq(request->method, server->number % 1000);
    expect(!call->is_served);
    call->is_served = true;
    call->status = dice(4) ? 0 : -EDOM;
    call->reply_size = draw_size();
}

static struct rill_future *reply(struct server *server)
{
    const struct called *call = &called[server->number];

    compose(server->bytes, server->number, call->reply_size, true);
    return rill_rdma_rpc_reply(&server->request, call->status, server->bytes, call->reply_size);
}

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_rpc_recv(&serving.rpc, &server->request));
        if (server->request.result < 0)
            break;
        if (!server->request.data && dice(8) > 0) {
            RILL_AWAIT(rill_rdma_rpc_fetch(&server->request, server->bytes));
            if (server->request.result < 0) {
                rill_rdma_rpc_refuse(&server->request, -EIO);
                continue;
            }
        } else if (!server->request.data) {
            rill_rdma_rpc_refuse(&server->request, -E2BIG);
            continue;
        }
        note_served(server);
        if (dice(2))
            RILL_AWAIT(rill_rdma_rpc_while_wanted(
                &server->request, &server->work,
                rill_sleep(&server->pause, dice_ns(30 * RILL_MILLISECOND))));
        if (dice(8)) {
            RILL_AWAIT(reply(server));
            if (server->request.result < 0)
                called[server->number].unsent = server->request.result;
        } else
            rill_rdma_rpc_refuse(&server->request, -ENOSYS);
        memset(server->bytes, 0xee, sizeof server->bytes);
    }
    RILL_END();
}

/* The servers answer what has come, and end. */
static struct stopper {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
} stopper;

static enum rill_poll stopper_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&stopper.pause, dice(2) ? RILL_NEVER : dice_ns(RILL_SECOND)));
    rill_rdma_rpc_stop(&serving.rpc); /* at the end, unless it was before */
    RILL_END();
}

/* What a peer that fell silent holds up ends with the endpoint. */
static enum rill_poll host_poll(struct rill_future *self, struct rill_task *task)
{
    struct host *host = rill_container_of(self, struct host, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&host->pause, dice_ns(RILL_SECOND)));
    if (dice(2))
        RILL_AWAIT(rill_rdma_ep_abort(&host->ep));
    else
        RILL_AWAIT(rill_timeout(&host->timeout, dice_ns(200 * RILL_MILLISECOND),
                                rill_rdma_ep_close(&host->ep)));
    RILL_END();
}

static struct host *free_host(void)
{
    for (int i = 0; i < HOSTS; i++)
        if (!hosts[i].is_taken || rill_task_is_over(&hosts[i].task))
            return &hosts[i];
    return NULL;
}

static enum rill_poll acceptor_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept(&serving.listener, &serving.accept));
        if (serving.accept.result < 0)
            break;
        {
            struct host *host = free_host();

            if (!host) {
                rill_rdma_reject(&serving.accept);
                continue;
            }
            memset(host, 0, sizeof *host);
            if (rill_rdma_ep_adopt(&host->ep, &serving.accept) != 0)
                continue;
            host->is_taken = true;
            rill_task_spawn(&host->task, host_poll);
        }
    }
    RILL_END();
}

/* ---- the callers' node ---- */

static struct {
    struct rill_rdma rdma;
    struct rill_rdma_rpc rpc;
} calling;

struct link;

struct caller {
    struct rill_task task;
    struct rill_join join;
    struct link *link;
    struct rill_rdma_rpc_call call;
    struct rill_timeout timeout;
    struct rill_sleep pause;
    unsigned left;
    uint32_t number;
    size_t reply_max;
    char request[LONGEST], reply[LONGEST];
};

static struct link {
    struct rill_task task;
    struct rill_join join, caller_join;
    struct rill_rdma_ep ep;
    struct rill_rdma_rpc_client client;
    struct rill_sleep pause;
    struct rill_timeout timeout;
    struct rill_shield shield;
    struct caller callers[CALLERS];
    unsigned rounds, which;
} links[LINKS];

static struct rill_future *begin_call(struct caller *caller)
{
    size_t size = draw_size();
    struct rill_future *call;

    expect(called_count < CALLS_MAX);
    caller->number = called_count++;
    called[caller->number] = (struct called){.size = size};
    compose(caller->request, caller->number, size, false);
    memset(caller->reply, 0, sizeof caller->reply);
    caller->reply_max = dice(8) ? LONGEST : dice(1000);
    call = rill_rdma_rpc_call(&caller->link->client, &caller->call, caller->number % 1000,
                              caller->request, size, caller->reply, caller->reply_max);
    return rill_timeout(&caller->timeout, dice(3) ? RILL_NEVER : dice_ns(60 * RILL_MILLISECOND),
                        call);
}

/* By a server, or by rill where too many wait, after a stop, or for want of memory. */
static bool is_refusal(int64_t result)
{
    return result == -ENOSYS || result == -EIO || result == -E2BIG || result == -EBUSY ||
           result == -ESHUTDOWN || result == -ENOMEM;
}

static void check_reply(struct caller *caller)
{
    const struct rill_rdma_rpc_call *call = &caller->call;
    struct called *entry = &called[caller->number];
    int64_t result = call->result;

    memset(caller->request, 0xee, sizeof caller->request); /* it is the caller's again */
    if (!call->is_answered) {
        expect(result < 0);
        return;
    }
    entry->is_answered = true;
    if (is_refusal(result) || (entry->unsent && result == entry->unsent)) {
        expect_eq(call->reply_size, 0);
        return;
    }
    expect(entry->is_served);
    expect_eq(call->reply_size, entry->reply_size);
    if (entry->reply_size > caller->reply_max) {
        expect_eq(result, entry->status ? entry->status : -EMSGSIZE);
        return;
    }
    expect_eq(result, entry->status ? entry->status : (int64_t)entry->reply_size);
    expect_eq(check(caller->reply, call->reply_size, true), caller->number);
}

static enum rill_poll caller_poll(struct rill_future *self, struct rill_task *task)
{
    struct caller *caller = rill_container_of(self, struct caller, task.future);

    RILL_BEGIN();
    for (; caller->left > 0 && !rill_task_is_cancelled(task); caller->left--) {
        RILL_AWAIT(begin_call(caller));
        check_reply(caller);
        if (caller->link->ep.error || !caller->link->ep.is_open)
            break;
        if (dice(2))
            RILL_AWAIT(rill_sleep(&caller->pause, dice_ns(10 * RILL_MILLISECOND)));
    }
    RILL_END();
}

static void start_callers(struct link *link)
{
    rill_rdma_rpc_client_init(&link->client, &calling.rpc, &link->ep, 1 + dice(4));
    for (int i = 0; i < CALLERS; i++) {
        struct caller *caller = &link->callers[i];

        memset(caller, 0, sizeof *caller);
        caller->link = link;
        caller->left = 1 + (unsigned)dice(CALLS);
        rill_task_spawn(&caller->task, caller_poll);
    }
}

static enum rill_poll link_poll(struct rill_future *self, struct rill_task *task)
{
    struct link *link = rill_container_of(self, struct link, task.future);

    RILL_BEGIN();
    for (; link->rounds > 0 && !rill_task_is_cancelled(task); link->rounds--) {
        if (rill_rdma_ep_connect(&link->ep, &calling.rdma, &serving.address) != 0) {
            RILL_AWAIT(rill_sleep(&link->pause, RILL_MILLISECOND));
            continue;
        }
        start_callers(link);
        RILL_AWAIT(rill_sleep(&link->pause, dice_ns(400 * RILL_MILLISECOND)));
        if (dice(2))
            RILL_AWAIT(rill_rdma_ep_abort(&link->ep));
        else
            RILL_AWAIT(rill_timeout(&link->timeout, dice_ns(100 * RILL_MILLISECOND),
                                    rill_rdma_ep_close(&link->ep)));
        for (link->which = 0; link->which < CALLERS; link->which++)
            RILL_AWAIT(rill_shield(&link->shield, rill_task_join(&link->callers[link->which].task,
                                                                 &link->caller_join)));
        rill_rdma_rpc_client_finish(&link->client);
    }
    RILL_END();
}

/* ---- a run ---- */

static struct rdma_fate fate;

static void open_node(struct rill_rdma *rdma, struct rill_rdma_rpc *rpc, const struct rill_ucx *ucx,
                      size_t requests_max)
{
    const struct rill_rdma_options options = {.ucx = ucx, .bare_endpoints = true};
    unsigned attempts = 0;

    while (rill_rdma_open(rdma, &options) != 0)
        expect(++attempts < 1000);
    while (rill_rdma_rpc_open(rpc, rdma, SERVICE, requests_max) != 0)
        expect(++attempts < 1000);
}

static void close_node(struct rill_rdma *rdma, struct rill_rdma_rpc *rpc)
{
    expect_eq(rpc->waiting, 0);
    expect_eq(rpc->taken, 0);
    rill_rdma_rpc_close(rpc);
    expect_eq(rdma->endpoints, 0);
    expect_eq(rdma->ops_in_flight, 0);
    expect_eq(rdma->source.pending, 0);
    rill_rdma_close(rdma);
}

static void open_world(const struct rill_ucx *ucx)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    unsigned attempts = 0;

    memset(&serving, 0, sizeof serving);
    memset(&calling, 0, sizeof calling);
    memset(servers, 0, sizeof servers);
    memset(&stopper, 0, sizeof stopper);
    memset(hosts, 0, sizeof hosts);
    memset(links, 0, sizeof links);
    open_node(&serving.rdma, &serving.rpc, ucx, 1 + dice(20));
    open_node(&calling.rdma, &calling.rpc, ucx, 0);
    while (rill_rdma_listen(&serving.listener, &serving.rdma, &any) != 0)
        expect(++attempts < 1000);
    expect_eq(rill_rdma_listener_address(&serving.listener, &serving.address), 0);
    rill_task_spawn(&serving.acceptor, acceptor_poll);
    for (int i = 0; i < SERVERS; i++)
        rill_task_spawn(&servers[i].task, server_poll);
    rill_task_spawn(&stopper.task, stopper_poll);
}

static void close_world(void)
{
    rill_task_cancel(&serving.acceptor);
    await(rill_task_join(&serving.acceptor, &serving.join));
    rill_rdma_listener_close(&serving.listener);
    for (int i = 0; i < HOSTS; i++) {
        if (!hosts[i].is_taken)
            continue;
        rill_task_cancel(&hosts[i].task);
        await(rill_task_join(&hosts[i].task, &hosts[i].join));
    }
    rill_task_cancel(&stopper.task);
    await(rill_task_join(&stopper.task, &stopper.join));
    for (int i = 0; i < SERVERS; i++) {
        if (dice(2)) /* the others have nothing left to receive */
            rill_task_cancel(&servers[i].task);
        await(rill_task_join(&servers[i].task, &servers[i].join));
    }
    close_node(&calling.rdma, &calling.rpc);
    close_node(&serving.rdma, &serving.rpc);
}

static void run(void)
{
    static struct rill_task *victims[LINKS];
    static struct saboteur saboteur;
    struct sim_ucx_options options = sim_ucx_options_hostile();

    called_count = 0;
    open_world(sim_ucx_begin(&options, NULL));
    for (int i = 0; i < LINKS; i++) {
        links[i].rounds = 1 + (unsigned)dice(3);
        rill_task_spawn(&links[i].task, link_poll);
        victims[i] = &links[i].task;
    }
    fate = (struct rdma_fate){.nodes = {&serving.rdma, &calling.rdma}};
    fate.strokes = dice(2) ? 0 : (unsigned)dice(4);
    rdma_fate_start(&fate);
    saboteur_start(&saboteur, victims, LINKS, dice(4) ? 0 : (unsigned)dice(3),
                   200 * RILL_MILLISECOND);
    rdma_fate_end(&fate);
    saboteur_end(&saboteur);
    for (int i = 0; i < LINKS; i++)
        await(rill_task_join(&links[i].task, &links[i].join));
    close_world();
    for (uint32_t i = 0; i < called_count; i++)
        scenario_count(1, called[i].is_answered);
    sim_ucx_end();
}

const struct scenario scenario_rpc = {"rpc", run, 50};
