/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/retry.h"

#include "runtime/task.h"

#include <errno.h>

static bool goes_on(const struct rill_retry *retry, const struct rill_task *task)
{
    const struct rill_retry_policy *policy = retry->policy;
    int64_t result = retry->current->result;

    if (result >= 0 || retry->attempts == policy->attempts_max || rill_task_is_cancelled(task))
        return false;
    return policy->is_worth ? policy->is_worth(retry, result) : result != -EINVAL;
}

static bool is_right(const struct rill_retry_policy *policy)
{
    return policy->attempts_max > 0 && policy->first_ns > 0 && policy->first_ns <= policy->max_ns;
}

static enum rill_poll retry_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_retry *retry = rill_container_of(self, struct rill_retry, future);

    RILL_BEGIN();
    if (!is_right(retry->policy))
        RILL_RETURN(-EINVAL);
    for (;;) {
        retry->attempts++;
        retry->current = retry->attempt(retry);
        RILL_AWAIT(retry->current);
        if (!goes_on(retry, task))
            RILL_RETURN(retry->current->result);
        RILL_AWAIT(rill_sleep(&retry->pause, rill_backoff_next(&retry->backoff)));
        if (retry->pause.result < 0)
            RILL_RETURN(retry->pause.result);
    }
    RILL_END();
}

struct rill_future *rill_retry(struct rill_retry *retry, const struct rill_retry_policy *policy,
                               rill_attempt_fn *attempt)
{
    retry->attempts = 0;
    retry->policy = policy;
    retry->attempt = attempt;
    retry->backoff = (struct rill_backoff){
        .first_ns = policy->first_ns, .max_ns = policy->max_ns, .random = policy->seed};
    return rill_future_init(&retry->future, retry_poll);
}
