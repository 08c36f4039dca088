/* SPDX-License-Identifier: Apache-2.0 */
/* test_retry.c - attempts are repeated as long as it makes sense, at the right moments. */
#include "runtime/random.h"
#include "runtime/retry.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

/* Each attempt is the next of these latches. */
enum { COUNT = 8 };

static struct fetch {
    struct runner runner;
    struct rill_retry retry;
    struct latch latches[COUNT];
    int begun;
} fetch;

static struct rill_retry_policy policy;

static struct rill_future *attempt(struct rill_retry *retry)
{
    struct fetch *me = rill_container_of(retry, struct fetch, retry);

    ck_assert_int_eq(retry->attempts, me->begun + 1);
    return latch_wait(&me->latches[me->begun++]);
}

static void start(void)
{
    fetch = (struct fetch){.begun = 0};
    runner_start(&fetch.runner, rill_retry(&fetch.retry, &policy, attempt), NULL);
    rig_settle();
}

static void setup(void)
{
    policy = (struct rill_retry_policy){
        .attempts_max = COUNT,
        .first_ns = RILL_MILLISECOND,
        .max_ns = 4 * RILL_MILLISECOND,
        .limit_ns = RILL_NEVER,
    };
}

static void end(int64_t result)
{
    latch_open(&fetch.latches[fetch.begun - 1], result);
    rig_settle();
}

static bool is_over(void)
{
    return rill_task_is_over(&fetch.runner.task);
}

static void expect_over(int64_t result, int attempts)
{
    ck_assert(is_over());
    ck_assert_int_eq(fetch.retry.result, result);
    ck_assert_int_eq(fetch.retry.attempts, attempts);
    ck_assert_int_eq(fetch.begun, attempts);
}

/* Lets the pause go by, which must not be longer than bound_ns. */
static void go_by(int64_t bound_ns)
{
    int begun = fetch.begun;

    rig_advance(bound_ns + 17 * RILL_MICROSECOND);
    ck_assert_int_eq(fetch.begun, begun + 1);
}

START_TEST(what_succeeds_is_not_repeated)
{
    setup();
    start();
    end(5);
    expect_over(5, 1);
}
END_TEST

START_TEST(one_that_is_used_again_begins_with_its_first_attempt)
{
    setup();
    start();
    end(-EIO);
    go_by(policy.first_ns);
    end(5);
    expect_over(5, 2);
    fetch.begun = 0;
    runner_start(&fetch.runner, rill_retry(&fetch.retry, &policy, attempt), NULL);
    rig_settle();
    ck_assert_int_eq(fetch.retry.last, 0);
    end(6);
    expect_over(6, 1);
}
END_TEST

START_TEST(what_fails_is_repeated_until_it_succeeds)
{
    setup();
    start();
    for (int i = 0; i < 4; i++) {
        end(-EIO);
        ck_assert(!is_over());
        go_by(4 * RILL_MILLISECOND);
    }
    end(0);
    expect_over(0, 5);
}
END_TEST

START_TEST(the_last_attempt_is_the_result)
{
    setup();
    policy.attempts_max = 3;
    start();
    end(-EIO);
    go_by(RILL_MILLISECOND);
    end(-ENOENT);
    go_by(2 * RILL_MILLISECOND);
    end(-ECONNREFUSED);
    expect_over(-ECONNREFUSED, 3);
}
END_TEST

static bool only_again(struct rill_retry *retry, int64_t error)
{
    const struct fetch *me = rill_container_of(retry, struct fetch, retry);

    ck_assert_int_eq(me->begun, retry->attempts);
    return error == -EAGAIN;
}

START_TEST(what_is_not_worth_repeating_is_not_repeated)
{
    setup();
    policy.is_worth = only_again;
    start();
    end(-EAGAIN);
    go_by(RILL_MILLISECOND);
    end(-EIO);
    expect_over(-EIO, 2);

    policy.is_worth = NULL;
    start();
    end(-EINVAL);
    expect_over(-EINVAL, 1);
}
END_TEST

START_TEST(a_pause_that_would_be_too_long_is_not_begun)
{
    setup();
    policy.limit_ns = RILL_MICROSECOND;
    policy.first_ns = policy.max_ns = RILL_SECOND; /* of which 1 us is not drawn with this seed */
    start();
    end(-EIO);
    expect_over(-EIO, 1);
}
END_TEST

