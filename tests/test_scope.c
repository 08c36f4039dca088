/* SPDX-License-Identifier: Apache-2.0 */
/* test_scope.c - tasks end before the scope that they were spawned into is left. */
#include "runtime/scope.h"
#include "runtime/select.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 4, TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

static struct latch latches[COUNT], then;
static struct runner children[COUNT], owner;
static struct rill_scope scope;

/* Spawns the i-th child, which waits for the i-th latch, into the scope. */
static void spawn(int i)
{
    children[i].first = latch_wait(&latches[i]);
    children[i].then = NULL;
    children[i].polls = 0;
    rill_scope_spawn(&scope, &children[i].task, runner_poll);
}

/* A scope with all children, and a task that joins it and then waits for another latch. */
static void start(enum rill_scope_policy policy, int drain_polls)
{
    rill_scope_init(&scope, policy);
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = drain_polls;
        spawn(i);
    }
    runner_start(&owner, rill_scope_join(&scope), latch_wait(&then));
    rig_settle();
    ck_assert_uint_eq(scope.alive, COUNT);
    ck_assert(!then.begun);
}

/* The join has ended with this, when no child was alive any more. */
static void expect_result(int64_t result)
{
    ck_assert(then.over || then.begun);
    ck_assert_int_eq(scope.result, result);
    ck_assert_uint_eq(scope.alive, 0);
    ck_assert(rill_list_is_empty(&rig.executor.scopes));
    for (int i = 0; i < COUNT; i++)
        ck_assert(rill_task_is_over(&children[i].task));
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&owner.task));
}

START_TEST(a_join_waits_for_the_last_task_and_is_woken_once)
{
    start(RILL_SCOPE_INDEPENDENT, 0);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!then.begun);
        latch_open(&latches[COUNT - 1 - i], i);
        rig_settle();
    }
    ck_assert_uint_eq(owner.polls, 2);
    ck_assert_int_eq(children[0].task.future.result, COUNT - 1);
    expect_result(0);
}
END_TEST

START_TEST(a_scope_without_tasks_is_joined_at_once)
{
    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_turn();
    ck_assert(rill_task_is_over(&owner.task));
    ck_assert_int_eq(scope.result, 0);
}
END_TEST

START_TEST(a_task_that_fails_leaves_the_others_alone_if_they_are_independent)
{
    start(RILL_SCOPE_INDEPENDENT, 0);
    latch_open(&latches[1], -EIO);
    rig_settle();
    latch_open(&latches[0], -EPIPE);
    rig_settle();
    ck_assert_uint_eq(scope.alive, 2);
    ck_assert_uint_eq(latches[2].cancelled_polls + latches[3].cancelled_polls, 0);
    latch_open(&latches[2], 1);
    latch_open(&latches[3], 1);
    rig_settle();
    expect_result(-EIO);
}
END_TEST

START_TEST(a_task_that_fails_cancels_the_others_if_they_are_together)
{
    start(RILL_SCOPE_TOGETHER, 3);
    latch_open(&latches[1], -EIO);
    rig_turn();
    ck_assert(!then.begun);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(latches[i].result, i == 1 ? -EIO : -ECANCELED);
    ck_assert_int_eq(latches[0].reason, RILL_CANCELLED);
    ck_assert_uint_eq(latches[0].cancelled_polls, 4);
    expect_result(-EIO);
}
END_TEST

START_TEST(of_two_that_fail_in_one_turn_the_first_is_the_result_and_both_are_kept)
{
    start(RILL_SCOPE_TOGETHER, 0);
    latch_open(&latches[2], -EPIPE);
    latch_open(&latches[0], -EIO); /* queued behind it, and cancelled when its turn comes */
    rig_settle();
    ck_assert_int_eq(latches[0].result, -EIO);
    expect_result(-EPIPE);
}
END_TEST

START_TEST(a_task_that_was_cancelled_alone_has_not_failed)
{
    start(RILL_SCOPE_TOGETHER, 0);
    rill_task_cancel(&children[2].task);
    rig_settle();
    ck_assert_uint_eq(scope.alive, COUNT - 1);
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], 0);
    rig_settle();
    ck_assert_int_eq(children[2].task.future.result, -ECANCELED);
    expect_result(0);
}
END_TEST

START_TEST(cancelling_the_owner_cancels_the_tasks_for_its_reason_and_waits_for_them)
{
    start(RILL_SCOPE_INDEPENDENT, LATCH_BY_HAND);
    rill_task_cancel_because(&owner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
        ck_assert(!rill_task_is_over(&owner.task));
        latch_let_go(&latches[i]);
        rig_settle();
    }
    ck_assert_int_eq(then.result, -ECANCELED);
    expect_result(-ECANCELED);
}
END_TEST

