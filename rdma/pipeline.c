/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/pipeline.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

static struct rill_rdma_pipeline *pipeline_of(struct rill_future *self)
{
    return rill_container_of(self, struct rill_rdma_pipeline, future);
}

void rill_rdma_pipeline_init(struct rill_rdma_pipeline *pipeline,
                             struct rill_rdma_connection *connection,
                             struct rill_rdma_pipeline_slot *slots, size_t count,
                             rill_rdma_sent_fn *on_sent)
{
    rill_check(count > 0, "a pipeline without slots");
    *pipeline = (struct rill_rdma_pipeline){.connection = connection, .on_sent = on_sent};
    rill_list_init(&pipeline->idle);
    rill_list_init(&pipeline->busy);
    for (size_t i = 0; i < count; i++) {
        slots[i] = (struct rill_rdma_pipeline_slot){0};
        rill_list_append(&pipeline->idle, &slots[i].link);
    }
}

/* ---- what is on its way ---- */

static struct rill_rdma_pipeline_slot *slot_of(struct rill_link *link)
{
    return rill_container_of(link, struct rill_rdma_pipeline_slot, link);
}

static enum rill_poll poll_slot(struct rill_rdma_pipeline_slot *slot, struct rill_task *task)
{
    return slot->transfer.future.poll(&slot->transfer.future, task);
}

static bool task_is_alive(const struct rill_rdma_pipeline *pipeline)
{
    return pipeline->task.state != RILL_TASK_NEW && !rill_task_is_over(&pipeline->task);
}

/* A message that would only wait for credit behind one that does already need not have a
 * slot yet. */
static bool has_room(const struct rill_rdma_pipeline *pipeline)
{
    if (rill_list_is_empty(&pipeline->idle))
        return false;
    return rill_list_is_empty(&pipeline->busy) ||
           !rill_link_is_linked(&slot_of(pipeline->busy.prev)->transfer.queue);
}

static void account(struct rill_rdma_pipeline *pipeline, int64_t result)
{
    if (result >= 0)
        pipeline->sent++;
    else if (!pipeline->error)
        pipeline->error = (int)result;
}

static void give_back(const struct rill_rdma_outgoing *message)
{
    if (message->owned)
        rill_rdma_buffer_give_back(message->owned);
}

static void tell(struct rill_rdma_pipeline *pipeline, const struct rill_rdma_outgoing *message,
                 int64_t result)
{
    if (pipeline->on_sent)
        pipeline->on_sent(pipeline, message, result);
    give_back(message);
}

/* The message of a busy slot is over. */
static void retire(struct rill_rdma_pipeline *pipeline, struct rill_rdma_pipeline_slot *slot)
{
    struct rill_rdma_outgoing message = slot->message;
    int64_t result = slot->transfer.result;

    rill_link_remove(&slot->link);
    rill_list_prepend(&pipeline->idle, &slot->link);
    pipeline->in_flight--;
    account(pipeline, result);
    tell(pipeline, &message, result);
}

static bool waiter_may_go_on(const struct rill_rdma_pipeline *pipeline)
{
    if (pipeline->in_flight == 0)
        return true;
    return !pipeline->waits_for_all && (pipeline->error || has_room(pipeline));
}

static enum rill_poll task_poll(struct rill_future *self, struct rill_task *task)
{
    static const struct rill_place name = {"send what is in a pipeline", NULL, 0};
    struct rill_rdma_pipeline *pipeline =
        rill_container_of(self, struct rill_rdma_pipeline, task.future);
    struct rill_link *next;

    self->place = &name;
    for (struct rill_link *link = pipeline->busy.next; link != &pipeline->busy; link = next) {
        next = link->next;
        if (poll_slot(slot_of(link), task) == RILL_READY)
            retire(pipeline, slot_of(link));
    }
    if (pipeline->waiter && waiter_may_go_on(pipeline))
        rill_task_wake(pipeline->waiter);
    return pipeline->in_flight > 0 ? RILL_PENDING : RILL_READY;
}

/* Has the pipeline's own task look after a message that the sender's has begun. */
static void hand_over(struct rill_rdma_pipeline *pipeline, struct rill_rdma_pipeline_slot *slot)
{
    rill_list_append(&pipeline->busy, &slot->link);
    pipeline->in_flight++;
    if (!task_is_alive(pipeline))
        rill_task_spawn(&pipeline->task, task_poll);
    if (poll_slot(slot, &pipeline->task) == RILL_READY)
        retire(pipeline, slot);
}

/* Begins to send a message, for which there has to be room. Short ones are over before this
 * returns, as a rule, and need no other task. Returns 0, or -errno where it was not sent. */
static int start(struct rill_rdma_pipeline *pipeline, const struct rill_rdma_outgoing *message,
                 struct rill_task *task)
{
    struct rill_rdma_pipeline_slot *slot = slot_of(rill_list_pop(&pipeline->idle));
    int64_t result;

    slot->message = *message;
    rill_rdma_send(pipeline->connection, &slot->transfer, message->buffer, message->size,
                   message->tag);
    if (poll_slot(slot, task) == RILL_PENDING) {
        hand_over(pipeline, slot);
        return 0;
    }
    result = slot->transfer.result;
    rill_list_prepend(&pipeline->idle, &slot->link);
    account(pipeline, result);
    if (result < 0)
        return (int)result;
    tell(pipeline, &slot->message, result);
    return 0;
}

/* ---- giving it messages ---- */

static struct rill_future *prepare(struct rill_rdma_pipeline *pipeline, rill_poll_fn *poll,
                                   const struct rill_place *place)
{
    rill_check(!pipeline->waiter, "%s: another task waits in this pipeline", place->function);
    rill_future_init(&pipeline->future, poll);
    pipeline->future.place = place;
    return &pipeline->future;
}