START_TEST(an_attempt_that_takes_too_long_is_cancelled_and_timed_out)
{
    setup();
    policy.limit_ns = 10 * RILL_MILLISECOND;
    start();
    end(-EIO);
    go_by(RILL_MILLISECOND);
    rig_advance(10 * RILL_MILLISECOND);
    ck_assert_uint_eq(fetch.latches[1].cancelled_polls, 1);
    expect_over(-ETIMEDOUT, 2);
}
END_TEST

static int64_t now_coarse(struct rill_driver *driver)
{
    return rill_container_of(driver, struct manual_driver, driver)->now_ns;
}

static enum rill_poll late_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    (void)rill_now();
    rig.driver.now_ns += RILL_SECOND; /* it computes */
    RILL_AWAIT(rill_retry(&fetch.retry, &policy, attempt));
    RILL_END();
}

START_TEST(the_limit_counts_from_its_beginning_however_long_the_turn_has_lasted)
{
    const struct rill_driver_ops *usual = rig.driver.driver.ops;
    struct rill_driver_ops ops = *usual;

    setup();
    ops.now_coarse = now_coarse;
    rig.driver.driver.ops = &ops;
    policy.limit_ns = 100 * RILL_MILLISECOND;
    fetch = (struct fetch){.begun = 0};
    rill_task_spawn(&fetch.runner.task, late_poll);
    rig_settle();
    rig_advance(50 * RILL_MILLISECOND);
    ck_assert(!is_over());
    end(7);
    expect_over(7, 1);
    rig.driver.driver.ops = usual;
}
END_TEST

START_TEST(an_attempt_that_ends_with_the_limit_is_the_result)
{
    setup();
    policy.limit_ns = 10 * RILL_MILLISECOND;
    start();
    latch_open(&fetch.latches[0], 9);
    rig_advance(RILL_SECOND);
    expect_over(9, 1);
}
END_TEST

START_TEST(a_cancelled_attempt_is_not_repeated)
{
    setup();
    start();
    rill_task_cancel(&fetch.runner.task);
    rig_settle();
    expect_over(-ECANCELED, 1);

    start();
    fetch.latches[0].drain_polls = LATCH_BY_HAND;
    rill_task_cancel(&fetch.runner.task);
    end(-EIO); /* it failed by itself while it was being cancelled */
    expect_over(-EIO, 1);

    start();
    latch_open(&fetch.latches[0], 3);
    rill_task_cancel(&fetch.runner.task);
    rig_settle();
    expect_over(3, 1);
}
END_TEST

START_TEST(a_cancelled_pause_ends_it_and_the_last_result_is_there)
{
    setup();
    start();
    end(-EIO);
    rill_task_cancel(&fetch.runner.task);
    rig_settle();
    expect_over(-ECANCELED, 1);
    ck_assert_int_eq(fetch.retry.last, -EIO);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_succeeds_at_nothing)
{
    setup();
    fetch = (struct fetch){.begun = 0};
    runner_start(&fetch.runner, rill_retry(&fetch.retry, &policy, attempt), NULL);
    rill_task_cancel(&fetch.runner.task);
    rig_settle();
    ck_assert_int_eq(fetch.retry.result, -ECANCELED);
    ck_assert(!fetch.latches[0].begun);
}
END_TEST

START_TEST(polling_it_for_no_reason_neither_repeats_nor_skips)
{
    setup();
    policy.first_ns = policy.max_ns = RILL_SECOND;
    start();
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&fetch.runner.task);
        rig_settle();
    }
    ck_assert_int_eq(fetch.begun, 1);
    end(-EIO);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&fetch.runner.task);
        rig_settle();
    }
    ck_assert_int_eq(fetch.begun, 1);
    go_by(RILL_SECOND);
    end(0);
    expect_over(0, 2);
}
END_TEST

START_TEST(a_policy_out_of_range_is_refused)
{
    const struct rill_retry_policy wrong[] = {
        {0, 1, 1, 1, NULL},  {1, 0, 1, 1, NULL},  {1, 2, 1, 1, NULL},
        {1, -1, 1, 1, NULL}, {1, 1, 1, -1, NULL},
    };

    for (size_t i = 0; i < RIG_COUNT(wrong); i++) {
        policy = wrong[i];
        start();
        expect_over(-EINVAL, 0);
    }
}
END_TEST

