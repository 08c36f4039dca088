/* SPDX-License-Identifier: Apache-2.0 */
/* test_shield.c - what is within a shield is not cancelled from outside. */
#include "runtime/select.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

static struct rill_shield shield;
static struct rill_timeout timeout;
static struct latch latch, then;
static struct runner runner;

START_TEST(a_cancelled_task_waits_for_what_is_shielded)
{
    runner_start(&runner, rill_shield(&shield, latch_wait(&latch)), latch_wait(&then));
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(!then.over);
    latch_open(&latch, 21);
    rig_settle();
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    ck_assert_int_eq(shield.result, 21);
    ck_assert_int_eq(then.result, -ECANCELED);
}
END_TEST

START_TEST(a_shield_begins_its_child_in_a_task_that_is_cancelled)
{
    runner_start(&runner, rill_shield(&shield, latch_wait(&latch)), NULL);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(latch.begun);
    latch_open(&latch, -EIO);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -EIO);
}
END_TEST

START_TEST(a_timeout_around_a_shield_spares_it)
{
    runner_start(&runner,
                 rill_timeout(&timeout, RILL_SECOND, rill_shield(&shield, latch_wait(&latch))),
                 NULL);
    rig_settle();
    rig_advance(5 * RILL_SECOND);
    ck_assert(!rill_task_is_over(&runner.task));
    latch_open(&latch, 3);
    rig_settle();
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    ck_assert_int_eq(timeout.result, 3);
}
END_TEST

START_TEST(a_timeout_within_a_shield_cancels_even_in_a_cancelled_task)
{
    latch.drain_polls = 2;
    runner_start(&runner,
                 rill_shield(&shield, rill_timeout(&timeout, RILL_SECOND, latch_wait(&latch))),
                 NULL);
    rill_task_cancel(&runner.task);
    rig_settle();
    rig_advance(RILL_SECOND - TICK_NS);
    ck_assert_uint_eq(latch.cancelled_polls, 0);
    rig_advance(2 * TICK_NS);
    ck_assert_int_eq(latch.reason, RILL_TIMED_OUT);
    ck_assert_int_eq(runner.task.future.result, -ETIMEDOUT);
}
END_TEST

START_TEST(a_select_waits_for_a_loser_that_is_shielded)
{
    struct rill_select select;
    struct rill_future *futures[2];

    runner_start(&runner,
                 rill_select(&select, RILL_FUTURES(futures, latch_wait(&then),
                                                   rill_shield(&shield, latch_wait(&latch)))),
                 NULL);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    latch_open(&latch, 9);
    rig_settle();
    ck_assert_int_eq(select.result, 0);
    ck_assert_int_eq(shield.result, 9);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_shield)
{
    runner_start(&runner, rill_shield(&shield, latch_wait(&latch)), NULL);
    for (int i = 0; i < 3; i++) {
        rig_settle();
        ck_assert(!rill_task_is_over(&runner.task));
        rill_task_wake(&runner.task);
    }
    latch_open(&latch, 1);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 1);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_cancelled_task_waits_for_what_is_shielded,
        a_shield_begins_its_child_in_a_task_that_is_cancelled,
        a_timeout_around_a_shield_spares_it,
        a_timeout_within_a_shield_cancels_even_in_a_cancelled_task,
        a_select_waits_for_a_loser_that_is_shielded,
        polls_for_no_reason_do_not_end_a_shield,
    };

    return rig_main("shield", tests, RIG_COUNT(tests));
}
