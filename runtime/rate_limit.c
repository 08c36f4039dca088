/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rate_limit.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

#define LEVEL_MAX (INT64_C(1) << 62)

static bool is_right(int64_t tokens, int64_t interval_ns)
{
    return tokens > 0 && tokens <= RILL_RATE_LIMIT_TOKENS_MAX && tokens <= LEVEL_MAX / interval_ns;
}

void rill_rate_limit_init(struct rill_rate_limit *limit, int64_t rate, int64_t interval_ns,
                          int64_t burst)
{
    rill_check(interval_ns > 0 && is_right(rate, interval_ns) && is_right(burst, interval_ns),
               "a rate limit of %lld in %lld ns with a burst of %lld", (long long)rate,
               (long long)interval_ns, (long long)burst);
    *limit = (struct rill_rate_limit){
        .rate = rate,
        .interval_ns = interval_ns,
        .burst = burst,
        .level = burst * interval_ns,
        .level_max = burst * interval_ns,
        .filled_ns = rill_now(),
    };
    rill_line_init(&limit->line);
}

void rill_rate_limit_finish(struct rill_rate_limit *limit)
{
    rill_line_finish(&limit->line, "a rate limit");
    rill_check(limit->handed == 0,
               "a rate limit was finished before %zu of those that it has served have run",
               limit->handed);
}

/* Adds what has come up to a moment, which lies not before the last one. */
static void fill(struct rill_rate_limit *limit, int64_t when_ns)
{
    int64_t missing = limit->level_max - limit->level;
    int64_t elapsed_ns = when_ns - limit->filled_ns;

    limit->filled_ns = when_ns;
    limit->level = elapsed_ns > missing / limit->rate ? limit->level_max
                                                      : limit->level + elapsed_ns * limit->rate;
}

static void give_back(struct rill_rate_limit *limit, int64_t tokens)
{
    int64_t missing = limit->level_max - limit->level;
    int64_t given = tokens * limit->interval_ns;

    limit->level += given < missing ? given : missing; /* a full bucket would have overflowed */
}

/* Rounds up; division in C does so by itself below zero. */
static int64_t divide_up(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : a / b;
}

/* When there will be, or were, enough tokens for the first in line. */
static int64_t due_ns(const struct rill_rate_limit *limit, const struct rill_rate_limit_take *take)
{
    int64_t missing = take->tokens * limit->interval_ns - limit->level;

    if (missing <= 0)
        return limit->filled_ns;
    return rill_time_after(limit->filled_ns, divide_up(missing, limit->rate));
}

/* Hands tokens to the first in line, and so on, as long as there are enough, and lets
 * the timer of the next one run until there will be. */
static void hand_over(struct rill_rate_limit *limit)
{
    struct rill_wheel *wheel = &rill_executor_here()->wheel;
    int64_t now_ns = rill_now(), late_ns = now_ns - RILL_RATE_LIMIT_LATE_MAX_NS;
    struct rill_place_in_line *first;

    while ((first = rill_line_first(&limit->line))) {
        struct rill_rate_limit_take *take =
            rill_container_of(first, struct rill_rate_limit_take, place);
        int64_t when_ns = due_ns(limit, take);

        rill_wheel_disarm(wheel, &take->timer);
        if (when_ns > now_ns) {
            take->timer.task = first->task;
            take->timer.deadline_ns = when_ns;
            rill_wheel_arm(wheel, &take->timer);
            break;
        }
        fill(limit, when_ns > late_ns ? when_ns : late_ns);
        limit->level -= take->tokens * limit->interval_ns;
        limit->in_line -= take->tokens;
        limit->handed++;
        rill_line_serve_first(&limit->line);
    }
}

static enum rill_poll leave(struct rill_rate_limit_take *take)
{
    struct rill_rate_limit *limit = take->limit;
    bool was_handed = !rill_link_is_linked(&take->place.link);

    if (was_handed) {
        limit->handed--;
        give_back(limit, take->tokens);
    } else {
        rill_wheel_disarm(&rill_executor_here()->wheel, &take->timer);
        limit->in_line -= take->tokens;
        rill_line_leave(&take->place);
    }
    hand_over(limit);
    return rill_future_end(&take->future, -ECANCELED);
}

/* Only the first in line looks at the bucket: its timer has fired, or it was woken. */
static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rate_limit_take *take =
        rill_container_of(self, struct rill_rate_limit_take, future);

    if (rill_task_is_cancelled(task))
        return leave(take);
    rill_line_stay(&take->place, task);
    if (rill_line_first(&take->limit->line) == &take->place)
        hand_over(take->limit);
    if (rill_link_is_linked(&take->place.link))
        return RILL_PENDING;
    take->limit->handed--;
    return rill_future_end(self, take->tokens);
}

static bool is_possible(const struct rill_rate_limit *limit, int64_t tokens)
{
    if (tokens > 0 && tokens <= limit->burst)
        return true;
    rill_line_check(&limit->line);
    return false;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rate_limit_take *take =
        rill_container_of(self, struct rill_rate_limit_take, future);
    struct rill_rate_limit *limit = take->limit;

    if (!rill_budget_spend(rill_executor_here(), task)) /* it may end at once */
        return RILL_PENDING;
    if (!is_possible(limit, take->tokens))
        return rill_future_end(self, -EINVAL);
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    if (rill_rate_limit_try_take(limit, take->tokens))
        return rill_future_end(self, take->tokens);
    limit->in_line += take->tokens;
    rill_line_join(&limit->line, &take->place, task);
    self->poll = wait_poll;
    return wait_poll(self, task);
}

struct rill_future *rill_rate_limit_take(struct rill_rate_limit *limit,
                                         struct rill_rate_limit_take *take, int64_t tokens)
{
    static const struct rill_place name = {"wait for tokens", NULL, 0};

    rill_future_init(&take->future, start_poll);
    take->future.place = &name;
    take->limit = limit;
    take->tokens = tokens;
    take->timer = (struct rill_timer){.task = NULL};
    take->place.link.next = NULL;
    return &take->future;
}

bool rill_rate_limit_try_take(struct rill_rate_limit *limit, int64_t tokens)
{
    if (!is_possible(limit, tokens) || !rill_line_is_empty(&limit->line))
        return false;
    fill(limit, rill_now());
    if (tokens * limit->interval_ns > limit->level)
        return false;
    limit->level -= tokens * limit->interval_ns;
    return true;
}

/* All that is in line may be more than can be counted in tokens x interval_ns. So the
 * whole intervals that it takes are split off before. */
int64_t rill_rate_limit_time_until(struct rill_rate_limit *limit, int64_t tokens)
{
    int64_t missing, part, intervals, rest_ns, time_ns;

    if (!is_possible(limit, tokens))
        return RILL_NEVER;
    missing = limit->in_line + tokens - limit->level / limit->interval_ns;
    part = limit->level % limit->interval_ns;
    intervals = missing > 0 ? missing / limit->rate : 0;
    rest_ns =
        divide_up((missing - intervals * limit->rate) * limit->interval_ns - part, limit->rate);
    if (__builtin_mul_overflow(intervals, limit->interval_ns, &time_ns) ||
        __builtin_add_overflow(time_ns, rest_ns, &time_ns))
        return RILL_NEVER;
    time_ns -= rill_now() - limit->filled_ns;
    return time_ns > 0 ? time_ns : 0;
}
