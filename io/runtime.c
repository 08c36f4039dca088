/* SPDX-License-Identifier: Apache-2.0 */
#include "io/runtime.h"

#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 4096,
    ENTRIES_MAX = 32768, /* the kernel's limit on the submission queue */
    BUFFER_COUNT = 4096,
    BUFFER_SIZE = 16 * 1024,
    BUFFER_SIZE_MAX = 1 << 30,
};

static const int64_t spin_default_ns = 50 * RILL_MICROSECOND;

static bool is_power_of_two(unsigned n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

/* Where one of the queues has its default, this follows the other: the completion queue is no
 * smaller. */
static unsigned default_sq(unsigned cq)
{
    return cq > 0 && cq < SQ_ENTRIES ? cq : SQ_ENTRIES;
}

static unsigned default_cq(unsigned sq)
{
    return sq <= ENTRIES_MAX && 2 * sq > CQ_ENTRIES ? 2 * sq : CQ_ENTRIES;
}

/* Fills in the defaults. Returns 0 or -EINVAL. */
static int complete_options(struct rill_reactor_options *full,
                            const struct rill_runtime_options *options)
{
    *full = (struct rill_reactor_options){
        .kernel = options->kernel ? options->kernel : rill_kernel_linux(),
        .sq_entries = options->sq_entries ? options->sq_entries : default_sq(options->cq_entries),
        .cq_entries = options->cq_entries ? options->cq_entries : default_cq(options->sq_entries),
        .pollable = options->embedded,
        .wait_policy = options->wait_policy,
        .spin_ns = options->spin_ns ? options->spin_ns : spin_default_ns,
        .buffer_count = options->buffer_count ? options->buffer_count : BUFFER_COUNT,
        .buffer_size = options->buffer_size ? options->buffer_size : BUFFER_SIZE,
    };
    /* One core cannot look out for what the same core has to bring about. */
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        full->wait_policy = RILL_WAIT_SLEEP;

    bool right = is_power_of_two(full->sq_entries) && full->sq_entries <= ENTRIES_MAX &&
                 is_power_of_two(full->cq_entries) && full->cq_entries <= 2 * ENTRIES_MAX &&
                 full->cq_entries >= full->sq_entries && is_power_of_two(full->buffer_count) &&
                 full->buffer_count <= RILL_BUFFERS_MAX && full->buffer_size <= BUFFER_SIZE_MAX &&
                 full->spin_ns > 0 && full->wait_policy <= RILL_WAIT_SPIN;

    return right ? 0 : -EINVAL;
}

int rill_runtime_create(struct rill_runtime **out, const struct rill_runtime_options *options)
{
    static const struct rill_runtime_options defaults;
    struct rill_reactor_options full;
    struct rill_runtime *runtime;
    int error = complete_options(&full, options ? options : &defaults);

    *out = NULL;
    if (error)
        return error;
    if (rill_executor_of_thread)
        return -EBUSY;
    runtime = malloc(sizeof *runtime);
    if (!runtime)
        return -ENOMEM;
    error = rill_reactor_init(&runtime->reactor, &full);
    if (error)
        goto free_runtime;
    error = rill_executor_init(&runtime->executor, &runtime->reactor.driver);
    if (error)
        goto finish_reactor;
    runtime->embedding.is_open = false;
    *out = runtime;
    return 0;

finish_reactor:
    rill_reactor_finish(&runtime->reactor);
free_runtime:
    free(runtime);
    return error;
}

void rill_runtime_destroy(struct rill_runtime *runtime)
{
    if (!runtime)
        return;
    rill_check(&runtime->executor == rill_executor_of_thread,
               "a runtime was ended by another thread");
    if (runtime->executor.tasks_alive == 0) {
        rill_event_sources_close(&runtime->reactor);
        if (runtime->reactor.remote)
            rill_remote_close(runtime->reactor.remote);
    }
    rill_executor_finish(&runtime->executor);
    rill_embedding_finish(&runtime->embedding);
    rill_reactor_finish(&runtime->reactor);
    free(runtime);
}

const char *rill_runtime_explain(int error)
{
    switch (error) {
    case -EPERM:
        return "io_uring is not permitted here; see sysctl kernel.io_uring_disabled (0 permits "
               "it), and in a container its seccomp profile, which must allow io_uring_setup, "
               "io_uring_enter and io_uring_register";
    case -ENOSYS:
        return "this kernel's io_uring lacks what rill needs: Linux 6.1 or later, with "
               "CONFIG_IO_URING";
    case -EBUSY:
        return "this thread has a runtime already";
    case -EINVAL:
        return "an option of the runtime is out of range: queue and buffer counts are powers of "
               "two of at most 32768 (cq_entries: 65536, and not below sq_entries), buffer_size is "
               "1 GiB at most, and spin_ns is not negative";
    case -ENOMEM:
        return "not enough memory for the queues of io_uring; they are locked, and without "
               "privilege `ulimit -l` limits that for all of the user's together (some 256 KiB do "
               "for a runtime of the usual size)";
    default:
        return strerror(-error);
    }
}

int64_t rill_block_on(struct rill_runtime *runtime, struct rill_future *future)
{
    int64_t result = rill_executor_block_on(&runtime->executor, future);

    rill_embedding_remind(&runtime->embedding);
    return result;
}

/* Accepts no more posts; says whether those that there were have spawned tasks. */
static bool has_late_posts(struct rill_runtime *runtime)
{
    runtime->reactor.refuses_posts = true;
    if (runtime->reactor.remote)
        rill_remote_close(runtime->reactor.remote);
    return runtime->executor.tasks_alive > 0;
}

void rill_runtime_shutdown(struct rill_runtime *runtime, int64_t grace_ns)
{
    struct rill_executor *executor = &runtime->executor;

    rill_check(executor == rill_executor_of_thread, "a runtime was shut down by another thread");
    executor->now_is_known = false; /* time has passed since the last turn */

    int64_t now_ns = rill_now();
    int64_t deadline_ns = grace_ns < RILL_NEVER - now_ns ? now_ns + grace_ns : RILL_NEVER;

    uint64_t spawns_told = 0; /* of the tasks, how many were there when all were cancelled last */

    rill_check(!executor->running, "a task shuts down the runtime that runs it");
    while (executor->tasks_alive > 0 || has_late_posts(runtime)) {
        bool patient = rill_now() < deadline_ns;

        /* Before each wait: those that were spawned since the last one have to end too. Without
         * any it would be a walk over all that are left, in each of the turns that they take. */
        if (!patient && executor->spawns != spawns_told) {
            rill_executor_cancel_all(executor, RILL_SHUTTING_DOWN);
            spawns_told = executor->spawns;
        }

        int error = rill_executor_wait(executor, patient ? deadline_ns : RILL_NEVER);

        rill_check(!error, "the driver failed: error %d", -error);
        rill_executor_run(executor);
    }
}
