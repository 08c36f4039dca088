/* SPDX-License-Identifier: Apache-2.0 */
/* test_rate_limit.c - no more than the rate and a burst, no less either, and in order. */
#include "runtime/executor.h"
#include "runtime/rate_limit.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4, TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

static struct rill_rate_limit limit;
static struct rill_rate_limit_take takes[COUNT];
static struct runner runners[COUNT];

static void start(int i, int64_t tokens)
{
    runner_start(&runners[i], rill_rate_limit_take(&limit, &takes[i], tokens), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void expect_over(int i, int64_t result)
{
    ck_assert(is_over(i));
    ck_assert_int_eq(takes[i].result, result);
}

static void cancel(int i)
{
    rill_task_cancel(&runners[i].task);
    rig_settle();
}

/* Twice, because the test itself may have looked at the clock before. */
static void advance(int64_t by_ns)
{
    rig_advance(by_ns);
    rig_settle();
}

/* 10 tokens a second, up to 3 at once. */
static void make(void)
{
    rill_rate_limit_init(&limit, 10, RILL_SECOND, 3);
}

START_TEST(a_burst_is_taken_at_once_and_the_rest_at_the_rate)
{
    make();
    start(0, 3);
    expect_over(0, 3);
    ck_assert_uint_eq(runners[0].polls, 1);
    start(1, 1);
    start(2, 2);
    ck_assert(!is_over(1) && !is_over(2));
    advance(100 * RILL_MILLISECOND - 1);
    ck_assert(!is_over(1));
    advance(TICK_NS);
    expect_over(1, 1);
    ck_assert(!is_over(2));
    advance(200 * RILL_MILLISECOND - TICK_NS);
    ck_assert(!is_over(2));
    advance(2 * TICK_NS);
    expect_over(2, 2);
    ck_assert_uint_eq(runners[2].polls, 2);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_bucket_that_is_full_gets_no_more)
{
    make();
    advance(3600 * RILL_SECOND);
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    advance(3600 * RILL_SECOND);
    ck_assert(rill_rate_limit_try_take(&limit, 2));
    ck_assert(rill_rate_limit_try_take(&limit, 1));
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(who_wants_many_is_not_overtaken_by_who_wants_few)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 2));
    start(0, 3);
    start(1, 1);
    ck_assert(!is_over(0) && !is_over(1));
    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    advance(200 * RILL_MILLISECOND + TICK_NS);
    expect_over(0, 3);
    ck_assert(!is_over(1));
    advance(100 * RILL_MILLISECOND);
    expect_over(1, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(tokens_that_have_come_reach_all_that_they_are_enough_for_in_one_turn)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    for (int i = 0; i < COUNT; i++)
        start(i, 1);
    rig.driver.now_ns += RILL_SECOND; /* the thread was busy for long: three are there */
    rig_turn();                       /* the first serves the others */
    rig_turn();
    for (int i = 0; i < 3; i++)
        expect_over(i, 1);
    ck_assert(!is_over(3));
    advance(100 * RILL_MILLISECOND + TICK_NS);
    expect_over(3, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_cancelled_one_gives_up_its_place_and_the_next_is_served_at_its_time)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 2)); /* 1 is left */
    start(0, 3);
    start(1, 1);
    start(2, 1);
    cancel(0);
    expect_over(0, -ECANCELED);
    expect_over(1, 1);
    ck_assert(!is_over(2));
    advance(100 * RILL_MILLISECOND + TICK_NS);
    expect_over(2, 1);

    start(0, 1);
    start(1, 1);
    cancel(1); /* not the first: nothing changes for the others */
    expect_over(1, -ECANCELED);
    advance(100 * RILL_MILLISECOND + TICK_NS);
    expect_over(0, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(tokens_handed_to_a_cancelled_one_go_to_the_next)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start(0, 1);
    start(1, 1);
    start(2, 1);
    rig.driver.now_ns += 250 * RILL_MILLISECOND;
    rig_turn(); /* the first hands a token to the second */
    expect_over(0, 1);
    ck_assert(!is_over(1));
    cancel(1);
    expect_over(1, -ECANCELED);
    expect_over(2, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_takes_nothing)
{
    make();
    runner_start(&runners[0], rill_rate_limit_take(&limit, &takes[0], 3), NULL);
    cancel(0);
    expect_over(0, -ECANCELED);
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(polling_those_that_wait_for_no_reason_does_no_harm)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start(0, 1);
    start(1, 1);
    for (int i = 0; i < 9; i++) {
        rill_task_wake(&runners[i % 2].task);
        advance(10 * RILL_MILLISECOND);
        ck_assert(!is_over(0) && !is_over(1));
    }
    advance(10 * RILL_MILLISECOND + TICK_NS);
    expect_over(0, 1);
    ck_assert(!is_over(1));
    advance(100 * RILL_MILLISECOND + TICK_NS);
    expect_over(1, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(the_loser_of_a_select_and_one_that_is_timed_out_leave_their_tokens)
{
    struct rill_select select;
    struct rill_timeout timeout;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];

    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    futures[0] = latch_wait(&latch);
    futures[1] = rill_rate_limit_take(&limit, &takes[0], 1);
    runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
    runner_start(
        &runners[1],
        rill_timeout(&timeout, 50 * RILL_MILLISECOND, rill_rate_limit_take(&limit, &takes[1], 1)),
        NULL);
    rig_settle();
    advance(51 * RILL_MILLISECOND);
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
    latch_open(&latch, 0);
    rig_settle();
    ck_assert_int_eq(takes[0].result, -ECANCELED);
    advance(RILL_SECOND);
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(none_and_more_than_a_burst_is_refused)
{
    const int64_t wrong[] = {0, -1, 4, INT64_MAX};

    make();
    for (size_t i = 0; i < RIG_COUNT(wrong); i++) {
        start(0, wrong[i]);
        expect_over(0, -EINVAL);
        ck_assert(!rill_rate_limit_try_take(&limit, wrong[i]));
        ck_assert_int_eq(rill_rate_limit_time_until(&limit, wrong[i]), RILL_NEVER);
    }
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(the_time_until_tokens_are_there_is_exact)
{
    rill_rate_limit_init(&limit, 3, RILL_SECOND, 5);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 5), 0);
    ck_assert(rill_rate_limit_try_take(&limit, 4));
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), 0);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 2), 333333334);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 4), RILL_SECOND);
    start(0, 2);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 5), 2 * RILL_SECOND);
    advance(333333333);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 5), 1666666667);
    ck_assert(!is_over(0));
    advance(TICK_NS);
    expect_over(0, 2);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_part_of_a_token_is_time_that_need_not_be_waited_for)
{
    rill_rate_limit_init(&limit, 3, RILL_SECOND, 5);
    ck_assert(rill_rate_limit_try_take(&limit, 5));
    advance(100 * RILL_MILLISECOND);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), 233333334);
    ck_assert(!rill_rate_limit_try_take(&limit, 1)); /* it counts what has come since */
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), 233333334);
    advance(60 * RILL_SECOND);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 5), 0); /* full, and no more */
    rill_rate_limit_finish(&limit);
}
END_TEST

