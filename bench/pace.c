/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/pace.h"

#include "runtime/executor.h"

/* A timer may be late by 17 us, and waking up costs time too: so the loop is awake
 * already when a request comes due. */
static const int64_t look_out_ns = 50 * RILL_MICROSECOND;

static void wake_due(struct pace *pace, int64_t now_ns)
{
    uint64_t due = (uint64_t)((double)(now_ns - pace->begin_ns) / pace->interval_ns) + 1;

    for (; pace->due < due; pace->due++) {
        struct rill_task *task = pace->tasks[pace->due % pace->connections];

        if (task)
            rill_task_wake(task);
    }
}

static int64_t awake_from_ns(const struct pace *pace)
{
    return pace->begin_ns + (int64_t)((double)pace->due * pace->interval_ns) - look_out_ns;
}

static enum rill_poll pace_poll(struct rill_future *self, struct rill_task *task)
{
    struct pace *pace = rill_container_of(self, struct pace, task.future);

    RILL_BEGIN();
    pace->begin_ns = rill_now();
    while (!rill_task_is_cancelled(task)) {
        wake_due(pace, rill_now());
        if (awake_from_ns(pace) > rill_now())
            RILL_AWAIT(rill_sleep_until(&pace->sleep, awake_from_ns(pace)));
        else
            RILL_YIELD();
    }
    RILL_END();
}

void pace_start(struct pace *pace)
{
    rill_task_spawn(&pace->task, pace_poll);
}

void pace_stop(struct pace *pace)
{
    if (pace->task.state == RILL_TASK_NEW)
        return;
    if (pace->due > 0) /* else it has not begun to count */
        wake_due(pace, rill_now());
    rill_task_cancel(&pace->task);
}
