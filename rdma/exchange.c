/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/exchange.h"

#include "rdma/tag.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

/* A transfer has a poll function for each of its states. */

static struct rill_rdma_transfer *transfer_of(struct rill_future *self)
{
    return rill_container_of(self, struct rill_rdma_transfer, future);
}

static enum rill_poll finish(struct rill_rdma_transfer *transfer, int64_t result)
{
    if (result < 0 && result != -ECANCELED && result != -ESHUTDOWN) /* those were somebody's wish */
        transfer->connection->metrics.errors++;
    transfer->future.awaits = NULL;
    return rill_future_end(&transfer->future, result);
}

/* An op that ended with -ECANCELED although its task is not cancelled was withdrawn as its
 * connection ended. */
static int64_t result_of(const struct rill_rdma_transfer *transfer, const struct rill_task *task)
{
    int64_t result = transfer->op.result;

    return result == -ECANCELED && !rill_task_is_cancelled(task)
               ? rill_rdma_connection_why(transfer->connection)
               : result;
}

/* The id of the receiver is known only when the transfer begins. All of the tag is made, as to set
 * its upper half alone is a store of half its size: UCX then loads what lies in two stores, and a
 * core waits with that until both, and all stores before them, have left for the cache. */
static void address(struct rill_rdma_transfer *transfer, uint32_t id)
{
    transfer->op.tag = rill_rdma_tag_make(id, RILL_RDMA_KIND_DATA, (uint32_t)transfer->op.tag);
}

/* ---- sending ---- */

void rill_rdma_exchange_wake(struct rill_rdma_connection *connection)
{
    struct rill_link *list = &connection->waiting;

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        rill_task_wake(rill_container_of(link, struct rill_rdma_transfer, queue)->task);
        if (connection->state == RILL_RDMA_CONNECTED)
            break; /* the others come after the first */
    }
}

static enum rill_poll sending_poll(struct rill_future *self, struct rill_task *task);

/* Those that began to wait before this side disconnected are still sent. */
static bool may_be_sent(const struct rill_rdma_transfer *transfer)
{
    const struct rill_rdma_connection *connection = transfer->connection;

    if (connection->state == RILL_RDMA_CONNECTED)
        return !connection->ep.error;
    return connection->state == RILL_RDMA_CLOSING && !connection->bye.came &&
           !connection->ep.error && rill_link_is_linked(&transfer->queue);
}

static uint64_t cost_of(const struct rill_rdma_transfer *transfer)
{
    return rill_rdma_cost(transfer->op.size, transfer->connection->hub->rdma->eager_size);
}

/* Spends the credit for it. Its op is to be posted next. */
static inline void begin_sending(struct rill_rdma_transfer *transfer, uint64_t cost)
{
    struct rill_rdma_connection *connection = transfer->connection;

    connection->credit.sent += cost;
    if (rill_link_is_linked(&transfer->queue))
        rill_link_remove(&transfer->queue);
    address(transfer, connection->peer.id);
    transfer->future.poll = sending_poll;
    transfer->future.awaits = &transfer->op.future;
}

/* Posts the sends for which there is credit on behalf of the tasks that wait, in their order. If
 * these were only woken, sends that come meanwhile would join the end of a queue that is never
 * empty again, and every message would take a turn. After as many as one poll may have, the next
 * task is woken and goes on with it. */
static void send_waiting(struct rill_rdma_connection *connection)
{
    for (unsigned left = RILL_TASK_BUDGET; !rill_list_is_empty(&connection->waiting); left--) {
        struct rill_rdma_transfer *first =
            rill_container_of(connection->waiting.next, struct rill_rdma_transfer, queue);

        uint64_t cost = cost_of(first);

        if (!may_be_sent(first) || left == 0) {
            rill_task_wake(first->task);
            return;
        }
        if (!rill_rdma_credit_allows(&connection->credit, cost))
            return;
        begin_sending(first, cost);
        rill_rdma_op_post_for(&first->op, first->task);
    }
}

static void leave_queue(struct rill_rdma_transfer *transfer)
{
    if (!rill_link_is_linked(&transfer->queue))
        return;
    rill_link_remove(&transfer->queue);
    send_waiting(transfer->connection);
}

static enum rill_poll end_send(struct rill_rdma_transfer *transfer, int64_t result)
{
    struct rill_rdma_connection *connection = transfer->connection;
    struct rill_rdma_metrics *metrics = &connection->metrics;

