/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/active_message.h"

#include "rdma/error.h"
#include "rdma/waiting.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

/* A message that arrived, in memory of the runtime's free lists. */
struct rill_rdma_am_held {
    struct rill_link link; /* rill_rdma_inbox.held */
    void *data;            /* UCX's, or what stands for data to be fetched; NULL: none left */
    size_t size;
    ucp_ep_h reply;     /* NULL: none */
    uint64_t ep_serial; /* of its endpoint when it arrived; 0: there was none as yet */
    bool is_rendezvous;
    uint8_t size_class;
    uint8_t header_size;
    unsigned char header[];
};

static struct rill_pool *pool(void)
{
    return &rill_executor_here()->pool;
}

/* ---- arriving ---- */

static struct rill_rdma_am_held *hold(struct rill_rdma_inbox *inbox, const void *header,
                                      size_t header_size, size_t size)
{
    struct rill_rdma_am_held *held;
    uint8_t size_class;

    if (header_size > RILL_RDMA_AM_HEADER_MAX || inbox->held_count >= inbox->held_max ||
        size > inbox->size_max)
        return NULL;
    held = rill_pool_get(pool(), sizeof *held + header_size, &size_class);
    if (!held)
        return NULL;
    *held = (struct rill_rdma_am_held){
        .size_class = size_class,
        .header_size = (uint8_t)header_size,
    };
    if (header_size > 0)
        memcpy(held->header, header, header_size);
    return held;
}

static void set_reply(const struct rill_rdma_inbox *inbox, struct rill_rdma_am_held *held,
                      ucp_ep_h reply)
{
    const struct rill_rdma_ep *ep = rill_rdma_ep_find(inbox->rdma, reply);

    held->reply = reply;
    held->ep_serial = ep ? ep->serial : 0;
}

/* Called within progress. The inbox was opened so that the data persist if it says so,
 * which UCS_INPROGRESS does. Data without a byte are not worth keeping. */
static ucs_status_t on_message(void *inbox_, const void *header, size_t header_size, void *data,
                               size_t size, const ucp_am_recv_param_t *param)
{
    struct rill_rdma_inbox *inbox = inbox_;
    struct rill_rdma_am_held *held = hold(inbox, header, header_size, size);
    bool persists = param->recv_attr & (UCP_AM_RECV_ATTR_FLAG_DATA | UCP_AM_RECV_ATTR_FLAG_RNDV);

    if (!held || (size > 0 && !persists)) {
        if (held)
            rill_pool_put(pool(), held, held->size_class);
        inbox->dropped++;
        return UCS_OK;
    }
    held->data = persists ? data : NULL;
    held->size = size;
    held->is_rendezvous = param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV;
    if (param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP)
        set_reply(inbox, held, param->reply_ep);
    rill_list_append(&inbox->held, &held->link);
    inbox->held_count++;
    rill_line_wake_first(&inbox->line);
    return persists ? UCS_INPROGRESS : UCS_OK;
}

static void drop(struct rill_rdma *rdma, struct rill_rdma_am_held *held)
{
    if (held->data)
        rill_rdma_am_let_go(rdma, held->data);
    rill_pool_put(pool(), held, held->size_class);
}

static struct rill_rdma_am_held *pop(struct rill_rdma_inbox *inbox)
{
    inbox->held_count--;
    return rill_container_of(rill_list_pop(&inbox->held), struct rill_rdma_am_held, link);
}

/* ---- taking ---- */

/* Looked for each time: it may have been closed since, and its handle be another's now. */
static struct rill_rdma_ep *endpoint_of(const struct rill_rdma_am_held *held,
                                        const struct rill_rdma_am *message)
{
    struct rill_rdma *rdma = message->inbox->rdma;
    struct rill_rdma_ep *ep;

    if (!held->reply)
        return NULL;
    if (held->ep_serial == 0)
        return rill_rdma_ep_find_late(rdma, held->reply);
    ep = rill_rdma_ep_find(rdma, held->reply);
    return ep && held->ep_serial == ep->serial ? ep : NULL;
}

static void fill(struct rill_rdma_am *message, struct rill_rdma_am_held *held)
{
    message->held = held;
    message->header = held->header;
    message->header_size = held->header_size;
    message->data = held->is_rendezvous ? NULL : held->data;
    message->size = held->size;
    message->ep = endpoint_of(held, message);
    message->inbox->rdma->messages++;
}

static bool has_news(const struct rill_rdma_inbox *inbox)
{
    return inbox->held_count > 0 || inbox->has_lost || inbox->rdma->is_deaf;
}

static enum rill_poll leave(struct rill_rdma_am *message, int64_t result)
{
    struct rill_rdma_inbox *inbox = message->inbox;

