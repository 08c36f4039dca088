/* SPDX-License-Identifier: Apache-2.0 */
/* test_mutex.c - one task at a time, in order, and it has to unlock what it locks. */
#include "runtime/mutex.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

/* Locks, waits until it is let go, and unlocks. */
struct holder {
    struct rill_task task;
    struct rill_mutex_lock lock;
    struct latch latch;
    bool holds;
};

static struct rill_mutex mutex;
static struct holder holders[COUNT];
static struct rill_task *order[COUNT];
static int order_count;

static enum rill_poll holder_poll(struct rill_future *self, struct rill_task *task)
{
    struct holder *holder = rill_container_of(self, struct holder, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &holder->lock));
    if (holder->lock.result < 0)
        RILL_RETURN(holder->lock.result);
    ck_assert_ptr_eq(mutex.holder, task);
    holder->holds = true;
    order[order_count++] = task;
    RILL_AWAIT(latch_wait(&holder->latch));
    holder->holds = false;
    rill_mutex_unlock(&mutex);
    RILL_END();
}

static void start(int count)
{
    rill_mutex_init(&mutex);
    order_count = 0;
    for (int i = 0; i < count; i++) {
        holders[i] = (struct holder){.holds = false};
        rill_task_spawn(&holders[i].task, holder_poll);
    }
    rig_settle();
}

static void let_go(int i)
{
    latch_open(&holders[i].latch, 0);
    rig_settle();
}

static void cancel(int i)
{
    rill_task_cancel(&holders[i].task);
    rig_settle();
}

START_TEST(one_task_holds_it_at_a_time_first_come_first_served)
{
    start(COUNT);
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < COUNT; k++)
            ck_assert_int_eq(holders[k].holds, k == i);
        let_go(i);
    }
    ck_assert_ptr_null(mutex.holder);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(who_locks_again_at_once_stands_behind_those_that_wait)
{
    struct rill_mutex_lock lock;
    struct runner again = {.polls = 0};

    start(2);
    latch_open(&holders[0].latch, 0);
    rig_turn(); /* it has unlocked, and the second has not run */
    ck_assert_ptr_null(mutex.holder);
    runner_start(&again, rill_mutex_lock(&mutex, &lock), NULL);
    rill_list_prepend(&rig.executor.ready, rill_list_pop_last(&rig.executor.ready));
    rig_turn(); /* it ran first, and waits all the same */
    ck_assert(holders[1].holds);
    ck_assert(!rill_task_is_over(&again.task));
    rill_task_cancel(&again.task);
    let_go(1);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(a_cancelled_one_gives_up_its_place)
{
    start(COUNT);
    cancel(1);
    cancel(3);
    ck_assert_int_eq(holders[1].lock.result, -ECANCELED);
    let_go(0);
    ck_assert(holders[2].holds);
    let_go(2);
    ck_assert_int_eq(order_count, 2);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it)
{
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        start(3);
        if (cancel_first)
            rill_task_cancel(&holders[1].task);
        latch_open(&holders[0].latch, 0);
        rig_turn();
        if (!cancel_first)
            rill_task_cancel(&holders[1].task);
        rig_settle();
        ck_assert_int_eq(holders[1].lock.result, -ECANCELED);
        ck_assert(holders[2].holds);
        let_go(2);
        rill_mutex_finish(&mutex);
    }
}
END_TEST

START_TEST(a_cancelled_holder_unlocks_by_itself)
{
    start(2);
    cancel(0);
    ck_assert(holders[1].holds);
    let_go(1);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_does_not_lock)
{
    rill_mutex_init(&mutex);
    holders[0] = (struct holder){.holds = false};
    rill_task_spawn(&holders[0].task, holder_poll);
    cancel(0);
    ck_assert_int_eq(holders[0].task.future.result, -ECANCELED);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(polling_those_that_wait_for_no_reason_does_no_harm)
{
    start(3);
    for (int i = 0; i < 6; i++) {
        rill_task_wake(&holders[1 + i % 2].task);
        rig_settle();
    }
    ck_assert(holders[0].holds && !holders[1].holds && !holders[2].holds);
    let_go(0);
    ck_assert(holders[1].holds);
    let_go(1);
    let_go(2);
    rill_mutex_finish(&mutex);
}
END_TEST

START_TEST(the_loser_of_a_select_does_not_hold_it)
{
    struct rill_select select;
    struct rill_mutex_lock lock;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];
    struct runner runner = {.polls = 0};

    start(1);
    futures[0] = latch_wait(&latch);
    futures[1] = rill_mutex_lock(&mutex, &lock);
    runner_start(&runner, rill_select(&select, futures, 2), NULL);
    rig_settle();
    latch_open(&holders[0].latch, 0);
    rig_turn(); /* unlocked, and the select is woken */
    latch_open(&latch, 0);
    rig_settle();
    ck_assert_int_eq(lock.result, -ECANCELED);
    ck_assert_ptr_null(mutex.holder);
    rill_mutex_finish(&mutex);
}
END_TEST

/* Tries from within a task. */
static bool did_lock;

static enum rill_poll try_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    did_lock = rill_mutex_try_lock(&mutex);
    if (did_lock) {
        ck_assert_ptr_eq(mutex.holder, task);
        rill_mutex_unlock(&mutex);
    }
    RILL_END();
}

static bool try(void)
{
    struct rill_task task = {.state = RILL_TASK_NEW};

    rill_task_spawn(&task, try_poll);
    rig_finish(&task);
    return did_lock;
}

START_TEST(trying_locks_what_nobody_holds_or_waits_for)
{
    start(2);
    ck_assert(!try());
    latch_open(&holders[0].latch, 0);
    rig_turn(); /* unlocked, but the second is in line */
    ck_assert(!try());
    let_go(1);
    ck_assert(try());
    rill_mutex_finish(&mutex);
}
END_TEST

