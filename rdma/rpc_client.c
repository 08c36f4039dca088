/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/rpc_client.h"

#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

static struct rill_rdma *rdma_of(const struct rill_rdma_rpc_call *call)
{
    return call->client->rpc->rdma;
}

/* ---- waiting for the reply ---- */

/* While it waits the reply may be written at any moment, so its task must not end. */
static void begin_wait(struct rill_rdma_rpc_call *call, struct rill_task *task)
{
    struct rill_rdma_rpc *rpc = call->client->rpc;

    call->state = RILL_RDMA_RPC_CALL_WAITING;
    rill_list_append(rill_rdma_rpc_bucket(rpc->calls, call->id), &call->entry);
    rpc->waiting++;
    rpc->rdma->source.pending++;
    rill_event_source_touch(&rpc->rdma->source);
    task->ops++;
}

static void end_wait(struct rill_rdma_rpc_call *call)
{
    struct rill_rdma_rpc *rpc = call->client->rpc;

    rill_link_remove(&call->entry);
    rpc->waiting--;
    rpc->rdma->source.pending--;
    call->end.task->ops--;
}

static void decide(struct rill_rdma_rpc_call *call, int64_t result)
{
    if (call->state == RILL_RDMA_RPC_CALL_WAITING)
        end_wait(call);
    rill_rdma_ep_unwait(&call->end);
    call->result = result;
    call->state = RILL_RDMA_RPC_CALL_DECIDED;
}

/* ---- the reply ---- */

static struct rill_rdma_rpc_call *find(struct rill_rdma_rpc *rpc, uint64_t id)
{
    const struct rill_link *list = rill_rdma_rpc_bucket(rpc->calls, id);

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        struct rill_rdma_rpc_call *call = rill_container_of(link, struct rill_rdma_rpc_call, entry);

        if (call->id == id)
            return call;
    }
    return NULL;
}

static int64_t result_of(int32_t status, size_t size)
{
    return status < 0 ? status : (int64_t)size;
}

/* Short data are copied here, from memory that is UCX's for the time of the callback. */
ucs_status_t rill_rdma_rpc_on_reply(struct rill_rdma_rpc *rpc,
                                    const struct rill_rdma_rpc_header *header, void *data,
                                    size_t size, const ucp_am_recv_param_t *param)
{
    struct rill_rdma_rpc_call *call = find(rpc, header->id);
    int32_t status = (int32_t)header->code;

    if (status > 0 || status < RILL_RDMA_RPC_STATUS_MIN) {
        rpc->stats.malformed++;
        return UCS_OK;
    }
    if (!call) {
        rpc->stats.late++;
        return UCS_OK;
    }
    rpc->stats.replies++;
    call->is_answered = true;
    call->reply_size = size;
    rill_task_wake(call->end.task);
    if (size > call->reply_max) {
        decide(call, status < 0 ? status : -EMSGSIZE);
        return UCS_OK;
    }
    if (size > 0 && param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) {
        end_wait(call);
        call->state = RILL_RDMA_RPC_CALL_ANNOUNCED;
        call->status = status;
        call->announced = data;
        return UCS_INPROGRESS;
    }
    if (size > 0)
        memcpy(call->reply, data, size);
    decide(call, result_of(status, size));
    return UCS_OK;
}

static void drop_announced(struct rill_rdma_rpc_call *call)
{
    if (call->announced)
        rill_rdma_am_let_go(rdma_of(call), call->announced);
    call->announced = NULL;
}

/* ---- its poll ---- */

static bool end_unsent(struct rill_rdma_rpc_call *call, int64_t error)
{
    call->result = error;
    call->state = RILL_RDMA_RPC_CALL_IDLE;
    return false;
}

/* Takes a place, sends the request and waits. Returns false if the call has to wait in
 * line, or is over without having been sent. */
static bool start(struct rill_rdma_rpc_call *call, struct rill_task *task)
{
    struct rill_rdma_rpc_client *client = call->client;
    struct rill_rdma_rpc *rpc = client->rpc;

    if (call->acquire.future.poll(&call->acquire.future, task) == RILL_PENDING)
        return false;
    if (call->acquire.result < 0)
        return end_unsent(call, call->acquire.result);
    if (!client->ep->is_open) { /* it may have been closed meanwhile */
        rill_semaphore_release(&client->places, 1);
        return end_unsent(call, client->ep->error ? client->ep->error : -ENOTCONN);
    }
    rpc->stats.calls++;
    call->id = rpc->next_call++;
    rill_rdma_rpc_pack(call->header, RILL_RDMA_RPC_REQUEST, call->id, call->method);
    rill_rdma_ep_wait(client->ep, &call->end, task);
    begin_wait(call, task);
    rill_rdma_am_send(client->ep, &call->send, rpc->number.id, call->header, sizeof call->header,
                      call->request, call->request_size, RILL_RDMA_AM_REPLY);
    return true;
}

/* A long request whose data the server did not want ends with -ECANCELED, and its reply
 * follows. */
