/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/mutex.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_mutex_init(struct rill_mutex *mutex)
{
    mutex->holder = NULL;
    rill_line_init(&mutex->line);
}

/* What the holder waits for tells most about why it holds the mutex for so long. */
__attribute__((noreturn, cold)) static void panic_of_holder(const struct rill_mutex *mutex,
                                                            const char *mistake)
{
    rill_task_print(mutex->holder, stderr);
    rill_panic("%s while a task (%p, above) holds it", mistake, (const void *)mutex->holder);
}

void rill_mutex_finish(struct rill_mutex *mutex)
{
    if (mutex->holder)
        panic_of_holder(mutex, "a mutex was finished");
    rill_line_finish(&mutex->line, "a mutex");
}

/* A task counts what it holds, and cannot end with a count. */
static void hold(struct rill_mutex *mutex, struct rill_task *task)
{
    mutex->holder = task;
    task->ops++;
}

static enum rill_poll end(struct rill_mutex_lock *lock, int64_t result)
{
    struct rill_mutex *mutex = lock->mutex;

    rill_line_leave(&lock->place);
    if (!mutex->holder)
        rill_line_wake_first(&mutex->line);
    return rill_future_end(&lock->future, result);
}

static enum rill_poll lock_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_mutex_lock *lock = rill_container_of(self, struct rill_mutex_lock, future);
    struct rill_mutex *mutex = lock->mutex;

    bool is_cancelled = rill_task_is_cancelled(task);

    rill_check(is_cancelled || mutex->holder != task,
               "a task (%p) locks a mutex that it holds already", (const void *)task);
    if (!is_cancelled && (mutex->holder || !rill_line_is_first(&mutex->line, &lock->place))) {
        rill_line_join(&mutex->line, &lock->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (is_cancelled) {
        rill_line_check(&mutex->line);
        return end(lock, -ECANCELED);
    }
    hold(mutex, task);
    return end(lock, 0);
}

struct rill_future *rill_mutex_lock(struct rill_mutex *mutex, struct rill_mutex_lock *lock)
{
    static const struct rill_place name = {"lock a mutex", NULL, 0};

    rill_future_init(&lock->future, lock_poll);
    lock->future.place = &name;
    lock->mutex = mutex;
    lock->place.link.next = NULL;
    return &lock->future;
}

/* The task that calls. */
static struct rill_task *caller(void)
{
    struct rill_task *running = rill_executor_here()->running;

    rill_check(running, "a mutex is used outside of a task");
    return running;
}

bool rill_mutex_try_lock(struct rill_mutex *mutex)
{
    if (mutex->holder || !rill_line_is_empty(&mutex->line)) {
        rill_line_check(&mutex->line);
        return false;
    }
    hold(mutex, caller());
    return true;
}

void rill_mutex_unlock(struct rill_mutex *mutex)
{
    struct rill_task *task = caller();

    rill_check(mutex->holder, "a mutex was unlocked that nobody holds");
    if (mutex->holder != task)
        panic_of_holder(mutex, "a mutex was unlocked by another task");
    mutex->holder = NULL;
    task->ops--;
    rill_line_wake_first(&mutex->line);
}
