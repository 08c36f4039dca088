/* SPDX-License-Identifier: Apache-2.0 */
/* driver.h - what the executor needs of the world: events, and the time.
 *
 * The reactor in io/ is one. Tests of the runtime alone have a smaller one. */
#ifndef RILL_RUNTIME_DRIVER_H
#define RILL_RUNTIME_DRIVER_H

#include "runtime/time.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_driver;

struct rill_driver_ops {
    /* Passes queued operations down and results up, waking their tasks. Where
     * there are none, sleeps until there are or until_ns has come; RILL_NO_WAIT
     * never sleeps. Runs no task. Returns 0, or -errno when the driver is broken
     * for good. */
    int (*turn)(struct rill_driver *driver, int64_t until_ns);

    /* Reads the monotonic clock. */
    int64_t (*now)(struct rill_driver *driver);

    /* Reads one that costs a fifth of that, and is behind it by RILL_COARSE_LAG_NS at
     * the most. NULL: there is none. */
    int64_t (*now_coarse)(struct rill_driver *driver);
};

/* CLOCK_MONOTONIC_COARSE stands still between two ticks of the kernel, which come every
 * 10 ms at the least (CONFIG_HZ); the rest is for a machine that is late with them. */
#define RILL_COARSE_LAG_NS (50 * RILL_MILLISECOND)

struct rill_driver {
    const struct rill_driver_ops *ops;
    uint64_t events; /* results that it has passed up since the beginning; posts are none */
};

#ifdef __cplusplus
}
#endif
#endif
