/* SPDX-License-Identifier: Apache-2.0 */
/* test_task.c - tasks begin, are woken, end, and give their memory back. */
#include "runtime/task.h"

#include "runtime/scope.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A task that counts its polls and wakes itself in some of them. */
struct counter {
    struct rill_task task;
    unsigned polls;
    unsigned wakes_self; /* in how many polls it still does */
    bool ends;           /* in its next poll */
};

static enum rill_poll counter_poll(struct rill_future *self, struct rill_task *task)
{
    struct counter *counter = rill_container_of(self, struct counter, task.future);

    counter->polls++;
    if (counter->wakes_self > 0) {
        counter->wakes_self--;
        rill_task_wake(task);
        rill_task_wake(task);
    }
    return counter->ends ? RILL_READY : RILL_PENDING;
}

static void end_counter(struct counter *counter)
{
    counter->ends = true;
    rill_task_wake(&counter->task);
    rig_settle();
    ck_assert(rill_task_is_over(&counter->task));
}

START_TEST(a_task_header_is_at_most_64_bytes)
{
    ck_assert_uint_le(sizeof(struct rill_task), 64);
    ck_assert_uint_eq(offsetof(struct rill_task, future), 0);
}
END_TEST

START_TEST(spawning_polls_nothing_before_the_next_turn)
{
    struct counter counter = {.ends = true};

    rill_task_spawn(&counter.task, counter_poll);
    ck_assert_uint_eq(counter.polls, 0);
    ck_assert_uint_eq(rig.executor.tasks_alive, 1);
    rig_turn();
    ck_assert_uint_eq(counter.polls, 1);
    ck_assert(rill_task_is_over(&counter.task));
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
}
END_TEST

START_TEST(a_parked_task_is_polled_once_for_any_number_of_wakes)
{
    struct counter counter = {.polls = 0};

    rill_task_spawn(&counter.task, counter_poll);
    for (unsigned i = 1; i < 5; i++) {
        rig_settle();
        ck_assert_uint_eq(counter.polls, i);
        rig_settle();
        ck_assert_uint_eq(counter.polls, i);
        for (unsigned wakes = 0; wakes < i; wakes++)
            rill_task_wake(&counter.task);
        ck_assert_uint_eq(rig.executor.ready_count, 1);
    }
    end_counter(&counter);
}
END_TEST

START_TEST(waking_a_queued_task_keeps_its_place_in_the_queue)
{
    struct counter first = {.polls = 0}, second = {.polls = 0};

    rill_task_spawn(&first.task, counter_poll);
    rill_task_spawn(&second.task, counter_poll);
    rill_task_wake(&first.task);
    ck_assert_uint_eq(rig.executor.ready_count, 2);
    ck_assert_ptr_eq(rig.executor.ready.next, &first.task.queue);
    rig_settle();
    ck_assert_uint_eq(first.polls, 1);
    ck_assert_uint_eq(second.polls, 1);
    end_counter(&first);
    end_counter(&second);
}
END_TEST

START_TEST(a_task_woken_while_it_runs_is_polled_once_more_in_the_next_turn)
{
    struct counter counter = {.wakes_self = 3};

    rill_task_spawn(&counter.task, counter_poll);
    for (unsigned polls = 1; polls <= 4; polls++) {
        rig_turn();
        ck_assert_uint_eq(counter.polls, polls);
    }
    ck_assert_uint_eq(rig.executor.ready_count, 0);
    end_counter(&counter);
}
END_TEST

START_TEST(a_task_that_wakes_itself_and_ends_is_over)
{
    struct counter counter = {.wakes_self = 1, .ends = true};

    rill_task_spawn(&counter.task, counter_poll);
    rig_settle();
    ck_assert(rill_task_is_over(&counter.task));
    ck_assert_uint_eq(counter.polls, 1);
    ck_assert_uint_eq(rig.executor.ready_count, 0);
}
END_TEST

START_TEST(waking_a_task_that_is_over_does_nothing)
{
    struct counter counter = {.ends = true};

    rill_task_spawn(&counter.task, counter_poll);
    rig_settle();
    rill_task_wake(&counter.task);
    ck_assert_uint_eq(rig.executor.ready_count, 0);
    rig_settle();
    ck_assert_uint_eq(counter.polls, 1);
    ck_assert(rill_task_is_over(&counter.task));
}
END_TEST

