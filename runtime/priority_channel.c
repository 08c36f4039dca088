/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/priority_channel.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_priority_channel_init_(struct rill_priority_channel *channel, void *slots,
                                 size_t capacity, size_t size)
{
    for (size_t i = 0; i < RILL_PRIORITIES; i++) {
        rill_channel_init_(&channel->levels[i], (char *)slots + i * size * capacity, capacity,
                           size);
        channel->overtaken[i] = 0;
    }
}

void rill_priority_channel_finish_(struct rill_priority_channel *channel)
{
    for (size_t i = 0; i < RILL_PRIORITIES; i++)
        rill_channel_finish_(&channel->levels[i]);
}

struct rill_channel *rill_priority_channel_level_(struct rill_priority_channel *channel,
                                                  enum rill_priority level)
{
    rill_check((unsigned)level < RILL_PRIORITIES, "there is no priority %d", (int)level);
    return &channel->levels[level];
}

/* Which level is next: the highest that has a message, unless a lower one has been
 * overtaken as often as it may be. Returns RILL_PRIORITIES if all are empty. */
static size_t choose(const struct rill_priority_channel *channel)
{
    size_t chosen = RILL_PRIORITIES;

    for (size_t i = RILL_PRIORITIES; i-- > 0;) {
        if (channel->levels[i].count == 0)
            continue;
        if (channel->overtaken[i] >= RILL_PRIORITY_OVERTAKEN_MAX)
            return i;
        chosen = i;
    }
    return chosen;
}

static bool has_ended(const struct rill_priority_channel *channel)
{
    for (size_t i = 0; i < RILL_PRIORITIES; i++)
        if (!rill_channel_has_ended_(&channel->levels[i]))
            return false;
    return true;
}

static enum rill_poll end(struct rill_priority_receive *op, int64_t result)
{
    struct rill_priority_channel *channel = op->channel;

    for (size_t i = 0; i < RILL_PRIORITIES; i++)
        rill_line_leave(&op->places[i]);
    /* All stand in the lines of all levels, and in the same order. */
    if (choose(channel) < RILL_PRIORITIES || has_ended(channel))
        rill_line_wake_first(&channel->levels[0].receivers);
    return rill_future_end(&op->future, result);
}

static enum rill_poll receive_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_priority_receive *op =
        rill_container_of(self, struct rill_priority_receive, future);
    struct rill_priority_channel *channel = op->channel;
    size_t chosen = choose(channel);

    if (rill_task_is_cancelled(task) || has_ended(channel)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return end(op, rill_task_is_cancelled(task) ? -ECANCELED : 0);
    }
    if (chosen == RILL_PRIORITIES ||
        !rill_line_is_first(&channel->levels[0].receivers, &op->places[0])) {
        for (size_t i = 0; i < RILL_PRIORITIES; i++)
            rill_line_join(&channel->levels[i].receivers, &op->places[i], task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    for (size_t i = chosen + 1; i < RILL_PRIORITIES; i++)
        if (channel->levels[i].count > 0)
            channel->overtaken[i]++;
    channel->overtaken[chosen] = 0;
    rill_channel_take_(&channel->levels[chosen], op->received);
    op->priority = (enum rill_priority)chosen;
    return end(op, 1);
}

struct rill_future *rill_priority_channel_receive_(struct rill_priority_channel *channel,
                                                   struct rill_priority_receive *op, void *message)
{
    static const struct rill_place name = {"receive by priority", NULL, 0};

    rill_future_init(&op->future, receive_poll);
    op->future.place = &name;
    op->channel = channel;
    op->received = message;
    for (size_t i = 0; i < RILL_PRIORITIES; i++)
        op->places[i].link.next = NULL;
    return &op->future;
}

void rill_priority_channel_close_(struct rill_priority_channel *channel)
{
    for (size_t i = 0; i < RILL_PRIORITIES; i++)
        rill_channel_close_(&channel->levels[i]);
}
