/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/channel.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

const struct rill_place rill_channel_send_name_ = {"send into a channel", NULL, 0};
const struct rill_place rill_channel_receive_name_ = {"receive from a channel", NULL, 0};
const struct rill_place rill_channel_reserve_name_ = {"reserve a place in a channel", NULL, 0};

void rill_channel_init_(struct rill_channel *channel, void *slots, size_t capacity, size_t size)
{
    rill_check(capacity > 0, "a channel without room for a message");
    *channel = (struct rill_channel){
        .capacity = capacity,
        .message_size = size,
        .slots = slots,
    };
    rill_line_init(&channel->senders);
    rill_line_init(&channel->receivers);
}

void rill_channel_finish_(struct rill_channel *channel)
{
    rill_line_finish(&channel->senders, "a channel");
    rill_line_finish(&channel->receivers, "a channel");
    rill_check(channel->reserved == 0, "a channel was finished with %zu places reserved",
               channel->reserved);
    channel->is_closed = true;
    channel->count = 0;
}

/* A call of memcpy costs more than the message where that is one or two words. */
static inline void copy(void *to, const void *from, size_t size)
{
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 16)
        memcpy(to, from, 16);
    else
        memcpy(to, from, size);
}

static bool has_room(const struct rill_channel *channel)
{
    return channel->count + channel->reserved < channel->capacity;
}

bool rill_channel_has_ended_(const struct rill_channel *channel)
{
    return channel->is_closed && channel->count == 0 && channel->reserved == 0;
}

static void put(struct rill_channel *channel, const void *message)
{
    size_t slot = channel->first + channel->count;

    if (slot >= channel->capacity)
        slot -= channel->capacity;
    copy(channel->slots + slot * channel->message_size, message, channel->message_size);
    channel->count++;
    rill_line_wake_first(&channel->receivers);
}

void rill_channel_take_(struct rill_channel *channel, void *message)
{
    copy(message, channel->slots + channel->first * channel->message_size, channel->message_size);
    if (++channel->first == channel->capacity)
        channel->first = 0;
    channel->count--;
    rill_line_wake_first(&channel->senders);
}

/* Who leaves the line passes on what it was woken for. Who was not in it found it
 * empty, or changed nothing. */
static enum rill_poll end_sender(struct rill_channel_op *op, int64_t result)
{
    struct rill_channel *channel = op->channel;

    if (!rill_link_is_linked(&op->place.link))
        return rill_future_end(&op->future, result);
    rill_line_leave(&op->place);
    if (has_room(channel))
        rill_line_wake_first(&channel->senders);
    return rill_future_end(&op->future, result);
}

static enum rill_poll end_receiver(struct rill_channel_op *op, int64_t result)
{
    struct rill_channel *channel = op->channel;

    if (!rill_link_is_linked(&op->place.link))
        return rill_future_end(&op->future, result);
    rill_line_leave(&op->place);
    if (channel->count > 0 || rill_channel_has_ended_(channel))
        rill_line_wake_first(&channel->receivers);
    return rill_future_end(&op->future, result);
}

/* Of a task that is cancelled, or from a channel that is closed. */
__attribute__((noinline, cold)) static enum rill_poll give_up_sending(struct rill_channel_op *op,
                                                                      struct rill_task *task)
{
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    return end_sender(op, rill_task_is_cancelled(task) ? -ECANCELED : -EPIPE);
}

__attribute__((noinline, cold)) static enum rill_poll give_up_receiving(struct rill_channel_op *op,
                                                                        struct rill_task *task)
{
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    return end_receiver(op, rill_task_is_cancelled(task) ? -ECANCELED : 0);
}

/* Waits for room. Returns whether there is, for this one, now; if not, *poll says
 * how the poll ends. */
static inline bool may_send(struct rill_channel_op *op, struct rill_task *task,
                            enum rill_poll *poll)
{
    struct rill_channel *channel = op->channel;

    if (rill_task_is_cancelled(task) || channel->is_closed) {
        *poll = give_up_sending(op, task);
        return false;
    }
    *poll = RILL_PENDING;
    if (!has_room(channel) || !rill_line_is_first(&channel->senders, &op->place)) {
        rill_line_join(&channel->senders, &op->place, task);
        return false;
    }
    return rill_budget_spend(rill_executor_here(), task);
}

enum rill_poll rill_channel_send_poll_(struct rill_future *self, struct rill_task *task)
{
    struct rill_channel_op *op = rill_container_of(self, struct rill_channel_op, future);
    enum rill_poll poll;

    if (!may_send(op, task, &poll))
        return poll;
    put(op->channel, op->sent);
    return end_sender(op, 0);
}

enum rill_poll rill_channel_reserve_poll_(struct rill_future *self, struct rill_task *task)
{
    struct rill_channel_op *op = rill_container_of(self, struct rill_channel_op, future);
    enum rill_poll poll;

    if (!may_send(op, task, &poll))
        return poll;
    op->channel->reserved++;
    return end_sender(op, 0);
}

enum rill_poll rill_channel_receive_poll_(struct rill_future *self, struct rill_task *task)
{
    struct rill_channel_op *op = rill_container_of(self, struct rill_channel_op, future);
    struct rill_channel *channel = op->channel;

    if (rill_task_is_cancelled(task) || rill_channel_has_ended_(channel))
        return give_up_receiving(op, task);
    if (channel->count == 0 || !rill_line_is_first(&channel->receivers, &op->place)) {
        rill_line_join(&channel->receivers, &op->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    rill_channel_take_(channel, op->received);
    return end_receiver(op, 1);
}

static void take_reserved(struct rill_channel *channel)
{
    rill_check(channel->reserved > 0, "no place is reserved in this channel");
    channel->reserved--;
}

void rill_channel_send_reserved_(struct rill_channel *channel, const void *message)
{
    take_reserved(channel);
    put(channel, message);
}

void rill_channel_give_up_(struct rill_channel *channel)
{
    take_reserved(channel);
    rill_line_wake_first(&channel->senders);
    if (rill_channel_has_ended_(channel))
        rill_line_wake_all(&channel->receivers);
}

int rill_channel_try_send_(struct rill_channel *channel, const void *message)
{
    if (channel->is_closed)
        return -EPIPE;
    if (!has_room(channel) || !rill_line_is_empty(&channel->senders)) {
        rill_line_check(&channel->senders);
        return -EAGAIN;
    }
    put(channel, message);
    return 0;
}

int rill_channel_try_receive_(struct rill_channel *channel, void *message)
{
    if (rill_channel_has_ended_(channel))
        return 0;
    if (channel->count == 0 || !rill_line_is_empty(&channel->receivers)) {
        rill_line_check(&channel->receivers);
        return -EAGAIN;
    }
    rill_channel_take_(channel, message);
    return 1;
}

void rill_channel_close_(struct rill_channel *channel)
{
    channel->is_closed = true;
    rill_line_wake_all(&channel->senders);
    rill_line_wake_all(&channel->receivers);
}
