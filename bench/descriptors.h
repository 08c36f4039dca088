/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.h - a connection is a descriptor, so a program takes all that the system gives. */
#ifndef RILL_BENCH_DESCRIPTORS_H
#define RILL_BENCH_DESCRIPTORS_H

#include <sys/resource.h>

/* Raises the soft limit on open files to the hard one. Where that is refused, less must do. */
static inline void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

#endif