START_TEST(a_join_whose_tasks_all_win_against_its_cancel_has_not_been_cancelled)
{
    start(RILL_SCOPE_INDEPENDENT, LATCH_BY_HAND);
    rill_task_cancel(&owner.task);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], 10 + i);
    rig_settle();
    ck_assert_int_eq(children[3].task.future.result, 13);
    expect_result(0);
}
END_TEST

START_TEST(a_failure_wins_against_the_cancel_of_the_join)
{
    start(RILL_SCOPE_INDEPENDENT, LATCH_BY_HAND);
    rill_task_cancel(&owner.task);
    rig_settle();
    latch_let_go(&latches[0]);
    latch_open(&latches[1], -EIO);
    latch_let_go(&latches[2]);
    latch_let_go(&latches[3]);
    rig_settle();
    expect_result(-EIO);
}
END_TEST

START_TEST(cancelling_the_scope_itself_is_no_error)
{
    start(RILL_SCOPE_TOGETHER, 2);
    rill_scope_cancel(&scope, RILL_SHUTTING_DOWN);
    rill_scope_cancel(&scope, RILL_TIMED_OUT);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
        ck_assert_int_eq(children[i].task.future.result, -ECANCELED);
    }
    spawn(0); /* one that comes later is told the same */
    rig_settle();
    ck_assert_int_eq(latches[0].reason, RILL_SHUTTING_DOWN);
    expect_result(0);
}
END_TEST

/* What may take its time otherwise has to hurry then: nobody else would tell it. */
START_TEST(tasks_that_are_on_their_way_out_are_told_that_the_program_ends)
{
    struct rill_timeout timeout;

    for (int way = 0; way < 3; way++) {
        rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
        for (int i = 0; i < COUNT; i++) {
            latches[i].drain_polls = i == 0 ? 0 : LATCH_BY_HAND;
            spawn(i);
        }
        runner_start(&owner, rill_timeout(&timeout, RILL_SECOND, rill_scope_join(&scope)),
                     latch_wait(&then));
        rig_settle();
        if (way == 0)
            latch_open(&latches[0], -EIO);
        else if (way == 1)
            rill_scope_cancel(&scope, RILL_CANCELLED);
        else
            rig_advance(RILL_SECOND + TICK_NS);
        rig_settle();
        ck_assert_int_eq(latches[1].reason, way < 2 ? RILL_CANCELLED : RILL_TIMED_OUT);
        rill_task_cancel_because(&owner.task, RILL_SHUTTING_DOWN);
        rig_settle();
        for (int i = 1; i < COUNT; i++) {
            ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
            latch_let_go(&latches[i]);
        }
        rig_settle();
        expect_result(way == 0 ? -EIO : way == 1 ? 0 : -ECANCELED);
    }
}
END_TEST

START_TEST(a_scope_that_was_cancelled_is_cancelled_anew_when_the_program_ends)
{
    start(RILL_SCOPE_TOGETHER, LATCH_BY_HAND);
    rill_scope_cancel(&scope, RILL_TIMED_OUT);
    rig_settle();
    rill_scope_cancel(&scope, RILL_CANCELLED); /* the first reason stays */
    rill_task_wake(&children[0].task);         /* this one is queued, and the others are parked */
    rill_scope_cancel(&scope, RILL_SHUTTING_DOWN);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_SHUTTING_DOWN);
        latch_let_go(&latches[i]);
    }
    rig_settle();
    expect_result(0);
}
END_TEST

START_TEST(tasks_of_a_scope_that_is_joined_in_a_shield_are_not_told_that_the_program_ends)
{
    struct rill_shield shield;

    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = LATCH_BY_HAND;
        spawn(i);
    }
    runner_start(&owner, rill_shield(&shield, rill_scope_join(&scope)), NULL);
    rig_settle();
    rill_scope_cancel(&scope, RILL_CANCELLED);
    rill_task_cancel_because(&owner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(latches[i].reason, RILL_CANCELLED);
        latch_let_go(&latches[i]);
    }
    rig_settle();
    ck_assert(rill_task_is_over(&owner.task));
    ck_assert_int_eq(scope.result, 0);
}
END_TEST

START_TEST(tasks_that_are_queued_when_the_scope_is_cancelled_start_nothing)
{
    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < COUNT; i++)
        spawn(i);
    rill_scope_cancel(&scope, RILL_CANCELLED);
    runner_start(&owner, rill_scope_join(&scope), latch_wait(&then));
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!latches[i].begun);
        ck_assert_uint_eq(children[i].polls, 1);
    }
    expect_result(0);
}
END_TEST