/* ---- the back-off alone ---- */

START_TEST(the_bound_doubles_up_to_the_maximum_and_begins_anew_after_a_reset)
{
    const int64_t bounds[] = {3, 6, 12, 20, 20, 20};
    struct rill_backoff backoff;

    rill_backoff_init(&backoff, 3, 20);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < RIG_COUNT(bounds); i++) {
            ck_assert_int_eq(backoff.bound_ns, bounds[i]);
            rill_backoff_next(&backoff);
        }
        rill_backoff_reset(&backoff);
    }
}
END_TEST

START_TEST(each_delay_up_to_the_bound_is_drawn_about_equally_often)
{
    enum { BOUND = 9, DRAWS = 100000 };
    struct rill_backoff backoff;
    int drawn[BOUND + 1] = {0};

    rill_backoff_init(&backoff, BOUND, BOUND);
    for (int i = 0; i < DRAWS; i++) {
        int64_t delay_ns = rill_backoff_next(&backoff);

        ck_assert(delay_ns >= 0 && delay_ns <= BOUND);
        drawn[delay_ns]++;
    }
    for (int i = 0; i <= BOUND; i++) {
        ck_assert_int_gt(drawn[i], DRAWS / (BOUND + 1) * 9 / 10);
        ck_assert_int_lt(drawn[i], DRAWS / (BOUND + 1) * 11 / 10);
    }
}
END_TEST

START_TEST(the_largest_bounds_do_not_overflow)
{
    struct rill_backoff backoff;

    rill_backoff_init(&backoff, 1, INT64_MAX);
    for (int i = 0; i < 200; i++)
        ck_assert_int_ge(rill_backoff_next(&backoff), 0);
    ck_assert_int_eq(backoff.bound_ns, INT64_MAX);
}
END_TEST

START_TEST(no_two_draw_the_same_delays_unless_a_seed_makes_them_the_same)
{
    struct rill_backoff a, b;
    int64_t delays[50];
    int same = 0;

    for (int round = 0; round < 2; round++) {
        rill_random_seed(5);
        rill_backoff_init(&a, 1000, RILL_SECOND);
        for (int i = 0; i < 50; i++)
            if (round == 0)
                delays[i] = rill_backoff_next(&a);
            else
                ck_assert_int_eq(rill_backoff_next(&a), delays[i]);
    }

    rill_backoff_reset(&a);
    rill_backoff_init(&b, 1000, RILL_SECOND);
    for (int i = 0; i < 50; i++)
        same += rill_backoff_next(&a) == rill_backoff_next(&b);
    ck_assert_int_lt(same, 3);
}
END_TEST

static void back_off_by_nothing(void)
{
    struct rill_backoff backoff;

    rill_backoff_init(&backoff, 0, 1);
}

static void back_off_beyond_the_maximum(void)
{
    struct rill_backoff backoff;

    rill_backoff_init(&backoff, 2, 1);
}

START_TEST(bounds_that_are_not_in_order_panic)
{
    rig_expect_text(rig_abort_message(back_off_by_nothing), "a back-off from 0 to 1 ns");
    rig_expect_text(rig_abort_message(back_off_beyond_the_maximum), "a back-off from 2 to 1 ns");
}
END_TEST

/* ---- at random ---- */

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

/* Fails so often, taking some time, and then succeeds. */
static struct job {
    struct rill_task task;
    struct rill_retry retry;
    struct rill_future future;
    struct rill_sleep sleep;
    unsigned failures; /* before it succeeds */
    int64_t begin_ns, last_end_ns;
    unsigned begun;
} job;

static enum rill_poll job_attempt_poll(struct rill_future *self, struct rill_task *task)
{
    struct job *me = rill_container_of(self, struct job, future);

    RILL_BEGIN();
    me->begun++;
    RILL_AWAIT(rill_sleep(&me->sleep, (int64_t)dice(3 * RILL_MILLISECOND)));
    me->last_end_ns = rill_now();
    if (me->sleep.result < 0)
        RILL_RETURN(me->sleep.result);
    if (me->begun <= me->failures)
        RILL_RETURN(-EIO);
    RILL_RETURN(me->begun);
    RILL_END();
}

