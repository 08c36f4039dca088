/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/retry.h"

#include "runtime/executor.h"

#include <errno.h>

static bool is_right(const struct rill_retry_policy *policy)
{
    return policy->attempts_max > 0 && policy->first_ns > 0 && policy->first_ns <= policy->max_ns &&
           policy->limit_ns >= 0;
}

static void begin(struct rill_retry *retry)
{
    const struct rill_retry_policy *policy = retry->policy;

    rill_backoff_init(&retry->backoff, policy->first_ns, policy->max_ns);
    retry->deadline_ns = rill_time_after(rill_now_of_beginning(), policy->limit_ns);
}

static bool is_worth(struct rill_retry *retry)
{
    const struct rill_retry_policy *policy = retry->policy;

    return policy->is_worth ? policy->is_worth(retry, retry->last) : retry->last != -EINVAL;
}

/* Draws the pause, too, and says whether there is time for it. */
static bool goes_on(struct rill_retry *retry, const struct rill_task *task)
{
    if (retry->last >= 0 || retry->attempts == retry->policy->attempts_max ||
        rill_task_is_cancelled(task) || !is_worth(retry))
        return false;
    retry->pause_ns = rill_backoff_next(&retry->backoff);
    return retry->pause_ns < retry->deadline_ns - rill_now();
}

static struct rill_future *next_attempt(struct rill_retry *retry)
{
    struct rill_future *attempt = retry->attempt(retry);

    rill_future_check_child(&retry->future, attempt, "a retry");
    return attempt;
}

static enum rill_poll retry_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_retry *retry = rill_container_of(self, struct rill_retry, future);

    RILL_BEGIN();
    if (!is_right(retry->policy)) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(-EINVAL);
    }
    begin(retry);
    for (;;) {
        retry->attempts++;
        RILL_AWAIT(rill_deadline(&retry->limit, retry->deadline_ns, next_attempt(retry)));
        retry->last = retry->limit.result;
        if (!goes_on(retry, task))
            RILL_RETURN(retry->last);
        RILL_AWAIT(rill_sleep(&retry->pause, retry->pause_ns));
        if (retry->pause.result < 0)
            RILL_RETURN(retry->pause.result);
    }
    RILL_END();
}

struct rill_future *rill_retry(struct rill_retry *retry, const struct rill_retry_policy *policy,
                               rill_attempt_fn *attempt)
{
    retry->attempts = 0;
    retry->last = 0;
    retry->policy = policy;
    retry->attempt = attempt;
    return rill_future_init(&retry->future, retry_poll);
}
