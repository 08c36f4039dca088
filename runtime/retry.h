/* SPDX-License-Identifier: Apache-2.0 */
/* retry.h - does something again until it succeeds.
 *
 *     static struct rill_future *attempt(struct rill_retry *retry)
 *     {
 *         struct fetch *fetch = rill_container_of(retry, struct fetch, retry);
 *
 *         return rill_tcp_connect(&fetch->peer, &fetch->connect, "example.org", 80);
 *     }
 *     ...
 *     RILL_AWAIT(rill_retry(&fetch->retry, &policy, attempt));
 *
 * A timeout within attempt limits each single one, policy.limit_ns all of them. */
#ifndef RILL_RUNTIME_RETRY_H
#define RILL_RUNTIME_RETRY_H

#include "runtime/backoff.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_retry;

/* Prepares the next attempt and returns its future, whose result decides. */
typedef struct rill_future *rill_attempt_fn(struct rill_retry *retry);

struct rill_retry_policy {
    unsigned attempts_max; /* at least 1 */
    int64_t first_ns;      /* of the back-off: see runtime/backoff.h */
    int64_t max_ns;
    int64_t limit_ns; /* for everything, as of rill_timeout; RILL_NEVER for no limit, as 0 is over
                       * when the first attempt has to wait */

    /* Says whether an error (-errno) may be gone next time, and finds what else it needs to know
     * as attempt does. NULL: every one but -EINVAL, which comes back for sure. */
    bool (*is_worth)(struct rill_retry *retry, int64_t error);
};

struct rill_retry {
    union {
        int64_t result; /* of the last attempt */
        struct rill_future future;
    };
    unsigned attempts; /* that were made */
    int64_t last;      /* result of the last of them, also after a cancelled pause */

    /* private */
    const struct rill_retry_policy *policy;
    rill_attempt_fn *attempt;
    int64_t deadline_ns, pause_ns;
    struct rill_backoff backoff;
    struct rill_timeout limit;
    struct rill_sleep pause;
};

/* Awaits attempts until one succeeds (its result is >= 0), is not worth repeating, or
 * was the last that policy, which is borrowed, allows; between them it waits as the
 * back-off says. A pause that would not end within limit_ns is not begun, and an attempt
 * that has not ended by then is cancelled, which makes it -ETIMEDOUT. The result is that
 * of the last attempt; -EINVAL for a policy out of range. Cancelling it cancels the
 * attempt or the pause; after a pause that was cut short the result is -ECANCELED. */
struct rill_future *rill_retry(struct rill_retry *retry, const struct rill_retry_policy *policy,
                               rill_attempt_fn *attempt);

#ifdef __cplusplus
}
#endif
#endif
