/* SPDX-License-Identifier: Apache-2.0 */
/* time.h - units of time; every time in rill is an int64_t of nanoseconds. */
#ifndef RILL_RUNTIME_TIME_H
#define RILL_RUNTIME_TIME_H

#include <stdint.h>

#define RILL_NANOSECOND INT64_C(1)
#define RILL_MICROSECOND (1000 * RILL_NANOSECOND)
#define RILL_MILLISECOND (1000 * RILL_MICROSECOND)
#define RILL_SECOND (1000 * RILL_MILLISECOND)

/* A moment that never comes, and one that has always passed. */
#define RILL_NEVER INT64_MAX
#define RILL_NO_WAIT INT64_C(0)

/* Returns the moment that lies by_ns after when_ns, neither of them negative: RILL_NEVER if
 * there is none. */
static inline int64_t rill_time_after(int64_t when_ns, int64_t by_ns)
{
    return when_ns > RILL_NEVER - by_ns ? RILL_NEVER : when_ns + by_ns;
}

#endif
