/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/select.h"

static bool first_decides(struct rill_future_set *set, uint32_t index,
                          const struct rill_future *future, const struct rill_task *task)
{
    (void)set;
    (void)index;
    return rill_future_has_won(future, task);
}

static enum rill_poll select_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_select *select = rill_container_of(self, struct rill_select, future);

    if (rill_future_set_poll(self, &select->set, task, first_decides) == RILL_PENDING)
        return RILL_PENDING;
    if (select->set.count == 0)
        return rill_future_end(self, -EINVAL);
    return rill_future_end(self, select->set.decided < 0 ? -ECANCELED : select->set.decided);
}

struct rill_future *rill_select(struct rill_select *select, struct rill_future **futures,
                                uint32_t count)
{
    static const struct rill_place places[] = {RILL_FUTURE_SET_PLACES("select")};

    rill_future_init(&select->future, select_poll);
    rill_future_set_init(&select->future, &select->set, futures, count, places);
    return &select->future;
}
