/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/executor.h"

#include "runtime/scope.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>

__thread struct rill_executor *rill_executor_of_thread;

/* GRND_INSECURE: never waits for the kernel to have entropy, as early in a boot. A filter of
 * system calls may refuse it: address and time differ from process to process as well. */
static uint64_t seed_of(const struct rill_executor *executor)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, GRND_INSECURE) == sizeof seed)
        return seed;
    return (uint64_t)executor->now_ns ^ (uint64_t)(uintptr_t)executor;
}

int rill_executor_init(struct rill_executor *executor, struct rill_driver *driver)
{
    static atomic_uint last_id;

    if (rill_executor_of_thread)
        return -EBUSY;
    executor->driver = driver;
    executor->tasks_alive = 0;
    executor->turns = 0;
    executor->polls = 0;
    executor->spawns = 0;
    rill_list_init(&executor->ready);
    rill_list_init(&executor->yielded);
    rill_list_init(&executor->parked);
    rill_list_init(&executor->scopes);
    executor->ready_count = 0;
    executor->polls_soon = RILL_TURN_POLLS_SOON;
    executor->running = NULL;
    executor->budget_left = 0;
    executor->id = (uint16_t)atomic_fetch_add(&last_id, 1);
    executor->now_ns = driver->ops->now(driver);
    executor->now_is_known = false;
    executor->waits_for_timer = 0;
    rill_wheel_init(&executor->wheel, executor->now_ns);
    rill_pool_init(&executor->pool);
    executor->random = seed_of(executor);
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

int64_t rill_now_of_beginning(void)
{
    struct rill_executor *executor = rill_executor_here();
    struct rill_driver *driver = executor->driver;

    if (executor->now_is_known && driver->ops->now_coarse &&
        driver->ops->now_coarse(driver) > executor->now_ns)
        executor->now_is_known = false;
    return now(executor);
}

/* Puts it into list, which is ready or yielded. */
static void make_ready(struct rill_executor *executor, struct rill_link *list,
                       struct rill_task *task)
{
    task->state = RILL_TASK_QUEUED;
    rill_list_append(list, &task->queue);
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
        make_ready(executor, &executor->ready, task);
        break;
    case RILL_TASK_RUNNING:
        task->state = RILL_TASK_WOKEN;
        break;
    case RILL_TASK_NEW:
    case RILL_TASK_QUEUED:
    case RILL_TASK_WOKEN:
    case RILL_TASK_OVER:
    case RILL_TASK_GONE:
        break;
    }
}

/* A task of a scope waits in the list in which its scope finds it. */
static void park(struct rill_executor *executor, struct rill_task *task)
{
    struct rill_link *parked = &executor->parked;

    if (__builtin_expect(task->in_scope, 0))
        parked = &task->scope->parked;
    task->state = RILL_TASK_PARKED;
    rill_list_append(parked, &task->queue);
}

static void run_task(struct rill_executor *executor, struct rill_task *task)
{
    enum rill_poll poll;

    if (__builtin_expect(task->in_scope, 0) &&
        (task->reason == RILL_NOT_CANCELLED || task->scope->reason == RILL_SHUTTING_DOWN))
        task->reason = task->scope->reason; /* it may have been cancelled meanwhile */
    task->state = RILL_TASK_RUNNING;
    executor->running = task;
    executor->budget_left = RILL_TASK_BUDGET;
    poll = task->future.poll(&task->future, task);
    executor->running = NULL;

    if (poll == RILL_READY) {
        executor->tasks_alive--;
        rill_task_finish(task);
    } else if (task->state == RILL_TASK_WOKEN) {
        make_ready(executor, &executor->yielded, task);
    } else {
        park(executor, task);
    }
}

/* Runs the tasks that are ready now, and, as long as these are few, those that they spawn and
 * wake: a look at the driver costs as much as several polls, and may be a system call. A
 * chain of tasks that wake one another, or one that yields, does not keep events waiting. */
static void run_ready(struct rill_executor *executor)
{
    size_t polls = 0, polls_max = executor->ready_count;

    if (polls_max < executor->polls_soon)
        polls_max = executor->polls_soon;
    else if (polls_max > RILL_TURN_POLLS_MAX)
        polls_max = RILL_TURN_POLLS_MAX;
    for (; polls < polls_max && !rill_list_is_empty(&executor->ready); polls++) {
        struct rill_link *link = rill_list_pop(&executor->ready);

        executor->ready_count--;
        run_task(executor, rill_container_of(link, struct rill_task, queue));
    }
    executor->polls += polls;
    rill_list_append_all(&executor->ready, &executor->yielded);
}