START_TEST(a_task_that_is_over_can_be_spawned_again)
{
    struct counter counter = {.ends = true};

    for (unsigned round = 1; round <= 3; round++) {
        rill_task_spawn(&counter.task, counter_poll);
        ck_assert(!rill_task_is_over(&counter.task));
        rill_task_cancel(&counter.task);
        rig_settle();
        ck_assert_uint_eq(counter.polls, round);
    }
    rill_task_spawn(&counter.task, counter_poll);
    ck_assert(!rill_task_is_cancelled(&counter.task));
    rig_settle();
}
END_TEST

START_TEST(a_task_that_is_spawned_again_is_neither_detached_nor_of_a_scope)
{
    struct counter counter = {.ends = true};
    struct runner joiner = {.polls = 0};
    struct rill_scope scope;
    struct rill_join join;

    rill_scope_init(&scope, RILL_SCOPE_TOGETHER);
    for (int in_scope = 0; in_scope < 2; in_scope++) {
        if (in_scope) {
            rill_scope_spawn(&scope, &counter.task, counter_poll);
        } else {
            rill_task_spawn(&counter.task, counter_poll);
            rill_task_detach(&counter.task);
        }
        rig_settle();
        rill_task_spawn(&counter.task, counter_poll);
        runner_start(&joiner, rill_task_join(&counter.task, &join), NULL);
        rig_settle();
        ck_assert(rill_task_is_over(&joiner.task));
    }
    ck_assert_uint_eq(scope.alive, 0);
}
END_TEST

START_TEST(an_allocated_task_is_zeroed_even_in_a_used_block)
{
    struct counter *counter = rill_task_alloc(sizeof *counter);
    struct counter *again;

    ck_assert_ptr_nonnull(counter);
    counter->polls = 77;
    counter->wakes_self = 88;
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    rill_task_free(counter);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    again = rill_task_alloc(sizeof *again);
    ck_assert_ptr_eq(again, counter);
    ck_assert_uint_eq(again->polls, 0);
    ck_assert_uint_eq(again->wakes_self, 0);
    ck_assert_int_eq(again->task.state, RILL_TASK_NEW);
    rill_task_free(again);
    rill_task_free(NULL);
}
END_TEST

START_TEST(a_task_larger_than_the_largest_block_can_not_be_allocated)
{
    void *block = rill_task_alloc(RILL_POOL_BLOCK_MAX);

    ck_assert_ptr_nonnull(block);
    rill_task_free(block);
    ck_assert_ptr_null(rill_task_alloc(RILL_POOL_BLOCK_MAX + 1));
}
END_TEST

START_TEST(a_detached_task_gives_its_block_back_at_its_end)
{
    struct counter *counter = rill_task_alloc(sizeof *counter);

    rill_task_spawn(&counter->task, counter_poll);
    rill_task_detach(&counter->task);
    rig_settle();
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    counter->ends = true;
    rill_task_wake(&counter->task);
    rig_settle();
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
}
END_TEST

START_TEST(a_task_detached_after_its_end_gives_its_block_back_at_once)
{
    struct counter *counter = rill_task_alloc(sizeof *counter);

    counter->ends = true;
    rill_task_spawn(&counter->task, counter_poll);
    rig_settle();
    ck_assert(rill_task_is_over(&counter->task));
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    rill_task_detach(&counter->task);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

static enum rill_poll detach_self_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_task_detach(task);
    RILL_YIELD();
    RILL_END();
}

START_TEST(a_task_can_detach_itself)
{
    struct rill_task *task = rill_task_alloc(sizeof *task);

    rill_task_spawn(task, detach_self_poll);
    rig_turn();
    ck_assert_uint_eq(rig.executor.pool.in_use, 1);
    rig_turn();
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

START_TEST(a_detached_task_in_memory_of_the_callers_is_left_there)
{
    struct counter counter = {.ends = true};

    rill_task_spawn(&counter.task, counter_poll);
    rill_task_detach(&counter.task);
    rig_settle();
    ck_assert(rill_task_is_over(&counter.task));
    rill_task_spawn(&counter.task, counter_poll); /* and can be used again */
    rig_settle();
    ck_assert_uint_eq(counter.polls, 2);
}
END_TEST

START_TEST(tasks_end_in_any_order)
{
    enum { COUNT = 100 };
    static struct runner runners[COUNT];
    static struct latch latches[COUNT];
    int order[COUNT];
    uint64_t random = 7;

    for (int i = 0; i < COUNT; i++) {
        runner_start(&runners[i], latch_wait(&latches[i]), NULL);
        order[i] = i;
    }
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        int other = (int)rig_random(&random, COUNT), keep = order[i];

        order[i] = order[other];
        order[other] = keep;
    }
    for (int i = 0; i < COUNT; i++) {
        latch_open(&latches[order[i]], order[i]);
        rig_settle();
        ck_assert_int_eq(runners[order[i]].task.future.result, order[i]);
        ck_assert_uint_eq(rig.executor.tasks_alive, COUNT - 1 - (size_t)i);
    }
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(runners[i].polls, 2);
}
END_TEST

