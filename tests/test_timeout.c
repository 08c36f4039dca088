/* SPDX-License-Identifier: Apache-2.0 */
/* test_timeout.c - a limit cancels its child, waits for it, and loses no result. */
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

static struct rill_timeout timeout, outer;
static struct latch latch, then;
static struct runner runner;

/* Starts a task that gives the latch so much time, then waits for another one. */
static void start(int64_t limit_ns)
{
    runner_start(&runner, rill_timeout(&timeout, limit_ns, latch_wait(&latch)), latch_wait(&then));
    rig_settle();
}

/* The timeout has ended with this, and nothing else of the task was cancelled. */
static void expect_result(int64_t result)
{
    ck_assert(then.begun);
    ck_assert_uint_eq(then.cancelled_polls, 0);
    ck_assert_int_eq(timeout.result, result);
    ck_assert(!rill_link_is_linked(&timeout.timer.slot));
    ck_assert(latch.over);
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
}

START_TEST(a_child_that_is_ready_at_once_arms_no_timer)
{
    rill_timeout(&timeout, RILL_SECOND, latch_wait(&latch));
    latch_open(&latch, 4);
    runner_start(&runner, &timeout.future, latch_wait(&then));
    rig_settle();
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    ck_assert_uint_eq(runner.polls, 1);
    expect_result(4);
}
END_TEST

START_TEST(a_child_that_ends_in_time_gives_its_result_and_disarms_the_timer)
{
    start(RILL_SECOND);
    ck_assert_uint_eq(rig.executor.wheel.armed, 1);
    rig_advance(RILL_SECOND - RILL_MILLISECOND);
    latch_open(&latch, 123);
    rig_settle();
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    expect_result(123);
}
END_TEST

START_TEST(an_error_of_the_child_is_the_result)
{
    start(RILL_SECOND);
    latch_open(&latch, -EPIPE);
    rig_settle();
    expect_result(-EPIPE);
}
END_TEST

START_TEST(a_child_that_takes_too_long_is_cancelled_and_the_result_is_ETIMEDOUT)
{
    start(RILL_SECOND);
    rig_advance(RILL_SECOND - 1);
    ck_assert(!then.begun);
    rig_advance(TICK_NS);
    ck_assert_int_eq(latch.result, -ECANCELED);
    /* Its wake finds it pending still, and asks it to end. */
    ck_assert_uint_eq(latch.polls, 3);
    ck_assert_uint_eq(latch.cancelled_polls, 1);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_child_s_own_ETIMEDOUT_is_told_apart)
{
    start(RILL_SECOND);
    latch_open(&latch, -ETIMEDOUT);
    rig_settle();
    ck_assert(!timeout.has_expired);
    expect_result(-ETIMEDOUT);
    start(RILL_SECOND);
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert(timeout.has_expired);
    expect_result(-ETIMEDOUT);
    start(RILL_SECOND); /* which is forgotten when it is used again */
    latch_open(&latch, -ETIMEDOUT);
    rig_settle();
    ck_assert(!timeout.has_expired);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_child_that_ends_together_with_its_limit_gives_its_result)
{
    start(RILL_SECOND);
    rig.driver.now_ns += 2 * RILL_SECOND;
    latch_open(&latch, 9);
    rig_settle();
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    expect_result(9);
}
END_TEST

START_TEST(the_timeout_waits_for_a_child_that_drains_over_several_polls)
{
    latch.drain_polls = 6;
    start(RILL_SECOND);
    rig.driver.now_ns += 2 * RILL_SECOND;
    for (unsigned i = 1; i <= 6; i++) {
        rig_turn();
        ck_assert_uint_eq(latch.cancelled_polls, i);
        ck_assert(!then.begun);
    }
    rig_turn();
    ck_assert_uint_eq(latch.cancelled_polls, 7);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_result_that_arrives_while_the_child_drains_is_the_result)
{
    latch.drain_polls = LATCH_BY_HAND;
    start(RILL_SECOND);
    rig_advance(2 * RILL_SECOND);
    ck_assert_uint_eq(latch.cancelled_polls, 1);
    rill_task_wake(&runner.task); /* for no reason */
    rig_advance(RILL_SECOND);
    ck_assert(!then.begun);
    latch_open(&latch, 777);
    rig_settle();
    expect_result(777);
}
END_TEST

