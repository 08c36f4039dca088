/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/task.h"

#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/scope.h"

#include <errno.h>
#include <string.h>

void *rill_task_alloc(size_t size)
{
    struct rill_executor *executor = rill_executor_here();
    uint8_t size_class;
    struct rill_task *task;

    rill_check(size >= sizeof *task, "%zu bytes do not hold a task", size);
    task = rill_pool_get(&executor->pool, size, &size_class);
    if (!task)
        return NULL;
    memset(task, 0, size);
    task->size_class = size_class;
    task->pooled = true;
    task->executor_id = executor->id;
    return task;
}

/* A block goes back to where it came from, which is in the memory of one thread's runtime. */
static void check_block(const struct rill_task *task, const struct rill_executor *executor)
{
    rill_check(!task->pooled || task->executor_id == executor->id,
               "a block of rill_task_alloc is used by a thread that it does not belong to");
}

static void check_there(const struct rill_task *task)
{
    rill_check(task->state != RILL_TASK_GONE,
               "a task was used whose block was given back: it was joined, or over and detached");
}

/* Whoever uses it once more is told so, as long as the block lies idle. */
static void give_back(struct rill_task *task)
{
    task->state = RILL_TASK_GONE;
    rill_pool_put(&rill_executor_here()->pool, task, task->size_class);
}

void rill_task_free(void *block)
{
    struct rill_task *task = block;

    if (!task)
        return;
    rill_check(task->pooled && task->state == RILL_TASK_NEW,
               "only a block of rill_task_alloc whose task was never spawned can be freed");
    check_block(task, rill_executor_here());
    give_back(task);
}

void rill_task_spawn(struct rill_task *task, rill_poll_fn *poll)
{
    struct rill_executor *executor = rill_executor_here();

    rill_check(task->state == RILL_TASK_NEW || task->state == RILL_TASK_OVER,
               "a task was spawned while it is alive, or its memory was never zeroed");
    check_block(task, executor);
    rill_future_init(&task->future, poll);
    task->joiner = NULL;
    task->below = 0;
    task->reason = RILL_NOT_CANCELLED;
    task->detached = false;
    task->in_scope = false;
    task->executor_id = executor->id;
    task->ops = 0;
    task->state = RILL_TASK_QUEUED;
    rill_list_append(&executor->ready, &task->queue);
    executor->ready_count++;
    executor->tasks_alive++;
    executor->spawns++;
}

void rill_task_detach(struct rill_task *task)
{
    const struct rill_executor *executor = rill_executor_of_thread;

    check_there(task);
    rill_check(task->state != RILL_TASK_NEW, "a task was detached before it was spawned");
    rill_check(!task->in_scope, "a task of a scope was detached");
    rill_check(!task->joiner, "a task was detached while another one joins it");
    rill_check(executor && task->executor_id == executor->id,
               "a task was detached by a thread that it does not belong to");
    if (task->state == RILL_TASK_OVER && task->pooled)
        give_back(task);
    else
        task->detached = true;
}

void rill_task_cancel(struct rill_task *task)
{
    rill_task_cancel_because(task, RILL_CANCELLED);
}

void rill_task_cancel_because(struct rill_task *task, enum rill_cancel_reason reason)
{
    check_there(task);
    rill_check(task->state != RILL_TASK_NEW, "a task was cancelled before it was spawned");
    rill_check(reason != RILL_NOT_CANCELLED, "a task was cancelled for no reason");
    if (task->reason == RILL_NOT_CANCELLED || reason == RILL_SHUTTING_DOWN)
        task->reason = reason & 3u;
    rill_task_wake(task);
}

/* Something would go on to write into memory that may be gone. */
__attribute__((noreturn, cold)) static void ended_too_early(struct rill_task *task)
{
    const struct rill_scope *scope = rill_scope_of_owner(task);

    rill_executor_here()->running = task; /* so that the panic shows it */
    if (scope)
        rill_panic("a task ended while a scope that it opened has %zu tasks alive: await "
                   "rill_scope_join",
                   scope->alive);
    rill_panic("a task ended with %d of its operations in flight, locks held or loops over any not "
               "drained: await them, unlock them, drain them",
               task->ops);
}

