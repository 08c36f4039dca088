/* SPDX-License-Identifier: Apache-2.0 */
/* errand.h - a future that runs beside the target, and may be cancelled at any step. */
#ifndef RILL_TESTS_FUZZ_ERRAND_H
#define RILL_TESTS_FUZZ_ERRAND_H

#include "runtime/task.h"
#include "tests/fixture.h"

#include <errno.h>

/* Zeroed at first. */
struct errand {
    struct background background;
    bool is_out; /* begun, and its end not looked at */
};

static inline void errand_start(struct errand *errand, struct rill_future *future)
{
    errand->is_out = true;
    background_start(&errand->background, future);
}

static inline bool errand_is_over(const struct errand *errand)
{
    return errand->is_out && rill_task_is_over(&errand->background.task);
}

/* Waits for it, where it is out. Returns its result, or -ENOENT. */
static inline int64_t errand_end(struct errand *errand)
{
    bool was_out = errand->is_out;

    errand->is_out = false;
    return was_out ? background_end(&errand->background) : -ENOENT;
}

static inline void errand_cancel(struct errand *errand)
{
    if (errand->is_out && !rill_task_is_over(&errand->background.task))
        rill_task_cancel(&errand->background.task);
}

/* Whether the next can begin. */
static inline bool errand_is_free(struct errand *errand)
{
    if (errand_is_over(errand))
        errand_end(errand);
    return !errand->is_out;
}

#endif
