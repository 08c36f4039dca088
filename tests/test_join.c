/* SPDX-License-Identifier: Apache-2.0 */
/* test_join.c - one task waits for another one's end, and gets its result once. */
#include "runtime/select.h"
#include "runtime/task.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdlib.h>

static struct latch latch;
static struct rill_join join, other_join;
static struct runner target, joiner, other;

/* A pooled task that waits for the latch. */
static struct runner *pooled_target(void)
{
    struct runner *runner = rill_task_alloc(sizeof *runner);

    ck_assert_ptr_nonnull(runner);
    runner_start(runner, latch_wait(&latch), NULL);
    return runner;
}

START_TEST(a_joiner_that_comes_before_the_end_is_woken_by_it)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    rig_settle();
    ck_assert(!rill_task_is_over(&joiner.task));
    latch_open(&latch, 17);
    rig_settle();
    ck_assert_int_eq(joiner.task.future.result, 17);
    ck_assert_uint_eq(joiner.polls, 2);
    ck_assert_uint_eq(target.polls, 2);
}
END_TEST

START_TEST(a_joiner_that_comes_after_the_end_does_not_wait)
{
    runner_start(&target, latch_wait(&latch), NULL);
    latch_open(&latch, -EIO);
    rig_settle();
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    rig_turn();
    ck_assert_int_eq(joiner.task.future.result, -EIO);
    ck_assert_uint_eq(joiner.polls, 1);
}
END_TEST

START_TEST(the_joiner_of_a_pooled_task_gives_its_block_back)
{
    struct runner *pooled = pooled_target();

    runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
    rig_settle();
    latch_open(&latch, 5);
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    rig_settle();
    ck_assert_int_eq(join.result, 5);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);

    pooled = pooled_target();
    latch_open(&latch, 6);
    rig_settle();
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
    rig_settle();
    ck_assert_int_eq(join.result, 6);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_join)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&joiner.task);
        rig_settle();
        ck_assert(!rill_task_is_over(&joiner.task));
    }
    latch_open(&latch, 1);
    rig_settle();
    ck_assert_int_eq(joiner.task.future.result, 1);
}
END_TEST

START_TEST(a_cancelled_join_leaves_the_task_alive_and_joinable_again)
{
    struct runner *pooled = pooled_target();

    for (int i = 0; i < 3; i++) {
        runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
        rig_settle();
        rill_task_cancel(&joiner.task);
        rig_settle();
        ck_assert_int_eq(joiner.task.future.result, -ECANCELED);
        ck_assert(!rill_task_is_over(&pooled->task));
        ck_assert(!rill_task_is_cancelled(&pooled->task));
    }
    runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
    rig_settle();
    latch_open(&latch, 3);
    rig_settle();
    ck_assert_int_eq(joiner.task.future.result, 3);
}
END_TEST

