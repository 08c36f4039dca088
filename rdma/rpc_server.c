/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/rpc_server.h"

#include "rdma/waiting.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

/* A request that arrived, in memory of the runtime's free lists. */
struct rill_rdma_rpc_held {
    struct rill_link entry;         /* rill_rdma_rpc.requests */
    struct rill_link queue;         /* rill_rdma_rpc.held, until it is taken */
    struct rill_rdma_ep_waiter end; /* of its endpoint; it has a task while that works for it */
    struct rill_rdma_ep *ep;        /* NULL: not known yet */
    ucp_ep_h reply;
    uint64_t id;
    uint32_t method;
    bool is_cancelled, is_rendezvous;
    uint8_t size_class;
    void *data; /* UCX's, or what stands for data to be fetched; NULL: none left */
    size_t size;
};

/* ---- those that are held ---- */

static struct rill_rdma_rpc_held *find(struct rill_rdma_rpc *rpc, uint64_t id, ucp_ep_h reply)
{
    const struct rill_link *list = rill_rdma_rpc_bucket(rpc->requests, id);

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        struct rill_rdma_rpc_held *held = rill_container_of(link, struct rill_rdma_rpc_held, entry);

        if (held->id == id && held->reply == reply)
            return held;
    }
    return NULL;
}

/* Gives it back, with its data. A caller whose data were not fetched is let go of. */
static void drop(struct rill_rdma_rpc *rpc, struct rill_rdma_rpc_held *held)
{
    rill_link_remove(&held->entry);
    if (rill_link_is_linked(&held->queue)) {
        rill_link_remove(&held->queue);
        rpc->held_count--;
    }
    rill_rdma_ep_unwait(&held->end);
    if (held->data)
        rill_rdma_am_let_go(rpc->rdma, held->data);
    rill_pool_put(&rill_executor_here()->pool, held, held->size_class);
}

static bool is_over(const struct rill_rdma_rpc_held *held)
{
    return held->is_cancelled || held->end.error;
}

static void set_ep(struct rill_rdma_rpc_held *held, struct rill_rdma_ep *ep)
{
    held->ep = ep;
    if (ep)
        rill_rdma_ep_wait(ep, &held->end, NULL);
}

/* Its endpoint may have been opened only after it arrived. */
static void look_for_ep(struct rill_rdma_rpc *rpc, struct rill_rdma_rpc_held *held)
{
    if (!held->ep)
        set_ep(held, rill_rdma_ep_find_late(rpc->rdma, held->reply));
}

static void tell_refusal(struct rill_rdma_rpc *rpc, const struct rill_rdma_rpc_held *held,
                         int status)
{
    if (held->ep && !is_over(held))
        rill_rdma_rpc_tell(rpc, held->ep, RILL_RDMA_RPC_REPLY, held->id, (uint32_t)status);
}

void rill_rdma_rpc_refuse_held(struct rill_rdma_rpc *rpc, int error)
{
    while (!rill_list_is_empty(&rpc->held)) {
        struct rill_rdma_rpc_held *held =
            rill_container_of(rpc->held.next, struct rill_rdma_rpc_held, queue);

        look_for_ep(rpc, held);
        tell_refusal(rpc, held, error);
        drop(rpc, held);
    }
}

/* ---- arriving ---- */

static ucp_ep_h reply_ep(const ucp_am_recv_param_t *param)
{
    return param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP ? param->reply_ep : NULL;
}

static ucs_status_t turn_away(struct rill_rdma_rpc *rpc, uint64_t id, ucp_ep_h reply, int error)
{
    struct rill_rdma_ep *ep = rill_rdma_ep_find(rpc->rdma, reply);

    rpc->stats.refused++;
    if (ep)
        rill_rdma_rpc_tell(rpc, ep, RILL_RDMA_RPC_REPLY, id, (uint32_t)error);
    else
        rpc->stats.unanswerable++;
    return UCS_OK;
}

