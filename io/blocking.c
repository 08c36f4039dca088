/* SPDX-License-Identifier: Apache-2.0 */
#include "io/blocking.h"

#include "runtime/executor.h"

#include <errno.h>

/* On the pool's thread. The last call to touch the future is the post: the runtime may
 * then go on, so the thread keeps the remote by a hold of its own until that is over. */
static void run(struct rill_job *job)
{
    struct rill_blocking *blocking = rill_container_of(job, struct rill_blocking, job);
    struct rill_remote *remote = blocking->remote;
    int error;

    blocking->returned = blocking->function(blocking->argument);
    error = rill_post(remote, &blocking->done);
    rill_check(!error, "a runtime was ended while a function of its own blocks");
    rill_remote_release(remote);
}

static void finished(struct rill_post *post)
{
    struct rill_blocking *blocking = rill_container_of(post, struct rill_blocking, done);

    blocking->is_done = true;
    rill_task_wake(blocking->task);
}

static enum rill_poll over(struct rill_blocking *blocking, int64_t result)
{
    blocking->task->ops--;
    return rill_future_end(&blocking->future, result);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_blocking *blocking = rill_container_of(self, struct rill_blocking, future);

    if (blocking->is_done)
        return over(blocking, blocking->returned);
    if (rill_task_is_cancelled(task) && rill_workers_withdraw(blocking->workers, &blocking->job)) {
        rill_remote_release(blocking->remote);
        return over(blocking, -ECANCELED);
    }
    if (blocking->task != task) { /* it was handed from one task to another */
        blocking->task->ops--;
        task->ops++;
        blocking->task = task;
    }
    return RILL_PENDING;
}

/* Returns 0 or -errno. */
static int start(struct rill_blocking *blocking)
{
    int error = rill_remote_open(&blocking->remote);

    if (error)
        return error;
    error = rill_workers_submit(blocking->workers, &blocking->job);
    if (error)
        rill_remote_release(blocking->remote);
    return error;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_blocking *blocking = rill_container_of(self, struct rill_blocking, future);
    int error;

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    blocking->task = task;
    error = rill_task_is_cancelled(task) ? -ECANCELED : start(blocking);
    if (error)
        return rill_future_end(self, error);
    task->ops++;
    self->poll = wait_poll;
    return RILL_PENDING;
}

struct rill_future *rill_blocking(struct rill_blocking *blocking, struct rill_workers *workers,
                                  rill_blocking_fn *function, void *argument)
{
    static const struct rill_place name = {"blocking function", NULL, 0};

    rill_check(function, "a thread was given NULL to call");
    rill_check(blocking->future.poll != wait_poll,
               "a struct for a function that blocks is used while that waits or runs");
    rill_future_init(&blocking->future, start_poll);
    blocking->future.place = &name;
    blocking->workers = workers ? workers : rill_workers_shared();
    blocking->function = function;
    blocking->argument = argument;
    blocking->job = (struct rill_job){.run = run};
    rill_post_init(&blocking->done, finished);
    blocking->is_done = false;
    return &blocking->future;
}
