/* SPDX-License-Identifier: Apache-2.0 */
/* test_future.c - awaits go on where they stopped, once for each wake. */
#include "runtime/future.h"
#include "runtime/panic.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

/* What the futures of a case did, in order. */
static char trace[64];
static struct latch latches[3];
static struct runner runner;

static void note(char what)
{
    size_t length = strlen(trace);

    ck_assert_uint_lt(length + 1, sizeof trace);
    trace[length] = what;
    trace[length + 1] = '\0';
}

static enum rill_poll straight_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    note('a');
    RILL_AWAIT(latch_wait(&latches[0]));
    note('b');
    RILL_AWAIT(latch_wait(&latches[1]));
    note('c');
    RILL_AWAIT(latch_wait(&latches[2]));
    note('d');
    RILL_RETURN(latches[0].result * 100 + latches[1].result * 10 + latches[2].result);
    RILL_END();
}

START_TEST(a_future_goes_on_behind_the_await_that_it_stopped_at)
{
    struct rill_future straight;

    runner_start(&runner, rill_future_init(&straight, straight_poll), NULL);
    ck_assert_str_eq(trace, "");
    rig_settle();
    ck_assert_str_eq(trace, "a");
    latch_open(&latches[0], 1);
    rig_settle();
    ck_assert_str_eq(trace, "ab");
    latch_open(&latches[1], 2);
    rig_settle();
    ck_assert_str_eq(trace, "abc");
    latch_open(&latches[2], 3);
    rig_settle();
    ck_assert_str_eq(trace, "abcd");
    ck_assert_int_eq(runner.task.future.result, 123);
    ck_assert_uint_eq(runner.polls, 4);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_eq(latches[i].polls, 2);
}
END_TEST

START_TEST(a_poll_for_no_reason_does_no_harm)
{
    struct rill_future straight;

    runner_start(&runner, rill_future_init(&straight, straight_poll), NULL);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 10; k++) {
            rill_task_wake(&runner.task);
            rig_settle();
            ck_assert_uint_eq(strlen(trace), i + 1);
        }
        latch_open(&latches[i], i);
        rig_settle();
    }
    ck_assert_str_eq(trace, "abcd");
    ck_assert_int_eq(runner.task.future.result, 12);
}
END_TEST

START_TEST(awaits_points_to_what_is_awaited_and_to_nothing_at_the_end)
{
    struct rill_future straight;

    runner_start(&runner, rill_future_init(&straight, straight_poll), NULL);
    ck_assert_ptr_null(straight.awaits);
    ck_assert_ptr_null(straight.place);
    for (int i = 0; i < 3; i++) {
        rig_settle();
        ck_assert_ptr_eq(runner.task.future.awaits, &straight);
        ck_assert_ptr_eq(straight.awaits, &latches[i].future);
        ck_assert_str_eq(straight.place->function, "straight_poll");
        ck_assert_int_gt(straight.place->line, 0);
        latch_open(&latches[i], 0);
    }
    rig_settle();
    ck_assert_ptr_null(straight.awaits);
    ck_assert_str_eq(straight.place->function, "straight_poll");
    ck_assert_int_lt(straight.place->line, 0);
}
END_TEST

START_TEST(a_finished_future_can_be_made_again)
{
    struct rill_future straight;

    for (int round = 1; round <= 3; round++) {
        runner_start(&runner, rill_future_init(&straight, straight_poll), NULL);
        for (int i = 0; i < 3; i++) {
            rig_settle();
            latch_open(&latches[i], round);
        }
        rig_settle();
        ck_assert_int_eq(runner.task.future.result, 111 * (int64_t)round);
    }
    ck_assert_str_eq(trace, "abcdabcdabcd");
}
END_TEST

/* Latches that are open before they are polled, by an expression that counts. */
static unsigned expressions;

static struct rill_future *open_latch(int64_t result)
{
    struct rill_future *future = latch_wait(&latches[0]);