/* Takes one token after the other. */
static struct {
    struct rill_task task;
    struct rill_rate_limit_take take;
    int64_t taken, wanted;
} taker;

static enum rill_poll taker_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (taker.taken = 0; taker.taken < taker.wanted; taker.taken++) {
        RILL_AWAIT(rill_rate_limit_take(&limit, &taker.take, 1));
        if (taker.take.result < 0)
            RILL_RETURN(taker.take.result);
    }
    RILL_END();
}

START_TEST(the_rate_does_not_drift)
{
    const int64_t rates[] = {3, 7, 1000, 7919, 50000};

    for (size_t i = 0; i < RIG_COUNT(rates); i++) {
        int64_t begin_ns, elapsed_ns, expected_ns;

        rill_rate_limit_init(&limit, rates[i], RILL_SECOND, 1 + (int64_t)(i & 1));
        ck_assert(rill_rate_limit_try_take(&limit, 1 + (int64_t)(i & 1)));
        begin_ns = rig.driver.now_ns;
        taker.wanted = 20000;
        rill_task_spawn(&taker.task, taker_poll);
        rig_finish(&taker.task);
        elapsed_ns = rig.driver.now_ns - begin_ns;
        expected_ns = taker.wanted * RILL_SECOND / rates[i];
        ck_assert_int_ge(elapsed_ns, expected_ns);
        ck_assert_int_le(elapsed_ns, expected_ns + 2 * TICK_NS);
        rill_rate_limit_finish(&limit);
    }
}
END_TEST

