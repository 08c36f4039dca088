/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/join_all.h"

/* Notes the first failure. Returns whether this one is a failure. */
static bool note(struct rill_future_set *set, uint32_t index, const struct rill_future *future)
{
    struct rill_join_all *all = rill_container_of(set, struct rill_join_all, set);

    if (future->result >= 0)
        return false;
    if (all->failed < 0) {
        all->failed = (int32_t)index;
        all->result = future->result;
    }
    return true;
}

static bool none_decides(struct rill_future_set *set, uint32_t index,
                         const struct rill_future *future, const struct rill_task *task)
{
    (void)task;
    note(set, index, future);
    return false;
}

static bool failure_decides(struct rill_future_set *set, uint32_t index,
                            const struct rill_future *future, const struct rill_task *task)
{
    (void)task;
    return note(set, index, future);
}

static enum rill_poll join_poll(struct rill_future *self, struct rill_task *task,
                                rill_future_set_decides_fn *decides)
{
    struct rill_join_all *all = rill_container_of(self, struct rill_join_all, future);

    if (rill_future_set_poll(self, &all->set, task, decides) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, all->result);
}

static enum rill_poll all_poll(struct rill_future *self, struct rill_task *task)
{
    return join_poll(self, task, none_decides);
}

static enum rill_poll try_poll(struct rill_future *self, struct rill_task *task)
{
    return join_poll(self, task, failure_decides);
}

static struct rill_future *prepare(struct rill_join_all *all, struct rill_future **futures,
                                   uint32_t count, rill_poll_fn *poll)
{
    static const struct rill_place places[] = {RILL_FUTURE_SET_PLACES("join of all")};

    rill_future_init(&all->future, poll);
    all->failed = -1;
    rill_future_set_init(&all->future, &all->set, futures, count, places);
    return &all->future;
}

struct rill_future *rill_join_all(struct rill_join_all *all, struct rill_future **futures,
                                  uint32_t count)
{
    return prepare(all, futures, count, all_poll);
}

struct rill_future *rill_try_join_all(struct rill_join_all *all, struct rill_future **futures,
                                      uint32_t count)
{
    return prepare(all, futures, count, try_poll);
}
