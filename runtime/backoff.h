/* SPDX-License-Identifier: Apache-2.0 */
/* backoff.h - how long to wait before the next attempt.
 *
 * The bound doubles with each attempt up to a maximum, and the delay is drawn evenly
 * from zero to that bound ("full jitter"), so that many clients of a server that has
 * come back do not come all at once:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ */
#ifndef RILL_RUNTIME_BACKOFF_H
#define RILL_RUNTIME_BACKOFF_H

#include "runtime/time.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_backoff {
    int64_t first_ns;  /* the bound of the first delay, > 0 */
    int64_t max_ns;    /* the bound of all, >= first_ns */
    uint64_t random;   /* state of the jitter; the same seed gives the same delays */
    unsigned attempts; /* delays that were given since the beginning */
};

/* Returns the next delay in nanoseconds. Panics if the bounds are not in order. */
int64_t rill_backoff_next(struct rill_backoff *backoff);

/* Begins anew with the first bound, after a success. */
static inline void rill_backoff_reset(struct rill_backoff *backoff)
{
    backoff->attempts = 0;
}

#ifdef __cplusplus
}
#endif
#endif