START_TEST(who_waited_is_served_as_of_its_time_however_late_that_is_noticed)
{
    rill_rate_limit_init(&limit, 1, RILL_MILLISECOND, 1);
    ck_assert(rill_rate_limit_try_take(&limit, 1));
    start(0, 1);
    start(1, 1);
    advance(RILL_MILLISECOND + RILL_MILLISECOND / 2);
    expect_over(0, 1);
    advance(RILL_MILLISECOND / 2 + TICK_NS);
    expect_over(1, 1);

    for (int i = 0; i < COUNT; i++)
        start(i, 1);
    advance(100 * RILL_MILLISECOND); /* too late: of these there are two */
    expect_over(0, 1);
    expect_over(1, 1);
    ck_assert(!is_over(2) && !is_over(3));
    advance(2 * RILL_MILLISECOND);
    expect_over(3, 1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_loop_that_never_waits_lets_others_run)
{
    rill_rate_limit_init(&limit, 1, RILL_SECOND, 100000);
    taker.wanted = 10 * RILL_TASK_BUDGET;
    rill_task_spawn(&taker.task, taker_poll);
    rig_turn();
    ck_assert_int_eq(taker.taken, RILL_TASK_BUDGET);
    rig_finish(&taker.task);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(the_largest_and_the_smallest_numbers_do_not_overflow)
{
    const int64_t most = RILL_RATE_LIMIT_TOKENS_MAX, century_ns = INT64_C(3155760000) * RILL_SECOND;

    rill_rate_limit_init(&limit, most, 1, most);
    ck_assert(rill_rate_limit_try_take(&limit, most));
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, most), 1);
    start(0, most);
    advance(TICK_NS);
    expect_over(0, most);
    advance(century_ns);
    ck_assert(rill_rate_limit_try_take(&limit, most));
    rill_rate_limit_finish(&limit);

    rill_rate_limit_init(&limit, 1, RILL_SECOND, most);
    ck_assert(rill_rate_limit_try_take(&limit, most));
    for (int i = 0; i < COUNT; i++)
        start(i, most);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), (4 * most + 1) * RILL_SECOND);
    advance(most * RILL_SECOND + TICK_NS);
    expect_over(0, most);
    for (int i = 1; i < COUNT; i++)
        cancel(i);
    rill_rate_limit_finish(&limit);

    rill_rate_limit_init(&limit, 1, INT64_C(1) << 62, 1);
    ck_assert(rill_rate_limit_try_take(&limit, 1));
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), INT64_C(1) << 62);
    for (int i = 0; i < 2; i++)
        start(i, 1);
    ck_assert_int_eq(rill_rate_limit_time_until(&limit, 1), RILL_NEVER);
    for (int i = 0; i < 2; i++)
        cancel(i);
    rill_rate_limit_finish(&limit);
}
END_TEST

static void no_rate(void)
{
    rill_rate_limit_init(&limit, 0, RILL_SECOND, 1);
}

static void no_interval(void)
{
    rill_rate_limit_init(&limit, 1, 0, 1);
}

static void no_burst(void)
{
    rill_rate_limit_init(&limit, 1, RILL_SECOND, -1);
}

static void too_long(void)
{
    rill_rate_limit_init(&limit, 1, INT64_C(1) << 61, 3);
}