struct seed {
    struct rill_task task;
    int depth;
};

static unsigned seeds_ended;

/* Spawns two others and ends in the same poll. */
static enum rill_poll seed_poll(struct rill_future *self, struct rill_task *task)
{
    struct seed *seed = rill_container_of(self, struct seed, task.future);

    RILL_BEGIN();
    for (int i = 0; i < 2 && seed->depth > 0; i++) {
        struct seed *child = rill_task_alloc(sizeof *child);

        child->depth = seed->depth - 1;
        rill_task_spawn(&child->task, seed_poll);
        rill_task_detach(&child->task);
    }
    seeds_ended++;
    RILL_END();
}

START_TEST(a_task_can_spawn_others_while_it_ends)
{
    struct seed *seed = rill_task_alloc(sizeof *seed);

    seed->depth = 12;
    rill_task_spawn(&seed->task, seed_poll);
    rill_task_detach(&seed->task);
    rig_settle();
    ck_assert_uint_eq(seeds_ended, (1 << 13) - 1);
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
}
END_TEST

static void spawn_twice(void)
{
    struct counter counter = {.polls = 0};

    rill_task_spawn(&counter.task, counter_poll);
    rill_task_spawn(&counter.task, counter_poll);
}

static void spawn_a_parked_one(void)
{
    struct counter counter = {.polls = 0};

    rill_task_spawn(&counter.task, counter_poll);
    rig_turn();
    rill_task_spawn(&counter.task, counter_poll);
}

static void spawn_what_was_not_zeroed(void)
{
    struct counter counter;

    memset(&counter, 0xa5, sizeof counter); /* as malloc(3) may leave it */
    rill_task_spawn(&counter.task, counter_poll);
}

START_TEST(spawning_a_living_task_panics)
{
    rig_expect_text(rig_abort_message(spawn_twice), "a task was spawned while it is alive");
    rig_expect_text(rig_abort_message(spawn_a_parked_one), "a task was spawned while it is alive");
    rig_expect_text(rig_abort_message(spawn_what_was_not_zeroed), "or its memory was never zeroed");
}
END_TEST

static void detach_unspawned(void)
{
    rill_task_detach(rill_task_alloc(sizeof(struct rill_task)));
}

static void cancel_unspawned(void)
{
    rill_task_cancel(rill_task_alloc(sizeof(struct rill_task)));
}

START_TEST(a_task_that_was_not_spawned_can_neither_be_detached_nor_cancelled)
{
    rig_expect_text(rig_abort_message(detach_unspawned),
                    "a task was detached before it was spawned");
    rig_expect_text(rig_abort_message(cancel_unspawned),
                    "a task was cancelled before it was spawned");
}
END_TEST

static void alloc_too_little(void)
{
    rill_task_alloc(sizeof(struct rill_task) - 1);
}

static void free_a_spawned_one(void)
{
    struct rill_task *task = rill_task_alloc(sizeof *task);

    rill_task_spawn(task, counter_poll);
    rill_task_free(task);
}

static void free_memory_of_ones_own(void)
{
    struct counter counter = {.polls = 0};

    rill_task_free(&counter);
}

START_TEST(wrong_sizes_and_wrong_blocks_panic)
{
    rig_expect_text(rig_abort_message(alloc_too_little), "do not hold a task");
    rig_expect_text(rig_abort_message(free_a_spawned_one), "never spawned can be freed");
    rig_expect_text(rig_abort_message(free_memory_of_ones_own), "never spawned can be freed");
}
END_TEST

static void end_with_operations_in_flight(void)
{
    struct counter counter = {.ends = true};

    rill_task_spawn(&counter.task, counter_poll);
    counter.task.ops = 2;
    rig_turn();
}

enum { END_LINE = __LINE__ + 6 };

static enum rill_poll hasty_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    task->ops = 1; /* as an operation does that is begun and not awaited */
    RILL_RETURN(0);
    RILL_END();
}

static void end_hastily(void)
{
    static struct rill_task hasty;

    rill_task_spawn(&hasty, hasty_poll);
    rig_turn();
}

