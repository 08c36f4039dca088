/* SPDX-License-Identifier: Apache-2.0 */
/* test_task_cancel.c - cancelling asks, stays on, and waits for what is in flight. */
#include "runtime/task.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

static struct latch first, second;
static struct runner runner;

START_TEST(a_task_cancelled_before_its_first_poll_runs_and_starts_nothing)
{
    runner_start(&runner, latch_wait(&first), latch_wait(&second));
    rill_task_cancel(&runner.task);
    ck_assert_uint_eq(runner.polls, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_uint_eq(runner.polls, 1);
    ck_assert(!first.begun);
    ck_assert(!second.begun);
    ck_assert_int_eq(first.result, -ECANCELED);
    ck_assert_int_eq(second.result, -ECANCELED);
}
END_TEST

START_TEST(a_parked_task_is_polled_once_when_it_is_cancelled)
{
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    rill_task_cancel(&runner.task);
    rill_task_cancel(&runner.task);
    ck_assert_uint_eq(rig.executor.ready_count, 1);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -ECANCELED);
    ck_assert_uint_eq(runner.polls, 2);
    ck_assert_uint_eq(first.cancelled_polls, 1);
}
END_TEST

START_TEST(a_task_cancelled_while_queued_is_polled_once)
{
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    rill_task_wake(&runner.task);
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -ECANCELED);
    ck_assert_uint_eq(runner.polls, 2);
}
END_TEST

static enum rill_poll cancel_self_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(latch_wait(&first));
    rill_task_cancel(task);
    RILL_AWAIT(latch_wait(&second));
    RILL_RETURN(second.result);
    RILL_END();
}

START_TEST(a_task_that_cancels_itself_sees_it_in_its_next_await)
{
    struct rill_task task = {.state = RILL_TASK_NEW};

    rill_task_spawn(&task, cancel_self_poll);
    rig_settle();
    ck_assert(!rill_task_is_over(&task));
    latch_open(&first, 3);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
    ck_assert_int_eq(first.result, 3);
    ck_assert_int_eq(task.future.result, -ECANCELED);
    ck_assert(!second.begun);
}
END_TEST

START_TEST(cancelling_a_task_that_is_over_changes_nothing)
{
    runner_start(&runner, latch_wait(&first), NULL);
    latch_open(&first, 12);
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, 12);
    ck_assert_uint_eq(runner.polls, 1);
    ck_assert_int_eq(runner.task.state, RILL_TASK_OVER);
}
END_TEST

START_TEST(cancellation_stays_on_for_all_later_awaits)
{
    runner_start(&runner, latch_wait(&first), latch_wait(&second));
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_int_eq(first.result, -ECANCELED);
    ck_assert_int_eq(second.result, -ECANCELED);
    ck_assert(first.begun);
    ck_assert(!second.begun);
    ck_assert(rill_task_is_cancelled(&runner.task));
}
END_TEST

START_TEST(a_cancelled_task_waits_until_what_is_in_flight_has_ended)
{
    first.drain_polls = 5;
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    rill_task_cancel(&runner.task);
    for (unsigned i = 1; i <= 5; i++) {
        rig_turn();
        ck_assert_uint_eq(first.cancelled_polls, i);
        ck_assert(!rill_task_is_over(&runner.task));
    }
    rig_turn();
    ck_assert_int_eq(runner.task.future.result, -ECANCELED);
}
END_TEST

START_TEST(a_result_that_arrives_while_a_cancel_is_on_its_way_is_kept)
{
    first.drain_polls = LATCH_BY_HAND;
    runner_start(&runner, latch_wait(&first), latch_wait(&second));
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    latch_open(&first, 4096);
    rig_settle();
    ck_assert_int_eq(first.result, 4096);
    ck_assert_int_eq(second.result, -ECANCELED);
}
END_TEST

/* What the scopes around a poll say to it, on the way in and on the way out. */
static bool seen[8];
static size_t seen_count;

static void look(const struct rill_task *task)
{
    ck_assert_uint_lt(seen_count, RIG_COUNT(seen));
    seen[seen_count++] = rill_task_is_cancelled(task);
}

struct scoped {
    struct rill_future future;
    struct scoped *below; /* or NULL */
    enum rill_task_scope scope_below;
};

static enum rill_poll scoped_poll(struct rill_future *self, struct rill_task *task)
{
    struct scoped *scoped = rill_container_of(self, struct scoped, future);