/* After so many waits that a timer bounded, the clock is read in any case: the coarse one may
 * stand still, where a virtual machine is held up or a core is without ticks. */
enum { WAITS_MAX = 16 };

/* Whether a timer may be due: most turns find that out without the dear clock. */
static bool may_be_time(struct rill_executor *executor)
{
    struct rill_driver *driver = executor->driver;

    if (executor->wheel.armed == 0)
        return false;
    return !driver->ops->now_coarse || executor->waits_for_timer >= WAITS_MAX ||
           rill_wheel_may_be_due(&executor->wheel,
                                 driver->ops->now_coarse(driver) + RILL_COARSE_LAG_NS);
}

/* How much was taken in: results, and tasks that something else has woken. Tasks that were spawned,
 * by posts of other threads, do not count: there might be no end of them. */
static uint64_t taken_in(const struct rill_executor *executor)
{
    return executor->driver->events + executor->ready_count - executor->spawns;
}

/* Where the thread was held up, by SIGSTOP, a debugger or a task that computes, timers are due
 * beside what came before them and waits in the kernel. That is taken in first, or all limits would
 * have run out at once. It may take several turns: the kernel hands over some twenty completions a
 * call (IO_LOCAL_TW_DEFAULT_MAX, io_uring.c of Linux 6.13). It is over when one has brought
 * nothing, or where others are as fast as that, after a bound. What goes wrong is told by the next
 * wait. */
static void take_in_what_came(struct rill_executor *executor)
{
    uint64_t before;
    unsigned turns = 0;

    do {
        before = taken_in(executor);
        if (executor->driver->ops->turn(executor->driver, RILL_NO_WAIT))
            break;
    } while (taken_in(executor) != before && ++turns < RILL_HELD_UP_TURNS_MAX);
    executor->now_is_known = false;
}

void rill_executor_run(struct rill_executor *executor)
{
    executor->turns++;
    if (may_be_time(executor)) {
        if (now(executor) - rill_wheel_next(&executor->wheel) >= RILL_HELD_UP_NS)
            take_in_what_came(executor);
        rill_wheel_advance(&executor->wheel, now(executor));
        executor->waits_for_timer = 0;
    }
    run_ready(executor);
}

void rill_executor_was_waited_for(struct rill_executor *executor)
{
    executor->waits_for_timer = WAITS_MAX;
}

int rill_executor_wait(struct rill_executor *executor, int64_t until_ns)
{
    if (executor->ready_count > 0) {
        until_ns = RILL_NO_WAIT;
    } else if (until_ns != RILL_NO_WAIT && executor->wheel.armed > 0) {
        int64_t next_ns = rill_wheel_next(&executor->wheel);

        if (next_ns < until_ns) {
            until_ns = next_ns;
            executor->waits_for_timer++;
        }
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
    rill_check(future, "a runtime was given NULL to run");
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

/* Calls visit, which may wake it, for each task in a list of rill_task.queue. */
static void each_task_of(const struct rill_link *list,
                         void (*visit)(struct rill_task *task, void *argument), void *argument)
{
    struct rill_link *next;

    for (struct rill_link *link = list->next; link != list; link = next) {
        next = link->next;
        visit(rill_container_of(link, struct rill_task, queue), argument);
    }
}

/* Calls visit for each task that is queued or parked. Waking moves a task to ready,
 * which comes first, so that none is visited twice. */
static void each_task(const struct rill_executor *executor,
                      void (*visit)(struct rill_task *task, void *argument), void *argument)
{
    each_task_of(&executor->ready, visit, argument);
    each_task_of(&executor->yielded, visit, argument);
    each_task_of(&executor->parked, visit, argument);
    for (struct rill_link *link = executor->scopes.next; link != &executor->scopes;
         link = link->next)
        each_task_of(&rill_container_of(link, struct rill_scope, entry)->parked, visit, argument);
}

/* Those that have been told are on their way out already. */
static void cancel_task(struct rill_task *task, void *argument)
{
    enum rill_cancel_reason reason = *(enum rill_cancel_reason *)argument;
    bool may_be_told_again = reason == RILL_SHUTTING_DOWN && task->reason != reason;

    if (task->reason == RILL_NOT_CANCELLED || may_be_told_again)
        rill_task_cancel_because(task, reason);
}

void rill_executor_cancel_all(struct rill_executor *executor, enum rill_cancel_reason reason)
{
    each_task(executor, cancel_task, &reason);
    if (executor->running)
        rill_task_cancel_because(executor->running, reason);
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