static enum rill_poll stay(struct rill_rdma_pipeline *pipeline, struct rill_task *task,
                           bool for_all)
{
    pipeline->waiter = task;
    pipeline->waits_for_all = for_all;
    return RILL_PENDING;
}

/* Waits for room. Returns whether there is some, now; if not, *poll says how the poll ends,
 * with an error if it is RILL_READY. */
static bool may_send(struct rill_rdma_pipeline *pipeline, struct rill_task *task,
                     enum rill_poll *poll)
{
    pipeline->waiter = NULL;
    *poll = RILL_PENDING;
    pipeline->result = rill_task_is_cancelled(task) ? -ECANCELED : pipeline->error;
    if (pipeline->result < 0) {
        if (rill_budget_spend(rill_executor_here(), task))
            *poll = RILL_READY;
        return false;
    }
    if (!has_room(pipeline)) {
        stay(pipeline, task, false);
        return false;
    }
    return rill_budget_spend(rill_executor_here(), task);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pipeline *pipeline = pipeline_of(self);
    enum rill_poll poll;

    if (!may_send(pipeline, task, &poll) && poll == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, pipeline->result);
}

struct rill_future *rill_rdma_pipeline_wait(struct rill_rdma_pipeline *pipeline)
{
    static const struct rill_place name = {"wait for room in a pipeline", NULL, 0};

    return prepare(pipeline, wait_poll, &name);
}

static enum rill_poll send_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pipeline *pipeline = pipeline_of(self);
    enum rill_poll poll;

    if (may_send(pipeline, task, &poll))
        pipeline->result = start(pipeline, &pipeline->message, task);
    else if (poll == RILL_PENDING)
        return RILL_PENDING;
    if (pipeline->result < 0)
        give_back(&pipeline->message);
    return rill_future_end(self, pipeline->result);
}

struct rill_future *rill_rdma_pipeline_send_message(struct rill_rdma_pipeline *pipeline,
                                                    const struct rill_rdma_outgoing *message)
{
    static const struct rill_place name = {"send through a pipeline", NULL, 0};

    prepare(pipeline, send_poll, &name);
    pipeline->message = *message;
    return &pipeline->future;
}

struct rill_future *rill_rdma_pipeline_send(struct rill_rdma_pipeline *pipeline, const void *buffer,
                                            size_t size, uint32_t tag)
{
    return rill_rdma_pipeline_send_message(
        pipeline, &(struct rill_rdma_outgoing){.buffer = buffer, .size = size, .tag = tag});
}

struct rill_future *rill_rdma_pipeline_send_buffer(struct rill_rdma_pipeline *pipeline,
                                                   struct rill_rdma_buffer *buffer, size_t size,
                                                   uint32_t tag)
{
    return rill_rdma_pipeline_send_message(
        pipeline, &(struct rill_rdma_outgoing){
                      .buffer = buffer->bytes, .size = size, .tag = tag, .owned = buffer});
}

/* ---- waiting for all ---- */

/* Returns whether nothing is on its way, nobody looks after it any more, and the task still
 * has a share of this turn. */
static bool is_drained(struct rill_rdma_pipeline *pipeline, struct rill_task *task)
{
    pipeline->waiter = NULL;
    if (!task_is_alive(pipeline))
        return rill_budget_spend(rill_executor_here(), task);
    if (rill_task_is_cancelled(task) && pipeline->in_flight > 0)
        rill_task_cancel(&pipeline->task);
    stay(pipeline, task, true);
    return false;
}

static int take_error(struct rill_rdma_pipeline *pipeline)
{
    int error = pipeline->error;

    pipeline->error = 0;
    return error;
}

static enum rill_poll drain_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pipeline *pipeline = pipeline_of(self);

    return is_drained(pipeline, task) ? rill_future_end(self, take_error(pipeline)) : RILL_PENDING;
}

struct rill_future *rill_rdma_pipeline_drain(struct rill_rdma_pipeline *pipeline)
{
    static const struct rill_place name = {"drain a pipeline", NULL, 0};

    return prepare(pipeline, drain_poll, &name);
}

static enum rill_poll drain_batch_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pipeline *pipeline = pipeline_of(self);
    int error;

    if (!is_drained(pipeline, task))
        return RILL_PENDING;
    error = take_error(pipeline);
    return rill_future_end(self, error ? error : (int64_t)pipeline->batch_count);
}

static enum rill_poll batch_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pipeline *pipeline = pipeline_of(self);
    enum rill_poll poll;

    while (pipeline->batch_next < pipeline->batch_count) {
        if (!may_send(pipeline, task, &poll)) {
            if (poll == RILL_PENDING)
                return RILL_PENDING;
            account(pipeline, pipeline->result);
            break;
        }
        if (start(pipeline, &pipeline->batch[pipeline->batch_next], task) < 0)
            break;
        pipeline->batch_next++;
    }
    for (size_t i = pipeline->batch_next; i < pipeline->batch_count; i++)
        give_back(&pipeline->batch[i]);
    self->poll = drain_batch_poll;
    return drain_batch_poll(self, task);
}

struct rill_future *rill_rdma_pipeline_send_all(struct rill_rdma_pipeline *pipeline,
                                                const struct rill_rdma_outgoing *messages,
                                                size_t count)
{
    static const struct rill_place name = {"send a batch", NULL, 0};

    prepare(pipeline, batch_poll, &name);
    pipeline->batch = messages;
    pipeline->batch_count = count;
    pipeline->batch_next = 0;
    return &pipeline->future;
}
