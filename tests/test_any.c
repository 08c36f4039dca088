/* SPDX-License-Identifier: Apache-2.0 */
/* test_any.c - any of several futures ends a turn, and the others stay pending. */
#include "runtime/any.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 3, TURNS_MAX = 64 };

/* A task that loops over any, and notes what came. A latch that has ended is waited
 * for again if it is to be. At the end of a loop it drains. */
static struct {
    struct rill_task task;
    struct rill_any any;
    struct rill_future *futures[COUNT];
    bool again[COUNT];
    bool drains; /* leaves the loop after its first turn */
    int64_t seen[TURNS_MAX], results[TURNS_MAX];
    int turns;
} loop;

static struct latch latches[COUNT], then;

static enum rill_poll loop_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_any_next(&loop.any));
        ck_assert_int_lt(loop.turns, TURNS_MAX);
        loop.seen[loop.turns++] = loop.any.result;
        if (loop.any.result < 0)
            break;
        ck_assert_ptr_null(loop.futures[loop.any.result]);
        loop.results[loop.turns - 1] = latches[loop.any.result].result;
        if (loop.again[loop.any.result])
            loop.futures[loop.any.result] = latch_wait(&latches[loop.any.result]);
        if (loop.drains)
            break;
    }
    RILL_AWAIT(rill_any_drain(&loop.any, RILL_TIMED_OUT));
    RILL_RETURN(loop.any.result);
    RILL_END();
}

static void spawn(int drain_polls)
{
    loop.turns = 0;
    rill_any_init(&loop.any, loop.futures, COUNT);
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = drain_polls;
        loop.futures[i] = latch_wait(&latches[i]);
    }
    rill_task_spawn(&loop.task, loop_poll);
}

static void start(int drain_polls)
{
    spawn(drain_polls);
    rig_settle();
}

START_TEST(the_others_stay_pending_from_turn_to_turn)
{
    start(0);
    latch_open(&latches[1], 11);
    rig_settle();
    ck_assert_int_eq(loop.turns, 1);
    ck_assert_int_eq(loop.seen[0], 1);
    ck_assert_int_eq(loop.results[0], 11);
    ck_assert_uint_eq(latches[0].cancelled_polls + latches[2].cancelled_polls, 0);
    latch_open(&latches[0], 10);
    rig_settle();
    latch_open(&latches[2], -EIO);
    rig_settle();
    ck_assert_int_eq(loop.seen[1], 0);
    ck_assert_int_eq(loop.seen[2], 2);
    ck_assert_int_eq(loop.results[2], -EIO);
    /* All entries are NULL then. */
    ck_assert_int_eq(loop.seen[3], -ENOENT);
    ck_assert(rill_task_is_over(&loop.task));
    ck_assert_int_eq(loop.task.future.result, 0);
}
END_TEST

START_TEST(a_new_future_in_the_entry_goes_on)
{
    loop.again[1] = true;
    start(0);
    for (int i = 0; i < 5; i++) {
        latch_open(&latches[1], i);
        rig_settle();
        ck_assert_int_eq(loop.seen[i], 1);
        ck_assert_int_eq(loop.results[i], i);
        ck_assert(latches[1].begun);
    }
    rill_task_cancel(&loop.task);
    rig_settle();
    ck_assert_int_eq(loop.seen[5], -ECANCELED);
    ck_assert(rill_task_is_over(&loop.task));
}
END_TEST

START_TEST(all_that_are_ready_together_are_given_out_one_a_turn)
{
    start(0);
    for (int i = COUNT; i-- > 0;)
        latch_open(&latches[i], i);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(loop.seen[i], i);
        ck_assert_int_eq(loop.results[i], i);
    }
    ck_assert_int_eq(loop.seen[COUNT], -ENOENT);
}
END_TEST

/* Entries 0 and 1 are always ready, and 2 is opened by the world. */
static struct {
    struct rill_task task;
    struct rill_any any;
    struct rill_future *futures[3];
    struct rill_sleep sleeps[2];
    unsigned counts[2];
    bool stopped;
} busy;