static void finish_while_waited_for(void)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start(0, 1);
    rill_rate_limit_finish(&limit);
}

/* The first to run hands the second its tokens, which it does not know of yet. */
static void finish_while_one_was_handed_its_tokens(void)
{
    make();
    ck_assert(rill_rate_limit_try_take(&limit, 3));
    start(0, 1);
    start(1, 1);
    rig.driver.now_ns += RILL_SECOND;
    while (!is_over(0))
        rig_turn();
    ck_assert(!is_over(1));
    rill_rate_limit_finish(&limit);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(no_rate), "a rate limit of 0 in 1000000000 ns");
    rig_expect_text(rig_abort_message(no_interval), "a rate limit of 1 in 0 ns");
    rig_expect_text(rig_abort_message(no_burst), "with a burst of -1");
    rig_expect_text(rig_abort_message(too_long), "with a burst of 3");
    rig_expect_text(rig_abort_message(finish_while_waited_for),
                    "a rate limit was finished while a task (above) waits for it");
    rig_expect_text(rig_abort_message(finish_while_one_was_handed_its_tokens),
                    "a rate limit was finished before 1 of those that it has served have run");
}
END_TEST

/* ---- at random ---- */

enum { WORKERS = 5, ROUNDS = 8, TAKEN_MAX = 2 * WORKERS * ROUNDS, TURN_NS = 100000 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_rate_limit_take take;
    struct rill_sleep nap;
    struct rill_select select;
    struct rill_future *choices[2];
    int64_t tokens;
    uint64_t ticket; /* of its await, while it waits, or 0 */
    int note;        /* its place in taken, or -1 */
    int round;
} workers[WORKERS];

/* What was handed out, and when. */
static struct {
    int64_t when_ns, tokens;
} taken[TAKEN_MAX];

static int taken_count;
static int64_t lateness_ns;
static int64_t rate, burst;
static uint64_t last_ticket, all_taken, all_cancelled;

static void take_note_of(int64_t tokens)
{
    ck_assert_int_lt(taken_count, TAKEN_MAX);
    taken[taken_count].when_ns = rig.driver.now_ns;
    taken[taken_count++].tokens = tokens;
}

static void take_note(struct worker *worker)
{
    if (worker->note >= 0)
        return;
    for (int i = 0; i < WORKERS; i++)
        ck_assert_msg(!workers[i].ticket || !rill_link_is_linked(&workers[i].take.place.link) ||
                          workers[i].ticket > worker->ticket,
                      "seed %llu: one was overtaken", rig.seed);
    worker->note = taken_count;
    take_note_of(worker->tokens);
    all_taken++;
}

/* Who was handed tokens may not have run yet. */
static void take_notes(void)
{
    for (int i = 0; i < WORKERS; i++)
        if (workers[i].ticket && !rill_link_is_linked(&workers[i].take.place.link))
            take_note(&workers[i]);
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (; worker->round < ROUNDS; worker->round++) {
        worker->tokens = 1 + (int64_t)dice((uint64_t)burst);
        worker->ticket = ++last_ticket;
        worker->note = -1;
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(RILL_MILLISECOND));
            worker->choices[1] = rill_rate_limit_take(&limit, &worker->take, worker->tokens);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(rill_rate_limit_take(&limit, &worker->take, worker->tokens));
        }
        if (worker->take.result > 0) {
            take_note(worker);
        } else {
            all_cancelled++;
            if (worker->note >= 0) /* it was handed some, which go back */
                take_note_of(-worker->tokens);
        }
        worker->ticket = 0;
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

/* In no span of time were more handed out, and not given back, than a burst and what
 * came, and what was late. */
