/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rate_limit.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_rate_limit_init(struct rill_rate_limit *limit, int64_t rate, int64_t interval_ns,
                          int64_t burst)
{
    rill_check(rate > 0 && interval_ns > 0 && burst > 0 &&
                   burst <= (INT64_C(1) << 62) / interval_ns,
               "a rate limit of %lld in %lld ns with a burst of %lld", (long long)rate,
               (long long)interval_ns, (long long)burst);
    *limit = (struct rill_rate_limit){
        .rate = rate,
        .interval_ns = interval_ns,
        .level = burst * interval_ns,
        .level_max = burst * interval_ns,
        .filled_ns = rill_now(),
    };
    rill_line_init(&limit->line);
}

void rill_rate_limit_finish(struct rill_rate_limit *limit)
{
    rill_check(rill_line_is_empty(&limit->line),
               "a rate limit was finished while a task waits for its tokens");
}

/* Adds what has come since the last time. */
static void fill(struct rill_rate_limit *limit)
{
    int64_t now_ns = rill_now();
    int64_t missing = limit->level_max - limit->level;
    int64_t elapsed_ns = now_ns - limit->filled_ns;

    limit->filled_ns = now_ns;
    limit->level = elapsed_ns > missing / limit->rate ? limit->level_max
                                                      : limit->level + elapsed_ns * limit->rate;
}

static bool is_possible(const struct rill_rate_limit *limit, int64_t tokens)
{
    return tokens > 0 && tokens <= limit->level_max / limit->interval_ns;
}

static enum rill_poll end(struct rill_take *take, int64_t result)
{
    rill_wheel_disarm(&rill_executor_here()->wheel, &take->timer);
    rill_line_leave(&take->place);
    rill_line_wake_first(&take->limit->line);
    return rill_future_end(&take->future, result);
}

/* The first in line sleeps until there is enough for it; the others until it has
 * left. */
static void wait_for_tokens(struct rill_take *take, struct rill_task *task)
{
    struct rill_rate_limit *limit = take->limit;
    struct rill_wheel *wheel = &rill_executor_here()->wheel;
    int64_t missing = take->wanted - limit->level;

    rill_wheel_disarm(wheel, &take->timer);
    rill_line_join(&limit->line, &take->place, task);
    if (!rill_line_is_first(&limit->line, &take->place))
        return;
    take->timer.task = task;
    take->timer.deadline_ns = rill_now() + (missing + limit->rate - 1) / limit->rate;
    rill_wheel_arm(wheel, &take->timer);
}

static enum rill_poll take_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_take *take = rill_container_of(self, struct rill_take, future);
    struct rill_rate_limit *limit = take->limit;

    if (take->wanted < 0)
        return end(take, -EINVAL);
    if (rill_task_is_cancelled(task))
        return end(take, -ECANCELED);
    fill(limit);
    if (take->wanted > limit->level || !rill_line_is_first(&limit->line, &take->place)) {
        wait_for_tokens(take, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    limit->level -= take->wanted;
    return end(take, 0);
}

struct rill_future *rill_rate_limit_take(struct rill_rate_limit *limit, struct rill_take *take,
                                         int64_t tokens)
{
    static const struct rill_place name = {"wait for tokens", NULL, 0};

    rill_future_init(&take->future, take_poll);
    take->future.place = &name;
    take->limit = limit;
    take->wanted = is_possible(limit, tokens) ? tokens * limit->interval_ns : -1;
    take->timer = (struct rill_timer){.task = NULL};
    take->place.link.next = NULL;
    return &take->future;
}

bool rill_rate_limit_try_take(struct rill_rate_limit *limit, int64_t tokens)
{
    if (!is_possible(limit, tokens) || !rill_line_is_empty(&limit->line))
        return false;
    fill(limit);
    if (tokens * limit->interval_ns > limit->level)
        return false;
    limit->level -= tokens * limit->interval_ns;
    return true;
}