static enum rill_poll busy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_any_init(&busy.any, busy.futures, 3);
    busy.futures[0] = rill_sleep(&busy.sleeps[0], 0);
    busy.futures[1] = rill_sleep(&busy.sleeps[1], 0);
    busy.futures[2] = latch_wait(&then);
    for (;;) {
        RILL_AWAIT(rill_any_next(&busy.any));
        if (busy.any.result == 2)
            break;
        busy.counts[busy.any.result]++;
        busy.futures[busy.any.result] = rill_sleep(&busy.sleeps[busy.any.result], 0);
    }
    busy.stopped = true;
    RILL_AWAIT(rill_any_drain(&busy.any, RILL_CANCELLED));
    RILL_END();
}

START_TEST(an_entry_that_is_always_ready_starves_neither_entries_nor_tasks)
{
    rill_task_spawn(&busy.task, busy_poll);
    for (int i = 0; i < 10; i++)
        rig_turn();
    ck_assert(!busy.stopped);
    ck_assert_uint_ge(busy.counts[0] + busy.counts[1], 9 * RILL_TASK_BUDGET);
    ck_assert_uint_le(busy.counts[0] + busy.counts[1], 10 * RILL_TASK_BUDGET);
    ck_assert_uint_le(busy.counts[0], busy.counts[1] + 1);
    ck_assert_uint_le(busy.counts[1], busy.counts[0] + 1);
    ck_assert(then.begun);
    latch_open(&then, 0);
    rig_turn();
    ck_assert(busy.stopped);
    rig_settle();
    ck_assert(rill_task_is_over(&busy.task));
}
END_TEST

START_TEST(without_an_entry_it_is_ENOENT)
{
    static struct rill_any any;
    static struct runner runner;

    rill_any_init(&any, loop.futures, COUNT);
    runner_start(&runner, rill_any_next(&any), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -ENOENT);
    rill_any_init(&any, NULL, 0);
    runner_start(&runner, rill_any_next(&any), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -ENOENT);
}
END_TEST

enum { SPINS = 10 * RILL_TASK_BUDGET };

static enum rill_poll spin_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_any any;
    static int i;

    RILL_BEGIN();
    rill_any_init(&any, NULL, 0);
    for (i = 0; i < SPINS; i++)
        RILL_AWAIT(rill_any_next(&any));
    RILL_END();
}

START_TEST(a_loop_over_nothing_yields_to_other_tasks)
{
    struct rill_task task = {.state = RILL_TASK_NEW};
    uint64_t polls = rig.executor.polls;

    rill_task_spawn(&task, spin_poll);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
    ck_assert_uint_ge(rig.executor.polls - polls, 10);
}
END_TEST

START_TEST(cancelling_drains_all_and_then_says_so)
{
    start(LATCH_BY_HAND);
    rill_task_cancel_because(&loop.task, RILL_SHUTTING_DOWN);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(loop.turns, 0);
        ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
        latch_let_go(&latches[i]);
        rig_settle();
    }
    ck_assert_int_eq(loop.turns, 1);
    ck_assert_int_eq(loop.seen[0], -ECANCELED);
    ck_assert_int_eq(loop.task.future.result, 0);
}
END_TEST

START_TEST(what_wins_against_the_cancel_is_given_out_first)
{
    loop.again[1] = true; /* waited for again, which ends at once */
    start(LATCH_BY_HAND);
    rill_task_cancel(&loop.task);
    rig_settle();
    latch_let_go(&latches[0]);
    latch_open(&latches[1], 111);
    rig_settle();
    ck_assert_int_eq(loop.turns, 1);
    ck_assert_int_eq(loop.seen[0], 1);
    ck_assert_int_eq(loop.results[0], 111);
    ck_assert(!latches[1].begun);
    latch_open(&latches[2], 222);
    rig_settle();
    ck_assert_int_eq(loop.seen[1], 2);
    ck_assert_int_eq(loop.results[1], 222);
    ck_assert_int_eq(loop.seen[2], -ECANCELED);
    ck_assert(rill_task_is_over(&loop.task));
}
END_TEST

