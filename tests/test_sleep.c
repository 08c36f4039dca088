/* SPDX-License-Identifier: Apache-2.0 */
/* test_sleep.c - sleeps last as long as they should, and intervals keep their grid. */
#include "runtime/sleep.h"

#include "runtime/select.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

static struct rill_sleep nap, other_nap;
static struct runner runner;

START_TEST(a_sleep_lasts_its_delay_and_less_than_a_tick_more)
{
    static const int64_t delays_ns[] = {
        1, 999, TICK_NS, RILL_MILLISECOND, RILL_SECOND, 3600 * RILL_SECOND, 1000000 * RILL_SECOND};

    for (size_t i = 0; i < RIG_COUNT(delays_ns); i++) {
        int64_t begin_ns = rig.driver.now_ns;

        runner_start(&runner, rill_sleep(&nap, delays_ns[i]), NULL);
        ck_assert_int_eq(rig_finish(&runner.task), 0);
        ck_assert_int_ge(rig.driver.now_ns, begin_ns + delays_ns[i]);
        ck_assert_int_lt(rig.driver.now_ns, begin_ns + delays_ns[i] + TICK_NS);
        ck_assert_uint_eq(runner.polls, 2);
    }
}
END_TEST

START_TEST(a_sleep_of_0_does_not_wait)
{
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&nap, 0)), 0);
    ck_assert_uint_eq(rig.driver.turns, 0);
}
END_TEST

START_TEST(a_negative_delay_is_EINVAL)
{
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&nap, -1)), -EINVAL);
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&nap, INT64_MIN)), -EINVAL);
    ck_assert_uint_eq(rig.driver.turns, 0);
}
END_TEST

START_TEST(a_delay_counts_from_the_first_poll_and_not_from_the_constructor)
{
    int64_t begin_ns;

    rill_sleep(&nap, RILL_SECOND);
    rig.driver.now_ns += 10 * RILL_SECOND;
    begin_ns = rig.driver.now_ns;
    runner_start(&runner, &nap.future, NULL);
    rig_finish(&runner.task);
    ck_assert_int_ge(rig.driver.now_ns, begin_ns + RILL_SECOND);
}
END_TEST

START_TEST(a_sleep_for_ever_is_pending_until_it_is_cancelled)
{
    static const int64_t delays_ns[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX - 2000 * RILL_SECOND};

    for (size_t i = 0; i < RIG_COUNT(delays_ns); i++) {
        runner_start(&runner, rill_sleep(&nap, delays_ns[i]), NULL);
        for (int k = 0; k < 3; k++) {
            rig_advance(1000000 * RILL_SECOND);
            ck_assert(!rill_task_is_over(&runner.task));
        }
        rill_task_cancel(&runner.task);
        rig_settle();
        ck_assert_int_eq(runner.task.future.result, -ECANCELED);
    }
}
END_TEST

START_TEST(a_sleep_until_a_moment_ends_at_it)
{
    int64_t when_ns = rig.driver.now_ns + 5 * RILL_SECOND;

    runner_start(&runner, rill_sleep_until(&nap, when_ns), NULL);
    rig_advance(5 * RILL_SECOND - 1);
    ck_assert(!rill_task_is_over(&runner.task));
    rig_advance(TICK_NS);
    ck_assert_int_eq(runner.task.future.result, 0);
    ck_assert(rill_task_is_over(&runner.task));
}
END_TEST

START_TEST(a_sleep_until_a_moment_that_has_passed_does_not_wait)
{
    const int64_t moments_ns[] = {rig.driver.now_ns, rig.driver.now_ns - 1, 0, -1, INT64_MIN};

    for (size_t i = 0; i < RIG_COUNT(moments_ns); i++)
        ck_assert_int_eq(
            rill_executor_block_on(&rig.executor, rill_sleep_until(&nap, moments_ns[i])), 0);
    ck_assert_uint_eq(rig.driver.turns, 0);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_sleep)
{
    runner_start(&runner, rill_sleep(&nap, RILL_SECOND), NULL);
    rig_settle();
    for (int i = 0; i < 9; i++) {
        rill_task_wake(&runner.task);
        rig_advance(RILL_SECOND / 10);
        ck_assert(!rill_task_is_over(&runner.task));
        ck_assert_uint_eq(rig.executor.wheel.armed, 1);
    }
    rig_advance(RILL_SECOND / 10 + TICK_NS);
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_int_eq(nap.result, 0);
}
END_TEST

