/* SPDX-License-Identifier: Apache-2.0 */
/* test_once.c - it is done once, and whoever fails leaves it to the next. */
#include "runtime/once.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_once once;
static struct rill_once_run runs[COUNT];
static struct latch latches[COUNT]; /* what each would do */
static struct runner runners[COUNT];

static void start(int count)
{
    rill_once_init(&once);
    for (int i = 0; i < count; i++) {
        latches[i] = (struct latch){.drain_polls = 0};
        runner_start(&runners[i], rill_once_run(&once, &runs[i], latch_wait(&latches[i])), NULL);
    }
    rig_settle();
}

static void child_ends(int i, int64_t result)
{
    latch_open(&latches[i], result);
    rig_settle();
}

static void cancel(int i)
{
    rill_task_cancel(&runners[i].task);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void expect_over(int i, int64_t result)
{
    ck_assert(is_over(i));
    ck_assert_int_eq(runs[i].result, result);
}

START_TEST(the_first_one_does_it_and_the_others_wait)
{
    start(COUNT);
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(latches[i].begun, i == 0);
    ck_assert_int_eq(once.state, RILL_ONCE_RUNNING);
    child_ends(0, 7);
    expect_over(0, 7);
    ck_assert(runs[0].was_first);
    for (int i = 1; i < COUNT; i++) {
        expect_over(i, 0);
        ck_assert(!runs[i].was_first && !latches[i].begun);
        ck_assert_uint_eq(runners[i].polls, 2);
    }
    ck_assert_int_eq(once.state, RILL_ONCE_DONE);
    rill_once_finish(&once);
}
END_TEST

START_TEST(all_that_wait_go_on_in_one_turn_when_it_is_done)
{
    start(COUNT);
    latch_open(&latches[0], 0);
    rig_turn();
    rig_turn();
    for (int i = 0; i < COUNT; i++)
        ck_assert(is_over(i));
    rill_once_finish(&once);
}
END_TEST

START_TEST(who_comes_later_does_not_wait)
{
    start(1);
    child_ends(0, 0);
    runner_start(&runners[1], rill_once_run(&once, &runs[1], latch_wait(&latches[1])), NULL);
    rig_settle();
    expect_over(1, 0);
    ck_assert_uint_eq(runners[1].polls, 1);
    ck_assert(!latches[1].begun);
    runner_start(&runners[0], rill_once_run(&once, &runs[0], latch_wait(&latches[0])), NULL);
    rig_settle();
    expect_over(0, 0);
    ck_assert(!runs[0].was_first); /* but the last time */
    rill_once_finish(&once);
}
END_TEST

START_TEST(after_a_failure_the_next_in_line_tries_and_only_the_first_has_failed)
{
    start(3);
    child_ends(0, -EIO);
    expect_over(0, -EIO);
    ck_assert(!runs[0].was_first);
    ck_assert(latches[1].begun && !latches[2].begun);
    child_ends(1, 0);
    expect_over(1, 0);
    ck_assert(runs[1].was_first);
    expect_over(2, 0);
    rill_once_finish(&once);
}
END_TEST

START_TEST(where_all_fail_it_can_be_tried_again)
{
    start(2);
    child_ends(0, -EIO);
    child_ends(1, -ENOENT);
    expect_over(0, -EIO);
    expect_over(1, -ENOENT);
    ck_assert_int_eq(once.state, RILL_ONCE_NEW);
    runner_start(&runners[2], rill_once_run(&once, &runs[2], latch_wait(&latches[2])), NULL);
    rig_settle();
    child_ends(2, 5);
    expect_over(2, 5);
    rill_once_finish(&once);
}
END_TEST

START_TEST(a_cancelled_one_leaves_it_to_the_next_once_its_own_has_ended)
{
    start(2);
    latches[0].drain_polls = LATCH_BY_HAND;
    cancel(0);
    ck_assert(!is_over(0) && !latches[1].begun);
    latch_let_go(&latches[0]);
    rig_settle();
    expect_over(0, -ECANCELED);
    ck_assert(latches[1].begun);
    child_ends(1, 0);
    expect_over(1, 0);
    rill_once_finish(&once);
}
END_TEST

START_TEST(one_that_succeeds_though_it_is_cancelled_has_done_it_for_all)
{
    start(2);
    latch_open(&latches[0], 3);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    expect_over(0, 3);
    expect_over(1, 0);
    ck_assert(!latches[1].begun);
    rill_once_finish(&once);
}
END_TEST

START_TEST(a_cancelled_one_that_waits_gives_up_its_place)
{
    start(3);
    cancel(1);
    expect_over(1, -ECANCELED);
    child_ends(0, -EIO);
    ck_assert(latches[2].begun);
    child_ends(2, 0);
    expect_over(2, 0);
    rill_once_finish(&once);
}
END_TEST

START_TEST(one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it)
{
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        start(3);
        if (cancel_first)
            rill_task_cancel(&runners[1].task);
        latch_open(&latches[0], -EIO);
        rig_turn();
        if (!cancel_first)
            rill_task_cancel(&runners[1].task);
        rig_settle();
        expect_over(1, -ECANCELED);
        ck_assert(!latches[1].begun && latches[2].begun);
        child_ends(2, 0);
        rill_once_finish(&once);
    }
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_does_not_begin)
{
    rill_once_init(&once);
    runner_start(&runners[0], rill_once_run(&once, &runs[0], latch_wait(&latches[0])), NULL);
    cancel(0);
    expect_over(0, -ECANCELED);
    ck_assert_int_eq(once.state, RILL_ONCE_NEW);
    ck_assert(!latches[0].begun);
    rill_once_finish(&once);
}
END_TEST