START_TEST(in_a_cancelled_task_nothing_is_started)
{
    spawn(0);
    rill_task_cancel(&loop.task);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        ck_assert(!latches[i].begun);
    ck_assert_int_eq(loop.turns, 1);
    ck_assert_int_eq(loop.seen[0], -ECANCELED);
}
END_TEST

START_TEST(a_drain_cancels_what_is_pending_and_counts_the_real_results)
{
    loop.drains = true;
    start(LATCH_BY_HAND);
    latch_open(&latches[1], 0);
    rig_settle();
    ck_assert_int_eq(latches[0].reason, RILL_TIMED_OUT);
    rill_task_cancel_because(&loop.task, RILL_SHUTTING_DOWN); /* the first reason stays */
    rig_settle();
    latch_open(&latches[2], 5);
    rig_settle();
    ck_assert(!rill_task_is_over(&loop.task));
    rill_task_wake(&loop.task); /* for no reason */
    rig_settle();
    latch_let_go(&latches[0]);
    rig_settle();
    ck_assert_int_eq(loop.task.future.result, 1);
    ck_assert_int_eq(latches[2].result, 5);
    ck_assert_int_eq(latches[0].result, -ECANCELED);
}
END_TEST

START_TEST(a_drain_in_a_cancelled_task_gives_the_reason_of_the_task)
{
    static struct runner runner;
    static struct rill_any any;

    rill_any_init(&any, loop.futures, COUNT);
    loop.futures[2] = latch_wait(&latches[2]);
    runner_start(&runner, rill_any_drain(&any, RILL_CANCELLED), NULL);
    rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    ck_assert_int_eq(latches[2].reason, RILL_SHUTTING_DOWN);
    ck_assert(!latches[2].begun);
    ck_assert_int_eq(runner.task.future.result, 0);
}
END_TEST

/* ---- withdrawing ---- */

/* Withdraws the first entry, takes what the others bring, and begins the first one again. */
static struct {
    struct rill_task task;
    struct rill_any any;
    struct rill_future *futures[COUNT];
    int64_t withdrawn, seen[TURNS_MAX];
    int turns;
} gate;

static enum rill_poll gate_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_any_next(&gate.any));
    gate.seen[gate.turns++] = gate.any.result;
    RILL_AWAIT(rill_any_withdraw(&gate.any, 0));
    gate.withdrawn = gate.any.result;
    ck_assert_ptr_null(gate.futures[0]);
    RILL_AWAIT(rill_any_next(&gate.any));
    gate.seen[gate.turns++] = gate.any.result;
    gate.futures[0] = latch_wait(&latches[0]);
    RILL_AWAIT(rill_any_next(&gate.any));
    gate.seen[gate.turns++] = gate.any.result;
    RILL_AWAIT(rill_any_drain(&gate.any, RILL_CANCELLED));
    RILL_END();
}

static void start_gate(int drain_polls)
{
    gate.turns = 0;
    gate.withdrawn = -1;
    rill_any_init(&gate.any, gate.futures, COUNT);
    for (int i = 0; i < COUNT; i++)
        gate.futures[i] = latch_wait(&latches[i]);
    latches[0].drain_polls = drain_polls;
    rill_task_spawn(&gate.task, gate_poll);
    rig_settle();
    latch_open(&latches[1], 11);
    rig_settle();
}

START_TEST(what_is_withdrawn_ends_and_the_others_stay_pending)
{
    start_gate(LATCH_BY_HAND);
    ck_assert_int_eq(latches[0].reason, RILL_CANCELLED);
    ck_assert_int_eq(latches[2].reason, RILL_NOT_CANCELLED);
    ck_assert_int_eq(gate.withdrawn, -1);
    latch_open(&latches[2], 22); /* meanwhile, which is not lost */
    rig_settle();
    ck_assert_int_eq(gate.turns, 1);
    latch_let_go(&latches[0]);
    rig_settle();
    ck_assert_int_eq(gate.withdrawn, 0);
    ck_assert_int_eq(gate.seen[1], 2);
    latch_open(&latches[0], 5);
    rig_settle();
    ck_assert_int_eq(gate.seen[2], 0);
    ck_assert_int_eq(latches[0].result, 5);
    ck_assert(rill_task_is_over(&gate.task));
}
END_TEST

