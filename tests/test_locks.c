/* SPDX-License-Identifier: Apache-2.0 */
/* test_locks.c - mutex, rwlock, barrier and once keep their promises in any order. */
#include "runtime/barrier.h"
#include "runtime/mutex.h"
#include "runtime/once.h"
#include "runtime/rwlock.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 5 };

static struct runner runners[COUNT];

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

/* ---- mutex: tasks that hold it until a latch opens ---- */

static struct rill_mutex mutex;

static struct locker {
    struct rill_task task;
    struct rill_mutex_lock lock;
    struct latch latch;
    bool holds;
} lockers[COUNT];

static enum rill_poll locker_poll(struct rill_future *self, struct rill_task *task)
{
    struct locker *locker = rill_container_of(self, struct locker, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &locker->lock));
    if (locker->lock.result < 0)
        RILL_RETURN(locker->lock.result);
    locker->holds = true;
    RILL_AWAIT(latch_wait(&locker->latch));
    locker->holds = false;
    rill_mutex_unlock(&mutex);
    RILL_END();
}

static void start_lockers(int count)
{
    rill_mutex_init(&mutex);
    for (int i = 0; i < count; i++) {
        lockers[i] = (struct locker){.holds = false};
        rill_task_spawn(&lockers[i].task, locker_poll);
        rig_settle();
    }
}

static void expect_holder(int who)
{
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(lockers[i].holds, i == who);
    ck_assert_ptr_eq(mutex.holder, who < 0 ? NULL : &lockers[who].task);
}

START_TEST(a_mutex_lets_one_in_at_a_time_first_come_first_served)
{
    start_lockers(COUNT);
    for (int i = 0; i < COUNT; i++) {
        expect_holder(i);
        latch_open(&lockers[i].latch, 0);
        rig_settle();
    }
    expect_holder(-1);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(a_cancelled_locker_leaves_the_line)
{
    start_lockers(3);
    rill_task_cancel(&lockers[1].task);
    rig_settle();
    ck_assert_int_eq(lockers[1].lock.result, -ECANCELED);
    latch_open(&lockers[0].latch, 0);
    rig_settle();
    expect_holder(2);
    latch_open(&lockers[2].latch, 0);
    rig_settle();
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(a_locker_cancelled_when_its_turn_has_come_passes_it_on)
{
    start_lockers(3);
    latch_open(&lockers[0].latch, 0);
    rig_turn(); /* unlocks, and wakes the second */
    rill_task_cancel(&lockers[1].task);
    rig_settle();
    ck_assert_int_eq(lockers[1].lock.result, -ECANCELED);
    expect_holder(2);
    latch_open(&lockers[2].latch, 0);
    rig_settle();
    rill_mutex_finish(&mutex);
}
END_TEST

static enum rill_poll lock_twice_poll(struct rill_future *self, struct rill_task *task)
{
    struct locker *locker = rill_container_of(self, struct locker, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &locker->lock));
    RILL_AWAIT(rill_mutex_lock(&mutex, &locker->lock));
    RILL_END();
}

static void lock_twice(void)
{
    rill_mutex_init(&mutex);
    rill_task_spawn(&lockers[0].task, lock_twice_poll);
    rig_settle();
}

static enum rill_poll unlock_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_mutex_unlock(&mutex);
    RILL_END();
}

static void unlock_what_is_free(void)
{
    static struct rill_task task;

    rill_mutex_init(&mutex);
    rill_task_spawn(&task, unlock_poll);
    rig_settle();
}

static void unlock_what_another_holds(void)
{
    static struct rill_task task;

    start_lockers(1);
    rill_task_spawn(&task, unlock_poll);
    rig_settle();
}

static void finish_a_held_mutex(void)
{
    start_lockers(1);
    rill_mutex_finish(&mutex);
}

START_TEST(wrong_use_of_a_mutex_panics_and_names_the_task)
{
    const char *said = rig_abort_message(lock_twice);

    rig_expect_text(said, "a task locks a mutex that it holds already");
    rig_expect_text(said, "lock_twice_poll at");
    rig_expect_text(rig_abort_message(unlock_what_is_free), "unlocked that nobody holds");
    rig_expect_text(rig_abort_message(unlock_what_another_holds), "that another task (");
    rig_expect_text(rig_abort_message(finish_a_held_mutex), "holds it");
}
END_TEST

/* ---- rwlock ---- */

static struct rill_rwlock rwlock;
static struct rill_rwlock_use uses[COUNT];

static void start_read(int i)
{
    runner_start(&runners[i], rill_rwlock_read(&rwlock, &uses[i]), NULL);
    rig_settle();
}

static void start_write(int i)
{
    runner_start(&runners[i], rill_rwlock_write(&rwlock, &uses[i]), NULL);
    rig_settle();
}

static void leave(int i)
{
    rill_rwlock_unlock(&rwlock, &uses[i]);
    rig_settle();
}

