/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/polite_kernel.h"

#include <errno.h>
#include <pthread.h>

static int enter(struct rill_kernel *kernel, struct io_uring *ring, int64_t until_ns)
{
    struct rill_kernel *linux_kernel = rill_kernel_linux();
    struct pollfd ready = {ring->ring_fd, POLLIN, 0};
    int result = linux_kernel->ops->enter(linux_kernel, ring, RILL_NO_WAIT);

    (void)kernel;
    /* A ring that defers its work is readable if it has some, but wakes no poll that waits
     * already: so it is asked each millisecond. */
    while (result >= 0 && until_ns != RILL_NO_WAIT && io_uring_cq_ready(ring) == 0 &&
           linux_kernel->ops->now(linux_kernel) < until_ns) {
        int found = poll(&ready, 1, 1);

        if (found < 0)
            return -errno;
        if (found > 0)
            result = linux_kernel->ops->enter(linux_kernel, ring, RILL_NO_WAIT);
    }
    return result;
}

static struct rill_kernel_ops ops;

static void make_ops(void)
{
    ops = *rill_kernel_linux()->ops;
    ops.enter = enter;
}

struct rill_kernel *polite_kernel(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static struct rill_kernel kernel = {&ops};

    pthread_once(&once, make_ops);
    return &kernel;
}
