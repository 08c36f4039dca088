/* SPDX-License-Identifier: Apache-2.0 */
/* test_retry.c - back-off, retries and the token bucket keep to their numbers. */
#include "runtime/executor.h"
#include "runtime/rate_limit.h"
#include "runtime/retry.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

START_TEST(a_back_off_doubles_its_bound_up_to_the_maximum)
{
    int64_t bound = 100;

    for (unsigned attempt = 0; attempt < 20; attempt++) {
        int64_t largest = 0;

        for (uint64_t seed = 0; seed < 2000; seed++) {
            struct rill_backoff backoff = {
                .first_ns = 100, .max_ns = 1700, .random = seed, .attempts = attempt};
            int64_t delay = rill_backoff_next(&backoff);

            ck_assert_int_ge(delay, 0);
            ck_assert_int_le(delay, bound);
            if (delay > largest)
                largest = delay;
        }
        ck_assert_int_gt(largest, bound * 9 / 10);
        bound = bound * 2 < 1700 ? bound * 2 : 1700;
    }
}
END_TEST

START_TEST(the_same_seed_gives_the_same_delays_and_a_reset_begins_anew)
{
    struct rill_backoff one = {.first_ns = 1000, .max_ns = RILL_NEVER, .random = 5}, other = one;

    for (int i = 0; i < 80; i++)
        ck_assert_int_eq(rill_backoff_next(&one), rill_backoff_next(&other));
    rill_backoff_reset(&one);
    ck_assert_int_le(rill_backoff_next(&one), 1000);
}
END_TEST

static void back_off_backwards(void)
{
    struct rill_backoff backoff = {.first_ns = 10, .max_ns = 9};

    rill_backoff_next(&backoff);
}

START_TEST(bounds_that_are_not_in_order_panic)
{
    rig_expect_text(rig_abort_message(back_off_backwards), "from 10 to 9 ns");
}
END_TEST

/* ---- retry ---- */

static struct caller {
    struct runner runner;
    struct rill_retry retry;
    struct latch latch;
    unsigned tries;
} caller;

static struct rill_retry_policy policy;

static struct rill_future *attempt(struct rill_retry *retry)
{
    struct caller *me = rill_container_of(retry, struct caller, retry);

    me->tries++;
    return latch_wait(&me->latch);
}

static void start_retry(void)
{
    caller.tries = 0;
    runner_start(&caller.runner, rill_retry(&caller.retry, &policy, attempt), NULL);
    rig_settle();
}

static void answer(int64_t result)
{
    latch_open(&caller.latch, result);
    rig_settle();
}

static bool has_ended(void)
{
    return rill_task_is_over(&caller.runner.task);
}

static void set_policy(unsigned attempts_max)
{
    policy = (struct rill_retry_policy){
        .attempts_max = attempts_max, .first_ns = RILL_MILLISECOND, .max_ns = RILL_SECOND};
}

START_TEST(it_tries_until_it_succeeds)
{
    set_policy(10);
    start_retry();
    for (unsigned i = 1; i <= 4; i++) {
        ck_assert_uint_eq(caller.tries, i);
        answer(-ECONNREFUSED);
        ck_assert(!has_ended());
        rig_advance(2 * RILL_SECOND);
    }
    answer(3);
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, 3);
    ck_assert_uint_eq(caller.retry.attempts, 5);
}
END_TEST

START_TEST(the_last_attempt_decides)
{
    set_policy(3);
    start_retry();
    for (int i = 0; i < 3; i++) {
        answer(-EAGAIN - i);
        rig_advance(2 * RILL_SECOND);
    }
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, -EAGAIN - 2);
    ck_assert_uint_eq(caller.tries, 3);
}
END_TEST

static bool only_refused(const struct rill_retry *retry, int64_t error)
{
    (void)retry;
    return error == -ECONNREFUSED;
}

START_TEST(what_is_not_worth_it_is_not_repeated)
{
    set_policy(10);
    start_retry();
    answer(-EINVAL);
    ck_assert(has_ended());
    policy.is_worth = only_refused;
    start_retry();
    answer(-ECONNREFUSED);
    rig_advance(2 * RILL_SECOND);
    answer(-EACCES);
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, -EACCES);
    ck_assert_uint_eq(caller.tries, 2);
}
END_TEST

START_TEST(cancelling_ends_the_attempt_or_the_pause)
{
    set_policy(10);
    start_retry();
    rill_task_cancel(&caller.runner.task);
    rig_settle();
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, -ECANCELED);
    ck_assert_uint_eq(caller.tries, 1);

    policy.first_ns = RILL_SECOND;
    start_retry();
    answer(-EAGAIN);
    ck_assert(!has_ended());
    rill_task_cancel(&caller.runner.task);
    rig_settle();
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, -ECANCELED);
}
END_TEST

START_TEST(an_attempt_that_wins_against_the_cancel_has_succeeded)
{
    set_policy(10);
    caller.latch.drain_polls = LATCH_BY_HAND;
    start_retry();
    rill_task_cancel(&caller.runner.task);
    rig_settle();
    answer(9);
    ck_assert(has_ended());
    ck_assert_int_eq(caller.retry.result, 9);
    caller.latch.drain_polls = 0;
}
END_TEST