START_TEST(a_cancelled_sleep_disarms_its_timer_and_the_next_one_does_not_begin)
{
    runner_start(&runner, rill_sleep(&nap, RILL_SECOND), rill_sleep(&other_nap, RILL_SECOND));
    rig_settle();
    ck_assert_uint_eq(rig.executor.wheel.armed, 1);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    ck_assert_int_eq(nap.result, -ECANCELED);
    ck_assert_int_eq(other_nap.result, -ECANCELED);
}
END_TEST

START_TEST(a_sleep_that_is_over_before_its_cancel_is_seen_has_the_result_0)
{
    runner_start(&runner, rill_sleep(&nap, RILL_SECOND), NULL);
    rig_settle();
    rig.driver.now_ns += 2 * RILL_SECOND;
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 0);
}
END_TEST

START_TEST(many_sleepers_wake_in_the_order_of_their_moments)
{
    enum { COUNT = 300 };
    static struct rill_sleep naps[COUNT];
    static struct runner runners[COUNT];
    int64_t begin_ns = rig.driver.now_ns;

    for (int i = 0; i < COUNT; i++)
        runner_start(&runners[i],
                     rill_sleep(&naps[i], (1 + (i * 7) % COUNT) * (int64_t)RILL_MILLISECOND), NULL);
    rig_settle();
    for (int i = 1; i <= COUNT; i++) {
        size_t over = 0;

        rig_advance(begin_ns + i * (int64_t)RILL_MILLISECOND + TICK_NS - rig.driver.now_ns);
        for (int k = 0; k < COUNT; k++)
            over += rill_task_is_over(&runners[k].task);
        ck_assert_uint_eq(over, (size_t)i);
    }
}
END_TEST

/* A task that counts the ticks of an interval. */
struct ticker {
    struct rill_task task;
    struct rill_interval interval;
    int64_t work_ns; /* by which the clock moves after each tick */
    int64_t seen_ns; /* when it saw the last tick */
    unsigned ticks;
    int64_t result; /* of the last tick */
};

static enum rill_poll ticker_poll(struct rill_future *self, struct rill_task *task)
{
    struct ticker *ticker = rill_container_of(self, struct ticker, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_interval_tick(&ticker->interval));
        ticker->result = ticker->interval.result;
        if (ticker->result < 0)
            break;
        ticker->ticks++;
        ticker->seen_ns = rill_now();
        rig.driver.now_ns += ticker->work_ns;
    }
    RILL_END();
}

static void end_ticker(struct ticker *ticker)
{
    rill_task_cancel(&ticker->task);
    rig_settle();
    ck_assert(rill_task_is_over(&ticker->task));
    ck_assert_int_eq(ticker->result, -ECANCELED);
}

/* Lets so much work be done between ticks, and each wait of the driver end late. */
static void tick_a_thousand_times(int64_t work_ns, int64_t oversleep_ns)
{
    struct ticker ticker = {.work_ns = work_ns};
    int64_t begin_ns = rig.driver.now_ns;

    rig.driver.oversleep_ns = oversleep_ns;
    rill_interval_init(&ticker.interval, 10 * RILL_MILLISECOND);
    rill_task_spawn(&ticker.task, ticker_poll);
    for (unsigned tick = 1; tick <= 1000; tick++) {
        int64_t due_ns = begin_ns + tick * 10 * RILL_MILLISECOND;

        while (ticker.ticks < tick) {
            rill_executor_run(&rig.executor);
            rig_wait(RILL_NEVER);
        }
        ck_assert_uint_eq(ticker.ticks, tick);
        ck_assert_int_ge(ticker.seen_ns, due_ns);
        ck_assert_int_lt(ticker.seen_ns, due_ns + TICK_NS + oversleep_ns);
    }
    end_ticker(&ticker);
}

START_TEST(an_interval_ticks_on_its_grid_whatever_the_work_between_takes)
{
    tick_a_thousand_times(7 * RILL_MILLISECOND, 0);
}
END_TEST