START_TEST(ending_with_operations_in_flight_panics_and_names_where_it_ended)
{
    char place[100];

    rig_expect_text(rig_abort_message(end_with_operations_in_flight),
                    "a task ended with 2 of its operations in flight");
    snprintf(place, sizeof place, "  hasty_poll ended at %s:%d\n", __FILE__, END_LINE);
    rig_expect_text(rig_abort_message(end_hastily), place);
}
END_TEST

static void *wake_it(void *task)
{
    rill_task_wake(task);
    return NULL;
}

static void wake_from_another_thread(void)
{
    struct counter counter = {.polls = 0};
    pthread_t thread;

    rill_task_spawn(&counter.task, counter_poll);
    rig_turn();
    if (pthread_create(&thread, NULL, wake_it, &counter.task) == 0)
        pthread_join(thread, NULL);
}

static void *wake_it_from_another_runtime(void *task)
{
    struct manual_driver driver;
    struct rill_executor executor;

    manual_driver_init(&driver);
    if (rill_executor_init(&executor, &driver.driver) == 0)
        rill_task_wake(task);
    return NULL;
}

static void wake_from_another_runtime(void)
{
    struct counter counter = {.polls = 0};
    pthread_t thread;

    rill_task_spawn(&counter.task, counter_poll);
    rig_turn();
    if (pthread_create(&thread, NULL, wake_it_from_another_runtime, &counter.task) == 0)
        pthread_join(thread, NULL);
}

static void *spawn_foreign_block(void *task)
{
    struct manual_driver driver;
    struct rill_executor executor;

    manual_driver_init(&driver);
    if (rill_executor_init(&executor, &driver.driver) == 0)
        rill_task_spawn(task, counter_poll);
    return NULL;
}

static void *free_foreign_block(void *task)
{
    struct manual_driver driver;
    struct rill_executor executor;

    manual_driver_init(&driver);
    if (rill_executor_init(&executor, &driver.driver) == 0)
        rill_task_free(task);
    return NULL;
}

static void *(*foreign_use)(void *block);

static void use_from_another_runtime(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, foreign_use, rill_task_alloc(sizeof(struct counter))) == 0)
        pthread_join(thread, NULL);
}

START_TEST(a_block_of_another_runtime_is_neither_spawned_nor_freed)
{
    foreign_use = spawn_foreign_block;
    rig_expect_text(rig_abort_message(use_from_another_runtime),
                    "a block of rill_task_alloc is used by a thread that it does not belong to");
    foreign_use = free_foreign_block;
    rig_expect_text(rig_abort_message(use_from_another_runtime),
                    "a block of rill_task_alloc is used by a thread that it does not belong to");
}
END_TEST

START_TEST(waking_a_task_from_another_thread_panics)
{
    rig_expect_text(rig_abort_message(wake_from_another_thread),
                    "woken by a thread that it does not belong to");
    rig_expect_text(rig_abort_message(wake_from_another_runtime),
                    "woken by a thread that it does not belong to");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_task_header_is_at_most_64_bytes,
        spawning_polls_nothing_before_the_next_turn,
        a_parked_task_is_polled_once_for_any_number_of_wakes,
        waking_a_queued_task_keeps_its_place_in_the_queue,
        a_task_woken_while_it_runs_is_polled_once_more_in_the_next_turn,
        a_task_that_wakes_itself_and_ends_is_over,
        waking_a_task_that_is_over_does_nothing,
        a_task_that_is_over_can_be_spawned_again,
        a_task_that_is_spawned_again_is_neither_detached_nor_of_a_scope,
        an_allocated_task_is_zeroed_even_in_a_used_block,
        a_task_larger_than_the_largest_block_can_not_be_allocated,
        a_detached_task_gives_its_block_back_at_its_end,
        a_task_detached_after_its_end_gives_its_block_back_at_once,
        a_task_can_detach_itself,
        a_detached_task_in_memory_of_the_callers_is_left_there,
        tasks_end_in_any_order,
        a_task_can_spawn_others_while_it_ends,
        spawning_a_living_task_panics,
        a_task_that_was_not_spawned_can_neither_be_detached_nor_cancelled,
        wrong_sizes_and_wrong_blocks_panic,
        ending_with_operations_in_flight_panics_and_names_where_it_ended,
        waking_a_task_from_another_thread_panics,
        a_block_of_another_runtime_is_neither_spawned_nor_freed,
    };

    return rig_main("task", tests, RIG_COUNT(tests));
}
