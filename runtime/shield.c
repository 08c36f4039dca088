/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/shield.h"

#include "runtime/task.h"

static enum rill_poll shield_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_shield *shield = rill_container_of(self, struct rill_shield, future);

    self->awaits = shield->child;
    if (rill_poll_because(shield->child, task, RILL_NOT_CANCELLED) == RILL_PENDING)
        return RILL_PENDING;
    self->awaits = NULL;
    return rill_future_end(self, shield->child->result);
}

struct rill_future *rill_shield(struct rill_shield *shield, struct rill_future *child)
{
    static const struct rill_place name = {"shield", NULL, 0};

    rill_future_check_child(&shield->future, child, "a shield");
    rill_future_init(&shield->future, shield_poll);
    shield->future.place = &name;
    shield->child = child;
    return &shield->future;
}