START_TEST(a_task_whose_join_was_cancelled_can_be_detached)
{
    struct runner *pooled = pooled_target();

    runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
    rig_settle();
    rill_task_cancel(&joiner.task);
    rig_settle();
    rill_task_detach(&pooled->task);
    latch_open(&latch, 3);
    rig_settle();
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

START_TEST(the_end_of_a_task_wins_against_the_cancel_of_its_join)
{
    struct runner *pooled = pooled_target();

    runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
    rig_settle();
    latch_open(&latch, 44);
    rig_turn(); /* the target is over, the joiner woken */
    ck_assert(rill_task_is_over(&pooled->task));
    rill_task_cancel(&joiner.task);
    rig_settle();
    ck_assert_int_eq(joiner.task.future.result, 44);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

/* As when a runtime shuts down, which cancels all tasks. Both results are -ECANCELED, and who
 * gets that from a cancelled join goes on to own the task. */
START_TEST(a_cancelled_join_leaves_a_task_that_has_ended_with_ecanceled)
{
    for (int detach = 0; detach < 2; detach++) {
        struct runner *pooled = pooled_target();

        runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
        rig_settle();
        rill_executor_cancel_all(&rig.executor, RILL_SHUTTING_DOWN);
        rig_turn();
        ck_assert(rill_task_is_over(&joiner.task));
        ck_assert_int_eq(join.result, -ECANCELED);
        ck_assert_uint_eq(rig.executor.pool.in_use, 1);
        ck_assert(rill_task_is_over(&pooled->task));
        if (detach) {
            rill_task_detach(&pooled->task);
        } else {
            runner_start(&joiner, rill_task_join(&pooled->task, &join), NULL);
            ck_assert_int_eq(rig_finish(&joiner.task), -ECANCELED);
        }
        ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    }
}
END_TEST

START_TEST(the_loser_of_a_select_has_not_joined_a_task_that_was_cancelled)
{
    struct runner *pooled = pooled_target();
    struct rill_select select;
    struct rill_future *choices[2];
    struct latch other_latch = {0};

    runner_start(&joiner,
                 rill_select(&select, RILL_FUTURES(choices, latch_wait(&other_latch),
                                                   rill_task_join(&pooled->task, &join))),
                 NULL);
    rig_settle();
    rill_task_cancel(&pooled->task);
    latch_open(&other_latch, 0);
    rig_settle();
    ck_assert_int_eq(select.result, 0);
    ck_assert_int_eq(join.result, -ECANCELED);
    ck_assert(rill_task_is_over(&pooled->task));
    rill_task_detach(&pooled->task);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

START_TEST(cancelling_a_task_ends_it_and_then_its_joiner)
{
    latch.drain_polls = LATCH_BY_HAND;
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    rig_settle();
    rill_task_cancel(&target.task);
    rig_settle();
    ck_assert(!rill_task_is_over(&joiner.task));
    latch_let_go(&latch);
    rig_settle();
    ck_assert_int_eq(joiner.task.future.result, -ECANCELED);
    ck_assert(!rill_task_is_cancelled(&joiner.task));
}
END_TEST

START_TEST(a_chain_of_joins_ends_from_its_far_end_on)
{
    enum { COUNT = 500 };
    static struct runner chain[COUNT];
    static struct rill_join joins[COUNT];

    runner_start(&chain[0], latch_wait(&latch), NULL);
    for (int i = 1; i < COUNT; i++)
        runner_start(&chain[i], rill_task_join(&chain[i - 1].task, &joins[i]), NULL);
    rig_settle();
    latch_open(&latch, 8);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(chain[i].task.future.result, 8);
        ck_assert_uint_eq(chain[i].polls, 2);
    }
}
END_TEST

/* Spawns very many tasks, and joins them in the order in which they were spawned. */
struct child {
    struct rill_task task;
    unsigned number;
};

struct parent {
    struct rill_task task;
    struct rill_join join;
    struct child **children;
    unsigned count, next;
};

static enum rill_poll child_poll(struct rill_future *self, struct rill_task *task)
{
    struct child *child = rill_container_of(self, struct child, task.future);

    RILL_BEGIN();
    if (child->number % 3 == 0)
        RILL_YIELD();
    if (child->number % 5 == 0)
        RILL_YIELD();
    RILL_RETURN(child->number);
    RILL_END();
}

static enum rill_poll parent_poll(struct rill_future *self, struct rill_task *task)
{
    struct parent *parent = rill_container_of(self, struct parent, task.future);

    RILL_BEGIN();
    for (unsigned i = 0; i < parent->count; i++) {
        struct child *child = rill_task_alloc(sizeof *child);

        ck_assert_ptr_nonnull(child);
        child->number = i;
        parent->children[i] = child;
        rill_task_spawn(&child->task, child_poll);
    }
    for (parent->next = 0; parent->next < parent->count; parent->next++) {
        RILL_AWAIT(rill_task_join(&parent->children[parent->next]->task, &parent->join));
        if (parent->join.result != parent->next)
            ck_abort_msg("task %u has the result %lld", parent->next,
                         (long long)parent->join.result);
    }
    RILL_END();
}

START_TEST(a_hundred_thousand_tasks_are_spawned_and_joined)
{
    static struct parent parent;

    parent.count = rig_scaled(100000);
    parent.children = calloc(parent.count, sizeof *parent.children);
    rill_task_spawn(&parent.task, parent_poll);
    rig_finish(&parent.task);
    ck_assert_uint_eq(parent.next, parent.count);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    ck_assert_uint_eq(rig.driver.waits, 0);
    free(parent.children);
}
END_TEST

static void two_joiners(void)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    runner_start(&other, rill_task_join(&target.task, &other_join), NULL);
    rig_turn();
}

START_TEST(two_joiners_of_one_task_panic)
{
    rig_expect_text(rig_abort_message(two_joiners), "two tasks join the same task");
}
END_TEST

static void a_cancelled_second_joiner(void)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    runner_start(&other, rill_task_join(&target.task, &other_join), NULL);
    rill_task_cancel(&other.task);
    rig_turn();
}

