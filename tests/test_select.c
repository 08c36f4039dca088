/* SPDX-License-Identifier: Apache-2.0 */
/* test_select.c - the first of several futures wins, and the others end as well. */
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 5 };

static struct rill_select select_, inner_select;
static struct latch latches[COUNT], then;
static struct rill_future *futures[COUNT];
static struct runner runner;

/* Makes the select of all latches, which start drains. */
static struct rill_future *select_all(int drain_polls)
{
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = drain_polls;
        futures[i] = latch_wait(&latches[i]);
    }
    return rill_select(&select_, futures, COUNT);
}

static void start(int drain_polls)
{
    runner_start(&runner, select_all(drain_polls), latch_wait(&then));
    rig_settle();
}

/* The select has ended with this, and nothing else of the task was cancelled. */
static void expect_winner(int64_t result)
{
    ck_assert(then.begun);
    ck_assert_uint_eq(then.cancelled_polls, 0);
    ck_assert_int_eq(select_.result, result);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(latches[i].over);
        ck_assert_ptr_null(futures[i]);
    }
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
}

START_TEST(each_future_can_win_and_the_others_are_cancelled)
{
    for (int winner = 0; winner < COUNT; winner++) {
        start(0);
        ck_assert(!then.begun);
        latch_open(&latches[winner], 100 + winner);
        rig_settle();
        for (int i = 0; i < COUNT; i++) {
            ck_assert_int_eq(latches[i].result, i == winner ? 100 + winner : -ECANCELED);
            ck_assert_uint_eq(latches[i].cancelled_polls, i != winner);
        }
        ck_assert_uint_eq(runner.polls, 2);
        expect_winner(winner);
    }
}
END_TEST

START_TEST(of_two_that_are_ready_together_the_first_in_order_wins)
{
    start(0);
    latch_open(&latches[3], 3);
    latch_open(&latches[1], 1);
    rig_settle();
    ck_assert_int_eq(latches[1].result, 1);
    ck_assert_int_eq(latches[3].result, 3); /* not lost, although it was cancelled */
    expect_winner(1);
}
END_TEST

START_TEST(futures_behind_one_that_is_ready_at_once_are_not_started)
{
    runner_start(&runner, select_all(0), latch_wait(&then));
    latch_open(&latches[2], 22);
    rig_settle();
    ck_assert(latches[0].begun && latches[1].begun);
    ck_assert(!latches[3].begun && !latches[4].begun);
    ck_assert_int_eq(latches[4].result, -ECANCELED);
    ck_assert_uint_eq(runner.polls, 1);
    expect_winner(2);
}
END_TEST

START_TEST(losers_that_drain_over_several_polls_are_waited_for)
{
    start(0);
    latches[0].drain_polls = 3;
    latches[4].drain_polls = 5;
    latch_open(&latches[2], 1);
    for (int i = 0; i < 5; i++) {
        rig_turn();
        ck_assert(!then.begun);
    }
    ck_assert(latches[0].over && latches[1].over && latches[2].over && !latches[4].over);
    ck_assert_ptr_null(futures[0]);
    ck_assert_ptr_eq(futures[4], &latches[4].future);
    rig_turn();
    ck_assert_uint_eq(latches[0].cancelled_polls, 4);
    ck_assert_uint_eq(latches[4].cancelled_polls, 6);
    expect_winner(2);
}
END_TEST

START_TEST(the_real_result_of_a_loser_is_kept_and_the_winner_stays_the_winner)
{
    start(LATCH_BY_HAND);
    latch_open(&latches[3], 33);
    rig_settle();
    ck_assert(!then.begun);
    latch_open(&latches[0], 4096); /* wins against its cancel, not against the other */
    latch_let_go(&latches[1]);
    rig_settle();
    ck_assert(!then.begun);
    latch_open(&latches[4], -EIO);
    latch_let_go(&latches[2]);
    rig_settle();
    ck_assert_int_eq(latches[0].result, 4096);
    ck_assert_int_eq(latches[1].result, -ECANCELED);
    ck_assert_int_eq(latches[2].result, -ECANCELED);
    ck_assert_int_eq(latches[4].result, -EIO);
    expect_winner(3);
}
END_TEST