START_TEST(an_interval_ticks_on_its_grid_however_late_the_driver_wakes)
{
    tick_a_thousand_times(0, 8 * RILL_MILLISECOND);
}
END_TEST

START_TEST(a_late_task_gets_one_tick_for_all_that_it_missed_and_stays_on_the_grid)
{
    struct ticker ticker = {.ticks = 0};
    int64_t begin_ns = rig.driver.now_ns;

    rill_interval_init(&ticker.interval, RILL_SECOND);
    rill_task_spawn(&ticker.task, ticker_poll);
    rig_settle();
    rig_advance(5 * RILL_SECOND + RILL_SECOND / 2);
    ck_assert_uint_eq(ticker.ticks, 1);
    ck_assert_int_eq(ticker.interval.next_ns, begin_ns + 6 * RILL_SECOND);
    rig_advance(RILL_SECOND / 2 - 1);
    ck_assert_uint_eq(ticker.ticks, 1);
    rig_advance(TICK_NS + 1);
    ck_assert_uint_eq(ticker.ticks, 2);
    ck_assert_int_eq(ticker.interval.next_ns, begin_ns + 7 * RILL_SECOND);
    end_ticker(&ticker);
}
END_TEST

START_TEST(a_tick_that_was_due_before_it_is_awaited_does_not_wait)
{
    struct rill_interval interval;

    rill_interval_init(&interval, RILL_SECOND);
    rig.driver.now_ns += RILL_SECOND;
    rig_turn();
    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rig_turn();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_uint_eq(runner.polls, 1);
}
END_TEST

START_TEST(a_cancelled_tick_is_still_due)
{
    struct rill_interval interval;
    int64_t due_ns;

    rill_interval_init(&interval, RILL_SECOND);
    due_ns = interval.next_ns;
    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rig_advance(RILL_SECOND / 2);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(interval.result, -ECANCELED);
    ck_assert_int_eq(interval.next_ns, due_ns);

    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rig_finish(&runner.task);
    ck_assert_int_eq(interval.result, 0);
    ck_assert_int_ge(rig.driver.now_ns, due_ns);
    ck_assert_int_lt(rig.driver.now_ns, due_ns + TICK_NS);
    ck_assert_int_eq(interval.next_ns, due_ns + RILL_SECOND);
}
END_TEST

START_TEST(a_tick_that_is_cancelled_before_it_begins_is_still_due)
{
    struct rill_interval interval;
    int64_t due_ns;

    rill_interval_init(&interval, RILL_SECOND);
    due_ns = interval.next_ns;
    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(interval.result, -ECANCELED);
    ck_assert_int_eq(interval.next_ns, due_ns);
}
END_TEST

static struct {
    struct rill_task task;
    struct rill_interval interval;
    unsigned ticks;
} heedless;

/* Does not look at what a tick says. */
static enum rill_poll heedless_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (heedless.ticks = 0; heedless.ticks < 3 * RILL_TASK_BUDGET; heedless.ticks++)
        RILL_AWAIT(rill_interval_tick(&heedless.interval));
    RILL_END();
}

START_TEST(a_cancelled_task_that_does_not_look_at_its_ticks_lets_others_run)
{
    rill_interval_init(&heedless.interval, RILL_SECOND);
    rill_task_spawn(&heedless.task, heedless_poll);
    rill_task_cancel(&heedless.task);
    rig_turn();
    ck_assert_uint_le(heedless.ticks, RILL_TASK_BUDGET);
    rig_settle();
    ck_assert(rill_task_is_over(&heedless.task));
}
END_TEST

START_TEST(the_loser_of_a_select_swallows_no_tick)
{
    struct rill_interval interval;
    struct rill_select select;
    struct rill_future *choices[2];
    struct latch latch = {.drain_polls = 0};

    rill_interval_init(&interval, RILL_SECOND);
    runner_start(&runner,
                 rill_select(&select, RILL_FUTURES(choices, latch_wait(&latch),
                                                   rill_interval_tick(&interval))),
                 NULL);
    rig_settle();
    rig.driver.now_ns += RILL_SECOND + TICK_NS;
    latch_open(&latch, 7);
    ck_assert_int_eq(rig_finish(&runner.task), 0);
    ck_assert_int_eq(rig.executor.wheel.armed, 0);
    ck_assert_int_eq(interval.result, -ECANCELED);
    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_int_eq(interval.result, 0);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_make_ticks)
{
    struct ticker ticker = {.ticks = 0};

    rill_interval_init(&ticker.interval, RILL_SECOND);
    rill_task_spawn(&ticker.task, ticker_poll);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&ticker.task);
        rig_settle();
    }
    ck_assert_uint_eq(ticker.ticks, 0);
    end_ticker(&ticker);
}
END_TEST