START_TEST(polling_those_that_wait_for_no_reason_does_no_harm)
{
    start(3);
    for (int i = 0; i < 6; i++) {
        rill_task_wake(&runners[i % 3].task);
        rig_settle();
    }
    ck_assert(!latches[1].begun && !latches[2].begun);
    child_ends(0, 0);
    expect_over(2, 0);
    rill_once_finish(&once);
}
END_TEST

START_TEST(a_select_that_cancels_the_one_that_runs_it_leaves_it_to_the_next)
{
    struct rill_select select;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];

    start(0);
    futures[0] = latch_wait(&latch);
    futures[1] = rill_once_run(&once, &runs[0], latch_wait(&latches[0]));
    runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
    rig_settle();
    runner_start(&runners[1], rill_once_run(&once, &runs[1], latch_wait(&latches[1])), NULL);
    rig_settle();
    latch_open(&latch, 0);
    rig_settle();
    expect_over(0, -ECANCELED);
    ck_assert(latches[1].begun);
    child_ends(1, 0);
    expect_over(1, 0);
    rill_once_finish(&once);
}
END_TEST

static void finish_while_running(void)
{
    start(1);
    rill_once_finish(&once);
}

static void finish_while_waited_for(void)
{
    start(2);
    latch_open(&latches[0], 0);
    rig_turn();
    rill_once_finish(&once);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(finish_while_running),
                    "a once was finished while a task runs it");
    rig_expect_text(rig_abort_message(finish_while_waited_for),
                    "a once was finished while a task (above) waits for it");
}
END_TEST

/* ---- at random ---- */

enum { WORKERS = 6 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

/* Sleeps, and then succeeds or not. */
struct attempt {
    struct rill_future future;
    struct rill_sleep sleep;
};

static struct worker {
    struct rill_task task;
    struct rill_once_run run;
    struct attempt attempt;
    struct rill_sleep nap;
    struct rill_select select;
    struct rill_future *choices[2];
} workers[WORKERS];

static int running, successes;
static uint64_t all_failures, all_cancelled;

static enum rill_poll attempt_poll(struct rill_future *self, struct rill_task *task)
{
    struct attempt *attempt = rill_container_of(self, struct attempt, future);

    RILL_BEGIN();
    ck_assert_msg(running++ == 0 && successes == 0, "seed %llu: two do it", rig.seed);
    RILL_AWAIT(rill_sleep(&attempt->sleep, (int64_t)dice(40) * RILL_MICROSECOND));
    running--;
    if (attempt->sleep.result < 0)
        RILL_RETURN(attempt->sleep.result);
    if (dice(3)) {
        all_failures++;
        RILL_RETURN(-EIO);
    }
    successes++;
    RILL_END();
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (;;) {
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(60) * RILL_MICROSECOND);
            worker->choices[1] = rill_once_run(
                &once, &worker->run, rill_future_init(&worker->attempt.future, attempt_poll));
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(rill_once_run(&once, &worker->run,
                                     rill_future_init(&worker->attempt.future, attempt_poll)));
        }
        if (worker->run.result == 0) {
            ck_assert_int_eq(successes, 1);
            break;
        }
        all_cancelled += worker->run.result == -ECANCELED;
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    rig.seed = seed;
    dice_state = seed;
    successes = 0;
    rill_once_init(&once);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.choices = {NULL}};
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
            if (rill_task_is_over(&workers[i].task) && workers[i].task.future.result < 0)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    ck_assert_int_eq(successes, 1);
    ck_assert_int_eq(running, 0);
    rill_once_finish(&once);
}

START_TEST(it_succeeds_once_and_is_never_done_twice_at_a_time_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(all_failures, rig_scaled(1000));
    ck_assert_uint_gt(all_cancelled, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_first_one_does_it_and_the_others_wait,
        all_that_wait_go_on_in_one_turn_when_it_is_done,
        who_comes_later_does_not_wait,
        after_a_failure_the_next_in_line_tries_and_only_the_first_has_failed,
        where_all_fail_it_can_be_tried_again,
        a_cancelled_one_leaves_it_to_the_next_once_its_own_has_ended,
        one_that_succeeds_though_it_is_cancelled_has_done_it_for_all,
        a_cancelled_one_that_waits_gives_up_its_place,
        one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it,
        a_task_cancelled_before_its_first_poll_does_not_begin,
        polling_those_that_wait_for_no_reason_does_no_harm,
        a_select_that_cancels_the_one_that_runs_it_leaves_it_to_the_next,
        wrong_use_panics,
        it_succeeds_once_and_is_never_done_twice_at_a_time_whatever_is_cancelled,
    };

    return rig_main("once", tests, RIG_COUNT(tests));
}
