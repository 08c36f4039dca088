/* SPDX-License-Identifier: Apache-2.0 */
/* test_race.c - the first that is ready, or that succeeds, gives the race its result. */
#include "runtime/race.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_race race;
static struct latch latches[COUNT], then;
static struct rill_future *futures[COUNT];
static struct runner runner;

typedef struct rill_future *make_race_fn(struct rill_race *race, struct rill_future **futures,
                                         uint32_t count);

static struct rill_future *make(make_race_fn *make_race, int drain_polls)
{
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = drain_polls;
        futures[i] = latch_wait(&latches[i]);
    }
    return make_race(&race, futures, COUNT);
}

static void start(make_race_fn *make_race, int drain_polls)
{
    runner_start(&runner, make(make_race, drain_polls), latch_wait(&then));
    rig_settle();
}

static void expect(int32_t winner, int64_t result)
{
    ck_assert(then.begun || then.over);
    ck_assert_int_eq(race.winner, winner);
    ck_assert_int_eq(race.result, result);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(latches[i].over);
        ck_assert_ptr_null(futures[i]);
    }
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
}

START_TEST(each_can_win_and_gives_the_race_its_result)
{
    for (int winner = 0; winner < COUNT; winner++) {
        start(rill_race, 2);
        latch_open(&latches[winner], 100 + winner);
        rig_settle();
        ck_assert_int_eq(latches[(winner + 1) % COUNT].result, -ECANCELED);
        expect(winner, 100 + winner);
    }
}
END_TEST

START_TEST(an_error_wins_a_race_to_the_first)
{
    start(rill_race, 0);
    latch_open(&latches[2], -ECONNREFUSED);
    rig_settle();
    expect(2, -ECONNREFUSED);
}
END_TEST

START_TEST(an_error_does_not_win_a_race_to_success)
{
    start(rill_race_to_success, 0);
    latch_open(&latches[0], -ECONNREFUSED);
    latch_open(&latches[2], -ETIMEDOUT);
    rig_settle();
    ck_assert(!then.begun);
    ck_assert_uint_eq(latches[1].cancelled_polls, 0);
    latch_open(&latches[3], 0);
    rig_settle();
    ck_assert_int_eq(latches[1].result, -ECANCELED);
    ck_assert_int_eq(latches[2].result, -ETIMEDOUT);
    expect(3, 0);
}
END_TEST

START_TEST(if_all_fail_the_result_is_the_error_of_the_last)
{
    const int order[COUNT] = {2, 0, 3, 1};

    start(rill_race_to_success, 0);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!then.begun);
        latch_open(&latches[order[i]], -1 - order[i]);
        rig_settle();
    }
    expect(-1, -2);
}
END_TEST

START_TEST(a_loser_that_succeeds_while_it_drains_keeps_its_result_and_loses)
{
    make_race_fn *const races[] = {rill_race, rill_race_to_success};

    for (size_t i = 0; i < RIG_COUNT(races); i++) {
        start(races[i], LATCH_BY_HAND);
        latch_open(&latches[3], 33);
        rig_settle();
        ck_assert(!then.begun);
        latch_open(&latches[0], 44);
        latch_let_go(&latches[1]);
        latch_open(&latches[2], -EIO);
        rig_settle();
        ck_assert_int_eq(latches[0].result, 44);
        ck_assert_int_eq(latches[2].result, -EIO);
        expect(3, 33);
    }
}
END_TEST

START_TEST(of_two_that_are_ready_together_the_first_in_order_wins)
{
    start(rill_race, 0);
    latch_open(&latches[3], 3);
    latch_open(&latches[1], 1);
    rig_settle();
    ck_assert_int_eq(latches[3].result, 3);
    expect(1, 1);
}
END_TEST

START_TEST(a_cancelled_race_drains_and_is_ECANCELED_unless_one_wins_that_race)
{
    make_race_fn *const races[] = {rill_race, rill_race_to_success};

    for (size_t i = 0; i < RIG_COUNT(races); i++) {
        start(races[i], LATCH_BY_HAND);
        rill_task_cancel_because(&runner.task, RILL_TIMED_OUT);
        rig_settle();
        for (int j = 0; j < COUNT; j++) {
            ck_assert_int_eq(latches[j].reason, RILL_TIMED_OUT);
            ck_assert(!then.over);
            latch_let_go(&latches[j]);
            rig_settle();
        }
        expect(-1, -ECANCELED);

        start(races[i], LATCH_BY_HAND);
        rill_task_cancel(&runner.task);
        rig_settle();
        latch_let_go(&latches[0]);
        rig_settle();
        latch_open(&latches[2], 22);
        rig_settle();
        latch_let_go(&latches[1]);
        latch_let_go(&latches[3]);
        rig_settle();
        expect(2, 22);
    }
}
END_TEST

START_TEST(a_race_in_a_cancelled_task_starts_nothing)
{
    runner_start(&runner, make(rill_race_to_success, 0), latch_wait(&then));
    rill_task_cancel(&runner.task);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        ck_assert(!latches[i].begun);
    expect(-1, -ECANCELED);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_race)
{
    start(rill_race_to_success, 0);
    latch_open(&latches[0], -EIO);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runner.task);
        rig_settle();
        ck_assert(!then.begun);
    }
    latch_open(&latches[1], 1);
    rig_settle();
    expect(1, 1);
}
END_TEST

START_TEST(a_race_of_nothing_is_EINVAL)
{
    runner_start(&runner, rill_race(&race, futures, 0), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -EINVAL);
    runner_start(&runner, rill_race_to_success(&race, futures, 0), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -EINVAL);
}
END_TEST

static void a_hole(void)
{
    make(rill_race, 0);
    futures[1] = NULL;
    rill_race(&race, futures, COUNT);
}

START_TEST(a_race_with_a_hole_panics)
{
    rig_expect_text(rig_abort_message(a_hole), "entry 1 of a race is NULL");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        each_can_win_and_gives_the_race_its_result,
        an_error_wins_a_race_to_the_first,
        an_error_does_not_win_a_race_to_success,
        if_all_fail_the_result_is_the_error_of_the_last,
        a_loser_that_succeeds_while_it_drains_keeps_its_result_and_loses,
        of_two_that_are_ready_together_the_first_in_order_wins,
        a_cancelled_race_drains_and_is_ECANCELED_unless_one_wins_that_race,
        a_race_in_a_cancelled_task_starts_nothing,
        polls_for_no_reason_do_not_end_a_race,
        a_race_of_nothing_is_EINVAL,
        a_race_with_a_hole_panics,
    };

    return rig_main("race", tests, RIG_COUNT(tests));
}