START_TEST(a_task_that_is_spawned_while_the_others_drain_is_cancelled_and_waited_for)
{
    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    latches[0].drain_polls = LATCH_BY_HAND;
    spawn(0);
    runner_start(&owner, rill_scope_join(&scope), latch_wait(&then));
    rig_settle();
    rill_task_cancel_because(&owner.task, RILL_TIMED_OUT);
    rig_settle();
    for (int i = 1; i < COUNT; i++) {
        spawn(i);
        rig_settle();
        ck_assert(!latches[i].begun);
        ck_assert_int_eq(latches[i].reason, RILL_TIMED_OUT);
        ck_assert(!rill_task_is_over(&owner.task));
    }
    latch_let_go(&latches[0]);
    rig_turn(); /* the child is over and the owner woken, when a last one comes */
    latches[1].drain_polls = 0;
    spawn(1);
    rig_settle();
    expect_result(-ECANCELED);
}
END_TEST

START_TEST(polls_for_no_reason_do_not_end_a_join)
{
    start(RILL_SCOPE_INDEPENDENT, 0);
    for (int i = 0; i < COUNT; i++) {
        rill_task_wake(&owner.task);
        rill_task_wake(&children[i].task);
        rig_settle();
        ck_assert(!then.begun);
        ck_assert_uint_eq(scope.alive, COUNT - i);
        latch_open(&latches[i], 0);
        rig_settle();
    }
    expect_result(0);
}
END_TEST

/* Waits for the scope twice, for a second each, and then joins it. */
static enum rill_poll patient_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_timeout timeout;
    static int i;

    RILL_BEGIN();
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    for (i = 0; i < COUNT; i++)
        spawn(i);
    for (i = 0; i < 2; i++) {
        RILL_AWAIT(rill_timeout(&timeout, RILL_SECOND, rill_scope_wait(&scope)));
        ck_assert_int_eq(timeout.result, -ETIMEDOUT);
        ck_assert_int_eq(scope.result, -ECANCELED);
    }
    RILL_AWAIT(rill_scope_join(&scope));
    RILL_AWAIT(latch_wait(&then));
    RILL_END();
}

START_TEST(a_cancelled_wait_leaves_the_tasks_alone)
{
    rill_task_spawn(&owner.task, patient_poll);
    rig_settle();
    for (int i = 0; i < 3; i++) {
        rig_advance(RILL_SECOND + TICK_NS);
        ck_assert_uint_eq(scope.alive, COUNT);
    }
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], i == 2 ? -EIO : 0);
    rig_settle();
    ck_assert_uint_eq(latches[0].cancelled_polls, 0);
    expect_result(-EIO);
}
END_TEST

/* Whoever waited and gave up does not wait any more. */
START_TEST(after_a_cancelled_wait_another_task_may_join)
{
    struct runner other = {.polls = 0};
    struct rill_timeout limit;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    runner_start(&other, rill_timeout(&limit, RILL_SECOND, rill_scope_wait(&scope)),
                 latch_wait(&then));
    rig_settle();
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert_int_eq(limit.result, -ETIMEDOUT);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&other.task));
    ck_assert(!rill_task_is_over(&owner.task));
    latch_open(&latches[0], 0);
    rig_settle();
    ck_assert(rill_task_is_over(&owner.task));
}
END_TEST

START_TEST(a_wait_that_is_not_cancelled_ends_as_a_join_does)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < COUNT; i++)
        spawn(i);
    runner_start(&owner, rill_scope_wait(&scope), latch_wait(&then));
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!then.begun);
        latch_open(&latches[i], -EPIPE);
        rig_settle();
    }
    ck_assert_uint_eq(owner.polls, 2);
    expect_result(-EPIPE);
}
END_TEST

START_TEST(a_limit_of_time_around_a_join_cancels_the_tasks)
{
    struct rill_timeout timeout;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = i;
        spawn(i);
    }
    runner_start(&owner, rill_timeout(&timeout, RILL_SECOND, rill_scope_join(&scope)),
                 latch_wait(&then));
    rig_settle();
    latch_open(&latches[0], 1);
    rig_advance(RILL_SECOND + TICK_NS);
    ck_assert_int_eq(latches[3].reason, RILL_TIMED_OUT);
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
    ck_assert_uint_eq(then.cancelled_polls, 0);
    expect_result(-ECANCELED);
}
END_TEST

START_TEST(a_scope_that_loses_a_select_is_drained)
{
    struct rill_select select;
    struct rill_future *futures[2];

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < COUNT; i++) {
        latches[i].drain_polls = LATCH_BY_HAND;
        spawn(i);
    }
    runner_start(
        &owner,
        rill_select(&select, RILL_FUTURES(futures, rill_scope_join(&scope), latch_wait(&then))),
        NULL);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert(!rill_task_is_over(&owner.task));
        latch_let_go(&latches[i]);
        rig_settle();
    }
    ck_assert_int_eq(select.result, 1);
    expect_result(-ECANCELED);
}
END_TEST