    rill_rdma_line_leave(inbox->rdma, &inbox->line, &message->place, has_news(inbox));
    return rill_future_end(&message->future, result);
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_am *message = rill_container_of(self, struct rill_rdma_am, future);
    struct rill_rdma_inbox *inbox = message->inbox;

    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return leave(message, -ECANCELED);
    }
    if (has_news(inbox) && rill_line_is_first(&inbox->line, &message->place)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        if (inbox->has_lost) {
            inbox->has_lost = false;
            return leave(message, -ENOBUFS);
        }
        if (inbox->held_count == 0)
            return leave(message, -ENOTRECOVERABLE);
        fill(message, pop(inbox));
        return leave(message, (int64_t)message->size);
    }
    rill_rdma_line_join(inbox->rdma, &inbox->line, &message->place, task);
    return RILL_PENDING;
}

struct rill_future *rill_rdma_am_recv(struct rill_rdma_inbox *inbox, struct rill_rdma_am *message)
{
    static const struct rill_place name = {"receive an active message", NULL, 0};

    rill_check(inbox->is_open, "a message is received from an inbox that is not open");
    rill_check(!message->held, "a message is received into one that was not released");
    rill_future_init(&message->future, recv_poll);
    message->future.place = &name;
    message->inbox = inbox;
    message->place = (struct rill_place_in_line){0};
    return &message->future;
}

void rill_rdma_am_release(struct rill_rdma_am *message)
{
    if (!message->held)
        return;
    drop(message->inbox->rdma, message->held);
    message->inbox->rdma->messages--;
    message->held = NULL;
    message->data = NULL;
    message->header = NULL;
}

/* ---- fetching ---- */

/* Nobody cancels a fetch: UCX says so of data whose endpoint it does not have any more, and nor may
 * rill, which then cannot ask it why. */
static void on_fetched(void *request, ucs_status_t status, size_t length, void *op_)
{
    struct rill_rdma_op *op = op_;

    if (status == UCS_ERR_CANCELED && !(op->ep && op->ep->error))
        status = UCS_ERR_CONNECTION_RESET;
    rill_rdma_op_complete(op, request, status, (int64_t)length);
}

static ucs_status_ptr_t receive_data(struct rill_rdma_op *op, void *data)
{
    const ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv_am = on_fetched,
        .user_data = op,
    };

    return op->rdma->ucx->am_recv_data_nbx(op->rdma->worker, data, op->buffer, op->size, &param);
}

/* A rendezvous is given to UCX with this, whatever becomes of it. One without a byte is
 * answered by releasing it: UCX 1.13 forgets it otherwise. */
static ucs_status_ptr_t post_fetch(struct rill_rdma_op *op)
{
    struct rill_rdma_am *message = op->fetch.message;
    void *data = message->held->data;

    if (op->size == 0)
        return NULL;
    if (!message->held->is_rendezvous) {
        memcpy(op->buffer, data, op->size);
        return NULL;
    }
    message->held->data = NULL;
    return receive_data(op, data);
}

struct rill_future *rill_rdma_am_fetch(struct rill_rdma_am *message, struct rill_rdma_op *op,
                                       void *buffer)
{
    static const struct rill_rdma_verb verb = {
        {"fetch the data of an active message", NULL, 0}, post_fetch, false};

    rill_check(message->held && (message->held->data || message->size == 0),
               "the data of a message are fetched that has none left");
    rill_rdma_op_prepare(op, &verb, message->inbox->rdma, NULL);
    if (message->held->is_rendezvous) /* what came with the message needs no endpoint */
        op->ep = endpoint_of(message->held, message);
    op->buffer = buffer;
    op->size = message->size;
    op->fetch.message = message;
    return &op->future;
}

static ucs_status_ptr_t post_fetch_data(struct rill_rdma_op *op)
{
    void *taken = *op->fetch.data;

    *op->fetch.data = NULL;
    return receive_data(op, taken);
}

struct rill_future *rill_rdma_am_fetch_data(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            void **data, void *buffer, size_t size)
{
    static const struct rill_rdma_verb verb = {
        {"fetch what was announced", NULL, 0}, post_fetch_data, false};

    rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
    op->buffer = buffer;
    op->size = size;
    op->fetch.data = data;
    return &op->future;
}

/* ---- sending ---- */

static ucs_status_ptr_t post_send(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = op->am.flags;
    return op->rdma->ucx->am_send_nbx(op->ep->ucp, op->am.id, op->am.header, op->am.header_size,
                                      op->buffer, op->size, &param);
}