static struct rill_future *job_attempt(struct rill_retry *retry)
{
    struct job *me = rill_container_of(retry, struct job, retry);
    int64_t pause_ns = rill_now() - me->last_end_ns, bound_ns = policy.first_ns;

    for (unsigned i = 1; i < me->begun && bound_ns < policy.max_ns; i++)
        bound_ns = 2 * bound_ns < policy.max_ns ? 2 * bound_ns : policy.max_ns;
    ck_assert_msg(me->begun == 0 || pause_ns <= bound_ns + 100 * RILL_MICROSECOND,
                  "seed %llu: a pause of %lld ns", rig.seed, (long long)pause_ns);
    ck_assert_msg(policy.limit_ns == RILL_NEVER ||
                      rill_now() <= me->begin_ns + policy.limit_ns + 100 * RILL_MICROSECOND,
                  "seed %llu: begun too late", rig.seed);
    return rill_future_init(&me->future, job_attempt_poll);
}

static enum rill_poll job_poll(struct rill_future *self, struct rill_task *task)
{
    struct job *me = rill_container_of(self, struct job, task.future);

    RILL_BEGIN();
    me->begin_ns = rill_now();
    RILL_AWAIT(rill_retry(&me->retry, &policy, job_attempt));
    RILL_RETURN(me->retry.result);
    RILL_END();
}

static void run(uint64_t seed)
{
    bool cancelled = false;
    int64_t result;

    rig.seed = seed;
    dice_state = seed;
    rill_random_seed(seed);
    policy.attempts_max = 1 + (unsigned)dice(8);
    policy.limit_ns = dice(2) ? RILL_NEVER : (int64_t)dice(20 * RILL_MILLISECOND);
    job = (struct job){.failures = (unsigned)dice(10)};
    rill_task_spawn(&job.task, job_poll);
    while (!rill_task_is_over(&job.task)) {
        rig.driver.now_ns += (int64_t)dice(30 * RILL_MICROSECOND);
        rig_disturb(&dice_state);
        rig_turn();
        if (dice(1000) == 0) {
            rill_task_cancel(&job.task);
            cancelled = true;
        }
    }
    result = job.retry.result;
    ck_assert_uint_eq(job.begun, job.retry.attempts);
    ck_assert_uint_le(job.begun, policy.attempts_max);
    if (result > 0)
        ck_assert_uint_eq(job.begun, job.failures + 1);
    else if (!cancelled && policy.limit_ns == RILL_NEVER)
        ck_assert(result == -EIO && job.begun == policy.attempts_max);
    else
        ck_assert(result == -EIO || result == (cancelled ? -ECANCELED : -ETIMEDOUT) ||
                  result == -ETIMEDOUT);
}

START_TEST(attempts_are_as_many_as_it_takes_and_none_begins_too_late)
{
    setup();
    for (uint64_t seed = 1; seed <= rig_scaled(3000); seed++)
        run(seed);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_succeeds_is_not_repeated,
        one_that_is_used_again_begins_with_its_first_attempt,
        what_fails_is_repeated_until_it_succeeds,
        the_last_attempt_is_the_result,
        what_is_not_worth_repeating_is_not_repeated,
        a_pause_that_would_be_too_long_is_not_begun,
        an_attempt_that_takes_too_long_is_cancelled_and_timed_out,
        the_limit_counts_from_its_beginning_however_long_the_turn_has_lasted,
        an_attempt_that_ends_with_the_limit_is_the_result,
        a_cancelled_attempt_is_not_repeated,
        a_cancelled_pause_ends_it_and_the_last_result_is_there,
        a_task_cancelled_before_its_first_poll_succeeds_at_nothing,
        polling_it_for_no_reason_neither_repeats_nor_skips,
        a_policy_out_of_range_is_refused,
        the_bound_doubles_up_to_the_maximum_and_begins_anew_after_a_reset,
        each_delay_up_to_the_bound_is_drawn_about_equally_often,
        the_largest_bounds_do_not_overflow,
        no_two_draw_the_same_delays_unless_a_seed_makes_them_the_same,
        bounds_that_are_not_in_order_panic,
        attempts_are_as_many_as_it_takes_and_none_begins_too_late,
    };

    return rig_main("retry", tests, RIG_COUNT(tests));
}
