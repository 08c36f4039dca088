/* SPDX-License-Identifier: Apache-2.0 */
/* test_semaphore.c - permits are held by somebody or available, never both or neither. */
#include "runtime/semaphore.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4, PERMITS = 3 };

static struct rill_semaphore semaphore;
static struct rill_acquire acquires[COUNT];
static struct runner runners[COUNT];

static void start(int i, size_t permits)
{
    runner_start(&runners[i], rill_semaphore_acquire(&semaphore, &acquires[i], permits), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void expect_over(int i, int64_t result)
{
    ck_assert(is_over(i));
    ck_assert_int_eq(acquires[i].result, result);
}

START_TEST(permits_that_are_there_are_acquired_at_once)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, 2);
    expect_over(0, 2);
    ck_assert_uint_eq(runners[0].polls, 1);
    ck_assert_uint_eq(semaphore.available, 1);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    rill_semaphore_release(&semaphore, PERMITS);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(who_wants_many_is_not_overtaken_by_those_who_want_few)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    start(1, 3);
    start(2, 1);
    rill_semaphore_release(&semaphore, 1);
    rig_settle();
    ck_assert(!is_over(1) && !is_over(2));
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    rill_semaphore_release(&semaphore, 2);
    rig_settle();
    expect_over(1, 3);
    ck_assert(!is_over(2));
    rill_semaphore_release(&semaphore, 3);
    rig_settle();
    expect_over(2, 1);
    rill_semaphore_release(&semaphore, 1);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(one_release_serves_as_many_as_it_can)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    for (int i = 1; i < COUNT; i++)
        start(i, 1);
    rill_semaphore_release(&semaphore, 3);
    rig_settle();
    for (int i = 1; i < COUNT; i++)
        expect_over(i, 1);
    rill_semaphore_release(&semaphore, 3);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_cancelled_waiter_at_the_head_lets_those_behind_it_go_on)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, 2);
    start(1, 3);
    start(2, 1);
    ck_assert(!is_over(2));
    rill_task_cancel(&runners[1].task);
    rig_settle();
    expect_over(1, -ECANCELED);
    expect_over(2, 1);
    rill_semaphore_release(&semaphore, 3);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_waiter_cancelled_after_a_release_woke_it_passes_the_permits_on)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    start(1, 2);
    start(2, 2);
    rill_semaphore_release(&semaphore, 2);
    rill_task_cancel(&runners[1].task);
    rig_settle();
    expect_over(1, -ECANCELED);
    expect_over(2, 2);
    rill_semaphore_release(&semaphore, 3);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_time_limit_leaves_the_line)
{
    static struct rill_timeout timeout;

    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    runner_start(
        &runners[1],
        rill_timeout(&timeout, RILL_SECOND, rill_semaphore_acquire(&semaphore, &acquires[1], 1)),
        NULL);
    rig_settle();
    rig_advance(2 * RILL_SECOND);
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
    rill_semaphore_release(&semaphore, PERMITS);
    ck_assert_uint_eq(semaphore.available, PERMITS);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(what_can_never_be_acquired_is_an_error)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, 0);
    expect_over(0, -EINVAL);
    start(0, PERMITS + 1);
    expect_over(0, -EINVAL);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_closed_semaphore_ends_those_that_wait)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    start(1, 1);
    start(2, 2);
    rill_semaphore_close(&semaphore);
    rig_settle();
    expect_over(1, -EPIPE);
    expect_over(2, -EPIPE);
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    rill_semaphore_release(&semaphore, PERMITS);
    start(1, 1);
    expect_over(1, -EPIPE);
    rill_semaphore_finish(&semaphore);
}
END_TEST

static void release_too_many(void)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, 1);
    rill_semaphore_release(&semaphore, 2);
}

static void finish_while_held(void)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, 1);
    rill_semaphore_finish(&semaphore);
}

static void finish_while_waited_for(void)
{
    rill_semaphore_init(&semaphore, PERMITS);
    start(0, PERMITS);
    start(1, 1);
    rill_semaphore_finish(&semaphore);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(release_too_many),
                    "2 permits were given back to a semaphore of which 1 are held");
    rig_expect_text(rig_abort_message(finish_while_held), "1 of its 3 permits are held");
    rig_expect_text(rig_abort_message(finish_while_waited_for), "while a task waits for it");
}
END_TEST

/* ---- random runs ---- */

enum { USERS = 6, ROUNDS = 20 };

static uint64_t dice_state;
static size_t held;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct user {
    struct rill_task task;
    struct rill_acquire acquire;
    struct rill_timeout timeout;
    struct rill_sleep work;
    size_t wanted;
    int rounds;
} users[USERS];

static enum rill_poll user_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, task.future);

    RILL_BEGIN();
    for (; user->rounds > 0; user->rounds--) {
        user->wanted = 1 + (size_t)dice(PERMITS);
        RILL_AWAIT(rill_timeout(&user->timeout, (int64_t)dice(200) * RILL_MICROSECOND,
                                rill_semaphore_acquire(&semaphore, &user->acquire, user->wanted)));
        if (user->acquire.result < 0)
            continue;
        held += user->wanted;
        ck_assert_uint_le(held, PERMITS);
        RILL_AWAIT(rill_sleep(&user->work, (int64_t)dice(100) * RILL_MICROSECOND));
        held -= user->wanted;
        rill_semaphore_release(&semaphore, user->wanted);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    dice_state = seed;
    rill_semaphore_init(&semaphore, PERMITS);
    for (int i = 0; i < USERS; i++) {
        users[i] = (struct user){.rounds = ROUNDS};
        rill_task_spawn(&users[i].task, user_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(50) * RILL_MICROSECOND;
        rig_disturb(&dice_state);
        rig_turn();
        ck_assert_uint_eq(semaphore.available + held, PERMITS);
        if (dice(100) == 0)
            rill_task_cancel(&users[dice(USERS)].task);
    }
    rill_semaphore_finish(&semaphore);
}

START_TEST(permits_are_conserved_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(2000); seed++)
        run(seed);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        permits_that_are_there_are_acquired_at_once,
        who_wants_many_is_not_overtaken_by_those_who_want_few,
        one_release_serves_as_many_as_it_can,
        a_cancelled_waiter_at_the_head_lets_those_behind_it_go_on,
        a_waiter_cancelled_after_a_release_woke_it_passes_the_permits_on,
        a_time_limit_leaves_the_line,
        what_can_never_be_acquired_is_an_error,
        a_closed_semaphore_ends_those_that_wait,
        wrong_use_panics,
        permits_are_conserved_whatever_is_cancelled,
    };

    return rig_main("semaphore", tests, RIG_COUNT(tests));
}