    look(task);
    if (scoped->below) {
        enum rill_poll poll = rill_poll_scoped(&scoped->below->future, task, scoped->scope_below);

        ck_assert_int_eq(poll, RILL_READY);
        look(task);
    }
    return RILL_READY;
}

/* Polls futures below each other: the i-th is polled in scopes[i]. */
static void poll_in_scopes(const enum rill_task_scope *scopes, size_t count, bool cancelled)
{
    struct scoped chain[4] = {{.below = NULL}};
    struct rill_task task = {.cancelled = cancelled};

    seen_count = 0;
    for (size_t i = 0; i < count; i++) {
        rill_future_init(&chain[i].future, scoped_poll);
        chain[i].below = i + 1 < count ? &chain[i + 1] : NULL;
        chain[i].scope_below = i + 1 < count ? scopes[i + 1] : RILL_SCOPE_TASK;
    }
    ck_assert_int_eq(rill_poll_scoped(&chain[0].future, &task, scopes[0]), RILL_READY);
    ck_assert_int_eq(task.scope, RILL_SCOPE_TASK);
}

START_TEST(the_innermost_scope_decides_and_the_outer_one_comes_back_behind_it)
{
    const enum rill_task_scope alternating[] = {RILL_SCOPE_SHIELDED, RILL_SCOPE_CANCELLED,
                                                RILL_SCOPE_SHIELDED, RILL_SCOPE_CANCELLED};
    const bool expected[] = {false, true, false, true, false, true, false};
    const enum rill_task_scope reversed[] = {RILL_SCOPE_CANCELLED, RILL_SCOPE_SHIELDED,
                                             RILL_SCOPE_CANCELLED};
    const bool expected_reversed[] = {true, false, true, false, true};

    for (int cancelled = 0; cancelled < 2; cancelled++) {
        poll_in_scopes(alternating, RIG_COUNT(alternating), cancelled);
        ck_assert_uint_eq(seen_count, RIG_COUNT(expected));
        ck_assert_mem_eq(seen, expected, sizeof expected);
        poll_in_scopes(reversed, RIG_COUNT(reversed), cancelled);
        ck_assert_uint_eq(seen_count, RIG_COUNT(expected_reversed));
        ck_assert_mem_eq(seen, expected_reversed, sizeof expected_reversed);
    }
}
END_TEST

START_TEST(without_a_scope_around_it_a_poll_sees_what_was_asked_of_the_task)
{
    const enum rill_task_scope as_the_task[] = {RILL_SCOPE_TASK, RILL_SCOPE_TASK};

    poll_in_scopes(as_the_task, 2, false);
    ck_assert(!seen[0] && !seen[1] && !seen[2]);
    poll_in_scopes(as_the_task, 2, true);
    ck_assert(seen[0] && seen[1] && seen[2]);
}
END_TEST

/* A future that does not let its child be cancelled. */
static enum rill_poll shield_poll(struct rill_future *self, struct rill_task *task)
{
    enum rill_poll poll = rill_poll_scoped(&first.future, task, RILL_SCOPE_SHIELDED);

    self->result = first.result;
    return poll;
}

START_TEST(a_shielded_future_runs_to_its_end_in_a_cancelled_task)
{
    struct rill_future shield;

    latch_wait(&first);
    runner_start(&runner, rill_future_init(&shield, shield_poll), latch_wait(&second));
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert(first.begun);
    ck_assert(!rill_task_is_over(&runner.task));
    rill_task_cancel(&runner.task);
    rig_settle();
    ck_assert_uint_eq(first.cancelled_polls, 0);
    latch_open(&first, 21);
    rig_settle();
    ck_assert_int_eq(shield.result, 21);
    ck_assert_int_eq(second.result, -ECANCELED);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_task_cancelled_before_its_first_poll_runs_and_starts_nothing,
        a_parked_task_is_polled_once_when_it_is_cancelled,
        a_task_cancelled_while_queued_is_polled_once,
        a_task_that_cancels_itself_sees_it_in_its_next_await,
        cancelling_a_task_that_is_over_changes_nothing,
        cancellation_stays_on_for_all_later_awaits,
        a_cancelled_task_waits_until_what_is_in_flight_has_ended,
        a_result_that_arrives_while_a_cancel_is_on_its_way_is_kept,
        the_innermost_scope_decides_and_the_outer_one_comes_back_behind_it,
        without_a_scope_around_it_a_poll_sees_what_was_asked_of_the_task,
        a_shielded_future_runs_to_its_end_in_a_cancelled_task,
    };

    return rig_main("task_cancel", tests, RIG_COUNT(tests));
}
