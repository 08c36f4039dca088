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

void rill_mutex_finish(struct rill_mutex *mutex)
{
    rill_check(!mutex->holder, "a mutex was finished while a task (%p) holds it",
               (const void *)mutex->holder);
    rill_check(rill_line_is_empty(&mutex->line), "a mutex was finished while a task waits for it");
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

    rill_check(mutex->holder != task, "a task locks a mutex that it holds already");
    if (rill_task_is_cancelled(task))
        return end(lock, -ECANCELED);
    if (mutex->holder || !rill_line_is_first(&mutex->line, &lock->place)) {
        rill_line_join(&mutex->line, &lock->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    mutex->holder = task;
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
static const struct rill_task *caller(void)
{
    const struct rill_task *running = rill_executor_here()->running;

    rill_check(running, "a mutex is used outside of a task");
    return running;
}

bool rill_mutex_try_lock(struct rill_mutex *mutex)
{
    if (mutex->holder || !rill_line_is_empty(&mutex->line))
        return false;
    mutex->holder = caller();
    return true;
}

void rill_mutex_unlock(struct rill_mutex *mutex)
{
    rill_check(mutex->holder, "a mutex was unlocked that nobody holds");
    rill_check(mutex->holder == caller(), "a mutex was unlocked that another task (%p) holds",
               (const void *)mutex->holder);
    mutex->holder = NULL;
    rill_line_wake_first(&mutex->line);
}