/* What a task does wrong. */
static enum rill_poll unlock_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_YIELD(); /* from now on it has a place */
    rill_mutex_unlock(&mutex);
    RILL_END();
}

static enum rill_poll lock_twice_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_mutex_lock lock;

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &lock));
    RILL_AWAIT(rill_mutex_lock(&mutex, &lock));
    RILL_END();
}

static enum rill_poll keep_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_mutex_lock lock;

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &lock));
    RILL_END();
}

static void spawn(rill_poll_fn *poll)
{
    static struct rill_task task;

    rill_task_spawn(&task, poll);
    rig_settle();
}

static void unlock_what_nobody_holds(void)
{
    start(0);
    spawn(unlock_poll);
}

static void unlock_what_another_task_holds(void)
{
    start(1);
    spawn(unlock_poll);
}

static void unlock_outside_of_a_task(void)
{
    start(1);
    rill_mutex_unlock(&mutex);
}

static void lock_twice(void)
{
    start(0);
    spawn(lock_twice_poll);
}

static void end_while_holding(void)
{
    start(0);
    spawn(keep_poll);
}

static void finish_while_held(void)
{
    start(1);
    rill_mutex_finish(&mutex);
}

static void finish_while_waited_for(void)
{
    start(2);
    latch_open(&holders[0].latch, 0);
    rig_turn();
    rill_mutex_finish(&mutex);
}

START_TEST(wrong_use_panics_and_names_the_holder)
{
    const char *message = rig_abort_message(unlock_what_another_task_holds);

    rig_expect_text(message, "a mutex was unlocked by another task while a task (0x");
    rig_expect_text(message, "holder_poll at tests/test_mutex.c");
    rig_expect_text(message, "unlock_poll at tests/test_mutex.c");
    rig_expect_text(rig_abort_message(unlock_what_nobody_holds),
                    "a mutex was unlocked that nobody holds");
    rig_expect_text(rig_abort_message(unlock_outside_of_a_task),
                    "a mutex is used outside of a task");
    message = rig_abort_message(lock_twice);
    rig_expect_text(message, "locks a mutex that it holds already");
    rig_expect_text(message, "lock_twice_poll at tests/test_mutex.c");
    rig_expect_text(rig_abort_message(end_while_holding),
                    "a task ended with 1 of its operations in flight, locks held");
    message = rig_abort_message(finish_while_held);
    rig_expect_text(message, "a mutex was finished while a task (0x");
    rig_expect_text(message, "holder_poll at tests/test_mutex.c");
    rig_expect_text(rig_abort_message(finish_while_waited_for),
                    "a mutex was finished while a task (above) waits for it");
}
END_TEST

/* ---- at random ---- */

enum { WORKERS = 6, ROUNDS = 10 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_mutex_lock lock;
    struct rill_sleep nap, work;
    struct rill_select select;
    struct rill_future *choices[2];
    uint64_t ticket; /* of its await, while it waits, or 0 */
    int round;
} workers[WORKERS];

static const struct worker *inside;
static uint64_t last_ticket, served, cancelled;

static void expect_fairness(const struct worker *worker)
{
    for (int i = 0; i < WORKERS; i++)
        ck_assert_msg(!workers[i].ticket || !rill_link_is_linked(&workers[i].lock.place.link) ||
                          workers[i].ticket > worker->ticket,
                      "seed %llu: one was overtaken", rig.seed);
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (; worker->round < ROUNDS; worker->round++) {
        worker->ticket = ++last_ticket;
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(60) * RILL_MICROSECOND);
            worker->choices[1] = rill_mutex_lock(&mutex, &worker->lock);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(rill_mutex_lock(&mutex, &worker->lock));
        }
        if (worker->lock.result == 0) {
            ck_assert_msg(!inside, "seed %llu: two hold it", rig.seed);
            inside = worker;
            expect_fairness(worker);
            worker->ticket = 0;
            served++;
            RILL_AWAIT(rill_sleep(&worker->work, (int64_t)dice(40) * RILL_MICROSECOND));
            ck_assert_ptr_eq(inside, worker);
            inside = NULL;
            rill_mutex_unlock(&mutex);
        } else {
            ck_assert_int_eq(worker->lock.result, -ECANCELED);
            worker->ticket = 0;
            cancelled++;
        }
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    rig.seed = seed;
    dice_state = seed;
    inside = NULL;
    rill_mutex_init(&mutex);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.round = 0};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(20000);
        rig_disturb(&dice_state);
        rig_turn();
        if (dice(12) == 0)
            rill_task_cancel(&workers[dice(WORKERS)].task);
        for (int i = 0; i < WORKERS; i++)
            if (rill_task_is_over(&workers[i].task) && ++workers[i].round < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    rill_mutex_finish(&mutex);
}

START_TEST(one_at_a_time_and_nobody_overtakes_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(served, rig_scaled(1000));
    ck_assert_uint_gt(cancelled, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        one_task_holds_it_at_a_time_first_come_first_served,
        who_locks_again_at_once_stands_behind_those_that_wait,
        a_cancelled_one_gives_up_its_place,
        one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it,
        a_cancelled_holder_unlocks_by_itself,
        a_task_cancelled_before_its_first_poll_does_not_lock,
        polling_those_that_wait_for_no_reason_does_no_harm,
        the_loser_of_a_select_does_not_hold_it,
        trying_locks_what_nobody_holds_or_waits_for,
        wrong_use_panics_and_names_the_holder,
        one_at_a_time_and_nobody_overtakes_whatever_is_cancelled,
    };

    return rig_main("mutex", tests, RIG_COUNT(tests));
}
