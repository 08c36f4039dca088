/* SPDX-License-Identifier: Apache-2.0 */
#include "io/remote_call.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

/* There. The last that touches the call is the post: the task may then go on and end with it, so
 * the hold of its runtime's remote goes over to us, until the post has returned. */
static void run(struct rill_post *post)
{
    struct rill_remote_call *call = rill_container_of(post, struct rill_remote_call, call);
    struct rill_remote *here = call->here;
    int error;

    call->returned = __atomic_load_n(&call->is_unwanted, __ATOMIC_RELAXED)
                         ? -ECANCELED
                         : call->function(call->argument);
    error = rill_post(here, &call->back);
    rill_check(!error, "a runtime was ended while a call of its own is under way");
    rill_remote_release(here);
}

static void come_back(struct rill_post *post)
{
    struct rill_remote_call *call = rill_container_of(post, struct rill_remote_call, back);

    call->is_back = true;
    rill_task_wake(call->task);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_remote_call *call = rill_container_of(self, struct rill_remote_call, future);

    if (call->is_back) {
        call->task->ops--;
        return rill_future_end(self, call->returned);
    }
    if (rill_task_is_cancelled(task))
        __atomic_store_n(&call->is_unwanted, true, __ATOMIC_RELAXED);
    if (call->task != task) { /* it was handed from one task to another */
        call->task->ops--;
        task->ops++;
        call->task = task;
    }
    return RILL_PENDING;
}

/* Returns 0 or -errno. */
static int start(struct rill_remote_call *call)
{
    int error = rill_remote_open(&call->here);

    if (error)
        return error;
    error = rill_post(call->there, &call->call);
    if (error)
        rill_remote_release(call->here);
    return error;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_remote_call *call = rill_container_of(self, struct rill_remote_call, future);
    int error;

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    call->task = task;
    error = rill_task_is_cancelled(task) ? -ECANCELED : start(call);
    if (error)
        return rill_future_end(self, error);
    task->ops++;
    self->poll = wait_poll;
    return RILL_PENDING;
}

struct rill_future *rill_remote_call(struct rill_remote_call *call, struct rill_remote *remote,
                                     rill_remote_call_fn *function, void *argument)
{
    static const struct rill_place name = {"call in another runtime", NULL, 0};

    rill_future_init(&call->future, start_poll);
    call->future.place = &name;
    call->there = remote;
    call->function = function;
    call->argument = argument;
    rill_post_init(&call->call, run);
    rill_post_init(&call->back, come_back);
    call->is_unwanted = false;
    call->is_back = false;
    return &call->future;
}
