/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/rwlock.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_rwlock_init(struct rill_rwlock *lock)
{
    lock->readers = 0;
    lock->has_writer = false;
    rill_line_init(&lock->line);
}

void rill_rwlock_finish(struct rill_rwlock *lock)
{
    rill_check(lock->readers == 0 && !lock->has_writer,
               "a rwlock was finished while it is held for %s",
               lock->has_writer ? "writing" : "reading");
    rill_check(rill_line_is_empty(&lock->line), "a rwlock was finished while a task waits for it");
}

static bool may_enter(const struct rill_rwlock *lock, enum rill_rwlock_mode mode)
{
    return !lock->has_writer && (mode == RILL_RWLOCK_READ || lock->readers == 0);
}

static void enter(struct rill_rwlock *lock, struct rill_rwlock_use *use, enum rill_rwlock_mode mode)
{
    if (mode == RILL_RWLOCK_READ)
        lock->readers++;
    else
        lock->has_writer = true;
    use->lock = lock;
    use->held = mode;
}

/* A reader who has gone in, or anybody who has left the line, lets the next look. */
static enum rill_poll end(struct rill_rwlock_use *use, int64_t result)
{
    rill_line_leave(&use->place);
    rill_line_wake_first(&use->lock->line);
    return rill_future_end(&use->future, result);
}

static enum rill_poll lock_poll(struct rill_rwlock_use *use, struct rill_task *task,
                                enum rill_rwlock_mode mode)
{
    struct rill_rwlock *lock = use->lock;

    if (rill_task_is_cancelled(task))
        return end(use, -ECANCELED);
    if (!may_enter(lock, mode) || !rill_line_is_first(&lock->line, &use->place)) {
        rill_line_join(&lock->line, &use->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    enter(lock, use, mode);
    return end(use, 0);
}

static enum rill_poll read_poll(struct rill_future *self, struct rill_task *task)
{
    return lock_poll(rill_container_of(self, struct rill_rwlock_use, future), task,
                     RILL_RWLOCK_READ);
}

static enum rill_poll write_poll(struct rill_future *self, struct rill_task *task)
{
    return lock_poll(rill_container_of(self, struct rill_rwlock_use, future), task,
                     RILL_RWLOCK_WRITE);
}

static void check_free(const struct rill_rwlock_use *use)
{
    rill_check(use->held == RILL_RWLOCK_NONE, "a rwlock is taken by a use that holds it already");
    rill_check(!rill_link_is_linked(&use->place.link), "a rwlock is taken by a use that waits");
}

static struct rill_future *prepare(struct rill_rwlock *lock, struct rill_rwlock_use *use,
                                   rill_poll_fn *poll, const struct rill_place *name)
{
    check_free(use);
    rill_future_init(&use->future, poll);
    use->future.place = name;
    use->lock = lock;
    return &use->future;
}

struct rill_future *rill_rwlock_read(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    static const struct rill_place name = {"lock for reading", NULL, 0};

    return prepare(lock, use, read_poll, &name);
}

struct rill_future *rill_rwlock_write(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    static const struct rill_place name = {"lock for writing", NULL, 0};

    return prepare(lock, use, write_poll, &name);
}

static bool try_lock(struct rill_rwlock *lock, struct rill_rwlock_use *use,
                     enum rill_rwlock_mode mode)
{
    check_free(use);
    if (!may_enter(lock, mode) || !rill_line_is_empty(&lock->line))
        return false;
    enter(lock, use, mode);
    return true;
}

bool rill_rwlock_try_read(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    return try_lock(lock, use, RILL_RWLOCK_READ);
}

bool rill_rwlock_try_write(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    return try_lock(lock, use, RILL_RWLOCK_WRITE);
}

static void check_held(const struct rill_rwlock *lock, const struct rill_rwlock_use *use)
{
    rill_check(use->held != RILL_RWLOCK_NONE && use->lock == lock,
               "a rwlock was unlocked by a use that does not hold it");
}

void rill_rwlock_downgrade(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    check_held(lock, use);
    rill_check(use->held == RILL_RWLOCK_WRITE, "only a writer can become a reader");
    lock->has_writer = false;
    enter(lock, use, RILL_RWLOCK_READ);
    rill_line_wake_first(&lock->line);
}

void rill_rwlock_unlock(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    check_held(lock, use);
    if (use->held == RILL_RWLOCK_WRITE)
        lock->has_writer = false;
    else
        lock->readers--;
    use->held = RILL_RWLOCK_NONE;
    rill_line_wake_first(&lock->line);
}
