/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/sleep.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

/* A sleep's state is its poll function: one that has not begun yet holds a delay,
 * one that has begun a deadline. */

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_sleep *sleep = rill_container_of(self, struct rill_sleep, future);
    struct rill_executor *executor = rill_executor_here();
    bool fired = !rill_link_is_linked(&sleep->timer.slot);

    if (fired) {
        return rill_future_end(self, 0);
    }
    if (rill_task_is_cancelled(task)) {
        rill_wheel_disarm(&executor->wheel, &sleep->timer);
        return rill_future_end(self, -ECANCELED);
    }
    sleep->timer.task = task;
    return RILL_PENDING;
}

static enum rill_poll start_until(struct rill_sleep *sleep, struct rill_task *task)
{
    struct rill_executor *executor = rill_executor_here();

    if (rill_task_is_cancelled(task) || sleep->timer.deadline_ns <= rill_now())
        return rill_end_at_once(&sleep->future, task,
                                rill_task_is_cancelled(task) ? -ECANCELED : 0);
    sleep->timer.task = task;
    rill_wheel_arm(&executor->wheel, &sleep->timer);
    sleep->future.poll = wait_poll;
    return RILL_PENDING;
}

static enum rill_poll until_poll(struct rill_future *self, struct rill_task *task)
{
    return start_until(rill_container_of(self, struct rill_sleep, future), task);
}

static enum rill_poll delay_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_sleep *sleep = rill_container_of(self, struct rill_sleep, future);
    int64_t delay_ns = sleep->timer.deadline_ns;

    if (delay_ns < 0)
        return rill_end_at_once(self, task, -EINVAL);
    sleep->timer.deadline_ns = rill_time_after(rill_now_of_beginning(), delay_ns);
    sleep->future.poll = until_poll;
    return start_until(sleep, task);
}

static struct rill_future *prepare(struct rill_sleep *sleep, int64_t time_ns, rill_poll_fn *poll)
{
    static const struct rill_place name = {"sleep", NULL, 0};

    rill_future_init(&sleep->future, poll);
    sleep->future.place = &name;
    sleep->timer = (struct rill_timer){.deadline_ns = time_ns};
    return &sleep->future;
}

struct rill_future *rill_sleep(struct rill_sleep *sleep, int64_t delay_ns)
{
    return prepare(sleep, delay_ns, delay_poll);
}

struct rill_future *rill_sleep_until(struct rill_sleep *sleep, int64_t when_ns)
{
    return prepare(sleep, when_ns, until_poll);
}

static void check_period(int64_t period_ns)
{
    rill_check(period_ns > 0, "an interval of %lld ns: want more than 0", (long long)period_ns);
}

void rill_interval_init(struct rill_interval *interval, int64_t period_ns)
{
    check_period(period_ns);
    *interval = (struct rill_interval){
        .next_ns = rill_time_after(rill_now_of_beginning(), period_ns),
        .period_ns = period_ns,
    };
}

static enum rill_poll tick_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_interval *interval = rill_container_of(self, struct rill_interval, sleep.future);
    bool has_begun = interval->sleep.timer.task != NULL;
    enum rill_poll poll;

    /* Also one that has just fired: the loser of a select swallows no tick. */
    if (has_begun && rill_task_is_cancelled(task)) {
        rill_wheel_disarm(&rill_executor_here()->wheel, &interval->sleep.timer);
        return rill_future_end(self, -ECANCELED);
    }
    poll = has_begun ? wait_poll(self, task) : start_until(&interval->sleep, task);
    /* Both switch to their own next step; a tick has one more to do at the end. */
    if (poll == RILL_PENDING) {
        self->poll = tick_poll;
    } else if (interval->sleep.result == 0) {
        int64_t late_ns = rill_now() - interval->next_ns;

        if (late_ns < 0)
            late_ns = 0;
        late_ns -= late_ns % interval->period_ns;
        interval->next_ns = rill_time_after(interval->next_ns + late_ns, interval->period_ns);
    }
    return poll;
}

struct rill_future *rill_interval_tick(struct rill_interval *interval)
{
    check_period(interval->period_ns);
    return prepare(&interval->sleep, interval->next_ns, tick_poll);
}