START_TEST(readers_share_and_a_writer_is_alone)
{
    rill_rwlock_init(&rwlock);
    start_read(0);
    start_read(1);
    ck_assert(is_over(0) && is_over(1));
    start_write(2);
    ck_assert(!is_over(2));
    leave(0);
    ck_assert(!is_over(2));
    leave(1);
    ck_assert(is_over(2));
    start_read(0);
    start_write(1);
    ck_assert(!is_over(0) && !is_over(1));
    leave(2);
    ck_assert(is_over(0) && !is_over(1));
    leave(0);
    ck_assert(is_over(1));
    leave(1);
    rill_rwlock_finish(&rwlock);
}
END_TEST

START_TEST(a_waiting_writer_stops_the_readers_that_come_after)
{
    rill_rwlock_init(&rwlock);
    start_read(0);
    start_write(1);
    start_read(2);
    start_read(3);
    ck_assert(!is_over(2) && !is_over(3));
    ck_assert(!rill_rwlock_try_read(&rwlock, &uses[4]));
    leave(0);
    ck_assert(is_over(1) && !is_over(2));
    leave(1);
    ck_assert(is_over(2) && is_over(3)); /* in together */
    leave(2);
    leave(3);
    rill_rwlock_finish(&rwlock);
}
END_TEST

START_TEST(a_cancelled_writer_lets_the_readers_behind_him_in)
{
    rill_rwlock_init(&rwlock);
    start_read(0);
    start_write(1);
    start_read(2);
    start_read(3);
    rill_task_cancel(&runners[1].task);
    rig_settle();
    ck_assert_int_eq(uses[1].result, -ECANCELED);
    ck_assert_int_eq(uses[1].held, RILL_RWLOCK_NONE);
    ck_assert(is_over(2) && is_over(3));
    leave(0);
    leave(2);
    leave(3);
    rill_rwlock_finish(&rwlock);
}
END_TEST

START_TEST(a_writer_becomes_a_reader_and_lets_others_read)
{
    rill_rwlock_init(&rwlock);
    ck_assert(rill_rwlock_try_write(&rwlock, &uses[0]));
    start_read(1);
    start_write(2);
    rill_rwlock_downgrade(&rwlock, &uses[0]);
    rig_settle();
    ck_assert(is_over(1) && !is_over(2));
    ck_assert_uint_eq(rwlock.readers, 2);
    leave(0);
    leave(1);
    ck_assert(is_over(2));
    leave(2);
    rill_rwlock_finish(&rwlock);
}
END_TEST

static void unlock_a_free_rwlock(void)
{
    rill_rwlock_init(&rwlock);
    rill_rwlock_unlock(&rwlock, &uses[0]);
}

static void take_a_rwlock_twice(void)
{
    rill_rwlock_init(&rwlock);
    start_read(0);
    start_read(0);
}

static void finish_a_held_rwlock(void)
{
    rill_rwlock_init(&rwlock);
    start_write(0);
    rill_rwlock_finish(&rwlock);
}

START_TEST(wrong_use_of_a_rwlock_panics)
{
    rig_expect_text(rig_abort_message(unlock_a_free_rwlock), "does not hold it");
    rig_expect_text(rig_abort_message(take_a_rwlock_twice), "holds it already");
    rig_expect_text(rig_abort_message(finish_a_held_rwlock), "held for writing");
}
END_TEST

enum { ROUNDS = 20 };

static uint64_t dice_state;
static int reading, writing;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct member {
    struct rill_task task;
    struct rill_rwlock_use use;
    struct rill_sleep work;
    bool writes;
    int rounds;
} members[COUNT];

static enum rill_poll member_poll(struct rill_future *self, struct rill_task *task)
{
    struct member *member = rill_container_of(self, struct member, task.future);

    RILL_BEGIN();
    for (; member->rounds > 0; member->rounds--) {
        member->writes = dice(3) == 0;
        RILL_AWAIT(member->writes ? rill_rwlock_write(&rwlock, &member->use)
                                  : rill_rwlock_read(&rwlock, &member->use));
        if (member->use.result < 0)
            continue;
        *(member->writes ? &writing : &reading) += 1;
        ck_assert(writing == 0 || (writing == 1 && reading == 0));
        RILL_AWAIT(rill_sleep(&member->work, (int64_t)dice(100) * RILL_MICROSECOND));
        *(member->writes ? &writing : &reading) -= 1;
        rill_rwlock_unlock(&rwlock, &member->use);
    }
    RILL_END();
}

START_TEST(a_rwlock_keeps_writers_alone_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(2000); seed++) {
        dice_state = seed;
        rill_rwlock_init(&rwlock);
        for (int i = 0; i < COUNT; i++) {
            members[i] = (struct member){.rounds = ROUNDS};
            rill_task_spawn(&members[i].task, member_poll);
        }
        for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
            ck_assert_int_lt(turns, 100000);
            rig.driver.now_ns += (int64_t)dice(50) * RILL_MICROSECOND;
            rig_disturb(&dice_state);
            rig_turn();
            if (dice(100) == 0)
                rill_task_cancel(&members[dice(COUNT)].task);
        }
        rill_rwlock_finish(&rwlock);
    }
}
END_TEST

/* ---- barrier ---- */

static struct rill_barrier barrier;
static struct rill_meet meets[COUNT];

