/* SPDX-License-Identifier: Apache-2.0 */
/* test_barrier.c - so many meet, one of them leads, and who is cancelled was not there. */
#include "runtime/barrier.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_barrier barrier;
static struct rill_meet meets[COUNT];
static struct runner runners[COUNT];

static void start(int i)
{
    runner_start(&runners[i], rill_barrier_meet(&barrier, &meets[i]), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void cancel(int i)
{
    rill_task_cancel(&runners[i].task);
    rig_settle();
}

START_TEST(nobody_goes_on_before_all_are_there_and_the_last_one_leads)
{
    rill_barrier_init(&barrier, 3);
    start(0);
    start(1);
    ck_assert(!is_over(0) && !is_over(1));
    ck_assert_uint_eq(barrier.arrived, 2);
    start(2);
    for (int i = 0; i < 3; i++) {
        ck_assert(is_over(i));
        ck_assert_int_eq(meets[i].result, i == 2);
    }
    ck_assert_uint_eq(runners[0].polls, 2);
    ck_assert_uint_eq(barrier.rounds, 1);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(a_barrier_of_one_stops_nobody)
{
    rill_barrier_init(&barrier, 1);
    for (int i = 0; i < 3; i++) {
        start(i);
        ck_assert(is_over(i));
        ck_assert_int_eq(meets[i].result, 1);
    }
    ck_assert_uint_eq(barrier.rounds, 3);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(a_new_round_begins_before_those_of_the_last_one_have_run)
{
    rill_barrier_init(&barrier, 2);
    start(0);
    runner_start(&runners[1], rill_barrier_meet(&barrier, &meets[1]), NULL);
    runner_start(&runners[2], rill_barrier_meet(&barrier, &meets[2]), NULL);
    rig_turn();
    ck_assert(is_over(1));
    ck_assert(!is_over(0));
    ck_assert_uint_eq(barrier.arrived, 1);
    rig_settle();
    ck_assert(is_over(0));
    ck_assert(!is_over(2));
    start(3);
    ck_assert_int_eq(meets[2].result, 0);
    ck_assert_int_eq(meets[3].result, 1);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(a_cancelled_one_leaves_and_is_not_counted)
{
    rill_barrier_init(&barrier, 3);
    start(0);
    start(1);
    cancel(0);
    ck_assert_int_eq(meets[0].result, -ECANCELED);
    ck_assert_uint_eq(barrier.arrived, 1);
    start(2);
    ck_assert(!is_over(1) && !is_over(2));
    start(3);
    ck_assert(is_over(1) && is_over(2));
    ck_assert_int_eq(meets[3].result, 1);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(one_cancelled_after_all_have_met_has_met)
{
    rill_barrier_init(&barrier, 2);
    start(0);
    runner_start(&runners[1], rill_barrier_meet(&barrier, &meets[1]), NULL);
    rig_turn();
    cancel(0);
    ck_assert_int_eq(meets[0].result, 0);
    ck_assert_int_eq(meets[1].result, 1);
    ck_assert_uint_eq(barrier.arrived, 0);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_does_not_come)
{
    rill_barrier_init(&barrier, 1);
    runner_start(&runners[0], rill_barrier_meet(&barrier, &meets[0]), NULL);
    cancel(0);
    ck_assert_int_eq(meets[0].result, -ECANCELED);
    ck_assert_uint_eq(barrier.rounds, 0);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(polling_one_that_waits_for_no_reason_counts_it_once)
{
    rill_barrier_init(&barrier, 3);
    start(0);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runners[0].task);
        rig_settle();
    }
    ck_assert_uint_eq(barrier.arrived, 1);
    start(1);
    start(2);
    ck_assert(is_over(0));
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(the_loser_of_a_select_has_left)
{
    struct rill_select select;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];

    rill_barrier_init(&barrier, 2);
    futures[0] = latch_wait(&latch);
    futures[1] = rill_barrier_meet(&barrier, &meets[0]);
    runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
    rig_settle();
    ck_assert_uint_eq(barrier.arrived, 1);
    latch_open(&latch, 0);
    rig_settle();
    ck_assert_int_eq(meets[0].result, -ECANCELED);
    ck_assert_uint_eq(barrier.arrived, 0);
    rill_barrier_finish(&barrier);
}
END_TEST

static void make_for_nobody(void)
{
    rill_barrier_init(&barrier, 0);
}

static void finish_while_waited_for(void)
{
    rill_barrier_init(&barrier, 2);
    start(0);
    rill_barrier_finish(&barrier);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(make_for_nobody), "a barrier at which nobody meets");
    rig_expect_text(rig_abort_message(finish_while_waited_for),
                    "a barrier was finished while a task (above) waits for it");
}
END_TEST

/* ---- at random ---- */

enum { SIZE = 3, WORKERS = 5, ROUNDS = 20 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_meet meet;
    struct rill_sleep nap;
    struct rill_select select;
    struct rill_future *choices[2];
} workers[WORKERS];

static uint64_t came, led, followed, left, all_led, all_left;

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    while (barrier.rounds < ROUNDS) {
        came++;
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(60) * RILL_MICROSECOND);
            worker->choices[1] = rill_barrier_meet(&barrier, &worker->meet);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(rill_barrier_meet(&barrier, &worker->meet));
        }
        if (worker->meet.result == 1)
            led++;
        else if (worker->meet.result == 0)
            followed++;
        else
            left++;
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    rig.seed = seed;
    dice_state = seed;
    came = led = followed = left = 0;
    rill_barrier_init(&barrier, SIZE);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.choices = {NULL}};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(20000);
        rig_disturb(&dice_state);
        rig_turn();
        ck_assert_uint_lt(barrier.arrived, SIZE);
        ck_assert_uint_eq(led, barrier.rounds);
        if (dice(12) == 0 || barrier.rounds >= ROUNDS)
            rill_task_cancel(&workers[dice(WORKERS)].task);
        for (int i = 0; i < WORKERS; i++)
            if (rill_task_is_over(&workers[i].task) && barrier.rounds < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    ck_assert_msg(followed == led * (SIZE - 1), "seed %llu: %llu led, %llu followed", rig.seed,
                  (unsigned long long)led, (unsigned long long)followed);
    ck_assert_uint_eq(came, led + followed + left);
    all_led += led;
    all_left += left;
    rill_barrier_finish(&barrier);
}

START_TEST(each_round_has_one_leader_and_as_many_others_as_it_takes_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(all_led, rig_scaled(1000));
    ck_assert_uint_gt(all_left, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        nobody_goes_on_before_all_are_there_and_the_last_one_leads,
        a_barrier_of_one_stops_nobody,
        a_new_round_begins_before_those_of_the_last_one_have_run,
        a_cancelled_one_leaves_and_is_not_counted,
        one_cancelled_after_all_have_met_has_met,
        a_task_cancelled_before_its_first_poll_does_not_come,
        polling_one_that_waits_for_no_reason_counts_it_once,
        the_loser_of_a_select_has_left,
        wrong_use_panics,
        each_round_has_one_leader_and_as_many_others_as_it_takes_whatever_is_cancelled,
    };

    return rig_main("barrier", tests, RIG_COUNT(tests));
}