START_TEST(a_pooled_task_gives_its_block_back_at_its_end)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < COUNT; i++) {
        struct runner *child = rill_task_alloc(sizeof *child);

        ck_assert_ptr_nonnull(child);
        child->first = latch_wait(&latches[i]);
        rill_scope_spawn(&scope, &child->task, runner_poll);
    }
    ck_assert_uint_eq(scope.alive, COUNT);
    ck_assert_uint_eq(rig.executor.pool.in_use, COUNT);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    for (int i = 0; i < COUNT; i++) {
        rig_settle();
        latch_open(&latches[i], i);
        ck_assert_uint_eq(rig.executor.pool.in_use, COUNT - i);
        rig_settle();
        ck_assert_uint_eq(rig.executor.pool.in_use, COUNT - i - 1);
    }
    ck_assert(rill_task_is_over(&owner.task));
}
END_TEST

/* A task that spawns two siblings of its own kind into its scope, down to a depth. */
struct tree {
    struct rill_task task;
    struct rill_scope *scope;
    unsigned depth;
};

static unsigned trees;

static enum rill_poll tree_poll(struct rill_future *self, struct rill_task *task)
{
    struct tree *tree = rill_container_of(self, struct tree, task.future);

    RILL_BEGIN();
    trees++;
    for (int i = 0; i < 2 && tree->depth > 0; i++) {
        struct tree *sibling = rill_task_alloc(sizeof *sibling);

        ck_assert_ptr_nonnull(sibling);
        sibling->scope = tree->scope;
        sibling->depth = tree->depth - 1;
        rill_scope_spawn(tree->scope, &sibling->task, tree_poll);
    }
    if (tree->depth % 3 == 0)
        RILL_YIELD();
    RILL_END();
}

START_TEST(tasks_spawn_siblings_and_the_join_waits_for_all)
{
    static struct tree root;
    unsigned depth = rig_scaled(14 * 20) / 20;

    trees = 0;
    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    root.scope = &scope;
    root.depth = depth;
    rill_scope_spawn(&scope, &root.task, tree_poll);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_finish(&owner.task);
    ck_assert_uint_eq(trees, (2u << depth) - 1);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

/* A future, to be awaited anywhere, with a scope of its own. */
struct nursery {
    struct rill_future future;
    struct rill_scope scope;
    struct runner child;
    struct rill_future *below;
    bool cancels;
};

static enum rill_poll nursery_poll(struct rill_future *self, struct rill_task *task)
{
    struct nursery *nursery = rill_container_of(self, struct nursery, future);

    RILL_BEGIN();
    rill_scope_init(&nursery->scope, RILL_SCOPE_TOGETHER);
    nursery->child.first = nursery->below;
    rill_scope_spawn(&nursery->scope, &nursery->child.task, runner_poll);
    if (nursery->cancels)
        rill_scope_cancel(&nursery->scope, RILL_CANCELLED);
    RILL_AWAIT(rill_scope_join(&nursery->scope));
    RILL_RETURN(nursery->scope.result);
    RILL_END();
}

static struct nursery nurseries[COUNT];

/* Scopes within tasks of scopes, the innermost of which waits for the first latch. */
static struct rill_future *nest(void)
{
    struct rill_future *below = latch_wait(&latches[0]);

    for (int i = 0; i < COUNT; i++) {
        nurseries[i] = (struct nursery){.below = below};
        below = rill_future_init(&nurseries[i].future, nursery_poll);
    }
    return below;
}

START_TEST(cancelling_a_task_goes_down_through_the_scopes_of_its_tasks)
{
    latches[0].drain_polls = 3;
    runner_start(&owner, nest(), latch_wait(&then));
    rig_settle();
    ck_assert(latches[0].begun);
    rill_task_cancel_because(&owner.task, RILL_SHUTTING_DOWN);
    rig_settle();
    ck_assert_int_eq(latches[0].reason, RILL_SHUTTING_DOWN);
    ck_assert(rill_task_is_over(&owner.task));
    ck_assert_int_eq(nurseries[COUNT - 1].future.result, -ECANCELED);
}
END_TEST

START_TEST(an_error_comes_up_through_scopes)
{
    runner_start(&owner, nest(), NULL);
    rig_settle();
    latch_open(&latches[0], -EIO);
    rig_settle();
    ck_assert_int_eq(owner.task.future.result, -EIO);
}
END_TEST

START_TEST(cancelling_and_printing_all_reach_the_tasks_that_wait_in_scopes)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    unsigned tasks = 0;

    latches[0].drain_polls = LATCH_BY_HAND;
    runner_start(&owner, nest(), NULL);
    rig_settle();
    rill_executor_cancel_all(&rig.executor, RILL_SHUTTING_DOWN);
    rig_settle();
    ck_assert_int_eq(latches[0].reason, RILL_SHUTTING_DOWN);
    rill_executor_print(&rig.executor, out);
    fclose(out);
    for (const char *at = text; (at = strstr(at, "parked, shutting down")); at++)
        tasks++;
    ck_assert_uint_eq(tasks, COUNT + 1);
    rig_expect_text(text, "parked, shutting down, in a scope\n");
    rig_expect_text(text, "  join of a scope\n");
    free(text);
    latch_let_go(&latches[0]);
    rig_settle();
}
END_TEST