static void start_meet(int i)
{
    runner_start(&runners[i], rill_barrier_meet(&barrier, &meets[i]), NULL);
    rig_settle();
}

START_TEST(all_wait_for_the_last_and_one_of_them_leads)
{
    rill_barrier_init(&barrier, 3);
    for (uint64_t round = 1; round < 5; round++) {
        start_meet(0);
        start_meet(1);
        ck_assert(!is_over(0) && !is_over(1));
        start_meet(2);
        for (int i = 0; i < 3; i++) {
            ck_assert(is_over(i));
            ck_assert_int_eq(meets[i].result, i == 2);
        }
        ck_assert_uint_eq(barrier.rounds, round);
    }
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(one_that_is_cancelled_does_not_count_as_having_come)
{
    rill_barrier_init(&barrier, 2);
    start_meet(0);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    ck_assert_int_eq(meets[0].result, -ECANCELED);
    start_meet(1);
    ck_assert(!is_over(1));
    start_meet(0);
    ck_assert(is_over(0) && is_over(1));
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(one_whose_round_is_complete_has_met_even_if_it_is_cancelled_then)
{
    rill_barrier_init(&barrier, 2);
    start_meet(0);
    runner_start(&runners[1], rill_barrier_meet(&barrier, &meets[1]), NULL);
    rig_turn();
    rill_task_cancel(&runners[0].task);
    rig_settle();
    ck_assert_int_eq(meets[0].result, 0);
    ck_assert_int_eq(meets[1].result, 1);
    rill_barrier_finish(&barrier);
}
END_TEST

static void finish_a_barrier_too_early(void)
{
    rill_barrier_init(&barrier, 2);
    start_meet(0);
    rill_barrier_finish(&barrier);
}

START_TEST(wrong_use_of_a_barrier_panics)
{
    rig_expect_text(rig_abort_message(finish_a_barrier_too_early), "1 tasks wait at it");
}
END_TEST

/* ---- once ---- */

static struct rill_once once;
static struct rill_once_run runs[COUNT];
static struct latch latches[COUNT];

static void start_once(int i)
{
    latches[i] = (struct latch){.polls = 0};
    runner_start(&runners[i], rill_once_run(&once, &runs[i], latch_wait(&latches[i])), NULL);
    rig_settle();
}

START_TEST(the_first_one_does_it_and_the_others_wait_for_it)
{
    rill_once_init(&once);
    for (int i = 0; i < 3; i++)
        start_once(i);
    ck_assert(latches[0].begun && !latches[1].begun && !latches[2].begun);
    latch_open(&latches[0], 7);
    rig_settle();
    ck_assert_int_eq(runs[0].result, 7);
    ck_assert(runs[0].was_first);
    for (int i = 1; i < 3; i++) {
        ck_assert(is_over(i));
        ck_assert_int_eq(runs[i].result, 0);
        ck_assert(!latches[i].begun);
    }
    start_once(3);
    ck_assert(is_over(3));
    rill_once_finish(&once);
}
END_TEST

START_TEST(when_one_fails_or_is_cancelled_the_next_one_tries)
{
    rill_once_init(&once);
    for (int i = 0; i < 4; i++)
        start_once(i);
    latch_open(&latches[0], -EIO);
    rig_settle();
    ck_assert_int_eq(runs[0].result, -EIO);
    ck_assert(latches[1].begun);
    rill_task_cancel(&runners[1].task);
    rig_settle();
    ck_assert_int_eq(runs[1].result, -ECANCELED);
    ck_assert(latches[2].begun);
    latch_open(&latches[2], 0);
    rig_settle();
    ck_assert(is_over(3));
    ck_assert(!latches[3].begun);
    rill_once_finish(&once);
}
END_TEST

static void finish_a_running_once(void)
{
    rill_once_init(&once);
    start_once(0);
    rill_once_finish(&once);
}

START_TEST(wrong_use_of_a_once_panics)
{
    rig_expect_text(rig_abort_message(finish_a_running_once), "while a task runs it");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_mutex_lets_one_in_at_a_time_first_come_first_served,
        a_cancelled_locker_leaves_the_line,
        a_locker_cancelled_when_its_turn_has_come_passes_it_on,
        wrong_use_of_a_mutex_panics_and_names_the_task,
        readers_share_and_a_writer_is_alone,
        a_waiting_writer_stops_the_readers_that_come_after,
        a_cancelled_writer_lets_the_readers_behind_him_in,
        a_writer_becomes_a_reader_and_lets_others_read,
        wrong_use_of_a_rwlock_panics,
        a_rwlock_keeps_writers_alone_whatever_is_cancelled,
        all_wait_for_the_last_and_one_of_them_leads,
        one_that_is_cancelled_does_not_count_as_having_come,
        one_whose_round_is_complete_has_met_even_if_it_is_cancelled_then,
        wrong_use_of_a_barrier_panics,
        the_first_one_does_it_and_the_others_wait_for_it,
        when_one_fails_or_is_cancelled_the_next_one_tries,
        wrong_use_of_a_once_panics,
    };

    return rig_main("locks", tests, RIG_COUNT(tests));
}