    leave_queue(transfer);
    if (--metrics->sends_in_flight == 0 && connection->state == RILL_RDMA_CLOSING)
        rill_task_wake(&connection->keeper);
    if (result >= 0) {
        metrics->messages_sent++;
        metrics->bytes_sent += (uint64_t)result;
        rill_rdma_metrics_latency(metrics,
                                  transfer->has_waited ? rill_now() - transfer->begun_ns : 0);
    }
    return finish(transfer, result);
}

/* Whether the transfer belongs to the connection as it is now. That may have been lost and made
 * again, with fresh credit, before the transfer is polled. */
static bool is_of_now(const struct rill_rdma_transfer *transfer, uint32_t id)
{
    return transfer->op.tag >> 32 == id;
}

/* UCX did not take it, so the other side will not give its credit back. */
static void refund(struct rill_rdma_transfer *transfer)
{
    struct rill_rdma_connection *connection = transfer->connection;

    if (!is_of_now(transfer, connection->peer.id))
        return;
    connection->credit.sent -= cost_of(transfer);
    rill_rdma_exchange_wake(connection);
}

static enum rill_poll sending_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_transfer *transfer = transfer_of(self);

    if (rill_rdma_op_poll(&transfer->op.future, task) == RILL_PENDING)
        return RILL_PENDING;
    if (transfer->op.result < 0 && !transfer->op.waiter)
        refund(transfer);
    return end_send(transfer, result_of(transfer, task));
}

static bool is_its_turn(const struct rill_rdma_transfer *transfer, uint64_t cost)
{
    const struct rill_rdma_connection *connection = transfer->connection;
    bool is_first = rill_link_is_linked(&transfer->queue)
                        ? connection->waiting.next == &transfer->queue
                        : rill_list_is_empty(&connection->waiting);

    return is_first && rill_rdma_credit_allows(&connection->credit, cost);
}

/* Starts the op when there is credit for it. */
static enum rill_poll waiting_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_transfer *transfer = transfer_of(self);
    struct rill_rdma_connection *connection = transfer->connection;
    enum rill_poll poll;
    uint64_t cost;

    transfer->task = task;
    if (rill_task_is_cancelled(task) || !may_be_sent(transfer)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return end_send(transfer, rill_task_is_cancelled(task)
                                      ? -ECANCELED
                                      : rill_rdma_connection_why(connection));
    }
    cost = cost_of(transfer);
    if (!is_its_turn(transfer, cost)) {
        if (!rill_link_is_linked(&transfer->queue)) {
            rill_list_append(&connection->waiting, &transfer->queue);
            connection->metrics.credit_waits++;
        }
        return RILL_PENDING;
    }
    begin_sending(transfer, cost);
    poll = sending_poll(self, task);
    send_waiting(connection);
    return poll;
}

static enum rill_poll send_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_transfer *transfer = transfer_of(self);

    transfer->has_waited = false;
    transfer->connection->metrics.sends_in_flight++;
    self->poll = waiting_poll;
    if (waiting_poll(self, task) == RILL_READY)
        return RILL_READY;
    transfer->begun_ns = rill_now(); /* most sends end at once, and read no clock */
    transfer->has_waited = true;
    return RILL_PENDING;
}

static struct rill_future *prepare(struct rill_rdma_transfer *transfer,
                                   struct rill_rdma_connection *connection, rill_poll_fn *poll,
                                   const struct rill_place *place)
{
    rill_check(connection->hub, "%s: over a connection that was never made", place->function);
    rill_check(!rill_link_is_linked(&transfer->queue), "%s: by a transfer that waits for credit",
               place->function);
    transfer->connection = connection;
    transfer->op.rdma = connection->hub->rdma; /* its endpoint may not be open yet */
    transfer->length = 0;
    rill_future_init(&transfer->future, poll);
    transfer->future.place = place;
    return &transfer->future;
}

static const struct rill_place sending_place = {"send a message", NULL, 0};

static uint64_t sent_tag(uint32_t tag)
{
    rill_rdma_tag_check(tag, sending_place.function);
    return rill_rdma_tag_make(0, RILL_RDMA_KIND_DATA, tag);
}

static struct rill_future *prepare_send(struct rill_rdma_connection *connection,
                                        struct rill_rdma_transfer *transfer)
{
    return prepare(transfer, connection, send_poll, &sending_place);
}