START_TEST(polls_for_no_reason_neither_end_nor_prolong_a_timeout)
{
    start(RILL_SECOND);
    for (int i = 0; i < 9; i++) {
        rill_task_wake(&runner.task);
        rig_advance(RILL_SECOND / 10);
        ck_assert(!then.begun);
        ck_assert_uint_eq(latch.cancelled_polls, 0);
    }
    rig_advance(RILL_SECOND / 10 + TICK_NS);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(cancelling_a_timeout_cancels_the_child_and_the_result_is_the_childs)
{
    latch.drain_polls = 2;
    start(RILL_SECOND);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(timeout.result, -ECANCELED);
    ck_assert_uint_eq(latch.cancelled_polls, 3);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    ck_assert(rill_task_is_over(&runner.task));

    latch.drain_polls = LATCH_BY_HAND;
    start(RILL_SECOND);
    rill_task_cancel(&runner.task);
    rig_settle();
    latch_open(&latch, 31);
    rig_settle();
    ck_assert_int_eq(timeout.result, 31);
}
END_TEST

START_TEST(a_timeout_in_a_cancelled_task_does_not_start_its_child)
{
    runner_start(&runner, rill_timeout(&timeout, RILL_SECOND, latch_wait(&latch)),
                 latch_wait(&then));
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(!latch.begun);
    ck_assert_int_eq(timeout.result, -ECANCELED);
}
END_TEST

START_TEST(a_limit_that_comes_while_a_cancelled_child_drains_changes_no_real_result)
{
    latch.drain_polls = LATCH_BY_HAND;
    start(RILL_SECOND);
    rill_task_cancel(&runner.task);
    rig_settle();
    rig_advance(2 * RILL_SECOND);
    ck_assert(!rill_task_is_over(&runner.task));
    latch_open(&latch, 5);
    rig_settle();
    ck_assert_int_eq(timeout.result, 5);
    ck_assert(rill_task_is_over(&runner.task));
}
END_TEST

START_TEST(a_limit_of_0_gives_the_child_one_poll)
{
    rill_timeout(&timeout, 0, latch_wait(&latch));
    latch_open(&latch, 2);
    runner_start(&runner, &timeout.future, latch_wait(&then));
    rig_settle();
    expect_result(2);

    start(0);
    rig_advance(TICK_NS);
    ck_assert(latch.begun);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_negative_limit_is_EINVAL_and_the_child_is_not_started)
{
    start(-1);
    ck_assert_int_eq(timeout.result, -EINVAL);
    ck_assert_uint_eq(latch.polls, 0);
    ck_assert(then.begun);
    latch_open(&then, 0);
    rig_settle();
}
END_TEST

START_TEST(the_longest_limit_is_none)
{
    start(INT64_MAX);
    rig_advance(1000000 * RILL_SECOND);
    ck_assert(!then.begun);
    rill_task_wake(&runner.task);
    rig_settle();
    ck_assert(!then.begun);
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    latch_open(&latch, 1);
    rig_settle();
    expect_result(1);
}
END_TEST

START_TEST(a_deadline_cancels_its_child_at_a_moment)
{
    int64_t when_ns = rig.driver.now_ns + RILL_SECOND;

    runner_start(&runner, rill_deadline(&timeout, when_ns, latch_wait(&latch)), latch_wait(&then));
    rig_settle();
    rig_advance(RILL_SECOND - 1);
    ck_assert(!then.begun);
    rig_advance(TICK_NS);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_deadline_that_has_passed_ends_its_child_at_the_next_tick)
{
    const int64_t moments_ns[] = {rig.driver.now_ns, 1, 0, -1, -RILL_SECOND, INT64_MIN};

    for (size_t i = 0; i < RIG_COUNT(moments_ns); i++) {
        runner_start(&runner, rill_deadline(&timeout, moments_ns[i], latch_wait(&latch)),
                     latch_wait(&then));
        rig_settle();
        ck_assert(latch.begun);
        rig_advance(TICK_NS);
        expect_result(-ETIMEDOUT);
    }
}
END_TEST

START_TEST(a_deadline_that_never_comes_is_none)
{
    runner_start(&runner, rill_deadline(&timeout, RILL_NEVER, latch_wait(&latch)),
                 latch_wait(&then));
    rig_advance(1000000 * RILL_SECOND);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    ck_assert(!then.begun);
    latch_open(&latch, 1);
    rig_settle();
    expect_result(1);
}
END_TEST

/* A timeout around a timeout. */
static void start_nested(int64_t outer_ns, int64_t inner_ns)
{
    runner_start(
        &runner,
        rill_timeout(&outer, outer_ns, rill_timeout(&timeout, inner_ns, latch_wait(&latch))),
        latch_wait(&then));
    rig_settle();
}

START_TEST(of_nested_timeouts_the_inner_one_can_fire_first)
{
    start_nested(2 * RILL_SECOND, RILL_SECOND);
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert_int_eq(outer.result, -ETIMEDOUT);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(of_nested_timeouts_the_outer_one_can_fire_first)
{
    start_nested(RILL_SECOND, 2 * RILL_SECOND);
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert_int_eq(outer.result, -ETIMEDOUT);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    expect_result(-ECANCELED); /* the inner one was cancelled */
}
END_TEST

START_TEST(nested_timeouts_that_both_fire_pass_a_real_result_up)
{
    for (int outer_is_first = 0; outer_is_first < 2; outer_is_first++) {
        latch.drain_polls = LATCH_BY_HAND;
        start_nested((2 - outer_is_first) * RILL_SECOND, (1 + outer_is_first) * RILL_SECOND);
        rig_advance(RILL_SECOND + TICK_NS);
        ck_assert_uint_eq(latch.cancelled_polls, 1);
        rig_advance(RILL_SECOND);
        ck_assert(!then.begun);
        latch_open(&latch, 1024);
        rig_settle();
        ck_assert_int_eq(outer.result, 1024);
        expect_result(1024);

        latch.drain_polls = LATCH_BY_HAND;
        start_nested((2 - outer_is_first) * RILL_SECOND, (1 + outer_is_first) * RILL_SECOND);
        rig_advance(RILL_SECOND + TICK_NS);
        rig_advance(RILL_SECOND);
        latch_let_go(&latch);
        rig_settle();
        ck_assert_int_eq(outer.result, -ETIMEDOUT);
        expect_result(outer_is_first ? -ECANCELED : -ETIMEDOUT);
    }
}
END_TEST

START_TEST(a_child_is_told_that_its_time_is_over)
{
    start(RILL_SECOND);
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert_int_eq(latch.reason, RILL_TIMED_OUT);
    expect_result(-ETIMEDOUT);
}
END_TEST

START_TEST(a_limit_that_comes_while_a_cancelled_child_drains_is_not_why_it_ends)
{
    latch.drain_polls = LATCH_BY_HAND;
    start(RILL_SECOND);
    rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    rig_advance(2 * RILL_SECOND);
    rill_task_wake(&runner.task);
    rig_settle();
    ck_assert_int_eq(latch.reason, RILL_SHUTTING_DOWN);
    latch_let_go(&latch);
    rig_settle();
    ck_assert_int_eq(timeout.result, -ECANCELED);
    ck_assert(rill_task_is_over(&runner.task));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_child_that_is_ready_at_once_arms_no_timer,
        a_child_that_ends_in_time_gives_its_result_and_disarms_the_timer,
        an_error_of_the_child_is_the_result,
        a_child_that_takes_too_long_is_cancelled_and_the_result_is_ETIMEDOUT,
        a_child_s_own_ETIMEDOUT_is_told_apart,
        a_child_that_ends_together_with_its_limit_gives_its_result,
        the_timeout_waits_for_a_child_that_drains_over_several_polls,
        a_result_that_arrives_while_the_child_drains_is_the_result,
        polls_for_no_reason_neither_end_nor_prolong_a_timeout,
        cancelling_a_timeout_cancels_the_child_and_the_result_is_the_childs,
        a_timeout_in_a_cancelled_task_does_not_start_its_child,
        a_limit_that_comes_while_a_cancelled_child_drains_changes_no_real_result,
        a_limit_of_0_gives_the_child_one_poll,
        a_negative_limit_is_EINVAL_and_the_child_is_not_started,
        the_longest_limit_is_none,
        a_deadline_cancels_its_child_at_a_moment,
        a_deadline_that_has_passed_ends_its_child_at_the_next_tick,
        a_deadline_that_never_comes_is_none,
        of_nested_timeouts_the_inner_one_can_fire_first,
        of_nested_timeouts_the_outer_one_can_fire_first,
        nested_timeouts_that_both_fire_pass_a_real_result_up,
        a_child_is_told_that_its_time_is_over,
        a_limit_that_comes_while_a_cancelled_child_drains_is_not_why_it_ends,
    };

    return rig_main("timeout", tests, RIG_COUNT(tests));
}