START_TEST(a_policy_out_of_range_is_an_error)
{
    set_policy(0);
    start_retry();
    ck_assert_int_eq(caller.retry.result, -EINVAL);
    set_policy(1);
    policy.max_ns = 0;
    start_retry();
    ck_assert_int_eq(caller.retry.result, -EINVAL);
    ck_assert_uint_eq(caller.tries, 0);
}
END_TEST

/* ---- rate limit ---- */

enum { TAKERS = 4 };

static struct rill_rate_limit limit;
static struct rill_take takes[TAKERS];
static struct runner takers[TAKERS];

static void start_take(int i, int64_t tokens)
{
    runner_start(&takers[i], rill_rate_limit_take(&limit, &takes[i], tokens), NULL);
    rig_settle();
}

static bool has_taken(int i)
{
    return rill_task_is_over(&takers[i].task) && takes[i].result == 0;
}

START_TEST(a_full_bucket_gives_its_burst_at_once_and_then_its_rate)
{
    rill_rate_limit_init(&limit, 10, RILL_SECOND, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(rill_rate_limit_try_take(&limit, 1));
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    start_take(0, 1);
    rig_advance(99 * RILL_MILLISECOND);
    ck_assert(!has_taken(0));
    rig_advance(2 * RILL_MILLISECOND);
    ck_assert(has_taken(0));
    rig_advance(RILL_SECOND * 100);
    ck_assert(rill_rate_limit_try_take(&limit, 3)); /* never more than the burst */
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(who_wants_many_tokens_is_not_overtaken)
{
    rill_rate_limit_init(&limit, 10, RILL_SECOND, 3);
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start_take(0, 3);
    start_take(1, 1);
    rig_advance(150 * RILL_MILLISECOND);
    ck_assert(!has_taken(0) && !has_taken(1));
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    rig_advance(151 * RILL_MILLISECOND);
    ck_assert(has_taken(0) && !has_taken(1));
    rig_advance(101 * RILL_MILLISECOND);
    ck_assert(has_taken(1));
}
END_TEST

START_TEST(a_cancelled_taker_takes_nothing_and_lets_the_next_one_have_it)
{
    rill_rate_limit_init(&limit, 10, RILL_SECOND, 3);
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start_take(0, 3);
    start_take(1, 1);
    rig_advance(101 * RILL_MILLISECOND);
    rill_task_cancel(&takers[0].task);
    rig_settle();
    ck_assert_int_eq(takes[0].result, -ECANCELED);
    ck_assert(has_taken(1));
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(tokens_that_there_never_are_are_an_error)
{
    rill_rate_limit_init(&limit, 10, RILL_SECOND, 3);
    for (int64_t tokens = -1; tokens <= 4; tokens += tokens == 0 ? 4 : 1) {
        start_take(0, tokens);
        ck_assert_int_eq(takes[0].result, -EINVAL);
    }
    ck_assert(!rill_rate_limit_try_take(&limit, 4));
}
END_TEST

/* Three tokens in each 7 ns do not divide evenly; over a long time none may be lost
 * or won. */
START_TEST(an_odd_rate_does_not_drift)
{
    int64_t taken = 0, elapsed = 0;
    uint64_t random = 9;

    rill_rate_limit_init(&limit, 3, 7, 1000);
    ck_assert(rill_rate_limit_try_take(&limit, 1000));
    for (int i = 0; i < 100000; i++) {
        int64_t step = (int64_t)rig_random(&random, 50);

        elapsed += step;
        rig.driver.now_ns += step;
        rig_turn();
        while (rill_rate_limit_try_take(&limit, 1))
            taken++;
        ck_assert_int_eq(taken, elapsed * 3 / 7);
    }
}
END_TEST

static void limit_by_nothing(void)
{
    rill_rate_limit_init(&limit, 0, RILL_SECOND, 1);
}

static void limit_out_of_range(void)
{
    rill_rate_limit_init(&limit, 1, RILL_SECOND, INT64_MAX);
}

static void finish_limit_too_early(void)
{
    rill_rate_limit_init(&limit, 1, RILL_SECOND, 1);
    start_take(0, 1);
    start_take(1, 1);
    rill_rate_limit_finish(&limit);
}

START_TEST(wrong_use_of_a_rate_limit_panics)
{
    rig_expect_text(rig_abort_message(limit_by_nothing), "a rate limit of 0 in 1000000000 ns");
    rig_expect_text(rig_abort_message(limit_out_of_range), "with a burst of");
    rig_expect_text(rig_abort_message(finish_limit_too_early), "while a task waits");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_back_off_doubles_its_bound_up_to_the_maximum,
        the_same_seed_gives_the_same_delays_and_a_reset_begins_anew,
        bounds_that_are_not_in_order_panic,
        it_tries_until_it_succeeds,
        the_last_attempt_decides,
        what_is_not_worth_it_is_not_repeated,
        cancelling_ends_the_attempt_or_the_pause,
        an_attempt_that_wins_against_the_cancel_has_succeeded,
        a_policy_out_of_range_is_an_error,
        a_full_bucket_gives_its_burst_at_once_and_then_its_rate,
        who_wants_many_tokens_is_not_overtaken,
        a_cancelled_taker_takes_nothing_and_lets_the_next_one_have_it,
        tokens_that_there_never_are_are_an_error,
        an_odd_rate_does_not_drift,
        wrong_use_of_a_rate_limit_panics,
    };

    return rig_main("retry", tests, RIG_COUNT(tests));
}