/* A child that cancels its own scope and then waits. */
static enum rill_poll cancel_own_scope_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_scope_cancel(&scope, RILL_CANCELLED);
    RILL_AWAIT(latch_wait(&then));
    RILL_RETURN(then.result);
    RILL_END();
}

START_TEST(a_task_that_cancels_its_scope_sees_it_in_its_next_await)
{
    static struct rill_task child;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    rill_scope_spawn(&scope, &child, cancel_own_scope_poll);
    spawn(1);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_settle();
    ck_assert(!then.begun);
    ck_assert(latches[0].begun);
    ck_assert(!latches[1].begun);
    ck_assert_int_eq(child.future.result, -ECANCELED);
    ck_assert(rill_task_is_over(&owner.task));
}
END_TEST

/* A task of another scope that cancels this one, and then waits. */
START_TEST(a_task_that_cancels_another_scope_is_not_cancelled)
{
    static struct rill_scope another;
    static struct rill_task child;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    rill_scope_init(&another, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    rill_scope_spawn(&another, &child, cancel_own_scope_poll);
    rig_settle();
    ck_assert(rill_task_is_over(&children[0].task));
    ck_assert(!rill_task_is_over(&child));
    latch_open(&then, 5);
    rig_settle();
    ck_assert_int_eq(child.future.result, 5);
}
END_TEST

START_TEST(a_scope_can_be_used_again)
{
    for (int i = 0; i < 3; i++) {
        start(RILL_SCOPE_TOGETHER, 1);
        latch_open(&latches[i], -EIO - i);
        rig_settle();
        expect_result(-EIO - i);
    }
}
END_TEST

/* Spawns into its scope, after that has ended, without making it again. */
static enum rill_poll reusing_poll(struct rill_future *self, struct rill_task *task)
{
    static int i;

    RILL_BEGIN();
    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    for (i = 0; i < COUNT; i++) {
        spawn(i);
        if (i == 1)
            latch_open(&latches[i], -EIO);
        if (i == 0)
            latch_open(&latches[i], 0);
        RILL_AWAIT(rill_scope_join(&scope));
        ck_assert_int_eq(scope.result, i == 0 ? 0 : -EIO);
        ck_assert_int_eq(latches[i].begun, i < 2);
    }
    RILL_END();
}

START_TEST(an_empty_scope_keeps_its_error_and_its_cancellation_until_it_is_made_again)
{
    rill_task_spawn(&owner.task, reusing_poll);
    rig_settle();
    ck_assert(rill_task_is_over(&owner.task));
}
END_TEST

static void spawn_after_the_owner(void)
{
    rill_task_spawn(&owner.task, reusing_poll);
    rig_settle();
    spawn(0);
}

START_TEST(spawning_into_a_scope_whose_owner_has_ended_panics)
{
    rig_expect_text(rig_abort_message(spawn_after_the_owner),
                    "a task was spawned into a scope whose owner has ended");
}
END_TEST

/* A task that spawns into a scope of its own and does not wait. */
static enum rill_poll forgetful_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    spawn(1);
    RILL_AWAIT(latch_wait(&then));
    RILL_END();
}

static void forget(void)
{
    struct rill_task task = {.state = RILL_TASK_NEW};

    rill_task_spawn(&task, forgetful_poll);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
}

START_TEST(a_task_that_ends_while_its_scope_has_tasks_alive_panics)
{
    rig_expect_text(rig_abort_message(forget),
                    "a task ended while a scope that it opened has 2 tasks alive: await "
                    "rill_scope_join");
}
END_TEST

START_TEST(a_task_may_end_when_all_tasks_of_its_scope_have)
{
    struct rill_task task = {.state = RILL_TASK_NEW};

    rill_task_spawn(&task, forgetful_poll);
    rig_settle();
    latch_open(&latches[0], 0);
    latch_open(&latches[1], 0);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
}
END_TEST

/* It is the task that waits for the end, then, and not the one that made it. */
START_TEST(awaiting_a_scope_takes_it_over)
{
    struct rill_task task = {.state = RILL_TASK_NEW};

    rill_task_spawn(&task, forgetful_poll);
    rig_settle();
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_settle();
    latch_open(&then, 0);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
    latch_open(&latches[0], 0);
    latch_open(&latches[1], 0);
    rig_settle();
    ck_assert(rill_task_is_over(&owner.task));
}
END_TEST