/* Or it would take the first one's place, which would then never be woken. */
START_TEST(a_second_joiner_panics_even_if_it_is_cancelled)
{
    rig_expect_text(rig_abort_message(a_cancelled_second_joiner), "two tasks join the same task");
}
END_TEST

static void a_second_joiner_after_the_end(void)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    rig_turn();
    /* It runs between the end of the target and the first joiner. */
    latch_open(&latch, 1);
    runner_start(&other, rill_task_join(&target.task, &other_join), NULL);
    rig_turn();
}

/* Or it would give back the block that the first one reads. */
START_TEST(a_second_joiner_panics_even_if_the_task_has_just_ended)
{
    rig_expect_text(rig_abort_message(a_second_joiner_after_the_end),
                    "two tasks join the same task");
}
END_TEST

static void join_itself(void)
{
    runner_start(&target, rill_future_init(&join.future, NULL), NULL);
    rill_task_join(&target.task, &join);
    rig_turn();
}

START_TEST(a_task_that_joins_itself_panics)
{
    rig_expect_text(rig_abort_message(join_itself), "a task joins itself");
}
END_TEST

static void detach_joined(void)
{
    runner_start(&target, latch_wait(&latch), NULL);
    runner_start(&joiner, rill_task_join(&target.task, &join), NULL);
    rig_turn();
    rill_task_detach(&target.task);
}

START_TEST(detaching_a_joined_task_panics)
{
    rig_expect_text(rig_abort_message(detach_joined),
                    "a task was detached while another one joins it");
}
END_TEST

static void join_detached(void)
{
    runner_start(&target, latch_wait(&latch), NULL);
    rill_task_detach(&target.task);
    rill_task_join(&target.task, &join);
}

static void join_unspawned(void)
{
    rill_task_join(&target.task, &join);
}

START_TEST(joining_a_detached_task_or_one_that_was_not_spawned_panics)
{
    rig_expect_text(rig_abort_message(join_detached), "a detached task was joined");
    rig_expect_text(rig_abort_message(join_unspawned), "a task was joined before it was spawned");
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* which tells of it by itself */

static struct runner *gone; /* it was joined */

static void (*use)(void);

static void use_gone(void)
{
    gone = pooled_target();
    runner_start(&joiner, rill_task_join(&gone->task, &join), NULL);
    rill_task_join(&gone->task, &other_join);
    latch_open(&latch, 17);
    rig_settle();
    use();
}

static void join_gone(void)
{
    rill_task_join(&gone->task, &join);
}

static void await_gone(void)
{
    runner_start(&other, &other_join.future, NULL);
    rig_settle();
}

static void detach_gone(void)
{
    rill_task_detach(&gone->task);
}

static void cancel_gone(void)
{
    rill_task_cancel(&gone->task);
}

START_TEST(a_task_whose_block_was_given_back_is_told_of)
{
    void (*const uses[])(void) = {join_gone, await_gone, detach_gone, cancel_gone};

    for (size_t i = 0; i < RIG_COUNT(uses); i++) {
        use = uses[i];
        rig_expect_text(rig_abort_message(use_gone), "a task was used whose block was given back");
    }
}
END_TEST

#endif

int main(void)
{
    const TTest *const tests[] = {
        a_joiner_that_comes_before_the_end_is_woken_by_it,
        a_joiner_that_comes_after_the_end_does_not_wait,
        the_joiner_of_a_pooled_task_gives_its_block_back,
        polls_for_no_reason_do_not_end_a_join,
        a_cancelled_join_leaves_the_task_alive_and_joinable_again,
        a_task_whose_join_was_cancelled_can_be_detached,
        the_end_of_a_task_wins_against_the_cancel_of_its_join,
        a_cancelled_join_leaves_a_task_that_has_ended_with_ecanceled,
        the_loser_of_a_select_has_not_joined_a_task_that_was_cancelled,
        cancelling_a_task_ends_it_and_then_its_joiner,
        a_chain_of_joins_ends_from_its_far_end_on,
        a_hundred_thousand_tasks_are_spawned_and_joined,
        two_joiners_of_one_task_panic,
        a_second_joiner_panics_even_if_it_is_cancelled,
        a_second_joiner_panics_even_if_the_task_has_just_ended,
        a_task_that_joins_itself_panics,
        detaching_a_joined_task_panics,
        joining_a_detached_task_or_one_that_was_not_spawned_panics,
#ifndef __SANITIZE_ADDRESS__
        a_task_whose_block_was_given_back_is_told_of,
#endif
    };

    return rig_main("join", tests, RIG_COUNT(tests));
}
