/* SPDX-License-Identifier: Apache-2.0 */
/* test_join_all.c - all of several futures end, and the first failure is told. */
#include "runtime/join_all.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_join_all all;
static struct latch latches[COUNT], then;
static struct rill_future *futures[COUNT];
static struct runner runner;

static void start(bool tries, int drain_polls)
{
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = drain_polls;
        futures[i] = latch_wait(&latches[i]);
    }
    runner_start(&runner,
                 tries ? rill_try_join_all(&all, futures, COUNT)
                       : rill_join_all(&all, futures, COUNT),
                 latch_wait(&then));
}

static void expect(int32_t failed, int64_t result)
{
    ck_assert(then.begun || then.over);
    ck_assert_int_eq(all.failed, failed);
    ck_assert_int_eq(all.result, result);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(latches[i].over);
        ck_assert_ptr_null(futures[i]);
    }
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
}

START_TEST(the_last_ends_it_whatever_the_order)
{
    for (int tries = 0; tries < 2; tries++)
        for (int last = 0; last < COUNT; last++) {
            start(tries, 0);
            rig_settle();
            for (int i = 1; i <= COUNT; i++) {
                ck_assert(!then.begun);
                latch_open(&latches[(last + i) % COUNT], i);
                rig_settle();
            }
            ck_assert_int_eq(latches[last].result, COUNT);
            expect(-1, 0);
        }
}
END_TEST

START_TEST(all_that_are_ready_at_once_take_one_poll)
{
    start(false, 0);
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], i);
    rig_settle();
    ck_assert_uint_eq(runner.polls, 1);
    expect(-1, 0);
}
END_TEST

START_TEST(a_failure_leaves_the_others_alone_and_the_first_one_is_told)
{
    start(false, 0);
    rig_settle();
    latch_open(&latches[2], -EIO);
    rig_settle();
    latch_open(&latches[0], -EPIPE);
    latch_open(&latches[1], 1);
    rig_settle();
    ck_assert(!then.begun);
    latch_open(&latches[3], 3);
    rig_settle();
    ck_assert_int_eq(latches[0].result, -EPIPE);
    ck_assert_int_eq(latches[3].result, 3);
    ck_assert_uint_eq(latches[3].cancelled_polls, 0);
    expect(2, -EIO);
}
END_TEST

START_TEST(a_failure_of_a_try_cancels_the_others_and_waits_for_them)
{
    start(true, LATCH_BY_HAND);
    rig_settle();
    latch_open(&latches[2], -EIO);
    rig_settle();
    ck_assert_int_eq(latches[0].reason, RILL_CANCELLED);
    ck_assert(!then.begun);
    latch_open(&latches[0], -EPIPE);
    latch_open(&latches[1], 1);
    rig_settle();
    ck_assert(!then.begun);
    latch_let_go(&latches[3]);
    rig_settle();
    ck_assert_int_eq(latches[1].result, 1);
    ck_assert_int_eq(latches[3].result, -ECANCELED);
    expect(2, -EIO);
}
END_TEST

START_TEST(a_try_that_fails_at_once_does_not_start_the_rest)
{
    start(true, 0);
    latch_open(&latches[1], -EIO);
    rig_settle();
    ck_assert(latches[0].begun);
    ck_assert(!latches[2].begun && !latches[3].begun);
    expect(1, -EIO);
}
END_TEST

START_TEST(cancelling_drains_all_and_keeps_what_won)
{
    for (int tries = 0; tries < 2; tries++) {
        start(tries, LATCH_BY_HAND);
        rig_settle();
        latch_open(&latches[0], 7);
        rig_settle();
        rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN);
        rig_settle();
        ck_assert_uint_eq(latches[0].cancelled_polls, 0);
        latch_open(&latches[1], 8);
        rig_settle();
        latch_let_go(&latches[2]);
        rig_settle();
        ck_assert(!then.over);
        latch_let_go(&latches[3]);
        rig_settle();
        ck_assert_int_eq(latches[3].reason, RILL_SHUTTING_DOWN);
        ck_assert_int_eq(latches[1].result, 8);
        expect(2, -ECANCELED);
    }
}
END_TEST

START_TEST(a_cancelled_join_of_all_that_all_win_is_a_success)
{
    start(true, LATCH_BY_HAND);
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], i);
    rig_settle();
    expect(-1, 0);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_it)
{
    start(false, 0);
    for (int i = 0; i < COUNT; i++) {
        rig_settle();
        rill_task_wake(&runner.task);
        rig_settle();
        ck_assert(!then.begun);
        latch_open(&latches[i], 0);
    }
    rig_settle();
    expect(-1, 0);
}
END_TEST

START_TEST(a_join_of_nothing_is_ready_at_once)
{
    runner_start(&runner, rill_join_all(&all, futures, 0), NULL);
    rig_turn();
    ck_assert_int_eq(runner.task.future.result, 0);
    ck_assert(rill_task_is_over(&runner.task));
}
END_TEST

static void a_hole(void)
{
    futures[0] = NULL;
    rill_try_join_all(&all, futures, 1);
}

START_TEST(a_join_of_all_with_a_hole_panics)
{
    rig_expect_text(rig_abort_message(a_hole), "entry 0 of a join of all is NULL");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_last_ends_it_whatever_the_order,
        all_that_are_ready_at_once_take_one_poll,
        a_failure_leaves_the_others_alone_and_the_first_one_is_told,
        a_failure_of_a_try_cancels_the_others_and_waits_for_them,
        a_try_that_fails_at_once_does_not_start_the_rest,
        cancelling_drains_all_and_keeps_what_won,
        a_cancelled_join_of_all_that_all_win_is_a_success,
        polls_for_no_reason_do_not_end_it,
        a_join_of_nothing_is_ready_at_once,
        a_join_of_all_with_a_hole_panics,
    };

    return rig_main("join_all", tests, RIG_COUNT(tests));
}
