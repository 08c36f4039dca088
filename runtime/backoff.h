/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.h - how long to wait before the next attempt.
 *
 * The bound doubles with each attempt up to a maximum, and the delay is drawn evenly
 * from zero to that bound ("full jitter"), so that many clients of a server that has
 * come back do not come all at once:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 *     struct rill_backoff backoff;
 *
 *     rill_backoff_init(&backoff, 10 * RILL_MILLISECOND, 5 * RILL_SECOND);
 *     delay_ns = rill_backoff_next(&backoff);
 */
#ifndef RILL_RUNTIME_BACKOFF_H
#define RILL_RUNTIME_BACKOFF_H

#include "runtime/time.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_backoff {
    int64_t bound_ns; /* of the next delay */

    /* private */
    int64_t first_ns, max_ns;
};

/* Makes one whose first delay is at most first_ns and whose bound grows to max_ns. Panics
 * unless 0 < first_ns <= max_ns. */
void rill_backoff_init(struct rill_backoff *backoff, int64_t first_ns, int64_t max_ns);

/* Returns the next delay in nanoseconds, from 0 to backoff.bound_ns, by rill_random. */
int64_t rill_backoff_next(struct rill_backoff *backoff);

/* Begins anew with the first bound, after a success. */
static inline void rill_backoff_reset(struct rill_backoff *backoff)
{
    backoff->bound_ns = backoff->first_ns;
}

#ifdef __cplusplus
}
#endif
#endif