START_TEST(a_future_that_fails_wins_as_well)
{
    start(0);
    latch_open(&latches[1], -ECONNRESET);
    rig_settle();
    ck_assert_int_eq(latches[1].result, -ECONNRESET);
    expect_winner(1);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_select)
{
    start(LATCH_BY_HAND);
    for (unsigned i = 2; i < 6; i++) {
        rill_task_wake(&runner.task);
        rig_settle();
        ck_assert(!then.begun);
        ck_assert_uint_eq(latches[0].polls, i);
    }
    latch_open(&latches[0], 0);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runner.task);
        rig_settle();
        ck_assert(!then.begun);
    }
    for (int i = 1; i < COUNT; i++)
        latch_let_go(&latches[i]);
    rig_settle();
    expect_winner(0);
}
END_TEST

START_TEST(a_cancelled_select_cancels_and_drains_all_of_its_futures)
{
    start(4);
    rill_task_cancel(&runner.task);
    rig_turn();
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(latches[i].cancelled_polls, 1);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].result, -ECANCELED);
        ck_assert_ptr_null(futures[i]);
    }
    ck_assert_int_eq(select_.result, -ECANCELED);
    ck_assert(!then.begun);
}
END_TEST

START_TEST(a_select_in_a_cancelled_task_starts_nothing)
{
    runner_start(&runner, select_all(0), NULL);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!latches[i].begun);
        ck_assert_int_eq(latches[i].result, -ECANCELED);
    }
}
END_TEST

START_TEST(a_select_of_nothing_is_EINVAL)
{
    runner_start(&runner, rill_select(&select_, futures, 0), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -EINVAL);
}
END_TEST

START_TEST(a_select_of_one_is_that_one)
{
    futures[0] = latch_wait(&latches[0]);
    runner_start(&runner, rill_select(&select_, futures, 1), NULL);
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    latch_open(&latches[0], 7);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 0);
    ck_assert_int_eq(latches[0].result, 7);
}
END_TEST

START_TEST(a_sleep_that_loses_disarms_its_timer)
{
    struct rill_sleep sleep;

    futures[0] = rill_sleep(&sleep, RILL_SECOND);
    futures[1] = latch_wait(&latches[1]);
    runner_start(&runner, rill_select(&select_, futures, 2), NULL);
    rig_settle();
    ck_assert_uint_eq(rig.executor.wheel.armed, 1);
    latch_open(&latches[1], 0);
    rig_settle();
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    ck_assert_int_eq(runner.task.future.result, 1);
    ck_assert_int_eq(sleep.result, -ECANCELED);
}
END_TEST

START_TEST(a_timeout_around_a_select_drains_it)
{
    struct rill_timeout timeout;

    runner_start(&runner, rill_timeout(&timeout, RILL_SECOND, select_all(2)), latch_wait(&then));
    rig_settle();
    rig_advance(2 * RILL_SECOND);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].result, -ECANCELED);
        ck_assert_uint_eq(latches[i].cancelled_polls, 3);
    }
    ck_assert_int_eq(select_.result, -ECANCELED); /* none of them has won */
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
    latch_open(&then, 0);
    rig_settle();
}
END_TEST

START_TEST(a_select_inside_a_select_is_drained_when_it_loses)
{
    struct rill_future *outer[2];

    outer[0] = select_all(LATCH_BY_HAND);
    outer[1] = latch_wait(&then);
    runner_start(&runner, rill_select(&inner_select, outer, 2), NULL);
    rig_settle();
    latch_open(&then, 1);
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    for (int i = COUNT; i-- > 0;) {
        ck_assert(!rill_task_is_over(&runner.task));
        latch_let_go(&latches[i]);
        rig_settle();
    }
    ck_assert_int_eq(runner.task.future.result, 1);
    ck_assert_ptr_null(outer[0]);
    ck_assert_ptr_null(outer[1]);
}
END_TEST

