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
    rill_line_finish(&lock->line, "a rwlock");
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

/* A task counts what it holds, and cannot end with a count. */
static void hold(struct rill_rwlock_use *use, struct rill_task *task)
{
    use->holder = task;
    if (task)
        task->ops++;
}

static struct rill_rwlock_use *use_of(struct rill_link *link)
{
    return rill_container_of(link, struct rill_rwlock_use, place.link);
}

/* Wakes those who may go in, from one place in line on, before which nobody stays: readers up to
 * the next writer, or one writer. It walks, so it is only for when a writer has left: readers who
 * stand behind one another are woken together, and those that leave need to wake no other. */
static void wake_batch_from(struct rill_rwlock *lock, struct rill_link *first)
{
    for (struct rill_link *link = first; link != &lock->line.places; link = link->next) {
        struct rill_rwlock_use *use = use_of(link);

        if (!may_enter(lock, use->wanted))
            return;
        rill_line_wake_(link);
        if (use->wanted == RILL_RWLOCK_WRITE)
            return;
    }
}

static void wake_batch(struct rill_rwlock *lock)
{
    wake_batch_from(lock, lock->line.places.next);
}

/* Whether a writer in line is what keeps those behind it: nobody is before it, or readers who were
 * woken and go in. */
static bool is_in_the_way(const struct rill_rwlock *lock, const struct rill_rwlock_use *use)
{
    struct rill_link *before = use->place.link.prev;

    if (use->wanted != RILL_RWLOCK_WRITE || !rill_link_is_linked(&use->place.link))
        return false;
    return before == &lock->line.places ||
           (use_of(before)->wanted == RILL_RWLOCK_READ && use_of(before)->place.is_woken);
}

/* A writer who gives up no longer stops the readers behind him, and no others are looked at: where
 * many give up, that would be a walk over all readers each time. Otherwise it is enough that the
 * next one looks, who may have done so before its turn had come. */
static enum rill_poll end(struct rill_rwlock_use *use, int64_t result)
{
    struct rill_rwlock *lock = use->lock;
    struct rill_link *behind = use->place.link.next;
    bool was_in_the_way = result < 0 && is_in_the_way(lock, use);

    rill_line_leave(&use->place);
    if (was_in_the_way)
        wake_batch_from(lock, behind);
    else
        rill_line_wake_first(&lock->line);
    return rill_future_end(&use->future, result);
}

static enum rill_poll lock_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rwlock_use *use = rill_container_of(self, struct rill_rwlock_use, future);
    struct rill_rwlock *lock = use->lock;

    bool is_cancelled = rill_task_is_cancelled(task);

    if (!is_cancelled &&
        (!may_enter(lock, use->wanted) || !rill_line_is_first(&lock->line, &use->place))) {
        rill_line_join(&lock->line, &use->place, task);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (is_cancelled) {
        rill_line_check(&lock->line);
        return end(use, -ECANCELED);
    }
    enter(lock, use, use->wanted);
    hold(use, task);
    return end(use, 0);
}

static void check_free(const struct rill_rwlock_use *use)
{
    rill_check(use->held == RILL_RWLOCK_NONE, "a rwlock is taken by a use that holds it already");
    rill_check(!rill_link_is_linked(&use->place.link), "a rwlock is taken by a use that waits");
}

static struct rill_future *prepare(struct rill_rwlock *lock, struct rill_rwlock_use *use,
                                   enum rill_rwlock_mode wanted, const struct rill_place *name)
{
    check_free(use);
    rill_future_init(&use->future, lock_poll);
    use->future.place = name;
    use->wanted = wanted;
    use->lock = lock;
    return &use->future;
}

struct rill_future *rill_rwlock_read(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    static const struct rill_place name = {"lock for reading", NULL, 0};

    return prepare(lock, use, RILL_RWLOCK_READ, &name);
}

struct rill_future *rill_rwlock_write(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    static const struct rill_place name = {"lock for writing", NULL, 0};

    return prepare(lock, use, RILL_RWLOCK_WRITE, &name);
}

static bool try_lock(struct rill_rwlock *lock, struct rill_rwlock_use *use,
                     enum rill_rwlock_mode mode)
{
    check_free(use);
    if (!may_enter(lock, mode) || !rill_line_is_empty(&lock->line)) {
        rill_line_check(&lock->line);
        return false;
    }
    enter(lock, use, mode);
    hold(use, rill_executor_here()->running);
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
    wake_batch(lock);
}

void rill_rwlock_unlock(struct rill_rwlock *lock, struct rill_rwlock_use *use)
{
    enum rill_rwlock_mode held = use->held;

    check_held(lock, use);
    use->held = RILL_RWLOCK_NONE;
    if (use->holder)
        use->holder->ops--;
    if (held == RILL_RWLOCK_WRITE) {
        lock->has_writer = false;
        wake_batch(lock);
    } else if (--lock->readers == 0) {
        rill_line_wake_first(&lock->line);
    }
}
