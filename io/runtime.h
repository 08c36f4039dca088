/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h - a runtime: an executor and a reactor, for one thread.
 *
 *     struct rill_runtime *runtime;
 *     int error = rill_runtime_create(&runtime, NULL);
 *
 *     if (error) {
 *         fprintf(stderr, "no runtime: %s\n", rill_runtime_explain(error));
 *         return 1;
 *     }
 *     result = rill_block_on(runtime, &server->future);
 *     rill_runtime_destroy(runtime);
 *
 * A thread has at most one runtime. All functions belong to its thread. */
#ifndef RILL_IO_RUNTIME_H
#define RILL_IO_RUNTIME_H

#include "io/embedding.h"
#include "io/reactor.h"
#include "runtime/executor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_runtime {
    struct rill_executor executor;
    struct rill_reactor reactor;

    /* private */
    struct rill_embedding embedding;
};

/* A zeroed field means its default, in brackets. */
struct rill_runtime_options {
    enum rill_wait_policy wait_policy; /* [RILL_WAIT_SLEEP] */
    int64_t spin_ns;                   /* of adaptive waiting, at the most [50 us] */
    unsigned sq_entries;               /* submission queue, a power of two up to 32768 [512, or
                                        * cq_entries where that is smaller] */
    unsigned cq_entries;               /* completion queue, a power of two up to 65536, not smaller
                                        * than the other [4096, or twice the other] */
    unsigned buffer_count;             /* shared receive buffers, at most, a power of two up to
                                        * 32768 [4096] */
    size_t buffer_size;                /* of each, in bytes, up to 1 GiB [16 KiB] */
    bool embedded;                     /* another loop drives it: io/embedding.h [it does not] */
    struct rill_kernel *kernel;        /* [rill_kernel_linux()] */
};

/* Creates the runtime of this thread. Spinning is turned into sleeping where the
 * machine has one core. Returns 0, or -errno, which rill_runtime_explain puts into
 * words:
 *   -EINVAL  an option is not a power of two, too large or negative, or the completion queue
 *            smaller than the submission queue
 *   -EBUSY   the thread has a runtime already
 *   -EPERM   io_uring is forbidden here (kernel.io_uring_disabled, seccomp)
 *   -ENOSYS  the kernel is older than Linux 6.1 or lacks an operation
 *   -ENOMEM, -EMFILE, -ENFILE
 * A process made by fork(2) cannot use it, as the ring is its parent's: there it may only be
 * destroyed, without tasks and operations, and made anew. So a daemon forks first (daemon(3)). */
int rill_runtime_create(struct rill_runtime **runtime, const struct rill_runtime_options *options);

/* Ends the runtime and releases everything, the engines that are plugged in
 * (io/event_source.h) included. Panics if tasks are alive, naming them: see
 * rill_runtime_shutdown; and if a listener that has accepted, or a connection or socket that has
 * received into shared buffers, is still open, as the kernel goes on with these. */
void rill_runtime_destroy(struct rill_runtime *runtime);

/* What an error of rill_runtime_create means here and what to do about it. */
const char *rill_runtime_explain(int error);

/* Runs the future, and the other tasks beside it, until it is ready; returns its
 * result. Borrows the future meanwhile. Panics if it is called within a task. */
int64_t rill_block_on(struct rill_runtime *runtime, struct rill_future *future);

/* Runs until no task is alive: for grace_ns it lets them end by themselves, then it
 * cancels all of them (RILL_SHUTTING_DOWN), and those that they spawn on their way
 * out. A task that does not end although it is cancelled keeps it waiting.
 * Then no other thread can post to it any more (see io/remote.h). */
void rill_runtime_shutdown(struct rill_runtime *runtime, int64_t grace_ns);

#ifdef __cplusplus
}
#endif
#endif