static void expect_limit(void)
{
    for (int i = 0; i < taken_count; i++) {
        int64_t tokens = 0;

        /* Those of the same turn are not noted in the order in which they came. */
        for (int k = i - 1; k >= 0 && taken[k].when_ns == taken[i].when_ns; k--)
            tokens += taken[k].tokens < 0 ? taken[k].tokens : 0;
        for (int k = i; k < taken_count; k++) {
            int64_t span_ns = taken[k].when_ns - taken[i].when_ns + lateness_ns;

            tokens += taken[k].tokens;
            ck_assert_msg((tokens - burst) * RILL_MILLISECOND <= rate * span_ns,
                          "seed %llu: %lld tokens in %lld ns", rig.seed, (long long)tokens,
                          (long long)span_ns);
        }
    }
}

/* The first in line sleeps no longer than it has to. */
static void expect_progress(void)
{
    struct rill_place_in_line *first = rill_line_first(&limit.line);
    struct rill_rate_limit_take *take;

    if (rig.executor.ready_count > 0 || !first)
        return;
    take = rill_container_of(first, struct rill_rate_limit_take, place);
    ck_assert_msg(rill_link_is_linked(&take->timer.slot), "seed %llu: nobody is woken", rig.seed);
    ck_assert_msg((take->tokens * RILL_MILLISECOND - limit.level - 1) / rate + 1 ==
                      take->timer.deadline_ns - limit.filled_ns,
                  "seed %llu: woken at another time", rig.seed);
}

static void run(uint64_t seed)
{
    bool is_slow = seed % 2;

    rig.seed = seed;
    dice_state = seed;
    taken_count = 0;
    lateness_ns = is_slow ? RILL_RATE_LIMIT_LATE_MAX_NS : TURN_NS + TICK_NS;
    rate = 1 + (int64_t)dice(20);
    burst = 1 + (int64_t)dice(6);
    rill_rate_limit_init(&limit, rate, RILL_MILLISECOND, burst);
    rig_wait(RILL_NO_WAIT); /* it has looked at the clock, which is going to move */
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.round = 0};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(TURN_NS);
        if (is_slow && dice(10) == 0)
            rig.driver.now_ns += (int64_t)dice(5 * RILL_MILLISECOND);
        rig_disturb(&dice_state);
        rig_turn();
        take_notes();
        expect_progress();
        if (dice(20) == 0)
            rill_task_cancel(&workers[dice(WORKERS)].task);
        for (int i = 0; i < WORKERS; i++)
            if (rill_task_is_over(&workers[i].task) && ++workers[i].round < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    expect_limit();
    ck_assert_int_eq(limit.in_line, 0);
    rill_rate_limit_finish(&limit);
}

START_TEST(the_rate_is_kept_and_nobody_overtakes_or_sleeps_too_long_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(2000); seed++)
        run(seed);
    ck_assert_uint_gt(all_taken, rig_scaled(400));
    ck_assert_uint_gt(all_cancelled, rig_scaled(400));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_burst_is_taken_at_once_and_the_rest_at_the_rate,
        a_bucket_that_is_full_gets_no_more,
        who_wants_many_is_not_overtaken_by_who_wants_few,
        tokens_that_have_come_reach_all_that_they_are_enough_for_in_one_turn,
        a_cancelled_one_gives_up_its_place_and_the_next_is_served_at_its_time,
        tokens_handed_to_a_cancelled_one_go_to_the_next,
        a_task_cancelled_before_its_first_poll_takes_nothing,
        polling_those_that_wait_for_no_reason_does_no_harm,
        the_loser_of_a_select_and_one_that_is_timed_out_leave_their_tokens,
        none_and_more_than_a_burst_is_refused,
        the_time_until_tokens_are_there_is_exact,
        a_part_of_a_token_is_time_that_need_not_be_waited_for,
        the_rate_does_not_drift,
        who_waited_is_served_as_of_its_time_however_late_that_is_noticed,
        a_loop_that_never_waits_lets_others_run,
        the_largest_and_the_smallest_numbers_do_not_overflow,
        wrong_use_panics,
        the_rate_is_kept_and_nobody_overtakes_or_sleeps_too_long_whatever_is_cancelled,
    };

    return rig_main("rate_limit", tests, RIG_COUNT(tests));
}