struct rill_future *rill_rdma_send(struct rill_rdma_connection *connection,
                                   struct rill_rdma_transfer *transfer, const void *buffer,
                                   size_t size, uint32_t tag)
{
    rill_rdma_tag_send(&connection->ep, &transfer->op, buffer, size, sent_tag(tag));
    return prepare_send(connection, transfer);
}

struct rill_future *rill_rdma_send_sync(struct rill_rdma_connection *connection,
                                        struct rill_rdma_transfer *transfer, const void *buffer,
                                        size_t size, uint32_t tag)
{
    rill_rdma_tag_send_sync(&connection->ep, &transfer->op, buffer, size, sent_tag(tag));
    return prepare_send(connection, transfer);
}

struct rill_future *rill_rdma_send_vectored(struct rill_rdma_connection *connection,
                                            struct rill_rdma_transfer *transfer,
                                            const struct iovec *parts, size_t count, uint32_t tag)
{
    rill_rdma_tag_send_vectored(&connection->ep, &transfer->op, parts, count, sent_tag(tag));
    return prepare_send(connection, transfer);
}

/* ---- receiving ---- */

/* Counts a message as taken, whether it fitted or not. */
static void take(struct rill_rdma_transfer *transfer)
{
    struct rill_rdma_connection *connection = transfer->connection;

    transfer->tag = (uint32_t)transfer->op.tag & RILL_RDMA_USER_TAG_MAX;
    transfer->length = transfer->op.length;
    if (!is_of_now(transfer, connection->id))
        return;
    connection->heartbeat.heard++;
    connection->credit.received += rill_rdma_cost(transfer->length, connection->peer.eager_size);
    rill_rdma_connection_settle(connection);
}

static enum rill_poll receiving_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_transfer *transfer = transfer_of(self);
    struct rill_rdma_metrics *metrics = &transfer->connection->metrics;
    int64_t result;

    if (rill_rdma_op_poll(&transfer->op.future, task) == RILL_PENDING)
        return RILL_PENDING;
    result = result_of(transfer, task);
    metrics->receives_in_flight--;
    if (result >= 0) {
        metrics->messages_received++;
        metrics->bytes_received += (uint64_t)result;
    }
    if (result >= 0 || result == -EMSGSIZE)
        take(transfer);
    return finish(transfer, result);
}

/* Whether a message for this receive has arrived, so that it can be taken although the connection
 * is over. Of a long one only the announcement has, and its sender may be gone. One that is longer
 * than the default for that, but goes with its announcement, comes in pieces, and all of them have
 * come only if the other side has said BYE behind them. A shorter one is whole where the peer's
 * settings are rill's; others may make small pieces of it: see end_if_torn. */
static bool is_left(const struct rill_rdma_transfer *transfer)
{
    const struct rill_rdma_connection *connection = transfer->connection;
    size_t size, whole = connection->peer.eager_size;

    if (whole > RILL_RDMA_EAGER_SIZE && !connection->bye.came)
        whole = RILL_RDMA_EAGER_SIZE;

    if (connection->id == 0 || connection->is_wanted_over || connection->ep.error == -ENOBUFS)
        return false;
    return rill_rdma_tag_probe(connection->hub->rdma, transfer->op.tag, transfer->op.tagged.mask,
                               &size, NULL) &&
           size < whole;
}

/* What is taken after the end is over when it is posted, if it is whole. Of what is not, the last
 * progress of an endpoint that failed may bring the rest: it ends with the endpoint, or now if
 * that has ended. UCX would wait for the other pieces for ever, and let go for no asking. */
static void end_if_torn(struct rill_rdma_transfer *transfer)
{
    struct rill_rdma_connection *connection = transfer->connection;
    struct rill_rdma_op *op = &transfer->op;

    if (op->state != RILL_RDMA_OP_IN_UCX)
        return;
    if (rill_rdma_ep_is_ending(&connection->ep))
        rill_rdma_op_join(op, &connection->ep);
    else
        rill_rdma_op_abandon(op, rill_rdma_connection_why(connection));
}

static inline enum rill_poll begin_receiving(struct rill_rdma_transfer *transfer,
                                             struct rill_task *task)
{
    transfer->connection->metrics.receives_in_flight++;
    transfer->future.poll = receiving_poll;
    transfer->future.awaits = &transfer->op.future;
    return receiving_poll(&transfer->future, task);
}