    expressions++;
    latch_open(&latches[0], result);
    return future;
}

static enum rill_poll ready_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(open_latch(1));
    RILL_AWAIT(open_latch(2));
    RILL_AWAIT(latch_wait(&latches[1]));
    RILL_AWAIT(open_latch(3));
    RILL_END();
}

START_TEST(an_await_of_a_ready_future_does_not_leave_the_function)
{
    struct rill_future ready;

    runner_start(&runner, rill_future_init(&ready, ready_poll), NULL);
    rig_turn();
    ck_assert_uint_eq(expressions, 2);
    ck_assert_uint_eq(latches[1].polls, 1);
    latch_open(&latches[1], 9);
    rig_turn();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_uint_eq(runner.polls, 2);
}
END_TEST

START_TEST(the_expression_of_an_await_is_evaluated_once_however_often_it_is_polled)
{
    struct rill_future ready;

    runner_start(&runner, rill_future_init(&ready, ready_poll), NULL);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runner.task);
        rig_settle();
    }
    ck_assert_uint_eq(expressions, 2);
    latch_open(&latches[1], 0);
    rig_settle();
    ck_assert_uint_eq(expressions, 3);
    ck_assert_uint_eq(latches[1].polls, 6);
}
END_TEST

/* A loop with all that one does in loops; what survives an await is in here. */
struct loop {
    struct rill_future future;
    struct latch latch;
    int64_t sum;
    int outer, inner, skipped;
};

static enum rill_poll loop_poll(struct rill_future *self, struct rill_task *task)
{
    struct loop *loop = rill_container_of(self, struct loop, future);

    RILL_BEGIN();
    for (loop->outer = 0; loop->outer < 3; loop->outer++) {
        for (loop->inner = 0;; loop->inner++) {
            if (loop->inner == 5)
                break;
            RILL_AWAIT(latch_wait(&loop->latch));
            if (loop->latch.result < 0) {
                loop->skipped++;
                continue;
            } else if (loop->latch.result == 1000) {
                RILL_RETURN(loop->sum);
            }
            {
                int64_t square = loop->latch.result * loop->latch.result;

                loop->sum += square;
            }
        }
    }
    RILL_RETURN(loop->sum);
    RILL_END();
}

START_TEST(awaits_stand_in_nested_loops_between_break_and_continue)
{
    struct loop loop = {.sum = 0};
    int64_t expected = 0;

    runner_start(&runner, rill_future_init(&loop.future, loop_poll), NULL);
    for (int64_t i = 0; i < 15; i++) {
        rig_settle();
        ck_assert_int_eq(loop.outer, i / 5);
        ck_assert_int_eq(loop.inner, i % 5);
        latch_open(&loop.latch, i % 4 == 3 ? -1 : i);
        expected += i % 4 == 3 ? 0 : i * i;
    }
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, expected);
    ck_assert_int_eq(loop.skipped, 3);
    ck_assert_uint_eq(runner.polls, 16);
}
END_TEST

START_TEST(a_return_from_within_a_loop_ends_the_future)
{
    struct loop loop = {.sum = 0};

    runner_start(&runner, rill_future_init(&loop.future, loop_poll), NULL);
    rig_settle();
    latch_open(&loop.latch, 7);
    rig_settle();
    latch_open(&loop.latch, 1000);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_int_eq(runner.task.future.result, 49);
}
END_TEST

/* Futures below each other: each adds a digit to what the one below returned. */
enum { DEPTH = 5 };

struct level {
    struct rill_future future;
    struct level *below; /* NULL: awaits the latch */
    int digit;
    unsigned polls;
};

static struct level levels[DEPTH];

static enum rill_poll level_poll(struct rill_future *self, struct rill_task *task);

static struct rill_future *level_begin(struct level *level, int digit)
{
    level->digit = digit;
    level->below = digit < DEPTH ? level + 1 : NULL;
    level->polls = 0;
    return rill_future_init(&level->future, level_poll);
}