START_TEST(the_longest_interval_never_ticks)
{
    struct ticker ticker = {.ticks = 0};

    rill_interval_init(&ticker.interval, INT64_MAX);
    ck_assert_int_eq(ticker.interval.next_ns, RILL_NEVER);
    rill_task_spawn(&ticker.task, ticker_poll);
    rig_settle();
    rig_advance(1000000 * RILL_SECOND);
    ck_assert_uint_eq(ticker.ticks, 0);
    end_ticker(&ticker);
}
END_TEST

/* Its second tick would be due after the end of time. */
START_TEST(a_tick_beyond_the_end_of_time_never_comes)
{
    struct ticker ticker = {.ticks = 0};

    rill_interval_init(&ticker.interval, INT64_MAX / 2);
    rill_task_spawn(&ticker.task, ticker_poll);
    rig_settle();
    rig_advance(INT64_MAX / 2 + TICK_NS);
    ck_assert_uint_eq(ticker.ticks, 1);
    ck_assert_int_eq(ticker.interval.next_ns, RILL_NEVER);
    end_ticker(&ticker);
}
END_TEST

static void interval_of_0(void)
{
    struct rill_interval interval;

    rill_interval_init(&interval, 0);
}

static void interval_of_less(void)
{
    struct rill_interval interval;

    rill_interval_init(&interval, -RILL_SECOND);
}

static void tick_of_a_zeroed_one(void)
{
    struct rill_interval interval = {.period_ns = 0};

    runner_start(&runner, rill_interval_tick(&interval), NULL);
    rig_turn();
}

START_TEST(an_interval_without_a_period_panics)
{
    rig_expect_text(rig_abort_message(interval_of_0), "an interval of 0 ns");
    rig_expect_text(rig_abort_message(interval_of_less), "an interval of -1000000000 ns");
}
END_TEST

START_TEST(a_tick_of_an_interval_that_was_never_made_panics)
{
    rig_expect_text(rig_abort_message(tick_of_a_zeroed_one), "an interval of 0 ns");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_sleep_lasts_its_delay_and_less_than_a_tick_more,
        a_sleep_of_0_does_not_wait,
        a_negative_delay_is_EINVAL,
        a_delay_counts_from_the_first_poll_and_not_from_the_constructor,
        a_sleep_for_ever_is_pending_until_it_is_cancelled,
        a_sleep_until_a_moment_ends_at_it,
        a_sleep_until_a_moment_that_has_passed_does_not_wait,
        polls_for_no_reason_do_not_end_a_sleep,
        a_cancelled_sleep_disarms_its_timer_and_the_next_one_does_not_begin,
        a_sleep_that_is_over_before_its_cancel_is_seen_has_the_result_0,
        many_sleepers_wake_in_the_order_of_their_moments,
        an_interval_ticks_on_its_grid_whatever_the_work_between_takes,
        an_interval_ticks_on_its_grid_however_late_the_driver_wakes,
        a_late_task_gets_one_tick_for_all_that_it_missed_and_stays_on_the_grid,
        a_tick_that_was_due_before_it_is_awaited_does_not_wait,
        a_cancelled_tick_is_still_due,
        a_tick_that_is_cancelled_before_it_begins_is_still_due,
        a_cancelled_task_that_does_not_look_at_its_ticks_lets_others_run,
        the_loser_of_a_select_swallows_no_tick,
        polls_for_no_reason_do_not_make_ticks,
        the_longest_interval_never_ticks,
        a_tick_beyond_the_end_of_time_never_comes,
        an_interval_without_a_period_panics,
        a_tick_of_an_interval_that_was_never_made_panics,
    };

    return rig_main("sleep", tests, RIG_COUNT(tests));
}
