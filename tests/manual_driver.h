/* SPDX-License-Identifier: Apache-2.0 */
/* manual_driver.h - a driver without a world, whose clock only the test moves. */
#ifndef RILL_TESTS_MANUAL_DRIVER_H
#define RILL_TESTS_MANUAL_DRIVER_H

#include "runtime/driver.h"

#include <stddef.h>
#include <stdint.h>

enum { MANUAL_CALLS_MAX = 64 };

/* What happens in this small world at a moment of the virtual clock. */
struct manual_call {
    int64_t when_ns;
    void (*function)(void *argument);
    void *argument;
};

struct manual_driver {
    struct rill_driver driver;
    int64_t now_ns;       /* the virtual clock; a test may move it */
    int64_t oversleep_ns; /* how much too late a wait ends */
    int error;            /* what turns return from now on, if it is not 0 */
    unsigned turns, waits, clock_reads;
    int64_t until_ns; /* of the last turn */

    /* private */
    struct manual_call calls[MANUAL_CALLS_MAX];
    size_t call_count;
};

/* Makes a driver whose clock stands somewhere in the middle of a tick. */
void manual_driver_init(struct manual_driver *driver);

/* Lets function be called by the first turn that comes to when_ns. */
void manual_driver_call_at(struct manual_driver *driver, int64_t when_ns,
                           void (*function)(void *argument), void *argument);

#endif