START_TEST(what_comes_while_it_is_withdrawn_is_not_lost)
{
    start_gate(LATCH_BY_HAND);
    latch_open(&latches[0], 7);
    rig_settle();
    ck_assert_int_eq(gate.withdrawn, 1);
    ck_assert_int_eq(latches[0].result, 7);
    rill_task_cancel(&gate.task);
    rig_settle();
    ck_assert_int_eq(gate.seen[1], -ECANCELED);
    ck_assert(rill_task_is_over(&gate.task));
}
END_TEST

START_TEST(withdrawing_nothing_is_over_at_once)
{
    static struct runner runner;

    rill_any_init(&gate.any, gate.futures, COUNT);
    runner_start(&runner, rill_any_withdraw(&gate.any, COUNT - 1), NULL);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 0);
}
END_TEST

static enum rill_poll withdraw_in_haste_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_any_next(&gate.any));
    RILL_AWAIT(rill_any_withdraw(&gate.any, 0));
    RILL_END();
}

static void withdraw_in_haste(void)
{
    rill_any_init(&gate.any, gate.futures, COUNT);
    for (int i = 0; i < COUNT; i++)
        gate.futures[i] = latch_wait(&latches[i]);
    rill_task_spawn(&gate.task, withdraw_in_haste_poll);
    rig_settle();
    latch_open(&latches[1], 0);
    rig_settle();
}

START_TEST(a_task_that_has_withdrawn_one_owes_the_others_still)
{
    rig_expect_text(rig_abort_message(withdraw_in_haste), "loops over any not drained");
}
END_TEST

static void withdraw_beyond(void)
{
    rill_any_init(&gate.any, gate.futures, COUNT);
    rill_any_withdraw(&gate.any, COUNT);
}

START_TEST(withdrawing_what_there_is_not_panics)
{
    rig_expect_text(rig_abort_message(withdraw_beyond), "entry 3 was withdrawn of any of 3");
}
END_TEST

/* ---- mistakes, and other tasks ---- */

START_TEST(polls_for_no_reason_do_not_end_a_turn)
{
    start(0);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&loop.task);
        rig_settle();
        ck_assert_int_eq(loop.turns, 0);
    }
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], 0);
    rig_settle();
    ck_assert(rill_task_is_over(&loop.task));
}
END_TEST

/* A loop that is left after a sleep of no time, with another one armed. */
static enum rill_poll hasty_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_sleep sleeps[2];

    RILL_BEGIN();
    rill_any_init(&loop.any, loop.futures, 2);
    loop.futures[0] = rill_sleep(&sleeps[0], RILL_SECOND);
    loop.futures[1] = rill_sleep(&sleeps[1], 0);
    RILL_AWAIT(rill_any_next(&loop.any));
    ck_assert_int_eq(loop.any.result, 1);
    if (loop.drains)
        RILL_AWAIT(rill_any_drain(&loop.any, RILL_CANCELLED));
    RILL_END();
}

static void leave_in_haste(void)
{
    rill_task_spawn(&loop.task, hasty_poll);
    rig_settle();
}

START_TEST(a_task_that_ends_without_draining_panics_also_where_only_timers_are_pending)
{
    rig_expect_text(rig_abort_message(leave_in_haste), "loops over any not drained");
    loop.drains = true;
    leave_in_haste();
    ck_assert(rill_task_is_over(&loop.task));
}
END_TEST

static void drain_for_no_reason(void)
{
    rill_any_drain(&loop.any, RILL_NOT_CANCELLED);
}

