/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/future_set.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

struct rill_future **rill_futures_fill(struct rill_future **array, size_t size,
                                       struct rill_future *const *futures, uint32_t count)
{
    rill_check(count <= size, "%u futures do not fit into an array of %zu", count, size);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++)
            rill_check(futures[j] != futures[i] || !futures[i],
                       "entries %u and %u are the same future: each needs a struct of its own", j,
                       i);
        array[i] = futures[i];
    }
    return array;
}

void rill_future_set_init(struct rill_future *self, struct rill_future_set *set,
                          struct rill_future **futures, uint32_t count,
                          const struct rill_place places[2])
{
    const char *name = places->function;

    for (uint32_t i = 0; i < count; i++) {
        rill_check(futures[i], "entry %u of a %s is NULL", i, name);
        rill_check(futures[i] != self, "a %s was given itself to await, as entry %u", name, i);
    }
    self->place = places;
    set->futures = futures;
    set->count = count;
    set->pending = count;
    set->decided = -1;
    set->reason = RILL_NOT_CANCELLED;
}

/* Polls each that is pending, up to the one that decides. */
static void poll_undecided(struct rill_future *self, struct rill_future_set *set,
                           struct rill_task *task, rill_future_set_decides_fn *decides)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct rill_future *future = set->futures[i];

        if (!future)
            continue;
        self->awaits = future;
        if (future->poll(future, task) == RILL_PENDING)
            continue;
        set->futures[i] = NULL;
        set->pending--;
        if (!decides(set, i, future, task))
            continue;
        set->decided = (int32_t)i;
        self->place++; /* of its two */
        /* They may have been told before, and the first reason stays. */
        set->reason = (uint8_t)rill_task_cancel_reason(task);
        if (set->reason == RILL_NOT_CANCELLED)
            set->reason = RILL_CANCELLED;
        return;
    }
}

static void poll_decided(struct rill_future *self, struct rill_future_set *set,
                         struct rill_task *task)
{
    for (uint32_t i = 0; i < set->count; i++) {
        struct rill_future *future = set->futures[i];

        if (!future)
            continue;
        self->awaits = future;
        if (rill_poll_because(future, task, (enum rill_cancel_reason)set->reason) == RILL_PENDING)
            continue;
        set->futures[i] = NULL;
        set->pending--;
    }
}

static struct rill_future *first_pending(const struct rill_future_set *set)
{
    uint32_t i = 0;

    while (!set->futures[i])
        i++;
    return set->futures[i];
}

enum rill_poll rill_future_set_poll(struct rill_future *self, struct rill_future_set *set,
                                    struct rill_task *task, rill_future_set_decides_fn *decides)
{
    if (set->decided < 0)
        poll_undecided(self, set, task, decides);
    if (set->decided >= 0)
        poll_decided(self, set, task);
    if (set->pending > 0) {
        self->awaits = first_pending(set);
        return RILL_PENDING;
    }
    self->awaits = NULL;
    /* Each has paid for itself; a set of none has nobody who did. */
    if (set->count == 0 && !rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    return RILL_READY;
}