void rill_task_finish(struct rill_task *task)
{
    bool nobody_joins = task->in_scope || task->detached;

    if (__builtin_expect(task->ops != 0, 0))
        ended_too_early(task);
    task->state = RILL_TASK_OVER;
    if (task->in_scope)
        rill_scope_task_ended(task->scope, task->future.result);
    else if (task->joiner)
        rill_task_wake(task->joiner);
    if (nobody_joins && task->pooled)
        give_back(task);
}

static enum rill_poll join_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_join *join = rill_container_of(self, struct rill_join, future);
    struct rill_task *target = join->target;

    check_there(target);
    rill_check(target->executor_id == task->executor_id,
               "a task was joined by a thread that it does not belong to");
    rill_check(!target->joiner || target->joiner == task, "two tasks join the same task");
    if (target->state != RILL_TASK_OVER && !rill_task_is_cancelled(task)) {
        rill_check(target != task, "a task joins itself");
        target->joiner = task;
        return RILL_PENDING;
    }
    bool has_waited = target->joiner == task;

    if (!has_waited && !rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    target->joiner = NULL;
    if (target->state != RILL_TASK_OVER)
        return rill_future_end(self, -ECANCELED);
    join->result = target->future.result;
    self->poll = rill_future_poll_ended;
    /* A task that was cancelled as well may have ended with just that. Who gets -ECANCELED from
     * a cancelled join goes on to own the task, and could not tell that it is gone. */
    if (target->pooled && !(join->result == -ECANCELED && rill_task_is_cancelled(task)))
        give_back(target);
    return RILL_READY;
}

struct rill_future *rill_task_join(struct rill_task *task, struct rill_join *join)
{
    static const struct rill_place name = {"join", NULL, 0};

    check_there(task);
    rill_check(task->state != RILL_TASK_NEW, "a task was joined before it was spawned");
    rill_check(!task->detached, "a detached task was joined");
    rill_check(!task->in_scope, "a task of a scope was joined: await rill_scope_join");
    rill_future_init(&join->future, join_poll);
    join->future.place = &name;
    join->target = task;
    return &join->future;
}

static const char *state_name(const struct rill_task *task)
{
    switch ((enum rill_task_state)task->state) {
    case RILL_TASK_NEW:
        return "new";
    case RILL_TASK_QUEUED:
        return "queued";
    case RILL_TASK_RUNNING:
    case RILL_TASK_WOKEN:
        return "running";
    case RILL_TASK_PARKED:
        return "parked";
    case RILL_TASK_OVER:
        return "over";
    case RILL_TASK_GONE:
        return "gone";
    }
    return "broken";
}

static const char *reason_text(const struct rill_task *task)
{
    switch ((enum rill_cancel_reason)task->reason) {
    case RILL_NOT_CANCELLED:
        return "";
    case RILL_CANCELLED:
        return ", cancelled";
    case RILL_TIMED_OUT:
        return ", timed out";
    case RILL_SHUTTING_DOWN:
        return ", shutting down";
    }
    return "";
}

void rill_task_print(const struct rill_task *task, FILE *out)
{
    fprintf(out, "task %p, %s%s%s\n", (const void *)task, state_name(task), reason_text(task),
            task->detached   ? ", detached"
            : task->in_scope ? ", in a scope"
                             : "");
    for (const struct rill_future *future = &task->future; future; future = future->awaits) {
        const struct rill_place *place = future->place;

        if (!place)
            fprintf(out, "  has not begun\n");
        else if (place->line > 0)
            fprintf(out, "  %s at %s:%d\n", place->function, place->file, place->line);
        else if (place->line < 0)
            fprintf(out, "  %s ended at %s:%d\n", place->function, place->file, -place->line);
        else
            fprintf(out, "  %s\n", place->function);
    }
}