ucs_status_t rill_rdma_rpc_on_request(struct rill_rdma_rpc *rpc,
                                      const struct rill_rdma_rpc_header *header, void *data,
                                      size_t size, const ucp_am_recv_param_t *param)
{
    ucp_ep_h reply = reply_ep(param);
    bool persists = param->recv_attr & (UCP_AM_RECV_ATTR_FLAG_DATA | UCP_AM_RECV_ATTR_FLAG_RNDV);
    struct rill_rdma_rpc_held *held;
    uint8_t size_class;

    if (!reply || (size > 0 && !persists) || find(rpc, header->id, reply)) {
        rpc->stats.malformed++;
        return UCS_OK;
    }
    if (rpc->is_stopped)
        return turn_away(rpc, header->id, reply, -ESHUTDOWN);
    if (rpc->held_count >= rpc->requests_max)
        return turn_away(rpc, header->id, reply, -EBUSY);
    held = rill_pool_get(&rill_executor_here()->pool, sizeof *held, &size_class);
    if (!held)
        return turn_away(rpc, header->id, reply, -ENOMEM);
    *held = (struct rill_rdma_rpc_held){
        .reply = reply,
        .id = header->id,
        .method = header->code,
        .is_rendezvous = param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV,
        .size_class = size_class,
        .data = persists ? data : NULL,
        .size = size,
    };
    set_ep(held, rill_rdma_ep_find(rpc->rdma, reply));
    rill_list_append(rill_rdma_rpc_bucket(rpc->requests, held->id), &held->entry);
    rill_list_append(&rpc->held, &held->queue);
    rpc->held_count++;
    rpc->stats.requests++;
    rill_line_wake_first(&rpc->line);
    return persists ? UCS_INPROGRESS : UCS_OK;
}

/* One that nobody took goes at once, which lets go of a caller with long data. */
void rill_rdma_rpc_on_cancel(struct rill_rdma_rpc *rpc, const struct rill_rdma_rpc_header *header,
                             const ucp_am_recv_param_t *param)
{
    struct rill_rdma_rpc_held *held = find(rpc, header->id, reply_ep(param));

    if (!held || held->is_cancelled)
        return;
    rpc->stats.cancelled++;
    held->is_cancelled = true;
    if (rill_link_is_linked(&held->queue))
        drop(rpc, held);
    else if (held->end.task)
        rill_task_wake(held->end.task);
}

/* ---- taking ---- */

/* Takes the oldest that somebody still wants. Returns NULL if there is none. */
static struct rill_rdma_rpc_held *take(struct rill_rdma_rpc *rpc)
{
    while (!rill_list_is_empty(&rpc->held)) {
        struct rill_rdma_rpc_held *held =
            rill_container_of(rpc->held.next, struct rill_rdma_rpc_held, queue);

        look_for_ep(rpc, held);
        if (held->ep && !held->end.error) {
            rill_link_remove(&held->queue);
            rpc->held_count--;
            return held;
        }
        if (held->ep)
            rpc->stats.cancelled++;
        else
            rpc->stats.unanswerable++;
        drop(rpc, held);
    }
    return NULL;
}

static enum rill_poll leave(struct rill_rdma_rpc_request *request, int64_t result)
{
    struct rill_rdma_rpc *rpc = request->rpc;

    rill_rdma_line_leave(rpc->rdma, &rpc->line, &request->place,
                         rpc->held_count > 0 || rpc->is_stopped || rpc->rdma->is_deaf);
    return rill_future_end(&request->future, result);
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_request *request =
        rill_container_of(self, struct rill_rdma_rpc_request, future);
    struct rill_rdma_rpc *rpc = request->rpc;

    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return leave(request, -ECANCELED);
    }
    if (rpc->held_count > 0 && rill_line_is_first(&rpc->line, &request->place)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        request->held = take(rpc);
        if (request->held) {
            rpc->taken++;
            request->method = request->held->method;
            request->data = request->held->is_rendezvous ? NULL : request->held->data;
            request->size = request->held->size;
            request->ep = request->held->ep;
            return leave(request, (int64_t)request->size);
        }
    }
    if ((rpc->is_stopped || rpc->rdma->is_deaf) && rpc->held_count == 0) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return leave(request, rpc->is_stopped ? -ESHUTDOWN : -ENOTRECOVERABLE);
    }
    rill_rdma_line_join(rpc->rdma, &rpc->line, &request->place, task);
    return RILL_PENDING;
}

struct rill_future *rill_rdma_rpc_recv(struct rill_rdma_rpc *rpc,
                                       struct rill_rdma_rpc_request *request)
{
    static const struct rill_place name = {"receive a request", NULL, 0};

    rill_check(rpc->is_open, "a request is received of a service that is not open");
    rill_check(!request->held, "a request is received into one that was not ended");
    rill_future_init(&request->future, recv_poll);
    request->future.place = &name;
    request->rpc = rpc;
    request->place = (struct rill_place_in_line){0};
    return &request->future;
}

/* ---- fetching ---- */

static enum rill_poll fetch_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_request *request =
        rill_container_of(self, struct rill_rdma_rpc_request, future);

    if (rill_rdma_op_poll(&request->op.future, task) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, request->op.result);
}

/* Data that came with the request, or that cannot be fetched any more. */
static enum rill_poll fetch_at_once_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_request *request =
        rill_container_of(self, struct rill_rdma_rpc_request, future);

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (request->held->is_rendezvous && request->held->end.error)
        return rill_future_end(self, request->held->end.error);
    if (request->size > 0)
        memcpy(request->op.buffer, request->data, request->size);
    return rill_future_end(self, (int64_t)request->size);
}

