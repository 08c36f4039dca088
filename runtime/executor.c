/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/executor.h"

#include <errno.h>
#include <stdatomic.h>

__thread struct rill_executor *rill_executor_of_thread;

int rill_executor_init(struct rill_executor *executor, struct rill_driver *driver)
{
    static atomic_uint last_id;

    if (rill_executor_of_thread)
        return -EBUSY;
    executor->driver = driver;
    executor->tasks_alive = 0;
    executor->turns = 0;
    executor->polls = 0;
    rill_list_init(&executor->ready);
    rill_list_init(&executor->parked);
    executor->ready_count = 0;
    executor->running = NULL;
    executor->budget_left = 0;
    executor->id = (uint16_t)atomic_fetch_add(&last_id, 1);
    executor->now_ns = driver->ops->now(driver);
    executor->now_is_known = false;
    rill_wheel_init(&executor->wheel, executor->now_ns);
    rill_pool_init(&executor->pool);
    rill_executor_of_thread = executor;
    return 0;
}

void rill_executor_finish(struct rill_executor *executor)
{
    rill_check(executor == rill_executor_of_thread, "a runtime was ended by another thread");
    if (executor->tasks_alive > 0) {
        rill_executor_print(executor, stderr);
        rill_panic("a runtime was ended with %zu tasks alive", executor->tasks_alive);
    }
    rill_pool_finish(&executor->pool);
    rill_executor_of_thread = NULL;
}

static int64_t now(struct rill_executor *executor)
{
    if (!executor->now_is_known) {
        executor->now_ns = executor->driver->ops->now(executor->driver);
        executor->now_is_known = true;
    }
    return executor->now_ns;
}

int64_t rill_now(void)
{
    return now(rill_executor_here());
}

static void make_ready(struct rill_executor *executor, struct rill_task *task)
{
    task->state = RILL_TASK_QUEUED;
    rill_list_append(&executor->ready, &task->queue);
    executor->ready_count++;
}

void rill_task_wake(struct rill_task *task)
{
    struct rill_executor *executor = rill_executor_of_thread;

    rill_check(executor && task->executor_id == executor->id,
               "a task was woken by a thread that it does not belong to");
    switch ((enum rill_task_state)task->state) {
    case RILL_TASK_PARKED:
        rill_link_remove(&task->queue);
        make_ready(executor, task);
        break;
    case RILL_TASK_RUNNING:
        task->state = RILL_TASK_WOKEN;
        break;
    case RILL_TASK_NEW:
    case RILL_TASK_QUEUED:
    case RILL_TASK_WOKEN:
    case RILL_TASK_OVER:
        break;
    }
}

static void run_task(struct rill_executor *executor, struct rill_task *task)
{
    enum rill_poll poll;

    task->state = RILL_TASK_RUNNING;
    executor->running = task;
    executor->budget_left = RILL_TASK_BUDGET;
    poll = task->future.poll(&task->future, task);
    executor->running = NULL;

    if (poll == RILL_READY) {
        executor->tasks_alive--;
        rill_task_finish(task);
    } else if (task->state == RILL_TASK_WOKEN) {
        make_ready(executor, task);
    } else {
        task->state = RILL_TASK_PARKED;
        rill_list_append(&executor->parked, &task->queue);
    }
}

/* Runs the tasks that are ready now; those that become ready meanwhile wait for
 * the next turn, so that events are looked at between the two. */
static void run_ready(struct rill_executor *executor)
{
    size_t polls = executor->ready_count;

    if (polls > RILL_TURN_POLLS_MAX)
        polls = RILL_TURN_POLLS_MAX;
    executor->polls += polls;
    executor->ready_count -= polls;
    for (; polls > 0; polls--)
        run_task(executor,
                 rill_container_of(rill_list_pop(&executor->ready), struct rill_task, queue));
}

void rill_executor_run(struct rill_executor *executor)
{
    executor->turns++;
    if (executor->wheel.armed > 0)
        rill_wheel_advance(&executor->wheel, now(executor));
    run_ready(executor);
}

int rill_executor_wait(struct rill_executor *executor, int64_t until_ns)
{
    if (executor->ready_count > 0) {
        until_ns = RILL_NO_WAIT;
    } else if (until_ns != RILL_NO_WAIT && executor->wheel.armed > 0) {
        int64_t next_ns = rill_wheel_next(&executor->wheel);

        if (next_ns < until_ns)
            until_ns = next_ns;
    }
    executor->now_is_known = false;

    int error = executor->driver->ops->turn(executor->driver, until_ns);

    executor->now_is_known = false; /* it may have been read before the driver waited */
    return error;
}

/* The task at the root of a blocking call: it awaits the caller's future. */
struct root {
    struct rill_task task;
    struct rill_future *future;
};

static enum rill_poll root_poll(struct rill_future *self, struct rill_task *task)
{
    struct root *root = rill_container_of(self, struct root, task.future);

    RILL_BEGIN();
    RILL_AWAIT(root->future);
    RILL_RETURN(root->future->result);
    RILL_END();
}

int64_t rill_executor_block_on(struct rill_executor *executor, struct rill_future *future)
{
    struct root root = {.future = future};

    rill_check(executor == rill_executor_of_thread, "a runtime was entered by another thread");
    rill_check(!executor->running, "a task blocks its own thread: await instead");
    executor->now_is_known = false; /* time has passed since the last turn */
    rill_task_spawn(&root.task, root_poll);
    for (;;) {
        rill_executor_run(executor);
        if (rill_task_is_over(&root.task))
            break;

        int error = rill_executor_wait(executor, RILL_NEVER);

        rill_check(!error, "the driver failed: error %d", -error);
    }
    return root.task.future.result;
}

/* Calls visit for each task that is queued or parked. */
static void each_task(const struct rill_executor *executor,
                      void (*visit)(struct rill_task *task, void *argument), void *argument)
{
    const struct rill_link *const lists[] = {&executor->ready, &executor->parked};

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct rill_link *next;

        for (struct rill_link *link = lists[i]->next; link != lists[i]; link = next) {
            next = link->next;
            visit(rill_container_of(link, struct rill_task, queue), argument);
        }
    }
}

static void cancel_task(struct rill_task *task, void *argument)
{
    (void)argument;
    if (!task->cancelled) /* the others are on their way out already */
        rill_task_cancel(task);
}

void rill_executor_cancel_all(struct rill_executor *executor)
{
    /* Waking moves a task from parked to ready, which was visited before. */
    each_task(executor, cancel_task, NULL);
    if (executor->running)
        rill_task_cancel(executor->running);
}

static void print_task(struct rill_task *task, void *out)
{
    rill_task_print(task, out);
}

void rill_executor_print(const struct rill_executor *executor, FILE *out)
{
    if (executor->running)
        rill_task_print(executor->running, out);
    each_task(executor, print_task, out);
}