static void end_runtime(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    rig_settle();
    rill_executor_finish(&rig.executor);
}

START_TEST(ending_a_runtime_names_the_tasks_that_wait_in_scopes)
{
    const char *message = rig_abort_message(end_runtime);

    rig_expect_text(message, "parked, in a scope\n");
    rig_expect_text(message, "a runtime was ended with 1 tasks alive");
}
END_TEST

static void two_waiters(void)
{
    struct runner other = {.polls = 0};

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    runner_start(&owner, rill_scope_join(&scope), NULL);
    rig_settle();
    runner_start(&other, &scope.future, NULL);
    rig_settle();
}

static void two_patient_waiters(void)
{
    struct runner other = {.polls = 0};

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    runner_start(&owner, rill_scope_wait(&scope), NULL);
    rig_settle();
    runner_start(&other, &scope.future, NULL);
    rig_settle();
}

static void end_after_a_wait(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT); /* nobody's, before somebody waits */
    spawn(0);
    runner_start(&owner, rill_scope_wait(&scope), NULL);
    rig_settle();
    rill_task_cancel(&owner.task);
    rig_settle();
}

START_TEST(a_task_that_has_waited_for_a_scope_owns_it)
{
    rig_expect_text(rig_abort_message(end_after_a_wait),
                    "a task ended while a scope that it opened has 1 tasks alive");
}
END_TEST

START_TEST(two_tasks_that_wait_for_a_scope_panic)
{
    rig_expect_text(rig_abort_message(two_patient_waiters), "two tasks wait for the same scope");

    rig_expect_text(rig_abort_message(two_waiters), "two tasks wait for the same scope");
}
END_TEST

static void wait_for_own_scope(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    children[0].first = rill_scope_join(&scope);
    rill_scope_spawn(&scope, &children[0].task, runner_poll);
    rig_settle();
}

/* The scope is that of the task whose own scope the waiting task is in. */
static void wait_for_outer_scope(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    nurseries[0].below = rill_scope_join(&scope);
    children[0].first = rill_future_init(&nurseries[0].future, nursery_poll);
    rill_scope_spawn(&scope, &children[0].task, runner_poll);
    rig_settle();
}

START_TEST(a_task_that_waits_for_a_scope_that_it_is_in_panics)
{
    const char *text = "a task waits for the end of a scope that it is in";

    rig_expect_text(rig_abort_message(wait_for_own_scope), text);
    rig_expect_text(rig_abort_message(wait_for_outer_scope), text);
}
END_TEST

static void join_child(void)
{
    struct rill_join join;

    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    rill_task_join(&children[0].task, &join);
}

static void detach_child(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    rill_task_detach(&children[0].task);
}

START_TEST(a_task_of_a_scope_can_be_neither_joined_nor_detached)
{
    rig_expect_text(rig_abort_message(join_child),
                    "a task of a scope was joined: await rill_scope_join");
    rig_expect_text(rig_abort_message(detach_child), "a task of a scope was detached");
}
END_TEST

static void cancel_for_no_reason(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    rill_scope_cancel(&scope, RILL_NOT_CANCELLED);
}

START_TEST(cancelling_a_scope_for_no_reason_panics)
{
    rig_expect_text(rig_abort_message(cancel_for_no_reason), "a scope was cancelled for no reason");
}
END_TEST

/* ---- room ---- */

/* Waits for room, and takes it with a child. */
struct spawner {
    struct rill_task task;
    struct rill_scope_room room;
    size_t max;
    int child;
};

static enum rill_poll spawner_poll(struct rill_future *self, struct rill_task *task)
{
    struct spawner *spawner = rill_container_of(self, struct spawner, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_scope_wait_for_room(&scope, &spawner->room, spawner->max));
    if (spawner->room.result == 0) {
        ck_assert_uint_lt(scope.alive, spawner->max);
        spawn(spawner->child);
    }
    RILL_RETURN(spawner->room.result);
    RILL_END();
}

static struct spawner spawners[2];

/* A scope with two children, and two that want to spawn the other two. */
static void start_spawners(size_t first_max, size_t second_max)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    spawn(1);
    for (int i = 0; i < 2; i++) {
        spawners[i].child = 2 + i;
        spawners[i].max = i == 0 ? first_max : second_max;
        rill_task_spawn(&spawners[i].task, spawner_poll);
    }
    rig_settle();
}

static void expect_spawners(int64_t first, int64_t second)
{
    const int64_t want[2] = {first, second};

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(rill_task_is_over(&spawners[i].task), want[i] <= 0);
        if (want[i] <= 0)
            ck_assert_int_eq(spawners[i].task.future.result, want[i]);
    }
}

enum { WAITS = 1 };

