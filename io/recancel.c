/* SPDX-License-Identifier: Apache-2.0 */
#include "io/recancel.h"

#include <errno.h>

void rill_recancel_init(struct rill_recancel *recancel)
{
    *recancel = (struct rill_recancel){.timeout = {.tv_nsec = RILL_RECANCEL_FIRST_NS}};
    rill_list_init(&recancel->cancelling);
}

void rill_recancel_hear(struct rill_recancel *recancel, int32_t error)
{
    if (error == -ENOENT || error == -EALREADY)
        recancel->has_missed = true;
}

bool rill_recancel_wants_timeout_now(struct rill_recancel *recancel)
{
    if (recancel->is_timed)
        return false;
    if (!rill_list_is_empty(&recancel->cancelling))
        return true;
    recancel->has_missed = false; /* what was not found had ended */
    recancel->timeout.tv_nsec = RILL_RECANCEL_FIRST_NS;
    return false;
}

void rill_recancel_begin(struct rill_recancel *recancel, struct rill_link *again)
{
    int64_t next_ns = 2 * recancel->timeout.tv_nsec;

    recancel->is_timed = false;
    recancel->has_missed = false;
    if (rill_list_is_empty(&recancel->cancelling)) /* all have ended meanwhile */
        next_ns = RILL_RECANCEL_FIRST_NS;
    recancel->timeout.tv_nsec = next_ns < RILL_RECANCEL_MAX_NS ? next_ns : RILL_RECANCEL_MAX_NS;
    while (!rill_list_is_empty(&recancel->cancelling))
        rill_list_append(again, rill_list_pop(&recancel->cancelling));
}
