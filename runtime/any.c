/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/any.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

void rill_any_init(struct rill_any *any, struct rill_future **futures, uint32_t count)
{
    *any = (struct rill_any){.futures = futures, .count = count};
    for (uint32_t i = 0; i < count; i++)
        futures[i] = NULL;
}

static uint32_t behind(const struct rill_any *any, uint32_t index)
{
    return index + 1 < any->count ? index + 1 : 0;
}

/* Between two rounds what is pending may still write into memory that goes with the task, as an
 * operation in flight does, and so it is counted as one. */
static void owe(struct rill_any *any, struct rill_task *task)
{
    for (uint32_t i = 0; i < any->count && !any->debtor; i++)
        if (any->futures[i])
            any->debtor = task;
    if (any->debtor)
        task->ops++;
}

static void settle(struct rill_any *any)
{
    if (any->debtor)
        any->debtor->ops--;
    any->debtor = NULL;
}

/* It awaits the one that it is polling, so itself only if that has come back here. */
static void check_entry(struct rill_future *self)
{
    if (__builtin_expect(self->awaits == self, 0)) {
        self->awaits = NULL; /* a chain that the panic can print to its end */
        rill_panic("any was given itself to await");
    }
}

static enum rill_poll next_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_any *any = rill_container_of(self, struct rill_any, future);
    struct rill_future *pending = NULL; /* the first: what a print of the task shows */
    uint32_t i = any->first;

    check_entry(self);
    settle(any);
    for (uint32_t left = any->count; left > 0; left--, i = behind(any, i)) {
        struct rill_future *future = any->futures[i];

        if (!future)
            continue;
        self->awaits = future;
        if (future->poll(future, task) == RILL_PENDING) {
            if (!pending)
                pending = future;
            continue;
        }
        any->futures[i] = NULL;
        self->awaits = NULL;
        if (!rill_future_has_won(future, task))
            continue;
        any->first = behind(any, i);
        owe(any, task);
        return rill_future_end(self, i);
    }
    self->awaits = pending;
    if (pending)
        return RILL_PENDING;
    return rill_end_at_once(self, task, rill_task_is_cancelled(task) ? -ECANCELED : -ENOENT);
}

static enum rill_poll drain_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_any *any = rill_container_of(self, struct rill_any, future);
    struct rill_future *pending = NULL;

    check_entry(self);
    for (uint32_t i = any->begin; i < any->end; i++) {
        struct rill_future *future = any->futures[i];

        if (!future)
            continue;
        self->awaits = future;
        if (rill_poll_because(future, task, (enum rill_cancel_reason)any->reason) == RILL_PENDING) {
            if (!pending)
                pending = future;
            continue;
        }
        any->futures[i] = NULL;
        if (future->result != -ECANCELED)
            any->result++;
    }
    self->awaits = pending;
    if (pending)
        return RILL_PENDING;
    owe(any, task); /* the others, of a withdrawal */
    return rill_future_end(self, any->result);
}

static enum rill_poll start_drain_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_any *any = rill_container_of(self, struct rill_any, future);

    if (!rill_budget_spend(rill_executor_here(), task)) /* there may be none left */
        return RILL_PENDING;
    settle(any);
    /* They have been told already, and the first reason stays. */
    if (rill_task_is_cancelled(task))
        any->reason = (uint8_t)rill_task_cancel_reason(task);
    self->poll = drain_poll;
    return drain_poll(self, task);
}

static struct rill_future *prepare(struct rill_any *any, const struct rill_place *place,
                                   rill_poll_fn *poll)
{
    rill_future_init(&any->future, poll);
    any->future.place = place;
    return &any->future;
}

struct rill_future *rill_any_next(struct rill_any *any)
{
    static const struct rill_place name = {"next of any", NULL, 0};

    return prepare(any, &name, next_poll);
}

struct rill_future *rill_any_drain(struct rill_any *any, enum rill_cancel_reason reason)
{
    static const struct rill_place name = {"drain", NULL, 0};

    rill_check(reason != RILL_NOT_CANCELLED, "futures were drained for no reason");
    any->reason = (uint8_t)reason;
    any->begin = 0;
    any->end = any->count;
    return prepare(any, &name, start_drain_poll);
}

struct rill_future *rill_any_withdraw(struct rill_any *any, uint32_t index)
{
    static const struct rill_place name = {"withdraw one of any", NULL, 0};

    rill_check(index < any->count, "entry %u was withdrawn of any of %u", index, any->count);
    any->reason = RILL_CANCELLED;
    any->begin = index;
    any->end = index + 1;
    return prepare(any, &name, start_drain_poll);
}