static void end_children(void)
{
    for (int i = 0; i < COUNT; i++)
        latch_open(&latches[i], 0);
    rig_settle();
    ck_assert_uint_eq(scope.alive, 0);
}

START_TEST(room_that_is_there_is_not_waited_for)
{
    start_spawners(3, 4);
    expect_spawners(0, 0);
    ck_assert_uint_eq(scope.alive, COUNT);
    end_children();
}
END_TEST

START_TEST(those_who_wait_for_room_get_it_in_order_as_tasks_end)
{
    uint64_t polls;

    start_spawners(2, 2);
    expect_spawners(WAITS, WAITS);
    polls = rig.executor.polls;
    latch_open(&latches[1], 0);
    rig_settle();
    expect_spawners(0, WAITS);
    ck_assert_uint_eq(rig.executor.polls - polls, 4); /* both children, and both who wait */
    latch_open(&latches[0], -EIO);
    rig_settle();
    expect_spawners(0, 0);
    ck_assert_uint_eq(scope.alive, 2);
    end_children();
}
END_TEST

START_TEST(who_ends_in_one_turn_makes_room_for_as_many)
{
    start_spawners(2, 2);
    latch_open(&latches[0], 0);
    latch_open(&latches[1], 0);
    rig_settle();
    expect_spawners(0, 0);
    ck_assert_uint_eq(scope.alive, 2);
    end_children();
}
END_TEST

START_TEST(who_wants_more_room_does_not_hold_up_those_behind)
{
    start_spawners(1, 2);
    expect_spawners(WAITS, WAITS);
    latch_open(&latches[0], 0);
    rig_settle();
    expect_spawners(WAITS, 0);
    latch_open(&latches[1], 0);
    rig_settle();
    expect_spawners(WAITS, 0);
    latch_open(&latches[3], 0);
    rig_settle();
    expect_spawners(0, 0);
    end_children();
}
END_TEST

START_TEST(who_comes_late_and_has_room_does_not_wait_for_those_who_have_none)
{
    start_spawners(1, 3);
    expect_spawners(WAITS, 0);
    latch_open(&latches[0], 0);
    latch_open(&latches[1], 0);
    latch_open(&latches[3], 0);
    rig_settle();
    expect_spawners(0, 0);
    end_children();
}
END_TEST

/* Waits for room for two, and takes what there is in the same poll, behind the wait. */
static struct {
    struct rill_task task;
    struct rill_scope_room room;
    struct rill_future grab;
    struct rill_select select;
    struct rill_future *futures[2];
} grabber;

static enum rill_poll grab_poll(struct rill_future *self, struct rill_task *task)
{
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    if (scope.alive == 0)
        spawn(2);
    return RILL_PENDING;
}

static enum rill_poll grabber_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    grabber.futures[0] = rill_scope_wait_for_room(&scope, &grabber.room, 2);
    grabber.futures[1] = rill_future_init(&grabber.grab, grab_poll);
    RILL_AWAIT(rill_select(&grabber.select, grabber.futures, 2));
    RILL_RETURN(grabber.select.result);
    RILL_END();
}

START_TEST(who_finds_the_room_taken_that_it_was_woken_for_lets_the_next_look)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawn(0);
    spawn(1);
    spawners[0] = (struct spawner){.child = 3, .max = 1};
    rill_task_spawn(&spawners[0].task, spawner_poll);
    rill_task_spawn(&grabber.task, grabber_poll);
    rig_settle();
    latch_open(&latches[0], 0);
    latch_open(&latches[1], 0);
    rig_settle();
    ck_assert(!rill_task_is_over(&spawners[0].task));
    ck_assert(rill_task_is_over(&grabber.task));
    ck_assert_int_eq(grabber.task.future.result, 0);
    latch_open(&latches[2], 0);
    rig_settle();
    ck_assert(rill_task_is_over(&spawners[0].task));
    end_children();
}
END_TEST

/* In both orders of the end of a task and the cancel of who is first in line. */
START_TEST(a_cancelled_wait_for_room_leaves_it_to_the_next)
{
    for (int order = 0; order < 2; order++) {
        start_spawners(2, 2);
        if (order == 0)
            latch_open(&latches[0], 0);
        rill_task_cancel(&spawners[0].task);
        if (order == 1)
            latch_open(&latches[0], 0);
        rig_settle();
        expect_spawners(-ECANCELED, 0);
        ck_assert_uint_eq(scope.alive, 2);
        end_children();
    }
}
END_TEST

START_TEST(a_wait_that_is_cancelled_before_it_begins_gets_no_room)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    spawners[0].max = 1;
    rill_task_spawn(&spawners[0].task, spawner_poll);
    rill_task_cancel(&spawners[0].task);
    rig_settle();
    ck_assert_int_eq(spawners[0].task.future.result, -ECANCELED);
    ck_assert_uint_eq(scope.alive, 0);
}
END_TEST