struct rill_future *rill_rdma_rpc_fetch(struct rill_rdma_rpc_request *request, void *buffer)
{
    static const struct rill_place name = {"fetch the data of a request", NULL, 0};
    struct rill_rdma_rpc_held *held = request->held;

    rill_check(held, "the data of a request are fetched that is over");
    rill_check(held->data || request->size == 0, "the data of a request are fetched twice");
    if (held->is_rendezvous && request->size > 0 && !held->end.error) {
        rill_rdma_am_fetch_data(held->ep, &request->op, &held->data, buffer, request->size);
        rill_future_init(&request->future, fetch_poll);
    } else {
        request->op.buffer = buffer;
        rill_future_init(&request->future, fetch_at_once_poll);
    }
    request->future.place = &name;
    return &request->future;
}

/* ---- ending ---- */

static void end(struct rill_rdma_rpc_request *request)
{
    drop(request->rpc, request->held);
    request->rpc->taken--;
    request->held = NULL;
    request->data = NULL;
}

/* The caller waits for an answer where the reply was not sent: its task was cancelled, or UCX had
 * no memory for it, say, or could not register its data. To one that was sent this is a reply too
 * late. */
static void tell_unsent(struct rill_rdma_rpc *rpc, const struct rill_rdma_rpc_held *held,
                        int64_t error)
{
    if (!is_over(held) && !held->ep->error)
        tell_refusal(rpc, held, (int)error);
}

static enum rill_poll reply_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_request *request =
        rill_container_of(self, struct rill_rdma_rpc_request, future);

    if (rill_rdma_op_poll(&request->op.future, task) == RILL_PENDING)
        return RILL_PENDING;
    if (request->op.result < 0)
        tell_unsent(request->rpc, request->held, request->op.result);
    end(request);
    return rill_future_end(self, request->op.result);
}

static enum rill_poll reply_unwanted_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_request *request =
        rill_container_of(self, struct rill_rdma_rpc_request, future);
    int error = request->held->end.error ? request->held->end.error : -ECANCELED;

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    end(request);
    return rill_future_end(self, error);
}

static void check_end(const struct rill_rdma_rpc_request *request, int status)
{
    rill_check(request->held, "a request is answered that is over");
    rill_check(status <= 0 && status >= RILL_RDMA_RPC_STATUS_MIN,
               "a reply with status %d: want 0 or an -errno", status);
}

struct rill_future *rill_rdma_rpc_reply(struct rill_rdma_rpc_request *request, int status,
                                        const void *data, size_t size)
{
    static const struct rill_place name = {"reply to a request", NULL, 0};
    struct rill_rdma_rpc_held *held = request->held;

    check_end(request, status);
    if (is_over(held)) {
        rill_future_init(&request->future, reply_unwanted_poll);
    } else {
        rill_rdma_rpc_pack(request->header, RILL_RDMA_RPC_REPLY, held->id, (uint32_t)status);
        rill_rdma_am_send(held->ep, &request->op, request->rpc->number.id, request->header,
                          sizeof request->header, data, size, 0);
        rill_future_init(&request->future, reply_poll);
    }
    request->future.place = &name;
    return &request->future;
}

void rill_rdma_rpc_refuse(struct rill_rdma_rpc_request *request, int status)
{
    if (!request->held)
        return;
    check_end(request, status);
    rill_check(status < 0, "a request is refused with status 0");
    tell_refusal(request->rpc, request->held, status);
    end(request);
}

/* ---- working ---- */

bool rill_rdma_rpc_is_cancelled(const struct rill_rdma_rpc_request *request)
{
    return request->held && is_over(request->held);
}

static enum rill_poll work_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_work *work = rill_container_of(self, struct rill_rdma_rpc_work, future);
    struct rill_rdma_rpc_held *held = work->request->held;
    enum rill_poll poll;

    held->end.task = task;
    self->awaits = work->child;
    poll = is_over(held) ? rill_poll_because(work->child, task, RILL_CANCELLED)
                         : work->child->poll(work->child, task);
    rill_check(work->request->held == held, "a request was ended by the work for it");
    if (poll == RILL_PENDING)
        return RILL_PENDING;
    held->end.task = NULL;
    self->awaits = NULL;
    return rill_future_end(self, work->child->result);
}

struct rill_future *rill_rdma_rpc_while_wanted(struct rill_rdma_rpc_request *request,
                                               struct rill_rdma_rpc_work *work,
                                               struct rill_future *child)
{
    static const struct rill_place name = {"work for a request", NULL, 0};

    rill_check(request->held, "there is work for a request that is over");
    rill_future_check_child(&work->future, child, "work for a request");
    rill_future_init(&work->future, work_poll);
    work->future.place = &name;
    work->request = request;
    work->child = child;
    return &work->future;
}