static enum rill_poll recv_left(struct rill_rdma_transfer *transfer, struct rill_task *task)
{
    transfer->op.ep = NULL;
    if (begin_receiving(transfer, task) == RILL_READY)
        return RILL_READY;
    end_if_torn(transfer);
    return RILL_PENDING;
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_transfer *transfer = transfer_of(self);
    struct rill_rdma_connection *connection = transfer->connection;

    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return finish(transfer, -ECANCELED);
    }
    address(transfer, connection->id);
    if (connection->state != RILL_RDMA_CONNECTED || connection->ep.error) {
        if (!is_left(transfer)) {
            if (!rill_budget_spend(rill_executor_here(), task))
                return RILL_PENDING;
            return finish(transfer, rill_rdma_connection_why(connection));
        }
        rill_task_wake(&connection->keeper); /* it may wait until nothing is left */
        if (connection->ep.error || !connection->ep.is_open)
            return recv_left(transfer, task);
    }
    return begin_receiving(transfer, task);
}

static const struct rill_place receiving_place = {"receive a message", NULL, 0};

static struct rill_future *prepare_recv(struct rill_rdma_connection *connection,
                                        struct rill_rdma_transfer *transfer)
{
    return prepare(transfer, connection, recv_poll, &receiving_place);
}

/* The mask, of the user's bits, for a tag that is wanted. */
static uint32_t mask_of(uint32_t tag, const char *who)
{
    if (tag == RILL_RDMA_ANY_TAG)
        return 0;
    rill_rdma_tag_check(tag, who);
    return RILL_RDMA_USER_TAG_MAX;
}

static struct rill_future *receive(struct rill_rdma_connection *connection,
                                   struct rill_rdma_transfer *transfer, void *buffer, size_t size,
                                   uint32_t tag, uint32_t mask)
{
    rill_rdma_tag_recv_from(&connection->ep, &transfer->op, buffer, size,
                            rill_rdma_tag_make(0, RILL_RDMA_KIND_DATA, tag),
                            rill_rdma_mask_make(mask));
    return prepare_recv(connection, transfer);
}

struct rill_future *rill_rdma_recv_masked(struct rill_rdma_connection *connection,
                                          struct rill_rdma_transfer *transfer, void *buffer,
                                          size_t size, uint32_t tag, uint32_t mask)
{
    rill_rdma_tag_check(tag, receiving_place.function);
    rill_check(mask <= RILL_RDMA_USER_TAG_MAX || mask == UINT32_MAX,
               "%s: %#x is no mask: tags have %d bits", receiving_place.function, mask,
               RILL_RDMA_USER_TAG_BITS);
    return receive(connection, transfer, buffer, size, tag, mask);
}

struct rill_future *rill_rdma_recv(struct rill_rdma_connection *connection,
                                   struct rill_rdma_transfer *transfer, void *buffer, size_t size,
                                   uint32_t tag)
{
    return receive(connection, transfer, buffer, size, tag, mask_of(tag, receiving_place.function));
}

struct rill_future *rill_rdma_recv_vectored(struct rill_rdma_connection *connection,
                                            struct rill_rdma_transfer *transfer,
                                            const struct iovec *parts, size_t count, uint32_t tag)
{
    rill_rdma_tag_recv_vectored(connection->ep.rdma, &transfer->op, parts, count,
                                rill_rdma_tag_make(0, RILL_RDMA_KIND_DATA, tag),
                                rill_rdma_mask_make(mask_of(tag, receiving_place.function)));
    transfer->op.ep = &connection->ep;
    return prepare_recv(connection, transfer);
}

bool rill_rdma_probe(const struct rill_rdma_connection *connection, uint32_t tag, size_t *size,
                     uint32_t *sender_tag)
{
    uint64_t mask = rill_rdma_mask_make(mask_of(tag, "probe for a message")), full;

    if (connection->id == 0 ||
        !rill_rdma_tag_probe(connection->hub->rdma,
                             rill_rdma_tag_make(connection->id, RILL_RDMA_KIND_DATA, tag), mask,
                             size, &full))
        return false;
    if (sender_tag)
        *sender_tag = (uint32_t)full & RILL_RDMA_USER_TAG_MAX;
    return true;
}
