/* SPDX-License-Identifier: Apache-2.0 */
/* rate_limit.h - a limit on things per second, and on things at once: a token bucket.
 *
 *     rill_rate_limit_init(&mailer->limit, 100, RILL_SECOND, 20);
 *     ...
 *     RILL_AWAIT(rill_rate_limit_take(&mailer->limit, &mail->take, 1));
 *     if (mail->take.result < 0)
 *         RILL_RETURN(mail->take.result);
 *
 * The bucket holds up to burst tokens, is full at first, and gets rate tokens in each
 * interval, evenly. First come, first served: who wants many is not overtaken by who
 * wants few.
 *
 * A timer is late by up to 17 us, and a busy thread by more. Who waited is served as of the
 * moment at which its tokens were there, so the rate is kept however late that is noticed;
 * but at most by RILL_RATE_LIMIT_LATE_MAX_NS, or a thread that comes back after a second
 * would hand out all of that second at once. So in any span of time no more are handed out
 * than a burst, what comes in the span and in that much more, and what cancelled ones
 * that had been served already give back. */
#ifndef RILL_RUNTIME_RATE_LIMIT_H
#define RILL_RUNTIME_RATE_LIMIT_H

#include "runtime/line.h"
#include "runtime/time.h"
#include "runtime/wheel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RATE_LIMIT_TOKENS_MAX = INT32_MAX, /* of a rate, and of a burst */
    RILL_RATE_LIMIT_LATE_MAX_NS = 1000000,
};

/* Time and tokens are counted together in whole numbers, tokens x interval_ns, so
 * nothing is rounded and nothing drifts.
 *
 * Invariant: while somebody is in line, the timer of the first is armed, or its task
 * has been woken. */
struct rill_rate_limit {
    /* private */
    int64_t rate, interval_ns, burst;
    int64_t level, level_max; /* tokens x interval_ns */
    int64_t filled_ns;        /* when level was right; before now while somebody waits */
    int64_t in_line;          /* tokens that are waited for */
    size_t handed;            /* takes that were handed theirs and have not run since */
    struct rill_line line;
};

struct rill_rate_limit_take {
    union {
        int64_t result; /* as rill_rate_limit_take says */
        struct rill_future future;
    };

    /* private */
    struct rill_rate_limit *limit;
    int64_t tokens;
    struct rill_timer timer;         /* armed while it is the first in line */
    struct rill_place_in_line place; /* in limit.line, until it is handed its tokens */
};

/* Makes a full bucket of burst tokens that gets rate tokens in each interval_ns. Panics
 * if one of them is not positive, if rate or burst is above RILL_RATE_LIMIT_TOKENS_MAX, or
 * one of the two times interval_ns above 2^62. Call it within a task or before the first
 * turn. */
void rill_rate_limit_init(struct rill_rate_limit *limit, int64_t rate, int64_t interval_ns,
                          int64_t burst);

/* Ends it. Panics if a task waits for tokens, or has not run since it was handed some. */
void rill_rate_limit_finish(struct rill_rate_limit *limit);

/* Waits until there are so many tokens and takes them. The result is their number; or
 * -EINVAL for less than one token or more than the burst, which there never are; or
 * -ECANCELED, and no token was taken: those that it was handed go back. */
struct rill_future *rill_rate_limit_take(struct rill_rate_limit *limit,
                                         struct rill_rate_limit_take *take, int64_t tokens);

/* Takes tokens, at least one, if they are there and nobody is in line. Returns whether
 * it did. */
bool rill_rate_limit_try_take(struct rill_rate_limit *limit, int64_t tokens);

/* Returns in how many nanoseconds somebody who comes now could have so many tokens, if
 * all that are in line take theirs: 0 for at once, RILL_NEVER where rill_rate_limit_take
 * would be -EINVAL. */
int64_t rill_rate_limit_time_until(struct rill_rate_limit *limit, int64_t tokens);

#ifdef __cplusplus
}
#endif
#endif