static void spawn_unbegun(void)
{
    memset(&scope, 0, sizeof scope);
    spawn(0);
}

static void wait_unbegun(void)
{
    memset(&scope, 0, sizeof scope);
    rill_scope_wait_for_room(&scope, &spawners[0].room, 1);
}

static void cancel_unbegun(void)
{
    memset(&scope, 0, sizeof scope);
    rill_scope_cancel(&scope, RILL_CANCELLED);
}

START_TEST(using_a_scope_that_was_not_begun_panics)
{
    rig_expect_text(rig_abort_message(cancel_unbegun), "a scope is used without rill_scope_init");
    rig_expect_text(rig_abort_message(spawn_unbegun), "a scope is used without rill_scope_init");
    rig_expect_text(rig_abort_message(wait_unbegun), "a scope is used without rill_scope_init");
}
END_TEST

static void wait_for_no_room(void)
{
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    rill_scope_wait_for_room(&scope, &spawners[0].room, 0);
}

START_TEST(waiting_for_fewer_than_no_tasks_panics)
{
    rig_expect_text(rig_abort_message(wait_for_no_room), "wait for room for 1 at least");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_join_waits_for_the_last_task_and_is_woken_once,
        a_scope_without_tasks_is_joined_at_once,
        a_task_that_fails_leaves_the_others_alone_if_they_are_independent,
        a_task_that_fails_cancels_the_others_if_they_are_together,
        of_two_that_fail_in_one_turn_the_first_is_the_result_and_both_are_kept,
        a_task_that_was_cancelled_alone_has_not_failed,
        cancelling_the_owner_cancels_the_tasks_for_its_reason_and_waits_for_them,
        a_join_whose_tasks_all_win_against_its_cancel_has_not_been_cancelled,
        a_failure_wins_against_the_cancel_of_the_join,
        cancelling_the_scope_itself_is_no_error,
        tasks_that_are_on_their_way_out_are_told_that_the_program_ends,
        a_scope_that_was_cancelled_is_cancelled_anew_when_the_program_ends,
        tasks_of_a_scope_that_is_joined_in_a_shield_are_not_told_that_the_program_ends,
        tasks_that_are_queued_when_the_scope_is_cancelled_start_nothing,
        a_task_that_is_spawned_while_the_others_drain_is_cancelled_and_waited_for,
        polls_for_no_reason_do_not_end_a_join,
        a_cancelled_wait_leaves_the_tasks_alone,
        after_a_cancelled_wait_another_task_may_join,
        a_wait_that_is_not_cancelled_ends_as_a_join_does,
        a_limit_of_time_around_a_join_cancels_the_tasks,
        a_scope_that_loses_a_select_is_drained,
        a_pooled_task_gives_its_block_back_at_its_end,
        tasks_spawn_siblings_and_the_join_waits_for_all,
        cancelling_a_task_goes_down_through_the_scopes_of_its_tasks,
        an_error_comes_up_through_scopes,
        cancelling_and_printing_all_reach_the_tasks_that_wait_in_scopes,
        a_task_that_cancels_its_scope_sees_it_in_its_next_await,
        a_task_that_cancels_another_scope_is_not_cancelled,
        a_scope_can_be_used_again,
        an_empty_scope_keeps_its_error_and_its_cancellation_until_it_is_made_again,
        spawning_into_a_scope_whose_owner_has_ended_panics,
        a_task_that_ends_while_its_scope_has_tasks_alive_panics,
        a_task_may_end_when_all_tasks_of_its_scope_have,
        awaiting_a_scope_takes_it_over,
        ending_a_runtime_names_the_tasks_that_wait_in_scopes,
        a_task_that_has_waited_for_a_scope_owns_it,
        two_tasks_that_wait_for_a_scope_panic,
        a_task_that_waits_for_a_scope_that_it_is_in_panics,
        a_task_of_a_scope_can_be_neither_joined_nor_detached,
        cancelling_a_scope_for_no_reason_panics,
        room_that_is_there_is_not_waited_for,
        those_who_wait_for_room_get_it_in_order_as_tasks_end,
        who_ends_in_one_turn_makes_room_for_as_many,
        who_wants_more_room_does_not_hold_up_those_behind,
        who_comes_late_and_has_room_does_not_wait_for_those_who_have_none,
        who_finds_the_room_taken_that_it_was_woken_for_lets_the_next_look,
        a_cancelled_wait_for_room_leaves_it_to_the_next,
        a_wait_that_is_cancelled_before_it_begins_gets_no_room,
        using_a_scope_that_was_not_begun_panics,
        waiting_for_fewer_than_no_tasks_panics,
    };

    return rig_main("scope", tests, RIG_COUNT(tests));
}