static enum rill_poll level_poll(struct rill_future *self, struct rill_task *task)
{
    struct level *level = rill_container_of(self, struct level, future);

    level->polls++;
    RILL_BEGIN();
    if (level->below) {
        RILL_AWAIT(level_begin(level->below, level->digit + 1));
        RILL_RETURN(level->below->future.result * 10 + level->digit);
    } else {
        RILL_AWAIT(latch_wait(&latches[0]));
        RILL_RETURN(latches[0].result * 10 + level->digit);
    }
    RILL_END();
}

START_TEST(futures_five_deep_pass_their_results_up_with_one_poll_each)
{
    const struct rill_future *leaf = &runner.task.future;
    int depth = 0;

    runner_start(&runner, level_begin(&levels[0], 1), NULL);
    rig_settle();
    for (; leaf->awaits; leaf = leaf->awaits)
        depth++;
    ck_assert_int_eq(depth, DEPTH + 1);
    ck_assert_ptr_eq(leaf, &latches[0].future);
    latch_open(&latches[0], 9);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 954321);
    for (int i = 0; i < DEPTH; i++)
        ck_assert_uint_eq(levels[i].polls, 2);
    ck_assert_uint_eq(latches[0].polls, 2);
}
END_TEST

static enum rill_poll at_once_poll(struct rill_future *self, struct rill_task *task)
{
    struct loop *loop = rill_container_of(self, struct loop, future);

    RILL_BEGIN();
    RILL_RETURN(loop->sum);
    RILL_END();
}

START_TEST(results_of_64_bits_and_negative_ones_arrive_whole)
{
    static const int64_t results[] = {0, 1, INT64_MAX, -1, -ECANCELED, INT64_MIN, 1LL << 40};

    for (size_t i = 0; i < RIG_COUNT(results); i++) {
        struct loop loop = {.sum = results[i]};

        rill_future_init(&loop.future, at_once_poll);
        ck_assert_int_eq(rill_executor_block_on(&rig.executor, &loop.future), results[i]);
    }
}
END_TEST

/* Goes past a macro that lets others run when the share of the task is used up. */
static enum rill_poll paying_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(open_latch(1));
    note('a');
    RILL_SPEND_BUDGET();
    note('b');
    rig.executor.budget_left = 0;
    RILL_SPEND_BUDGET();
    note('c');
    RILL_END();
}

START_TEST(whoever_has_used_its_share_up_goes_on_where_it_paid)
{
    struct rill_future paying;

    runner_start(&runner, rill_future_init(&paying, paying_poll), NULL);
    rig_turn();
    ck_assert_str_eq(trace, "ab");
    ck_assert_str_eq(paying.place->function, "paying_poll");
    ck_assert_ptr_null(paying.awaits);
    ck_assert_int_eq(runner.task.state, RILL_TASK_QUEUED);
    rig_turn();
    ck_assert_str_eq(trace, "abc");
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_uint_eq(expressions, 1);
    ck_assert_uint_eq(runner.polls, 2);
}
END_TEST

START_TEST(who_pays_and_is_polled_for_no_reason_waits_for_the_share_of_its_next_turn)
{
    struct rill_future paying;

    runner_start(&runner, rill_future_init(&paying, paying_poll), NULL);
    rig_turn();
    rig.executor.budget_left = 0; /* of nobody: as if all was spent before this poll */
    ck_assert_int_eq(paying.poll(&paying, &runner.task), RILL_PENDING);
    ck_assert_str_eq(trace, "ab");
    rig_settle();
    ck_assert_str_eq(trace, "abc");
}
END_TEST

static enum rill_poll nothing_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_END();
}

START_TEST(a_future_that_comes_to_its_end_has_the_result_0)
{
    struct rill_future nothing;

    runner_start(&runner, rill_future_init(&nothing, nothing_poll), NULL);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_int_eq(nothing.result, 0);
    ck_assert_uint_eq(runner.polls, 1);
}
END_TEST

