/* SPDX-License-Identifier: Apache-2.0 */
/* rate_limit.h - so many things a second, and so many at once: a token bucket.
 *
 *     rill_rate_limit_init(&mailer->limit, 100, RILL_SECOND, 20);
 *     ...
 *     RILL_AWAIT(rill_rate_limit_take(&mailer->limit, &mail->take, 1));
 *
 * The bucket holds up to burst tokens, is full at first, and gets rate tokens in each
 * interval, evenly. First come, first served. */
#ifndef RILL_RUNTIME_RATE_LIMIT_H
#define RILL_RUNTIME_RATE_LIMIT_H

#include "runtime/line.h"
#include "runtime/wheel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Time and tokens are counted together in whole numbers, tokens x interval_ns, so
 * nothing is rounded and nothing drifts. */
struct rill_rate_limit {
    /* private */
    int64_t rate, interval_ns;
    int64_t level, level_max; /* tokens x interval_ns */
    int64_t filled_ns;        /* when level was right */
    struct rill_line line;
};

struct rill_take {
    union {
        int64_t result; /* as rill_rate_limit_take says */
        struct rill_future future;
    };

    /* private */
    struct rill_rate_limit *limit;
    int64_t wanted;                  /* tokens x interval_ns */
    struct rill_timer timer;         /* armed by the first in line */
    struct rill_place_in_line place; /* in limit.line */
};

/* Makes a full bucket of burst tokens that gets rate tokens in each interval_ns. Panics
 * if one of them is not positive or burst x interval_ns is above 2^62. Call it within
 * a task or before the first turn. */
void rill_rate_limit_init(struct rill_rate_limit *limit, int64_t rate, int64_t interval_ns,
                          int64_t burst);

/* Ends it. Panics if a task waits for tokens. */
void rill_rate_limit_finish(struct rill_rate_limit *limit);

/* Waits until there are so many tokens and takes them. The result is 0; or -EINVAL for
 * less than one token or more than the burst, which there never are; or -ECANCELED,
 * and no token was taken. */
struct rill_future *rill_rate_limit_take(struct rill_rate_limit *limit, struct rill_take *take,
                                         int64_t tokens);

/* Takes tokens if they are there and nobody is in line. Returns whether it did. */
bool rill_rate_limit_try_take(struct rill_rate_limit *limit, int64_t tokens);

#ifdef __cplusplus
}
#endif
#endif