START_TEST(cancelling_the_task_while_losers_drain_does_not_change_the_winner)
{
    start(LATCH_BY_HAND);
    latch_open(&latches[4], 4);
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    for (int i = 0; i < 4; i++)
        latch_let_go(&latches[i]);
    rig_settle();
    ck_assert_int_eq(select_.result, 4);
    ck_assert_int_eq(then.result, -ECANCELED);
}
END_TEST

START_TEST(losers_are_told_why_and_the_first_reason_stays)
{
    start(LATCH_BY_HAND);
    latch_open(&latches[4], 4);
    rig_settle();
    rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN); /* too late for the losers */
    rig_settle();
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_CANCELLED);
        latch_let_go(&latches[i]);
    }
    rig_settle();
    ck_assert_int_eq(then.reason, RILL_SHUTTING_DOWN);

    start(LATCH_BY_HAND);
    rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    latch_open(&latches[2], 2); /* wins, and the others were told before */
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
        latch_let_go(&latches[i]);
    }
    rig_settle();
    ck_assert_int_eq(select_.result, 2);
}
END_TEST

static void a_hole_in_a_select(void)
{
    select_all(0);
    futures[3] = NULL;
    rill_select(&select_, futures, COUNT);
}

START_TEST(a_select_with_a_hole_panics)
{
    rig_expect_text(rig_abort_message(a_hole_in_a_select), "entry 3 of a select is NULL");
}
END_TEST

START_TEST(a_fixed_set_is_written_within_the_expression)
{
    runner_start(&runner,
                 rill_select(&select_, RILL_FUTURES(futures, latch_wait(&latches[0]),
                                                    latch_wait(&latches[1]))),
                 NULL);
    rig_settle();
    latch_open(&latches[1], 11);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 1);
    ck_assert_int_eq(latches[0].result, -ECANCELED);
    ck_assert(!latches[2].begun);
}
END_TEST

static void too_many_futures(void)
{
    struct rill_future *two[2];

    rill_select(&select_, RILL_FUTURES(two, latch_wait(&latches[0]), latch_wait(&latches[1]),
                                       latch_wait(&latches[2])));
}

static void a_future_in_two_entries(void)
{
    struct rill_future *three[3];
    static struct rill_sleep sleep;

    rill_select(&select_, RILL_FUTURES(three, rill_sleep(&sleep, 1), latch_wait(&latches[0]),
                                       rill_sleep(&sleep, 2)));
}

START_TEST(a_future_that_stands_in_two_entries_panics)
{
    rig_expect_text(rig_abort_message(a_future_in_two_entries),
                    "entries 0 and 2 are the same future: each needs a struct of its own");
}
END_TEST

START_TEST(more_futures_than_their_array_holds_panic)
{
    rig_expect_text(rig_abort_message(too_many_futures), "3 futures do not fit into an array of 2");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        each_future_can_win_and_the_others_are_cancelled,
        of_two_that_are_ready_together_the_first_in_order_wins,
        futures_behind_one_that_is_ready_at_once_are_not_started,
        losers_that_drain_over_several_polls_are_waited_for,
        the_real_result_of_a_loser_is_kept_and_the_winner_stays_the_winner,
        a_future_that_fails_wins_as_well,
        polls_for_no_reason_do_not_end_a_select,
        a_cancelled_select_cancels_and_drains_all_of_its_futures,
        a_select_in_a_cancelled_task_starts_nothing,
        a_select_of_nothing_is_EINVAL,
        a_select_of_one_is_that_one,
        a_sleep_that_loses_disarms_its_timer,
        a_timeout_around_a_select_drains_it,
        a_select_inside_a_select_is_drained_when_it_loses,
        cancelling_the_task_while_losers_drain_does_not_change_the_winner,
        losers_are_told_why_and_the_first_reason_stays,
        a_select_with_a_hole_panics,
        a_fixed_set_is_written_within_the_expression,
        a_future_that_stands_in_two_entries_panics,
        more_futures_than_their_array_holds_panic,
    };

    return rig_main("select", tests, RIG_COUNT(tests));
}