struct walker {
    struct rill_task task;
    char name;
    int steps, left;
};

static enum rill_poll walker_poll(struct rill_future *self, struct rill_task *task)
{
    struct walker *walker = rill_container_of(self, struct walker, task.future);

    RILL_BEGIN();
    for (walker->left = walker->steps; walker->left > 0; walker->left--) {
        note(walker->name);
        RILL_YIELD();
    }
    note((char)(walker->name - 'a' + 'A'));
    RILL_END();
}

START_TEST(tasks_that_yield_take_turns)
{
    struct walker walkers[] = {
        {.name = 'a', .steps = 3}, {.name = 'b', .steps = 1}, {.name = 'c', .steps = 3}};

    for (size_t i = 0; i < RIG_COUNT(walkers); i++)
        rill_task_spawn(&walkers[i].task, walker_poll);
    rig_settle();
    ck_assert_str_eq(trace, "abcaBcacAC");
}
END_TEST

/* What one must not do: an await inside a switch of one's own. */
enum { WRONG_LINE = __LINE__ + 9 };

static enum rill_poll wrong_poll(struct rill_future *self, struct rill_task *task)
{
    struct walker *walker = rill_container_of(self, struct walker, task.future);

    RILL_BEGIN();
    switch (walker->steps) {
    case 1:
        RILL_AWAIT(latch_wait(&latches[0]));
        break;
    default:
        break;
    }
    RILL_END();
}

static void await_in_a_switch(void)
{
    struct walker walker = {.steps = 1};

    rill_task_spawn(&walker.task, wrong_poll);
    rig_turn();
    latch_open(&latches[0], 0);
    rig_turn();
}

START_TEST(an_await_inside_a_switch_panics_and_names_its_line)
{
    const char *message = rig_abort_message(await_in_a_switch);
    char place[100];

    snprintf(place, sizeof place, "wrong_poll cannot go on at %s:%d", __FILE__, WRONG_LINE);
    rig_expect_text(message, place);
    rig_expect_text(message, "inside a switch statement");
}
END_TEST

/* A mistake that a constructor finds, behind an await that is over. */
static struct rill_future *never_prepared(void)
{
    rill_panic("not like this");
}

enum { PREPARING_LINE = __LINE__ + 6 };

static enum rill_poll preparing_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(open_latch(1));
    RILL_AWAIT(never_prepared());
    RILL_END();
}

static void prepare_wrongly(void)
{
    static struct rill_future preparing;

    runner_start(&runner, rill_future_init(&preparing, preparing_poll), NULL);
    rig_turn();
}

static enum rill_poll beginning_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    never_prepared();
    RILL_END();
}

static void begin_wrongly(void)
{
    static struct rill_future beginning;

    runner_start(&runner, rill_future_init(&beginning, beginning_poll), NULL);
    rig_turn();
}

START_TEST(a_panic_before_the_first_await_names_the_function)
{
    rig_expect_text(rig_abort_message(begin_wrongly), "  beginning_poll\n");
}
END_TEST

/* It looks at something, and waits by its own means before its first await. */
static enum rill_poll reluctant_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    note('r');
    if (strlen(trace) < 3) {
        rill_task_wake(task);
        return RILL_PENDING;
    }
    RILL_AWAIT(open_latch(1));
    RILL_RETURN(latches[0].result);
    RILL_END();
}

START_TEST(a_body_that_waits_by_its_own_means_begins_anew_until_its_first_await)
{
    struct rill_future reluctant;

    runner_start(&runner, rill_future_init(&reluctant, reluctant_poll), NULL);
    rig_settle();
    ck_assert_str_eq(trace, "rrr");
    ck_assert_int_eq(reluctant.result, 1);
}
END_TEST