static void look_at_send(struct rill_rdma_rpc_call *call, struct rill_task *task)
{
    if (call->is_sent || rill_rdma_op_poll(&call->send.future, task) == RILL_PENDING)
        return;
    call->is_sent = true;
    if (call->state == RILL_RDMA_RPC_CALL_WAITING && call->send.result < 0 &&
        call->send.result != -ECANCELED)
        decide(call, call->send.result);
}

static void look_at_wait(struct rill_rdma_rpc_call *call, const struct rill_task *task)
{
    if (call->end.error) {
        decide(call, call->end.error);
    } else if (rill_task_is_cancelled(task)) {
        rill_rdma_rpc_tell(call->client->rpc, call->client->ep, RILL_RDMA_RPC_CANCEL, call->id, 0);
        decide(call, -ECANCELED);
    }
}

/* From here on it is the fetch that ends with the endpoint, or is not begun. */
static void look_at_announced(struct rill_rdma_rpc_call *call)
{
    if (call->end.error) {
        drop_announced(call);
        call->is_answered = false;
        decide(call, call->end.error);
        return;
    }
    rill_rdma_ep_unwait(&call->end);
    rill_rdma_am_fetch_data(call->client->ep, &call->fetch, &call->announced, call->reply,
                            call->reply_size);
    call->state = RILL_RDMA_RPC_CALL_FETCHING;
}

static void look_at_fetch(struct rill_rdma_rpc_call *call, struct rill_task *task)
{
    if (rill_rdma_op_poll(&call->fetch.future, task) == RILL_PENDING)
        return;
    drop_announced(call);
    if (call->fetch.result < 0) {
        call->is_answered = false;
        decide(call, call->fetch.result);
    } else {
        decide(call, result_of(call->status, (size_t)call->fetch.result));
    }
}

/* Where the call's task is woken, and what may not end before it, moves with the call. */
static void move_to(struct rill_rdma_rpc_call *call, struct rill_task *task)
{
    if (call->state == RILL_RDMA_RPC_CALL_WAITING) {
        call->end.task->ops--;
        task->ops++;
    }
    call->end.task = task;
}

static enum rill_poll call_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_rpc_call *call = rill_container_of(self, struct rill_rdma_rpc_call, future);

    rill_check(call->state != RILL_RDMA_RPC_CALL_IDLE, "a call was awaited that is over");
    if (call->state == RILL_RDMA_RPC_CALL_IN_LINE && !start(call, task))
        return call->state == RILL_RDMA_RPC_CALL_IDLE ? RILL_READY : RILL_PENDING;
    move_to(call, task);
    look_at_send(call, task);
    if (call->state == RILL_RDMA_RPC_CALL_WAITING)
        look_at_wait(call, task);
    if (call->state == RILL_RDMA_RPC_CALL_ANNOUNCED)
        look_at_announced(call);
    if (call->state == RILL_RDMA_RPC_CALL_FETCHING)
        look_at_fetch(call, task);
    if (call->state != RILL_RDMA_RPC_CALL_DECIDED || !call->is_sent)
        return RILL_PENDING;
    call->state = RILL_RDMA_RPC_CALL_IDLE;
    rill_semaphore_release(&call->client->places, 1);
    return RILL_READY;
}

/* ---- */

struct rill_future *rill_rdma_rpc_call(struct rill_rdma_rpc_client *client,
                                       struct rill_rdma_rpc_call *call, uint32_t method,
                                       const void *request, size_t size, void *reply,
                                       size_t reply_size)
{
    static const struct rill_place name = {"call", NULL, 0};

    rill_check(client->rpc->is_open, "a call of a service that is not open");
    rill_check(call->state == RILL_RDMA_RPC_CALL_IDLE ||
                   (call->state == RILL_RDMA_RPC_CALL_IN_LINE &&
                    !rill_link_is_linked(&call->acquire.place.link)),
               "a call is used while it is in flight, or was not zeroed before its first use");
    rill_future_init(&call->future, call_poll);
    call->future.place = &name;
    call->is_answered = false;
    call->reply_size = 0;
    call->client = client;
    call->method = method;
    call->request = request;
    call->request_size = size;
    call->reply = reply;
    call->reply_max = reply_size;
    call->state = RILL_RDMA_RPC_CALL_IN_LINE;
    call->is_sent = false;
    call->announced = NULL;
    call->end = (struct rill_rdma_ep_waiter){0};
    rill_semaphore_acquire(&client->places, &call->acquire, 1);
    return &call->future;
}

void rill_rdma_rpc_client_init(struct rill_rdma_rpc_client *client, struct rill_rdma_rpc *rpc,
                               struct rill_rdma_ep *ep, size_t calls_max)
{
    client->rpc = rpc;
    client->ep = ep;
    rill_semaphore_init(&client->places, calls_max);
}

void rill_rdma_rpc_client_finish(struct rill_rdma_rpc_client *client)
{
    rill_semaphore_finish(&client->places);
}