struct rill_future *rill_rdma_am_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op, unsigned id,
                                      const void *header, size_t header_size, const void *data,
                                      size_t size, unsigned flags)
{
    static const struct rill_rdma_verb verb = {
        {"send an active message", NULL, 0}, post_send, false};

    rill_check(header_size <= RILL_RDMA_AM_HEADER_MAX, "a header of %zu bytes: want %d at the most",
               header_size, RILL_RDMA_AM_HEADER_MAX);
    rill_check(id < RILL_RDMA_AM_IDS, "an inbox %u: want %d at the most", id, RILL_RDMA_AM_IDS - 1);
    rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
    op->buffer = (void *)(uintptr_t)data;
    op->size = size;
    op->am = (struct rill_rdma_op_am){header, header_size, id, rill_rdma_am_flags(flags)};
    return &op->future;
}

/* ---- its life ---- */

static int set_handler(struct rill_rdma *rdma, unsigned id, ucp_am_recv_callback_t callback,
                       void *inbox)
{
    const ucp_am_handler_param_t param = {
        .field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                      UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG,
        .id = id,
        .flags = UCP_AM_FLAG_WHOLE_MSG | UCP_AM_FLAG_PERSISTENT_DATA,
        .cb = callback,
        .arg = inbox,
    };

    return rill_rdma_errno(rdma->ucx->worker_set_am_recv_handler(rdma->worker, &param));
}

/* UCX would let the second handler of a number take the place of the first, and say nothing. */
static bool is_taken(const struct rill_rdma *rdma, unsigned id)
{
    for (struct rill_link *link = rdma->numbers.next; link != &rdma->numbers; link = link->next)
        if (rill_container_of(link, struct rill_rdma_am_number, taken)->id == id)
            return true;
    return false;
}

int rill_rdma_am_handle(struct rill_rdma *rdma, struct rill_rdma_am_number *number, unsigned id,
                        ucp_am_recv_callback_t callback, void *inbox)
{
    int error;

    if (id >= RILL_RDMA_AM_IDS)
        return -EINVAL;
    if (is_taken(rdma, id))
        return -EADDRINUSE;
    error = set_handler(rdma, id, callback, inbox);
    if (error)
        return error;
    number->id = id;
    rill_list_append(&rdma->numbers, &number->taken);
    return 0;
}

/* Of a number that nobody handles any more: UCX would print a warning for each message. */
static ucs_status_t drop_message(void *nothing, const void *header, size_t header_size, void *data,
                                 size_t size, const ucp_am_recv_param_t *param)
{
    (void)nothing;
    (void)header;
    (void)header_size;
    (void)data;
    (void)size;
    (void)param;
    return UCS_OK;
}

void rill_rdma_am_unhandle(struct rill_rdma *rdma, struct rill_rdma_am_number *number)
{
    rill_link_remove(&number->taken);
    (void)set_handler(rdma, number->id, drop_message, NULL);
}

/* UCX looks up a message's number in its table before it looks whether the table is so long
 * (ucp_am.c, 1.13 to 1.20): of a number that nobody has an inbox for it would read, and call,
 * what lies behind. With the last number in it the table has all of them: 1.5 MiB. */
int rill_rdma_am_prepare(struct rill_rdma *rdma)
{
    return set_handler(rdma, RILL_RDMA_AM_IDS - 1, drop_message, NULL);
}

static void close_with_rdma(struct rill_rdma_am_number *number)
{
    rill_rdma_inbox_close(rill_container_of(number, struct rill_rdma_inbox, number));
}

static void lose(struct rill_rdma_am_number *number)
{
    struct rill_rdma_inbox *inbox = rill_container_of(number, struct rill_rdma_inbox, number);

    inbox->has_lost = inbox->has_lost || !inbox->rdma->is_deaf; /* to which nothing comes */
    rill_line_wake_first(&inbox->line);
}

int rill_rdma_inbox_open(struct rill_rdma_inbox *inbox, struct rill_rdma *rdma, unsigned id)
{
    int error;

    rill_check(!inbox->is_open, "an inbox was opened that is open already");
    rill_check(rdma->is_open, "an inbox was opened of an rdma that is not open");
    *inbox = (struct rill_rdma_inbox){
        .rdma = rdma,
        .held_max = RILL_RDMA_AM_HELD_MAX,
        .size_max = SIZE_MAX,
        .number.close = close_with_rdma,
        .number.lose = lose,
    };
    rill_list_init(&inbox->held);
    rill_line_init(&inbox->line);
    error = rill_rdma_am_handle(rdma, &inbox->number, id, on_message, inbox);
    inbox->is_open = !error;
    return error;
}

void rill_rdma_inbox_close(struct rill_rdma_inbox *inbox)
{
    if (!inbox->is_open)
        return;
    rill_line_finish(&inbox->line, "an inbox");
    rill_rdma_am_unhandle(inbox->rdma, &inbox->number);
    while (inbox->held_count > 0)
        drop(inbox->rdma, pop(inbox));
    inbox->is_open = false;
}
