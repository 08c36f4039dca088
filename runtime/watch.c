/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/watch.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_watch_init_(struct rill_watched *watched)
{
    watched->version = 0;
    watched->is_closed = false;
    rill_line_init(&watched->watchers);
}

void rill_watch_finish_(struct rill_watched *watched)
{
    rill_line_finish(&watched->watchers, "a watched value");
    watched->is_closed = true;
}

void rill_watch_touch_(struct rill_watched *watched)
{
    rill_check(!watched->is_closed, "a watched value was set after it was closed");
    watched->version++;
    rill_line_wake_all(&watched->watchers);
}

void rill_watch_close_(struct rill_watched *watched)
{
    watched->is_closed = true;
    rill_line_wake_all(&watched->watchers);
}

static enum rill_poll end(struct rill_watch *watch, int64_t result)
{
    rill_line_leave(&watch->place);
    return rill_future_end(&watch->future, result);
}

static enum rill_poll changed_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_watch *watch = rill_container_of(self, struct rill_watch, future);
    struct rill_watched *watched = watch->watched;
    bool is_cancelled = rill_task_is_cancelled(task);
    bool has_changed = watch->seen != watched->version;

    if (!is_cancelled && !has_changed && !watched->is_closed) {
        rill_line_join(&watched->watchers, &watch->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (is_cancelled)
        return end(watch, -ECANCELED);
    if (!has_changed)
        return end(watch, 0);
    watch->seen = watched->version;
    return end(watch, 1);
}

struct rill_future *rill_watch_changed_(struct rill_watched *watched, struct rill_watch *watch)
{
    static const struct rill_place name = {"wait for a change", NULL, 0};

    rill_check(!rill_link_is_linked(&watch->place.link), "two tasks use the same watch");
    rill_future_init(&watch->future, changed_poll);
    watch->future.place = &name;
    watch->watched = watched;
    return &watch->future;
}
