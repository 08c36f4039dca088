/* SPDX-License-Identifier: Apache-2.0 */
/* locks.c - a semaphore and a lock for reading and writing: taken, tried, given back in any order,
 * cancelled and woken at any time.
 *
 * The model: permits are held or available, a writer is alone, and at rest whoever came first of
 * those that wait cannot go on. */
#include "runtime/rwlock.h"
#include "runtime/semaphore.h"
#include "tests/fuzz/input.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

enum { SLOTS = 6, PERMITS = 5 };

/* A task that takes one of them. Who has permits needs no task, but who has the lock. */
struct user {
    struct runner runner;
    struct rill_acquire acquire;
    struct rill_rwlock_use use;
    struct latch latch; /* open when the lock is given up */
    enum { IDLE, ACQUIRING, LOCKING } doing;
    size_t wanted, held; /* permits */
    bool is_writer;
    uint64_t since; /* place in line */
};

static struct {
    struct rill_semaphore semaphore;
    struct rill_rwlock lock;
    struct user users[SLOTS];
    uint64_t comers;
} all;

static bool is_out(const struct user *user)
{
    return user->doing != IDLE && !rill_task_is_over(&user->runner.task);
}

static void finish_all(void)
{
    for (int i = 0; i < SLOTS; i++) {
        struct user *user = &all.users[i];

        if (user->doing == IDLE || is_out(user))
            continue;
        if (user->doing == ACQUIRING) {
            int64_t result = user->acquire.result;

            ck_assert(result == (int64_t)user->wanted || result == -ECANCELED ||
                      (result == -EINVAL && (user->wanted == 0 || user->wanted > PERMITS)) ||
                      (result == -EPIPE && all.semaphore.is_closed));
            user->held = result > 0 ? (size_t)result : 0;
        } else {
            ck_assert(user->use.result == 0 || user->use.result == -ECANCELED);
            ck_assert(user->use.held == RILL_RWLOCK_NONE);
        }
        user->doing = IDLE;
    }
}

static void check_always(void)
{
    size_t held = 0, readers = 0, writers = 0;

    for (int i = 0; i < SLOTS; i++) {
        held += all.users[i].held;
        readers += all.users[i].use.held == RILL_RWLOCK_READ;
        writers += all.users[i].use.held == RILL_RWLOCK_WRITE;
    }
    ck_assert_uint_le(all.semaphore.available + held, PERMITS);
    ck_assert_uint_eq(readers, all.lock.readers);
    ck_assert_uint_eq(writers, all.lock.has_writer);
    ck_assert(writers == 0 || (writers == 1 && readers == 0));
}

/* Who waits and came first; NULL if nobody does. */
static const struct user *first(int doing)
{
    const struct user *oldest = NULL;

    for (int i = 0; i < SLOTS; i++) {
        const struct user *user = &all.users[i];

        if ((int)user->doing == doing && user->use.held == RILL_RWLOCK_NONE &&
            (!oldest || user->since < oldest->since))
            oldest = user;
    }
    return oldest;
}

static void check_at_rest(void)
{
    const struct user *waiting = first(ACQUIRING);
    size_t held = 0;

    for (int i = 0; i < SLOTS; i++)
        held += all.users[i].held;
    ck_assert_uint_eq(all.semaphore.available + held, PERMITS);
    if (waiting)
        ck_assert(waiting->wanted > all.semaphore.available && !all.semaphore.is_closed);
    waiting = first(LOCKING);
    if (waiting)
        ck_assert(all.lock.has_writer || (waiting->is_writer && all.lock.readers > 0));
}

/* The order in which tasks begin is that in which they come. */
static void begin(struct user *user, struct input *input)
{
    user->since = ++all.comers;
    if (input_byte(input) % 2) {
        if (user->held > 0)
            return;
        user->doing = ACQUIRING;
        user->wanted = (size_t)input_below(input, PERMITS + 2);
        runner_start(&user->runner,
                     rill_semaphore_acquire(&all.semaphore, &user->acquire, user->wanted), NULL);
    } else {
        user->doing = LOCKING;
        user->is_writer = input_byte(input) % 2;
        user->latch = (struct latch){.drain_polls = LATCH_BY_HAND};
        runner_start(
            &user->runner,
            (user->is_writer ? rill_rwlock_write : rill_rwlock_read)(&all.lock, &user->use),
            latch_wait(&user->latch));
    }
}

static void give_up_lock(struct user *user)
{
    if (user->use.held != RILL_RWLOCK_NONE)
        rill_rwlock_unlock(&all.lock, &user->use);
    if (user->doing == LOCKING)
        latch_open(&user->latch, 0);
}

static void give_back(struct user *user, struct input *input)
{
    size_t count = 1 + (size_t)input_below(input, user->held);

    if (user->held > 0 && user->doing != ACQUIRING) {
        rill_semaphore_release(&all.semaphore, count);
        user->held -= count;
    }
}

static void try_permits(struct user *user, struct input *input)
{
    size_t count = 1 + (size_t)input_below(input, PERMITS);

    if (user->doing != ACQUIRING && rill_semaphore_try_acquire(&all.semaphore, count))
        user->held += count;
}

static void step(struct input *input)
{
    struct user *user = &all.users[input_below(input, SLOTS)];

    switch (input_below(input, 16)) {
    case 0:
    case 1:
        rig_settle();
        finish_all();
        check_at_rest();
        break;
    case 2:
    case 3:
        if (is_out(user))
            rill_task_cancel(&user->runner.task);
        break;
    case 4:
        if (is_out(user))
            rill_task_wake(&user->runner.task); /* for no reason */
        break;
    case 5:
        if (input_byte(input) == 1)
            rill_semaphore_close(&all.semaphore);
        break;
    case 6:
        if (user->use.held == RILL_RWLOCK_WRITE)
            rill_rwlock_downgrade(&all.lock, &user->use);
        break;
    case 7:
        try_permits(user, input);
        break;
    case 8:
    case 9:
        give_back(user, input);
        break;
    case 10:
    case 11:
        if (user->use.held != RILL_RWLOCK_NONE)
            give_up_lock(user);
        break;
    case 12:
        rig_turn();
        finish_all();
        break;
    default:
        if (!is_out(user) && user->doing == IDLE)
            begin(user, input);
        break;
    }
    check_always();
}

static void end(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (is_out(&all.users[i]))
            rill_task_cancel(&all.users[i].runner.task);
    for (int i = 0; i < SLOTS; i++)
        give_up_lock(&all.users[i]);
    rig_settle();
    finish_all();
    check_at_rest();
    for (int i = 0; i < SLOTS; i++) {
        ck_assert(all.users[i].doing == IDLE);
        if (all.users[i].held > 0)
            rill_semaphore_release(&all.semaphore, all.users[i].held);
    }
    ck_assert_uint_eq(all.semaphore.available, PERMITS);
    rill_semaphore_finish(&all.semaphore);
    rill_rwlock_finish(&all.lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};

    memset(&all, 0, sizeof all);
    rig_start();
    rill_semaphore_init(&all.semaphore, PERMITS);
    rill_rwlock_init(&all.lock);
    while (input_has(&input))
        step(&input);
    end();
    rig_end();
    return 0;
}