static struct {
    struct rill_task giver, taker;
    struct rill_sleep sleep, long_sleep;
    struct rill_timeout timeout;
    struct rill_future *futures[COUNT];
    unsigned taken;
} handed;

static enum rill_poll giver_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_any_init(&loop.any, handed.futures, COUNT);
    handed.futures[0] = latch_wait(&latches[0]);
    handed.futures[1] = rill_sleep(&handed.sleep, RILL_SECOND);
    handed.futures[2] =
        rill_timeout(&handed.timeout, 2 * RILL_SECOND, rill_sleep(&handed.long_sleep, RILL_NEVER));
    RILL_AWAIT(rill_any_next(&loop.any));
    RILL_AWAIT(latch_wait(&then));
    RILL_END();
}

static enum rill_poll taker_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_any_next(&loop.any));
        if (loop.any.result < 0)
            break;
        handed.taken++;
    }
    RILL_END();
}

/* The timers that have begun in one task wake the other. */
START_TEST(what_is_pending_goes_on_in_another_task)
{
    rill_task_spawn(&handed.giver, giver_poll);
    rig_settle();
    latch_open(&latches[0], 0);
    rig_settle();
    rill_task_spawn(&handed.taker, taker_poll);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&handed.giver));
    ck_assert_uint_eq(handed.taken, 0);
    rig_advance(RILL_SECOND + (1 << RILL_WHEEL_TICK_BITS));
    ck_assert_uint_eq(handed.taken, 1);
    rig_advance(RILL_SECOND);
    ck_assert_uint_eq(handed.taken, 2);
    ck_assert_int_eq(handed.timeout.result, -ETIMEDOUT);
    ck_assert(rill_task_is_over(&handed.taker));
}
END_TEST

/* It needs no drain: nothing of it is pending. What lies behind the array is not looked at. */
static enum rill_poll last_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_future *futures[COUNT];

    RILL_BEGIN();
    for (int i = 0; i < COUNT; i++) /* an array that was used before */
        futures[i] = latch_wait(&then);
    rill_any_init(&loop.any, futures, COUNT - 1);
    futures[0] = latch_wait(&latches[0]);
    RILL_AWAIT(rill_any_next(&loop.any));
    RILL_RETURN(loop.any.result);
    RILL_END();
}

START_TEST(a_task_may_end_when_all_entries_have)
{
    rill_task_spawn(&loop.task, last_poll);
    rig_settle();
    latch_open(&latches[0], 0);
    rig_settle();
    ck_assert(rill_task_is_over(&loop.task));
    ck_assert(!then.begun);
}
END_TEST

START_TEST(draining_for_no_reason_panics)
{
    rig_expect_text(rig_abort_message(drain_for_no_reason), "futures were drained for no reason");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_others_stay_pending_from_turn_to_turn,
        a_new_future_in_the_entry_goes_on,
        all_that_are_ready_together_are_given_out_one_a_turn,
        an_entry_that_is_always_ready_starves_neither_entries_nor_tasks,
        without_an_entry_it_is_ENOENT,
        a_loop_over_nothing_yields_to_other_tasks,
        cancelling_drains_all_and_then_says_so,
        what_wins_against_the_cancel_is_given_out_first,
        in_a_cancelled_task_nothing_is_started,
        a_drain_cancels_what_is_pending_and_counts_the_real_results,
        a_drain_in_a_cancelled_task_gives_the_reason_of_the_task,
        what_is_withdrawn_ends_and_the_others_stay_pending,
        what_comes_while_it_is_withdrawn_is_not_lost,
        withdrawing_nothing_is_over_at_once,
        a_task_that_has_withdrawn_one_owes_the_others_still,
        withdrawing_what_there_is_not_panics,
        polls_for_no_reason_do_not_end_a_turn,
        a_task_that_ends_without_draining_panics_also_where_only_timers_are_pending,
        what_is_pending_goes_on_in_another_task,
        a_task_may_end_when_all_entries_have,
        draining_for_no_reason_panics,
    };

    return rig_main("any", tests, RIG_COUNT(tests));
}
