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

/* The reasons that a poll sees, on the way in and on the way out again. */
enum { OF_TASK = -1 }; /* nothing around a future has a reason of its own for it */

static int seen[8];
static size_t seen_count;

static void look(const struct rill_task *task)
{
    enum rill_cancel_reason reason = rill_task_cancel_reason(task);

    ck_assert_uint_lt(seen_count, RIG_COUNT(seen));
    ck_assert_int_eq(rill_task_is_cancelled(task), reason != RILL_NOT_CANCELLED);
    seen[seen_count++] = (int)reason;
}

struct looking {
    struct rill_future future;
    struct looking *below; /* or NULL */
    int reason_below;
};

static enum rill_poll poll_one(struct looking *looking, struct rill_task *task, int reason)
{
    if (reason == OF_TASK)
        return looking->future.poll(&looking->future, task);
    return rill_poll_because(&looking->future, task, (enum rill_cancel_reason)reason);
}

static enum rill_poll looking_poll(struct rill_future *self, struct rill_task *task)
{
    struct looking *looking = rill_container_of(self, struct looking, future);

    look(task);
    if (looking->below) {
        ck_assert_int_eq(poll_one(looking->below, task, looking->reason_below), RILL_READY);
        look(task);
    }
    return RILL_READY;
}

/* Polls futures below each other: the i-th is polled for reasons[i]. */
static void poll_below(const int *reasons, size_t count, enum rill_cancel_reason of_task)
{
    struct looking chain[4] = {{.below = NULL}};
    struct rill_task task = {.reason = of_task & 3u};

    seen_count = 0;
    for (size_t i = 0; i < count; i++) {
        rill_future_init(&chain[i].future, looking_poll);
        chain[i].below = i + 1 < count ? &chain[i + 1] : NULL;
        chain[i].reason_below = i + 1 < count ? reasons[i + 1] : OF_TASK;
    }
    ck_assert_int_eq(poll_one(&chain[0], &task, reasons[0]), RILL_READY);
    ck_assert_int_eq(rill_task_cancel_reason(&task), of_task);
}

START_TEST(the_innermost_reason_decides_and_the_outer_one_comes_back_behind_it)
{
    const int shields[] = {RILL_NOT_CANCELLED, RILL_TIMED_OUT, RILL_NOT_CANCELLED, RILL_CANCELLED};
    const int in_shields[] = {RILL_NOT_CANCELLED, RILL_TIMED_OUT,     RILL_NOT_CANCELLED,
                              RILL_CANCELLED,     RILL_NOT_CANCELLED, RILL_TIMED_OUT,
                              RILL_NOT_CANCELLED};
    const int timeouts[] = {RILL_SHUTTING_DOWN, OF_TASK, RILL_TIMED_OUT};
    const int in_timeouts[] = {RILL_SHUTTING_DOWN, RILL_SHUTTING_DOWN, RILL_TIMED_OUT,
                               RILL_SHUTTING_DOWN, RILL_SHUTTING_DOWN};

    for (int of_task = RILL_NOT_CANCELLED; of_task <= RILL_SHUTTING_DOWN; of_task++) {
        poll_below(shields, RIG_COUNT(shields), (enum rill_cancel_reason)of_task);
        ck_assert_uint_eq(seen_count, RIG_COUNT(in_shields));
        ck_assert_mem_eq(seen, in_shields, sizeof in_shields);
        poll_below(timeouts, RIG_COUNT(timeouts), (enum rill_cancel_reason)of_task);
        ck_assert_uint_eq(seen_count, RIG_COUNT(in_timeouts));
        ck_assert_mem_eq(seen, in_timeouts, sizeof in_timeouts);
    }
}
END_TEST

START_TEST(without_a_reason_around_it_a_poll_sees_what_was_asked_of_the_task)
{
    const int of_task[] = {OF_TASK, OF_TASK};

    for (int reason = RILL_NOT_CANCELLED; reason <= RILL_SHUTTING_DOWN; reason++) {
        poll_below(of_task, 2, (enum rill_cancel_reason)reason);
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(seen[i], reason);
    }
}
END_TEST

START_TEST(the_first_reason_for_which_a_task_is_cancelled_stays)
{
    first.drain_polls = LATCH_BY_HAND;
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    ck_assert_int_eq(rill_task_cancel_reason(&runner.task), RILL_NOT_CANCELLED);
    rill_task_cancel_because(&runner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    rill_task_cancel_because(&runner.task, RILL_TIMED_OUT);
    rill_task_cancel(&runner.task);
    rill_executor_cancel_all(&rig.executor, RILL_CANCELLED);
    rig_settle();
    ck_assert_int_eq(rill_task_cancel_reason(&runner.task), RILL_SHUTTING_DOWN);
    latch_let_go(&first);
    rig_settle();
    ck_assert_int_eq(runner.task.future.result, -ECANCELED);

    /* A task that is spawned again begins without one. */
    runner_start(&runner, latch_wait(&first), NULL);
    ck_assert_int_eq(rill_task_cancel_reason(&runner.task), RILL_NOT_CANCELLED);
    latch_open(&first, 0);
    rig_settle();
}
END_TEST

START_TEST(the_end_of_the_program_replaces_an_earlier_reason_once)
{
    unsigned polls;

    first.drain_polls = LATCH_BY_HAND;
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    rill_task_cancel(&runner.task);
    rig_settle();
    polls = runner.polls;
    rill_executor_cancel_all(&rig.executor, RILL_SHUTTING_DOWN);
    rig_settle();
    ck_assert_int_eq(rill_task_cancel_reason(&runner.task), RILL_SHUTTING_DOWN);
    ck_assert_uint_eq(runner.polls, polls + 1);
    rill_executor_cancel_all(&rig.executor, RILL_SHUTTING_DOWN);
    rig_settle();
    ck_assert_uint_eq(runner.polls, polls + 1);
    latch_let_go(&first);
    rig_settle();
}
END_TEST

START_TEST(cancelling_all_tells_each_task_the_reason)
{
    first.drain_polls = LATCH_BY_HAND;
    runner_start(&runner, latch_wait(&first), NULL);
    rig_settle();
    rill_executor_cancel_all(&rig.executor, RILL_SHUTTING_DOWN);
    ck_assert_int_eq(rill_task_cancel_reason(&runner.task), RILL_SHUTTING_DOWN);
    latch_let_go(&first);
    rig_settle();
}
END_TEST

static void cancel_for_no_reason(void)
{
    runner_start(&runner, latch_wait(&first), NULL);
    rill_task_cancel_because(&runner.task, RILL_NOT_CANCELLED);
}

START_TEST(cancelling_a_task_for_no_reason_panics)
{
    rig_expect_text(rig_abort_message(cancel_for_no_reason), "a task was cancelled for no reason");
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
        the_innermost_reason_decides_and_the_outer_one_comes_back_behind_it,
        without_a_reason_around_it_a_poll_sees_what_was_asked_of_the_task,
        the_first_reason_for_which_a_task_is_cancelled_stays,
        the_end_of_the_program_replaces_an_earlier_reason_once,
        cancelling_all_tells_each_task_the_reason,
        cancelling_a_task_for_no_reason_panics,
    };

    return rig_main("task_cancel", tests, RIG_COUNT(tests));
}
