/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/broadcast.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

void rill_broadcast_init_(struct rill_broadcast *broadcast, void *slots, size_t capacity,
                          size_t size)
{
    rill_check(capacity > 0, "a broadcast that keeps no message");
    *broadcast = (struct rill_broadcast){
        .capacity = capacity,
        .message_size = size,
        .slots = slots,
    };
    rill_line_init(&broadcast->receivers);
}

void rill_broadcast_finish_(struct rill_broadcast *broadcast)
{
    rill_line_finish(&broadcast->receivers, "a broadcast");
    broadcast->is_closed = true;
}

static char *slot_of(const struct rill_broadcast *broadcast, uint64_t number)
{
    return broadcast->slots + (number % broadcast->capacity) * broadcast->message_size;
}

int rill_broadcast_send_(struct rill_broadcast *broadcast, const void *message)
{
    if (broadcast->is_closed)
        return -EPIPE;
    rill_line_wake_all(&broadcast->receivers); /* first: it panics where there are no slots */
    memcpy(slot_of(broadcast, broadcast->sent), message, broadcast->message_size);
    broadcast->sent++;
    return 0;
}

void rill_broadcast_close_(struct rill_broadcast *broadcast)
{
    broadcast->is_closed = true;
    rill_line_wake_all(&broadcast->receivers);
}

void rill_broadcast_subscribe_(struct rill_broadcast *broadcast,
                               struct rill_subscription *subscription)
{
    *subscription = (struct rill_subscription){.next = broadcast->sent};
}

static enum rill_poll end(struct rill_subscription *subscription, int64_t result)
{
    rill_line_leave(&subscription->place);
    return rill_future_end(&subscription->future, result);
}

static enum rill_poll receive_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_subscription *subscription =
        rill_container_of(self, struct rill_subscription, future);
    struct rill_broadcast *broadcast = subscription->broadcast;
    bool is_cancelled = rill_task_is_cancelled(task);
    bool has_more = subscription->next != broadcast->sent;
    uint64_t oldest;

    if (!is_cancelled && !has_more && !broadcast->is_closed) {
        rill_line_join(&broadcast->receivers, &subscription->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (is_cancelled)
        return end(subscription, -ECANCELED);
    if (!has_more)
        return end(subscription, 0);
    oldest = broadcast->sent > broadcast->capacity ? broadcast->sent - broadcast->capacity : 0;
    subscription->missed = 0;
    if (subscription->next < oldest) {
        subscription->missed = oldest - subscription->next;
        subscription->next = oldest;
    }
    memcpy(subscription->message, slot_of(broadcast, subscription->next), broadcast->message_size);
    subscription->next++;
    return end(subscription, 1);
}

struct rill_future *rill_broadcast_receive_(struct rill_broadcast *broadcast,
                                            struct rill_subscription *subscription, void *message)
{
    static const struct rill_place name = {"receive from a broadcast", NULL, 0};

    rill_check(!rill_link_is_linked(&subscription->place.link),
               "two tasks use the same subscription");
    rill_future_init(&subscription->future, receive_poll);
    subscription->future.place = &name;
    subscription->broadcast = broadcast;
    subscription->message = message;
    return &subscription->future;
}