START_TEST(a_panic_of_a_constructor_names_the_await_that_it_stands_in)
{
    char place[100];

    snprintf(place, sizeof place, "preparing_poll at %s:%d", __FILE__, PREPARING_LINE);
    rig_expect_text(rig_abort_message(prepare_wrongly), place);
}
END_TEST

static void poll_twice(void)
{
    struct rill_future nothing;

    runner_start(&runner, rill_future_init(&nothing, nothing_poll), &nothing);
    rig_turn();
}

START_TEST(polling_a_finished_future_panics)
{
    rig_expect_text(
        rig_abort_message(poll_twice),
        "a future was polled after it had ended: nothing_poll, at tests/test_future.c:");
}
END_TEST

/* A leaf that was awaited to its end, and then once more as it is. */
static void await_a_sleep_twice(void)
{
    static struct rill_sleep nap;

    runner_start(&runner, rill_sleep(&nap, 0), &nap.future);
    rig_turn();
}

static void await_a_tick_twice(void)
{
    static struct rill_interval interval;

    rill_interval_init(&interval, 1);
    rig.driver.now_ns += RILL_SECOND;
    rig_turn();
    runner_start(&runner, rill_interval_tick(&interval), &interval.sleep.future);
    rig_turn();
    rig_turn();
}

START_TEST(awaiting_a_finished_leaf_again_panics_and_names_it)
{
    rig_expect_text(rig_abort_message(await_a_sleep_twice),
                    "a future (sleep) was awaited again after it had ended");
    rig_expect_text(rig_abort_message(await_a_tick_twice),
                    "a future (sleep) was awaited again after it had ended");
}
END_TEST

/* What one must not await. */
static struct rill_future *no_future;
enum { FORGETFUL_LINE = __LINE__ + 6 };

static enum rill_poll forgetful_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(open_latch(1));
    RILL_AWAIT(no_future);
    RILL_END();
}

static void await_no_future(void)
{
    struct rill_future forgetful;

    runner_start(&runner, rill_future_init(&forgetful, forgetful_poll), NULL);
    rig_settle();
}

START_TEST(awaiting_what_is_no_future_panics_and_names_the_await)
{
    static struct rill_future zeroed;
    char place[100];

    snprintf(place, sizeof place, "forgetful_poll awaits at %s:%d NULL", __FILE__, FORGETFUL_LINE);
    rig_expect_text(rig_abort_message(await_no_future), place);
    no_future = &zeroed;
    rig_expect_text(rig_abort_message(await_no_future), "a future that was never prepared");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_future_goes_on_behind_the_await_that_it_stopped_at,
        a_poll_for_no_reason_does_no_harm,
        awaits_points_to_what_is_awaited_and_to_nothing_at_the_end,
        a_finished_future_can_be_made_again,
        an_await_of_a_ready_future_does_not_leave_the_function,
        the_expression_of_an_await_is_evaluated_once_however_often_it_is_polled,
        awaits_stand_in_nested_loops_between_break_and_continue,
        a_return_from_within_a_loop_ends_the_future,
        futures_five_deep_pass_their_results_up_with_one_poll_each,
        results_of_64_bits_and_negative_ones_arrive_whole,
        whoever_has_used_its_share_up_goes_on_where_it_paid,
        who_pays_and_is_polled_for_no_reason_waits_for_the_share_of_its_next_turn,
        a_future_that_comes_to_its_end_has_the_result_0,
        tasks_that_yield_take_turns,
        an_await_inside_a_switch_panics_and_names_its_line,
        a_panic_before_the_first_await_names_the_function,
        a_body_that_waits_by_its_own_means_begins_anew_until_its_first_await,
        a_panic_of_a_constructor_names_the_await_that_it_stands_in,
        polling_a_finished_future_panics,
        awaiting_a_finished_leaf_again_panics_and_names_it,
        awaiting_what_is_no_future_panics_and_names_the_await,
    };

    return rig_main("future", tests, RIG_COUNT(tests));
}
